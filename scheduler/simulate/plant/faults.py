"""What goes wrong at a software plant, and when: `cut@300+120` begins after 300 s and lasts 120 s."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from scheduler.domain.errors import Misconfigured


class FaultKind(StrEnum):
    """What can go wrong. The first nine are the plant's own, the others are ours and only a demonstration can play them."""

    SILENT = "silent"
    FROZEN = "frozen"
    SEQUENCE = "sequence"
    CLOCK = "clock"
    TANK = "tank"
    PUMP = "pump"
    CUT = "cut"
    OVERRIDE = "override"
    MAINTENANCE = "maintenance"
    SENDER_STOPPED = "sender-stopped"
    OPERATOR_GONE = "operator-gone"
    OLD_SCHEDULE = "old-schedule"
    WITHDRAWN = "withdrawn"


TOLD = {
    FaultKind.SILENT: "the plant says nothing any more, not even its heartbeat",
    FaultKind.FROZEN: "the plant's heartbeat counter stands still",
    FaultKind.SEQUENCE: "the plant acknowledges a schedule that was never sent",
    FaultKind.CLOCK: "the plant's clock is ten minutes ahead",
    FaultKind.TANK: "the tank's sensor gives no number",
    FaultKind.PUMP: "the hand-off pump carries a third of its flow",
    FaultKind.CUT: "the network between us is cut",
    FaultKind.OVERRIDE: "somebody presses the manual button: no heat is taken",
    FaultKind.MAINTENANCE: "the plant announces work at its heat exchanger",
    FaultKind.SENDER_STOPPED: "the plant link stands still: its counter does not move",
    FaultKind.OPERATOR_GONE: "the operator behind the plant link is gone",
    FaultKind.OLD_SCHEDULE: "a schedule of the day before is shown again",
    FaultKind.WITHDRAWN: "the schedule is withdrawn",
}
OF_SENDER = frozenset({FaultKind.SENDER_STOPPED, FaultKind.OPERATOR_GONE, FaultKind.OLD_SCHEDULE, FaultKind.WITHDRAWN})
EXPECTED = "KIND@START or KIND@START+LENGTH in seconds, as cut@300+120"
FORM = re.compile(r"([a-z-]+)@([0-9]{1,9})(?:\+([0-9]{1,9}))?")
USUAL_S = 300.0
CLOCK_AHEAD_S = 600.0
PUMP_FRACTION = 1.0 / 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, in s since the plant began."""

    kind: FaultKind
    start_s: float
    length_s: float = USUAL_S

    def at(self, since_s: float) -> bool:
        """Whether it holds now."""
        return self.start_s <= since_s < self.start_s + self.length_s


def fault_of(text: str) -> Fault:
    """A fault from text.

    Raises:
        Misconfigured: when it is none.
    """
    found = FORM.fullmatch(text)
    if found is None:
        raise Misconfigured(f"{text[:80]!r} is no fault", where="--fault", expected=EXPECTED)
    kind, start, length = found.groups()
    if kind not in set(FaultKind):
        raise Misconfigured(f"{kind!r} is no kind of fault", where="--fault", expected=", ".join(FaultKind))
    return Fault(kind=FaultKind(kind), start_s=float(start), length_s=float(length) if length else USUAL_S)


def holds(faults: Iterable[Fault], kind: FaultKind, since_s: float) -> bool:
    """Whether any fault of a kind holds now."""
    return any(one.kind is kind and one.at(since_s) for one in faults)
