"""A meter spreads piecewise constant rates over slots exactly."""

from __future__ import annotations

import pytest

from scheduler.simulate.metering import SlotMeter


def test_parts_of_slots_by_hand() -> None:
    """2 kW from 300 s to 2,100 s over slots of 900 s: 600 s, 900 s and 300 s of them."""
    meter = SlotMeter(900.0, slots=1)
    meter.add(300.0, 2100.0, 2.0)
    assert meter.means(4).tolist() == pytest.approx([2 * 600 / 900, 2.0, 2 * 300 / 900, 0.0])
    assert meter.mean(1) == pytest.approx(2.0)
    assert meter.mean(100_000) == 0.0


def test_a_whole_slot_touches_no_other() -> None:
    meter = SlotMeter(900.0, slots=2)
    meter.add(900.0, 1800.0, 3.0)
    assert meter.means(3).tolist() == [0.0, 3.0, 0.0]


def test_pieces_sum_to_the_whole() -> None:
    whole, pieces = SlotMeter(900.0), SlotMeter(900.0)
    whole.add(10.0, 5000.0, 1.5)
    for start_s, end_s in ((10.0, 777.0), (777.0, 900.0), (900.0, 4321.0), (4321.0, 5000.0)):
        pieces.add(start_s, end_s, 1.5)
    assert pieces.means(8).tolist() == pytest.approx(whole.means(8).tolist())


def test_what_was_read_does_not_change_later() -> None:
    meter = SlotMeter(900.0, slots=4)
    meter.add(0.0, 900.0, 1.0)
    before = meter.means(2)
    meter.add(0.0, 900.0, 1.0)
    assert before.tolist() == [1.0, 0.0]
    assert meter.means(2).tolist() == [2.0, 0.0]
