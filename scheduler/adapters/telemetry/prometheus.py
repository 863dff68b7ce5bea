"""The series of dcgm-exporter as a Prometheus keeps them: a question for each metric, answered with minutes of every GPU.

    GET /api/v1/query?query=DCGM_FI_DEV_POWER_USAGE{cluster="heat-1"}[180s]
    {"status": "success", "data": {"resultType": "matrix", "result": [
      {"metric": {"__name__": "DCGM_FI_DEV_POWER_USAGE", "UUID": "GPU-1", "Hostname": "n0", ...},
       "values": [[1768392030.1, "512.3"], ...]}]}}

A range of raw samples, not a rate: resets are handled as everywhere else, and each sample says when it was scraped.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx

from scheduler.adapters.clock import Clocks
from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.telemetry.asking import Manners, Trust, answered, client_of
from scheduler.adapters.telemetry.dcgm import STALE_S, WANTED, Series, Uids, gpu_draws
from scheduler.adapters.telemetry.wire import MAX_GPUS, Unbelievable
from scheduler.domain.telemetry import NodeDraw

QUERY_PATH = "/api/v1/query"
# A GPU whose last sample is so much older than the newest of all is not scraped any more.
GONE_S = 90.0
# Clocks of two machines may differ by so much.
AHEAD_S = 60.0
# Which label names the node; the first that names one of this cluster. The exporter's own go first: the others may be labels of
# the pod on the GPU, which its owner chooses.
NODE_LABELS = ("Hostname", "hostname", "node", "kubernetes_node", "nodename", "instance")
# 8,000 GPUs with a dozen samples each are 7 MB.
MAX_ANSWER_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Where the series are. match: matchers that pick this cluster's, for example `cluster="heat-1"`."""

    url: str
    match: str = ""

    def query(self, metric: str) -> str:
        """In PromQL."""
        return f"{metric}{{{self.match}}}[{STALE_S:.0f}s]"


