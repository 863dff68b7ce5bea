"""The state of a scenario at an instant, for a single plan: who runs, who waits, what the tank holds."""

from __future__ import annotations

from datetime import datetime

from scheduler.domain.errors import Misconfigured
from scheduler.domain.world import Scenario
from scheduler.simulate.faults import Disturbances
from scheduler.simulate.knowledge import Knowledge
from scheduler.simulate.queueing import Discipline, Queue
from scheduler.simulate.rules import ByRule
from scheduler.simulate.virtual_cluster import VirtualCluster
from scheduler.simulate.virtual_job import VirtualJob
from scheduler.simulate.world import Clockwork, World


class UndecidedGate:
    """Lets through what was submitted before an instant; flexible jobs that came later wait for somebody to decide."""

    def __init__(self, since_s: float) -> None:
        """Jobs submitted at `since_s` or later are undecided."""
        self.since_s = since_s

    def submitted(self, cluster: VirtualCluster, job: VirtualJob) -> None:
        """Release an old job."""
        if job.submit_s < self.since_s:
            cluster.release(job)

    def opens(self, cluster: VirtualCluster, job: VirtualJob) -> bool:
        """Never: what is not released when it comes is undecided."""
        return False


def standing(scenario: Scenario, at_utc: datetime, *, undecided_s: float, clockwork: Clockwork | None = None) -> World:
    """The world at `at_utc`: EASY backfill from the scenario's start on, with the flexible jobs of the last while undecided.

    Args:
        scenario: site, series and jobs.
        at_utc: an instant on the grid of slots, inside the series.
        undecided_s: flexible jobs submitted in these last seconds wait.
        clockwork: lengths of slot and cycle.

    Raises:
        Misconfigured: when the instant is before the start or not on a slot.
    """
    pace = clockwork or Clockwork()
    at_s = (at_utc - scenario.start_utc).total_seconds()
    if at_s < 0.0 or at_s % pace.slot_s:
        raise Misconfigured(
            f"{at_utc:%Y-%m-%dT%H:%MZ} is not a slot of the scenario",
            where="--at",
            expected=f"{scenario.start_utc:%Y-%m-%dT%H:%MZ} or whole multiples of {pace.slot_s} s later",
        )
    queue = Queue(UndecidedGate(at_s - undecided_s), Discipline.EASY)
    world = World(scenario, queue, pace, Knowledge(), Disturbances())
    world.run_until(ByRule(), at_s)
    world.cluster.advance(at_s)
    return world
