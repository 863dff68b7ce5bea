"""What is believed of an agent's answer, by hand."""

from __future__ import annotations

from typing import Any

import pytest
from agent_peer import slot, telemetry
from hypothesis import given
from hypothesis import strategies as st

from scheduler.adapters.telemetry.wire import Heard, Unbelievable, node_draw
from scheduler.domain.telemetry import WallOf

ONE = {"uuid": "GPU-1", "podUid": "pod-1", "limitWatts": 700.0}
TWO = {"uuid": "GPU-2", "podUid": ""}
UNKNOWN = {"uuid": "GPU-3"}


def test_watts_are_joules_over_seconds_of_what_was_not_heard_yet() -> None:
    slots = [
        slot(41, {"GPU-1": 9000.0, "GPU-2": 700.0}),
        slot(42, {"GPU-1": 3000.0, "GPU-2": 700.0}, wallJoules=8000.0),
        slot(43, {"GPU-1": 2000.0}, seconds=5.0, wallJoules=4000.0),
    ]
    found, heard = node_draw(telemetry("n0", ONE, TWO, UNKNOWN, slots=slots), "n0", Heard(boot="first", sequence=41))
    # (3000 + 2000) J / 15 s; 700 J / 10 s; nothing of the third; (8000 + 4000) J / 15 s at the wall.
    assert [gpu.draw_w for gpu in found.gpus] == [pytest.approx(5000.0 / 15.0), 70.0, None]
    assert [gpu.pod_uid for gpu in found.gpus] == ["pod-1", "", None]
    assert (found.wall_w, found.gpus[0].limit_w, found.draw_w) == (800.0, 700.0, None)
    assert heard == Heard(boot="first", sequence=43)


def test_an_agent_that_is_new_or_began_anew_tells_of_the_last_minute() -> None:
    slots = [slot(number, {"GPU-1": 1000.0 * number}, seconds=30.0) for number in (1, 2, 3)]
    for before in (None, Heard(boot="an earlier one", sequence=99)):
        found, _ = node_draw(telemetry("n0", ONE, slots=slots), "n0", before)
        assert found.gpus[0].draw_w == pytest.approx((2000.0 + 3000.0) / 60.0)


@pytest.mark.parametrize(
    ("said", "wall_of"),
    [(({}, {"wallOf": "measured"}), WallOf.MEASURED), (({"wallOf": "measured"}, {"wallOf": "modelled"}), WallOf.MODELLED)],
)
def test_a_wall_that_is_modelled_in_part_is_modelled(said: tuple[dict[str, Any], ...], wall_of: WallOf) -> None:
    slots = [slot(number, {}, wallJoules=9000.0, **one) for number, one in enumerate(said)]
    found, _ = node_draw(telemetry("n0", ONE, slots=slots), "n0", None)
    assert (found.wall_w, found.wall_of) == (900.0, wall_of)


def test_what_was_heard_already_says_nothing_new() -> None:
    answer = telemetry("n0", ONE, slots=[slot(7, {"GPU-1": 1000.0}, wallJoules=1.0)])
    found, heard = node_draw(answer, "n0", Heard(boot="first", sequence=7))
    assert (found.gpus[0].draw_w, found.wall_w, heard.sequence) == (None, None, 7)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 2}, "version: 2 (expected 1)"),
        ({"node": "n1"}, "node: 'n1' (expected 'n0')"),
        ({"measuredUtc": "yesterday"}, "measuredUtc: 'yesterday'"),
        ({"measuredUtc": "2026-01-14T12:00:30"}, "measuredUtc"),
        ({"measuredUtc": "0001-01-01T00:00:00+10:00"}, "measuredUtc: '0001-01-01T00:00:00+10:00'"),
        ({"gpus": {}}, "gpus: expected a list of at most 64"),
        ({"gpus": [ONE] * 65}, "gpus: expected a list of at most 64"),
        ({"gpus": [ONE, ONE]}, "a uuid stands there twice"),
        ({"gpus": [{"podUid": "p"}]}, "gpus[0].uuid: missing"),
        ({"gpus": [{"uuid": "GPU-1", "podUid": 7}]}, "gpus[0].podUid: 7"),
        ({"gpus": [{**ONE, "limitWatts": -1}]}, "gpus[0].limitWatts: -1"),
        ({"gpus": [{**ONE, "limitWatts": 10**400}]}, "gpus[0].limitWatts: 10000000"),
        ({"slots": [slot(1, {"GPU-1": float("nan")})]}, "slots[0].joules.GPU-1: nan"),
        ({"slots": [slot(1, {"GPU-1": True})]}, "slots[0].joules.GPU-1: True"),
        ({"slots": [slot(1, {}, seconds=-1.0)]}, "slots[0].seconds: -1.0"),
        ({"slots": [slot(-1, {})]}, "slots[0].sequence: -1"),
        ({"slots": [slot(1, {"GPU-1": 100_000.0}, seconds=10.0)]}, "GPU-1: 10000 W on the mean (expected at most 5000)"),
        ({"slots": [slot(1, {}, wallJoules=1.0, wallOf="guessed")]}, "slots[0].wallOf: 'guessed'"),
        ({"slots": ["x"]}, "slots[0]: expected an object"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(changes: dict[str, Any], why: str) -> None:
    answer = {**telemetry("n0", ONE, slots=[slot(1, {"GPU-1": 3000.0})]), **changes}
    with pytest.raises(Unbelievable) as refused:
        node_draw(answer, "n0", None)
    assert why in str(refused.value)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["uuid", "joules", "seconds", "x"]), inner),
    max_leaves=8,
)


@given(said=JSONS | st.fixed_dictionaries({"version": st.just(1), "node": st.just("n0"), "gpus": JSONS, "slots": JSONS}))
def test_nothing_that_is_said_breaks_the_listener(said: object) -> None:
    try:
        found, _ = node_draw(said, "n0", None)
    except Unbelievable:
        return
    assert all(gpu.draw_w is None or 0.0 <= gpu.draw_w <= 5000.0 for gpu in found.gpus)
