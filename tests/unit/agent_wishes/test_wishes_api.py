"""The watches of the agent where the API server lies, breaks off, forgets or is silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hearing import hearing
from kube_api_peer import END, KubeApiPeer, kube_api_peer

from scheduler.adapters.clock import Clocks, SystemClock
from scheduler.adapters.gpu.kube_http import Access, KubeHttp, Refused, Unreachable, in_cluster
from scheduler.adapters.gpu.kube_watch import Patience, Reach
from scheduler.adapters.gpu.wishes_api import POWERS, ApiWishes
from scheduler.domain.errors import Misconfigured

LEASES, PODS = "/apis/coordination.k8s.io/v1/namespaces/heat-dispatch/leases", "/api/v1/pods"
SOON_S = 20.0
BRISK = Patience(base_s=0.02, most_s=0.1, silence_s=1.0, shortest_s=0.2)


def power(generation: int = 1, version: str = "11", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "n0", "uid": "power-n0", "generation": generation + 100, "resourceVersion": version}
    return {"metadata": metadata, "spec": {"planId": "p", "generation": generation, **spec}}


def pod(name: str, uid: str, version: str = "12") -> dict[str, Any]:
    return {"metadata": {"namespace": "lab", "name": name, "uid": uid, "resourceVersion": version}}


def lease(renewed: str, version: str = "13") -> dict[str, Any]:
    return {"metadata": {"name": "heat-dispatch-caps", "resourceVersion": version}, "spec": {"renewTime": renewed}}


def event(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": item}


def wait(what: str, ready: Callable[[], object]) -> None:
    until_s = time.monotonic() + SOON_S
    while not ready():
        assert time.monotonic() < until_s, what
        time.sleep(0.01)


@pytest.fixture
def peer() -> Iterator[KubeApiPeer]:
    with kube_api_peer() as found:
        yield found


def micro(at_utc: datetime) -> str:
    return at_utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def http_date(at_utc: datetime) -> str:
    return at_utc.strftime("%a, %d %b %Y %H:%M:%S GMT")


@dataclass
class TurnedClock:
    """A clock that a test turns."""

    now_s: float = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_utc(self) -> datetime:
        raise AssertionError("the wall clock is not asked")


@contextmanager
def listening(peer: KubeApiPeer, patience: Patience = BRISK, clock: Clocks | None = None) -> Iterator[ApiWishes]:
    reach = Reach(access=Access(url=peer.url), clock=clock or SystemClock(), patience=patience)
    with hearing(ApiWishes(reach, node="n0", lease_namespace="heat-dispatch")) as wishes:
        yield wishes


def generation(wishes: ApiWishes) -> int:
    wish = wishes.heard().wish
    return -1 if wish is None else wish.generation


def alive_since(wishes: ApiWishes, at_s: float) -> bool:
    return wishes.heard().alive_s == at_s


def beating(peer: KubeApiPeer, wishes: ApiWishes, renewed: str) -> float:
    """A Lease comes that was renewed then, as the first of all; returns when it counts from."""
    wait("a beginning", lambda: wishes.heard().begun)
    peer.collection(LEASES).events.put(event("ADDED", lease(renewed)))
    wait("a sign of life", lambda: wishes.heard().alive_s is not None)
    alive_s = wishes.heard().alive_s
    assert alive_s is not None
    return alive_s


def found_renewed(peer: KubeApiPeer, renewed_utc: datetime, now_utc: datetime) -> None:
    """A list tells from now on of a Lease that was renewed then, by an API server whose clock says now."""
    peer.collection(LEASES).items = [lease(micro(renewed_utc))]
    peer.collection(LEASES).date = http_date(now_utc)


def test_it_asks_for_its_own_node_and_for_no_more_than_metadata(peer: KubeApiPeer) -> None:
    with listening(peer) as wishes:
        wait("a beginning", lambda: wishes.heard().begun)
        wait("watches", lambda: sum("watch" in query for _, query, _ in peer.asked) >= 3)
    selectors = {path: query["fieldSelector"] for path, query, _ in peer.asked}
    assert selectors == {
        POWERS: "metadata.name=n0",
        LEASES: "metadata.name=heat-dispatch-caps",
        PODS: "spec.nodeName=n0",
    }
    accepts = {headers["Accept"] for path, _, headers in peer.asked if path == PODS}
    assert accepts == {
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    }


def test_what_is_watched_is_heard_and_what_is_deleted_is_gone(peer: KubeApiPeer) -> None:
    peer.collection(POWERS).items = [power(1)]
    peer.collection(PODS).items = [pod("train", "u-1")]
    with listening(peer) as wishes:
        wait("a wish", lambda: generation(wishes) == 1)
        wish = wishes.heard().wish
        assert wish is not None
        assert (wish.source, wish.observed_generation) == ("power-n0", 101)
        peer.collection(POWERS).events.put(event("MODIFIED", power(2)))
        peer.collection(PODS).events.put(event("ADDED", pod("train", "u-2")))
        # The end of the first one comes late: it does not take the second one with it.
        peer.collection(PODS).events.put(event("DELETED", pod("train", "u-1")))
        peer.collection(PODS).events.put(event("ADDED", pod("other", "u-3")))
        wait("changes", lambda: generation(wishes) == 2 and ("lab", "other") in wishes.heard().pods)
        assert wishes.heard().pods == {("lab", "train"): "u-2", ("lab", "other"): "u-3"}
        peer.collection(PODS).events.put(event("DELETED", pod("train", "u-2")))
        peer.collection(POWERS).events.put(event("DELETED", power(2)))
        wait("ends", lambda: wishes.heard().wish is None and len(wishes.heard().pods) == 1)


def test_a_version_that_is_forgotten_is_listed_anew_and_no_trouble(peer: KubeApiPeer) -> None:
    peer.collection(POWERS).items = [power(1)]
    with listening(peer) as wishes:
        wait("a wish", lambda: generation(wishes) == 1)
        peer.collection(POWERS).items = [power(2)]
        peer.collection(POWERS).events.put(event("ERROR", {"code": 410, "message": "too old"}))
        wait("the newer one", lambda: generation(wishes) == 2)
        assert wishes.heard().trouble == ""
        assert peer.lists(POWERS) == 2


def test_a_watch_goes_on_where_it_ended(peer: KubeApiPeer) -> None:
    peer.collection(POWERS).items = [power(1)]
    with listening(peer, Patience(base_s=0.02, most_s=0.1, shortest_s=0.0)) as wishes:
        wait("a wish", lambda: generation(wishes) == 1)
        peer.collection(POWERS).events.put(event("BOOKMARK", {"metadata": {"resourceVersion": "99"}}))
        peer.collection(POWERS).events.put(END)
        wait("the next watch", lambda: any(query.get("resourceVersion") == "99" for _, query, _ in peer.asked))
        assert peer.lists(POWERS) == 1


def test_a_silent_watch_is_listed_anew(peer: KubeApiPeer) -> None:
    peer.collection(POWERS).items = [power(1)]
    with listening(peer) as wishes:
        wait("a wish", lambda: generation(wishes) == 1)
        # It changed, and no event came: as behind a connection that is dead.
        peer.collection(POWERS).items = [power(2)]
        wait("the newer one", lambda: generation(wishes) == 2)
        assert wishes.heard().trouble == ""


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "no JSON"),
        (b"[]", "no object"),
        (b'{"items": 7, "metadata": {"resourceVersion": "1"}}', "not a list of Kubernetes"),
        (b'{"items": [], "metadata": 7}', "not a list of Kubernetes"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_lists_of_a_wrong_shape_are_trouble_and_are_tried_again(peer: KubeApiPeer, raw: bytes, said: str) -> None:
    peer.collection(POWERS).raw = raw
    with listening(peer) as wishes:
        wait("trouble", lambda: said in wishes.heard().trouble)
        assert not wishes.heard().begun
        peer.collection(POWERS).raw = None
        peer.collection(POWERS).items = [power(3)]
        wait("a wish", lambda: generation(wishes) == 3)
        wait("no trouble", lambda: wishes.heard().trouble == "")


@pytest.mark.parametrize("line", [b"not json\n", b"[]\n", b'{"type": "ADDED"}\n', b'{"type": 7, "object": {}}\n'])
def test_events_of_a_wrong_shape_do_no_harm(peer: KubeApiPeer, line: bytes) -> None:
    peer.collection(POWERS).items = [power(1)]
    with listening(peer) as wishes:
        wait("a wish", lambda: generation(wishes) == 1)
        peer.collection(POWERS).events.put(line)
        wait("a new list", lambda: peer.lists(POWERS) == 2)
        assert generation(wishes) == 1


def test_a_wish_of_a_wrong_shape_is_none_and_is_told(peer: KubeApiPeer) -> None:
    peer.collection(POWERS).items = [power(1, gpus=[{"uuid": "GPU-1", "podUid": "u", "capWatts": 400}])]
    with listening(peer) as wishes:
        wait("a wish", lambda: generation(wishes) == 1)
        for wrong in (power(2, gpus="all"), {"metadata": 7, "spec": []}, {}):
            peer.collection(POWERS).events.put(event("MODIFIED", power(1)))
            wait("a wish", lambda: generation(wishes) == 1)
            peer.collection(POWERS).events.put(event("MODIFIED", wrong))
            wait("trouble", lambda: wishes.heard().wish is None and "NodePower" in wishes.heard().trouble)


def test_what_an_api_server_refuses_is_told_with_its_words(peer: KubeApiPeer) -> None:
    peer.collection(PODS).code = 403
    peer.collection(PODS).raw = b'{"message": "pods is forbidden"}'
    with listening(peer) as wishes:
        wait("trouble", lambda: "pods: HTTP 403: pods is forbidden" in wishes.heard().trouble)
        assert not wishes.heard().begun


def test_watches_that_are_cut_off_are_not_asked_for_in_a_hurry(peer: KubeApiPeer) -> None:
    began_s = time.monotonic()
    with listening(peer, Patience(base_s=0.2, most_s=0.2)) as wishes:
        for _ in range(50):
            peer.collection(POWERS).events.put(END)
        wait("trouble", lambda: "cut off" in wishes.heard().trouble)
        time.sleep(1.0)
        # At least 0.1 s between two turns of one list and one watch.
        turns = (time.monotonic() - began_s) / 0.1
        assert sum(path == POWERS for path, _, _ in peer.asked) <= 2 * (turns + 1)


@pytest.mark.parametrize(
    ("age_s", "counted"), [(30.0, True), (-2.0, True), (-60.0, False), (4000.0, True)], ids=["old", "now", "ahead", "dead"]
)
def test_a_lease_that_is_found_counts_with_its_age_by_the_servers_clock(peer: KubeApiPeer, age_s: float, counted: bool) -> None:
    """Both stamps are of another year than this machine's clock, which is never asked."""
    date_utc = datetime(2031, 3, 7, 12, 0, 0, tzinfo=UTC)
    peer.collection(LEASES).items = [lease(micro(date_utc - timedelta(seconds=age_s)))]
    peer.collection(LEASES).date = http_date(date_utc)
    before_s = SystemClock().monotonic_s()
    with listening(peer) as wishes:
        wait("a beginning", lambda: wishes.heard().begun)
        alive_s, after_s = wishes.heard().alive_s, SystemClock().monotonic_s()
        assert (alive_s is not None) == counted
        if alive_s is not None:
            assert before_s - max(0.0, age_s) <= alive_s <= after_s - max(0.0, age_s)


