"""Child processes by name: started with a log each, killed, restarted, signalled, stopped by process id, never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from scheduler.domain.errors import Permanent

TAIL_LINES = 20
PORT_TAKEN = "address already in use"
KIB_IN_MB = 1024 / 1e6
STOP_S = 10.0
LAUNCHER = Path(__file__).with_name("launch.py")


class ProcessDied(Permanent):
    """A program of the cluster ended by itself; the message holds the end of its log."""


class PortTaken(ProcessDied):
    """It ended because somebody took its port between our choosing it and its binding it."""


class Upright(Protocol):
    """What runs inside a `with` block and leaves nothing behind."""

    def start(self) -> None:
        """Bring it up."""
        ...

    def stop(self) -> None:
        """End all of it, also what a start that failed has left."""
        ...

    def __enter__(self) -> Self:
        """Start; whatever goes wrong, nothing is left running."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        self.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start: arguments, the program first, and variables beside PATH and HOME."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Processes:
    """The programs of one cluster; logs are `NAME.log` in its folder."""

    folder: Path
    commands: dict[str, Command] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Command) -> None:
        """Start a program that dies with us."""
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), **command.environment}
        with self.log(name).open("ab") as log:
            self.commands[name] = command
            self.running[name] = subprocess.Popen(
                dying_with_us(command.arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
            )

    def signal(self, name: str, number: int) -> None:
        """Send a signal, such as SIGSTOP or SIGCONT; a program that is told to stop has stopped on return, or ended."""
        process = self.running[name]
        process.send_signal(number)
        if number == signal.SIGSTOP:
            # Its threads stop one by one: until the last has, requests may still be answered.
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def kill(self, name: str) -> None:
        """End a program at once, when it runs, and wait until it is gone. It is no longer missed by `check`."""
        process = self.running.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def restart(self, name: str) -> None:
        """End a program, when it still runs, and start it again the same way: same ports, same data."""
        self.kill(name)
        self.start(name, self.commands[name])

    def stop(self) -> None:
        """End all, the newest first. Their state is either thrown away or safe without a farewell."""
        for name in reversed(self.running):
            self.running[name].kill()
        for process in self.running.values():
            process.wait(STOP_S)
        self.running.clear()

    def check(self) -> None:
        """Return when all run.

        Raises:
            ProcessDied: when one has ended; `PortTaken` when that was for want of its port.
        """
        for name, process in self.running.items():
            code = process.poll()
            if code is not None:
                tail = self.tail(name)
                kind = PortTaken if PORT_TAKEN in tail else ProcessDied
                raise kind(f"{name} ended with {code}; its log {self.log(name)} ends with\n{tail}")

    def log(self, name: str) -> Path:
        """Where a program writes."""
        return self.folder / f"{name}.log"

    def tail(self, name: str, lines: int = TAIL_LINES) -> str:
        """The end of a log, indented."""
        if not self.log(name).exists():
            return "  (no log)"
        with self.log(name).open(encoding="utf-8", errors="replace") as file:
            return "\n".join(f"  {line.rstrip()[:400]}" for line in deque(file, maxlen=lines))

    def pids(self) -> dict[str, int]:
        """Process ids of what runs."""
        return {name: process.pid for name, process in self.running.items() if process.poll() is None}

    def resident_mb(self) -> dict[str, float]:
        """Resident memory of each program, MB."""
        return {name: resident_mb(pid) for name, pid in self.pids().items()}


def dying_with_us(arguments: Sequence[str]) -> list[str]:
    """The same command, killed by the kernel when the thread that starts it ends (so start clusters in the main thread)."""
    return [sys.executable, "-I", str(LAUNCHER), str(os.getpid()), *arguments]


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB; zero when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * KIB_IN_MB for line in text.splitlines() if line.startswith("VmRSS")), 0.0)


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_ports(count: int) -> tuple[int, ...]:
    """TCP ports on loopback that were free a moment ago, all different."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return tuple(int(probe.getsockname()[1]) for probe in probes)


def interruptible() -> None:
    """Let SIGTERM end this process the way Ctrl-C does, so that clusters are stopped on the way out."""
    signal.signal(signal.SIGTERM, _interrupted)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
