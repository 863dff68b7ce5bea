"""A GPU that its own hardware brakes, as a setter sees it by NVML."""

from __future__ import annotations

import pytest
from gpu_machine import Machine

from scheduler.adapters.gpu.setting import NvmlSettables
from scheduler.core.capping.held import Facts

NOT_SUPPORTED = 3


@pytest.mark.parametrize(
    ("reasons", "braked"),
    [
        (0x0, False),
        (0x20, False),  # Heat by software: it is what a cap would mend.
        (0x40, True),
        (0x80, True),
        (0xC4, True),
    ],
)
def test_only_heat_and_supply_as_the_hardware_sees_them_brake(machine: Machine, reasons: int, braked: bool) -> None:
    machine[0].brakes = reasons
    gpus = NvmlSettables()
    gpus.start()
    seen = gpus.open(0).look()
    machine.fail(0, "reasons", NOT_SUPPORTED)
    unsaid = gpus.open(0).look()
    gpus.close()
    assert isinstance(seen, Facts)
    assert isinstance(unsaid, Facts)
    assert (seen.braked, unsaid.braked) == (braked, False)
    assert seen.requested_w == 700.0
