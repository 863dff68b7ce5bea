"""When the loop is due, how old its knowledge is, and what that means: values, so that every edge can be tested.

The shell (operator or simulator) asks `Watch` after every event and does what it says; it owns the clock and the timers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from scheduler.domain.decision import Decision
from scheduler.domain.plan import Plan, PlanStatus
from scheduler.domain.settings import Settings
from scheduler.loop.degrade import good_until

GUARD_S = 30.0
# Beside the solver's budget: looking, ending a solver that hangs, a plan by rule, acting.
SPARE_S = 120.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the loop remembers from cycle to cycle.

    last: the plan in force, whatever its status; good: the last plan made from good input, kept for warm starts and for the
    degraded step "last good". failures: degraded cycles in a row. step / since_utc: the degraded step and when it began.
    """

    last: Plan | None = None
    good: Plan | None = None
    decided_utc: datetime | None = None
    failures: int = 0
    step: PlanStatus = PlanStatus.FRESH
    since_utc: datetime | None = None

    @property
    def warm(self) -> Plan | None:
        """The plan to hand to the next cycle."""
        return self.good if self.good is not None else self.last


def after_cycle(watch: Watch, decision: Decision) -> Watch:
    """Remember a decision; a plan of the step FRESH becomes the good one."""
    status = decision.plan.status
    fresh = status is PlanStatus.FRESH
    changed = status is not watch.step or watch.since_utc is None
    return replace(
        watch,
        last=decision.plan,
        good=decision.plan if fresh else watch.good,
        decided_utc=decision.at_utc,
        failures=0 if fresh else watch.failures + 1,
        step=status,
        since_utc=decision.at_utc if changed else watch.since_utc,
    )


def next_cycle_utc(after_utc: datetime, settings: Settings) -> datetime:
    """First cycle time strictly after an instant: cycles stand on whole multiples of `cycle_s` since midnight UTC."""
    done = (after_utc - EPOCH) // timedelta(seconds=settings.cycle_s)
    return EPOCH + timedelta(seconds=(done + 1) * settings.cycle_s)


def overdue_s(watch: Watch, now_utc: datetime, settings: Settings) -> float:
    """Seconds by which a decision is late; zero when the next one is not due yet or none was ever made."""
    if watch.decided_utc is None:
        return 0.0
    return max(0.0, (now_utc - next_cycle_utc(watch.decided_utc, settings)).total_seconds())


def guard_step(watch: Watch, now_utc: datetime, settings: Settings) -> PlanStatus:
    """What the guard concludes between cycles: the step in force, or a lower one because everything known grew too old.

    A plan in force beyond its age limit without a new decision means that the loop itself is stuck: let go. A decision that was
    due a moment ago is being made: nothing is let go for that.
    """
    if watch.last is None:
        return PlanStatus.LET_GO
    if overdue_s(watch, now_utc, settings) <= settings.budget.guard_s + SPARE_S:
        return watch.step
    if good_until(watch.good, now_utc, settings):
        return PlanStatus.LAST_GOOD
    return PlanStatus.LET_GO
