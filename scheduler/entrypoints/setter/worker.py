"""The worker: waits until it is in charge, takes orders and keeps leases until it is told to end, and leaves no limit behind.

Whatever it cannot deal with ends it, for the guardian starts another, which finds in the journal what this one held.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.gpu.journal import Journal, JournalFailed, Loaded, Stamp
from scheduler.adapters.gpu.nvml import NoDriver
from scheduler.adapters.gpu.permission import may_set
from scheduler.adapters.gpu.setter_wire import MAX_TEXT
from scheduler.adapters.logs import Teller, configure
from scheduler.core.capping.held import Held, found, fresh, torn
from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.gpu_backends import needs_capability, to_set
from scheduler.entrypoints.setter.crew import Crew, Seats
from scheduler.entrypoints.setter.desk import Desk
from scheduler.entrypoints.setter.pulse import Pulse
from scheduler.entrypoints.setter.seat import Seat
from scheduler.entrypoints.setter.server import SetterServer, Taken
from scheduler.entrypoints.setter.setup import Setup, setup_of
from scheduler.entrypoints.setter.silence import Silence, silent_since_s
from scheduler.entrypoints.setter.turns import Turns

EXIT_DONE, EXIT_LEFT, EXIT_USAGE, EXIT_AGAIN = 0, 1, 2, 3
ENDING = frozenset({signal.SIGTERM, signal.SIGINT})
PR_SET_PDEATHSIG = 1
# For peers; also how long a signal may wait.
TURN_S = 0.1
# Until limits are back when it is to end; a GPU that hangs is left to whoever comes next.
STOP_S = 10.0
# Before a journal that could not be read is read again.
JOURNAL_S = 5.0
# An agent asks every 0.4 s: so long it has to be heard by a worker that begins, and all that begin in one silence of it have to
# give limits back so long after its contact has ended.
AGAIN_S, LATEST_S = 0.6, 0.4
# A standby leaves it for so long to the one that starts beside it to be in charge first, and looks so often whether anybody is.
AFTER_YOU_S, BEHIND_S = 3.0, 0.2
# Nobody is in charge of our journal, and somebody answers at our socket: after so long it is no neighbour that begins.
SHARED_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Descriptors of what the setters of one journal share: its folder, and files for who comes next, who ends, and when the
    agent was heard.
    """

    folder: int
    follower: int
    ending: int
    heard: int


def work(text: str, shared: Shared, guardian: int, pulse: Pulse, *, last: str, stopping: bool) -> int:
    """Be the worker of `guardian`; returns its exit code.

    Args:
        text: how to be set up.
        shared: what it shares with other setters.
        guardian: the process whose end is ours too.
        pulse: what it feels; once we are in charge it must not stand still.
        last: how the worker before this one ended, empty when there was none.
        stopping: only give back what that one left.
    """
    # Looked for, never handled: a handler that takes a lock would wait for ever, where a second signal comes within the first.
    signal.pthread_sigmask(signal.SIG_SETMASK, ENDING)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != guardian:
        return EXIT_DONE
    setup = setup_of(text)
    configure(as_json=setup.log_json)
    tell = Teller("setter")
    if last:
        tell.warning("the worker was started anew", after=last)
    try:
        worker = Worker(setup, shared, lambda: stopping or bool(ENDING & signal.sigpending()), pulse, tell)
        return worker.run(after_s=AFTER_YOU_S if setup.standby and not last else 0.0)
    except Misconfigured as error:
        tell.error(str(error))
        return EXIT_USAGE


