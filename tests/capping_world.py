"""A world in miniature for the setter of one GPU: a GPU that fails and lies, a disk that fills, a shell that may be killed.

`drive(events, world)` lets them happen and raises `Breach` when something comes about that must not. What must not is judged
here by what truly happened, of which the setter sees only its looks. Each world has a shell of its own: `capping_shell.py` has
one around the decisions alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from scheduler.core.capping.held import Facts, Grip, Held, JournalEntry, Ordered, Write, found, fresh, same_limit, torn
from scheduler.domain.capping import CapRules, Condition, FailMode, GpuStanding, Restored, Want

UUID = "GPU-0"
POD = "pod-a"
RULES = CapRules(dry_run=False)
Event = tuple[str, Any]


class Breach(AssertionError):
    """Something came about that must not."""


class Killed(Exception):
    """The process ends here, between two acts."""


class DiskFull(Exception):
    """The journal cannot be written."""


class GpuFails(Exception):
    """NVML says no."""


@dataclass
class Gpu:
    """A GPU, and whether its limit is ours.

    writes: how they go: ok; error, and nothing is done; late, an error though it was done; ignored; askew, other than asked.
    """

    limit_w: float = 700.0
    default_w: float = 700.0
    least_w: float = 200.0
    most_w: float = 700.0
    ours: bool = False
    lost: bool = False
    blind: bool = False
    mig: bool = False
    may_set: bool = True
    epoch: int = 0
    writes: str = "ok"

    def look(self) -> Facts | str:
        if self.lost:
            return "GPU is lost"
        return Facts(
            requested_w=self.limit_w,
            enforced_w=self.limit_w,
            default_w=self.default_w,
            least_w=self.least_w,
            most_w=self.most_w,
            mig=self.mig,
            may_set=self.may_set,
            driver_epoch=self.epoch,
        )

    def obeys(self, limit_w: float) -> bool:
        """Whether a write of this limit would be done now."""
        within = self.least_w <= limit_w <= self.most_w
        return within and not self.lost and self.may_set and self.writes in ("ok", "late")

    def set(self, limit_w: float, *, ours: bool) -> None:
        if self.lost or not self.may_set or self.writes == "error" or not self.least_w <= limit_w <= self.most_w:
            raise GpuFails("no")
        if self.writes == "ignored":
            return
        askew = self.writes == "askew" and ours
        self.limit_w, self.ours = (limit_w - 20.0 if askew and limit_w - 20.0 >= self.least_w else limit_w), ours
        if self.writes == "late":
            raise GpuFails("late")


@dataclass
class Disk:
    """One journal file. mode: ok, full, or unsure: what fails was done all the same."""

    entry: JournalEntry | None = None
    torn: bool = False
    mode: str = "ok"

    def write(self, entry: JournalEntry | None) -> None:
        if self.mode != "full":
            self.entry, self.torn = entry, False
        if self.mode != "ok" and not (self.mode == "full" and entry is None and self.entry is None and not self.torn):
            raise DiskFull("no space left")


@dataclass
class Truth:
    """What really happened: what may be given back, when we last changed something, who was overruled when."""

    found_w: float | None = None
    changed_s: float | None = None
    overruled_s: list[float] = field(default_factory=list)
    reloaded: bool = False
    cap_pod: str = ""
    writes: list[tuple[float, float, Restored | None]] = field(default_factory=list)


class World(ABC):
    """One GPU, its disk, and a setter's shell."""

    def __init__(self, rules: CapRules = RULES, gpu: Gpu | None = None) -> None:
        self.rules = rules
        self.gpu, self.disk, self.truth, self.now_s = gpu or Gpu(), Disk(), Truth(), 1000.0
        self.ordered = Ordered()
        self.start()

    def start(self) -> None:
        """A new process: all that it knows is the disk."""
        self.started_s = self.now_s
        self.ordered = Ordered(heard_s=None)
        self.held = self.known()
        if self.disk.torn:
            self.truth.found_w = self.gpu.default_w
        self.truth.changed_s = self.now_s if self.gpu.ours else None
        # What was fought over before is not known to a new process.
        self.truth.overruled_s.clear()

    def known(self) -> Held:
        """What the disk says of the GPU."""
        if self.disk.torn:
            return torn(UUID, self.now_s)
        return fresh(UUID, self.now_s) if self.disk.entry is None else found(self.disk.entry, self.now_s)

    @abstractmethod
    def turn(self, kill_at: int | None = None) -> None:
        """One look and what follows from it, judged by `judge_rest`.

        Raises:
            Killed: before act number `kill_at`, or at the end when there are fewer.
        """

    @property
    def strayed(self) -> bool:
        """Whether a limit is in force that the GPU made out of ours and that is not written down yet."""
        entry = self.disk.entry
        listed = entry is not None and any(same_limit(one, self.gpu.limit_w) for one in entry.ours_w)
        return self.gpu.ours and not listed and not self.disk.torn

    def written(self, act: Write) -> tuple[float | None, str]:
        """A write, judged; the limit that is read back and what the GPU said."""
        self.judge_write(act)
        before_w, failure = self.gpu.limit_w, ""
        was_ours = self.gpu.ours
        try:
            self.gpu.set(act.limit_w, ours=True)
        except GpuFails as error:
            failure = str(error)
        if self.gpu.limit_w != before_w or not was_ours:
            self.note_change(act, before_w, was_ours)
        return (None if self.gpu.blind else self.gpu.limit_w), failure

    def note_change(self, act: Write, before_w: float, was_ours: bool) -> None:
        """What a write of ours has changed in truth."""
        gpu, truth = self.gpu, self.truth
        if same_limit(gpu.limit_w, before_w):
            gpu.ours = was_ours
            return
        truth.changed_s = self.now_s
        if act.back is not None and same_limit(gpu.limit_w, act.limit_w):
            gpu.ours, truth.found_w = False, None
            return
        if not was_ours:
            # What was there is somebody else's: the least of it is all that may ever be given back.
            if truth.found_w is not None and not truth.reloaded:
                truth.overruled_s.append(self.now_s)
            truth.found_w = before_w if truth.found_w is None else min(truth.found_w, before_w)
        gpu.ours, truth.reloaded = True, False
        truth.cap_pod = self.ordered.want.pod_uid if self.ordered.want else truth.cap_pod

    # What must not be.

    def judge_write(self, act: Write) -> None:
        gpu, disk, truth, want = self.gpu, self.disk, self.truth, self.ordered.want
        truth.writes.append((self.now_s, act.limit_w, act.back))
        others_w = [one for one in (truth.found_w, None if gpu.ours else gpu.limit_w) if one is not None]
        if others_w and act.limit_w > min(others_w) and not disk.torn:
            raise Breach(f"{act.limit_w} is above what was found: {min(others_w)}")
        if act.back is not None:
            if disk.entry is None and not disk.torn:
                raise Breach("gives back what no journal tells of")
            return
        if self.rules.dry_run:
            raise Breach("a cap in a dry run")
        floor_w = max(gpu.least_w, self.rules.least_fraction * gpu.default_w)
        if act.limit_w < floor_w:
            raise Breach(f"{act.limit_w} is below {floor_w}")
        if disk.torn or disk.entry is None or act.limit_w not in disk.entry.ours_w:
            raise Breach(f"{act.limit_w} is not in the journal: {disk.entry}")
        if gpu.ours and not any(same_limit(gpu.limit_w, one) for one in disk.entry.ours_w):
            raise Breach(f"{gpu.limit_w} is in force and not in the journal: {disk.entry}")
        emergency = want is not None and want.emergency and act.limit_w < gpu.limit_w
        if truth.changed_s is not None and self.now_s < truth.changed_s + self.rules.pause_s and not emergency:
            raise Breach(f"changed again after {self.now_s - truth.changed_s} s")
        risen_w = act.limit_w - gpu.limit_w
        if gpu.ours and risen_w > max(1.0, self.rules.step_fraction * gpu.default_w) and act.limit_w > floor_w + 1.0:
            raise Breach(f"rises by {risen_w} at once")
        recent = [at_s for at_s in truth.overruled_s if self.now_s - at_s < self.rules.yield_s]
        overrules = not gpu.ours and truth.found_w is not None and not truth.reloaded
        if overrules and len(recent) >= self.rules.fights:
            raise Breach(f"overrules somebody else for the {len(recent) + 1}th time")

    def judge_journal(self) -> None:
        """Whenever the process may be killed."""
        if not self.gpu.ours and self.disk.entry is None and not self.disk.torn:
            # Whatever is there now is somebody else's, and what was found before is settled.
            self.truth.found_w = None
        if self.gpu.ours and self.disk.entry is None and not self.disk.torn:
            raise Breach(f"{self.gpu.limit_w} W of ours is in force, and no journal tells of it")

    def judge_rest(self, standing: GpuStanding) -> None:
        """After a whole step."""
        self.judge_journal()
        if self.gpu.ours and self.gpu.obeys(self.truth.found_w or 0.0) and not self.may_stay():
            raise Breach(f"{self.gpu.limit_w} W stays: {standing} {self.held}")
        if standing.condition is Condition.FREE and standing.requested_w is not None and self.gpu.ours and not self.strayed:
            raise Breach(f"told to be free: {standing}")

    def may_stay(self) -> bool:
        """Whether a cap in force may still be, told independently of the code."""
        ordered, want, now_s = self.ordered, self.ordered.want, self.now_s
        if ordered.stopping or self.held.torn or self.rules.dry_run or self.gpu.mig or ordered.refused:
            return False
        if ordered.back is Restored.OCCUPANT or (want is not None and want.pod_uid != self.truth.cap_pod):
            return False
        holds = self.rules.fail_mode is FailMode.HOLD
        if want is None:
            if ordered.heard_s is None:
                return holds or now_s - self.started_s <= self.rules.contact_s
            return holds and ordered.back is Restored.EXPIRED
        if holds:
            return True
        return ordered.heard_s is not None and now_s - ordered.heard_s <= self.rules.contact_s and now_s < ordered.until_s


