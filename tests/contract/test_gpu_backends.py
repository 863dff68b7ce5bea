"""What every backend of GPUs promises: the machine's driver, the daemon that sets for us, and the pretended one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gpu_machine import Machine
from zeusd_peer import running_zeusd

from scheduler.adapters.gpu.sampler import Gpus
from scheduler.adapters.gpu.setting import NotSet, SettableGpus
from scheduler.core.capping.held import Facts
from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.gpu_backends import needs_capability, to_read, to_set


@pytest.fixture(params=["nvml", "zeusd", "simulated", "simulated-in-file"])
def settable(request: pytest.FixtureRequest, machine: Machine, tmp_path: Path) -> Iterator[SettableGpus]:
    """A backend for a setter, started."""
    if request.param == "zeusd":
        with running_zeusd(machine, tmp_path) as address:
            gpus = to_set(f"zeusd:{address}")
            gpus.start()
            yield gpus
            gpus.close()
        return
    gpus = to_set(f"simulated:{tmp_path}/limits.json" if request.param == "simulated-in-file" else request.param)
    gpus.start()
    yield gpus
    gpus.close()


@pytest.fixture(params=["nvml", "simulated"])
def readable(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Gpus]:
    """A backend for an agent, started."""
    assert machine.state.count == 2
    gpus = to_read(request.param)
    gpus.start()
    yield gpus
    gpus.close()


def looked(gpus: SettableGpus, index: int = 0) -> Facts:
    seen = gpus.open(index).look()
    assert isinstance(seen, Facts)
    return seen


def test_a_gpu_says_its_limit_and_what_may_be(settable: SettableGpus) -> None:
    seen = looked(settable)
    assert (seen.requested_w, seen.enforced_w, seen.default_w, seen.least_w, seen.most_w) == (700.0, 700.0, 700.0, 200.0, 700.0)
    assert (seen.mig, seen.whole_module, seen.may_set, settable.alive()) == (False, False, True, True)


def test_every_gpu_has_a_name_of_its_own_that_stays(settable: SettableGpus) -> None:
    settable.close()
    count = settable.start()
    names = [settable.open(index).uuid for index in range(count)]
    assert (len(set(names)), names[0].startswith("GPU-")) == (count, True)
    assert names == [settable.open(index).uuid for index in range(count)]


def test_a_limit_that_is_set_is_read_back_on_that_gpu_alone(settable: SettableGpus) -> None:
    settable.open(1).set_limit(432.0)
    assert (looked(settable, 0).requested_w, looked(settable, 1).requested_w) == (700.0, 432.0)
    settable.open(1).set_limit(700.0)
    assert looked(settable, 1).requested_w == 700.0


@pytest.mark.parametrize("limit_w", [199.0, 701.0])
def test_a_limit_out_of_range_is_refused_and_changes_nothing(settable: SettableGpus, limit_w: float) -> None:
    gpu = settable.open(0)
    with pytest.raises(NotSet):
        gpu.set_limit(limit_w)
    assert looked(settable).requested_w == 700.0


def test_a_later_start_finds_the_same_gpus_in_an_epoch_that_is_not_older(settable: SettableGpus) -> None:
    before = looked(settable)
    settable.close()
    assert settable.start() >= 2
    assert looked(settable).driver_epoch >= before.driver_epoch


def test_a_reading_is_whole_and_a_glance_goes_on_from_it(readable: Gpus) -> None:
    gpu = readable.open(1)
    whole = gpu.read()
    later = gpu.glance(whole)
    assert (whole.uuid, whole.index, bool(whole.name), whole.missing) == (gpu.uuid, 1, True, ())
    assert None not in (whole.draw_w, whole.energy_j, whole.temperature_c, whole.utilization_fraction, whole.capped_s)
    assert None not in (whole.limits.requested_w, whole.limits.enforced_w, whole.limits.default_w, whole.limits.least_w)
    assert whole.reasons is not None
    assert (later.energy_j or 0.0) >= (whole.energy_j or 0.0)


@pytest.mark.parametrize("name", ["", "amd", "nvml:", "zeusd", "zeusd:/run/zeusd.sock", "Simulated"])
def test_a_backend_that_is_none_is_said(name: str) -> None:
    with pytest.raises(Misconfigured, match="--backend"):
        to_read(name)
    with pytest.raises(Misconfigured, match="--backend"):
        to_set(name)


def test_only_the_driver_itself_asks_for_a_capability() -> None:
    assert [needs_capability(name) for name in ("nvml", "zeusd:unix:/run/zeusd.sock", "simulated")] == [True, False, False]
