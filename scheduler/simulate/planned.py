"""Strategies that plan: the very `run_cycle` of the operator over the virtual ports, and admission between cycles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scheduler.core.acting.newcomer import Counter, Newcomer, counter_for
from scheduler.domain.action import StartJob
from scheduler.domain.decision import Decision, PlantSetpoint
from scheduler.domain.ledger import CycleEntry
from scheduler.domain.plan import Plan, PlanStatus
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
    counter: Counter | None = None
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
        memory, snapshot = self.memory, self.memory.snapshot
        memory.counter = None
        if self.acts and snapshot is not None:
            memory.counter = counter_for(world.site, snapshot, self.settings, self.plan())

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
        counter, world = steering.memory.counter, self.world
        if counter is None or world is None:
            cluster.release(job)
            return
        free = {name: 0.0 if name in cluster.blocked else float(cluster.free(name)) for name in cluster.pools}
        decided = counter.decide(world.observer.state(job, cluster), cluster.clock.now_utc(), free)
        if decided is None:
            cluster.release(job)
            return
        self._carry_out(cluster, job, decided)
        if steering.clock_s is not None:
            steering.memory.admission_s.append(steering.clock_s() - began)

    def _carry_out(self, cluster: VirtualCluster, job: VirtualJob, decided: Newcomer) -> None:
        """Release now, or hold until the hard end; a start inside this cycle is ordered for its slot."""
        if decided.decided.start_now:
            cluster.set_cap(job, decided.cap_w)
            cluster.release(job)
            return
        cluster.hold(job, max(cluster.now_s, cluster.clock.seconds(decided.hold_until_utc)))
        if decided.start_utc is not None:
            at_s = cluster.clock.seconds(decided.start_utc)
            cluster.order(at_s, Command(verb="start", job_id=job.job_id, cap_w=decided.cap_w))
