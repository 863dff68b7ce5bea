"""Ends a plant's manual override: an annotation on the HeatOfftake, which the operator in charge acts on within seconds."""

from __future__ import annotations

from datetime import datetime

from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.errors import Conflict, NotFound
from scheduler.adapters.kubernetes.runtime.kinds import OFFTAKES
from scheduler.adapters.kubernetes.runtime.writer import Reach
from scheduler.core.publishing.message import stamp
from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.by_hand import written_by_hand
from scheduler.entrypoints.operator.plants import CLEAR_OVERRIDE

TRIES = 3


def end_override(client: KubeClient, offtake_id: str, now_utc: datetime) -> None:
    """Say that overrides which began before now are over.

    Raises:
        Misconfigured: there is no such HeatOfftake.
        Conflict: it changes all the time.
    """
    writer = written_by_hand(client, Reach.DRY)
    for _ in range(TRIES):
        try:
            seen = client.get(OFFTAKES, offtake_id) | {"apiVersion": OFFTAKES.api_version, "kind": OFFTAKES.kind}
            writer.patch(OFFTAKES, seen, {"metadata": {"annotations": {CLEAR_OVERRIDE: stamp(now_utc)}}})
        except NotFound:
            raise Misconfigured(
                f"{offtake_id!r} is no HeatOfftake", where="--override", expected="a name of `kubectl get heatofftakes`"
            ) from None
        except Conflict:
            continue
        return
    raise Conflict(f"HeatOfftake {offtake_id} changes all the time", status=409, reason="Conflict")
