"""How long is waited between two tries."""

from __future__ import annotations

import pytest

from scheduler.adapters.plantlink.patience import FIRST_S, LONGEST_S, pause_s


@pytest.mark.parametrize(
    ("tried", "most_s"), [(0, FIRST_S), (1, 2.0 * FIRST_S), (3, 8.0 * FIRST_S), (4, LONGEST_S), (10**6, LONGEST_S)]
)
def test_waits_double_to_a_limit_and_are_spread(tried: int, most_s: float) -> None:
    waits = [pause_s(tried) for _ in range(50)]
    assert most_s / 2 <= min(waits) <= max(waits) <= most_s
    assert len(set(waits)) > 1
