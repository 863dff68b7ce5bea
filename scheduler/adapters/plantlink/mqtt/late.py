"""Letters that a broker kept while we were away: from when they are, and what one is worth that does not say so.

A broker hands what it has kept out as soon as we are back, and marks none of it. So whatever comes within `BACKLOG_S` of a
connection whose session the broker had kept may be old. What says itself from when it is, in its payload or (MQTT 5) in a user
property, is judged by that; of the rest, a sign of life says nothing, and of a forecast nobody knows which is the newer one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from scheduler.core.publishing.letters import AHEAD_S, OLD_S
from scheduler.core.publishing.message import parsed
from scheduler.domain.plantlink import Acknowledgement, DemandForecast, LetterBody, ManualOverride, PlantHeartbeat

SAID_AT = "saidAt"
BACKLOG_S = 10.0
# A sign of life that is older is none; a plant's counts as silent after a minute.
LIFE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A letter's body, the instant from which it counts, and why it is not believed (empty: it may be)."""

    body: LetterBody
    at_utc: datetime
    wrong: str = ""


def dated(body: LetterBody, now_utc: datetime, said_at: object, late: bool) -> Dated:
    """From when a letter counts.

    Args:
        body: what it says.
        now_utc: when it came.
        said_at: the user property of this name; None: there is none.
        late: it may have lain at the broker.

    An override counts from now, however old: a person who has taken over must not be lost. Requests and notices of maintenance
    name the times in which they hold, measurements the instant of which they are.
    """
    said_utc = parsed(said_at)
    wrong = _wrong(body, now_utc, said_at, said_utc, late)
    if isinstance(body, DemandForecast) and body.issued_utc is None and said_utc is not None:
        body = replace(body, issued_utc=min(said_utc, now_utc))
    counts_from_then = isinstance(body, Acknowledgement) and said_utc is not None
    return Dated(body=body, at_utc=min(said_utc, now_utc) if counts_from_then and said_utc else now_utc, wrong=wrong)


def _wrong(body: LetterBody, now_utc: datetime, said_at: object, said_utc: datetime | None, late: bool) -> str:
    if isinstance(body, ManualOverride):
        return ""
    if said_at is not None and said_utc is None:
        return f"{SAID_AT}: must be UTC, as 2026-01-31T23:45:00Z"
    if said_utc is not None:
        age = now_utc - said_utc
        if age < -timedelta(seconds=AHEAD_S):
            return f"{SAID_AT}: lies in the future (are the clocks in step?)"
        if age > timedelta(seconds=LIFE_S if isinstance(body, PlantHeartbeat) else OLD_S):
            return f"{SAID_AT}: is too old"
        return ""
    if late and isinstance(body, PlantHeartbeat):
        return "may have lain at the broker: a sign of life is published with QoS 0"
    if late and isinstance(body, DemandForecast) and body.issued_utc is None:
        return "may have lain at the broker: issuedAt says when it was made"
    return ""