AnyWorld = TypeVar("AnyWorld", bound=World)


def ask(
    world: World, cap_w: float, *, pod: str = POD, lease_s: float = 120.0, emergency: bool = False, generation: int = 1
) -> None:
    """The agent asks for a cap now."""
    want = Want(uuid=UUID, cap_w=cap_w, lease_s=lease_s, pod_uid=pod, emergency=emergency)
    world.ordered = Ordered(
        want=want, until_s=world.now_s + lease_s, heard_s=world.now_s, generation=generation, plan_id="p", stopping=False
    )


def renew(world: World) -> None:
    """The agent says again what it said, without a longer lease."""
    if world.ordered.heard_s is not None:
        world.ordered = replace(world.ordered, heard_s=world.now_s)


def happen(world: World, event: Event) -> None:
    """One event of a drawn story."""
    kind, value = event
    if kind in ("pass", "live"):
        world.now_s += value
        if kind == "live":
            renew(world)
    elif kind in ("look", "kill", "stop"):
        process_event(world, kind, value)
    elif kind in ("ask", "renew", "back", "refuse"):
        agent_event(world, kind, value)
    elif kind in ("foreign", "contest"):
        foreign_write(world, value)
        if kind == "contest":
            # Seen, and a pause later the answer is due.
            world.turn()
            world.now_s += world.rules.pause_s + 1.0
            renew(world)
    elif kind == "disk":
        world.disk.mode = value
    elif kind == "tear":
        world.disk.torn = world.disk.torn or world.disk.entry is not None
    elif kind in ("reload", "reboot"):
        machine_event(world, kind)
    else:
        setattr(world.gpu, kind, value)


