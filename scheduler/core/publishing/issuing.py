"""Whether a plan has to be told, and as what: a new sequence only where the plant would do something else, or soon could not.

A plant that hears the same every quarter of an hour learns to ignore it, and each sequence asks for an acknowledgement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.core.publishing.message import (
    INTERVAL,
    RESOLUTION_S,
    Envelope,
    Kind,
    heat_schedule,
    number,
    parsed,
    rounded,
    stamp,
)
from scheduler.domain.plan import Offer
from scheduler.domain.snapshot import Commitment

# What differs by less is the same to a heat plant: no meter of it is better.
SAME_KW, SAME_K, SAME_M3_PER_H, SAME_FRACTION, SAME_G_PER_KWH = 0.5, 0.25, 0.05, 0.01, 20.0
SAME = {
    "heatKw": SAME_KW,
    "p10": SAME_KW,
    "p90": SAME_KW,
    "maxKw": SAME_KW,
    "minKw": SAME_KW,
    "supplyC": SAME_K,
    "returnMaxC": SAME_K,
    "flowM3h": SAME_M3_PER_H,
    "probShortfall": SAME_FRACTION,
    "gco2PerKwhHeat": SAME_G_PER_KWH,
}
# Said again when so much of its validity is over, or when the days ahead have grown by so much.
RENEWED_FRACTION = 0.5
GROWN = timedelta(hours=6)
# Of all sequences; 0 is left to PLCs, in whose registers it means "none yet".
FIRST = 1
# A boiler needs about an hour: what a withdrawn schedule would have brought within it has to come from elsewhere.
LEAD = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """What a message is made with, beside the offer."""

    site_id: str
    meter_point_id: str
    last: Mapping[str, object] | None
    promises: Sequence[Commitment] = ()


def issued(offer: Offer, issue: Issue) -> dict[str, object] | None:
    """The next message to one customer; None when the last one still says it all.

    Its sequence follows the last one's. A promise that became binding just now makes it `firm`, an offer that is withdrawn
    `cancel`, the first one and one after a cancel `plan`, any other `update`.
    """
    last = issue.last
    before = None if last is None else sequence_of(last)
    envelope = Envelope(
        site_id=issue.site_id,
        meter_point_id=issue.meter_point_id,
        sequence=FIRST if before is None else before + 1,
        supersedes=before,
        kind=_kind(offer, issue),
        reason=_reason(offer, issue),
    )
    payload = heat_schedule(offer, envelope)
    return None if last is not None and says_the_same(last, payload) else payload


def sequence_of(payload: Mapping[str, object]) -> int | None:
    """Sequence of a payload; None when it has none."""
    found = payload.get("sequence")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _kind(offer: Offer, issue: Issue) -> Kind:
    if offer.withdrawn:
        return Kind.CANCEL
    if issue.promises:
        return Kind.FIRM
    return Kind.PLAN if issue.last is None or issue.last.get("kind") == Kind.CANCEL else Kind.UPDATE


def _reason(offer: Offer, issue: Issue) -> str:
    if offer.withdrawn:
        return "no plan can be relied on: count on nothing"
    if issue.promises:
        gates = {one.gate_utc for one in issue.promises if one.gate_utc is not None}
        return f"firm since the gate of {stamp(max(gates))}" if gates else "firm"
    return ""


def says_the_same(last: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Whether a plant that has the last message would do nothing else with the new one, nor soon have to do without."""
    if new["kind"] == Kind.FIRM or (last.get("kind") == Kind.CANCEL) != (new["kind"] == Kind.CANCEL):
        return False
    if any(last.get(key) != new[key] for key in ("schemaVersion", "siteId", "plugId", "meterPointId", "mode", "resolution")):
        return False
    if not _near(last.get("boilerRequestKw"), new["boilerRequestKw"], 0.0):
        return False
    return not _runs_out(last, new) and _same_intervals(last, new)


def _runs_out(last: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Whether half of the last one's validity is over."""
    until, now, fresh_until = parsed(last.get("validUntil")), parsed(new["issuedAt"]), parsed(new["validUntil"])
    if until is None or now is None or fresh_until is None:
        return True
    return until - now < RENEWED_FRACTION * (fresh_until - now)


def _same_intervals(last: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Whether both say the same of every quarter hour that is still to come, and the new one reaches hardly farther."""
    before, now = rows_by_start(last), rows_by_start(new)
    if not before or not now:
        return False
    ends = [parsed(max(rows)) for rows in (before, now)]
    if ends[0] is None or ends[1] is None or abs(ends[1] - ends[0]) > GROWN:
        return False
    common = [(before[start], row) for start, row in now.items() if start in before]
    return bool(common) and all(_same_row(old, row) for old, row in common)


def rows_by_start(payload: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """Intervals by the stamp of their start; stamps sort as the instants that they are."""
    rows = payload.get("intervals")
    found = rows if isinstance(rows, list) else []
    return {str(row["start"]): row for row in found if isinstance(row, Mapping) and isinstance(row.get("start"), str)}


def _same_row(old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Firm kW must be the same to the last digit; the rest nearly."""
    return old.get("firmKw") == new.get("firmKw") and all(_near(old.get(key), new.get(key), most) for key, most in SAME.items())


def _near(old: object, new: object, most: float) -> bool:
    first, second = number(old), number(new)
    if first is None or second is None:
        return first is second
    return abs(first - second) <= most


def cancelled(last: Mapping[str, object], now_utc: datetime, reason: str) -> dict[str, object] | None:
    """The message that takes the last one back, where there is no offer to make it from; None when nothing is in force.

    It asks the boiler for what the next hour would have brought.
    """
    until, sequence = parsed(last.get("validUntil")), sequence_of(last)
    if until is None or sequence is None or until <= now_utc or last.get("kind") in {Kind.CANCEL, Kind.FALLBACK}:
        return None
    left = [row for start, row in sorted(rows_by_start(last).items()) if _ends_after(start, now_utc)]
    if not left:
        return None
    near = [row for row in left if (start := parsed(row["start"])) is not None and start < now_utc + LEAD]
    missing_kw = max((number(row.get(key)) or 0.0 for row in near for key in ("heatKw", "firmKw")), default=0.0)
    zero = dict.fromkeys(("heatKw", "p10", "p90", "firmKw", "maxKw", "minKw", "flowM3h", "probShortfall"), 0.0)
    text = "|".join((str(last.get("messageId")), str(sequence + 1), "cancel"))
    return {
        **last,
        "messageId": hashlib.sha256(text.encode()).hexdigest()[:32],
        "sequence": sequence + 1,
        "supersedes": sequence,
        "issuedAt": stamp(now_utc),
        "validFrom": left[0]["start"],
        "kind": Kind.CANCEL.value,
        "intervals": [{key: zero.get(key, row.get(key)) for key in INTERVAL} for row in left],
        "boilerRequestKw": rounded(missing_kw),
        "reason": reason,
    }


def _ends_after(start: str, now_utc: datetime) -> bool:
    at_utc = parsed(start)
    return at_utc is not None and at_utc + timedelta(seconds=RESOLUTION_S) > now_utc
