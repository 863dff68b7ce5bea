"""The way in: every connection is counted as it comes, led through TLS, and only then spoken to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from scheduler.adapters.plantlink.rest.allowance import Allowances, neighbourhood
from scheduler.adapters.plantlink.rest.connection import GuardedConnection, Patience, address_of
from scheduler.adapters.plantlink.rest.guests import Guest, Guests
from scheduler.adapters.plantlink.rest.tls import RenewedTls, names_of


@dataclass(slots=True, kw_only=True, eq=False)
class Door:
    """What all connections that come have in common.

    begin: how many connections of one address may begin. tls: None where HTTP is spoken plainly. speaks: makes what speaks
    HTTP with a guest. refused: told who was turned away here, and why.
    """

    guests: Guests
    begin: Allowances
    patience: Patience
    tls: RenewedTls | None
    speaks: Callable[[Guest], GuardedConnection]
    refused: Callable[[str, str], None]
    leading: set[asyncio.Task[None]] = field(default_factory=set)

    def close(self) -> None:
        """Let nobody through any more, and show out who is inside."""
        for task in tuple(self.leading):
            task.cancel()
        for guest in tuple(self.guests.inside):
            self.guests.show_out(guest)


class Doorstep(asyncio.Protocol):
    """One connection before HTTP. What its peer says early is kept: it belongs to his first request."""

    def __init__(self, door: Door) -> None:
        """Of this door."""
        self._door, self._early = door, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count, and hand on at once or by way of TLS."""
        assert isinstance(transport, asyncio.Transport)
        loop, door = asyncio.get_running_loop(), self._door
        guest = Guest(address_of(transport), transport, loop.time())
        if door.begin.wait_s(neighbourhood(guest.address), loop.time()) > 0.0 or not door.guests.admit(guest):
            transport.abort()
            door.refused(guest.address, "too many connections")
        elif door.tls is None:
            self._hand_over(guest, transport)
        else:
            transport.pause_reading()
            task = loop.create_task(self._through_tls(guest, door.tls.context))
            door.leading.add(task)
            task.add_done_callback(door.leading.discard)

    def data_received(self, data: bytes) -> None:
        """What came together with the end of the handshake."""
        self._early += data

    async def _through_tls(self, guest: Guest, context: ssl.SSLContext) -> None:
        """Shake hands; whoever does not, or has no certificate of ours, never reaches HTTP."""
        door, loop, raw = self._door, asyncio.get_running_loop(), guest.transport
        secure: asyncio.Transport | None = None  # stays so, too, when the connection ends by the way
        try:
            secure = await loop.start_tls(
                raw, self, context, server_side=True,
                ssl_handshake_timeout=door.patience.handshake_s, ssl_shutdown_timeout=door.patience.handshake_s,
            )  # fmt: skip
        except ssl.SSLError as error:
            door.refused(guest.address, f"TLS: {error.reason or 'failed'}")
        except OSError:
            door.refused(guest.address, "TLS: no handshake in time")
        finally:
            if secure is None or secure.is_closing():
                door.guests.show_out(guest)
        if secure is not None and not secure.is_closing():
            guest.names = names_of(secure.get_extra_info("peercert"))
            self._hand_over(guest, secure)

    def _hand_over(self, guest: Guest, transport: asyncio.Transport) -> None:
        connection = self._door.speaks(guest)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._early:
            connection.data_received(bytes(self._early))
