"""An API server small enough to break on purpose: lists with continue tokens, watches with bookmarks, and levers.

It keeps raw objects by path, speaks HTTP/1.1 on loopback, and knows just enough of the protocol for the runtime's unit
tests: resourceVersion and uid preconditions, create, replace, apply (recorded, merged), merge patch, delete. What a real
server does beyond that is tested on a real one (tests/controlplane).
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SUBRESOURCES = {"status"}


@dataclass
class Request:
    """What a client sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Refusal:
    """An answer of the tests' choosing: `left` times to the requests that `matches`."""

    status: int
    matches: Callable[[Request], bool]
    left: int = 1
    reason: str = ""
    message: str = "refused by the test"
    headers: dict[str, str] = field(default_factory=dict)
    causes: tuple[dict[str, str], ...] = ()
    reset: bool = False
    raw: bytes | None = None


@dataclass
class FakeApi:
    """The state of the server; the handler below is its HTTP face."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[tuple[int, str, str, dict[str, Any]]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    version: int = 100
    compacted: int = 0
    silent: bool = False
    bookmark_s: float = 0.05
    cut_watches: bool = False
    on_list_page: Callable[[], None] | None = None
    lock: threading.Condition = field(default_factory=threading.Condition)
    uids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    pages: dict[str, tuple[int, list[dict[str, Any]]]] = field(default_factory=dict)
    url: str = ""
    closing: bool = False

    # What tests do to it.

    def put(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        """Write an object as some other client would; `path` is its full path."""
        with self.lock:
            known = path in self.objects
            stored: dict[str, Any] = json.loads(json.dumps(obj))
            metadata = stored.setdefault("metadata", {})
            metadata.setdefault("name", path.rpartition("/")[2])
            if "/namespaces/" in path:
                metadata.setdefault("namespace", path.split("/namespaces/")[1].split("/")[0])
            self.version += 1
            old = self.objects.get(path, {}).get("metadata", {})
            metadata["uid"] = old.get("uid") or metadata.get("uid") or f"uid-{next(self.uids)}"
            metadata["resourceVersion"] = str(self.version)
            self.objects[path] = stored
            self._log("MODIFIED" if known else "ADDED", path, stored)
            return stored

    def remove(self, path: str) -> None:
        """Delete an object."""
        with self.lock:
            gone = json.loads(json.dumps(self.objects.pop(path)))
            self.version += 1
            gone["metadata"]["resourceVersion"] = str(self.version)
            self._log("DELETED", path, gone)

    def compact(self) -> None:
        """Forget history: older resourceVersions and continue tokens are 410 from now on."""
        with self.lock:
            self.compacted = self.version
            self.pages.clear()
            self.lock.notify_all()

    def refuse(self, status: int, *, verb: str = "", part: str = "", **how: Any) -> Refusal:
        """Answer the next matching request with an error."""
        refusal = Refusal(status, lambda request: verb in ("", verb_of(request)) and part in request.path, **how)
        with self.lock:
            self.refusals.append(refusal)
        return refusal

    def writes(self) -> list[Request]:
        """Requests that would change something."""
        return [request for request in self.requests if request.method != "GET"]

    def asked(self, verb: str) -> list[Request]:
        """Requests of one verb: GET, LIST, WATCH, POST, PUT, PATCH, DELETE."""
        return [request for request in list(self.requests) if verb_of(request) == verb]

    def wake(self) -> None:
        """Make waiting watches look again."""
        with self.lock:
            self.lock.notify_all()

    # What the handler asks.

    def take_refusal(self, request: Request) -> Refusal | None:
        with self.lock:
            for refusal in self.refusals:
                if refusal.left > 0 and refusal.matches(request):
                    refusal.left -= 1
                    return refusal
        return None

    def collection(self, path: str) -> list[dict[str, Any]]:
        """Objects below a collection path, of all namespaces where none is named."""
        with self.lock:
            return [obj for key, obj in sorted(self.objects.items()) if belongs(key, path)]

    def _log(self, event: str, path: str, obj: dict[str, Any]) -> None:
        self.history.append((self.version, event, path, obj))
        self.lock.notify_all()


def verb_of(request: Request) -> str:
    """GET is three verbs."""
    if request.method != "GET":
        return request.method
    if request.query.get("watch"):
        return "WATCH"
    return "LIST" if is_collection(request.path) else "GET"


def is_collection(path: str) -> bool:
    """True for `.../pods`, false for `.../pods/a`."""
    rest = path.strip("/").split("/")[2 if path.startswith("/api/") else 3 :]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return len(rest) == 1


def belongs(key: str, collection: str) -> bool:
    """True when the object at `key` is in the collection, which may span namespaces."""
    holder = key.rpartition("/")[0]
    if holder == collection:
        return True
    root, _, plural = collection.rpartition("/")
    return "/namespaces/" not in collection and holder.startswith(f"{root}/namespaces/") and holder.endswith(f"/{plural}")


class Handler(BaseHTTPRequestHandler):
    """HTTP face of a `FakeApi`."""

    protocol_version = "HTTP/1.1"
    # Head and body go out in two pieces; the second would wait 40 ms for the acknowledgement of the first.
    disable_nagle_algorithm = True
    api: FakeApi

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class names them so

    def _answer(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            self.close_connection = True
            return
        request = Request(
            method=self.command,
            path=url.path,
            query={key: values[0] for key, values in parse_qs(url.query).items()},
            headers=dict(self.headers),
            body=json.loads(body) if body else None,
        )
        self.api.requests.append(request)
        refusal = self.api.take_refusal(request)
        if refusal is not None:
            self._refuse(refusal)
            return
        getattr(self, f"_{verb_of(request).lower()}")(request)

    def _refuse(self, refusal: Refusal) -> None:
        if refusal.reset:
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if refusal.raw is not None:
            self._send(refusal.status, refusal.raw, refusal.headers)
            return
        self._status(refusal.status, refusal.reason, refusal.message, refusal.headers, refusal.causes)

    def _status(
        self,
        code: int,
        reason: str,
        message: str = "",
        headers: dict[str, str] | None = None,
        causes: tuple[dict[str, str], ...] = (),
    ) -> None:
        status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
        if causes:
            status["details"] = {"causes": list(causes)}
        self._send(code, json.dumps(status).encode(), headers or {})

    def _send(self, code: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _json(self, obj: dict[str, Any], code: int = 200) -> None:
        self._send(code, json.dumps(obj).encode(), {})

    def _get(self, request: Request) -> None:
        with self.api.lock:
            obj = self.api.objects.get(request.path)
        if obj is None:
            self._status(404, "NotFound", f"{request.path} not found")
            return
        self._json(obj)

    def _list(self, request: Request) -> None:
        token, limit = request.query.get("continue", ""), int(request.query.get("limit", 0))
        with self.api.lock:
            if token and token not in self.api.pages:
                self._status(410, "Expired", "The provided continue parameter is too old")
                return
            version, left = self.api.pages.pop(token) if token else (self.api.version, self.api.collection(request.path))
            page, rest = (left[:limit], left[limit:]) if limit else (left, [])
            metadata: dict[str, Any] = {"resourceVersion": str(version)}
            if rest:
                metadata["continue"] = f"{version}-{len(rest)}"
                self.api.pages[metadata["continue"]] = (version, rest)
        self._json({"kind": "List", "metadata": metadata, "items": page})
        if self.api.on_list_page is not None:
            self.api.on_list_page()

    def _watch(self, request: Request) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._follow(request.path, int(request.query["resourceVersion"]))
            self.wfile.write(b"0\r\n\r\n")
            self.close_connection = self.api.closing
        except OSError:
            self.close_connection = True

    def _follow(self, path: str, seen: int) -> None:
        """Send what happened after `seen`, then what happens, with bookmarks; silence sends nothing at all."""
        api = self.api
        while not api.closing:
            with api.lock:
                if seen < api.compacted:
                    self._event(
                        "ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                    )
                    return
                if api.cut_watches:
                    return
                fresh = [] if api.silent else [entry for entry in api.history if entry[0] > seen and belongs(entry[2], path)]
                now = api.version
                if not fresh and not api.lock.wait(api.bookmark_s) and not api.silent:
                    fresh = [(now, "BOOKMARK", path, {"metadata": {"resourceVersion": str(now)}})] if now == api.version else []
            for version, event, _, obj in fresh:
                self._event(event, obj)
                seen = max(seen, version)

    def _event(self, event: str, obj: dict[str, Any]) -> None:
        line = json.dumps({"type": event, "object": obj}).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def _post(self, request: Request) -> None:
        path = f"{request.path}/{request.body['metadata']['name']}"
        with self.api.lock:
            taken = path in self.api.objects
            obj = {} if taken else self.api.put(path, request.body)
        if taken:
            self._status(409, "AlreadyExists", f"{path} already exists")
            return
        self._json(obj, 201)

    def _put(self, request: Request) -> None:
        self._change(request, lambda _old: request.body)

    def _patch(self, request: Request) -> None:
        create = "apply-patch" in request.headers.get("Content-Type", "")
        self._change(request, lambda old: merged(old, request.body), create=create)

    def _change(self, request: Request, new: Callable[[dict[str, Any]], dict[str, Any]], *, create: bool = False) -> None:
        path = request.path
        if path.rpartition("/")[2] in SUBRESOURCES:
            path = path.rpartition("/")[0]
        with self.api.lock:
            old = self.api.objects.get(path)
            wanted = request.body.get("metadata") or {}
            stale = old is not None and any(
                name in wanted and wanted[name] != old["metadata"].get(name) for name in ("resourceVersion", "uid")
            )
            obj = None if stale or (old is None and not create) else self.api.put(path, new(old or {}))
        if stale:
            self._status(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
        elif obj is None:
            self._status(404, "NotFound", f"{path} not found")
        else:
            self._json(obj)

    def _delete(self, request: Request) -> None:
        with self.api.lock:
            old = self.api.objects.get(request.path)
            wanted = ((request.body or {}).get("preconditions") or {}).get("uid")
            stale = old is not None and wanted is not None and wanted != old["metadata"]["uid"]
            if old is not None and not stale:
                self.api.remove(request.path)
        if old is None:
            self._status(404, "NotFound", f"{request.path} not found")
        elif stale:
            self._status(409, "Conflict", "the UID in the precondition does not match")
        else:
            self._json({"kind": "Status", "status": "Success"})


def merged(old: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """RFC 7386."""
    new = dict(old)
    for key, value in change.items():
        if value is None:
            new.pop(key, None)
        elif isinstance(value, dict):
            new[key] = merged(new[key] if isinstance(new.get(key), dict) else {}, value)
        else:
            new[key] = value
    return new


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Many threads of the tests may connect at once.
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


@contextmanager
def serving(port: int = 0, api: FakeApi | None = None) -> Iterator[FakeApi]:
    """A fake API server on loopback, on a port of the system's choice unless one is given."""
    api = api or FakeApi()
    api.closing = False
    server = _Server(("127.0.0.1", port), type("BoundHandler", (Handler,), {"api": api}))
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.closing = True
        api.wake()
        server.shutdown()
        server.server_close()
        thread.join(5)
