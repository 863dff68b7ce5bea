"""One cycle: observe -> forecast -> plan -> act -> publish -> account. Simulator and operator run this very function."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.domain.action import HoldJob, SetCap, StartJob, StopJob
from scheduler.domain.decision import CycleRecord, Decision
from scheduler.domain.ledger import CycleEntry
from scheduler.domain.plan import Plan
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.ports import Actuator, Clock, Decider, HeatPublisher, Ledger, Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything that a cycle needs from outside."""

    clock: Clock
    observer: Observer
    decider: Decider
    actuator: Actuator
    publisher: HeatPublisher
    ledger: Ledger


async def run_cycle(ports: Ports, site: Site, settings: Settings, last: Plan | None = None) -> CycleRecord:
    """Run one cycle with the season in force; `last` is the plan of the one before.

    The metered slots themselves are booked by whoever meters them.
    """
    snapshot = await ports.observer.snapshot(ports.clock.now_utc())
    in_force = settings.in_force(snapshot.observed_utc, site.time_zone)
    decision = await ports.decider.decide(site, snapshot, in_force, last)
    outcomes = await ports.actuator.apply(decision.actions)
    receipts = await ports.publisher.publish(decision.offers, decision.setpoints, decision.commitments)
    entry = cycle_entry(snapshot, decision)
    await ports.ledger.append_cycle(entry)
    return CycleRecord(snapshot=snapshot, decision=decision, outcomes=outcomes, receipts=receipts, entry=entry)


def cycle_entry(snapshot: Snapshot, decision: Decision) -> CycleEntry:
    """What the ledger keeps of a cycle; its id is its instant, so that a repeat after a crash changes nothing."""
    report = decision.plan.report
    counts = {
        kind: sum(isinstance(action, kind) for action in decision.actions) for kind in (StartJob, HoldJob, StopJob, SetCap)
    }
    return CycleEntry(
        cycle_id=f"{snapshot.observed_utc:%Y%m%dT%H%M%SZ}-{snapshot.sequence}",
        at_utc=decision.at_utc,
        plan_id=decision.plan.plan_id,
        input_digest=decision.plan.input_digest,
        status=decision.plan.status.value,
        objective_eur=report.objective_eur,
        bound_eur=report.bound_eur,
        rolling_gap=report.rolling_gap,
        solve_s=sum(report.stage_s.values()),
        started=counts[StartJob],
        held=counts[HoldJob],
        stopped=counts[StopJob],
        capped=counts[SetCap],
        degraded_reason=decision.plan.degraded_reason,
    )
