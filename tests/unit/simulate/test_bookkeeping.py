"""The ledger of a virtual run adds up to its score; a standing world is EASY backfill with the young jobs undecided."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.domain.errors import Misconfigured
from scheduler.domain.settings import Settings
from scheduler.domain.world import Scenario
from scheduler.simulate.bookkeeping import slot_entries, slot_entry
from scheduler.simulate.generate import weeks
from scheduler.simulate.score import Score, revenue_eur, score
from scheduler.simulate.standing import standing
from scheduler.simulate.strategies import RunSpec, Stage, build
from scheduler.simulate.world import Clockwork, World
from scheduler.units import S_PER_DAY, S_PER_H


@pytest.fixture(scope="module")
def day() -> Scenario:
    return next(weeks(1, seed=2, gpus=16, days=1))


@pytest.fixture(scope="module")
def ended(day: Scenario) -> tuple[World, Score]:
    world, steering = build(RunSpec(strategy="easy_backfill"), Stage(scenario=day, settings=Settings(), clockwork=Clockwork()))
    world.run_to_drain(steering, S_PER_DAY)
    return world, score(world)


@pytest.mark.parametrize("term", ["electricity", "heat_pump", "rejection", "network"])
def test_terms_of_the_slots_add_up_to_the_score(ended: tuple[World, Score], term: str) -> None:
    world, result = ended
    entries = slot_entries(world, range(world.record.slots), None)
    assert sum(entry.eur[term] for entry in entries) == pytest.approx(result.cost_eur[term], rel=1e-9)


def test_heat_of_the_slots_adds_up(ended: tuple[World, Score]) -> None:
    world, result = ended
    entries = slot_entries(world, range(world.record.slots), None)
    assert sum(entry.eur["heat_revenue"] for entry in entries) == pytest.approx(-revenue_eur(world), rel=1e-9)
    assert sum(entry.heat_sold_kwh or 0.0 for entry in entries) == pytest.approx(result.energy["heat_sold_kwh"], rel=1e-9)
    assert sum(entry.facility_energy_kwh or 0.0 for entry in entries) == pytest.approx(
        result.energy["electricity_kwh"], rel=1e-9
    )
    assert sum(entry.heat_firm_kwh or 0.0 for entry in entries) == pytest.approx(result.firm["promised_kwh"], rel=1e-6)
    # Slots stand side by side without gap or overlap.
    assert all(b.start_utc - a.start_utc == timedelta(seconds=a.duration_s) for a, b in zip(entries, entries[1:], strict=False))
    assert len({entry.entry_id for entry in entries}) == len(entries)


def test_with_two_plugs_the_share_of_the_it_meter_is_not_known(ended: tuple[World, Score]) -> None:
    world, _ = ended
    plug = world.site.plugs[0]
    one_site = world.site
    world.site = replace(one_site, plugs=(plug, replace(plug, plug_id="other")))
    try:
        entry = slot_entry(world, plug, 3, None)
    finally:
        world.site = one_site
    assert entry.it_energy_kwh is None
    assert entry.facility_energy_kwh is None
    assert entry.emissions_g is None
    assert set(entry.eur) == {"heat_pump", "rejection", "heat_revenue"}


def test_with_nothing_undecided_it_is_easy_backfill(day: Scenario) -> None:
    at = day.start_utc + timedelta(hours=18)
    stage = Stage(scenario=day, settings=Settings(), clockwork=Clockwork())
    world, steering = build(RunSpec(strategy="easy_backfill"), stage)
    world.run_until(steering, 18 * S_PER_H)
    stood = standing(day, at, undecided_s=0.0)
    assert set(stood.cluster.running) == set(world.cluster.running)
    assert stood.record.it_kw == world.record.it_kw


def test_young_flexible_jobs_wait_and_insulated_ones_do_not(day: Scenario) -> None:
    at = day.start_utc + timedelta(hours=18)
    stood = standing(day, at, undecided_s=6 * S_PER_H)
    young = [
        truth.job.job_id
        for truth in day.jobs
        if at - timedelta(hours=6) <= truth.job.submit_utc <= at and truth.job.class_name != "interactive"
    ]
    waiting = {job.job_id for job in stood.cluster.flexible_queue}
    assert young
    assert set(young) <= waiting
    assert not waiting & set(stood.cluster.running)
    assert stood.now_utc == at


@pytest.mark.parametrize("minutes", [-15, 7])
def test_an_instant_off_the_grid_is_refused(day: Scenario, minutes: int) -> None:
    with pytest.raises(Misconfigured, match="not a slot"):
        standing(day, day.start_utc + timedelta(minutes=minutes), undecided_s=0.0)
