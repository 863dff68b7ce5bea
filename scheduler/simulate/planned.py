"""Strategies that plan: the very `run_cycle` of the operator over the virtual ports, and admission between cycles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from scheduler.core.acting.admission import Admission, admit
from scheduler.core.forecast.outlook import outlook
from scheduler.core.planning.problem import build_problem, plan_grid, plan_job
from scheduler.core.planning.work import work_of
from scheduler.domain.action import StartJob
from scheduler.domain.decision import Decision, PlantSetpoint
from scheduler.domain.ledger import CycleEntry
from scheduler.domain.outlook import Outlook
from scheduler.domain.plan import Plan, PlanStatus
from scheduler.domain.problem import PlanJob, PlanProblem
from scheduler.domain.settings import Settings
from scheduler.domain.snapshot import Snapshot
from scheduler.loop.cycle import Ports, run_cycle
from scheduler.loop.deciders import InlineDecider
from scheduler.ports import Decider, Ledger
from scheduler.simulate.memory_ledger import MemoryLedger
from scheduler.simulate.virtual_cluster import Command, VirtualCluster
from scheduler.simulate.virtual_job import VirtualJob
from scheduler.simulate.virtual_ports import MemoryPublisher, WorldActuator, WorldObserver, drive
from scheduler.simulate.world import World

Seconds = Callable[[], float]


@dataclass(slots=True)
class Memory:
    """What a planning strategy carries from cycle to cycle."""

    last: Plan | None = None
    snapshot: Snapshot | None = None
    problem: PlanProblem | None = None
    outlook: Outlook | None = None
    due: set[str] = field(default_factory=set)
    entries: list[CycleEntry] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    admission_s: list[float] = field(default_factory=list)
    refused: int = 0


class Planned:
    """Steering by `run_cycle`; `acts` False carries out the plant's setpoints only (the jobs follow another rule)."""

    def __init__(
        self,
        settings: Settings,
        *,
        acts: bool = True,
        clock_s: Seconds | None = None,
        decider: Decider | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """Begin without a plan; `clock_s` reports times, `decider` decides in this process unless another is given."""
        self.policy, self.settings, self.acts, self.clock_s = settings, settings, acts, clock_s
        self.decider: Decider = decider or InlineDecider(clock_s)
        self.ledger: Ledger = ledger or MemoryLedger()
        self.publisher = MemoryPublisher()
        self.memory = Memory()
        self.decision: Decision | None = None

    def cycle(self, world: World) -> None:
        """Run one cycle of the operator's loop; its season holds until the next one."""
        self.settings = self.policy.in_force(world.now_utc, world.site.time_zone)
        began = self.clock_s() if self.clock_s is not None else 0.0
        ports = Ports(
            clock=world.clock,
            observer=WorldObserver(world),
            decider=self.decider,
            actuator=WorldActuator(world) if self.acts else NoActuator(),
            publisher=self.publisher,
            ledger=self.ledger,
        )
        record = drive(run_cycle(ports, world.site, self.policy, self.memory.last))
        memory = self.memory
        memory.last, memory.snapshot = record.decision.plan, record.snapshot
        self._make_ready(world)
        self.decision = record.decision
        memory.entries.append(record.entry)
        memory.refused += len(record.decision.refused)
        memory.due = {
            action.job_id
            for action, _ in record.decision.refused
            if self.acts and isinstance(action, StartJob) and action.at_utc <= record.snapshot.observed_utc
        }
        if self.clock_s is not None:
            memory.wall_s.append(self.clock_s() - began)

    def _make_ready(self, world: World) -> None:
        """Write the plan's problem once more, so that a new job between two cycles is priced without delay."""
        memory, settings = self.memory, self.settings
        memory.problem = memory.outlook = None
        if self.acts and settings.levers.shifting and memory.snapshot is not None and self.plan() is not None:
            grid = plan_grid(memory.snapshot.observed_utc, settings)
            memory.outlook = outlook(world.site, memory.snapshot, settings, grid)
            memory.problem = build_problem(world.site, memory.snapshot, memory.outlook, settings)

    def setpoints(self, world: World) -> Mapping[str, PlantSetpoint]:
        """Setpoints of the slot that begins now."""
        return self.publisher.setpoints.get(world.now_utc, {})

    def plan(self) -> Plan | None:
        """The present plan, unless everything was let go."""
        last = self.memory.last
        return None if last is None or last.status is PlanStatus.LET_GO else last


class NoActuator:
    """Carries out nothing: the jobs belong to somebody else."""

    async def apply(self, actions: object) -> tuple[()]:
        """Do nothing."""
        return ()


class PlanGate:
    """Lets jobs through as the plan says; a new job between cycles is priced on the last plan's duals and decided at once."""

    def __init__(self, steering: Planned) -> None:
        """Follow a steering; `world` is set once it is built, which takes its gate."""
        self.steering = steering
        self.world: World | None = None

    def opens(self, cluster: VirtualCluster, job: VirtualJob) -> bool:
        """A start that was due at the last cycle and did not fit then goes as soon as it fits; nothing else opens here."""
        return job.job_id in self.steering.memory.due and cluster.fitting_pool(job) is not None

    def submitted(self, cluster: VirtualCluster, job: VirtualJob) -> None:
        """Decide a new job; without shifting, a plan or a problem it is released."""
        steering = self.steering
        began = steering.clock_s() if steering.clock_s is not None else 0.0
        plan = steering.plan()
        if plan is None or not steering.settings.levers.shifting:
            cluster.release(job)
            return
        problem, priced = steering.memory.problem, self._priced(cluster, job)
        if problem is None or priced is None:
            cluster.release(job)
            return
        now_slot = problem.grid.slot_of(cluster.clock.now_utc())
        free = [0.0 if name in cluster.blocked else float(cluster.free(name)) for name in cluster.pools]
        decided = admit(problem, plan.duals, priced, now_slot=now_slot, free_gpus=np.asarray(free))
        self._carry_out(cluster, job, priced, decided)
        if steering.clock_s is not None:
            steering.memory.admission_s.append(steering.clock_s() - began)

    def _priced(self, cluster: VirtualCluster, job: VirtualJob) -> PlanJob | None:
        """The new job as the plan would see it; None when it cannot be planned."""
        memory, settings, world = self.steering.memory, self.steering.settings, self.world
        if memory.outlook is None or memory.problem is None or world is None:
            return None
        state = world.observer.state(job, cluster)
        ahead = memory.outlook
        work = work_of(world.site, state, ahead.durations, ahead.arrival_draw_w, settings)
        return None if work is None else plan_job(world.site, work, memory.problem.grid, settings, 0.0)

    def _carry_out(self, cluster: VirtualCluster, job: VirtualJob, priced: PlanJob, decided: Admission) -> None:
        """Release now, or hold until the hard end; a start inside this cycle is ordered for its slot."""
        problem = self.steering.memory.problem
        assert problem is not None
        point = None if decided.point is None else priced.points[decided.point]
        cap_w = None if point is None or point.level >= 1.0 else point.cap_w
        if decided.start_now:
            cluster.set_cap(job, cap_w)
            cluster.release(job)
            return
        latest_s = (priced.latest_start_slot or 0) * problem.grid.slot_s
        origin_s = cluster.clock.seconds(problem.grid.start_utc)
        cluster.hold(job, max(cluster.now_s, origin_s + latest_s))
        if decided.start_slot is not None:
            at_s = origin_s + decided.start_slot * problem.grid.slot_s
            cluster.order(at_s, Command(verb="start", job_id=job.job_id, cap_w=cap_w))
