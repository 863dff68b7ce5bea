"""Faults of the way between the operator and its API server: conflicts, refusals, slowness, silence."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial

from between import Asked, Fits, Rule
from hurt_operator import BRIEF_S, Hurt
from kube_objects import pods_of
from operated import LAB, now_utc
from typer.testing import CliRunner

from scheduler.entrypoints.cli import app

STORM_S = 4.0
REFUSED_S = 2.5
RETRY_AFTER_S = 2
LATENCY_S = 30.0


def of_job(name: str) -> Fits:
    """Writes to one Job."""

    def fits(asked: Asked) -> bool:
        return asked.writes and asked.path.endswith(f"/jobs/{name}")

    return fits


def but_leases(asked: Asked) -> bool:
    """Every write but renewals of the lease."""
    return asked.writes and asked.resource != "leases"


def test_a_storm_of_conflicts_costs_few_writes_stops_nobody_else_and_ends_in_the_hold(hurt: Hurt) -> None:
    began_s = time.monotonic()
    with hurt.storm("stormy") as written:
        hurt.world.submit("stormy")
        time.sleep(1.0)
        hurt.world.submit("calm")
        hurt.wait("a hold", lambda: hurt.world.held("calm"))
        time.sleep(STORM_S)
        tried, seconds = len(hurt.between.since(began_s, of_job("stormy"))), time.monotonic() - began_s
    hurt.wait("a hold", lambda: hurt.world.held("stormy"))
    assert len(written) > 100
    # After the n-th failure in a row it waits a quarter of a second times 2^(n-1) or longer: 6 tries in 8 s, 8 in 32 s.
    assert 1 <= tried <= 4 + seconds / 4
    holds = [
        one for one in hurt.writes("stormy") if (one.body or {})["metadata"]["annotations"].get("heatdispatch.io/held-since")
    ]
    assert len(holds) == 1


def test_a_write_whose_answer_is_lost_is_not_done_twice(hurt: Hurt) -> None:
    """Whether it was done is not known: the next look tells."""
    began_s = time.monotonic()
    with hurt.between.being(Rule(fits=of_job("lost"), lost=True)):
        end_utc = hurt.held_to_its_end("lost")
        hurt.wait("its end", lambda: hurt.free("lost"))
    assert now_utc() >= end_utc - timedelta(seconds=1)
    # What is done can be seen before the answer to it has come by, and before the audit log tells of it.
    asked = partial(hurt.between.since, began_s, of_job("lost"))
    hurt.wait("all answers", lambda: [one.code for one in asked()].count(200) == len(hurt.writes("lost")))
    assert len(hurt.releases("lost")) == 1
    assert len([one for one in hurt.writes("lost") if (one.body or {}).get("spec", {}).get("suspend") is True]) == 1
    hurt.cluster.admin.delete(f"{hurt.world.jobs}/lost")


def test_a_moment_of_403_is_waited_out_by_the_same_leader(hurt: Hurt) -> None:
    mark = hurt.mark()
    with hurt.between.being(Rule(code=403, reason="Forbidden")):
        hurt.world.submit("refused")
        time.sleep(REFUSED_S)
    hurt.wait("a hold", lambda: hurt.world.held("refused"))
    assert hurt.told("no longer leading", since=mark) == []
    assert len(hurt.writes("refused")) == 1
    hurt.wait("the end of it in the log", lambda: hurt.told("reading the cluster works again", since=mark))
    # What is read, what is written (jobs, statuses, plans), the lease, Events: each once, whatever the number of kinds.
    assert len(hurt.complaints(mark)) <= 6, "\n".join(hurt.complaints(mark))


def test_too_many_requests_silences_every_write_for_as_long_as_was_asked(hurt: Hurt) -> None:
    began_s = time.monotonic()
    rule = Rule(fits=but_leases, code=429, reason="TooManyRequests", headers={"Retry-After": str(RETRY_AFTER_S)})
    with hurt.between.being(rule):
        hurt.world.submit("many")
        hurt.world.submit("more")
        time.sleep(2.5 * RETRY_AFTER_S)
    for name in ("many", "more"):
        hurt.wait("a hold", partial(hurt.world.held, name))
        assert len(hurt.writes(name)) == 1
    tried = [one.at_s for one in hurt.between.since(began_s, but_leases) if one.by_proxy]
    bursts = [at_s for at_s, before_s in zip(tried, [0.0, *tried], strict=False) if at_s - before_s > RETRY_AFTER_S / 2]
    assert len(tried) >= 2
    # Those of one burst were under way together when the first answer came; each next burst waited.
    assert all(later - earlier >= RETRY_AFTER_S * 0.95 for earlier, later in zip(bursts, bursts[1:], strict=False))
    assert len(tried) <= 4 * len(bursts)


def test_watches_that_fall_silent_are_found_out_and_a_hold_ends_on_what_is_read_anew(hurt: Hurt) -> None:
    began_s = time.monotonic()
    end_utc = hurt.held_to_its_end("changes-unheard")
    assert hurt.between.silence() >= 10
    # The owner touches it: the operator knows a version that is no more, and must not end the hold by force.
    hurt.cluster.admin.patch(f"{hurt.world.jobs}/changes-unheard", {"metadata": {"annotations": {"test/owner": "was here"}}})
    hurt.world.submit("unheard")
    hurt.wait("a hold", lambda: hurt.world.held("unheard"))
    hurt.wait("its end", lambda: hurt.free("changes-unheard"))
    assert now_utc() - end_utc < timedelta(seconds=60)
    assert len(hurt.releases("changes-unheard")) == 1
    assert hurt.world.job("changes-unheard")["metadata"]["annotations"]["test/owner"] == "was here"
    listed = hurt.between.since(began_s, lambda one: one.resource == "jobs" and one.method == "GET" and not one.watches)
    assert listed
    hurt.cluster.admin.delete(f"{hurt.world.jobs}/changes-unheard")


def test_half_a_minute_of_latency_ends_the_term_and_starts_nothing(hurt: Hurt) -> None:
    """Every request arrives 30 s late, also those that nobody waits for any more; holds end by the other hand meanwhile."""
    mark, began_s = hurt.mark(), time.monotonic()
    end_utc = hurt.held_to_its_end("ends-without-us")
    with hurt.latency(LATENCY_S):
        hurt.world.submit("comes-meanwhile")
        hurt.wait("the end of the term", lambda: hurt.told("no longer leading", since=mark))
        hurt.wait("the end of the hold", lambda: now_utc() > end_utc)
        stale = CliRunner().invoke(app, ["release", "--stale", "--kubeconfig", str(hurt.cluster.kubeconfig())])
        assert stale.exit_code == 0, stale.output
        assert hurt.free("ends-without-us")
        late = hurt.between.since(began_s, but_leases)
        hurt.wait("what is late to arrive", lambda: all(one.code or one.at_s + LATENCY_S < time.monotonic() for one in late))
    hurt.wait("a hold", lambda: hurt.world.held("comes-meanwhile"))
    assert pods_of(hurt.cluster, LAB, "comes-meanwhile") == []
    assert [*hurt.releases("comes-meanwhile"), *hurt.releases("ends-without-us")] == []
    hurt.wait("the end of it in the log", lambda: hurt.told("reading the cluster works again", since=mark))
    # What is read, what is written, the lease, Events, and that it leads no more.
    assert len(hurt.complaints(mark)) <= 10, "\n".join(hurt.complaints(mark))
    hurt.cluster.admin.delete(f"{hurt.world.jobs}/ends-without-us")


def test_no_law_was_broken_by_any_of_it(hurt: Hurt) -> None:
    hurt.judged(late_s=LATENCY_S + BRIEF_S)
