"""One GPU's seat in the setter: its mailbox, in which the newest order wins, and what is done in turns: look, decide, act."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.gpu.nvml import NoDriver
from scheduler.adapters.gpu.setting import NotSet, SettableGpu
from scheduler.core.capping.held import Facts, Forget, Grip, Held, JournalEntry, Ordered, Record, Step, Write, took
from scheduler.core.capping.holding import decide, lapses_s
from scheduler.core.capping.outcome import after, summed
from scheduler.domain.capping import CapRules, Condition, GpuStanding, SetterCounts
from scheduler.domain.errors import HeatDispatchError

# Between two looks: while a limit is to come back, while a cap is held or wished for, and while there is neither.
URGENT_S, BUSY_S, IDLE_S = 0.25, 0.5, 2.0
# A lapse is looked at so long after it.
TICK_S = 0.001
# A step may call for another look at once, but not for ever.
MOST_STEPS = 4
# A GPU that was not looked at for so long hangs in a call.
HANGS_S = 2.0


Teller = Callable[..., None]


class Ledger(Protocol):
    """The journal, as a seat needs it."""

    def record(self, entry: JournalEntry) -> None:
        """Make it say this; raises HeatDispatchError."""
        ...

    def forget(self, uuid: str) -> None:
        """Make it say nothing of a GPU; raises HeatDispatchError."""
        ...

    def gone(self, uuid: str) -> bool:
        """Whether it certainly says nothing of a GPU."""
        ...


@dataclass(slots=True)
class Result:
    """How far the acts of a step came."""

    done: int = 0
    failure: str = ""
    read_back_w: float | None = None


class Story:
    """Tells what becomes of one GPU: each write, and otherwise only what is new."""

    def __init__(self, uuid: str, tell: Teller) -> None:
        """Give lines to `tell`."""
        self._uuid, self._tell = uuid, tell
        self._trouble = ""
        self._stands, self._wrote = (Condition.FREE, ""), False

    def of(self, step: Step, result: Result, kept: Held, plan_id: str) -> None:
        """One step, as far as it came, and what was kept of it."""
        for act in step.acts[: result.done]:
            if isinstance(act, Write):
                event = "capped" if act.back is None else f"limit given back: {act.back.value}"
                self._tell(event, gpu=self._uuid, watts=act.limit_w, before=step.before_w, plan=plan_id)
        if result.done < len(step.acts) and kept.trouble != self._trouble:
            act_name = type(step.acts[result.done]).__name__.lower()
            self._tell(f"{act_name} failed", gpu=self._uuid, why=kept.trouble)
        self._trouble = kept.trouble
        stands = (step.standing.condition, step.standing.why)
        # What a write led to need not be told once more.
        follows = self._wrote and not stands[1] and stands[0] in (Condition.FREE, Condition.CAPPED)
        if stands != self._stands and not step.acts and not follows:
            self._tell(stands[0].value, gpu=self._uuid, **({"why": stands[1]} if stands[1] else {}))
        self._stands = stands
        self._wrote = any(isinstance(act, Write) for act in step.acts[: result.done])


class Seat:
    """One GPU. `order` and `standing` are for any thread; `attend` and `miss` for whichever speaks to the GPU."""

    def __init__(self, held: Held, rules: CapRules, journal: Ledger, clock: MonotonicClock, tell: Teller) -> None:
        """Begin with what the journal says; `tell(event, **facts)` is given what changes."""
        self._held, self._rules, self._journal, self._clock = held, rules, journal, clock
        self._story = Story(held.uuid, tell)
        self._ordered = Ordered()
        self._standing = GpuStanding(uuid=held.uuid, condition=Condition.UNAVAILABLE, why="not looked at yet")
        self._busy = threading.Lock()
        self._looked_s = clock.monotonic_s()
        self.wake = threading.Event()
        self.counts = SetterCounts()

    @property
    def uuid(self) -> str:
        """Of its GPU."""
        return self._held.uuid

    # The mailbox.

    def order(self, ordered: Ordered) -> None:
        """The newest order; one that says something new is looked at now, a renewal in its time."""
        before, self._ordered = self._ordered, ordered
        if _gist(before) != _gist(ordered):
            self.wake.set()

    @property
    def ordered(self) -> Ordered:
        """The newest order."""
        return self._ordered

    # Being asked.

    def standing(self) -> GpuStanding:
        """How it stands; a GPU that hangs says nothing new."""
        since_s = self._clock.monotonic_s() - self._looked_s
        if since_s <= IDLE_S + HANGS_S:
            return self._standing
        condition = Condition.RESTORING if self._standing.condition is Condition.RESTORING else Condition.UNAVAILABLE
        return replace(self._standing, condition=condition, why=f"it has not answered for {since_s:.0f} s", lease_s=None)

    @property
    def owes(self) -> bool:
        """Whether a limit of ours is, or may be, in force; a look that is not over may end so."""
        return self._held.entry is not None or self._held.torn or (self._ordered.stopping and self._busy.locked())

    @property
    def given_back(self) -> bool:
        """Whether nothing of ours is in force, and only the journal still says so."""
        return self._held.entry is not None and self._held.grip is Grip.LOOSE

    @property
    def missed(self) -> bool:
        """Whether nobody has looked for long, and nobody hangs in a look."""
        return self._clock.monotonic_s() - self._looked_s > IDLE_S + BUSY_S and not self._busy.locked()

    def rest_s(self) -> float:
        """How long nothing need be looked at; whatever comes, an order that lapses is looked at when it does."""
        if not (self.owes or self._ordered.want is not None or self._ordered.stopping):
            return IDLE_S
        urgent = self._ordered.want is None or self._standing.condition is Condition.RESTORING
        most_s = URGENT_S if urgent else BUSY_S
        lapse_s = lapses_s(self._ordered, self._rules)
        left_s = 0.0 if lapse_s is None else lapse_s + TICK_S - self._clock.monotonic_s()
        return left_s if 0.0 < left_s < most_s else most_s

    # Attending.

    def attend(self, gpu: SettableGpu) -> bool:
        """Look, and do what follows, until nothing more does; False when the GPU could not be read.

        Raises:
            NoDriver: when the driver is gone.
        """
        with self._busy:
            for _ in range(MOST_STEPS):
                seen = gpu.look()
                step = self._decided(seen)
                result = self._carry_out(step, gpu)
                self._note(step, result)
                if isinstance(seen, str):
                    return False
                if not step.acts or result.failure or result.done < len(step.acts):
                    break
            # After the look, not before it: whatever a disk does, limits come back first.
            if self._held.entry is not None and self._held.recorded and self._journal.gone(self.uuid):
                self._held = replace(self._held, recorded=False)
            return True

    def miss(self, why: str) -> None:
        """Nobody can speak to the GPU."""
        if self._busy.acquire(blocking=False):
            try:
                self._note(self._decided(why), Result())
            finally:
                self._busy.release()

    def _decided(self, seen: Facts | str) -> Step:
        self._looked_s = self._clock.monotonic_s()
        return decide(self._held, seen, self._ordered, self._looked_s, self._rules)

    def _carry_out(self, step: Step, gpu: SettableGpu) -> Result:
        """Do the acts in order; the first that fails ends them."""
        result = Result()
        for act in step.acts:
            try:
                if isinstance(act, Write):
                    self._write(act, gpu, result)
                else:
                    self._keep(act)
            except HeatDispatchError as error:
                # The driver's going too is a failure of this act first: what it may have done is kept in mind.
                result.failure = str(error)
            if result.failure or (isinstance(act, Write) and not took(act, result.read_back_w)):
                break
            result.done += 1
        return result

    def _keep(self, act: Record | Forget) -> None:
        """Change the journal."""
        if isinstance(act, Record):
            self._journal.record(act.entry)
        else:
            self._journal.forget(self.uuid)

    def _write(self, act: Write, gpu: SettableGpu, result: Result) -> None:
        """Set a limit, and read it back whatever became of it."""
        try:
            gpu.set_limit(act.limit_w)
        except (NotSet, NoDriver) as error:
            result.failure = str(error)
        seen = gpu.look()
        result.read_back_w = None if isinstance(seen, str) else seen.requested_w

    def _note(self, step: Step, result: Result) -> None:
        """Keep what became of a step."""
        outcome = after(step, result.done, result.failure, result.read_back_w)
        self._held, self._standing = outcome.held, step.standing
        self.counts = summed(self.counts, outcome.counted)
        self._story.of(step, result, outcome.held, self._ordered.plan_id)


def _gist(ordered: Ordered) -> tuple[object, ...]:
    """What of an order is not mere renewal."""
    want = ordered.want
    wished = None if want is None else (want.cap_w, want.pod_uid, want.emergency)
    return (wished, ordered.back, ordered.stopping, ordered.refused, ordered.generation)
