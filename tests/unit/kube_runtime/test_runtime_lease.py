"""The rules of the Lease, edge by edge, and by arbitrary clocks, pauses and losses: never two writers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lease_world import Candidate, Trip, World, overlaps
from runtime_world import FakeClock

from scheduler.adapters.kubernetes.runtime.fence import Fenced, NeverFence, Term, Unfenced
from scheduler.adapters.kubernetes.runtime.lease import RELEASED_S, Contest, LeaseRecord, LeaseTimes

TIMES = LeaseTimes()  # 12 s, renewed every 2 s, given up after 8 s, relied on for 12 * 0.98 = 11.76 s
SURE_S = 11.76


def held_by(holder: str, version: str = "1", lease_s: float | None = 12.0) -> LeaseRecord:
    return LeaseRecord(version=version, holder=holder, lease_s=lease_s, transitions=3)


def leader(at_s: float = 0.0) -> Contest:
    """A contest won by a bid sent at `at_s` and answered at once."""
    contest = Contest("a", TIMES)
    contest.saw(held_by("", lease_s=RELEASED_S), at_s - RELEASED_S)
    bid = contest.bid(at_s)
    assert bid is not None
    assert contest.accepted(bid, "2", at_s, at_s)
    return contest


@pytest.mark.parametrize(
    "wrong",
    [
        {"renew_every_s": 9.0},
        {"renew_deadline_s": 12.0},
        {"renew_deadline_s": 11.77},
        {"lease_s": 8},
        {"renew_every_s": 0.0},
        {"jitter_fraction": 1.0},
        {"retry_s": 0.0},
    ],
)
def test_times_under_which_a_leader_outlives_its_lease_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="LeaseTimes"):
        LeaseTimes(**wrong)  # type: ignore[arg-type]  # lease_s as a float is refused by value, not by type


def test_nothing_is_bid_before_the_lease_was_read() -> None:
    assert Contest("a", TIMES).bid(1e9) is None


def test_anothers_lease_is_taken_only_after_it_stood_still_for_its_length() -> None:
    contest = Contest("a", TIMES)
    contest.saw(held_by("b"), 100.0)
    contest.saw(held_by("b"), 111.9)
    assert contest.bid(111.9) is None
    contest.saw(held_by("b"), 112.0)
    bid = contest.bid(112.0)
    assert bid is not None
    assert (bid.version, bid.holder, bid.transitions, bid.renewal) == ("1", "a", 4, False)


def test_every_change_starts_the_wait_anew() -> None:
    contest = Contest("a", TIMES)
    contest.saw(held_by("b", "1"), 100.0)
    contest.saw(held_by("b", "2"), 111.0)
    assert contest.bid(122.9) is None
    assert contest.bid(123.0) is not None


def test_a_record_without_a_length_gets_ours() -> None:
    contest = Contest("a", TIMES)
    contest.saw(held_by("b", lease_s=None), 0.0)
    assert contest.free_at_s() == 12.0


def test_a_longer_lease_of_another_version_of_us_is_respected() -> None:
    contest = Contest("a", TIMES)
    contest.saw(held_by("b", lease_s=60.0), 0.0)
    assert contest.bid(59.9) is None


def test_a_missing_lease_is_made_free_and_then_waited_for() -> None:
    """It may have been deleted under a leader; and deleted twice it would look as if it had never been there."""
    contest = Contest("a", TIMES)
    contest.saw(None, 0.0)
    bid = contest.bid(0.0)
    assert bid is not None
    assert (bid.version, bid.holder, bid.lease_s) == ("", "", 12)
    assert not contest.accepted(bid, "1", 0.0, 0.5)
    assert contest.bid(12.4) is None
    taken = contest.bid(12.5)
    assert taken is not None
    assert (taken.version, taken.holder) == ("1", "a")


def test_a_lease_deleted_under_a_leader_ends_his_term() -> None:
    contest = leader()
    contest.saw(None, 1.0)
    assert not contest.leading


def test_an_emptied_holder_is_no_release() -> None:
    """Somebody's edit frees nothing at once: only a holder that lets go writes a short length."""
    contest = Contest("a", TIMES)
    contest.saw(held_by(""), 0.0)
    assert contest.bid(11.9) is None


