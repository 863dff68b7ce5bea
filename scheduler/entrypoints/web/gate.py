"""Who may see the live page, and what every answer says to the browser.

Nothing can be changed by it, so all that a stranger could win is a look. He is kept from that by the address it listens on, by
the name it is asked for (a page elsewhere whose name is led to this machine asks for its own name) and, where one is set, by a
token.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from scheduler.adapters.plantlink.rest.credentials import CredentialBook

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_QUERY_BYTES = 1024
METHODS = ("GET", "HEAD")
REALM = 'Basic realm="heat-dispatch live page: any name, the token as password", charset="UTF-8"'
HEADERS = (
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
)
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS]


class Gate:
    """Stands before the routes."""

    def __init__(self, app: App, hosts: Iterable[str], book: CredentialBook | None) -> None:
        """Let requests for these hosts through, with a token of `book` where there is one."""
        self._app, self._book = app, book
        self._hosts = frozenset(one.lower() for one in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_RAW_HEADERS]
            await send(message)

        refused = self._refused(scope)
        if refused is None:
            await self._app(scope, receive, signed)
            return
        status, text, more = refused
        body = f"{text}\n".encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *more]
        await signed({"type": "http.response.start", "status": status, "headers": headers})
        await signed({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})

    def _refused(self, scope: Scope) -> tuple[int, str, list[tuple[bytes, bytes]]] | None:
        """Why a request goes no further: status, words, headers; None when it may."""
        names = [value for name, value in scope["headers"] if name == b"host"]
        if len(names) != 1 or host_of(names[0]) not in self._hosts:
            return 421, "this page is not served under that name; see --allow-host", []
        if scope["method"] not in METHODS:
            return 405, "nothing can be changed here", [(b"allow", ", ".join(METHODS).encode())]
        if len(scope.get("query_string", b"")) > MOST_QUERY_BYTES:
            return 414, "that is too long a question", []
        if self._book is not None and self._book.who(_bearer(scope), frozenset()) is None:
            return 401, "a token is needed", [(b"www-authenticate", REALM.encode())]
        return None


def host_of(header: bytes) -> str | None:
    """The name in a Host header, without its port; None when it is none."""
    text = header.decode("latin-1").strip().lower()
    if text.startswith("["):
        name, closed, rest = text[1:].partition("]")
        return name if closed and (not rest or rest[:1] == ":" and rest[1:].isdecimal()) else None
    name, colon, port = text.partition(":")
    return name if name and (not colon or port.isdecimal()) else None


def hosts_for(host: str, allowed: Iterable[str]) -> frozenset[str]:
    """Names that the page answers to: those of this machine, the address it listens on, and what is allowed besides."""
    return frozenset({"localhost", "127.0.0.1", "::1", *((host,) if host else ()), *allowed})


def _bearer(scope: Scope) -> str | None:
    """The Authorization header as a bearer's: a browser says a token as the password of anybody."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) != 1:
        # Without one, and with several, nobody is known.
        return ""
    kind, _, told = found[0].decode("latin-1").partition(" ")
    if kind.lower() != "basic":
        return f"{kind} {told}"
    try:
        _, _, password = base64.b64decode(told.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return f"Bearer {password}"
