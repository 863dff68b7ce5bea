"""Requests as raw dicts: list by pages, watch, get, create, delete, server-side apply, merge patch.

Raw, because typed models drop fields they do not know and cost memory. Reads may be repeated by whoever asks; a write is
sent exactly once. Nothing but `writer` and `election` calls the writing half (a test holds the rest of the house to it).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

from scheduler.adapters.kubernetes.runtime.connection import Body, Connection, Response, Timeouts
from scheduler.adapters.kubernetes.runtime.errors import (
    HTTP_BAD_REQUEST,
    ApiError,
    Unreachable,
    from_response,
    from_status,
    no_answer,
)
from scheduler.adapters.kubernetes.runtime.frozen import Key, Obj, key_of, thaw, uid_of, version_of
from scheduler.adapters.kubernetes.runtime.kinds import Kind

FIELD_MANAGER = "heat-dispatch"
"""The one field manager of ours: a second one would leave fields behind that nobody owns."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PAGE_SIZE = 500
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list: its objects, the list's resourceVersion, and the token of the next page (empty: the last)."""

    items: tuple[dict[str, Any], ...]
    resource_version: str
    next_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, and the object."""

    type: str
    object: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which objects of a kind: a namespace, a label selector, a field selector (the API's own syntax; empty: all)."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""

    def query(self) -> dict[str, str]:
        """The query parameters of the selectors that are set."""
        return {name: value for name, value in (("labelSelector", self.labels), ("fieldSelector", self.fields)) if value}


ALL = Selection()

Hear = Callable[[str, str, str, ApiError | None], None]
"""Takes method, path and query of a request, and the error that the API server answered; None when it did what was asked."""

Count = Callable[[str, int, float], None]
"""Takes verb of a request (get, watch, patch ...), status code (0: no answer) and seconds until the answer began."""


class KubeClient:
    """The API server as a few verbs on dicts. Thread-safe: a connection pool underneath, no state of its own."""

    def __init__(
        self,
        connection: Connection,
        timeouts: Timeouts | None = None,
        last_word: Callable[[], None] | None = None,
        *,
        hear: Hear | None = None,
        count: Count | None = None,
    ) -> None:
        """Speak over `connection`; `last_word` is asked in the moment before a write's body is sent, and may raise.

        `hear` is told of every answer, `count` of every request that was sent; they must not raise.
        """
        self._connection = connection
        self.timeouts = timeouts or Timeouts()
        self._last_word = last_word
        self._hear = hear
        self._count = count

    def guarded(self, last_word: Callable[[], None]) -> KubeClient:
        """The same client, whose writes ask this last."""
        return KubeClient(self._connection, self.timeouts, last_word, hear=self._hear, count=self._count)

    # Reading.

    def get(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any]:
        """Return one object.

        Raises:
            NotFound: when it is not there; other `ApiError`s by what the server says.
        """
        return self._ask("GET", kind.path(namespace, name), {})

    def version(self) -> dict[str, Any]:
        """Return what the API server says of itself at /version."""
        return self._ask("GET", "/version", {})

    def pages(self, kind: Kind, selection: Selection = ALL, page_size: int = PAGE_SIZE) -> Iterator[Page]:
        """Yield a consistent list page by page; `page_size` 0 asks for everything at once.

        Raises:
            Gone: in the middle, when the list took longer than the server keeps its version: begin anew.
        """
        query = selection.query() | ({"limit": str(page_size)} if page_size else {})
        while True:
            answer = self._ask("GET", kind.path(selection.namespace), query, read_s=self.timeouts.list_read_s)
            metadata = answer.get("metadata") or {}
            token = str(metadata.get("continue") or "")
            yield Page(
                items=tuple(answer.get("items") or ()),
                resource_version=str(metadata.get("resourceVersion") or ""),
                next_token=token,
            )
            if not token:
                return
            query = query | {"continue": token}

    def list(self, kind: Kind, selection: Selection = ALL) -> tuple[dict[str, Any], ...]:
        """Return all objects at once; caches use `pages`."""
        return tuple(item for page in self.pages(kind, selection) for item in page.items)

    def watch(
        self,
        kind: Kind,
        resource_version: str,
        selection: Selection = ALL,
        *,
        timeout_s: float = 300.0,
        silence_s: float = 90.0,
    ) -> Watch:
        """Open a watch from `resource_version`, with bookmarks; the server ends it after `timeout_s`.

        `silence_s` is the longest time without a single byte: an API server sends a bookmark about every minute.

        Raises:
            Gone: when that version is no longer known; other `ApiError`s by what the server says.
        """
        query = selection.query() | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(int(timeout_s)),
        }
        path = kind.path(selection.namespace)
        response = self._send("GET", path, query, read_s=silence_s)
        return Watch(response, f"WATCH {path}")

    # Writing: by way of `writer` (or of `election` for the one Lease).

    def create(self, kind: Kind, body: Obj, namespace: str = "") -> dict[str, Any]:
        """Create one object; `AlreadyExists` when its name is taken."""
        query = self._write_query(fieldManager=FIELD_MANAGER)
        return self._ask("POST", kind.path(namespace), query, body=_typed(kind, body))

    def replace(self, kind: Kind, body: Obj, name: str, namespace: str = "") -> dict[str, Any]:
        """Replace an object at the resourceVersion inside `body`; `Conflict` when it has moved on."""
        query = self._write_query(fieldManager=FIELD_MANAGER)
        return self._ask("PUT", kind.path(namespace, name), query, body=_typed(kind, body))

    def apply(self, kind: Kind, body: Obj, name: str, namespace: str = "", subresource: str = "") -> dict[str, Any]:
        """Server-side apply of our own object (or its status): what stands in `body` is ours, what no longer does goes.

        `force` takes back our fields from whoever touched them, which is right for our own kinds and for no other.
        """
        full = _typed(kind, body)
        full["metadata"] = {**(full.get("metadata") or {}), "name": name, **({"namespace": namespace} if namespace else {})}
        query = self._write_query(fieldManager=FIELD_MANAGER, force="true")
        return self._ask("PATCH", kind.path(namespace, name, subresource), query, body=full, content_type=APPLY_PATCH)

    def apply_part(self, kind: Kind, seen: Obj, part: Obj, subresource: str = "") -> dict[str, Any]:
        """Server-side apply of our entry in somebody else's object (an admission check's state), as it was `seen`.

        For lists keyed by name, which a merge patch would replace whole. A stale decision is a `Conflict`.
        """
        body = _as_seen(kind, seen, part)
        namespace, name = key_of(seen)
        body["metadata"] = {**body["metadata"], "name": name, **({"namespace": namespace} if namespace else {})}
        query = self._write_query(fieldManager=FIELD_MANAGER, force="true")
        path = kind.path(namespace, name, subresource)
        return self._ask("PATCH", path, query, body=_typed(kind, body), content_type=APPLY_PATCH)

    def patch(self, kind: Kind, seen: Obj, change: Obj, subresource: str = "") -> dict[str, Any]:
        """JSON merge patch of somebody else's object, exactly as it was `seen`.

        resourceVersion and uid go along, so that a decision about an object that has changed, or that has been deleted
        and made anew under the same name, is a `Conflict` and not a surprise.

        Raises:
            ValueError: when `seen` carries no resourceVersion.
        """
        body = _as_seen(kind, seen, change)
        path = kind.path(*key_of(seen), subresource)
        return self._ask("PATCH", path, self._write_query(fieldManager=FIELD_MANAGER), body=body, content_type=MERGE_PATCH)

    def amend(self, kind: Kind, key: Key, change: Obj) -> dict[str, Any]:
        """JSON merge patch without a precondition, for what nobody else writes: our own Events."""
        query = self._write_query(fieldManager=FIELD_MANAGER)
        return self._ask("PATCH", kind.path(*key), query, body=thaw(change), content_type=MERGE_PATCH)

    def delete(self, kind: Kind, seen: Obj, propagation: str = "Background", *, exactly: bool = False) -> dict[str, Any]:
        """Delete an object if it still is the one that was `seen` (same uid), `exactly` as it was then if asked for."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid_of(seen):
            options["preconditions"] = {"uid": uid_of(seen)} | ({"resourceVersion": version_of(seen)} if exactly else {})
        return self._ask("DELETE", kind.path(*key_of(seen)), self._write_query(), body=options)

    def _write_query(self, **parameters: str) -> dict[str, str]:
        """`timeout` bounds the write on the server too: what waits there longer than our fence allows is dropped there."""
        return {**parameters, "timeout": f"{max(1, int(self.timeouts.read_s))}s"}

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: Obj | None = None,
        content_type: str = JSON,
        read_s: float = 0.0,
    ) -> dict[str, Any]:
        response = self._send(method, path, query, body=body, content_type=content_type, read_s=read_s or self.timeouts.read_s)
        data = _read(response, f"{method} {path}")
        try:
            answer = json.loads(data)
        except ValueError as error:
            raise no_answer(error, f"{method} {path}") from error
        if not isinstance(answer, dict):
            raise Unreachable(f"{method} {path}: the answer is no object")
        return answer

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: Obj | None = None,
        content_type: str = JSON,
        read_s: float,
    ) -> Response:
        url = f"{path}?{urlencode(query)}" if query else path
        sent = None if body is None else Body(body, content_type, self._last_word)
        verb, began_s = "watch" if "watch" in query else method.lower(), time.monotonic()
        try:
            response = self._connection.send(method, url, (self.timeouts.connect_s, read_s), sent)
        except Unreachable:
            self._counted(verb, 0, began_s)
            raise
        self._counted(verb, response.status, began_s)
        error = None
        if response.status >= HTTP_BAD_REQUEST:
            data = _read(response, f"{method} {path}")
            error = from_response(response.status, data, f"{method} {path}", response.headers.get("Retry-After"))
        if self._hear is not None:
            self._hear(method, path, url.partition("?")[2], error)
        if error is not None:
            raise error
        return response

    def _counted(self, verb: str, code: int, began_s: float) -> None:
        """One request is answered, or will not be."""
        if self._count is not None:
            self._count(verb, code, time.monotonic() - began_s)


