"""Labels and annotations: what owners write for us, and what we write so that a restart of the operator loses nothing.

Instants are RFC 3339 with their offset (`2026-01-05T18:00:00Z`), durations are written as in our kinds (`48h`, `1h30m`,
`90s`). What an owner writes is never an error here: a value that cannot be read becomes a named problem, and its job insulated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from scheduler.adapters.kubernetes.objects import Obj, annotations_of, created_utc
from scheduler.domain.time import utc
from scheduler.units import S_PER_H, S_PER_MIN

PREFIX = "heatdispatch.io/"

# Labels that owners and platform engineers set.
CLASS = PREFIX + "class"
DISPATCH = PREFIX + "dispatch"
CAPS = PREFIX + "caps"
ENABLED = "enabled"

# Annotations that owners set.
DEADLINE = PREFIX + "deadline"
EXPECTED_DURATION = PREFIX + "expected-duration"
START = PREFIX + "start"
PLANNED = "planned"
ALLOW_OWNED = PREFIX + "allow-owned"
TRUE = "true"

# Annotations that we write.
HELD_BY = PREFIX + "held-by"
HELD_SINCE = PREFIX + "held-since"
HOLD_UNTIL = PREFIX + "hold-until"
HOLD_REASON = PREFIX + "hold-reason"
HOLD_TEXT = PREFIX + "hold-text"
PLANNED_START = PREFIX + "planned-start"
PLAN = PREFIX + "plan"
RELEASED = PREFIX + "released"
POOL = PREFIX + "pool"
PLACED = PREFIX + "placed"
FIRST_STARTED = PREFIX + "first-started"
STOPS = PREFIX + "stops"
PAUSED = PREFIX + "paused"
WORK_DONE = PREFIX + "work-done"

# Kueue's.
QUEUE = "kueue.x-k8s.io/queue-name"
GATED_BY = "kueue.x-k8s.io/admission-gated-by"
GATE = PREFIX + "gate"

DURATION = re.compile(r"^(?:[0-9]{1,9}(?:\.[0-9]{1,6})?[hms])+$")
DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([hms])")
# Years 2000 to 2999: far from the ends of the calendar, so that sums of instants and durations stay inside it.
INSTANT = re.compile(r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})$")
LONGEST_S = 10.0 * 366 * 24 * S_PER_H
LONGEST_TEXT = 900


class HeldBy(StrEnum):
    """Who keeps a job from running. ADMISSION: held since its creation; OWNER: its owner took it, for good."""

    OPERATOR = "operator"
    ADMISSION = "admission"
    OWNER = "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that its owner can mend: a stable reason for Events and a sentence."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What an owner asks for. planned_start: he created the job suspended and leaves its start to the plan."""

    deadline_utc: datetime | None = None
    expected_duration_s: float | None = None
    planned_start: bool = False
    allow_owned: bool = False
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What we wrote on a job: the hold in force, and its life so far, which the API server does not keep.

    paused_s: pauses that are over; placed: keys of its nodeSelector that are ours; work_done_s: as of its last stop.
    unreadable: names of marks of ours that somebody edited into nonsense.
    """

    held_by: HeldBy | None = None
    held_since_utc: datetime | None = None
    hold_until_utc: datetime | None = None
    reason: str = ""
    text: str = ""
    planned_start_utc: datetime | None = None
    plan_id: str = ""
    released_utc: datetime | None = None
    pool_id: str | None = None
    placed: tuple[str, ...] = ()
    first_started_utc: datetime | None = None
    stops: int = 0
    paused_s: float = 0.0
    work_done_s: float = 0.0
    unreadable: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """True while a hold of ours is in force."""
        return self.held_by in (HeldBy.OPERATOR, HeldBy.ADMISSION)


def read_instant(value: str) -> datetime | None:
    """The instant in UTC; None when the text is none."""
    if not INSTANT.match(value):
        return None
    try:
        return utc(value)
    except (ValueError, OverflowError):
        return None


def read_duration_s(value: str) -> float | None:
    """Seconds of a duration such as `48h`, `1h30m` or `90s`; None when the text is none, or is longer than ten years."""
    if not DURATION.match(value) or len(value) > 64:
        return None
    size_s = {"h": S_PER_H, "m": S_PER_MIN, "s": 1.0}
    total_s = sum(float(amount) * size_s[letter] for amount, letter in DURATION_PART.findall(value))
    return total_s if total_s <= LONGEST_S else None


def write_instant(at_utc: datetime) -> str:
    """RFC 3339 in UTC, rounded down to the second: an end is never written later than it is."""
    return f"{at_utc.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def write_duration(duration_s: float) -> str:
    """Whole seconds."""
    return f"{max(0.0, duration_s):.0f}s"


def wishes_of(obj: Obj) -> Wishes:
    """Read what an owner wrote on his job."""
    given = annotations_of(obj)
    problems: list[Problem] = []
    deadline = _deadline(given.get(DEADLINE), created_utc(obj), problems)
    expected_s = _expected_s(given.get(EXPECTED_DURATION), problems)
    for name, allowed in ((START, PLANNED), (ALLOW_OWNED, TRUE)):
        if given.get(name, allowed) != allowed:
            problems.append(Problem(reason="BadAnnotation", text=f"{name} is {shown(given[name])}; write {allowed!r}"))
    return Wishes(
        deadline_utc=deadline,
        expected_duration_s=expected_s,
        planned_start=given.get(START) == PLANNED,
        allow_owned=given.get(ALLOW_OWNED) == TRUE,
        problems=tuple(problems),
    )


def shown(value: str) -> str:
    """A user's text as it may stand in a message: short, quoted, printable."""
    return repr(value if len(value) <= 60 else value[:57] + "...")


