"""Candidates on a fake API server: taking, renewing, losing and releasing; every fault ends leadership or is survived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fake_api import FakeApi
from runtime_world import FakeClock, client_of, eventually, no_jitter

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.election import Election, record_of
from scheduler.adapters.kubernetes.runtime.fence import Term
from scheduler.adapters.kubernetes.runtime.lease import Contest, LeaseTimes

PATH = "/apis/coordination.k8s.io/v1/namespaces/heat/leases/leader"
FREE = {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}


class Candidate:
    """An election driven turn by turn on a clock of its own."""

    def __init__(self, client: KubeClient, name: str, clock: FakeClock, times: LeaseTimes | None = None) -> None:
        self.started: list[Term] = []
        self.stopped: list[Term] = []
        self.election = Election(
            client,
            clock,
            no_jitter,
            lease=("heat", "leader"),
            contest=Contest(name, times or LeaseTimes()),
            on_started=self.started.append,
            on_stopped=self.stopped.append,
        )
        self.clock = clock

    def turns(self, until_s: float) -> None:
        """Take turns, waiting as asked in between."""
        while self.clock.now_s < until_s:
            self.clock.now_s += self.election.turn()

    def leads(self) -> bool:
        return self.election.term is not None

    def lead(self) -> Term:
        """Take turns until leading."""
        self.turns(self.clock.now_s + 5.0)
        assert self.election.term is not None
        return self.election.term


@pytest.fixture
def candidate(api: FakeApi, client: KubeClient) -> Candidate:
    api.put(PATH, FREE)
    return Candidate(client, "a", FakeClock())


def test_first_start_makes_the_lease_and_waits_its_length(api: FakeApi, client: KubeClient) -> None:
    candidate = Candidate(client, "a", FakeClock())
    candidate.turns(11.9)
    assert api.objects[PATH]["spec"]["holderIdentity"] == ""
    assert not candidate.leads()
    candidate.turns(14.5)
    assert candidate.leads()
    spec = api.objects[PATH]["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 12, 1)
    assert spec["renewTime"].startswith("2026-01-01T00:00:1")
    assert spec["renewTime"].endswith("Z")


def test_renewals_keep_one_term_and_foreign_annotations(api: FakeApi, candidate: Candidate) -> None:
    term = candidate.lead()
    api.put(PATH, {**api.objects[PATH], "metadata": {**api.objects[PATH]["metadata"], "annotations": {"who": "me"}}})
    candidate.turns(60.0)
    assert candidate.election.term is term
    assert candidate.started == [term]
    assert not candidate.stopped
    assert api.objects[PATH]["metadata"]["annotations"] == {"who": "me"}
    assert term.left_s() > 9.0
    acquired, renewed = (api.objects[PATH]["spec"][key] for key in ("acquireTime", "renewTime"))
    assert acquired < "2026-01-01T00:00:06" < renewed


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
def test_a_refused_renewal_or_two_are_survived(api: FakeApi, candidate: Candidate, status: int) -> None:
    term = candidate.lead()
    api.refuse(status, part="leases", left=3)
    candidate.turns(30.0)
    assert candidate.election.term is term


@pytest.mark.parametrize("status", [403, 500])
def test_renewals_refused_for_too_long_end_the_term(api: FakeApi, candidate: Candidate, status: int) -> None:
    term = candidate.lead()
    api.refuse(status, part="leases", left=10**6)
    candidate.turns(candidate.clock.now_s + 10.0)
    assert candidate.election.term is None
    assert candidate.stopped == [term]
    assert term.over == "the lease was not renewed in time"


def test_a_server_that_resets_every_renewal_ends_the_term(api: FakeApi, candidate: Candidate) -> None:
    term = candidate.lead()
    api.refuse(0, part="leases", left=10**6, reset=True)
    candidate.turns(candidate.clock.now_s + 10.0)
    assert candidate.stopped == [term]


def test_a_leader_stopped_past_its_lease_cannot_write_on_resuming(api: FakeApi, candidate: Candidate) -> None:
    term = candidate.lead()
    candidate.clock.now_s += 30.0  # SIGSTOP, SIGCONT; no turn was taken yet
    assert not term.holds(0.0)
    assert not candidate.leads()
    candidate.election.turn()
    assert candidate.stopped == [term]
    assert term.over
    # Nobody took the lease meanwhile: it is led again, in a new term, and plans of the old one stay dead.
    assert candidate.election.term is not None
    assert candidate.election.term.number == 2
    assert not term.holds(0.0)


def test_a_stopped_leader_finds_another_one(api: FakeApi, candidate: Candidate) -> None:
    term = candidate.lead()
    other = Candidate(client_of(api), "b", FakeClock(1000.0))
    other.turns(1020.0)
    assert other.election.term is not None
    assert other.election.leader == "b"
    candidate.clock.now_s += 20.0
    writes = len(api.writes())
    candidate.election.turn()
    assert candidate.election.term is None
    assert candidate.stopped == [term]
    assert len(api.writes()) == writes


def test_another_holder_ends_the_term_at_the_next_renewal(api: FakeApi, candidate: Candidate) -> None:
    term = candidate.lead()
    api.put(PATH, {"spec": {"holderIdentity": "b", "leaseDurationSeconds": 12, "leaseTransitions": 9}})
    candidate.clock.now_s += candidate.election.turn()
    assert term.over == "the lease is held by another, or gone"
    assert api.objects[PATH]["spec"]["holderIdentity"] == "b"


def test_a_deleted_lease_ends_the_term(api: FakeApi, candidate: Candidate) -> None:
    term = candidate.lead()
    api.remove(PATH)
    candidate.election.turn()
    assert term.over
    candidate.turns(candidate.clock.now_s + 11.0)
    assert candidate.election.term is None
    candidate.turns(candidate.clock.now_s + 4.0)
    assert candidate.election.term is not None


def raises(_thing: Any) -> Any:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("where", ["wait", "bid", "renew"])
def test_any_other_exception_ends_leadership(
    candidate: Candidate, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    term = candidate.lead()
    broken: dict[str, tuple[object, str]] = {
        "wait": (candidate.election._clock, "now_utc"),
        "bid": (candidate.election._contest, "bid"),
        "renew": (candidate.election._client, "replace"),
    }
    thing, name = broken[where]
    monkeypatch.setattr(thing, name, lambda *_args: raises(None))
    candidate.election.turn()
    assert term.over == "fault: RuntimeError"
    assert candidate.stopped == [term]


def test_a_fault_while_taking_over_ends_the_new_term(api: FakeApi, client: KubeClient) -> None:
    api.put(PATH, FREE)
    candidate = Candidate(client, "a", FakeClock())
    candidate.election._on_started = raises
    candidate.turns(2.5)
    assert candidate.election.term is None


def test_a_fault_while_standing_down_changes_nothing(api: FakeApi, candidate: Candidate) -> None:
    term = candidate.lead()
    candidate.election._on_stopped = raises
    api.remove(PATH)
    candidate.election.turn()
    assert term.over
    assert candidate.election.term is None


def test_stop_releases_and_the_next_one_leads_within_seconds(api: FakeApi, candidate: Candidate) -> None:
    term = candidate.lead()
    candidate.election.stop()
    assert candidate.stopped == [term]
    assert term.over == "stopped"
    spec = api.objects[PATH]["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("", 1)
    other = Candidate(client_of(api), "b", FakeClock(500.0))
    other.turns(501.5)
    assert other.election.term is not None


def test_stop_keeps_the_lease_while_a_write_is_under_way(api: FakeApi, candidate: Candidate) -> None:
    term = candidate.lead()
    with term.permit(1.0):
        candidate.election.stop(drain_s=0.05)
    assert api.objects[PATH]["spec"]["holderIdentity"] == "a"


def test_stop_of_a_standby_writes_nothing(api: FakeApi, client: KubeClient) -> None:
    api.put(PATH, {"spec": {"holderIdentity": "b", "leaseDurationSeconds": 12}})
    standby = Candidate(client, "a", FakeClock())
    standby.turns(3.0)
    standby.election.stop()
    assert not api.writes()


def test_a_release_that_fails_is_no_fault(api: FakeApi, candidate: Candidate) -> None:
    candidate.lead()
    api.refuse(500, verb="PUT", left=9)
    candidate.election.stop()
    assert api.objects[PATH]["spec"]["holderIdentity"] == "a"


@pytest.mark.parametrize(
    ("spec", "holder", "lease_s", "transitions"),
    [
        ({}, "", None, 0),
        ({"holderIdentity": None, "leaseDurationSeconds": "x", "leaseTransitions": None}, "", None, 0),
        ({"holderIdentity": "b", "leaseDurationSeconds": -1, "leaseTransitions": 4}, "b", None, 4),
    ],
)
def test_nonsense_in_the_lease_is_taken_as_not_said(
    spec: dict[str, Any], holder: str, lease_s: float | None, transitions: int
) -> None:
    record = record_of({"metadata": {"resourceVersion": "1"}, "spec": spec})
    assert (record.holder, record.lease_s, record.transitions) == (holder, lease_s, transitions)


def threaded(api: FakeApi, name: str, times: LeaseTimes, told: Callable[[Term], None]) -> Election:
    return Election(
        client_of(api), SystemClock(), no_jitter, lease=("heat", "leader"), contest=Contest(name, times), on_started=told
    )


def test_threads_hand_over(api: FakeApi) -> None:
    """The same on real clocks and threads, with a lease of one second."""
    times = LeaseTimes(lease_s=1, renew_every_s=0.1, retry_s=0.05, renew_deadline_s=0.6)
    terms: list[Term] = []
    first, second = threaded(api, "a", times, terms.append), threaded(api, "b", times, terms.append)
    first.start()
    assert eventually(lambda: first.term is not None)
    second.start()
    assert first.age_of_last_turn_s() < 1.0
    first.stop()
    assert first.term is None
    assert eventually(lambda: second.term is not None)
    second.stop()
    assert [term.over for term in terms] == ["stopped", "stopped"]
