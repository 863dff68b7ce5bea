"""One connection that speaks HTTP: a deadline for whatever it does, and no fault of its peer reaches a log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from scheduler.adapters.plantlink.rest.guests import Guest, Guests

GUEST = "guest"
"""Key of a request's state under which its guest stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited, s: for TLS, for a whole request, for an answer to be made and taken, between two requests, in all."""

    handshake_s: float = 5.0
    request_s: float = 10.0
    answer_s: float = 60.0
    idle_s: float = 30.0
    longest_s: float = 3600.0


class GuardedConnection(H11Protocol):
    """uvicorn's HTTP/1.1, with a timer that always runs: whoever stops half way is cut off, reading or writing."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        guest: Guest,
        guests: Guests,
        patience: Patience,
        broken: Callable[[Guest], None],
    ) -> None:
        """`broken` is told of a guest who speaks no HTTP."""
        super().__init__(config=config, server_state=state, app_state={GUEST: guest})
        self._guest, self._guests, self._patience, self._broken = guest, guests, patience, broken
        self._timer: asyncio.TimerHandle | None = None
        self._between_requests = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Wait for the first request."""
        self._within(transport, self._patience.request_s)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._guests.left(self._guest)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A part of a request, or several."""
        if self._between_requests:
            self._between_requests = False
            self._within(self.transport, self._patience.request_s)
        try:
            super().data_received(data)
        except h11.ProtocolError:
            # Nonsense while an answer is on its way: there is nobody to answer to.
            self._broken(self._guest)
            self.transport.abort()
            return
        if not self._between_requests and self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._within(self.transport, self._patience.answer_s)

    def on_response_complete(self) -> None:
        """The answer was handed over, though not taken yet."""
        self._between_requests = True
        self._within(self.transport, self._patience.idle_s)
        super().on_response_complete()

    def shutdown(self) -> None:
        """End after the running answer, or now; whoever spoke nonsense is past being told."""
        with suppress(h11.LocalProtocolError):
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._broken(self._guest)
        super().send_400_response(msg)

    def _within(self, transport: asyncio.Transport, seconds_s: float) -> None:
        """End the connection in so many seconds, unless something else is waited for by then."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds_s, transport.abort)


def address_of(transport: asyncio.BaseTransport) -> str:
    """Address of the peer; empty when it has gone already."""
    found: Any = transport.get_extra_info("peername")
    return str(found[0]) if isinstance(found, tuple) and found else ""
