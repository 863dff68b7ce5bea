"""NVIDIA GPUs by NVML: what the agent reads, call by call, each of which a GPU may refuse without the others being lost.

Facts about the library that shaped this (nvml.h and the binding's source): power is a mean over a second on Ampere (but for the
A100) and later; energy counts from the load of the driver; a wrong version of library and driver ends with the process; the
binding's exceptions of the library loader are no NVMLError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, TypeVar

import pynvml

from scheduler.adapters.gpu.likely import no_library
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.gpu import GpuReading, GpuSurvey, Limits, Reason, Trouble
from scheduler.units import j_from_millijoule, s_from_ns, w_from_milliwatt

Found = TypeVar("Found")

# NVML's own numbers (nvml.h).
SW_POWER_CAP_FIELD = 74
POWER_AVERAGE_FIELD = 185
MODULE_SCOPE = 1
REASONS = {
    0x1: Reason.IDLE,
    0x4: Reason.POWER_CAP,
    0x20: Reason.THERMAL,
    0x40: Reason.HARDWARE_THERMAL,
    0x80: Reason.POWER_BRAKE,
}
ABSENT = frozenset({pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND})
GONE = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED, pynvml.NVML_ERROR_GPU_NOT_FOUND})
AGAIN = frozenset({pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_UNKNOWN})


ON_THE_BUS = "a GPU that is on the bus; the kernel's log names its fault as Xid"


class NoDriver(HeatDispatchError):
    """The machine's GPUs cannot be spoken to; `expected` is the likely remedy. Waiting and starting over may help."""

    def __init__(self, message: str, expected: str = "") -> None:
        """Keep what is wrong, and what would help."""
        super().__init__(message)
        self.expected = expected


class WrongDriver(NoDriver):
    """Library and driver are of different versions: only a new process loads the library anew."""


class Lost(HeatDispatchError):
    """One GPU does not answer any more; the others do."""


@dataclass(slots=True)
class _Asked:
    """Calls about one GPU, with the names of those that it does not know."""

    missing: list[str] = field(default_factory=list)

    def __call__(self, name: str, call: Callable[[], Found]) -> Found | None:
        """The answer; None when this GPU has none.

        Raises:
            Lost: when the GPU is gone. NoDriver: when the driver is.
        """
        try:
            return call()
        except pynvml.NVMLError as error:
            if error.value in GONE:
                raise Lost(f"{name}: {error}") from error
            if error.value in AGAIN:
                raise NoDriver(f"{name}: {error}") from error
            self.missing.append(name)
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class NvmlGpu:
    """One GPU. What it does not say is `None`, and named in `missing`."""

    index: int
    uuid: str
    handle: Any

    def read(self) -> GpuReading:
        """Read everything now.

        Raises:
            Lost, NoDriver: when the GPU, or the driver, is gone.
        """
        gpu, asked = self.handle, _Asked()
        mig = asked("mig", lambda: pynvml.nvmlDeviceGetMigMode(gpu)[0] == pynvml.NVML_DEVICE_MIG_ENABLE)
        temperature_c = asked("temperature", lambda: float(pynvml.nvmlDeviceGetTemperatureV(gpu, pynvml.NVML_TEMPERATURE_GPU)))
        load = asked("utilization", lambda: float(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu))
        persistent = asked("persistence", lambda: pynvml.nvmlDeviceGetPersistenceMode(gpu) == pynvml.NVML_FEATURE_ENABLED)
        processes = asked("processes", lambda: pynvml.nvmlDeviceGetComputeRunningProcesses_v3(gpu))
        whole = GpuReading(
            uuid=self.uuid,
            name=asked("name", lambda: str(pynvml.nvmlDeviceGetName(gpu))) or "",
            index=self.index,
            limits=_limits(gpu, asked),
            temperature_c=temperature_c,
            utilization_fraction=None if load is None else load / 100.0,
            processes=None if processes is None else tuple(int(one.pid) for one in processes),
            mig=bool(mig),
            persistent=persistent,
            instances=_instances(gpu, asked) if mig else (),
            missing=tuple(asked.missing),
        )
        return self.glance(whole)

    def glance(self, last: GpuReading) -> GpuReading:
        """What changes from second to second, the rest as it was.

        Raises:
            Lost, NoDriver: when the GPU, or the driver, is gone.
        """
        # What has not changed is not made anew: this is done for every GPU and second, within a few thousandths of a core.
        gpu, asked = self.handle, _Asked()
        draw_w, whole_module = _draw(gpu, asked)
        reasons = asked("reasons", lambda: int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)))
        capped_ns = _field(gpu, asked, SW_POWER_CAP_FIELD, "capped")
        energy = asked("energy", lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)))
        enforced_w = _watts(asked("enforced", lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu)))
        limits = last.limits
        return replace(
            last,
            draw_w=draw_w,
            energy_j=None if energy is None else j_from_millijoule(energy),
            limits=limits if enforced_w == limits.enforced_w else replace(limits, enforced_w=enforced_w),
            reasons=None if reasons is None else _reasons(reasons),
            capped_s=None if capped_ns is None else s_from_ns(capped_ns),
            whole_module=whole_module,
            missing=last.missing if last.missing == tuple(asked.missing) else tuple(sorted({*last.missing, *asked.missing})),
        )


