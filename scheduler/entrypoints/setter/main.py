"""The guardian: forks the worker that sets limits, and another one whenever it dies.

Arguments: folder of the journal, and the settings that the worker understands. The guardian has the worker's code in memory,
which both share, so that a new one is there in a moment, but runs none of it: it has no thread, opens no socket, and the
driver's library is loaded by the worker alone, so that each new worker has it anew.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import traceback
from contextlib import suppress
from time import monotonic

from scheduler.entrypoints.setter.pulse import Pulse
from scheduler.entrypoints.setter.worker import Shared, work

WAITED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
EXIT_FAILED, EXIT_USAGE = 1, 2
# A worker that lived so long died of something new.
LIVED_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5
AT_ONCE = 3
# A worker that stands still for so long is killed; its pulse is felt so often.
STILL_S, FEEL_S = 5.0, 0.5
# While it ends: so many workers are tried until the limits are back.
LAST_TRIES = 5
FOLLOWER, ENDING, HEARD = "next.lock", "end.lock", "agent.heard"


def main() -> int:
    """Guard until SIGTERM; returns the exit code of the last worker."""
    journal, settings = sys.argv[1:3]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITED)
    with suppress(AttributeError):  # A C library without it keeps what loading all this took, 0.7 MB.
        ctypes.CDLL(None).malloc_trim(0)
    # What is there now stays as it is in both: a collector that marked it would make two of each page.
    gc.freeze()
    return Guardian(settings, _shared(journal)).guard()


def _shared(journal: str) -> Shared:
    """Descriptors of what setters of one journal share; -1 for a file that cannot be opened.

    They are opened here, and the worker locks them: so a lock outlives a worker that dies, and is never free in between.
    """
    try:
        folder = os.open(journal, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        sys.stderr.write(f"error: {journal}: {error.strerror} (expected a folder for the journal)\n")
        raise SystemExit(EXIT_USAGE) from error
    follower, ending, heard = (_file(folder, name) for name in (FOLLOWER, ENDING, HEARD))
    return Shared(folder=folder, follower=follower, ending=ending, heard=heard)


def _file(folder: int, name: str) -> int:
    """A small file in the journal's folder; -1 when it cannot be opened."""
    try:
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    except OSError:
        return -1


class Guardian:
    """Keeps one worker alive."""

    def __init__(self, settings: str, shared: Shared) -> None:
        """Give these to each worker."""
        self._settings, self._shared = settings, shared
        self._pulse = Pulse()
        self._stopping = False
        self._last = ""
        self._quick = 0

    def guard(self) -> int:
        """Start workers until one ended as it was asked to."""
        tries = LAST_TRIES
        while True:
            begun_s = monotonic()
            code = self._follow(self._fork())
            if code == EXIT_USAGE or (self._stopping and code in (0, EXIT_FAILED)):
                return code
            tries -= self._stopping
            if tries <= 0:
                return EXIT_FAILED
            self._last = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._quick = 0 if monotonic() - begun_s > LIVED_S else self._quick + 1
            self._pause()

    def _fork(self) -> int:
        """A worker; the parent gets its process id, and the child never returns."""
        guardian = os.getpid()
        self._pulse.rest()
        while True:
            try:
                worker = os.fork()
            except OSError as error:
                sys.stderr.write(f"error: no worker can be started: {error.strerror}\n")
                self._quick += 1
                self._pause()
                continue
            if worker:
                return worker
            self._be_worker(guardian)

    def _be_worker(self, guardian: int) -> None:
        """The child's life."""
        code = EXIT_FAILED + EXIT_USAGE
        try:
            code = work(self._settings, self._shared, guardian, self._pulse, last=self._last, stopping=self._stopping)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _follow(self, worker: int) -> int:
        """Wait for its end, and pass on what it is told; returns its exit code, negative when a signal ended it."""
        if self._stopping:
            os.kill(worker, signal.SIGTERM)
        while True:
            told = signal.sigtimedwait(WAITED, FEEL_S)
            if told is not None and told.si_signo != signal.SIGCHLD:
                self._stopping = True
                os.kill(worker, signal.SIGTERM)
            if self._pulse.age_s() > STILL_S:
                os.kill(worker, signal.SIGKILL)
                self._pulse.rest()
            code = _ended(worker)
            if code is not None:
                return code

    def _pause(self) -> None:
        """At once the first times, then slower: a worker that cannot live shall not take the machine."""
        if self._quick > AT_ONCE and not self._stopping:
            pause_s = min(FIRST_PAUSE_S * 2.0 ** min(self._quick - AT_ONCE, 10), LONGEST_PAUSE_S)
            if signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, pause_s):
                self._stopping = True


def _ended(worker: int) -> int | None:
    """Its exit code if it has ended; whoever else was left to us is buried too."""
    code = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if ended == 0:
            return code
        if ended == worker:
            code = os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