def process_event(world: World, kind: str, value: Any) -> None:
    """The setter looks, is killed, or ends in order and is started anew."""
    if kind == "stop":
        world.ordered = replace(world.ordered, stopping=True)
    try:
        # A limit that a GPU made out of ours is known to nobody until it was written down: the one gap, told of in holding.py.
        world.turn(kill_at=value if kind == "kill" and world.gpu.writes != "askew" and not world.strayed else None)
    except Killed:
        world.start()
    if kind == "stop" and not world.strayed:
        world.start()


def agent_event(world: World, kind: str, value: Any) -> None:
    """The agent says something."""
    if kind == "ask":
        cap_w, pod, lease_s, emergency = value
        ask(world, cap_w, pod=pod, lease_s=lease_s, emergency=emergency)
    elif kind == "renew":
        renew(world)
    elif kind == "back":
        world.ordered = Ordered(heard_s=world.now_s, back=value)
    else:
        world.ordered = Ordered(heard_s=world.now_s, refused="duplicate")


def foreign_write(world: World, limit_w: float) -> None:
    """Somebody else sets the limit; what cannot be told from ours, or comes behind a blind write, is not in these stories."""
    gpu, held, disk = world.gpu, world.held, world.disk
    ours_w = [one for entry in (held.entry, disk.entry) if entry is not None for one in entry.ours_w]
    unseen = gpu.blind or gpu.lost or held.grip is Grip.UNSURE or disk.mode == "unsure"
    if not unseen and gpu.least_w <= limit_w <= gpu.most_w and all(abs(limit_w - one) > 2.0 for one in ours_w):
        gpu.limit_w, gpu.ours = limit_w, False


def machine_event(world: World, kind: str) -> None:
    """The driver, or the whole machine, starts anew."""
    gpu, disk, truth = world.gpu, world.disk, world.truth
    truth.reloaded = truth.reloaded or gpu.ours
    gpu.limit_w, gpu.ours, gpu.epoch = gpu.default_w, False, gpu.epoch + 1
    if kind == "reboot":
        gpu.epoch, disk.entry, disk.torn, truth.found_w = 0, None, False, None
        world.start()


def drive(events: Sequence[Event], world: AnyWorld) -> AnyWorld:
    """Let `events` happen, with a look after each.

    Raises:
        Breach: when something came about that must not.
    """
    for event in events:
        happen(world, event)
        if event[0] not in ("look", "kill", "stop"):
            world.turn()
    return world
