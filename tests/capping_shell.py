"""The least shell of a setter: one GPU of `capping_world`, and what is decided about it carried out act by act, or not."""

from __future__ import annotations

from collections.abc import Callable

from capping_world import RULES, Breach, DiskFull, Gpu, Killed, World

from scheduler.core.capping.held import Facts, Forget, Held, Ordered, Record, Step, took
from scheduler.core.capping.holding import decide
from scheduler.core.capping.outcome import Outcome, after
from scheduler.domain.capping import CapRules

Decide = Callable[[Held, Facts | str, Ordered, float, CapRules], Step]


class DecidedWorld(World):
    """A world whose shell is `decide`, or a decider in its place, and `after`."""

    def __init__(self, rules: CapRules = RULES, decider: Decide = decide, gpu: Gpu | None = None) -> None:
        self.decider = decider
        super().__init__(rules, gpu)

    def turn(self, kill_at: int | None = None) -> None:
        self.step(kill_at)

    def step(self, kill_at: int | None = None) -> Step:
        """One look and what follows from it; killed before act number `kill_at`, if there is one."""
        step = self.decider(self.held, self.gpu.look(), self.ordered, self.now_s, self.rules)
        outcome = self.carried_out(step, kill_at)
        self.held = outcome.held
        if outcome.held.recorded and self.held.entry != self.disk.entry and not self.disk.torn:
            raise Breach(f"takes for written {self.held.entry}, and there is {self.disk.entry}")
        self.judge_rest(step.standing)
        return step

    def carried_out(self, step: Step, kill_at: int | None) -> Outcome:
        read_back_w: float | None = None
        for done, act in enumerate(step.acts):
            if done == kill_at:
                raise Killed
            try:
                if isinstance(act, Record):
                    self.disk.write(act.entry)
                elif isinstance(act, Forget):
                    self.disk.write(None)
                else:
                    read_back_w, failure = self.written(act)
                    if failure or not took(act, read_back_w):
                        return after(step, done, failure, read_back_w)
            except DiskFull as error:
                self.judge_journal()
                return after(step, done, str(error), read_back_w)
            self.judge_journal()
        if kill_at is not None and kill_at >= len(step.acts):
            raise Killed
        return after(step, len(step.acts), "", read_back_w)
