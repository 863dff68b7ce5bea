"""Looks at every GPU once a second, each on a thread of its own, and gives the energy between two looks to the intervals.

A GPU that hangs holds up nobody but its own thread; one that is lost is tried again now and then; when the driver goes, all
is given back and begun anew. Reading takes no capability.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.gpu.intervals import Intervals
from scheduler.adapters.gpu.nvml import Lost, NoDriver, WrongDriver
from scheduler.core.accounting.gpu_energy import GpuEnergy, Piece, after_look
from scheduler.domain.gpu import GpuReading

NO_GPU = "GPUs that are on the bus and not kept from this container; what it sees is in NVIDIA_VISIBLE_DEVICES"


class Gpu(Protocol):
    """One GPU."""

    @property
    def uuid(self) -> str:
        """Its name for good."""
        ...

    def read(self) -> GpuReading:
        """Everything; raises Lost or NoDriver."""
        ...

    def glance(self, last: GpuReading) -> GpuReading:
        """What changes from second to second."""
        ...


class Gpus(Protocol):
    """The GPUs of a machine."""

    def start(self) -> int:
        """Find them; raises NoDriver."""
        ...

    def open(self, index: int) -> Gpu:
        """One of them; raises Lost or NoDriver."""
        ...

    def alive(self) -> bool:
        """Whether the driver answers at all: else it is not one GPU that is in trouble."""
        ...

    def close(self) -> None:
        """Give them back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often is looked.

    every_s: between two looks; whole_every: so many looks apart everything is read. lost_s: before a lost GPU, or a driver that
    is gone, is tried again.
    """

    every_s: float = 1.0
    whole_every: int = 10
    lost_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One GPU as it was last seen.

    energy, capped_s: since we began, over resets. lag_s: how late the look was; missed: looks that were left out, for being too
    late.
    """

    reading: GpuReading
    at_s: float
    energy: GpuEnergy
    capped_s: float = 0.0
    lag_s: float = 0.0
    missed: int = 0


