"""Who attends the GPUs: a thread for each, so that one that hangs or is lost holds up no other, and one for their driver."""

from __future__ import annotations

import threading
from collections.abc import Callable

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.gpu.nvml import Lost, NoDriver, WrongDriver
from scheduler.adapters.gpu.setting import SettableGpu, SettableGpus
from scheduler.entrypoints.setter.seat import Seat, Teller

# Before a GPU that is lost, or a driver that is gone, is tried again.
LOST_S = 1.0
# Before the driver is begun anew for a GPU that owes a limit and is not found.
MISSING_S, LONGEST_MISSING_S = 5.0, 600.0
# A thread that hangs is waited for so long, then left behind.
PATIENCE_S = 0.3
# How long the reason is told before a new process loads the library anew.
WRONG_S = 5.0
WATCH_S = 0.25


class Seats:
    """The seats by uuid; any thread may ask."""

    def __init__(self, made: Callable[[str], Seat]) -> None:
        """`made` makes the seat of a GPU of which the journal says nothing."""
        self._made = made
        self._lock = threading.Lock()
        self._by_uuid: dict[str, Seat] = {}

    def add(self, seat: Seat) -> None:
        """A seat that the journal knows."""
        with self._lock:
            self._by_uuid[seat.uuid] = seat

    def of(self, uuid: str) -> Seat:
        """That of one GPU, made when it is first asked for."""
        with self._lock:
            if uuid not in self._by_uuid:
                self._by_uuid[uuid] = self._made(uuid)
            return self._by_uuid[uuid]

    def all(self) -> tuple[Seat, ...]:
        """All, in the order in which they were found."""
        with self._lock:
            return tuple(self._by_uuid.values())


class Crew:
    """Speaks to the driver until stopped."""

    def __init__(self, gpus: SettableGpus, seats: Seats, clock: MonotonicClock, tell: Teller) -> None:
        """Attend the seats of whatever GPUs there are."""
        self._gpus, self._seats, self._clock, self._tell = gpus, seats, clock, tell
        self._attended: set[str] = set()
        self._lost: dict[str, str] = {}
        self._trying: set[int] = set()
        self._fine_s, self._missing_s = clock.monotonic_s(), MISSING_S
        self.trouble = "the driver has not answered yet"
        self.wrong = threading.Event()

    def attends(self, uuid: str) -> bool:
        """Whether a thread speaks to this GPU."""
        return uuid in self._attended

    def why_not(self, uuid: str) -> str:
        """Why none does."""
        return self.trouble or self._lost.get(uuid, "the driver does not name it")

    def run(self, stopping: threading.Event) -> None:
        """Attend all GPUs; ends early, with `wrong`, when only a new process can speak to the driver."""
        while not stopping.is_set():
            try:
                count = self._gpus.start()
            except NoDriver as error:
                self._troubled(f"{error}" + (f" (expected {error.expected})" if error.expected else ""))
                if isinstance(error, WrongDriver):
                    stopping.wait(WRONG_S)
                    self.wrong.set()
                    return
                stopping.wait(LOST_S)
                continue
            self._troubled("" if count else "the driver knows no GPU")
            self._watch(count, stopping)
            self._gpus.close()

    def _watch(self, count: int, stopping: threading.Event) -> None:
        """A thread for each GPU until we are stopped, or the driver is gone."""
        over, self._fine_s = threading.Event(), self._clock.monotonic_s()
        threads = [threading.Thread(target=self._follow, args=(index, over), daemon=True) for index in range(count)]
        for thread in threads:
            thread.start()
        while not stopping.is_set() and not over.is_set() and not self._given_up():
            over.wait(WATCH_S)
        over.set()
        for seat in self._seats.all():
            seat.wake.set()
        until_s = self._clock.monotonic_s() + PATIENCE_S
        for thread in threads:
            # One that hangs in its driver is left behind; it ends when its call comes back.
            thread.join(max(until_s - self._clock.monotonic_s(), 0.0))

    def _given_up(self) -> bool:
        """Whether a GPU that owes a limit, or every GPU, was not attended for long: the driver may know more if begun anew.

        Not while one hangs: to end the driver's library might wait for that call, and all others with it.
        """
        now_s = self._clock.monotonic_s()
        missing = not self._attended or any(seat.owes and seat.uuid not in self._attended for seat in self._seats.all())
        if not missing:
            self._fine_s, self._missing_s = now_s, MISSING_S
        elif now_s - self._fine_s > self._missing_s and not self._trying:
            # Each time in vain it is tried later, since the other GPUs are left alone meanwhile.
            self._fine_s, self._missing_s = now_s, min(2.0 * self._missing_s, LONGEST_MISSING_S)
            return True
        return False

    def _follow(self, index: int, over: threading.Event) -> None:
        """Attend one GPU again and again."""
        uuid = ""
        while not over.is_set():
            try:
                self._trying.add(index)
                gpu = self._gpus.open(index)
                uuid = gpu.uuid
                self._attend(index, self._seats.of(uuid), gpu, over)
            except Lost as error:
                self._lost[uuid] = str(error)
            except NoDriver as error:
                self._lost[uuid] = str(error)
                # One GPU may answer so alone, and the others shall not suffer from it.
                if not self._gpus.alive():
                    over.set()
            self._trying.discard(index)
            over.wait(LOST_S)

    def _attend(self, index: int, seat: Seat, gpu: SettableGpu, over: threading.Event) -> None:
        """Attend a GPU as long as it can be read."""
        try:
            while not over.is_set() and seat.attend(gpu):
                self._attended.add(gpu.uuid)
                self._trying.discard(index)
                seat.wake.wait(seat.rest_s())
                seat.wake.clear()
        finally:
            self._attended.discard(gpu.uuid)

    def _troubled(self, why: str) -> None:
        """Tell what is wrong with the whole machine when that changes."""
        if why != self.trouble:
            self._tell(why or "the driver answers")
        self.trouble = why
