"""What is known of a plant after one more letter of it, and when nobody has said more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from scheduler.domain.plantlink import (
    Acknowledgement,
    HeatRequest,
    Letter,
    ManualOverride,
    NetworkState,
    PlantHeartbeat,
    PlantSeen,
    TankState,
)


def seen_after(seen: PlantSeen, letter: Letter) -> PlantSeen:
    """What is known once a letter was believed; measurements older than those that are known change nothing."""
    body, now_utc = letter.body, letter.received_utc
    if isinstance(body, PlantHeartbeat) and seen.counter_authenticated and not letter.sender.authenticated:
        return seen
    seen = replace(seen, heard_utc=now_utc if seen.heard_utc is None else max(seen.heard_utc, now_utc))
    if isinstance(body, PlantHeartbeat):
        seen = replace(seen, counter_authenticated=letter.sender.authenticated)
        return seen if body.counter == seen.counter else replace(seen, counter=body.counter, moved_utc=now_utc)
    if isinstance(body, Acknowledgement):
        older = seen.acknowledged is not None and body.sequence < seen.acknowledged.sequence
        return seen if older else replace(seen, acknowledged=body)
    if isinstance(body, HeatRequest):
        return replace(seen, requested=body)
    if isinstance(body, NetworkState):
        return seen if seen.network is not None and body.at_utc < seen.network.at_utc else replace(seen, network=body)
    if isinstance(body, TankState):
        return seen if seen.tank is not None and body.at_utc < seen.tank.at_utc else replace(seen, tank=body)
    if isinstance(body, ManualOverride):
        return _overridden(seen, body, now_utc)
    return seen


def cleared(seen: PlantSeen) -> PlantSeen:
    """The same once our operator has ended the manual override."""
    return replace(seen, override=None, override_since_utc=None)


def _overridden(seen: PlantSeen, body: ManualOverride, now_utc: datetime) -> PlantSeen:
    """A second override may set another limit; the latch stays as old as it is."""
    return replace(seen, override=body, override_since_utc=seen.override_since_utc or now_utc)