@pytest.mark.parametrize("renewed", ["", "yesterday", "2031-03-07T12:00:00", None])
def test_a_lease_that_cannot_be_read_is_no_sign_of_life(peer: KubeApiPeer, renewed: Any) -> None:
    peer.collection(LEASES).items = [lease(renewed)]
    peer.collection(LEASES).date = "Fri, 07 Mar 2031 12:00:00 GMT"
    with listening(peer) as wishes:
        wait("a beginning", lambda: wishes.heard().begun)
        assert wishes.heard().alive_s is None


def test_a_renewed_lease_counts_when_it_is_seen_and_a_touched_one_does_not(peer: KubeApiPeer) -> None:
    with listening(peer, Patience(base_s=0.02, most_s=0.1)) as wishes:
        events, alive_s = peer.collection(LEASES).events, beating(peer, wishes, "2020-01-01T00:00:00.000000Z")
        events.put(event("MODIFIED", lease("2020-01-01T00:00:00.000000Z", "14")))
        events.put(event("DELETED", lease("2020-01-01T00:00:10.000000Z", "15")))
        time.sleep(0.3)
        assert wishes.heard().alive_s == alive_s


def test_a_clock_that_is_set_back_costs_one_sign_of_life(peer: KubeApiPeer) -> None:
    """Another leader whose clock is an hour behind: its Lease is listed once, and what it renews from then on counts."""
    with listening(peer, Patience(base_s=0.02, most_s=0.1)) as wishes:
        events, alive_s = peer.collection(LEASES).events, beating(peer, wishes, "2031-03-07T12:00:00.000000Z")
        peer.collection(LEASES).items = [lease("2031-03-07T11:00:10.000000Z")]
        events.put(event("MODIFIED", lease("2031-03-07T11:00:10.000000Z", "14")))
        wait("a list", lambda: peer.lists(LEASES) == 2)
        assert wishes.heard().alive_s == alive_s
        events.put(event("MODIFIED", lease("2031-03-07T11:00:20.000000Z", "15")))
        wait("another one", lambda: wishes.heard().alive_s != alive_s)


