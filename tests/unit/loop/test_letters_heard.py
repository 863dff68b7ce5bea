"""What plants wrote as input of the next plan: forecasts on quarter hours, states, and what customers take at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from link_offers import NOON, PLC, STRANGER, letter
from small_world import ACTING, NOW, small_site, snapshot

from scheduler.core.publishing.taking import ceiling_kw, taken
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    DemandForecast,
    HeatRequest,
    Letter,
    LetterBody,
    MaintenanceNotice,
    ManualOverride,
    NetworkState,
    TankState,
)
from scheduler.domain.snapshot import Commitment, TakeLimit
from scheduler.domain.time import TimeGrid
from scheduler.loop.decide import decide
from scheduler.loop.letters import forecasts_of, limits_of, states_of

HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
SITE = small_site()
TOWN, LOOP = SITE.offtakes[0].offtake_id, SITE.plugs[0].plug_id


def said(*bodies: LetterBody) -> dict[str, Sequence[Letter]]:
    """Letters of one customer, a minute apart."""
    return {TOWN: [letter(body, at_utc=NOON + timedelta(minutes=i), offtake_id=TOWN) for i, body in enumerate(bodies)]}


def limits(*bodies: LetterBody, after: timedelta = HOUR) -> list[tuple[float, timedelta, timedelta | None]]:
    """Limits as kW, and hours from noon."""
    found = limits_of(said(*bodies), NOON + after)
    return [(one.heat_kw, one.start_utc - NOON, None if one.end_utc is None else one.end_utc - NOON) for one in found]


def test_a_forecast_becomes_means_of_quarter_hours() -> None:
    """Steps of 10 min from 12:05: 60, 30, 30, not known. From 12:15 to 12:30 it is 30 throughout; the others lack parts."""
    body = DemandForecast(start_utc=NOON + timedelta(minutes=5), step_s=600, heat_kw=(60.0, 30.0, 30.0, None))
    (reading,) = forecasts_of(said(body))
    assert (reading.quantity, reading.series.unit, reading.fetched_utc) == (f"plant_forecast {TOWN}", "kW", NOON)
    assert reading.series.grid.start_utc == NOON
    assert np.array_equal(reading.series.values, [np.nan, 30.0, np.nan], equal_nan=True)


def test_an_hour_is_its_four_quarters_and_the_newest_forecast_holds() -> None:
    old = DemandForecast(start_utc=NOON, step_s=900, heat_kw=(1.0,))
    new = DemandForecast(start_utc=NOON, step_s=3600, heat_kw=(100.0, 50.0))
    (reading,) = forecasts_of(said(old, new))
    assert reading.series.values.tolist() == [100.0] * 4 + [50.0] * 4


def test_states_are_the_newest_that_are_not_old() -> None:
    bodies = (
        TankState(at_utc=NOON, level_kwh=5.0),
        TankState(at_utc=NOON - QUARTER, level_kwh=9.0),
        NetworkState(at_utc=NOON, heat_kw=40.0),
    )
    (state,) = states_of(SITE, said(*bodies), NOON + QUARTER)
    assert (state.plug_id, state.tank_level_kwh, state.sold_kw) == (LOOP, 5.0, 40.0)
    (late,) = states_of(SITE, said(*bodies), NOON + HOUR)
    assert (late.tank_level_kwh, late.sold_kw) == (None, 0.0)


def test_each_letter_bounds_what_is_taken_in_its_time() -> None:
    assert limits(ManualOverride(limit_kw=5.0)) == [(5.0, timedelta(0), None)]
    assert limits(ManualOverride(limit_kw=5.0), ManualOverride(limit_kw=2.0)) == [(2.0, timedelta(minutes=1), None)]
    notice = MaintenanceNotice(notice_id="a", start_utc=NOON, end_utc=NOON + 2 * HOUR, available_kw=0.0)
    assert limits(notice, replace(notice, available_kw=9.0)) == [(9.0, timedelta(minutes=1), 2 * HOUR)]
    assert limits(notice, after=3 * HOUR) == []


def test_of_two_requests_the_later_holds_where_they_overlap() -> None:
    first = HeatRequest(heat_kw=10.0, start_utc=NOON, end_utc=NOON + 4 * HOUR)
    second = HeatRequest(heat_kw=80.0, start_utc=NOON + 2 * HOUR, end_utc=NOON + 6 * HOUR)
    assert limits(first, second) == [(80.0, 2 * HOUR, 6 * HOUR), (10.0, timedelta(0), 2 * HOUR)]
    assert limits(first, second, after=5 * HOUR) == [(80.0, 2 * HOUR, 6 * HOUR)]


def test_a_shorter_request_within_a_longer_one_leaves_its_end_alone() -> None:
    long = HeatRequest(heat_kw=10.0, start_utc=NOON, end_utc=NOON + 6 * HOUR)
    short = HeatRequest(heat_kw=80.0, start_utc=NOON + 2 * HOUR, end_utc=NOON + 3 * HOUR)
    assert limits(long, short) == [
        (80.0, 2 * HOUR, 3 * HOUR),
        (10.0, timedelta(0), 2 * HOUR),
        (10.0, 3 * HOUR, 6 * HOUR),
    ]
    assert limits(long, short, after=4 * HOUR) == [(10.0, 3 * HOUR, 6 * HOUR)]


def test_an_answer_bounds_what_comes_after_it_for_a_while() -> None:
    partial = Acknowledgement(sequence=3, verdict=AckVerdict.PARTIAL, accepted_kw=40.0)
    assert limits(partial) == [(40.0, timedelta(0), 6 * HOUR)]
    assert limits(partial, after=7 * HOUR) == []
    rejected = Acknowledgement(sequence=3, verdict=AckVerdict.REJECTED)
    assert limits(rejected, after=QUARTER) == [(0.0, timedelta(0), HOUR)]
    assert limits(Acknowledgement(sequence=3, verdict=AckVerdict.ACCEPTED)) == []


def test_who_accepts_ends_what_he_said_to_that_schedule_and_those_before_it() -> None:
    less = Acknowledgement(sequence=3, verdict=AckVerdict.PARTIAL, accepted_kw=40.0)
    for sequence, held in ((2, True), (3, False), (4, False)):
        accepted = Acknowledgement(sequence=sequence, verdict=AckVerdict.ACCEPTED)
        assert bool(limits(less, accepted)) is held
        assert bool(limits(accepted, less))
    accepted_by_stranger = letter(
        Acknowledgement(sequence=3, verdict=AckVerdict.ACCEPTED), at_utc=NOON + QUARTER, sender=STRANGER, offtake_id=TOWN
    )
    assert limits_of({TOWN: [*said(less)[TOWN], accepted_by_stranger]}, NOON + HOUR)


HOURS, KW = st.integers(0, 8), st.sampled_from([0.0, 20.0, 50.0, 1e6])
ANYTHING: st.SearchStrategy[LetterBody] = st.one_of(
    st.builds(ManualOverride, limit_kw=KW),
    st.builds(
        lambda kw, first, hours: HeatRequest(heat_kw=kw, start_utc=NOON + first * HOUR, end_utc=NOON + (first + hours) * HOUR),
        KW, HOURS, st.integers(1, 4),
    ),
    st.builds(
        lambda kw, hours: MaintenanceNotice(notice_id="a", start_utc=NOON, end_utc=NOON + hours * HOUR, available_kw=kw),
        KW, st.integers(1, 8),
    ),
    st.builds(Acknowledgement, sequence=st.integers(1, 3), verdict=st.sampled_from([AckVerdict.ACCEPTED, AckVerdict.REJECTED])),
    st.builds(Acknowledgement, sequence=st.integers(1, 3), verdict=st.just(AckVerdict.PARTIAL), accepted_kw=KW),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(spoken=st.lists(st.tuples(ANYTHING, st.booleans(), st.booleans()), max_size=10), now=st.integers(0, 40))
def test_no_letter_without_a_credential_raises_any_limit_at_any_time(
    spoken: list[tuple[LetterBody, bool, bool]], now: int
) -> None:
    """Whatever was said: with some strangers' letters left out, every limit is at least as high."""
    letters = [
        letter(body, at_utc=NOON + i * QUARTER, sender=PLC if known else STRANGER, offtake_id=TOWN)
        for i, (body, known, _) in enumerate(spoken)
    ]
    fewer = [one for one, (_, known, kept) in zip(letters, spoken, strict=True) if known or kept]
    grid = TimeGrid(start_utc=NOON, slot_s=900, slots=60)
    with_them, without = (ceiling_kw(limits_of({TOWN: said}, NOON + now * QUARTER), TOWN, grid) for said in (letters, fewer))
    assert bool(np.all(with_them <= without))


