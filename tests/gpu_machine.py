"""A machine with pretended GPUs: builds the library, keeps its state in a file, and turns its knobs from outside.

machine = Machine.create(folder, gpus=8)
with machine.loaded(): ...                     # in this process, by SONAME
subprocess.run(..., env=machine.environment)   # in another one, by LD_LIBRARY_PATH
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "nvml"
LIBRARY = "libnvidia-ml.so.1"
MAGIC = 0x4E564D4D
MAX_GPUS = 16
MAX_PROCESSES = 8
MAX_STEPS = 16
MAX_WRITES = 4096
CALLS = (
    "handle", "uuid", "name", "power", "energy", "limit", "default", "constraints", "enforced",
    "set", "fields", "temperature", "reasons", "utilization", "processes", "mig",
)  # fmt: skip
NS_PER_S = 1_000_000_000


class Step(ctypes.Structure):
    """`struct step` of fake_nvml.h."""

    _fields_ = (("ms", ctypes.c_uint32), ("milliwatt", ctypes.c_uint32))


class Gpu(ctypes.Structure):
    """`struct gpu` of fake_nvml.h."""

    _fields_ = (
        ("uuid", ctypes.c_char * 64),
        ("name", ctypes.c_char * 64),
        *((name, ctypes.c_uint32) for name in ("idle_milliwatt", "work_milliwatt", "noise_milliwatt")),
        *((name, ctypes.c_uint32) for name in ("period_ms", "busy_ms", "average_ms")),
        *((name, ctypes.c_uint32) for name in ("limit_milliwatt", "default_milliwatt", "min_milliwatt", "max_milliwatt")),
        *((name, ctypes.c_uint32) for name in ("other_limit_milliwatt", "module_milliwatt")),
        *((name, ctypes.c_uint32) for name in ("temperature_c", "mig", "mig_devices", "lost", "energy_absent")),
        *((name, ctypes.c_uint32) for name in ("lies", "round_milliwatt", "steps", "brakes")),
        *((name, ctypes.c_uint64) for name in ("energy_uj", "capped_ns", "updated_ns", "drawn_uj")),
        ("process_count", ctypes.c_uint32),
        ("writes", ctypes.c_uint32),
        ("processes", ctypes.c_uint32 * MAX_PROCESSES),
        ("program", Step * MAX_STEPS),
        ("error", ctypes.c_int32 * len(CALLS)),
        ("delay_ms", ctypes.c_uint32 * len(CALLS)),
    )


class Kind(IntEnum):
    """Who changed a limit: who speaks NVML, somebody else, or the driver that was loaded anew."""

    NVML = 0
    OTHER = 1
    DRIVER = 2


class LoggedWrite(ctypes.Structure):
    """`struct write` of fake_nvml.h."""

    _fields_ = (
        ("at_ns", ctypes.c_uint64),
        *((name, ctypes.c_uint32) for name in ("pid", "gpu", "kind", "asked_milliwatt", "limit_milliwatt")),
        ("code", ctypes.c_int32),
    )


class State(ctypes.Structure):
    """`struct machine` of fake_nvml.h."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("magic", "count", "init_error", "allow_set")),
        ("clock_ns", ctypes.c_uint64),
        *((name, ctypes.c_uint32) for name in ("driver_generation", "init_delay_ms", "count_error", "persistence_off")),
        ("logged", ctypes.c_uint64),
        ("gpus", Gpu * MAX_GPUS),
        ("log", LoggedWrite * MAX_WRITES),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A limit was set, or was tried to be, in W. at_s: by this computer's monotonic clock. code: NVML's, 0 for success."""

    at_s: float
    pid: int
    gpu: int
    kind: Kind
    asked_w: float
    limit_w: float
    code: int


def built(folder: Path) -> Path:
    """The library, compiled once per folder; needs a C compiler.

    Raises:
        FileNotFoundError: when there is none.
    """
    return compiled(HERE / "fake_nvml.c", folder / LIBRARY)


def compiled(source: Path, target: Path) -> Path:
    """A shared library of one source, compiled unless it is there.

    Raises:
        FileNotFoundError: when there is no C compiler.
    """
    if not target.exists():
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise FileNotFoundError("no C compiler: install gcc")
        made = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{target.name}"]
        subprocess.run([compiler, *options, "-o", str(made), str(source)], check=True)
        made.rename(target)
    return target


@dataclass(frozen=True, slots=True)
class ShiftedClock:
    """A wall clock that can be turned under processes that run; the monotonic one stands as it is."""

    library: Path
    file: Path

    @classmethod
    def create(cls, folder: Path, built_in: Path) -> ShiftedClock:
        """One that is right so far; its library is compiled into `built_in`."""
        found = cls(compiled(HERE / "shifted_clock.c", built_in / "shifted_clock.so"), folder / "clock.shift")
        found.turn_s(0)
        return found

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to have it."""
        return {"LD_PRELOAD": str(self.library), "SHIFTED_CLOCK": str(self.file)}

    def turn_s(self, seconds: int) -> None:
        """Let the clock be so far off."""
        # In place: the processes have the file mapped.
        with self.file.open("r+b" if self.file.exists() else "wb") as opened:
            opened.write(seconds.to_bytes(8, "little", signed=True))


