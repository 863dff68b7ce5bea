"""What is written to disk comes back exactly, whatever it is."""

from __future__ import annotations

import dataclasses
import json
import keyword
import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import ACTING, NOW, history, queued, running, small_site, snapshot

from scheduler.adapters.record.codec import CLASS, Unreadable, decode, encode
from scheduler.config.reference import reference_site
from scheduler.domain.action import Action, Applied, Failed, HoldJob, Outcome, ReleaseCap, SetCap, StartJob, StopJob, Superseded
from scheduler.domain.contract import TariffKind
from scheduler.domain.job import JobState
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.domain.time import Series, TimeGrid

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)
INSTANTS = st.integers(-10_000_000, 10_000_000).map(
    lambda seconds: NOW + timedelta(seconds=seconds, microseconds=seconds % 997)
)


def same(a: object, b: object) -> bool:
    """Equality of values and of types, to the last bit, NaN equal to NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1.0, a) == math.copysign(1.0, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b


def through_json(hint: type, value: object) -> object:
    """Encode, write as strict JSON, read, decode."""
    return decode(hint, json.loads(json.dumps(encode(hint, value), allow_nan=False)))


@settings(max_examples=100, deadline=None)
@given(st.lists(FLOATS, max_size=20))
def test_series_with_any_numbers_come_back(values: list[float]) -> None:
    grid = TimeGrid(start_utc=NOW, slot_s=900, slots=len(values))
    series = Series(grid=grid, values=np.asarray(values, dtype=np.float64), unit="kW", source="s", issued_utc=NOW)
    assert same(through_json(Series, series), series)


ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.builds(
        StartJob, job_id=st.text(), pool_id=st.text(), at_utc=INSTANTS, cap_w=st.one_of(st.none(), FLOATS), reason=st.text()
    ),
    st.builds(HoldJob, job_id=st.text(), until_utc=INSTANTS, planned_start_utc=st.none(), reason=st.text(), text=st.text()),
    st.builds(StopJob, job_id=st.text(), at_utc=INSTANTS, resume_by_utc=INSTANTS),
    st.builds(SetCap, job_id=st.text(), cap_w=FLOATS, at_utc=INSTANTS, lease_s=FLOATS),
    st.builds(ReleaseCap, job_id=st.text(), at_utc=INSTANTS),
)
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Applied, action=ACTIONS),
    st.builds(Failed, action=ACTIONS, error=st.text()),
    st.builds(Superseded, action=ACTIONS),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bag:
    """Unions inside tuples and dicts."""

    outcomes: tuple[Outcome, ...]
    pairs: tuple[tuple[float, float], ...]
    by_name: dict[str, Action]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(OUTCOMES, max_size=5).map(tuple),
    st.lists(st.tuples(FLOATS, FLOATS), max_size=5).map(tuple),
    st.dictionaries(st.text(), ACTIONS, max_size=4),
)
def test_unions_keep_their_kind(
    outcomes: tuple[Outcome, ...], pairs: tuple[tuple[float, float], ...], by_name: dict[str, Action]
) -> None:
    bag = Bag(outcomes=outcomes, pairs=pairs, by_name=by_name)
    assert same(through_json(Bag, bag), bag)


@settings(max_examples=50, deadline=None)
@given(FLOATS, FLOATS, st.one_of(st.none(), FLOATS))
def test_jobs_with_strange_numbers_come_back(work_s: float, run_s: float, cap_w: float | None) -> None:
    state = replace(running("r"), work_done_s=work_s, run_s=run_s, cap_w=cap_w)
    assert same(through_json(JobState, state), state)


def test_whole_inputs_come_back() -> None:
    site = small_site(pools=2)
    broken = history()
    broken = replace(broken, insulated_gpus=None, heat_demand_kw={})
    snap = snapshot([queued("q"), running("r", "preemptible")], site=site, past=broken)
    for hint, value in ((Site, site), (Snapshot, snap), (Settings, ACTING)):
        assert same(through_json(hint, value), value)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (TimeGrid, {"start_utc": "2026-01-01T00:00:00", "slot_s": 900, "slots": 1}),
        (TimeGrid, {"start_utc": "2026-01-01T00:00:00+00:00", "slot_s": 900.0, "slots": 1}),
        (TimeGrid, {"start_utc": "2026-01-01T00:00:00+00:00", "slot_s": 900}),
        (TimeGrid, {"start_utc": "2026-01-01T00:00:00+00:00", "slot_s": 900, "slots": 1, "more": 1}),
        (Settings, {"mode": "Sometimes"}),
        (Settings, {"lease_s": "soon"}),
        (Settings, {"lease_s": True}),
        (Bag, {"outcomes": [{"class": "Nothing"}], "pairs": [], "by_name": {}}),
        (Bag, {"outcomes": {}, "pairs": [], "by_name": {}}),
    ],
)
def test_what_does_not_fit_is_refused(hint: type, value: object) -> None:
    with pytest.raises(Unreadable):
        decode(hint, value)


def test_the_reference_site_comes_back_with_every_choice_it_makes() -> None:
    """Its tariff, heat pump and electricity are other kinds than the defaults; a tag once hid fields called `kind`."""
    site = reference_site(gpus=256, gpus_per_node=8, heat_peak_kw=100.0, time_zone="Europe/Copenhagen")
    assert site.offtakes[0].tariff.kind is TariffKind.TEMPERATURE_INDEXED
    assert through_json(Site, site) == site


def test_no_field_can_be_mistaken_for_the_tag_of_a_class() -> None:
    assert CLASS in keyword.kwlist
