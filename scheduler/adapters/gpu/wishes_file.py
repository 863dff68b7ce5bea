"""Wishes from a JSON file: for a machine without a cluster, and for tests.

The file states what a NodePower's spec does, and three things that a cluster knows by itself:

    {"planId": "night", "generation": 3, "leaseSeconds": 120,
     "gpus": [{"uuid": "GPU-5e1d", "podUid": "u-1", "capWatts": 400}],
     "pods": [{"namespace": "default", "name": "train", "uid": "u-1", "gpus": ["GPU-5e1d"]}],
     "lease": "always"}

pods: uid by name; `gpus` says which GPUs a pod holds where no kubelet says so. lease: `always`, the operator is alive while the
file is there; else each change of the file, its time of modification included, is a sign of life, which counts from the last
look before it, and one that is found at start counts with its age. Write it aside and rename it: half a file takes all caps
back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scheduler.adapters.clock import Clocks
from scheduler.adapters.gpu.node_power import wish_of
from scheduler.adapters.logs import Episode, Teller
from scheduler.domain.capping import Heard, NodeWish, Occupancy, Occupant
from scheduler.domain.errors import Misconfigured

ALWAYS = "always"
MAX_BYTES = 1 << 20
STATUS_SUFFIX = ".status.json"

Json = dict[str, Any]
Pods = dict[tuple[str, str], str]


class FileWishes:
    """Reads a file whenever it has changed; one thread asks."""

    def __init__(self, path: Path, clock: Clocks, *, status_file: Path | None = None) -> None:
        """Hear what `path` wishes; what is in force is written to `status_file` if there is one."""
        self._path, self._clock, self._status_file = path, clock, status_file
        self._stamp: tuple[int, int, int] | None = None
        self._wish: NodeWish | None = None
        self._pods: Pods = {}
        self._holders: Mapping[str, Occupant] = {}
        self._alive_s: float | None = None
        self._looked_s = 0.0
        self._always = False
        self._trouble = ""
        self._told: Mapping[str, Any] = {}
        self._episode = Episode(Teller("agent.wishes"), f"reading {path}")

    def start(self, stopping: object) -> None:
        """Nothing goes on beside: the file is looked at when somebody asks."""

    def heard(self) -> Heard:
        """What the file wishes now."""
        self._look()
        alive_s = self._clock.monotonic_s() if self._always else self._alive_s
        return Heard(wish=self._wish, alive_s=alive_s, pods=self._pods, trouble=self._trouble)

    def look(self) -> Occupancy:
        """Who holds which GPU as the file says, for a machine without a kubelet."""
        self._look()
        return Occupancy(seen_s=self._clock.monotonic_s(), by_uuid=self._holders, trouble=self._trouble)

    def report(self, status: Mapping[str, Any]) -> None:
        """Write what is in force, when it has changed."""
        if self._status_file is None or not status or status == self._told:
            return
        aside = self._status_file.with_name(f".{self._status_file.name}.{os.getpid()}")
        try:
            aside.write_text(json.dumps(status, indent=1) + "\n", encoding="utf-8")
            aside.replace(self._status_file)
        except OSError as error:
            self._episode.failed(f"{self._status_file}: {error.strerror}")
        else:
            self._told = dict(status)

    def _look(self) -> None:
        """Read the file if it is another one than before."""
        before_s, self._looked_s = self._looked_s, self._clock.monotonic_s()
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._stamp:
                return
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            self._nothing(f"{self._path}: {error.strerror}")
            return
        first, self._stamp = self._stamp is None, stamp
        # Changed since the last look, and nobody knows when: a process that was frozen may find what is long past.
        self._alive_s = self._since(found.st_mtime) if first else before_s
        try:
            self._take(content)
        except Misconfigured as error:
            self._nothing(f"{self._path}: {error}", stamp)
        else:
            self._trouble = ""
            self._episode.worked()

    def _nothing(self, trouble: str, stamp: tuple[int, int, int] | None = None) -> None:
        """Nothing is wished."""
        self._wish, self._pods, self._holders, self._always = None, {}, {}, False
        self._stamp = stamp
        if trouble != self._trouble:
            self._episode.failed(trouble)
        self._trouble = trouble

    def _since(self, modified: float) -> float | None:
        """When a file that is seen first was changed, on our own clock; None when that is to come."""
        age_s = self._clock.now_utc().timestamp() - modified
        return self._clock.monotonic_s() - max(0.0, age_s) if age_s >= -1.0 else None

    def _take(self, content: bytes) -> None:
        """Understand the whole file.

        Raises:
            Misconfigured: when any of it cannot be.
        """
        if len(content) > MAX_BYTES:
            raise Misconfigured(f"longer than {MAX_BYTES} bytes")
        try:
            told = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Misconfigured("not JSON") from error
        if not isinstance(told, dict):
            raise Misconfigured("not an object")
        if told.get("lease", ALWAYS) != ALWAYS:
            raise Misconfigured(repr(told["lease"])[:40], where="lease", expected=ALWAYS)
        pods = [_pod(one, f"pods[{index}]") for index, one in enumerate(_list(told, "pods"))]
        self._wish = wish_of(told, source=str(self._path)[-256:])
        self._pods = {(where.namespace, where.name): uid for where, uid, _ in pods}
        holders: dict[str, Occupant] = {}
        for where, _, gpus in pods:
            for uuid in gpus:
                holders[uuid] = Occupant(namespace=where.namespace, name=where.name, shared=uuid in holders)
        self._holders = holders
        self._always = "lease" in told


def _pod(told: object, where: str) -> tuple[Occupant, str, list[str]]:
    if not isinstance(told, dict):
        raise Misconfigured("not an object", where=where)
    texts = [told.get(key) for key in ("namespace", "name", "uid")]
    gpus = _list(told, "gpus")
    if not all(isinstance(text, str) and text for text in (*texts, *gpus)):
        raise Misconfigured("namespace, name and uid are texts, and so are gpus", where=where)
    return Occupant(namespace=str(texts[0]), name=str(texts[1])), str(texts[2]), [str(uuid) for uuid in gpus]


def _list(told: Json, key: str) -> list[Any]:
    found = told.get(key, [])
    if not isinstance(found, list):
        raise Misconfigured("not a list", where=key)
    return found