class Nvml:
    """The GPUs of this machine. Each has a thread of its own that speaks to it; `start` and `close` are for another one."""

    def __init__(self) -> None:
        """Not started."""
        self.driver = ""

    def start(self) -> int:
        """Load the library and find the GPUs; returns how many there are.

        Raises:
            NoDriver, WrongDriver: when that cannot be, with the likely reason.
        """
        try:
            pynvml.nvmlInit()
            self.driver = str(pynvml.nvmlSystemGetDriverVersion())
            return int(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError as error:
            raise _no_driver(error) from error

    def close(self) -> None:
        """Give the library back; a later `start` finds new handles."""
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            return  # It was not loaded, or has gone with the driver.

    def open(self, index: int) -> NvmlGpu:
        """One GPU; indices move, so it is asked for its uuid at once.

        Raises:
            Lost, NoDriver: when the GPU, or the driver, is gone.
        """
        asked = _Asked()
        handle = asked("handle", lambda: pynvml.nvmlDeviceGetHandleByIndex(index))
        uuid = None if handle is None else asked("uuid", lambda: str(pynvml.nvmlDeviceGetUUID(handle)))
        if uuid is None:
            raise Lost(f"GPU {index} does not say its {asked.missing[0]}")
        return NvmlGpu(index=index, uuid=uuid, handle=handle)

    def alive(self) -> bool:
        """Whether the driver answers at all: else it is not one GPU that is in trouble."""
        try:
            pynvml.nvmlSystemGetDriverVersion()
        except pynvml.NVMLError:
            return False
        return True

    def survey(self) -> GpuSurvey:
        """Read every GPU once; one that is gone is named and hides no other.

        Raises:
            NoDriver, WrongDriver: when none can be spoken to.
        """
        gpus, troubles = [], []
        for index in range(self.start()):
            try:
                gpus.append(self.open(index).read())
            except (Lost, NoDriver) as error:
                if isinstance(error, NoDriver) and not self.alive():
                    self.close()
                    raise
                troubles.append(Trouble(what=str(error), index=index, expected=ON_THE_BUS))
        found = GpuSurvey(driver=self.driver, gpus=tuple(gpus), troubles=tuple(troubles))
        self.close()
        return found


@cache
def _reasons(bits: int) -> frozenset[Reason]:
    """Words for the bits that have one here."""
    return frozenset(word for bit, word in REASONS.items() if bits & bit)


def _instances(gpu: Any, asked: _Asked) -> tuple[str, ...]:
    """Uuids of the parts of a split GPU; their numbers have gaps."""
    most = asked("instances", lambda: int(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu))) or 0
    # A number that no part has is none that this GPU does not know: who asks is another one.
    found = (_Asked()(f"instance {number}", partial(_instance, gpu, number)) for number in range(most))
    return tuple(uuid for uuid in found if uuid is not None)


def _instance(gpu: Any, number: int) -> str:
    """Uuid of one part."""
    return str(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, number)))


def _limits(gpu: Any, asked: _Asked) -> Limits:
    """Power limits that change seldom."""
    bounds = asked("constraints", lambda: pynvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu))
    low, high = (None, None) if bounds is None else bounds
    return Limits(
        requested_w=_watts(asked("limit", lambda: pynvml.nvmlDeviceGetPowerManagementLimit(gpu))),
        default_w=_watts(asked("default", lambda: pynvml.nvmlDeviceGetPowerManagementDefaultLimit(gpu))),
        least_w=_watts(low),
        most_w=_watts(high),
    )


def _draw(gpu: Any, asked: _Asked) -> tuple[float | None, bool]:
    """Draw in W; on a module whose GPU has no power of its own, that of the module."""
    own = _watts(asked("power", lambda: pynvml.nvmlDeviceGetPowerUsage(gpu)))
    if own is not None:
        return own, False
    module = _field(gpu, asked, POWER_AVERAGE_FIELD, "module power", MODULE_SCOPE)
    return (None, False) if module is None else (w_from_milliwatt(module), True)


def _field(gpu: Any, asked: _Asked, number: int, name: str, scope: int = 0) -> int | None:
    """One field value; each has a return code of its own."""
    values = asked(name, lambda: pynvml.nvmlDeviceGetFieldValues(gpu, [(number, scope)]))
    if values is None:
        return None
    value = values[0]
    if value.nvmlReturn != pynvml.NVML_SUCCESS:
        asked.missing.append(name)
        return None
    is_long = value.valueType == pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
    return int(value.value.ullVal if is_long else value.value.uiVal)


def _watts(milliwatt: float | None) -> float | None:
    """NVML's unit as ours."""
    return None if milliwatt is None else w_from_milliwatt(float(milliwatt))


def _no_driver(error: pynvml.NVMLError) -> NoDriver:
    """What an error of the library itself means to whoever installs this."""
    if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return NoDriver("libnvidia-ml.so.1 was not found", no_library())
    if error.value == pynvml.NVML_ERROR_DRIVER_NOT_LOADED:
        return NoDriver("the NVIDIA driver is not loaded", "the kernel module nvidia; `nvidia-smi` fails alike")
    if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
        return NoDriver("the GPUs may not be opened", "access to /dev/nvidiactl and /dev/nvidia*")
    if error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return WrongDriver(
            "library and driver are of different versions",
            "a new start after the driver's update; the machine's, if it stays so",
        )
    return NoDriver(f"NVML does not start: {error}", "a driver that `nvidia-smi` can speak to")
