"""Which GPUs an agent reads and a setter sets, by name; of those that are not chosen not even the code is loaded.

- `nvml`: NVIDIA's, by their driver.
- `zeusd:unix:/run/zeusd/zeusd.sock`, `zeusd:http://127.0.0.1:4938?token=FILE`: read by the driver, set by zeusd.
- `simulated`, `simulated:FILE`: pretended ones; in FILE agent and setter share their limits.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scheduler.adapters.addresses import is_address
from scheduler.adapters.clock import SystemClock
from scheduler.domain.errors import Misconfigured

if TYPE_CHECKING:
    from scheduler.adapters.gpu.sampler import Gpus
    from scheduler.adapters.gpu.setting import SettableGpus
    from scheduler.adapters.gpu.simulated import SimulatedGpus
    from scheduler.domain.gpu import GpuSurvey

    class Readable(Gpus, Protocol):
        """GPUs that can be read, again and again or once."""

        def survey(self) -> GpuSurvey:
            """Read every GPU once; raises NoDriver."""
            ...


NVML, ZEUSD, SIMULATED = "nvml", "zeusd", "simulated"
TO_READ = f"{NVML} or {SIMULATED}[:FILE]"
TO_SET = f"{NVML}, {ZEUSD}:ADDRESS[?token=FILE] or {SIMULATED}[:FILE]"


def to_read(backend: str) -> Readable:
    """GPUs for a sampler.

    Raises:
        Misconfigured: when there is no such backend.
    """
    kind, _, where = backend.partition(":")
    if backend == NVML:
        from scheduler.adapters.gpu.nvml import Nvml

        return Nvml()
    if kind == SIMULATED:
        return _simulated(where)
    raise Misconfigured(f"{backend!r} is none", where="--backend", expected=TO_READ)


def to_set(backend: str) -> SettableGpus:
    """GPUs for a setter.

    Raises:
        Misconfigured: when there is no such backend.
    """
    kind, _, where = backend.partition(":")
    if kind == SIMULATED:
        return _simulated(where)
    from scheduler.adapters.gpu.setting import NvmlSettables

    if backend == NVML:
        return NvmlSettables()
    address, _, token = where.partition("?token=")
    if kind == ZEUSD and _is_place(address):
        from scheduler.adapters.gpu.zeusd import Zeusd, ZeusdSettables

        return ZeusdSettables(Zeusd(address=address, token_file=Path(token) if token else None), NvmlSettables())
    raise Misconfigured(f"{backend!r} is none", where="--backend", expected=TO_SET)


def _is_place(address: str) -> bool:
    """Whether a daemon can listen there."""
    return is_address(address) or (address.startswith("unix:/") and len(address) > len("unix:/"))


def needs_capability(backend: str) -> bool:
    """Whether whoever sets limits by it must be allowed to by the kernel."""
    return backend == NVML


def _simulated(file: str) -> SimulatedGpus:
    from scheduler.adapters.gpu.simulated import SimulatedGpus

    return SimulatedGpus(SystemClock(), Path(file) if file else None)
