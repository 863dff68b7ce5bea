"""Probes and numbers over HTTP on asyncio: one request a connection, bounded in time and size, since only probes ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

# Status, content type, body.
Page = Callable[[], tuple[int, str, bytes]]
MOST_GUESTS = 16
MOST_BYTES = 8192
PATIENCE_S = 5.0
PHRASES = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class Pages:
    """A server of a few pages."""

    def __init__(self, pages: Mapping[str, Page], host: str, port: int) -> None:
        """Nothing is opened yet; port 0 takes a free one."""
        self._pages, self._host, self._port = pages, host, port
        self._server: asyncio.Server | None = None
        self._guests = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken.
        """
        self._server = await asyncio.start_server(self._answer, self._host, self._port, limit=MOST_BYTES)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._guests += 1
        try:
            if self._guests <= MOST_GUESTS:
                async with asyncio.timeout(PATIENCE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._response(head))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._guests -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _response(self, head: bytes) -> bytes:
        verb, _, rest = head.partition(b" ")
        path = rest.split(b" ")[0].split(b"?")[0].decode("latin-1")
        page = self._pages.get(path)
        if verb not in {b"GET", b"HEAD"}:
            status, kind, body = 405, "text/plain", b"only GET\n"
        elif page is None:
            status, kind, body = 404, "text/plain", b"no such page\n"
        else:
            status, kind, body = page()
        lines = (
            f"HTTP/1.1 {status} {PHRASES.get(status, '')}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if verb == b"HEAD" else body)