class Watch:
    """An open watch: iterate its events from one thread; `stop()` from any other ends the iteration."""

    def __init__(self, response: Response, asked: str) -> None:
        """Take the unread response over."""
        self._response = response
        self._asked = asked
        self._stopped = False

    def __iter__(self) -> Iterator[WatchEvent]:
        """Yield events until the server ends the watch.

        Raises:
            Gone: when the server says that it has lost the thread; `Unreachable` on silence or a broken stream.
        """
        try:
            for line in self._lines():
                yield self._event(line)
        finally:
            self._response.close()

    def stop(self) -> None:
        """End the watch, also while its reader waits for the next byte."""
        self._stopped = True
        try:
            self._response.shutdown()
        except (RuntimeError, ValueError, OSError):
            return  # It had ended by itself.

    def _lines(self) -> Iterator[bytes]:
        """Complete lines as they arrive; a line cut off by the end of the stream is dropped, the next watch repeats it."""
        rest = bytearray()
        try:
            for piece in self._response.stream(CHUNK_BYTES, decode_content=False):
                rest += piece
                *lines, rest = rest.split(b"\n") if b"\n" in piece else [rest]
                yield from (bytes(line) for line in lines if line.strip())
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # ValueError: a TLS socket that `stop` has shut says so.
            if not self._stopped:
                raise no_answer(error, self._asked) from error

    def _event(self, line: bytes) -> WatchEvent:
        try:
            raw = json.loads(line)
            event = WatchEvent(type=str(raw["type"]), object=raw["object"])
        except (ValueError, KeyError, TypeError) as error:
            raise no_answer(error, self._asked) from error
        if event.type == "ERROR":
            raise from_status(event.object, int(event.object.get("code") or 0), self._asked)
        return event


def _typed(kind: Kind, body: Obj) -> dict[str, Any]:
    return {"apiVersion": kind.api_version, "kind": kind.kind, **thaw(body)}


def _as_seen(kind: Kind, seen: Obj, change: Obj) -> dict[str, Any]:
    """The change with the resourceVersion and uid that were seen, which make a stale one fail."""
    if not version_of(seen):
        raise ValueError(f"{kind.kind} {key_of(seen)[1]!r} was seen without a resourceVersion")
    body: dict[str, Any] = thaw(change)
    preconditions = {"resourceVersion": version_of(seen), **({"uid": uid_of(seen)} if uid_of(seen) else {})}
    body["metadata"] = {**(body.get("metadata") or {}), **preconditions}
    return body


def _read(response: Response, asked: str) -> bytes:
    try:
        return response.read()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise no_answer(error, asked) from error
    finally:
        response.release_conn()


__all__ = ["ALL", "FIELD_MANAGER", "ApiError", "KubeClient", "Page", "Selection", "Watch", "WatchEvent"]