def test_validity_counts_from_before_the_request() -> None:
    contest = Contest("a", TIMES)
    contest.saw(held_by("", lease_s=RELEASED_S), 0.0)
    bid = contest.bid(1.0)
    assert bid is not None
    assert contest.accepted(bid, "2", sent_s=1.0, now_s=4.0)
    assert contest.valid_until_s == pytest.approx(1.0 + SURE_S)


def test_an_answer_after_the_leases_end_is_no_leadership() -> None:
    contest = Contest("a", TIMES)
    contest.saw(held_by("", lease_s=RELEASED_S), 0.0)
    bid = contest.bid(1.0)
    assert bid is not None
    assert not contest.accepted(bid, "2", sent_s=1.0, now_s=1.0 + SURE_S)
    assert not contest.leading


def test_renewals_extend_and_keep_the_transitions() -> None:
    contest = leader()
    bid = contest.bid(2.0)
    assert bid is not None
    assert (bid.version, bid.renewal, bid.transitions) == ("2", True, 4)
    assert contest.accepted(bid, "3", 2.0, 2.1)
    assert contest.valid_until_s == pytest.approx(2.0 + SURE_S)
    assert not contest.overdue(9.9)
    assert contest.overdue(10.0)  # 8 s after the last renewal was sent


def test_a_leader_who_sees_another_holder_stands_down() -> None:
    contest = leader()
    contest.saw(held_by("b", "9"), 1.0)
    assert not contest.leading
    assert contest.holder == "b"


def test_a_leader_who_sees_only_an_annotation_goes_on() -> None:
    contest = leader()
    contest.saw(LeaseRecord(version="9", holder="a", lease_s=12.0, transitions=4), 1.0)
    assert contest.leading
    bid = contest.bid(1.0)
    assert bid is not None
    assert bid.version == "9"


def test_a_renewal_that_returns_after_a_pause_ends_the_term() -> None:
    contest = leader()
    bid = contest.bid(2.0)
    assert bid is not None
    assert not contest.accepted(bid, "3", sent_s=2.0, now_s=30.0)
    assert contest.bid(41.9) is None  # it proves nothing: waited out like anybody's
    again = contest.bid(42.0)
    assert again is not None
    assert not again.renewal  # a new term, not the old one


def test_a_namesakes_lease_is_anothers() -> None:
    """A restarted container, or a replica with a copied identity: what this process did not write itself is not its own."""
    contest = Contest("a", TIMES)
    contest.saw(held_by("a", "7"), 50.0)
    assert contest.bid(61.9) is None
    assert contest.bid(62.0) is not None


def test_a_leader_whose_term_ended_takes_its_own_untouched_lease_at_once() -> None:
    contest = leader()
    contest.end()
    contest.saw(held_by("a", "2"), 50.0)
    bid = contest.bid(50.0)
    assert bid is not None
    assert not bid.renewal
    contest.saw(held_by("a", "3"), 50.0)  # written by a namesake meanwhile
    assert contest.bid(50.0) is None


def test_release() -> None:
    contest = leader()
    bid = contest.release()
    assert bid is not None
    assert (bid.holder, bid.lease_s, bid.version) == ("", RELEASED_S, "2")
    assert not contest.accepted(bid, "3", 1.0, 1.0)
    assert contest.release() is None
    assert not contest.leading


def test_pace() -> None:
    contest = leader()
    assert contest.wait_s(0.0, failed=False, uniform=0.0) == 2.0
    assert contest.wait_s(0.0, failed=False, uniform=0.5) == pytest.approx(1.8)  # 2 * (1 - 0.2 * 0.5)
    assert contest.wait_s(0.0, failed=True, uniform=0.0) == 0.5
    standby = Contest("b", TIMES)
    standby.saw(held_by("a"), 0.0)
    assert standby.wait_s(0.0, failed=False, uniform=0.0) == 2.0
    assert standby.wait_s(11.5, failed=False, uniform=0.0) == 0.5  # it will be free in half a second


