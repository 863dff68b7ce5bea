"""A machine with pretended GPUs: builds the library, keeps its state in a file, and turns its knobs from outside.

machine = Machine.create(folder, gpus=8)
with machine.loaded(): ...                     # in this process, by SONAME
subprocess.run(..., env=machine.environment)   # in another one, by LD_LIBRARY_PATH
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "nvml"
LIBRARY = "libnvidia-ml.so.1"
MAGIC = 0x4E564D4C
MAX_GPUS = 16
MAX_PROCESSES = 8
CALLS = (
    "handle", "uuid", "name", "power", "energy", "limit", "default", "constraints", "enforced",
    "set", "fields", "temperature", "reasons", "utilization", "processes", "mig",
)  # fmt: skip
NS_PER_S = 1_000_000_000


class Gpu(ctypes.Structure):
    """`struct gpu` of fake_nvml.h."""

    _fields_ = (
        ("uuid", ctypes.c_char * 64),
        ("name", ctypes.c_char * 64),
        *((name, ctypes.c_uint32) for name in ("idle_mw", "work_mw", "noise_mw", "period_ms", "busy_ms")),
        *((name, ctypes.c_uint32) for name in ("limit_mw", "default_mw", "min_mw", "max_mw", "other_limit_mw")),
        *((name, ctypes.c_uint32) for name in ("temperature_c", "mig", "lost", "energy_absent")),
        *((name, ctypes.c_uint64) for name in ("energy_uj", "capped_ns", "updated_ns", "drawn_uj")),
        ("process_count", ctypes.c_uint32),
        ("writes", ctypes.c_uint32),
        ("processes", ctypes.c_uint32 * MAX_PROCESSES),
        ("error", ctypes.c_int32 * len(CALLS)),
        ("delay_ms", ctypes.c_uint32 * len(CALLS)),
    )


class State(ctypes.Structure):
    """`struct machine` of fake_nvml.h."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("magic", "count", "init_error", "allow_set")),
        ("clock_ns", ctypes.c_uint64),
        ("driver_generation", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
        ("gpus", Gpu * MAX_GPUS),
    )


def built(folder: Path) -> Path:
    """The library, compiled once per folder; needs a C compiler.

    Raises:
        FileNotFoundError: when there is none.
    """
    target = folder / LIBRARY
    if not target.exists():
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise FileNotFoundError("no C compiler: install gcc")
        made = target.with_suffix(f".{os.getpid()}")
        options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}"]
        subprocess.run([compiler, *options, "-o", str(made), str(HERE / "fake_nvml.c")], check=True)
        made.rename(target)
    return target


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
            gpu.idle_mw, gpu.work_mw, gpu.noise_mw, gpu.temperature_c = 70_000, 650_000, 10_000, 55
            gpu.limit_mw = gpu.default_mw = gpu.max_mw = 700_000
            gpu.min_mw = 200_000
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

    def reload_driver(self) -> None:
        """Load the driver anew: handles are void, counters begin at zero, limits are the default."""
        for gpu in self.state.gpus[: self.state.count]:
            gpu.energy_uj, gpu.capped_ns, gpu.limit_mw = 0, 0, gpu.default_mw
        self.state.driver_generation += 1

    def drawn_j(self, number: int) -> float:
        """Energy that a GPU has drawn in truth, resets or not."""
        return float(self.state.gpus[number].drawn_uj) / 1e6
