"""Two installations in one cluster: the one that stands by says so, and the one that leads hears it, so that both can tell.

They share one Lease, so only one of them acts, whatever this says. But nobody would notice: each looks healthy by itself.
The standby therefore renews a second Lease, which nobody leads by, and the leader looks whether that moves. It is a Lease of
its own because a standby that wrote to the first one would make it look renewed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.election import micro_time
from scheduler.adapters.kubernetes.runtime.errors import ApiError, NotFound
from scheduler.adapters.kubernetes.runtime.frozen import Key, version_of
from scheduler.adapters.kubernetes.runtime.kinds import LEASES
from scheduler.adapters.logs import Teller

EVERY_S = 10.0
# Heard for the last time so long ago: gone.
GONE_S = 45.0


class Neighbours:
    """Asked every `EVERY_S` by one thread of a replica that runs for leadership."""

    def __init__(
        self,
        client: KubeClient,
        clock: Clocks,
        *,
        lease: Key,
        installation: str,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`lease` is the second Lease, `installation` our own namespace; `on_change` is called when `other` has changed."""
        self._client, self._clock, self._on_change = client, clock, on_change
        self._namespace, self._name = lease
        self._installation = installation
        self._version = ""
        self._heard_s: float | None = None
        self._tell = Teller("runtime.neighbours")
        # Namespace of the other installation; empty when there is none.
        self.other = ""

    def turn(self, *, leading: bool, stranger: str) -> None:
        """Say that we are there while another installation leads (`stranger`); listen while our own does."""
        try:
            seen = self._read()
            if stranger and not leading:
                self._announce(seen)
                found = stranger
            else:
                found = self._heard(seen)
        except ApiError as error:
            # Who may not read or write it still stands by; what is known stays.
            self._tell.debug("neighbours not asked", why=error)
            return
        if found != self.other:
            self.other = found
            self._say(observing=bool(stranger) and not leading)
            self._on_change()

    def _say(self, *, observing: bool) -> None:
        if self.other and observing:
            self._tell.warning("another installation leads, this one only observes: uninstall one", namespace=self.other)
        elif self.other:
            self._tell.warning("another installation is in this cluster, it only observes: uninstall one", namespace=self.other)
        else:
            self._tell.info("no other installation any more")

    def _read(self) -> dict[str, Any] | None:
        try:
            return self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            return None

    def _heard(self, seen: dict[str, Any] | None) -> str:
        """Who moved the Lease lately. Seen once it may be old; only a change between two looks is somebody's sign of life."""
        now_s, version = self._clock.monotonic_s(), version_of(seen or {})
        if version and self._version and version != self._version:
            self._heard_s = now_s
        self._version = version or self._version
        holder = str(((seen or {}).get("spec") or {}).get("holderIdentity") or "")
        alive = self._heard_s is not None and now_s - self._heard_s < GONE_S
        return holder if alive and holder != self._installation else ""

    def _announce(self, seen: dict[str, Any] | None) -> None:
        """Renew the second Lease. A sibling that does the same at this moment is as good."""
        self._version, self._heard_s = "", None
        spec = {"holderIdentity": self._installation, "renewTime": micro_time(self._clock.now_utc())}
        metadata = {"name": self._name, "namespace": self._namespace}
        if seen is None:
            self._client.create(LEASES, {"metadata": metadata, "spec": spec}, self._namespace)
        else:
            body = {"metadata": {**metadata, "resourceVersion": version_of(seen)}, "spec": spec}
            self._client.replace(LEASES, body, self._name, self._namespace)
