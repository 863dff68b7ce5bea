"""Rights that are refused: read from the API server's own words, told when they stay refused, forgotten when they are back."""

from __future__ import annotations

import pytest
from runtime_world import FakeClock

from scheduler.adapters.kubernetes.runtime.errors import ApiError, Forbidden, NotFound, from_status
from scheduler.adapters.kubernetes.runtime.rights import FORGET_S, PATIENCE_S, Right, Rights, asked, in_words, refused

JOBS = Right(verb="patch", resource="jobs", group="batch", namespace="lab")
JOB = "/apis/batch/v1/namespaces/lab/jobs/train"


def refusal(words: str) -> ApiError:
    return from_status({"reason": "Forbidden", "message": words}, 403, "PATCH x")


def cannot(
    verb: str = "patch", resource: str = "jobs", group: str = "batch", where: str = 'in the namespace "lab"'
) -> ApiError:
    return refusal(f'User "operator" cannot {verb} resource "{resource}" in API group "{group}" {where}')


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rights(clock: FakeClock) -> Rights:
    return Rights(clock)


def missed(rights: Rights, clock: FakeClock, error: ApiError, after_s: float = PATIENCE_S) -> None:
    """The same refusal twice."""
    rights.heard("PATCH", JOB, "", error)
    clock.now_s += after_s
    rights.heard("PATCH", JOB, "", error)


@pytest.mark.parametrize(
    ("error", "right", "words"),
    [
        (cannot(), JOBS, "patch jobs.batch"),
        (
            cannot("patch", "dispatchplans/status", "heatdispatch.io", "at the cluster scope"),
            Right(verb="patch", resource="dispatchplans/status", group="heatdispatch.io"),
            "patch dispatchplans.heatdispatch.io/status",
        ),
        (cannot("list", "nodes", "", "at the cluster scope"), Right(verb="list", resource="nodes"), "list nodes"),
    ],
)
def test_a_refusal_names_the_right(error: ApiError, right: Right, words: str) -> None:
    assert isinstance(error, Forbidden)
    assert refused(error) == right
    assert str(right) == words


def test_other_refusals_name_none(rights: Rights, clock: FakeClock) -> None:
    missed(rights, clock, refusal("exceeded quota: gpus"))
    assert rights.missing() == ()


def test_a_namespace_that_goes_is_no_missing_right() -> None:
    """The API server says Forbidden of it, and names the reason among the causes."""
    details = {"causes": [{"reason": "NamespaceTerminating", "message": "namespace lab is being terminated"}]}
    status = {"reason": "Forbidden", "message": "unable to create new content in namespace lab", "details": details}
    assert isinstance(from_status(status, 403, "POST events"), NotFound)


@pytest.mark.parametrize(
    ("method", "path", "query", "right"),
    [
        ("PATCH", JOB, "fieldManager=x", JOBS),
        ("GET", "/api/v1/nodes", "limit=500", Right(verb="list", resource="nodes")),
        ("GET", "/api/v1/nodes", "watch=true&timeoutSeconds=9", Right(verb="watch", resource="nodes")),
        ("GET", "/api/v1/namespaces/lab", "", Right(verb="get", resource="namespaces")),
        ("POST", "/api/v1/namespaces/lab/events", "", Right(verb="create", resource="events", namespace="lab")),
        (
            "PATCH",
            "/apis/heatdispatch.io/v1alpha1/sites/a/status",
            "",
            Right(verb="patch", resource="sites/status", group="heatdispatch.io"),
        ),
    ],
)
def test_a_request_needs_a_right(method: str, path: str, query: str, right: Right) -> None:
    assert asked(method, path, query) == right


def test_what_is_no_resource_needs_none() -> None:
    assert asked("GET", "/version", "") is None


def test_a_refusal_that_passes_is_not_told(rights: Rights, clock: FakeClock) -> None:
    """An API server says 403 for a moment after its restart."""
    missed(rights, clock, cannot(), after_s=1.0)
    rights.heard("PATCH", JOB, "", None)
    clock.now_s += PATIENCE_S
    rights.heard("PATCH", JOB, "", cannot())
    assert rights.missing() == ()


def test_a_right_is_missing_until_it_is_used_again(rights: Rights, clock: FakeClock) -> None:
    missed(rights, clock, cannot())
    assert rights.missing() == (JOBS,)
    assert in_words(rights.missing()) == "patch jobs.batch"
    rights.heard("PATCH", JOB.replace("lab", "other"), "", None)
    rights.heard("PATCH", JOB + "/status", "", None)
    assert rights.missing() == (JOBS,)
    rights.heard("PATCH", JOB, "", None)
    assert rights.missing() == ()


def test_an_apply_that_was_taken_proves_that_it_may_create(rights: Rights, clock: FakeClock) -> None:
    missed(rights, clock, cannot("create", "dispatchplans", "heatdispatch.io", "at the cluster scope"))
    rights.heard("PATCH", "/apis/heatdispatch.io/v1alpha1/dispatchplans/p", "force=true", None)
    assert rights.missing() == ()


def test_a_right_that_nobody_asks_for_any_more_is_forgotten(rights: Rights, clock: FakeClock) -> None:
    """Its namespace is gone, so that nothing will ever prove that it is back."""
    missed(rights, clock, cannot())
    clock.now_s += FORGET_S + 1.0
    assert rights.missing() == ()


def test_what_only_the_allowed_are_told_proves_the_right(rights: Rights, clock: FakeClock) -> None:
    """Two restarts of the API server, a moment of 403 after each, and between them a kind that is not installed."""
    error = cannot("list", "workloads", "kueue.x-k8s.io", "at the cluster scope")
    rights.heard("GET", "/apis/kueue.x-k8s.io/v1beta2/workloads", "limit=500", error)
    rights.heard("GET", "/apis/kueue.x-k8s.io/v1beta2/workloads", "limit=500", NotFound("the server could not find it"))
    clock.now_s += PATIENCE_S
    rights.heard("GET", "/apis/kueue.x-k8s.io/v1beta2/workloads", "limit=500", error)
    assert rights.missing() == ()
