"""The ports of `run_cycle` over a virtual world: the same function as in a real cluster, with nothing real behind it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import TypeVar

from scheduler.domain.action import Action, Applied, HoldJob, Outcome, ReleaseCap, SetCap, StartJob, StopJob, Superseded
from scheduler.domain.decision import PlantSetpoint
from scheduler.domain.plan import Offer
from scheduler.domain.snapshot import Commitment, Snapshot
from scheduler.simulate.virtual_cluster import Command
from scheduler.simulate.world import World

T = TypeVar("T")


def drive(work: Coroutine[object, None, T]) -> T:
    """Run a coroutine that never has to wait, since everything behind its ports is in memory; no event loop is needed.

    Raises:
        RuntimeError: when it does wait after all.
    """
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a virtual port waited for something")


class WorldObserver:
    """Observer over a world."""

    def __init__(self, world: World) -> None:
        """Watch `world`."""
        self.world = world

    async def snapshot(self, now_utc: datetime) -> Snapshot:
        """What the information model lets through at the world's present instant.

        Raises:
            ValueError: when asked for another instant than the world's.
        """
        if now_utc != self.world.now_utc:
            raise ValueError(f"the world stands at {self.world.now_utc}, not at {now_utc}")
        return self.world.snapshot()


class WorldActuator:
    """Actuator over a world: every action becomes a timed command; those of the cycle before that are not due are void."""

    def __init__(self, world: World) -> None:
        """Act on `world`."""
        self.world = world

    async def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        """Accept each action for its time; superseded when its job is not there (any more)."""
        self.world.cluster.new_epoch()
        return tuple(self._one(action) for action in actions)

    def _one(self, action: Action) -> Outcome:
        """One action."""
        cluster, clock = self.world.cluster, self.world.clock
        job = cluster.jobs.get(action.job_id)
        if job is None or job.end_s is not None:
            return Superseded(action=action)
        at_s = cluster.now_s if isinstance(action, HoldJob) else clock.seconds(action.at_utc)
        cluster.order(at_s, command_of(action, clock.seconds))
        return Applied(action=action)


def command_of(action: Action, seconds: Callable[[datetime], float]) -> Command:
    """An action in the words of the virtual cluster."""
    match action:
        case StartJob():
            return Command(verb="start", job_id=action.job_id, pool_id=action.pool_id, cap_w=action.cap_w)
        case StopJob():
            return Command(verb="stop", job_id=action.job_id, until_s=seconds(action.resume_by_utc))
        case SetCap():
            return Command(verb="cap", job_id=action.job_id, cap_w=action.cap_w)
        case ReleaseCap():
            return Command(verb="cap", job_id=action.job_id, cap_w=None)
        case HoldJob():
            return Command(verb="hold", job_id=action.job_id, until_s=seconds(action.until_utc))


class MemoryPublisher:
    """Keeps the last offers and setpoints; the receipts count messages."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.offers: tuple[Offer, ...] = ()
        self.setpoints: dict[datetime, dict[str, PlantSetpoint]] = {}
        self.sent = 0

    async def publish(
        self, offers: Sequence[Offer], setpoints: Sequence[PlantSetpoint], promises: Sequence[Commitment] = ()
    ) -> tuple[str, ...]:
        """Replace what was said before; the simulated contract keeps promises of its own."""
        del promises
        self.offers = tuple(offers)
        self.setpoints = {}
        for one in setpoints:
            self.setpoints.setdefault(one.at_utc, {})[one.plug_id] = one
        self.sent += 1
        return (f"virtual-{self.sent}",)