class Worker:
    """One setter's life."""

    def __init__(self, setup: Setup, shared: Shared, to_end: Callable[[], bool], pulse: Pulse, tell: Teller) -> None:
        """`to_end` says, again and again, whether this one was told to."""
        self._setup, self._to_end, self._pulse, self._tell = setup, to_end, pulse, tell
        self._turns = Turns(shared.folder, shared.follower, shared.ending)
        self._clock = SystemClock()
        stamp = Stamp.of_this_boot()
        self._journal, self._silence = Journal(Path(setup.journal), stamp), Silence(shared.heard, stamp.boot)
        self._seats = Seats(lambda uuid: self._seat(fresh(uuid, self._clock.monotonic_s())))
        self._gpus = to_set(setup.backend)
        self._crew = Crew(self._gpus, self._seats, self._clock, tell.info)
        self._journal_trouble, self._unread, self._read_s = "", True, 0.0
        allowed = frozenset(setup.allow_uids)
        self._desk = Desk(
            self._seats, setup.gpus, self._clock, dry_run=setup.rules.dry_run, trouble=self._trouble, tell=tell.warning
        )
        self._server = SetterServer(Path(setup.socket), allowed, self._desk, self._clock, tell.warning)
        self._broken = threading.Event()
        self._listens, self._shared_since_s, self._not_before_s = False, math.inf, -math.inf

    def run(self, after_s: float = 0.0) -> int:
        """Wait, serve, end; for so long somebody else may begin to be in charge."""
        self._not_before_s = self._clock.monotonic_s() + after_s
        threading.excepthook = self._thread_broke
        try:
            if not self._take_turn():
                return EXIT_DONE
            self._begin()
            self._serve(until=self._over)
            return self._end() if self._to_end() else EXIT_AGAIN
        finally:
            self._server.close()

    # Until it is in charge.

    def _take_turn(self) -> bool:
        """Wait until no other setter is in charge; False when we are to end before."""
        if not self._setup.standby:
            # Its agent is told that we wait. A standby leaves the socket to the one before it.
            self._listen()
        if not self._in_charge():
            able = not self._setup.standby and self._able()
            if not able:
                # A worker before this one may have announced itself, and the guardian's descriptor still says so.
                self._turns.settle()
            self._tell.info("another setter is in charge; this one waits", follows=able)
            while not self._in_charge():
                if self._to_end():
                    if self._inherits():
                        break
                    return False
                if able:
                    self._turns.announce()
                self._wait()
        self._turns.settle()
        self._pulse.rest()
        return True

    def _wait(self) -> None:
        """Until the next look at who is in charge."""
        self._pulse.beat()
        self._server.turn(BEHIND_S if self._setup.standby else TURN_S)

    def _in_charge(self) -> bool:
        """Be in charge, and listen, if nobody else is; one that waits too and has our socket goes first."""
        if not self._turns.take():
            self._shared_since_s, self._not_before_s = math.inf, -math.inf
            return False
        now_s = self._clock.monotonic_s()
        if now_s >= self._not_before_s:
            if self._listens or self._listen():
                return True
            self._shared_since_s = min(self._shared_since_s, now_s)
        if now_s - self._shared_since_s > SHARED_S:
            raise Misconfigured("taken", where=self._setup.socket, expected="one setter for a socket, and one journal for both")
        self._turns.leave()
        return False

    def _listen(self) -> bool:
        """Have a socket; False when somebody answers at its path, maybe the one that we follow."""
        try:
            self._server.listen()
            self._listens = True
        except Taken as error:
            if self._shared_since_s == math.inf:
                self._tell.info(str(error))
        return self._listens

    def _inherits(self) -> bool:
        """Told to end while we wait: whether it falls to us to see to what the one in charge, which ends too, has left."""
        self._turns.settle()
        self._not_before_s = -math.inf
        while True:
            ends = self._turns.other_ends()
            if self._in_charge():
                return True
            if not ends:
                return False
            self._wait()

    def _able(self) -> bool:
        """Whether we could keep, or give back, what another setter leaves to us."""
        if self._setup.rules.dry_run or (needs_capability(self._setup.backend) and not may_set()):
            return False
        try:
            return self._gpus.start() > 0
        except NoDriver as error:
            self._tell.warning(str(error))
            return False
        finally:
            self._gpus.close()

    def _begin(self) -> None:
        """Read the journal, and let the crew attend the GPUs."""
        loaded = self._read_journal()
        now_s = self._clock.monotonic_s()
        heard_s = self._silence.heard_s(now_s)
        started_s = silent_since_s(now_s, heard_s, self._setup.rules.contact_s, AGAIN_S, LATEST_S)
        if loaded is not None:
            for entry in loaded.entries.values():
                self._seats.add(self._seat(found(entry, started_s)))
            for uuid in loaded.torn:
                self._seats.add(self._seat(torn(uuid, started_s)))
        threading.Thread(target=self._crew.run, args=(self._broken,), name="driver", daemon=True).start()
        self._desk.open()
        self._tell.info("in charge", dry_run=self._setup.rules.dry_run, found=len(self._seats.all()))

    def _read_journal(self) -> Loaded | None:
        """What the journal says; None when it cannot be read, and then no cap is set."""
        self._read_s = self._clock.monotonic_s()
        try:
            loaded = self._journal.load()
        except JournalFailed as error:
            if self._journal_trouble != str(error):
                self._tell.error("no cap can be set", why=error)
            self._journal_trouble = str(error)
            return None
        self._journal_trouble = ""
        # Each is dealt with, here or with its GPU: to be told, and nothing that keeps us from setting limits.
        for trouble in loaded.troubles:
            self._tell.warning("journal", file=trouble)
        self._unread = False
        return loaded

    def _seat(self, held: Held) -> Seat:
        return Seat(held, self._setup.rules, self._journal, self._clock, self._tell.info)

    # In charge.

    def _serve(self, until: Callable[[], bool]) -> None:
        """Answer peers, and look after GPUs that nobody attends."""
        while not until():
            self._pulse.beat()
            self._server.turn(TURN_S)
            if self._desk.heard_s is not None:
                self._silence.hear(self._desk.heard_s)
            for seat in self._seats.all():
                if seat.missed and not self._crew.attends(seat.uuid):
                    seat.miss(self._crew.why_not(seat.uuid))
            if self._unread and self._clock.monotonic_s() - self._read_s > JOURNAL_S and self._read_journal() is not None:
                # Seats know nothing of it yet, and hold nothing, since nothing could be recorded: begin anew with it.
                self._broken.set()

    def _over(self) -> bool:
        return self._to_end() or self._broken.is_set() or self._crew.wrong.is_set()

    def _trouble(self) -> str:
        opted = "" if self._setup.gpus is None or self._setup.gpus else "no GPU is opted in"
        return "; ".join(part for part in (self._crew.trouble, self._journal_trouble, opted) if part)[:MAX_TEXT]

    def _thread_broke(self, args: threading.ExceptHookArgs) -> None:
        """A thread that ends by a fault of ours ends this worker: a GPU would be attended no more."""
        self._tell.error("a thread broke", fault=args.exc_value)
        self._broken.set()

    # The end.

    def _end(self) -> int:
        """Give all limits back, unless somebody follows who will see to them."""
        if self._turns.end() and self._turns.followed():
            self._tell.info("ends; another setter takes over", caps=len(self._owed()))
            return EXIT_DONE
        self._desk.stop()
        until_s = self._clock.monotonic_s() + STOP_S
        self._serve(until=lambda: not self._owed() or self._clock.monotonic_s() >= until_s)
        owed = self._owed()
        if owed:
            named = [seat.uuid for seat in self._seats.all() if seat.given_back]
            left = [uuid for uuid in owed if uuid not in named]
            if named:
                self._tell.error("ends; limits are back, and the journal could not be told", gpus=named)
            if left:
                self._tell.error("ends; limits could not be given back", gpus=left)
            return EXIT_LEFT
        self._tell.info("ends; no limit of ours is left")
        return EXIT_DONE

    def _owed(self) -> list[str]:
        return [seat.uuid for seat in self._seats.all() if seat.owes]
