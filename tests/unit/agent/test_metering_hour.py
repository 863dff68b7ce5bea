"""Energy of an hour against what the library drew, over resets of the counter and a load of the driver."""

from __future__ import annotations

import pytest
from gpu_machine import Machine
from metered_hour import metered_hour


@pytest.mark.parametrize("seed", [1, 2])
def test_an_hour_is_metered_to_half_a_percent(machine: Machine, seed: int) -> None:
    found = metered_hour(machine, seed)
    assert [one.resets for one in found] == [3, 3]
    assert all(one.drawn_j > 3600.0 * 70.0 for one in found)
    assert max(one.error_fraction for one in found) <= 0.005
