"""The acceptance run of a plant link: what each check expects, and whether what was measured meets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from scheduler.core.accounting.heat_meter import permissible_error_fraction

REPORT_VERSION = "1.0"
# A counter is looked at now and then, so a beat may seem late by a look.
LATE_FRACTION = 1.5
CLOCKS_S = 5.0


class Result(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_DONE = "notDone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the report; reason: why it failed or was not done."""

    check_id: str
    title: str
    expected: str
    measured: str
    result: Result
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {
            "id": self.check_id,
            "title": self.title,
            "expected": self.expected,
            "measured": self.measured,
            "result": self.result.value,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A check before it was made."""

    check_id: str
    title: str
    expected: str

    def done(self, measured: str, wrong: str = "") -> Check:
        """Made; `wrong` says why it failed, empty: it passed."""
        return self._check(measured, Result.FAILED if wrong else Result.PASSED, wrong)

    def not_done(self, reason: str) -> Check:
        """Not made."""
        return self._check("", Result.NOT_DONE, reason)

    def _check(self, measured: str, result: Result, reason: str) -> Check:
        return Check(
            check_id=self.check_id, title=self.title, expected=self.expected, measured=measured, result=result, reason=reason
        )


SCHEDULE = Asked(
    check_id="transfer.schedule",
    title="A schedule is read whole",
    expected="a HeatSchedule of this contract, valid now, without a gap",
)
REPEAT = Asked(
    check_id="transfer.repeat",
    title="The schedule is read again",
    expected="the same sequence with the same content, or a higher sequence",
)
BEATS = Asked(
    check_id="heartbeat.counter",
    title="The heartbeat is watched",
    expected="the counter rises by one at each beat, none is late",
)
NAMED = Asked(
    check_id="heartbeat.sequence",
    title="The heartbeat names the schedule",
    expected="the sequence that was read, or a higher one",
)
CLOCKS = Asked(check_id="heartbeat.clocks", title="Both clocks are in step", expected=f"they differ by at most {CLOCKS_S:g} s")
LETTERS = Asked(
    check_id="integration.letters",
    title="What the plant says is accepted",
    expected="a receipt for each kind of letter that this protocol carries",
)
NONSENSE = Asked(
    check_id="integration.nonsense",
    title="What cannot be is turned away",
    expected="no receipt for an answer to a schedule that was never sent, for a time in the future and for an absurd level",
)
OVERRIDE = Asked(
    check_id="alarms.override",
    title="A person at the plant takes over",
    expected="mode manual, boiler signal on, critical alarm; it stays until our operator clears it",
)
OPERATOR = Asked(
    check_id="alarms.operator", title="The operator is stopped, the link left", expected="boiler signal on, critical alarm"
)
STOPPED = Asked(check_id="failover.stopped", title="The link is stopped", expected="the watchdog starts the boiler")
BACK = Asked(
    check_id="failover.back",
    title="The link is started again",
    expected="the counter moves, and no sequence is lower than before",
)
METER = Asked(
    check_id="metering.accuracy",
    title="Our heat meter against a reference",
    expected="both differ by no more than our meter's class and the reference's uncertainty allow",
)
# Of each part, in the order in which it is made.
PARTS: Mapping[str, tuple[Asked, ...]] = {
    "transfer": (SCHEDULE, REPEAT),
    "heartbeat": (BEATS, NAMED, CLOCKS),
    "integration": (LETTERS, NONSENSE),
    "alarms": (OVERRIDE, OPERATOR),
    "failover": (STOPPED, BACK),
    "metering": (METER,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at the counter, `at_s` on a clock of seconds; None: nothing could be read."""

    at_s: float
    counter: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterPair:
    """Two readings of two meters over the same time, kWh, and the mean temperatures."""

    ours_before_kwh: float
    ours_after_kwh: float
    reference_before_kwh: float
    reference_after_kwh: float
    supply_c: float
    return_c: float
    meter_class: int = 2
    reference_error_fraction: float = 0.01


def beats_check(looks: Sequence[Look], beat_s: float, look_s: float) -> Check:
    """Whether the counter moved as it should over the looks."""
    moves = [after for before, after in pairwise(looks) if after.counter is not None and after.counter != before.counter]
    values = [look.counter for look in looks if look.counter is not None]
    if len(moves) < 2 or not values:
        return BEATS.done(f"{len(moves)} beats in {_span_s(looks):.0f} s", "the counter does not move, or cannot be read")
    gaps_s = [after.at_s - before.at_s for before, after in pairwise(moves)]
    jumps = [(after.counter or 0) - (before.counter or 0) for before, after in pairwise(moves)]
    measured = f"{len(moves)} beats in {_span_s(looks):.0f} s, the longest pause {max(gaps_s):.1f} s"
    lost = sum(look.counter is None for look in looks)
    wrong = []
    if max(gaps_s) > LATE_FRACTION * beat_s + look_s:
        wrong.append(f"a beat came {max(gaps_s):.1f} s after the one before")
    if any(jump != 1 and jump > 0 for jump in jumps):
        wrong.append(f"the counter jumped by {max(jumps)}")
    if any(jump < 0 for jump in jumps):
        wrong.append("the counter fell")
    if lost:
        wrong.append(f"{lost} times nothing could be read")
    return BEATS.done(measured, "; ".join(wrong))


def clocks_check(theirs_utc: datetime, ours_utc: datetime, beat_s: float) -> Check:
    """Whether the instant of a heartbeat is now; one that was read may be as old as a beat."""
    ahead_s = (theirs_utc - ours_utc).total_seconds()
    wrong = "" if -CLOCKS_S - beat_s <= ahead_s <= CLOCKS_S else "set both by the same time server"
    return CLOCKS.done(f"the heartbeat is from {abs(ahead_s):.1f} s {'ahead' if ahead_s > 0 else 'ago'}", wrong)


def stopped_check(last_moved_s: float, noticed_s: float | None, watchdog_s: float, look_s: float, within_s: float) -> Check:
    """Whether the plant noticed that the link was gone; all in s on one clock, None: it did not."""
    if noticed_s is None:
        return STOPPED.done("the counter goes on", "the link was not stopped, or something answers in its place")
    took_s = noticed_s - last_moved_s
    measured = f"boiler wanted {took_s:.1f} s after the last beat (watchdog {watchdog_s:g} s)"
    return STOPPED.done(measured, "" if took_s <= max(within_s, watchdog_s + look_s) else f"later than {within_s:g} s")


def meter_check(pair: MeterPair) -> Check:
    """Our meter's error against the reference, and what EN 1434 allows."""
    ours_kwh = pair.ours_after_kwh - pair.ours_before_kwh
    reference_kwh = pair.reference_after_kwh - pair.reference_before_kwh
    measured = f"ours {ours_kwh:.1f} kWh, reference {reference_kwh:.1f} kWh"
    if reference_kwh <= 0.0 or ours_kwh < 0.0:
        return METER.done(measured, "a register did not rise: read both again after more heat")
    if pair.supply_c <= pair.return_c:
        return METER.done(measured, "the supply is not warmer than the return")
    allowed = permissible_error_fraction(pair.meter_class, pair.supply_c - pair.return_c) + pair.reference_error_fraction
    error = ours_kwh / reference_kwh - 1.0
    measured += f": {100 * error:+.2f} %, allowed {100 * allowed:.2f} % (class {pair.meter_class})"
    return METER.done(measured, "" if abs(error) <= allowed else "outside what both meters may err")


def _span_s(looks: Sequence[Look]) -> float:
    return looks[-1].at_s - looks[0].at_s if looks else 0.0


def report_of(checks: Sequence[Check], about: Mapping[str, object]) -> dict[str, object]:
    """The whole report, not yet signed; accepted: nothing failed and nothing was left out."""
    counts = {result.value: sum(one.result is result for one in checks) for result in Result}
    return {
        "reportVersion": REPORT_VERSION,
        "about": dict(about),
        "checks": [one.to_json() for one in checks],
        "counts": counts,
        "accepted": counts[Result.PASSED.value] == len(checks) and bool(checks),
    }
