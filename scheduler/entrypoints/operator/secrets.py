"""Secrets of the operator's own namespace, read when somebody needs them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.kubernetes.objects import Obj
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.errors import ApiError, Forbidden, NotFound
from scheduler.adapters.kubernetes.runtime.kinds import SECRETS
from scheduler.adapters.sources.web.client import Unanswered

FRESH_S = 10.0


class Secrets:
    """Secrets of one namespace, by name, each read again after some seconds. Any thread may ask."""

    def __init__(self, client: KubeClient, namespace: str, clock: MonotonicClock) -> None:
        """Read nothing yet."""
        self._client, self._namespace, self._clock = client, namespace, clock
        self._read: dict[str, tuple[float, Mapping[str, str]]] = {}

    def __call__(self, name: str) -> Mapping[str, str]:
        """Its keys and texts.

        Raises:
            Unanswered: it is not there, may not be read, or the API server does not answer.
        """
        known, now_s = self._read.get(name), self._clock.monotonic_s()
        if known is not None and now_s - known[0] < FRESH_S:
            return known[1]
        try:
            found = texts_of(self._client.get(SECRETS, name, self._namespace))
        except NotFound:
            self._read.pop(name, None)
            raise Unanswered(f"there is no Secret {name!r} in namespace {self._namespace}") from None
        except Forbidden:
            raise Unanswered(f"the operator may not read the Secret {name!r} in namespace {self._namespace}") from None
        except ApiError:
            if known is None:
                raise Unanswered(f"the Secret {name!r} cannot be read: the API server does not answer") from None
            return known[1]
        self._read[name] = (now_s, found)
        return found


def texts_of(secret: Obj) -> Mapping[str, str]:
    """The data of a Secret as text; what is none is left out, so that it is told as missing."""
    found = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(value, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            continue
    return found