def _deadline(value: str | None, created: datetime | None, problems: list[Problem]) -> datetime | None:
    """A deadline after the creation of the job."""
    if value is None:
        return None
    found = read_instant(value)
    if found is None:
        text = f"{DEADLINE} {shown(value)} is no instant; write one with its offset, such as 2026-01-05T18:00:00Z"
        problems.append(Problem(reason="BadDeadline", text=text))
    elif created is not None and found <= created:
        text = f"{DEADLINE} {value} is not after the job's creation at {write_instant(created)}"
        problems.append(Problem(reason="BadDeadline", text=text))
        return None
    return found


def _expected_s(value: str | None, problems: list[Problem]) -> float | None:
    """A duration above zero."""
    if value is None:
        return None
    found = read_duration_s(value)
    if found is None or found <= 0.0:
        text = f"{EXPECTED_DURATION} {shown(value)} is no duration above zero; write one such as 48h, 1h30m or 90s"
        problems.append(Problem(reason="BadDuration", text=text))
        return None
    return found


def marks_of(obj: Obj) -> Marks:
    """Read what we wrote on an object."""
    given = annotations_of(obj)
    bad: list[str] = []
    held_by = given.get(HELD_BY)
    known = held_by in tuple(HeldBy)
    if held_by is not None and not known:
        bad.append(HELD_BY)
    return Marks(
        held_by=HeldBy(held_by) if held_by is not None and known else None,
        held_since_utc=_instant(given, HELD_SINCE, bad),
        hold_until_utc=_instant(given, HOLD_UNTIL, bad),
        reason=given.get(HOLD_REASON, ""),
        text=given.get(HOLD_TEXT, ""),
        planned_start_utc=_instant(given, PLANNED_START, bad),
        plan_id=given.get(PLAN, ""),
        released_utc=_instant(given, RELEASED, bad),
        pool_id=given.get(POOL) or None,
        placed=tuple(key for key in given.get(PLACED, "").split(",") if key),
        first_started_utc=_instant(given, FIRST_STARTED, bad),
        stops=_stops(given, bad),
        paused_s=_duration_s(given, PAUSED, bad),
        work_done_s=_duration_s(given, WORK_DONE, bad),
        unreadable=tuple(bad),
    )


def to_annotations(marks: Marks) -> dict[str, str | None]:
    """All our annotations as a merge patch: what does not hold is removed (None)."""
    return {
        HELD_BY: marks.held_by.value if marks.held_by is not None else None,
        HELD_SINCE: _written(marks.held_since_utc),
        HOLD_UNTIL: _written(marks.hold_until_utc),
        HOLD_REASON: marks.reason or None,
        HOLD_TEXT: marks.text[:LONGEST_TEXT] or None,
        PLANNED_START: _written(marks.planned_start_utc),
        PLAN: marks.plan_id or None,
        RELEASED: _written(marks.released_utc),
        POOL: marks.pool_id,
        PLACED: ",".join(marks.placed) or None,
        FIRST_STARTED: _written(marks.first_started_utc),
        STOPS: str(marks.stops) if marks.stops else None,
        PAUSED: write_duration(marks.paused_s) if marks.paused_s else None,
        WORK_DONE: write_duration(marks.work_done_s) if marks.work_done_s else None,
    }


def changed(before: Obj, wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    """Of a merge patch of annotations, what an object does not say already."""
    given = annotations_of(before)
    return {name: value for name, value in wanted.items() if given.get(name) != value}


def gates_of(obj: Obj) -> tuple[str, ...]:
    """Gates on the object's admission by Kueue, ours and others'."""
    return tuple(gate for gate in (each.strip() for each in annotations_of(obj).get(GATED_BY, "").split(",")) if gate)


def without_our_gate(obj: Obj) -> str | None:
    """Kueue's gate annotation without ours; None when nothing is left of it."""
    return ",".join(gate for gate in gates_of(obj) if gate != GATE) or None


def _written(at_utc: datetime | None) -> str | None:
    """An instant, or nothing."""
    return None if at_utc is None else write_instant(at_utc)


def _instant(given: Mapping[str, str], name: str, bad: list[str]) -> datetime | None:
    """One of our instants."""
    if name not in given:
        return None
    found = read_instant(given[name])
    if found is None:
        bad.append(name)
    return found


def _duration_s(given: Mapping[str, str], name: str, bad: list[str]) -> float:
    """One of our durations."""
    found = read_duration_s(given.get(name, "0s"))
    if found is None:
        bad.append(name)
    return found or 0.0


def _stops(given: Mapping[str, str], bad: list[str]) -> int:
    """The number of stops."""
    value = given.get(STOPS, "0")
    if not re.fullmatch(r"[0-9]{1,6}", value):
        bad.append(STOPS)
        return 0
    return int(value)
