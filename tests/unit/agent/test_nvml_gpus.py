"""GPUs read by the real binding from a pretended library: what it says, what it does not, and what is gone."""

from __future__ import annotations

import pytest
from gpu_machine import Machine

from scheduler.adapters.gpu.nvml import Lost, NoDriver, Nvml, WrongDriver
from scheduler.domain.gpu import Limits, Reason

LOST, NOT_SUPPORTED, UNKNOWN, NO_PERMISSION, MISMATCH = 15, 3, 999, 4, 18


def test_a_gpu_tells_watts_joules_limits_and_reasons(machine: Machine) -> None:
    machine[0].noise_milliwatt = 0
    machine.pass_s(1.0)
    first = Nvml().survey().gpus[0]
    machine.pass_s(10.0)
    found = Nvml().survey().gpus[0]
    assert (found.uuid, found.name, found.index, found.missing) == ("GPU-0000", "NVIDIA H100 80GB HBM3", 0, ())
    assert found.draw_w == 650.0
    assert found.limits == Limits(requested_w=700.0, enforced_w=700.0, default_w=700.0, least_w=200.0, most_w=700.0)
    assert first.energy_j is not None
    assert found.energy_j is not None
    assert found.energy_j - first.energy_j == pytest.approx(6500.0)  # 650 W for 10 s
    assert (found.temperature_c, found.reasons, found.utilization_fraction) == (55.0, frozenset(), 1.0)


def test_a_limit_that_binds_is_seen_in_draw_reason_and_time(machine: Machine) -> None:
    gpu = machine[1]
    gpu.noise_milliwatt, gpu.limit_milliwatt, gpu.other_limit_milliwatt = 0, 500_000, 400_000
    machine.pass_s(1.0)
    Nvml().survey()
    machine.pass_s(4.0)
    found = Nvml().survey().gpus[1]
    # The lower of both limits holds, and a GPU that is held draws 0.95 of it.
    assert (found.limits.requested_w, found.limits.enforced_w, found.draw_w) == (500.0, 400.0, 380.0)
    assert found.reasons == frozenset({Reason.POWER_CAP})
    assert found.capped_s == pytest.approx(4.0)


def test_what_a_gpu_does_not_say_is_named_and_not_made_up(machine: Machine) -> None:
    machine[0].energy_absent, machine[0].mig = 1, 1
    machine.fail(0, "constraints", NOT_SUPPORTED)
    machine.fail(0, "fields", NOT_SUPPORTED)
    machine.fail(0, "processes", NO_PERMISSION)
    found = Nvml().survey().gpus[0]
    assert (found.energy_j, found.limits.least_w, found.capped_s, found.processes) == (None, None, None, None)
    assert found.mig
    assert set(found.missing) == {"energy", "constraints", "capped", "processes", "utilization"}
    assert found.draw_w is not None


def test_power_of_a_module_is_not_that_of_its_gpu(machine: Machine) -> None:
    machine.fail(0, "power", NOT_SUPPORTED)
    found = Nvml().survey().gpus[0]
    # This library knows no module: nothing is said, and nothing is taken for it.
    assert (found.draw_w, found.whole_module) == (None, False)
    assert {"power", "module power"} <= set(found.missing)


def test_a_split_gpu_tells_power_of_the_whole_and_names_its_parts(machine: Machine) -> None:
    machine[0].mig, machine[0].mig_devices, machine[0].noise_milliwatt = 1, 2, 0
    split, whole = Nvml().survey().gpus
    assert (split.mig, split.instances) == (True, ("MIG-0000-1", "MIG-0000-2"))
    assert (split.draw_w, split.limits.enforced_w) == (650.0, 700.0)
    assert (whole.mig, whole.instances) == (False, ())


def test_a_gpu_that_is_lost_hides_no_other(machine: Machine) -> None:
    machine[0].lost = 1
    found = Nvml().survey()
    assert [gpu.index for gpu in found.gpus] == [1]
    assert [(one.index, "GPU is lost" in one.what) for one in found.troubles] == [(0, True)]


def test_a_gpu_that_answers_as_if_the_driver_had_gone_hides_no_other(machine: Machine) -> None:
    machine.fail(0, "power", UNKNOWN)
    found = Nvml().survey()
    assert [gpu.index for gpu in found.gpus] == [1]
    assert [(one.index, one.what) for one in found.troubles] == [(0, "power: Unknown Error")]


def test_processes_are_told(machine: Machine) -> None:
    machine[0].process_count = 2
    machine[0].processes[0], machine[0].processes[1] = 4711, 4712
    assert [gpu.processes for gpu in Nvml().survey().gpus] == [(4711, 4712), ()]


def test_a_driver_that_is_loaded_anew_voids_everything_until_a_new_start(machine: Machine) -> None:
    gpus = Nvml()
    assert gpus.start() == 2
    gpus.open(0).read()
    machine.reload_driver()
    with pytest.raises(NoDriver, match="handle"):
        gpus.open(0).read()
    gpus.close()
    assert gpus.start() == 2
    assert gpus.open(0).read().energy_j == pytest.approx(0.0, abs=100.0)
    gpus.close()


def test_an_unknown_fault_is_one_of_the_driver(machine: Machine) -> None:
    gpus = Nvml()
    gpus.start()
    machine.fail(0, "power", UNKNOWN)
    with pytest.raises(NoDriver, match="power"):
        gpus.open(0).read()
    machine.fail(0, "power", LOST)
    with pytest.raises(Lost, match="power"):
        gpus.open(0).read()
    gpus.close()


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        (MISMATCH, WrongDriver, "a new start"),
        (9, NoDriver, "the kernel module"),
        (NO_PERMISSION, NoDriver, "/dev/nvidia"),
        (12, NoDriver, "runtime class"),
        (UNKNOWN, NoDriver, "nvidia-smi"),
    ],
)
def test_why_nothing_can_be_read_is_said_with_what_helps(
    machine: Machine, code: int, kind: type[NoDriver], expected: str
) -> None:
    machine.state.init_error = code
    with pytest.raises(NoDriver) as told:
        Nvml().survey()
    assert type(told.value) is kind
    assert expected in told.value.expected
