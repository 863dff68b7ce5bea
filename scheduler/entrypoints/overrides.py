"""Ends a plant's manual override: an annotation on the HeatOfftake, which the operator in charge acts on within seconds."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.errors import Conflict, NotFound
from scheduler.adapters.kubernetes.runtime.kinds import OFFTAKES
from scheduler.adapters.kubernetes.runtime.writer import Reach
from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.by_hand import written_by_hand
from scheduler.entrypoints.operator.plant_conditions import INSTANT, override_told_utc
from scheduler.entrypoints.operator.plants import CLEAR_OVERRIDE

TRIES = 3


def end_override(client: KubeClient, offtake_id: str, now_utc: datetime) -> datetime:
    """Say that an override is over: the one that the operator tells of, and all before it; none that was pressed since.

    Instants are the operator's own, to the microsecond. Only where it tells of none (yet) `now_utc` counts, by the clock of
    whoever asks.

    Returns:
        Overrides that began before this are ended.

    Raises:
        Misconfigured: there is no such HeatOfftake.
        Conflict: it changes all the time.
    """
    writer = written_by_hand(client, Reach.DRY)
    for _ in range(TRIES):
        try:
            seen = client.get(OFFTAKES, offtake_id) | {"apiVersion": OFFTAKES.api_version, "kind": OFFTAKES.kind}
            told_utc = override_told_utc(seen)
            before_utc = now_utc if told_utc is None else told_utc + timedelta(microseconds=1)
            writer.patch(OFFTAKES, seen, {"metadata": {"annotations": {CLEAR_OVERRIDE: f"{before_utc:{INSTANT}}"}}})
        except NotFound:
            raise Misconfigured(
                f"{offtake_id!r} is no HeatOfftake", where="--override", expected="a name of `kubectl get heatofftakes`"
            ) from None
        except Conflict:
            continue
        return before_utc
    raise Conflict(f"HeatOfftake {offtake_id} changes all the time", status=409, reason="Conflict")
