"""The plant's watch over our counter. It counts seconds of its own and never reads a clock, ours or its own."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchdog:
    """timeout_s: 30 to 60 s are usual. counter: last seen, None: none yet. moved_s: when it last changed."""

    timeout_s: float
    counter: int | None = None
    moved_s: float | None = None

    def seen(self, counter: int | None, since_s: float) -> Watchdog:
        """After one look; None: nothing could be read. Any change counts: after the largest counter comes 0."""
        if counter is None or counter == self.counter:
            return self
        return replace(self, counter=counter, moved_s=since_s)

    def age_s(self, since_s: float) -> float | None:
        """Time since the counter moved; None: never."""
        return None if self.moved_s is None else since_s - self.moved_s

    def alive(self, since_s: float) -> bool:
        """Whether the other side may be believed to live."""
        age_s = self.age_s(since_s)
        return age_s is not None and age_s <= self.timeout_s
