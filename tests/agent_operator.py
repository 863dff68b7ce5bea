"""What the agent hears of the operator: by a file, or by an API server that keeps what was and answers watches from there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlparse

from scheduler.adapters.clock import SystemClock

POWERS = "/apis/heatdispatch.io/v1alpha1/nodepowers"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/heat-dispatch/leases"
PODS = "/api/v1/pods"
NODE, NAMESPACE = "n0", "lab"
GARBAGE = '{"planId": "x", "gpus": [{"uuid": "GPU-0000", "capWatts": NaN'

Json = dict[str, Any]


class Voice(Protocol):
    """How the operator is heard."""

    def arguments(self) -> list[str]:
        """What an agent is started with to hear it."""
        ...

    def say(self, spec: Mapping[str, Any], pods: Iterable[str]) -> None:
        """A sign of life, with what is wished, and who the pods are, `uid-NAME` each."""
        ...

    def lose(self) -> None:
        """Be heard no more."""
        ...

    def garble(self) -> None:
        """Wish what cannot be understood."""
        ...

    def find(self) -> None:
        """Be heard again."""
        ...

    def close(self) -> None:
        """End."""
        ...


@dataclass(slots=True, eq=False)
class FileVoice:
    """A file, renamed into its place at each sign of life."""

    path: Path

    def arguments(self) -> list[str]:
        return ["--wishes", str(self.path)]

    def say(self, spec: Mapping[str, Any], pods: Iterable[str]) -> None:
        uids = [{"namespace": NAMESPACE, "name": name, "uid": f"uid-{name}"} for name in pods]
        self._put(json.dumps({**spec, "pods": uids}))

    def lose(self) -> None:
        self.path.unlink(missing_ok=True)

    def garble(self) -> None:
        self._put(GARBAGE)

    def find(self) -> None:
        """The next sign of life makes it whole."""

    def close(self) -> None:
        """Nothing runs."""

    def _put(self, text: str) -> None:
        aside = self.path.with_suffix(".new")
        aside.write_text(text, encoding="utf-8")
        aside.replace(self.path)


@dataclass(slots=True, eq=False)
class ApiVoice:
    """The three collections that an agent watches. Objects have versions, and a watch begins after the one that it names."""

    token_file: Path
    bookmark_s: float = 1.0
    _items: dict[str, dict[str, Json]] = field(default_factory=lambda: {POWERS: {}, LEASES: {}, PODS: {}})
    _events: list[tuple[int, str, Json]] = field(default_factory=list)
    _version: int = 10
    _answers: bool = True
    _closing: bool = False
    _news: threading.Condition = field(default_factory=threading.Condition)
    _server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        self.token_file.write_text("token\n", encoding="utf-8")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    def arguments(self) -> list[str]:
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return ["--wishes", "api", "--api-server", url, "--api-token", str(self.token_file)]

    def say(self, spec: Mapping[str, Any], pods: Iterable[str]) -> None:
        with self._news:
            self._put(POWERS, {"metadata": {"name": NODE, "uid": "power-n0"}, "spec": dict(spec)})
            for name in pods:
                self._put(PODS, {"metadata": {"namespace": NAMESPACE, "name": name, "uid": f"uid-{name}"}})
            renewed = f"{SystemClock().now_utc():%Y-%m-%dT%H:%M:%S.%fZ}"
            self._put(LEASES, {"metadata": {"name": "heat-dispatch-caps"}, "spec": {"renewTime": renewed}})
            self._news.notify_all()

    def lose(self) -> None:
        with self._news:
            self._answers = False
            self._news.notify_all()

    def garble(self) -> None:
        with self._news:
            self._put(POWERS, {"metadata": {"name": NODE, "uid": "power-n0"}, "spec": {"gpus": "all of them"}})
            self._news.notify_all()

    def find(self) -> None:
        with self._news:
            self._answers = True

    def close(self) -> None:
        with self._news:
            self._closing = True
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def _put(self, path: str, item: Json) -> None:
        """Keep an object, with an event if it is another one than before."""
        name = item["metadata"]["name"]
        before = self._items[path].get(name)
        if before is not None and _plain(before) == item:
            return
        self._version += 1
        kept = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self._version)}}
        self._items[path][name] = kept
        self._events.append((self._version, path, {"type": "MODIFIED" if before else "ADDED", "object": kept}))

    def listed(self, path: str) -> bytes | None:
        """What a list answers; None while nobody does."""
        with self._news:
            if not self._answers:
                return None
            told = {"metadata": {"resourceVersion": str(self._version)}, "items": list(self._items[path].values())}
            return json.dumps(told).encode()

    def after(self, path: str, version: int) -> tuple[int, list[Json]] | None:
        """Events after a version, waited for; a bookmark when there are none. None: the watch ends."""
        with self._news:
            self._news.wait_for(
                lambda: self._over() or any(n > version for n, p, _ in self._events if p == path), self.bookmark_s
            )
            if self._over():
                return None
            found = [(number, event) for number, where, event in self._events if where == path and number > version]
            if found:
                return found[-1][0], [event for _, event in found]
            mark = {"kind": "Bookmark", "metadata": {"resourceVersion": str(version)}}
            return version, [{"type": "BOOKMARK", "object": mark}]

    def _over(self) -> bool:
        return self._closing or not self._answers


def _plain(item: Json) -> Json:
    """An object without its version."""
    return {**item, "metadata": {name: value for name, value in item["metadata"].items() if name != "resourceVersion"}}


def _handler(voice: ApiVoice) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            where = urlparse(self.path)
            query = {name: values[0] for name, values in parse_qs(where.query).items()}
            if "watch" in query:
                self.watched(where.path, int(query["resourceVersion"]))
                return
            found = voice.listed(where.path)
            self.answer(503 if found is None else 200, found or b"{}")

        def do_PATCH(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(200 if voice.listed(POWERS) is not None else 503, b"{}")

        def answer(self, code: int, body: bytes) -> None:
            self.send_response_only(code)
            self.send_header("Date", f"{SystemClock().now_utc():%a, %d %b %Y %H:%M:%S GMT}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def watched(self, path: str, version: int) -> None:
            self.send_response_only(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.close_connection = True
            while (found := voice.after(path, version)) is not None:
                version, events = found
                body = b"".join(json.dumps(event).encode() + b"\n" for event in events)
                try:
                    self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
