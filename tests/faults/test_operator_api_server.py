"""Faults of the API server itself: killed while the solver solves, compacted, kept waiting by a webhook that never answers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from hurt_operator import BRIEF_S, Hurt
from kube_objects import pods_of
from operated import LAB

HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
HOOKED = tuple(f"hooked-{number}" for number in range(4))
FREE = tuple(f"free-{number}" for number in range(3))
AWAY_S = 30.0


@contextmanager
def dead_webhook(hurt: Hurt) -> Iterator[None]:
    """Every update of a Job with the label `hooked` waits for somebody who listens and never answers, and then fails."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        hook = {
            "name": "dead.test.example",
            "clientConfig": {"url": f"https://127.0.0.1:{listening.getsockname()[1]}/"},
            "rules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["jobs"]}],
            "objectSelector": {"matchLabels": {"hooked": "yes"}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 10,
        }
        made = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        hurt.cluster.admin.create(HOOKS, {**made, "metadata": {"name": "dead"}, "webhooks": [hook]})
        # An API server takes a moment to know its webhooks.
        time.sleep(1.0)
        try:
            yield
        finally:
            hurt.cluster.admin.delete(f"{HOOKS}/dead")


def test_a_webhook_that_never_answers_keeps_no_other_job_waiting(hurt: Hurt) -> None:
    mark, began_s = hurt.mark(), time.monotonic()
    with dead_webhook(hurt):
        for name in HOOKED:
            hurt.world.submit(name, gpus=1, labels={"hooked": "yes"})
        hurt.wait("a line about it", lambda: hurt.told("writing to jobs failed", since=mark))
        for name in FREE:
            hurt.world.submit(name, gpus=1)
            hurt.wait(f"a hold of {name}", partial(hurt.world.held, name))
        tried = hurt.between.since(began_s, lambda one: one.writes and "/jobs/hooked-" in one.path)
        seconds = time.monotonic() - began_s
        assert [name for name in HOOKED if hurt.writes(name)] == []
        # After the n-th failure in a row a quarter of a second times 2^(n-1), and four seconds for each try.
        assert len(HOOKED) <= len(tried) <= len(HOOKED) * (2 + seconds / 4)
    for name in HOOKED:
        hurt.wait(f"a hold of {name}", partial(hurt.world.held, name))
        assert len(hurt.writes(name)) == 1
    hurt.wait("the end of it in the log", lambda: hurt.told("writing to jobs works again", since=mark))
    assert hurt.told("no longer leading", since=mark) == []
    assert len(hurt.complaints(mark)) <= 3, "\n".join(hurt.complaints(mark))


def test_a_decision_that_was_being_made_when_the_api_server_died_is_never_carried_out(hurt: Hurt) -> None:
    """Power is cheap for a moment, and in that moment the solver begins; its plan would start what waits."""
    hurt.world.submit("waits")
    hurt.wait("a hold", lambda: hurt.world.held("waits"))
    mark = hurt.mark()
    hurt.held_to_its_end("ends-meanwhile")
    with hurt.solving_without_end():
        hurt.power(dear=False)
        hurt.wait("the solve", lambda: hurt.told("policies read", since=mark))
        hurt.cluster.kill("kube-apiserver")
        hurt.wait_away("the end of the term", lambda: hurt.told("no longer leading", since=mark))
        hurt.cluster.restart("kube-apiserver")
        hurt.power(dear=True)
        hurt.wait("a new term", lambda: hurt.told(" leading ", "term=", since=mark))
    hurt.wait("the late decision", lambda: hurt.told("decision dropped", since=mark))
    hurt.wait("the end of the hold", lambda: hurt.free("ends-meanwhile"))
    hurt.wait("a plan of the new term", lambda: hurt.told(" cycle ", "status=fresh", since=mark))
    assert hurt.world.held("waits")
    assert pods_of(hurt.cluster, LAB, "waits") == []
    assert hurt.releases("waits") == []
    assert len(hurt.releases("ends-meanwhile")) == 1
    # What is read (for up to four reasons), the lease, its end, the decision, what was being written: not one for each kind.
    assert len(hurt.complaints(mark)) <= 12, "\n".join(hurt.complaints(mark))
    hurt.cluster.admin.delete(f"{hurt.world.jobs}/ends-meanwhile")


def test_a_history_that_was_compacted_away_is_listed_anew(hurt: Hurt) -> None:
    """Watches that heard nothing of the API server's death ask it for what came since, and it does not know that any more."""
    began_s = time.monotonic()
    assert hurt.between.silence(pulse=True) >= 10
    hurt.world.submit("came-between")
    hurt.cluster.kill("kube-apiserver")
    hurt.cluster.compact()
    hurt.cluster.restart("kube-apiserver")
    hurt.between.end_silenced()
    hurt.wait("a hold", lambda: hurt.world.held("came-between"))
    jobs = hurt.between.since(began_s, lambda one: one.resource == "jobs" and one.method == "GET")
    assert [one for one in jobs if one.watches and b'"code":410' in one.last]
    assert [one for one in jobs if not one.watches]
    assert len(hurt.writes("came-between")) == 1


def test_no_law_was_broken_by_any_of_it(hurt: Hurt) -> None:
    hurt.judged(late_s=AWAY_S + BRIEF_S)
