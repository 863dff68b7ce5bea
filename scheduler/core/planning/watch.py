"""The clock of one solve: seconds by stage, and the emergency brake. Without a clock there is neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

# Rounds of new runs end after this share of the time: the dive costs as much again, and without it there is no plan.
RELAX_SHARE = 0.7

Seconds = Callable[[], float]


class Brake(Protocol):
    """The emergency brake: true once a share of the time is gone."""

    def __call__(self, share: float = 1.0) -> bool:
        """Ask it."""
        ...


def never(share: float = 1.0) -> bool:
    """A brake that does not bite."""
    del share
    return False


def brake(clock_s: Seconds | None, guard_s: float) -> Brake:
    """`out_of_time` for one solve: true once a share of `guard_s` has passed; never, without a clock."""
    if clock_s is None:
        return never
    began_s = clock_s()
    return lambda share=1.0: clock_s() >= began_s + share * guard_s


@dataclass(slots=True)
class Watch:
    """Seconds by stage, and whether the brake bit."""

    clock_s: Seconds | None
    out_of_time: Brake
    stage_s: dict[str, float] = field(default_factory=dict)
    bit: bool = False
    _since: float = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._since = self.clock_s() if self.clock_s is not None else 0.0

    def stage(self, name: str) -> None:
        """Book the time since the last call to a stage."""
        if self.clock_s is not None:
            now = self.clock_s()
            self.stage_s[name] = self.stage_s.get(name, 0.0) + now - self._since
            self._since = now

    def brake(self, share: float = 1.0) -> bool:
        """Ask the brake for a share of the time; what it ends once counts as bitten."""
        ended = self.out_of_time(share)
        self.bit = self.bit or ended
        return ended

    def relaxing(self) -> bool:
        """Ask whether the relaxation must end."""
        return self.brake(RELAX_SHARE)