def test_a_ceiling_covers_every_slot_that_it_touches() -> None:
    grid = TimeGrid(start_utc=NOON, slot_s=900, slots=4)
    limit = TakeLimit(
        offtake_id=TOWN, start_utc=NOON + timedelta(minutes=20), end_utc=NOON + timedelta(minutes=31), heat_kw=7.0, reason=""
    )
    assert ceiling_kw([limit], TOWN, grid).tolist() == [np.inf, 7.0, 7.0, np.inf]
    assert ceiling_kw([limit], "other", grid).tolist() == [np.inf] * 4
    assert ceiling_kw([replace(limit, end_utc=None, start_utc=NOON - HOUR)], TOWN, grid).tolist() == [7.0] * 4


@pytest.mark.parametrize("limit_kw", [0.0, 6.0])
def test_a_plan_sells_no_more_than_is_taken_and_asks_no_boiler_for_what_nobody_wants(limit_kw: float) -> None:
    owed = Commitment(offtake_id=TOWN, start_utc=NOW, end_utc=NOW + 4 * HOUR, firm_kw=20.0, gate_utc=NOW - HOUR)
    before = replace(snapshot(site=SITE), commitments=(owed,))
    limit = TakeLimit(offtake_id=TOWN, start_utc=NOW, end_utc=NOW + 4 * HOUR, heat_kw=limit_kw, reason="")
    seen = replace(before, take_limits=(limit,))
    (free,), (bound,) = decide(SITE, before, ACTING).offers, decide(SITE, seen, ACTING).offers
    slots = int(4 * HOUR.total_seconds() // bound.grid.slot_s)
    assert float(free.firm_kw[0]) == 20.0
    assert float(bound.p50_kw[:slots].max()) <= limit_kw + 1e-6
    assert float(bound.firm_kw[:slots].max()) == limit_kw
    assert bound.boiler_request_kw <= max(0.0, limit_kw - float(bound.p50_kw[:4].min())) + 1e-6
    assert taken(seen).commitments == (replace(owed, firm_kw=limit_kw),)
