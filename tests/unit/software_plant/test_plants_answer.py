"""The heat plants of the demonstration, which answer each schedule once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from scheduler.domain.plan import Offer
from scheduler.domain.time import TimeGrid
from scheduler.entrypoints.plantsim.answering import AnsweringPlants

NOON_UTC = datetime(2026, 1, 12, 12, tzinfo=UTC)


def offer(offtake_id: str, now_utc: datetime, p90_kw: float = 110.0) -> Offer:
    flat = np.ones(4)
    return Offer(
        offtake_id=offtake_id, plug_id="loop", plan_id="p", issued_utc=now_utc, valid_until_utc=now_utc + timedelta(hours=1),
        grid=TimeGrid(start_utc=now_utc, slot_s=900, slots=4), p50_kw=100.0 * flat, p10_kw=90.0 * flat, p90_kw=p90_kw * flat,
        firm_kw=80.0 * flat, min_kw=0.0 * flat, max_kw=120.0 * flat, supply_c=70.0 * flat, return_max_c=45.0,
        shortfall_probability=0.1 * flat,
    )  # fmt: skip


def test_each_plant_answers_each_schedule_once() -> None:
    plants = AnsweringPlants("lab")
    for i in range(3):
        at_utc = NOON_UTC + timedelta(hours=i)
        plants.cycle([offer("town", at_utc), offer("bath", at_utc)], at_utc, 7 + i)
    plants.cycle([offer("town", NOON_UTC)], NOON_UTC, 8)
    assert plants.to_json() == {
        "bath": {"newest": 9, "refused": 0, "accepted": 3, "partial": 0, "rejected": 0},
        "town": {"newest": 9, "refused": 0, "accepted": 3, "partial": 0, "rejected": 0},
    }
    assert plants.told()[1] == "town: schedule 9 acknowledged; so far 3 accepted, 0 partial, 0 rejected"


def test_a_schedule_that_is_none_is_rejected() -> None:
    plants = AnsweringPlants("lab")
    plants.cycle([offer("town", NOON_UTC, p90_kw=50.0)], NOON_UTC, 1)
    assert plants.plants["town"].answers == {"rejected": 1}