@dataclass(slots=True, eq=False)
class Machine:
    """The state of one machine."""

    library: Path
    file: Path
    state: State
    _map: mmap.mmap = field(repr=False)

    @classmethod
    def create(cls, folder: Path, library: Path, gpus: int = 8) -> Machine:
        """A machine with GPUs like an H100: 70 W idle, 650 W at work, limits from 200 to 700 W."""
        file = folder / "machine.state"
        file.write_bytes(bytes(ctypes.sizeof(State)))
        with file.open("r+b") as opened:
            mapped = mmap.mmap(opened.fileno(), ctypes.sizeof(State))
        found = cls(library=library, file=file, state=State.from_buffer(mapped), _map=mapped)
        found.state.count, found.state.allow_set = gpus, 1
        for number in range(gpus):
            gpu = found.state.gpus[number]
            gpu.uuid, gpu.name = f"GPU-{number:04d}".encode(), b"NVIDIA H100 80GB HBM3"
            gpu.idle_milliwatt, gpu.work_milliwatt, gpu.noise_milliwatt, gpu.temperature_c = 70_000, 650_000, 10_000, 55
            gpu.limit_milliwatt = gpu.default_milliwatt = gpu.max_milliwatt = 700_000
            gpu.min_milliwatt, gpu.average_ms = 200_000, 1_000
        found.state.magic = MAGIC
        return found

    @property
    def environment(self) -> dict[str, str]:
        """For another process that is to see this machine."""
        return {**os.environ, "LD_LIBRARY_PATH": str(self.library.parent), "FAKE_NVML_STATE": str(self.file)}

    def __getitem__(self, number: int) -> Any:
        """A GPU; its fields are read and written in place."""
        return self.state.gpus[number]

    def fail(self, number: int, call: str, code: int) -> None:
        """Make a call for one GPU fail with an NVML code; 0 mends it."""
        self.state.gpus[number].error[CALLS.index(call)] = code

    def delay(self, number: int, call: str, milliseconds: int) -> None:
        """Make a call for one GPU take so long."""
        self.state.gpus[number].delay_ms[CALLS.index(call)] = milliseconds

    def pass_s(self, seconds: float) -> None:
        """Turn the machine's own clock on; the first call stops it at one second."""
        self.state.clock_ns = (self.state.clock_ns or NS_PER_S) + int(seconds * NS_PER_S)

    def load(self, number: int, steps: Sequence[tuple[float, float]]) -> None:
        """Give a GPU a program: seconds and watts, over and over."""
        gpu = self.state.gpus[number]
        for place, (seconds, watts) in enumerate(steps):
            gpu.program[place].ms, gpu.program[place].milliwatt = round(1000 * seconds), round(1000 * watts)
        gpu.steps = len(steps)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody is inside the library meanwhile."""
        with self.file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield

    def reload_driver(self) -> None:
        """Load the driver anew: handles are void, counters begin at zero, limits are the default."""
        with self.locked():
            for number, gpu in enumerate(self.state.gpus[: self.state.count]):
                gpu.energy_uj, gpu.capped_ns, gpu.limit_milliwatt = 0, 0, gpu.default_milliwatt
                self._log(number, Kind.DRIVER, gpu.default_milliwatt)
            self.state.driver_generation += 1

    def set_by_another(self, number: int, limit_w: float) -> None:
        """Somebody who is none of ours sets a limit, by another way than NVML."""
        with self.locked():
            self.state.gpus[number].limit_milliwatt = round(1000 * limit_w)
            self._log(number, Kind.OTHER, round(1000 * limit_w))

    def _log(self, number: int, kind: Kind, limit_milliwatt: int) -> None:
        """Note a change of a limit that did not go through the library."""
        place = self.state.log[self.state.logged % MAX_WRITES]
        place.at_ns, place.pid, place.gpu, place.kind, place.code = time.monotonic_ns(), os.getpid(), number, kind, 0
        place.asked_milliwatt = place.limit_milliwatt = limit_milliwatt
        self.state.logged += 1

    def writes(self) -> list[Write]:
        """All tries to set a limit since the machine began, the oldest first.

        Raises:
            OverflowError: when there were more than are kept.
        """
        with self.locked():
            if self.state.logged > MAX_WRITES:
                raise OverflowError(f"{self.state.logged} writes, of which {MAX_WRITES} are kept")
            return [_write(each) for each in self.state.log[: self.state.logged]]

    def drawn_j(self, number: int) -> float:
        """Energy that a GPU has drawn in truth, resets or not."""
        return float(self.state.gpus[number].drawn_uj) / 1e6


def _write(found: LoggedWrite) -> Write:
    """One line of the log."""
    return Write(
        at_s=found.at_ns / NS_PER_S, pid=found.pid, gpu=found.gpu, kind=Kind(found.kind), asked_w=found.asked_milliwatt / 1e3,
        limit_w=found.limit_milliwatt / 1e3, code=found.code,
    )  # fmt: skip