def test_signs_of_life_that_have_waited_for_a_frozen_agent_are_none(peer: KubeApiPeer) -> None:
    clock = TurnedClock()
    date_utc = datetime(2031, 3, 7, 12, 0, 0, tzinfo=UTC)
    found_renewed(peer, date_utc, date_utc)
    with listening(peer, Patience(base_s=0.02, most_s=0.1), clock) as wishes:
        wait("a beginning", lambda: wishes.heard().begun)
        assert wishes.heard().alive_s == 1000.0
        # Frozen for ten minutes; the operator ended after the second of these, and so the Lease is what it was then.
        clock.now_s += 600.0
        found_renewed(peer, date_utc + timedelta(seconds=20), date_utc + timedelta(seconds=600))
        for seconds in (10, 20):
            peer.collection(LEASES).events.put(event("MODIFIED", lease(micro(date_utc + timedelta(seconds=seconds)))))
        wait("a list", lambda: peer.lists(LEASES) == 2)
        wait("its age", lambda: wishes.heard().alive_s == 1020.0)
        time.sleep(0.3)
        assert wishes.heard().alive_s == 1020.0


def test_signs_of_life_that_have_waited_for_a_short_time_count_from_when_they_were_given(peer: KubeApiPeer) -> None:
    """Listed at 1000 s with 12:00:00, then frozen for 25 s: those of 12:00:10 and 12:00:20 are of 1010 s and 1020 s."""
    clock = TurnedClock()
    date_utc = datetime(2031, 3, 7, 12, 0, 0, tzinfo=UTC)
    found_renewed(peer, date_utc, date_utc)
    with listening(peer, Patience(base_s=0.02, most_s=0.1), clock) as wishes:
        wait("a beginning", lambda: wishes.heard().begun)
        clock.now_s += 25.0
        for seconds, heard_s in ((10, 1010.0), (20, 1020.0)):
            peer.collection(LEASES).events.put(event("MODIFIED", lease(micro(date_utc + timedelta(seconds=seconds)))))
            wait("a sign of life", partial(alive_since, wishes, heard_s))
        # One that comes in time again counts from when it is seen.
        clock.now_s += 5.2
        peer.collection(LEASES).events.put(event("MODIFIED", lease(micro(date_utc + timedelta(seconds=30)))))
        wait("one in time", lambda: wishes.heard().alive_s == 1030.2)
        assert peer.lists(LEASES) == 1


