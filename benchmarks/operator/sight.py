"""What a user sees: a watch on Jobs that notes when each was first held with an end and a reason, or released."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.operator.world import JOBS, LAB
from scheduler.adapters.devcluster.client import ApiClient, ApiRefused
from scheduler.adapters.devcluster.cluster import DevCluster

PREFIX = "heatdispatch.io/"
HELD, RELEASED = "held", "released"
WATCH_S = 3600
VERSION = re.compile(r'"resourceVersion":"(\d+)"')
AGAIN_S = 0.2
# Only lines with one of these are worth parsing: controllers write far more than we wait for.
TELLING = (f'"{PREFIX}hold-until"', f'"{PREFIX}released"')


@dataclass(slots=True, eq=False)
class Sight:
    """Times by Job name, seconds of the monotonic clock; only the first word about a Job counts."""

    cluster: DevCluster
    first_s: dict[str, tuple[float, str]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    _client: ApiClient | None = None
    _ending: bool = False
    _version: str = ""

    def start(self) -> None:
        """Watch from now on, on a thread of its own."""
        client = self._client = self.cluster.client_of(self.cluster.tokens["admin"])
        version = client.get(f"{JOBS}?limit=1")["metadata"]["resourceVersion"]
        threading.Thread(target=self._run, args=(client, version), daemon=True, name="sight").start()

    def stop(self) -> None:
        """End the watch."""
        self._ending = True
        if self._client is not None:
            self._client.close()

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of which nothing was seen yet."""
        return [name for name in names if name not in self.first_s]

    def _run(self, client: ApiClient, version: str) -> None:
        """Follow the watch; a broken one goes on where it was, one that the API server has forgotten begins with a list."""
        self._version = version
        while not self._ending:
            try:
                if not self._version:
                    self._list(client)
                self._follow(client)
            except (httpx.HTTPError, ApiRefused, RuntimeError):
                # RuntimeError: the client was closed under the watch, which is how it ends.
                time.sleep(AGAIN_S)

    def _list(self, client: ApiClient) -> None:
        answer = client.get(JOBS)
        for obj in answer["items"]:
            self._note(obj, time.monotonic())
        self._version = answer["metadata"]["resourceVersion"]

    def _follow(self, client: ApiClient) -> None:
        address = f"{JOBS}?watch=1&resourceVersion={self._version}&timeoutSeconds={WATCH_S}&allowWatchBookmarks=true"
        with client.http.stream("GET", address, timeout=None) as response:
            for line in response.iter_lines():
                if response.is_error or line.startswith('{"type":"ERROR"'):
                    self._version = ""
                    return
                found = VERSION.search(line)
                self._version = found.group(1) if found else self._version
                if any(mark in line for mark in TELLING):
                    seen_s = time.monotonic()
                    self._note(json.loads(line)["object"], seen_s)

    def _note(self, obj: dict[str, Any], seen_s: float) -> None:
        marks = obj["metadata"].get("annotations", {})
        held = PREFIX + "hold-until" in marks and PREFIX + "hold-text" in marks
        if held or PREFIX + "released" in marks:
            name = obj["metadata"]["name"]
            self.first_s.setdefault(name, (seen_s, HELD if held else RELEASED))
            self.texts[name] = marks.get(PREFIX + "hold-text", "released")


def jobs_of(cluster: DevCluster) -> list[dict[str, Any]]:
    """Every Job of the namespace, by pages."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        answer = cluster.admin.get(f"/apis/batch/v1/namespaces/{LAB}/jobs?limit=500&continue={token}")
        found += answer["items"]
        token = answer["metadata"].get("continue", "")
        if not token:
            return found