def test_a_term_asks_the_clock_at_every_call() -> None:
    clock = FakeClock(100.0)
    term = Term(1, clock, valid_until_s=110.0)
    assert term.holds(9.9)
    assert not term.holds(10.0)
    clock.now_s = 200.0  # the process was stopped
    assert not term.holds(0.0)
    assert term.left_s() == 0.0
    with pytest.raises(Fenced, match="lease not renewed"), term.permit(1.0):
        pytest.fail("must not be entered")


def test_a_term_that_is_over_stays_over() -> None:
    clock = FakeClock()
    term = Term(1, clock, valid_until_s=10.0)
    assert term.end("stopped")
    assert not term.end("again")
    term.extend(100.0)
    assert not term.holds(0.0)
    assert term.over == "stopped"
    with pytest.raises(Fenced, match="stopped"), term.permit(0.0):
        pytest.fail("must not be entered")


def test_a_term_waits_for_writes_under_way() -> None:
    term = Term(1, FakeClock(), valid_until_s=10.0)
    with term.permit(1.0):
        term.end("stopped")
        assert not term.drained(0.01)
    assert term.drained(0.0)


def test_the_other_fences() -> None:
    with Unfenced().permit(5.0):
        assert Unfenced().holds(5.0)
    assert not NeverFence().holds(0.0)
    with pytest.raises(Fenced), NeverFence().permit(0.0):
        pytest.fail("must not be entered")


SECONDS = st.one_of(st.just(0.0), st.floats(0.0, 1.0), st.floats(0.0, 40.0))
TRIPS = st.lists(
    st.builds(
        Trip,
        there_s=SECONDS,
        back_s=SECONDS,
        lost_there=st.booleans(),
        lost_back=st.booleans(),
        pause_s=st.one_of(st.just(0.0), st.just(0.0), st.floats(0.0, 60.0)),
    ),
    max_size=12,
)


def candidates(names: str) -> st.SearchStrategy[Candidate]:
    return st.builds(
        Candidate,
        name=st.sampled_from(names),
        offset_s=st.floats(-1e6, 1e6),
        rate=st.floats(0.99, 1.01),
        trips=TRIPS,
        times=st.just(TIMES),
    )


@given(one=candidates("a"), other=candidates("ab"), deletions_s=st.lists(st.floats(0.0, 200.0), max_size=3))
@settings(max_examples=300, deadline=None)
def test_never_two_writers(one: Candidate, other: Candidate, deletions_s: list[float]) -> None:
    """Whatever clocks, delays, losses, pauses, deletions and even equal names do: the times relied on never overlap."""
    World([one, other], deletions_s, end_s=240.0).run()
    assert not overlaps(one, other)


def test_the_world_lets_somebody_lead_and_hands_over() -> None:
    """The property above is not empty: on a good network one leads at once and the other takes over from a stopped one."""
    one = Candidate("a", 5.0, 1.0, [Trip()] * 20 + [Trip(pause_s=1e6)], TIMES)
    other = Candidate("b", -7.0, 1.0, [Trip(there_s=0.01)], TIMES)
    World([one, other], [], end_s=120.0).run()
    assert one.relied
    assert other.relied
    assert one.relied[0][0] < other.relied[0][0]
    assert not overlaps(one, other)


def test_without_the_drift_allowance_two_would_write() -> None:
    """A leader whose clock is slow by 1 % and an eager candidate whose clock is fast by 1 %: what drift_fraction is for."""
    found = []
    for drift_fraction in (0.0, TIMES.drift_fraction):
        times = LeaseTimes(drift_fraction=drift_fraction)
        one = Candidate("a", 0.0, 0.99, [Trip()] * 20 + [Trip(pause_s=1e6)], times)
        eager = [Trip(there_s=15.0), *[Trip()] * 20_000]
        other = Candidate("b", 0.0, 1.01, eager, LeaseTimes(drift_fraction=drift_fraction, renew_every_s=0.01))
        World([one, other], [], end_s=120.0).run()
        found.append(bool(overlaps(one, other)))
    assert found == [True, False]