@dataclass(slots=True, eq=False)
class _Book:
    """What all threads write into."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    seen: dict[str, Seen] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)


class Sampler:
    """Reads until stopped; any thread may ask what was seen."""

    def __init__(
        self,
        gpus: Gpus,
        clock: MonotonicClock,
        rhythm: Rhythm | None = None,
        *,
        tell: Callable[[str], None],
        intervals: Intervals | None = None,
    ) -> None:
        """Read `gpus`; `tell` is given a line when something changes for the worse or the better."""
        self._gpus, self._clock, self._rhythm, self._tell = gpus, clock, rhythm or Rhythm(), tell
        self._book = _Book()
        self.intervals = intervals or Intervals(clock)
        self.trouble = "not started"
        self.expected = ""
        self.count = 0

    # Asking.

    def seen(self) -> tuple[Seen, ...]:
        """Every GPU that was seen, in order of their indices."""
        with self._book.lock:
            return tuple(sorted(self._book.seen.values(), key=lambda one: one.reading.index))

    def lost(self) -> Mapping[int, str]:
        """By index why a GPU does not answer."""
        with self._book.lock:
            return dict(self._book.lost)

    # Reading.

    def run(self, stopping: threading.Event) -> None:
        """Read until stopped.

        Raises:
            WrongDriver: library and driver differ, which no new try in this process can mend.
        """
        while not stopping.is_set():
            try:
                self.count = self._gpus.start()
            except WrongDriver:
                raise
            except NoDriver as error:
                self._troubled(str(error), error.expected)
                stopping.wait(self._rhythm.lost_s)
                continue
            if self.count:
                self._troubled("", "")
                self._watch(stopping)
            else:
                self._troubled("the driver shows no GPU", NO_GPU)
                stopping.wait(self._rhythm.lost_s)
            self._gpus.close()

    def _watch(self, stopping: threading.Event) -> None:
        """A thread per GPU until we are stopped, or the driver is gone for one of them."""
        over = threading.Event()
        threads = [
            threading.Thread(target=self._follow, args=(index, stopping, over), name=f"gpu-{index}", daemon=True)
            for index in range(self.count)
        ]
        for thread in threads:
            thread.start()
        while not stopping.is_set() and not over.is_set():
            stopping.wait(self._rhythm.every_s)
        over.set()
        # One that hangs in its driver is left behind; it ends by itself when the call comes back.
        until_s = self._clock.monotonic_s() + 2.0 * self._rhythm.every_s
        for thread in threads:
            thread.join(max(0.0, until_s - self._clock.monotonic_s()))

    def _follow(self, index: int, stopping: threading.Event, over: threading.Event) -> None:
        """Look at one GPU again and again."""
        while not stopping.is_set() and not over.is_set():
            try:
                self._look_on(self._gpus.open(index), stopping, over)
            except (Lost, NoDriver) as error:
                # What one that was left behind meets at last says nothing of the driver that there is now.
                if over.is_set():
                    return
                # One GPU may answer as if the driver had gone, and the others shall not suffer from it.
                if isinstance(error, NoDriver) and not self._gpus.alive():
                    self._troubled(str(error), error.expected)
                    over.set()
                    return
                self._is_lost(index, str(error))
                over.wait(self._rhythm.lost_s)

    def _look_on(self, gpu: Gpu, stopping: threading.Event, over: threading.Event) -> None:
        """Look until it is lost, or we are to end."""
        rhythm, looks, last = self._rhythm, 0, None
        beat_s = self._clock.monotonic_s()
        while not stopping.is_set() and not over.is_set():
            # On the beat of its own start, not a pause after each look; what was missed is not made up for.
            lag_s = max(0.0, self._clock.monotonic_s() - beat_s)
            missed = int(lag_s / rhythm.every_s)
            beat_s += lag_s if missed else 0.0
            last = gpu.read() if last is None or looks % rhythm.whole_every == 0 else gpu.glance(last)
            looks += 1
            if over.is_set():
                return  # This was read while another thread may have begun to.
            self._note(last, lag_s, missed)
            beat_s += rhythm.every_s
            over.wait(max(0.0, beat_s - self._clock.monotonic_s()))

    # Noting.

    def _note(self, reading: GpuReading, lag_s: float, missed: int) -> None:
        """Keep a look, and the energy since the last one."""
        book, at_s = self._book, self._clock.monotonic_s()
        with book.lock:
            if book.lost.pop(reading.index, None) is not None:
                self._tell(f"GPU {reading.index} answers again")
            before = book.seen.get(reading.uuid)
            energy, joules = after_look(
                None if before is None else before.energy, at_s, reading.energy_j, reading.draw_w, reading.limits.most_w
            )
            capped_s = 0.0 if before is None else before.capped_s + _rise(before.reading.capped_s, reading.capped_s)
            missed += 0 if before is None else before.missed
            book.seen[reading.uuid] = Seen(
                reading=reading, at_s=at_s, energy=energy, capped_s=capped_s, lag_s=lag_s, missed=missed
            )
        if before is not None and joules is not None and at_s > before.at_s:
            self.intervals.add(Piece(uuid=reading.uuid, start_s=before.at_s, end_s=at_s, joules=joules))

    def _is_lost(self, index: int, why: str) -> None:
        """A GPU does not answer: nothing of it is told any more."""
        with self._book.lock:
            if index not in self._book.lost:
                self._tell(f"GPU {index} does not answer: {why}")
            self._book.lost[index] = why
            # Its energy so far stays ours; its last watts do not.
            for uuid, seen in self._book.seen.items():
                if seen.reading.index == index:
                    gone = replace(seen.reading, draw_w=None, energy_j=None, reasons=None, utilization_fraction=None)
                    self._book.seen[uuid] = replace(seen, reading=gone)

    def _troubled(self, why: str, expected: str) -> None:
        """Say what is wrong with the whole machine when that changes."""
        if why != self.trouble:
            self._tell(f"{why}" + (f" (expected {expected})" if expected else "") if why else f"{self.count} GPUs")
        self.trouble, self.expected = why, expected


def _rise(before: float | None, after: float | None) -> float:
    """How much a counter rose; one that fell back began anew."""
    if before is None or after is None:
        return 0.0
    return after - before if after >= before else after
