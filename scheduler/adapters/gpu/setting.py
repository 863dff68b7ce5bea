"""GPUs whose limit may be set: what a setter needs of them, and NVIDIA's by NVML.

Facts about the library that shaped this (nvml.h and the binding's source): the newer call to set a limit,
`nvmlDeviceSetPowerManagementLimit_v2`, hides its failures in the binding, so the older one is taken, and what it did is read
back; a limit is lost with the driver, not with the process that set it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import pynvml

from scheduler.adapters.gpu.nvml import (
    AGAIN,
    GONE,
    MODULE_SCOPE,
    POWER_AVERAGE_FIELD,
    REASONS,
    Lost,
    NoDriver,
    Nvml,
    NvmlGpu,
    WrongDriver,
)
from scheduler.core.capping.held import Facts
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.gpu import Reason
from scheduler.units import milliwatt_from_w, w_from_milliwatt

# Looks between two in which all is read: what may be, and whether the GPU is split, changes seldom.
WHOLE_EVERY = 20
# Reasons for low clocks that no limit can mend: heat and the power supply, as the hardware sees them.
BRAKES = tuple(bit for bit, word in REASONS.items() if word in (Reason.HARDWARE_THERMAL, Reason.POWER_BRAKE))
# Looks in which nothing is tried after the driver said that we may not.
FORBIDDEN_LOOKS = 40


class NotSet(HeatDispatchError):
    """A limit could not be set, and why."""


class SettableGpu(Protocol):
    """One GPU. Only one thread speaks to it at a time."""

    @property
    def uuid(self) -> str:
        """Its name for good."""
        ...

    def look(self) -> Facts | str:
        """How it stands now, or why that cannot be told; raises NoDriver when all of them are gone."""
        ...

    def set_limit(self, limit_w: float) -> None:
        """Ask for this limit in W; raises NotSet or NoDriver. Whether it holds a later look tells."""
        ...


class SettableGpus(Protocol):
    """The GPUs of a machine; another backend, such as a daemon that sets limits for others, takes this form."""

    def start(self) -> int:
        """Find them; returns how many there are; raises NoDriver, or WrongDriver when only a new process can."""
        ...

    def open(self, index: int) -> SettableGpu:
        """One of them; raises Lost or NoDriver."""
        ...

    def alive(self) -> bool:
        """Whether the driver answers at all: else it is not this GPU that is in trouble."""
        ...

    def close(self) -> None:
        """Give them back."""
        ...


class NvmlSettables:
    """NVIDIA's GPUs; each start is a new epoch of the driver, since a limit may not have outlived the last one."""

    def __init__(self) -> None:
        """Not started."""
        self._nvml = Nvml()
        self._epoch = 0

    def start(self) -> int:
        """Load the library and find the GPUs.

        Raises:
            NoDriver, WrongDriver: when that cannot be, with the likely reason.
        """
        count = self._nvml.start()
        self._epoch += 1
        return count

    def open(self, index: int) -> NvmlSettable:
        """One GPU.

        Raises:
            Lost, NoDriver: when the GPU, or the driver, is gone.
        """
        return NvmlSettable(self._nvml.open(index), self._epoch)

    def alive(self) -> bool:
        """Whether the driver answers at all."""
        return self._nvml.alive()

    def close(self) -> None:
        """Give the library back."""
        self._nvml.close()


class NvmlSettable:
    """One of NVIDIA's GPUs."""

    def __init__(self, gpu: NvmlGpu, epoch: int) -> None:
        """Speak to `gpu` by handles of this epoch of the driver."""
        self._gpu, self._epoch = gpu, epoch
        self._whole: Facts | None = None
        self._looks = 0
        self._forbidden = 0

    @property
    def uuid(self) -> str:
        """Its name for good."""
        return self._gpu.uuid

    def look(self) -> Facts | str:
        """How it stands now: the limit each time, the rest now and then.

        Raises:
            NoDriver: when the driver is gone.
        """
        self._looks += 1
        self._forbidden = max(self._forbidden - 1, 0)
        try:
            if self._whole is None or self._looks % WHOLE_EVERY == 0:
                self._whole = self._read()
            reasons = self._told(pynvml.nvmlDeviceGetCurrentClocksEventReasons)
            return replace(
                self._whole,
                braked=reasons is not None and any(reasons & bit for bit in BRAKES),
                requested_w=self._watts(pynvml.nvmlDeviceGetPowerManagementLimit),
                enforced_w=self._watts(pynvml.nvmlDeviceGetEnforcedPowerLimit),
                may_set=not self._forbidden,
            )
        except Lost as error:
            self._whole = None
            return str(error)

    def set_limit(self, limit_w: float) -> None:
        """Ask for this limit.

        Raises:
            NotSet: when the GPU refuses. NoDriver: when the driver is gone.
        """
        try:
            self._call(pynvml.nvmlDeviceSetPowerManagementLimit, milliwatt_from_w(limit_w))
        except Lost as error:
            raise NotSet(str(error)) from error
        except pynvml.NVMLError as error:
            # Out of range: what may be has changed since it was read.
            self._whole = None
            if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
                self._forbidden = FORBIDDEN_LOOKS
                raise NotSet("limits may not be set: that takes root with CAP_SYS_ADMIN") from error
            raise NotSet(f"{limit_w:g} W is refused: {error}") from error

    def _read(self) -> Facts:
        """What changes seldom."""
        mig = self._told(pynvml.nvmlDeviceGetMigMode)
        least, most = self._told(pynvml.nvmlDeviceGetPowerManagementLimitConstraints) or (None, None)
        return Facts(
            requested_w=None,
            default_w=self._watts(pynvml.nvmlDeviceGetPowerManagementDefaultLimit),
            least_w=None if least is None else w_from_milliwatt(least),
            most_w=None if most is None else w_from_milliwatt(most),
            mig=mig is not None and mig[0] == pynvml.NVML_DEVICE_MIG_ENABLE,
            whole_module=self._is_module(),
            driver_epoch=self._epoch,
        )

    def _is_module(self) -> bool:
        """Whether there is no power of the GPU alone: its limit is that of a processor too (Grace Hopper)."""
        if self._told(pynvml.nvmlDeviceGetPowerUsage) is not None:
            return False
        values = self._told(pynvml.nvmlDeviceGetFieldValues, [(POWER_AVERAGE_FIELD, MODULE_SCOPE)])
        return values is not None and values[0].nvmlReturn == pynvml.NVML_SUCCESS

    def _watts(self, call: Callable[..., Any]) -> float | None:
        """A limit in W; None when the GPU does not say it."""
        told = self._told(call)
        return None if told is None else w_from_milliwatt(told)

    def _told(self, call: Callable[..., Any], *more: object) -> Any:
        """What a GPU answers; None when it has no answer."""
        try:
            return self._call(call, *more)
        except pynvml.NVMLError:
            return None

    def _call(self, call: Callable[..., Any], *more: object) -> Any:
        """One call; what it says of the GPU or the driver as a whole is told apart."""
        try:
            return call(self._gpu.handle, *more)
        except pynvml.NVMLError as error:
            if error.value in GONE:
                raise Lost(f"{error}") from error
            if error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
                raise WrongDriver("library and driver are of different versions") from error
            if error.value in AGAIN:
                raise NoDriver(f"{error}") from error
            raise
