"""Requests: what is sent, how refusals come back, and that nothing is ever sent twice."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest
from fake_api import FakeApi
from kubernetes.client import Configuration
from runtime_world import client_of, write_kubeconfig

from scheduler.adapters.kubernetes.runtime.client import FIELD_MANAGER, KubeClient, Selection
from scheduler.adapters.kubernetes.runtime.connection import Connection, Timeouts, configuration
from scheduler.adapters.kubernetes.runtime.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from scheduler.adapters.kubernetes.runtime.kinds import JOBS, NODES, PLANS, PODS
from scheduler.domain.errors import Misconfigured, Permanent, Retryable

JOB_PATH = "/apis/batch/v1/namespaces/team/jobs/train"


def test_paths() -> None:
    assert PODS.path("team", "a") == "/api/v1/namespaces/team/pods/a"
    assert PODS.path() == "/api/v1/pods"
    assert PLANS.path(name="site", subresource="status") == "/apis/heatdispatch.io/v1alpha1/dispatchplans/site/status"
    # A name from outside can never climb out of its place in the path.
    assert NODES.path(name="../secrets") == "/api/v1/nodes/..%2Fsecrets"
    with pytest.raises(ValueError, match="cluster-scoped"):
        NODES.path("team", "a")
    with pytest.raises(ValueError, match="needs its namespace"):
        PODS.path(name="a")


def test_get_keeps_fields_that_no_model_knows(api: FakeApi, client: KubeClient) -> None:
    api.put(JOB_PATH, {"spec": {"fromTheFuture": {"x": 1}}})
    assert client.get(JOBS, "train", "team")["spec"] == {"fromTheFuture": {"x": 1}}


def test_pages_follow_continue_tokens(api: FakeApi, client: KubeClient) -> None:
    for number in range(5):
        api.put(f"/api/v1/nodes/n{number}", {})
    pages = list(client.pages(NODES, page_size=2))
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert {page.resource_version for page in pages} == {str(api.version)}
    assert len(client.list(NODES)) == 5


def test_selectors_are_sent(api: FakeApi, client: KubeClient) -> None:
    client.list(PODS, Selection(namespace="team", labels="a=b,c", fields="spec.nodeName=n 1"))
    sent = api.requests[-1]
    assert sent.path == "/api/v1/namespaces/team/pods"
    assert (sent.query["labelSelector"], sent.query["fieldSelector"]) == ("a=b,c", "spec.nodeName=n 1")


@pytest.mark.parametrize(
    ("status", "reason", "kind", "base"),
    [
        (400, "BadRequest", Invalid, Permanent),
        (401, "Unauthorized", Unauthorized, Retryable),
        (403, "Forbidden", Forbidden, Retryable),
        (404, "NotFound", NotFound, Permanent),
        (409, "Conflict", Conflict, Retryable),
        (409, "AlreadyExists", AlreadyExists, Retryable),
        (410, "Expired", Gone, Retryable),
        (422, "Invalid", Invalid, Permanent),
        (429, "TooManyRequests", TooManyRequests, Retryable),
        (500, "InternalError", Unreachable, Retryable),
        (503, "ServiceUnavailable", Unreachable, Retryable),
        (504, "Timeout", Unreachable, Retryable),
    ],
)
def test_refusals_are_typed(
    api: FakeApi, client: KubeClient, status: int, reason: str, kind: type[ApiError], base: type[Exception]
) -> None:
    api.refuse(status, reason=reason, message="because")
    with pytest.raises(kind, match="because") as caught:
        client.get(NODES, "n")
    assert type(caught.value) is kind
    assert isinstance(caught.value, base)
    assert (caught.value.status, caught.value.reason) == (status, reason)


def test_causes_name_the_fields(api: FakeApi, client: KubeClient) -> None:
    api.refuse(422, reason="Invalid", causes=({"field": "spec.parallelism", "message": "must be >= 0"},))
    with pytest.raises(Invalid) as caught:
        client.create(JOBS, {"metadata": {"name": "train"}}, "team")
    assert [str(cause) for cause in caught.value.causes] == ["spec.parallelism: must be >= 0"]


@pytest.mark.parametrize("method", ["get", "replace", "delete"])
def test_retry_after_is_told_and_not_slept_out_inside(api: FakeApi, client: KubeClient, method: str) -> None:
    """The HTTP library would sleep 7 s and send PUT and DELETE again: far outside any fence."""
    api.refuse(429, left=9, reason="TooManyRequests", headers={"Retry-After": "7"})
    node = {"metadata": {"name": "n"}}
    calls = {
        "get": lambda: client.get(NODES, "n"),
        "replace": lambda: client.replace(NODES, node, "n"),
        "delete": lambda: client.delete(NODES, node),
    }
    began_s = time.perf_counter()
    with pytest.raises(TooManyRequests) as caught:
        calls[method]()
    assert caught.value.after_s == 7.0
    assert time.perf_counter() - began_s < 6.5
    assert len(api.requests) == 1


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "PATCH", "POST"])
def test_a_reset_is_unreachable_and_nothing_is_sent_twice(api: FakeApi, client: KubeClient, verb: str) -> None:
    api.refuse(0, left=9, reset=True)
    calls = {
        "GET": lambda: client.get(NODES, "n"),
        "PUT": lambda: client.replace(NODES, {"metadata": {"name": "n"}}, "n"),
        "DELETE": lambda: client.delete(NODES, {"metadata": {"name": "n"}}),
        "PATCH": lambda: client.apply(PLANS, {}, "p"),
        "POST": lambda: client.create(NODES, {"metadata": {"name": "n"}}),
    }
    with pytest.raises(Unreachable, match="no answer"):
        calls[verb]()
    assert len(api.requests) == 1


@pytest.mark.parametrize("raw", [b"<html>proxy</html>", b"", b"[1, 2]", b"null"])
def test_an_answer_that_is_no_object_is_unreachable(api: FakeApi, client: KubeClient, raw: bytes) -> None:
    api.refuse(200, raw=raw)
    with pytest.raises(Unreachable):
        client.get(NODES, "n")


def test_a_refusal_without_a_status_body_is_quoted(api: FakeApi, client: KubeClient) -> None:
    api.refuse(502, raw=b"<html>bad gateway</html>")
    with pytest.raises(Unreachable, match="bad gateway"):
        client.get(NODES, "n")


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    client = client_of(FakeApi(url=f"http://127.0.0.1:{port}"))
    with pytest.raises(Unreachable):
        client.get(NODES, "n")


def test_a_hanging_server_costs_the_read_timeout() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        client = client_of(FakeApi(url=f"http://127.0.0.1:{deaf.getsockname()[1]}"), Timeouts(connect_s=0.2, read_s=0.2))
        began_s = time.perf_counter()
        with pytest.raises(Unreachable, match="timed out"):
            client.get(NODES, "n")
        assert time.perf_counter() - began_s < 20.0


def test_apply_names_one_field_manager_and_bounds_the_server(api: FakeApi, client: KubeClient) -> None:
    client.apply(PLANS, {"status": {"age": 1}}, "site", subresource="status")
    sent = api.writes()[-1]
    assert sent.path.endswith("/dispatchplans/site/status")
    assert sent.query == {"fieldManager": FIELD_MANAGER, "force": "true", "timeout": "2s"}
    assert sent.headers["Content-Type"] == "application/apply-patch+yaml"
    assert sent.body == {
        "apiVersion": "heatdispatch.io/v1alpha1",
        "kind": "DispatchPlan",
        "metadata": {"name": "site"},
        "status": {"age": 1},
    }


def test_patch_carries_what_was_seen(api: FakeApi, client: KubeClient) -> None:
    seen = api.put(JOB_PATH, {"spec": {"suspend": True, "parallelism": 2}})
    changed = client.patch(JOBS, seen, {"spec": {"suspend": False}})
    assert changed["spec"] == {"suspend": False, "parallelism": 2}
    assert api.writes()[-1].body["metadata"] == {"resourceVersion": seen["metadata"]["resourceVersion"], "uid": "uid-1"}
    assert "force" not in api.writes()[-1].query
    with pytest.raises(Conflict):
        client.patch(JOBS, seen, {"spec": {"suspend": True}})


def test_patch_of_a_namesake_is_a_conflict(api: FakeApi, client: KubeClient) -> None:
    seen = api.put(JOB_PATH, {})
    api.remove(JOB_PATH)
    api.put(JOB_PATH, {})
    with pytest.raises(Conflict):
        client.patch(JOBS, seen, {"spec": {"suspend": True}})
    with pytest.raises(Conflict):
        client.delete(JOBS, seen)
    assert JOB_PATH in api.objects


def test_patch_refuses_an_object_that_was_never_seen(client: KubeClient) -> None:
    with pytest.raises(ValueError, match="without a resourceVersion"):
        client.patch(JOBS, {"metadata": {"name": "train", "namespace": "team"}}, {})


def test_create_and_delete(api: FakeApi, client: KubeClient) -> None:
    seen = client.create(JOBS, {"metadata": {"name": "train"}}, "team")
    with pytest.raises(AlreadyExists):
        client.create(JOBS, {"metadata": {"name": "train"}}, "team")
    client.delete(JOBS, seen)
    assert not api.objects


def test_watch_tells_events_and_bookmarks(api: FakeApi, client: KubeClient) -> None:
    api.put("/api/v1/nodes/a", {})
    watch = client.watch(NODES, "100")
    events = iter(watch)
    assert next(events).object["metadata"]["name"] == "a"
    assert next(events).type == "BOOKMARK"
    api.put("/api/v1/nodes/a", {"spec": {"unschedulable": True}})
    assert next(event for event in events if event.type != "BOOKMARK").type == "MODIFIED"
    watch.stop()
    assert all(event.type == "BOOKMARK" for event in events)


def test_a_watch_from_a_forgotten_version_is_gone(api: FakeApi, client: KubeClient) -> None:
    api.put("/api/v1/nodes/a", {})
    api.compact()
    with pytest.raises(Gone):
        list(client.watch(NODES, "100"))


def test_a_silent_watch_ends(api: FakeApi, client: KubeClient) -> None:
    api.silent = True
    with pytest.raises(Unreachable, match="timed out"):
        list(client.watch(NODES, "100", silence_s=0.1))


def test_stop_wakes_a_reader_that_waits(api: FakeApi, client: KubeClient) -> None:
    api.silent = True
    watch = client.watch(NODES, "100", silence_s=60.0)
    reader = threading.Thread(target=lambda: list(watch))
    reader.start()
    watch.stop()
    reader.join(3)
    assert not reader.is_alive()
    watch.stop()


def test_kubeconfig_and_token(api: FakeApi, tmp_path: Path) -> None:
    config = configuration(write_kubeconfig(tmp_path / "config", api.url, token="s3cret"))
    with pytest.raises(NotFound) as caught:
        KubeClient(Connection(config)).get(NODES, "n")
    assert api.requests[-1].headers["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in str(caught.value)


def test_a_kubeconfig_that_is_not_there_is_a_misconfiguration(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="expected a kubeconfig"):
        configuration(tmp_path / "nowhere")


def test_a_pod_without_its_token_is_a_misconfiguration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(Misconfigured, match="service account"):
        configuration()


def test_a_configuration_by_hand_needs_no_file(api: FakeApi) -> None:
    connection = Connection(Configuration(host=api.url))
    assert connection.host == api.url
    connection.close()