def test_an_api_server_that_is_away_leaves_what_was_known(peer: KubeApiPeer) -> None:
    reach = Reach(access=Access(url="http://127.0.0.1:9"), clock=SystemClock(), patience=BRISK)
    wishes = ApiWishes(reach, node="n0", lease_namespace="heat-dispatch")
    stopping = threading.Event()
    wishes.start(stopping)
    wait("trouble", lambda: "does not answer" in wishes.heard().trouble)
    stopping.set()
    wishes.join()
    assert not wishes.heard().begun


# Who asks.


def test_the_token_is_read_anew_at_every_request(peer: KubeApiPeer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    http = KubeHttp(Access(url=peer.url, token_file=token))
    with pytest.raises(Unreachable, match="token could not be read"):
        http.list(POWERS, {})
    for text in ("one", "two\n"):
        token.write_text(text, encoding="ascii")
        http.list(POWERS, {})
    http.close()
    assert [headers["Authorization"] for _, _, headers in peer.asked] == ["Bearer one", "Bearer two"]


def test_an_answer_that_says_nothing_is_refused_by_its_code(peer: KubeApiPeer) -> None:
    peer.collection(POWERS).code, peer.collection(POWERS).raw = 500, b""
    http = KubeHttp(Access(url=peer.url))
    with pytest.raises(Refused, match=r"^HTTP 500$") as caught:
        http.list(POWERS, {})
    http.close()
    assert caught.value.code == 500


def test_trust_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    http = KubeHttp(Access(url="https://127.0.0.1:9", ca_file=tmp_path / "ca.crt"))
    with pytest.raises(Unreachable, match=r"ca\.crt"):
        http.list(POWERS, {})


def test_every_pod_knows_where_the_api_server_is(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t", encoding="ascii")
    found = in_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}, tmp_path)
    assert found == Access(url="https://10.0.0.1:6443", token_file=tmp_path / "token", ca_file=tmp_path / "ca.crt")
    assert in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path).url == "https://[fd00::1]:443"
    for environment, folder in (({}, tmp_path), ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path / "none")):
        with pytest.raises(Misconfigured, match="no pod"):
            in_cluster(environment, folder)
