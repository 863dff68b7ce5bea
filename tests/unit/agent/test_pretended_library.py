"""The library that pretends: it says what NVML says, keeps a log to judge by, and its Python twin has the same layout."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest
from gpu_machine import CALLS, Gpu, Kind, LoggedWrite, Machine, ShiftedClock, State, Step

INVALID, NOT_SUPPORTED, NO_PERMISSION, LOST = 2, 3, 4, 15
READ_BY: dict[str, Callable[[Any], Any]] = {
    "uuid": pynvml.nvmlDeviceGetUUID,
    "name": pynvml.nvmlDeviceGetName,
    "power": pynvml.nvmlDeviceGetPowerUsage,
    "energy": pynvml.nvmlDeviceGetTotalEnergyConsumption,
    "limit": pynvml.nvmlDeviceGetPowerManagementLimit,
    "default": pynvml.nvmlDeviceGetPowerManagementDefaultLimit,
    "constraints": pynvml.nvmlDeviceGetPowerManagementLimitConstraints,
    "enforced": pynvml.nvmlDeviceGetEnforcedPowerLimit,
    "set": lambda gpu: pynvml.nvmlDeviceSetPowerManagementLimit(gpu, 500_000),
    "fields": lambda gpu: pynvml.nvmlDeviceGetFieldValues(gpu, [74]),
    "temperature": lambda gpu: pynvml.nvmlDeviceGetTemperatureV(gpu, pynvml.NVML_TEMPERATURE_GPU),
    "reasons": pynvml.nvmlDeviceGetCurrentClocksEventReasons,
    "utilization": pynvml.nvmlDeviceGetUtilizationRates,
    "processes": pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
    "mig": pynvml.nvmlDeviceGetMigMode,
}


@pytest.fixture
def started(machine: Machine) -> Iterator[Machine]:
    """A machine that this process speaks to."""
    pynvml.nvmlInit()
    yield machine
    pynvml.nvmlShutdown()


def gpu(number: int = 0) -> Any:
    return pynvml.nvmlDeviceGetHandleByIndex(number)


def test_the_twin_in_python_has_the_layout_of_the_header(library: Path) -> None:
    # What is counted: four sizes, then every field of a GPU, of a write, and of the machine.
    sizes = [ctypes.sizeof(each) for each in (Step, Gpu, LoggedWrite, State)]
    offsets = [getattr(of, name).offset for of in (Gpu, LoggedWrite, State) for name, *_ in of._fields_]
    told = (ctypes.c_uint32 * (len(sizes) + len(offsets))).in_dll(ctypes.CDLL(str(library)), "fake_nvml_layout")
    assert list(told) == [*sizes, *offsets]


def test_every_call_can_fail_with_every_code_for_one_gpu_alone(started: Machine) -> None:
    assert set(READ_BY) == set(CALLS) - {"handle"}
    one, other = gpu(0), gpu(1)
    for call, read in READ_BY.items():
        for code in (NOT_SUPPORTED, NO_PERMISSION, 10, LOST, 16, 28, 999):
            started.fail(0, call, code)
            with pytest.raises(pynvml.NVMLError) as told:
                read(one)
            assert told.value.value == code, call
            read(other)
        started.fail(0, call, 0)
        read(one)
    started.fail(0, "handle", LOST)
    with pytest.raises(pynvml.NVMLError_GpuIsLost):
        gpu(0)
    with pytest.raises(pynvml.NVMLError_GpuIsLost):
        pynvml.nvmlDeviceGetHandleByUUID("GPU-0000")
    assert pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByUUID("GPU-0001")) == "GPU-0001"
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetHandleByUUID("GPU-none")


def test_limits_keep_to_range_permission_and_watts_and_each_try_is_logged(started: Machine) -> None:
    began_s = time.monotonic()
    started[0].round_milliwatt = 1000
    pynvml.nvmlDeviceSetPowerManagementLimit(gpu(0), 400_900)
    for asked_milliwatt in (199_999, 700_001):
        with pytest.raises(pynvml.NVMLError_InvalidArgument):
            pynvml.nvmlDeviceSetPowerManagementLimit(gpu(0), asked_milliwatt)
    started.state.allow_set = 0
    with pytest.raises(pynvml.NVMLError_NoPermission):
        pynvml.nvmlDeviceSetPowerManagementLimit(gpu(1), 300_000)
    # The binding's wrapper tells of no failure.
    pynvml.nvmlDeviceSetPowerManagementLimit_v2(gpu(1), 0, 300_000)
    started.set_by_another(1, 555.0)
    found = started.writes()
    assert [(each.gpu, each.kind, each.asked_w, each.limit_w, each.code) for each in found] == [
        (0, Kind.NVML, 400.9, 400.0, 0),
        (0, Kind.NVML, 199.999, 400.0, INVALID),
        (0, Kind.NVML, 700.001, 400.0, INVALID),
        (1, Kind.NVML, 300.0, 700.0, NO_PERMISSION),
        (1, Kind.NVML, 300.0, 700.0, NO_PERMISSION),
        (1, Kind.OTHER, 555.0, 555.0, 0),
    ]
    assert {each.pid for each in found} == {os.getpid()}
    assert [each.at_s for each in found] == sorted(each.at_s for each in found)
    assert found[0].at_s == pytest.approx(began_s, abs=10.0)


def test_a_gpu_may_lie_about_its_limit(started: Machine) -> None:
    started[0].lies = 1
    pynvml.nvmlDeviceSetPowerManagementLimit(gpu(0), 400_000)
    assert pynvml.nvmlDeviceGetPowerManagementLimit(gpu(0)) == 700_000


def test_handles_are_void_after_a_reload_also_when_the_library_was_started_again(started: Machine) -> None:
    old = gpu(0)
    started.set_by_another(0, 400.0)
    started.reload_driver()
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetPowerManagementLimit(old)
    pynvml.nvmlShutdown()
    pynvml.nvmlInit()
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlDeviceGetPowerManagementLimit(old)
    assert pynvml.nvmlDeviceGetPowerManagementLimit(gpu(0)) == 700_000
    assert [each.kind for each in started.writes()] == [Kind.OTHER, Kind.DRIVER, Kind.DRIVER]


def test_a_call_that_hangs_stops_no_other_and_ends_when_it_is_let_go(started: Machine) -> None:
    started.delay(0, "limit", 60_000)
    handle, found = gpu(0), []
    asking = threading.Thread(target=lambda: found.append(pynvml.nvmlDeviceGetPowerManagementLimit(handle)))
    asking.start()
    time.sleep(0.05)
    assert pynvml.nvmlDeviceGetPowerManagementLimit(gpu(1)) == 700_000
    assert pynvml.nvmlDeviceGetUUID(gpu(0)) == "GPU-0000"
    assert found == []
    started.delay(0, "limit", 0)
    asking.join(10.0)
    assert found == [700_000]


def test_a_power_reading_is_the_mean_of_a_second_of_the_program(started: Machine) -> None:
    started[0].noise_milliwatt = 0
    started.load(0, [(0.5, 600.0), (0.5, 100.0)])
    started.pass_s(10.0)
    assert pynvml.nvmlDeviceGetPowerUsage(gpu(0)) == 350_000
    first_millijoule = pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu(0))
    started.pass_s(60.25)
    # 60 s of 350 W, and a quarter of a second of 600 W.
    counted_millijoule = pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu(0)) - first_millijoule
    assert counted_millijoule == pytest.approx(60 * 350_000 + 0.25 * 600_000, abs=1)
    assert pynvml.nvmlDeviceGetFieldValues(gpu(0), [186])[0].value.uiVal == 600_000


def test_a_split_gpu_has_parts_without_power_of_their_own(started: Machine) -> None:
    started[0].mig, started[0].mig_devices = 1, 2
    assert pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu(0)) == 7
    part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu(0), 1)
    assert pynvml.nvmlDeviceGetUUID(part) == "MIG-0000-2"
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetPowerUsage(part)
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceSetPowerManagementLimit(part, 400_000)
    whole = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)
    assert pynvml.nvmlDeviceGetUUID(whole) == "GPU-0000"
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu(0), 2)


def test_a_module_tells_its_power_in_its_own_scope_only(started: Machine) -> None:
    started[0].module_milliwatt = 900_000
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetPowerUsage(gpu(0))
    own, module = pynvml.nvmlDeviceGetFieldValues(gpu(0), [(185, 0), (185, 1)])
    assert (own.nvmlReturn, module.nvmlReturn, module.value.uiVal) == (NOT_SUPPORTED, 0, 900_000)


def test_a_wall_clock_can_be_turned_under_a_process_whose_monotonic_one_stands(library: Path, tmp_path: Path) -> None:
    clock = ShiftedClock.create(tmp_path, library.parent)
    told = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", told], env={**os.environ, **clock.environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    found = []
    with process:
        for shift_s in (0, 86_400, -86_400):
            clock.turn_s(shift_s)
            process.stdin.write(b"\n")
            process.stdin.flush()
            wall_s, monotonic_s = (float(word) for word in process.stdout.readline().split())
            found.append((wall_s, monotonic_s, time.monotonic()))
        process.stdin.close()
    assert [round((wall_s - found[0][0]) / 3600) for wall_s, _, _ in found] == [0, 24, -24]
    assert all(here_s - there_s < 60.0 for _, there_s, here_s in found)
