"""A container of a pretended node: a process that is started again when it ends, and what it has said."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

KEPT_LOG_BYTES = 64 * 1024


@dataclass(slots=True, eq=False)
class Container:
    """A process that is started again when it ends, unless it is to stay down."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    starts_s: float | None = None
    stays_down: bool = False
    log: bytearray = field(default_factory=bytearray)
    begun_at: int = 0

    def start(self) -> None:
        """Start it now, after one that has ended."""
        self._hang_up()
        self.process = subprocess.Popen(
            self.command, env=dict(self.environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.begun_at, self.starts_s = len(self.log), None

    @property
    def pid(self) -> int:
        """Its first process; 0 when there is none."""
        return self.process.pid if self.process is not None and self.process.poll() is None else 0

    def children(self) -> list[int]:
        """Processes that it has begun."""
        with suppress(OSError):
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("ascii")
            return [int(word) for word in text.split()]
        return []

    def drain(self) -> None:
        """Take what it has said."""
        if self.process is None or self.process.stdout is None:
            return
        with suppress(BlockingIOError, ValueError):
            while chunk := os.read(self.process.stdout.fileno(), 65_536):
                self.log += chunk
        more = len(self.log) - KEPT_LOG_BYTES
        if more > 0:
            del self.log[:more]
            self.begun_at = max(0, self.begun_at - more)

    def has_said(self, words: str) -> bool:
        """Whether it has, since it was started last."""
        return bool(self.pid) and words.encode() in self.log[self.begun_at :]

    def tell_to_end(self) -> None:
        """Ask it to end, and start it no more."""
        self.stays_down = True
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def end(self, seconds: float) -> int | None:
        """Ask it to end; returns its exit code, None when it had to be killed."""
        self.stays_down = True
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        until_s, code = time.monotonic() + seconds, None
        while code is None and time.monotonic() < until_s:
            self.drain()
            code = self.process.poll()
            time.sleep(0.01)
        if code is None:
            for pid in (*self.children(), self.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self._hang_up()
        return code

    def _hang_up(self) -> None:
        """Take its last words."""
        self.drain()
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def told(self) -> str:
        """The end of its log."""
        return self.log.decode(errors="replace")
