"""One look at one job: what is there, what is wanted, the one write between them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from kube_world import AROUND, CLASSES, NOW, POOLS, ago, job, node, pod, rooms, view, workload
from small_world import ACTING, small_site, snapshot

from scheduler.adapters.kubernetes.admission_check import Check
from scheduler.adapters.kubernetes.guard import Drop
from scheduler.adapters.kubernetes.jobs import JobView, Surroundings
from scheduler.adapters.kubernetes.marks import HeldBy, Marks
from scheduler.adapters.kubernetes.objects import Obj, at
from scheduler.adapters.kubernetes.operator.book import Book, Chapter
from scheduler.adapters.kubernetes.operator.reconcile import DROPPED, NOTHING_TO_DO, SENT, Desk, Look, look, send
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.operator.view import Governance, Reader
from scheduler.adapters.kubernetes.pools import NodeRoom
from scheduler.adapters.kubernetes.runtime.kinds import JOBS, WORKLOADS
from scheduler.core.acting.intents import intents_of
from scheduler.core.acting.newcomer import counter_for
from scheduler.domain.action import Action, HoldJob, StartJob, StopJob
from scheduler.domain.job import JobPhase
from scheduler.domain.settings import Mode
from scheduler.loop.decide import decide

HELD = Marks(
    held_by=HeldBy.OPERATOR,
    held_since_utc=ago(minutes=30),
    hold_until_utc=NOW + timedelta(hours=4),
    reason="CheaperPower",
    text="Held until 14:00 UTC",
    plan_id="7f3a",
)
FREE = rooms(node("n0"), node("n1"), node("s0", "south"))


def desk(*actions: Action, mode: Mode = Mode.DISPATCH, free: tuple[NodeRoom, ...] = FREE, decided: bool = True) -> Desk:
    """A desk with these actions in force."""
    site = replace(small_site(pools=2), classes=tuple(CLASSES.values()))
    pools = tuple(replace(pool, pool_id=name) for pool, name in zip(site.pools, ("north", "south"), strict=True))
    rules = Governance(
        policy="p", site=replace(site, pools=pools), settings=replace(ACTING, mode=mode), pools=POOLS, selectors=()
    )
    book = Book()
    if decided:
        book.turn(Chapter(decided_utc=NOW, plan_id="7f3a", intents=intents_of(actions)))
    return Desk(governance=rules, reader=Reader(Stores(), rules), book=book, rooms=lambda: free)


def hold(seen: JobView, hours: float = 4.0) -> HoldJob:
    return HoldJob(
        job_id=seen.job_id,
        until_utc=NOW + timedelta(hours=hours),
        planned_start_utc=NOW + timedelta(hours=2),
        reason="CheaperPower",
        text="Held until 12:00 UTC, at the latest 14:00: power is 61 EUR/MWh cheaper from 12:00",
    )


def start(seen: JobView, at_utc: datetime = NOW) -> StartJob:
    return StartJob(job_id=seen.job_id, pool_id="north", at_utc=at_utc, cap_w=None, reason="Planned")


def nothing(found: Look) -> bool:
    return found.outcome == NOTHING_TO_DO and found.write is None


def test_a_hold_is_written_once_and_the_next_look_is_due_when_it_changes() -> None:
    fresh = view(job())
    found = look(fresh, desk(hold(fresh), start(fresh, NOW + timedelta(minutes=2))), NOW)
    assert (found.outcome, found.again_utc) == (SENT, NOW + timedelta(minutes=2))
    assert found.write is not None
    assert at(found.write.change, "spec", "suspend") is True
    assert found.write.hold_until_text == "2026-01-14T14:00:00Z"
    held = view(job(suspend=True, marks=replace(HELD, planned_start_utc=NOW + timedelta(hours=2))))
    assert nothing(look(held, desk(hold(held)), NOW))


def test_a_start_that_is_due_releases_and_a_second_look_finds_nothing() -> None:
    held = view(job(suspend=True, marks=HELD))
    found = look(held, desk(hold(held), start(held)), NOW)
    assert found.write is not None
    assert at(found.write.change, "spec", "suspend") is False
    assert nothing(look(view(job(), pod()), desk(hold(held), start(held)), NOW))


def test_a_gang_that_finds_no_room_is_told_so_and_looked_at_again_soon() -> None:
    full = rooms(node("n0"), node("n1"), pods=(pod("n0"), pod("n1", uid="pod-2")))
    held = view(job(suspend=True, marks=HELD))
    found = look(held, desk(start(held), free=full), NOW)
    assert found.write is not None
    assert found.write.reason == "NoFit"
    assert at(found.write.change, "spec", "suspend") is True
    assert found.write.hold_until_text == "2026-01-14T14:00:00Z"
    assert found.again_utc == NOW + timedelta(seconds=5)
    told = view(job(suspend=True, marks=replace(HELD, reason="NoFit")))
    again = look(told, desk(start(told), free=full), NOW)
    assert (again.outcome, again.drop) == (DROPPED, Drop.NO_FIT)
    assert again.again_utc == NOW + timedelta(seconds=5)


def test_a_job_that_admission_holds_gets_its_end_when_there_is_no_room() -> None:
    fresh = replace(HELD, held_by=HeldBy.ADMISSION, held_since_utc=ago(minutes=1), hold_until_utc=None, reason="", text="")
    marked = view(job(suspend=True, marks=fresh))
    found = look(marked, desk(hold(marked), start(marked), free=()), NOW)
    assert found.write is not None
    assert (found.write.reason, found.write.hold_until_text) == ("Held", "2026-01-14T14:00:00Z")
    assert found.write.annotations["heatdispatch.io/hold-reason"] == "NoFit"


def test_a_hold_that_is_over_ends_even_without_room_and_without_a_decision() -> None:
    late = view(job(suspend=True, marks=replace(HELD, hold_until_utc=ago(minutes=1))))
    found = look(late, desk(free=(), decided=False), NOW)
    assert found.write is not None
    assert found.write.lets_go
    assert found.write.reason == "LetGo"


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ADVISE])
def test_outside_dispatch_holds_end_and_none_is_made(mode: Mode) -> None:
    fresh, held = view(job()), view(job(suspend=True, marks=HELD))
    assert nothing(look(fresh, desk(hold(fresh), mode=mode), NOW))
    found = look(held, desk(hold(held), mode=mode), NOW)
    assert found.write is not None
    assert found.write.text == f"Hold ended: nothing is held in mode {mode.value}"


def priced(one: Desk) -> Desk:
    """A desk that can price newcomers, after a plan of 10:00."""
    seen = snapshot([], site=one.governance.site)
    one.counter = counter_for(one.governance.site, seen, ACTING, decide(one.governance.site, seen, ACTING).plan)
    assert one.counter is not None
    return one


def test_in_advise_a_newcomer_is_told_once_what_dispatch_would_have_done() -> None:
    """Nothing is written. The plan is of 10:00; the job came a minute later, and finds no room."""
    came = view(job(created=NOW + timedelta(minutes=1)))
    one = priced(desk(mode=Mode.ADVISE, free=()))
    first = look(came, one, NOW + timedelta(minutes=2))
    assert (first.outcome, first.write) == (NOTHING_TO_DO, None)
    assert first.advice.startswith("Would be held until ")
    assert "no pool has 8 free GPUs now" in first.advice
    assert "plan plan-" in first.advice
    assert look(came, one, NOW + timedelta(minutes=3)).advice == ""


def test_a_job_of_the_very_second_of_the_plan_is_advised_on() -> None:
    """Created at 10:00:00.9, half a second after the plan, it says 10:00:00."""
    one = priced(desk(mode=Mode.ADVISE, free=()))
    one.book.turn(Chapter(decided_utc=NOW + timedelta(seconds=0.4), plan_id="7f3a", intents={}))
    assert look(view(job(created=NOW)), one, NOW + timedelta(seconds=1)).advice.startswith("Would be held until ")


def test_in_advise_a_newcomer_that_runs_by_now_is_priced_as_if_it_waited() -> None:
    """Its own eight GPUs count as free, so what would hold it is not that they are taken."""
    runs = view(job(created=NOW + timedelta(minutes=1)), pod(started=NOW + timedelta(minutes=1)))
    assert runs.state.phase is JobPhase.RUNNING
    found = look(runs, priced(desk(mode=Mode.ADVISE, free=())), NOW + timedelta(minutes=2))
    assert "no pool has" not in found.advice
    assert (found.write, found.drop) == (None, None)


def test_a_term_that_ends_in_the_middle_of_a_look_takes_the_prices_from_the_next_one() -> None:
    """The room of the pools is asked for once the look has begun to price; the term ends just then."""
    one = priced(desk())

    def ending() -> tuple[NodeRoom, ...]:
        one.counter = None
        return FREE

    one.rooms = ending
    came = view(job(created=NOW + timedelta(minutes=1)))
    # What is decided still goes to the writer, which knows that the term is over.
    assert look(came, one, NOW + timedelta(minutes=2)).write is not None
    wish = one.book.wish(came.job_id)
    assert wish is not None
    assert wish.plan_id.startswith("plan-")


def test_a_decision_that_comes_in_the_middle_of_a_look_is_followed_and_nothing_is_let_go() -> None:
    held = view(job(suspend=True, marks=HELD))
    one = priced(desk())

    def turning() -> tuple[NodeRoom, ...]:
        one.book.turn(Chapter(decided_utc=NOW, plan_id="9c01", intents=intents_of([hold(held)])))
        return ()

    one.rooms = turning
    found = look(held, one, NOW)
    assert found.write is not None
    assert found.write.reason != "Released"
    assert "9c01" in found.write.text


def test_nobody_is_advised_on_jobs_that_the_plan_knew_or_that_would_be_left_alone() -> None:
    late = NOW + timedelta(minutes=1)
    known, insulated = view(job()), view(job(class_name=None, created=late))
    elsewhere = replace(view(job(created=late)), opted_in=False)
    for seen in (known, insulated, elsewhere):
        assert look(seen, priced(desk(mode=Mode.ADVISE, free=())), late).advice == ""
    came = view(job(created=late))
    assert look(came, priced(desk(mode=Mode.OBSERVE, free=())), late).advice == ""


def test_letting_go_releases_every_hold() -> None:
    held = view(job(suspend=True, marks=HELD))
    one = desk(hold(held))
    one.letting_go = True
    found = look(held, one, NOW)
    assert found.write is not None
    assert found.write.lets_go


def test_a_held_job_without_a_decision_waits_for_the_first_plan_but_not_past_its_end() -> None:
    marked = view(job(suspend=True, marks=replace(HELD, held_by=HeldBy.ADMISSION, hold_until_utc=NOW + timedelta(seconds=4))))
    found = look(marked, desk(decided=False), NOW)
    assert nothing(found)
    assert found.again_utc == NOW + timedelta(seconds=4)


def test_a_new_job_is_told_at_once_that_it_waits_for_the_first_plan() -> None:
    fresh = Marks(held_by=HeldBy.ADMISSION, held_since_utc=ago(minutes=1))
    found = look(view(job(suspend=True, marks=fresh)), desk(decided=False), NOW)
    assert found.write is not None
    # The end that a hold has which nobody claims: ten minutes after its begin, a minute ago.
    assert (found.write.reason, found.write.hold_until_text) == ("Held", "2026-01-14T10:09:00Z")
    assert found.write.annotations["heatdispatch.io/hold-reason"] == "NoPlanYet"
    assert found.write.text == "Held until the first plan is made, at the latest 10:09 UTC"
    assert found.again_utc == NOW + timedelta(seconds=10)
    told = replace(fresh, hold_until_utc=NOW + timedelta(minutes=9), reason="NoPlanYet", text=found.write.text)
    assert nothing(look(view(job(suspend=True, marks=told)), desk(decided=False), NOW))


def test_insulated_jobs_and_those_of_their_owner_are_left_alone() -> None:
    insulated = view(job(class_name=None))
    assert nothing(look(insulated, desk(hold(insulated)), NOW))
    his = view(job(suspend=True))
    assert his.owner_took
    assert nothing(look(his, desk(start(his)), NOW))
    assert nothing(look(None, desk(), NOW))


def test_a_stop_counts_itself() -> None:
    runs = view(job(class_name="preemptible"), pod(started=ago(hours=3)))
    stop = StopJob(job_id=runs.job_id, at_utc=NOW, resume_by_utc=NOW + timedelta(hours=5), reason="CheaperPower")
    found = look(runs, desk(stop), NOW)
    assert found.write is not None
    assert found.write.annotations["heatdispatch.io/stops"] == "1"


PENDING: dict[str, Any] = {"name": "heat", "state": "Pending"}
KUEUE = replace(AROUND, checks=("heat",))


def queued(
    class_name: str | None = "deferrable",
    *conditions: str,
    active: bool = True,
    marks: Marks | None = None,
    around: Surroundings = KUEUE,
) -> JobView:
    """A Job with a queue whose Workload has quota and waits for our check."""
    waits = workload(conditions=conditions or ("QuotaReserved",), checks=(PENDING,), active=active, marks=marks)
    return view(job(labels={"kueue.x-k8s.io/queue-name": "gpu"}, class_name=class_name), workload=waits, around=around)


def checking(*actions: Action, mode: Mode = Mode.DISPATCH, decided: bool = True) -> Desk:
    """A desk with our check in the queue."""
    found = desk(*actions, mode=mode, decided=decided)
    found.checks = (Check(name="heat"),)
    return found


def answer(found: Look) -> tuple[object, object]:
    """State and message of the entry that is written."""
    assert found.write is not None
    assert (found.write.kind, found.write.subresource) == (WORKLOADS, "status")
    (entry,) = at(found.write.change, "status", "admissionChecks")
    return entry["state"], entry["message"]


def test_kueue_is_answered_at_once_for_what_is_not_ours_to_hold() -> None:
    assert answer(look(queued(class_name=None), checking(), NOW)) == ("Ready", "may start")
    assert answer(look(queued(), checking(mode=Mode.ADVISE), NOW)) == ("Ready", "may start")
    loose = checking(hold(queued()))
    loose.letting_go = True
    assert answer(look(queued(), loose, NOW)) == ("Ready", "may start")


def test_kueue_is_answered_with_the_place_at_the_planned_start() -> None:
    found = look(queued(), checking(start(queued())), NOW)
    assert answer(found) == ("Ready", "may start on north")
    assert found.write is not None
    assert found.write.places


def test_a_queued_job_that_is_to_wait_gives_its_quota_back_and_its_check_says_why() -> None:
    waits = queued()
    held = look(waits, checking(hold(waits)), NOW)
    assert held.write is not None
    assert at(held.write.change, "spec", "active") is False
    off = queued("deferrable", "Evicted", active=False, marks=HELD)
    assert answer(look(off, checking(hold(off)), NOW)) == ("Pending", HELD.text)
    going = queued("deferrable", active=False, marks=HELD)  # Kueue has not taken the quota back yet
    assert answer(look(going, checking(hold(going)), NOW)) == ("Pending", HELD.text)
    over = look(off, checking(hold(off)), NOW + timedelta(hours=5))
    assert over.write is not None
    assert at(over.write.change, "spec", "active") is True


def test_a_queued_job_that_cannot_be_held_is_not_kept_waiting() -> None:
    """Its namespace does not take part, or its hold is over: Ready, not silence."""
    other = queued(around=replace(KUEUE, namespaces={}))
    assert answer(look(other, checking(hold(other)), NOW)) == ("Ready", "may start")
    late = queued()
    assert answer(look(late, checking(hold(late, hours=2000.0)), NOW)) == ("Ready", "may start")


def test_before_the_first_plan_kueue_waits_ten_minutes_at_most() -> None:
    early = replace(KUEUE, now_utc=ago(minutes=15))
    waits = look(queued(around=early), checking(decided=False), ago(minutes=15))
    assert answer(waits) == ("Pending", "waits for the first plan, until 09:50 UTC at the latest")
    assert waits.again_utc == ago(minutes=15) + timedelta(seconds=10)
    assert answer(look(queued(), checking(decided=False), NOW)) == ("Ready", "may start")


class Ledger:
    """A door that keeps what went through it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, object, Obj, bool]] = []

    def patch(self, kind: object, seen: Obj, change: Obj, *, subresource: str = "", lets_go: bool = False) -> Obj:
        self.sent.append(("patch", kind, seen, lets_go))
        return change

    def apply_part(self, kind: object, seen: Obj, part: Obj, *, subresource: str = "", lets_go: bool = False) -> Obj:
        self.sent.append((subresource, kind, seen, lets_go))
        return part


def test_what_is_sent_carries_the_version_that_was_seen() -> None:
    held = view(job(suspend=True, marks=replace(HELD, hold_until_utc=ago(minutes=1))))
    write, door = look(held, desk(), NOW).write, Ledger()
    assert write is not None
    send(write, door)
    ((how, kind, seen, lets_go),) = door.sent
    assert (how, kind, lets_go) == ("patch", JOBS, True)
    assert at(seen, "metadata", "resourceVersion") == "77"


def test_the_book_gives_the_last_word_to_the_last_decision() -> None:
    seen = view(job())
    book = Book()
    assert book.wish(seen.job_id) is None
    assert book.add(seen.job_id, (start(seen),), "old") is not None
    assert book.turn(Chapter(decided_utc=NOW, plan_id="new", intents=intents_of([hold(seen)]))) == (seen.job_id,)
    wish: Any = book.wish(seen.job_id)
    assert (wish.plan_id, wish.intent.hold) == ("new", hold(seen))
    late: Any = book.add(seen.job_id, (start(seen),), "old")
    assert (late.plan_id, late.intent.hold) == ("new", hold(seen))
    assert book.close() == (seen.job_id,)
    assert book.wish(seen.job_id) is None