def answer_series(document: object) -> tuple[Series, ...]:
    """Every series of an answer.

    Raises:
        Unbelievable: when it is none.
    """
    said = document if isinstance(document, dict) else {}
    if said.get("status") != "success":
        raise Unbelievable(f"Prometheus says: {str(said.get('error') or 'nothing that is an answer')[:200]}")
    data = said.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        raise Unbelievable("the answer is no matrix of samples")
    try:
        found = tuple(_series(each) for each in data["result"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Unbelievable(f"a series is none: {error}") from error
    return tuple(each for each in found if each.samples)


def _series(told: Mapping[str, Any]) -> Series:
    """One series."""
    labels = {str(name): str(value) for name, value in told["metric"].items()}
    metric = labels.pop("__name__")
    samples = [(float(at_s), float(value)) for at_s, value in told["values"]]
    return Series(metric=metric, labels=labels, samples=sorted(each for each in samples if math.isfinite(each[0])))


def node_draws(told: Collection[Series], nodes: Collection[str], uids: Uids, now_s: float) -> dict[str, NodeDraw]:
    """What is told of each node.

    Args:
        told: the last minutes of every series.
        nodes: names of the nodes of this cluster; what is told of others is passed over.
        uids: pods that hold GPUs.
        now_s: the present by our clock, in Unix time.

    Raises:
        Unbelievable: when nothing in it is of now, or of this cluster.
    """
    newest_s = max((each.newest_s for each in told), default=None)
    if newest_s is None:
        raise Unbelievable("no series of dcgm-exporter there")
    if not -AHEAD_S <= now_s - newest_s <= STALE_S:
        raise Unbelievable(f"the newest sample is {now_s - newest_s:.0f} s old")
    homes = _homes(told, frozenset(nodes), newest_s)
    if not homes:
        raise Unbelievable("no series names a node of this cluster")
    draws, _ = gpu_draws((each for each in told if each.label("UUID", "uuid") in homes), uids, {})
    by_node = defaultdict(list)
    for draw in draws:
        by_node[homes[draw.uuid]].append(draw)
    measured_utc = datetime.fromtimestamp(newest_s, UTC)
    return {
        node: NodeDraw(node=node, measured_utc=measured_utc, gpus=tuple(gpus))
        for node, gpus in by_node.items()
        if len(gpus) <= MAX_GPUS
    }


def _homes(told: Collection[Series], nodes: frozenset[str], newest_s: float) -> dict[str, str]:
    """By GPU the node that its newest series names, of those that are still scraped."""
    found: dict[str, tuple[float, str]] = {}
    for each in told:
        uuid, node, at_s = each.label("UUID", "uuid"), _node(each, nodes), each.newest_s
        if uuid and node and at_s >= newest_s - GONE_S and at_s >= found.get(uuid, (0.0, ""))[0]:
            found[uuid] = (at_s, node)
    return {uuid: node for uuid, (_, node) in found.items()}


def _node(one: Series, nodes: frozenset[str]) -> str:
    """The node of a series; empty when it names none of ours."""
    named = (one.label(name) for name in NODE_LABELS)
    return next((part for label in named for part in (label, label.rpartition(":")[0]) if part in nodes), "")


class Prometheus:
    """Asks one Prometheus again and again; one thread runs `run`, any other reads."""

    def __init__(
        self,
        sought: Sought,
        clock: Clocks,
        nodes: Callable[[], Collection[str]],
        uids: Callable[[], Uids],
        manners: Manners | None = None,
        trust: Trust | None = None,
    ) -> None:
        """Ask about `nodes` and the pods in `uids`, as they are at that moment."""
        self._sought, self._clock, self._nodes, self._uids = sought, clock, nodes, uids
        self._manners = manners or Manners(max_bytes=MAX_ANSWER_BYTES, timeout_s=20.0)
        self._trust = trust or Trust()
        self._draws: dict[str, NodeDraw] = {}
        self._heard_s, self._trouble = 0.0, "not asked yet"
        self._episode = Episode(Teller("telemetry.prometheus"), "prometheus")

    def draws(self) -> dict[str, NodeDraw]:
        """By node what was said of it, while that is not stale."""
        fresh = self._clock.monotonic_s() - self._heard_s <= self._manners.stale_s
        return dict(self._draws) if fresh else {}

    def silent(self) -> Mapping[str, str]:
        """Why nothing is said that could be used, by address."""
        return {self._sought.url: self._trouble} if self._trouble and not self.draws() else {}

    def run(self, stopping: threading.Event) -> None:
        """Ask turn after turn until stopped: the target of a thread."""
        asyncio.run(self._run(stopping))

    async def _run(self, stopping: threading.Event) -> None:
        async with self.client() as client:
            while not stopping.is_set():
                await self.turn(client)
                await asyncio.to_thread(stopping.wait, self._manners.every_s)

    def client(self) -> httpx.AsyncClient:
        """One client for all turns."""
        return client_of(replace(self._manners, at_once=1), self._trust)

    async def turn(self, client: httpx.AsyncClient) -> None:
        """Ask once."""
        try:
            told = [series for metric in WANTED for series in await self._told(client, metric)]
            draws = node_draws(told, self._nodes(), self._uids(), self._clock.now_utc().timestamp())
        except OSError as error:
            self._trouble = f"the token could not be read: {error.strerror}"
        except (ValueError, RecursionError):
            self._trouble = "not believed: it is no JSON"
        except Unbelievable as error:
            self._trouble = str(error)
        else:
            self._draws, self._heard_s, self._trouble = draws, self._clock.monotonic_s(), ""
        if self._trouble:
            self._episode.failed(self._trouble)
        else:
            self._episode.worked(nodes=len(self._draws))

    async def _told(self, client: httpx.AsyncClient, metric: str) -> tuple[Series, ...]:
        """What is told of one metric; all of them in one answer would take several times the memory."""
        url, query = self._sought.url.rstrip("/") + QUERY_PATH, {"query": self._sought.query(metric)}
        return answer_series(json.loads(await answered(client, url, query, self._trust.headers(), self._manners)))
