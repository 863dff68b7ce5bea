"""What a plant is shown, by the state of the newest schedule; as time passes it is worth less and never more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_offers import NOON, offer

from scheduler.adapters.plantlink.memory import canonical
from scheduler.core.publishing.heartbeat import LinkState, heartbeat_of
from scheduler.core.publishing.issuing import Issue, issued
from scheduler.core.publishing.shown import REASONS, SHOWN, STALE_S, shown_of, state_of
from scheduler.domain.link_options import LinkTimes
from scheduler.domain.plantlink import Board, LinkMode, ManualOverride, PlantSeen, ScheduleState

ISSUE = Issue(site_id="site", meter_point_id="MP-1", last=None)


def board_of(state: LinkState) -> Board:
    """A board as a desk makes it at noon."""
    return Board(
        site_id="site", plug_id="loop", offtake_id="town", version=1, heartbeat=heartbeat_of(state, 3, NOON, LinkTimes()),
        schedule=state.schedule, schedule_json=b"" if state.schedule is None else canonical(state.schedule), seen=state.seen,
    )  # fmt: skip


@st.composite
def states(draw: st.DrawFn) -> LinkState:
    """Any state of a link at noon: a schedule of some validity or none, an operator heard or not, a person who took over."""
    valid = timedelta(minutes=draw(st.integers(min_value=-30, max_value=90)))
    made = offer(at_utc=NOON - timedelta(hours=1), valid_until_utc=NOON + valid, advisory=draw(st.booleans()),
                 withdrawn=draw(st.booleans()))  # fmt: skip
    heard_s = draw(st.none() | st.integers(min_value=0, max_value=80))
    return LinkState(
        offtake_id="town",
        operator_utc=None if heard_s is None else NOON - timedelta(seconds=heard_s),
        schedule=issued(made, ISSUE) if draw(st.booleans()) else None,
        seen=PlantSeen(override=ManualOverride() if draw(st.booleans()) else None),
        ending=draw(st.booleans()),
    )


@given(states(), st.integers(min_value=0, max_value=7200))
def test_what_is_shown_is_never_worth_more_than_it_was(state: LinkState, later_s: int) -> None:
    board = board_of(state)
    now, later = shown_of(board, NOON), shown_of(board, NOON + timedelta(seconds=later_s))
    assert now.heartbeat == board.heartbeat
    assert later.heartbeat.boiler_on or not now.heartbeat.boiler_on
    assert later.schedule is None or later.schedule is now.schedule
    for one in (now, later):
        assert (one.schedule is None) == (one.schedule_json == b"") == (one.state not in SHOWN)
        assert one.heartbeat.boiler_on or one.state is ScheduleState.IN_FORCE
        assert one.heartbeat.mode is not LinkMode.AUTO or one.state is ScheduleState.IN_FORCE
        assert one.heartbeat.last_sequence == board.heartbeat.last_sequence
        assert one.heartbeat.counter == 3


def test_every_state_has_a_reason_but_the_good_one() -> None:
    assert {state for state in ScheduleState if not REASONS[state]} == {ScheduleState.IN_FORCE}


@pytest.mark.parametrize(
    ("after_s", "state"), [(0, "inForce"), (STALE_S, "inForce"), (STALE_S + 1, "stopped"), (-STALE_S - 1, "stopped")]
)
def test_a_heartbeat_says_something_for_four_beats(after_s: float, state: str) -> None:
    board = board_of(LinkState(offtake_id="town", operator_utc=NOON, schedule=issued(offer(), ISSUE), seen=PlantSeen()))
    found = shown_of(board, NOON + timedelta(seconds=after_s))
    assert (found.state, found.heartbeat.boiler_on, found.fresh) == (state, state == "stopped", state != "stopped")


def test_a_schedule_runs_out_between_two_heartbeats() -> None:
    schedule = issued(offer(valid_until_utc=NOON + timedelta(seconds=5)), ISSUE)
    board = board_of(LinkState(offtake_id="town", operator_utc=NOON, schedule=schedule, seen=PlantSeen()))
    before, after = (shown_of(board, NOON + timedelta(seconds=s)) for s in (4, 5))
    assert (before.schedule, before.heartbeat.boiler_on) == (schedule, False)
    assert (after.schedule, after.heartbeat.boiler_on, after.heartbeat.alarm_text) == (None, True, "the schedule has run out")


def test_the_worst_is_told() -> None:
    schedule = issued(offer(withdrawn=True), ISSUE)
    assert state_of(schedule, NOON) is ScheduleState.CANCELLED
    assert state_of(schedule, NOON, silent=True) is ScheduleState.OPERATOR_SILENT
    assert state_of(schedule, NOON, silent=True, ending=True) is ScheduleState.ENDING
    assert state_of(schedule, NOON + timedelta(hours=1)) is ScheduleState.RUN_OUT
