"""Power from what a Prometheus keeps of dcgm-exporter: scraped labels, old samples, other clusters, broken answers."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from agent_peer import AgentPeer
from dcgm_pages import BLANK, DRAW, ENERGY, labels, matrix, scraped
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.telemetry.asking import Manners, Trust
from scheduler.adapters.telemetry.prometheus import Prometheus, Sought, answer_series, node_draws
from scheduler.adapters.telemetry.wire import Unbelievable
from scheduler.domain.telemetry import GpuDraw, NodeDraw

NOW_S = 1_768_392_000.0
NODES = ("n0", "n1")
UIDS = {("lab", "train-0"): "uid-train"}
MINE = labels(0, pod="lab/train-0")


@dataclass(slots=True)
class Hand:
    """Clocks that are turned by hand."""

    now_s: float = NOW_S

    def monotonic_s(self) -> float:
        return self.now_s

    def now_utc(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)


def told(body: bytes, now_s: float = NOW_S) -> dict[str, NodeDraw]:
    return node_draws(answer_series(json.loads(body)), NODES, UIDS, now_s)


def every(seconds: float, *values: float | str, until_s: float = NOW_S) -> list[tuple[float, float | str]]:
    """Samples of which the last is at `until_s`."""
    return [(until_s - seconds * (len(values) - 1 - at), value) for at, value in enumerate(values)]


def test_energy_over_the_window_is_the_mean_draw() -> None:
    # 30 s apart 12 kJ and 18 kJ: 30,000 J in 60 s are 500 W.
    found = told(matrix((ENERGY, MINE, every(30, 1e9, 1.012e9, 1.03e9)), (DRAW, MINE, every(30, 390, 400, 600))))
    gpu = GpuDraw(uuid="GPU-0", pod_uid="uid-train", draw_w=500.0)
    assert found == {"n0": NodeDraw(node="n0", measured_utc=datetime.fromtimestamp(NOW_S, UTC), gpus=(gpu,))}


def test_a_reset_within_the_window_costs_one_step() -> None:
    # 12 kJ in the first 30 s, power at the reset for the next (600 W * 30 s = 18 kJ), 9 kJ in the last: 39 kJ in 90 s.
    found = told(matrix((ENERGY, MINE, every(30, 1e9, 1.012e9, 5e5, 9.5e6)), (DRAW, MINE, every(30, 400, 400, 600, 300))))
    assert found["n0"].draw_w == pytest.approx(39_000.0 / 90.0)


def test_labels_of_the_scrape_are_not_taken_for_the_pod() -> None:
    held, free = told(
        matrix((DRAW, scraped(MINE), every(30, 500)), (DRAW, scraped(labels(1, host="hostname=n0")), every(30, 70)))
    )["n0"].gpus
    assert (held.pod_uid, free.pod_uid) == ("uid-train", "")
    # When all are free nothing tells an exporter's name from that of a pod: it is known as no pod with GPUs.
    (alone,) = told(matrix((DRAW, scraped(labels(1)), every(30, 70))))["n0"].gpus
    assert alone.pod_uid is None


def test_a_gpu_belongs_to_the_pod_that_holds_it_now() -> None:
    before = (DRAW, labels(0, pod="lab/gone-0"), every(30, 300, 300, until_s=NOW_S - 60))
    (gpu,) = told(matrix(before, (DRAW, MINE, every(30, 500, 500))))["n0"].gpus
    # Its draw is that of the whole window: 30 s at 300 W and 60 s at 500 W are 39 kJ in 90 s.
    assert gpu.pod_uid == "uid-train"
    assert gpu.draw_w == pytest.approx(39_000.0 / 90.0)


@pytest.mark.parametrize("name", ["node", "kubernetes_node", "Hostname", "hostname", "instance"])
def test_the_node_is_named_by_whichever_label_names_one_of_ours(name: str) -> None:
    mine = {key: text for key, text in MINE.items() if key != "Hostname"}
    value = "n1:9400" if name == "instance" else "n1"
    assert list(told(matrix((DRAW, {"hostname": "dcgm-exporter-x7k2p", **mine, name: value}, every(30, 500))))) == ["n1"]


def test_nodes_of_other_clusters_and_gpus_that_are_not_scraped_any_more_are_passed_over() -> None:
    other = (DRAW, labels(2, host="Hostname=far-away"), every(30, 500))
    gone = (DRAW, labels(1), every(30, 500, until_s=NOW_S - 91))
    (node,) = told(matrix(other, gone, (DRAW, MINE, every(30, 400)))).values()
    assert [(gpu.uuid, gpu.draw_w) for gpu in node.gpus] == [("GPU-0", 400.0)]


def test_what_is_no_number_is_not_known() -> None:
    (gpu,) = told(matrix((DRAW, MINE, every(30, 400, BLANK)), (ENERGY, MINE, every(30, "NaN", BLANK))))["n0"].gpus
    assert gpu.draw_w is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (matrix(), "no series of dcgm-exporter there"),
        (matrix((DRAW, MINE, every(30, 400, until_s=NOW_S - 181))), "the newest sample is 181 s old"),
        (matrix((DRAW, MINE, every(30, 400, until_s=NOW_S + 61))), "the newest sample is -61 s old"),
        (matrix((DRAW, labels(0, host="Hostname=far-away"), every(30, 400))), "no series names a node of this cluster"),
        (b'{"status": "error", "errorType": "bad_data", "error": "parse error"}', "Prometheus says: parse error"),
        (b"[]", "Prometheus says: nothing that is an answer"),
        (b'{"status": "success", "data": {"resultType": "vector", "result": []}}', "the answer is no matrix of samples"),
        (b'{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}}]}}', "a series is none: "),
        (b'{"status": "success", "data": {"resultType": "matrix", "result": [7]}}', "a series is none: "),
    ],
)
def test_an_answer_that_says_nothing_is_named(body: bytes, why: str) -> None:
    with pytest.raises(Unbelievable, match="^" + why):
        told(body)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["metric", "values", "__name__", "UUID"]), inner)
    ),
    max_leaves=8,
)
SAMPLES = st.lists(st.tuples(st.floats(), st.floats().map(str)) | st.tuples(st.just(NOW_S), st.just("300")), max_size=3)
SERIES = st.fixed_dictionaries({"metric": st.just({"__name__": DRAW, **MINE}), "values": SAMPLES | JSONS})


@settings(max_examples=200, deadline=None)
@given(result=st.lists(SERIES, max_size=3) | JSONS)
def test_no_answer_breaks_the_reader(result: object) -> None:
    found: dict[str, NodeDraw] = {}
    with suppress(Unbelievable):
        told = answer_series({"status": "success", "data": {"resultType": "matrix", "result": result}})
        found = node_draws(told, NODES, UIDS, NOW_S)
    assert all(0.0 <= gpu.draw_w <= 5000.0 for node in found.values() for gpu in node.gpus if gpu.draw_w is not None)


def asked(url: str, clock: Hand | None = None, trust: Trust | None = None, **sought: Any) -> Prometheus:
    found = Prometheus(Sought(url=url, **sought), clock or Hand(), lambda: NODES, lambda: UIDS, Manners(max_bytes=5000), trust)

    async def run() -> None:
        async with found.client() as client:
            await found.turn(client)

    asyncio.run(run())
    return found


def test_a_prometheus_is_asked_for_this_cluster_and_what_it_says_goes_stale() -> None:
    clock = Hand()
    with AgentPeer({}, raw=matrix((DRAW, MINE, every(30, 400)))) as peer:
        found = asked(peer.url, clock, match='cluster="heat-1"')
    # The limits are two metrics.
    assert [one["query"] for one in peer.asked][:2] == [f'{name}{{cluster="heat-1"}}[180s]' for name in (DRAW, ENERGY)]
    assert len(peer.asked) == 4
    assert (found.draws()["n0"].draw_w, found.silent()) == (400.0, {})
    clock.now_s += 181.0
    assert found.draws() == {}


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        (AgentPeer({}, raw=b"<html>"), "not believed: it is no JSON"),
        (AgentPeer({}, raw=b"[" * 4000), "not believed: it is no JSON"),
        (AgentPeer({}, raw=b" " * 6000), "not believed: longer than 5000 bytes"),
        (AgentPeer({}, token="secret"), "HTTP 401"),
        (AgentPeer({"status": "error", "error": "query timed out"}), "Prometheus says: query timed out"),
    ],
    ids=["html", "deep", "long", "token", "error"],
)
def test_a_prometheus_that_is_no_use_is_named(peer: AgentPeer, why: str) -> None:
    with peer:
        found = asked(peer.url)
        assert (found.draws(), found.silent()) == ({}, {peer.url: why})


class Refusing(BaseHTTPRequestHandler):
    """Says what is wrong with a question, as Prometheus does."""

    def do_GET(self) -> None:
        body = b'{"status":"error","errorType":"bad_data","error":"1:27: parse error: unexpected identifier\\nmore"}'
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_what_a_prometheus_says_of_a_question_is_told() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        found = asked(url)
        server.shutdown()
    assert list(found.silent().values()) == ["HTTP 400: 1:27: parse error: unexpected identifier"]


def test_the_token_is_a_file(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with AgentPeer({}, raw=matrix((DRAW, MINE, every(30, 400))), token="new") as peer:
        missing = asked(peer.url, trust=Trust(token_file=token))
        assert list(missing.silent().values()) == ["the token could not be read: No such file or directory"]
        token.write_text("new\n", encoding="utf-8")
        assert list(asked(peer.url, trust=Trust(token_file=token)).draws()) == ["n0"]
