"""The REST interface: uvicorn inside our event loop, for plants that ask."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from scheduler.adapters.addresses import is_loopback
from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.plantlink.rest.allowance import Allowances
from scheduler.adapters.plantlink.rest.app import PlantRoutes, app_of
from scheduler.adapters.plantlink.rest.connection import GuardedConnection, Patience
from scheduler.adapters.plantlink.rest.credentials import CredentialBook
from scheduler.adapters.plantlink.rest.door import Door, Doorstep
from scheduler.adapters.plantlink.rest.gate import Gate
from scheduler.adapters.plantlink.rest.guests import BEHIND_PROXY, Guest, Guests, Room
from scheduler.adapters.plantlink.rest.tls import RenewedTls
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import RestOptions
from scheduler.domain.plantlink import LinkProtocol, Refusal
from scheduler.ports import Clock, PlantDesk

MAX_HEAD_BYTES = 16 * 1024
BACKLOG = 128
LAST_WORDS_S = 0.5


class RestInterface:
    """A `ports.PlantInterface` that serves HTTP."""

    def __init__(
        self,
        options: RestOptions,
        desk: PlantDesk,
        clock: Clock,
        tell: Teller | None = None,
        *,
        patience: Patience | None = None,
        room: Room | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            options: where to listen, and who may ask.
            desk: what is shown, and where letters go.
            clock: of letters and refusals.
            tell: where faults of ours are told; what plants do wrong goes to the desk alone.
            patience: how long is waited for a peer.
            room: for how many connections there is room.
        """
        self._options, self._desk, self._clock = options, desk, clock
        self._tell, self._patience = tell or Teller("plantlink.rest"), patience or Patience()
        self._book: CredentialBook | None = None
        self._tls: RenewedTls | None = None
        self._server: _Uvicorn | None = None
        self._guests = Guests(room=room or (BEHIND_PROXY if options.plain else Room()))

    @property
    def connections(self) -> int:
        """How many are connected now."""
        return len(self._guests.inside)

    @property
    def port(self) -> int:
        """Where it listens; 0: not yet."""
        return 0 if self._server is None else self._server.port

    async def run(self) -> None:
        """As the port says."""
        options = self._options
        self._tls, self._book = opened(options, self._tell)
        gate = Gate(
            app=app_of(PlantRoutes(self._desk, self._clock, options.max_body_bytes)),
            book=self._book, desk=self._desk, allowed=Allowances(options.requests_per_s, options.burst),
            guests=self._guests,
            refused=self._refused, faults=Episode(self._tell, "answering a request"),
            longest_s=self._patience.longest_s,
        )  # fmt: skip
        config = uvicorn.Config(
            gate, http=GuardedConnection, ws="none", lifespan="off", log_config=None, log_level="critical", access_log=False,
            proxy_headers=False, server_header=False, workers=1, h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            timeout_keep_alive=int(self._patience.idle_s), callback_notify=self._look_after, timeout_notify=0,
        )  # fmt: skip
        config.load()
        self._server = _Uvicorn(config, options, lambda state: self._door(config, state))
        try:
            await self._server.serve()
        finally:
            await self._server.close()
            self._server = None

    def trouble(self) -> str:
        """As the port says."""
        if self._server is None or not self._server.started:
            return "is not listening"
        return "; ".join(one.trouble() for one in (self._book, self._tls) if one is not None and one.trouble())

    def _door(self, config: uvicorn.Config, state: uvicorn.server.ServerState) -> Door:
        def speaks(guest: Guest) -> GuardedConnection:
            return GuardedConnection(config, state, guest, self._guests, self._patience, self._spoke_no_http)

        room = self._guests.room
        begin = Allowances(room.begin_per_s, room.begin_burst)
        return Door(
            guests=self._guests, begin=begin, patience=self._patience, tls=self._tls, speaks=speaks, refused=self._refused
        )

    def _spoke_no_http(self, guest: Guest) -> None:
        self._refused(guest.address, "what came is no HTTP")

    def _refused(self, sender: str, what: str) -> None:
        refusal = Refusal(protocol=LinkProtocol.REST, sender=sender, at_utc=self._clock.now_utc(), what=what)
        self._desk.refuse(refusal)

    async def _look_after(self) -> None:
        """Every second: files that were renewed."""
        for one in (self._book, self._tls):
            if one is not None:
                one.renew()


class _Uvicorn(uvicorn.Server):
    """Listens through our door, and leaves signals to whoever runs the loop."""

    def __init__(
        self, config: uvicorn.Config, options: RestOptions, door: Callable[[uvicorn.server.ServerState], Door]
    ) -> None:
        super().__init__(config)
        self._options, self._door = options, door(self.server_state)

    @property
    def port(self) -> int:
        """Where it listens; 0: not yet."""
        sockets = [one for server in getattr(self, "servers", ()) for one in server.sockets]
        return int(sockets[0].getsockname()[1]) if sockets else 0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None of ours."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen.

        Raises:
            Misconfigured: when that cannot be done.
        """
        loop, options = asyncio.get_running_loop(), self._options
        try:
            server = await loop.create_server(lambda: Doorstep(self._door), options.host, options.port, backlog=BACKLOG)
        except (OSError, OverflowError, UnicodeError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            where = f"rest: {options.host}:{options.port}"
            raise Misconfigured(f"cannot listen ({why})", where=where, expected="a free port and an address of ours") from None
        self.servers, self.started = [server], True

    async def close(self) -> None:
        """Take no more connections, let running answers end for a moment, and go."""
        for server in getattr(self, "servers", ()):
            server.close()
        self.started = False
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        tasks = tuple(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORDS_S)
        for task in tasks:
            task.cancel()
        self._door.close()
        await asyncio.gather(*tasks, return_exceptions=True)


def check(options: RestOptions) -> None:
    """Whether it could begin; whether its port is free is seen only then.

    Raises:
        Misconfigured: it could not.
    """
    opened(options, Teller("plantlink.rest"))


def opened(options: RestOptions, tell: Teller) -> tuple[RenewedTls | None, CredentialBook]:
    """Certificates and credentials, read.

    Raises:
        Misconfigured: a file is not as it should be, or it may not listen.
    """
    may_listen(options)
    tls = None if options.tls is None else RenewedTls(options.tls, tell)
    mutual = options.tls is not None and bool(options.tls.client_ca)
    return tls, CredentialBook(options.credentials, certificates=mutual, tell=tell)


def may_listen(options: RestOptions) -> None:
    """Whether it may listen as it is set up.

    Raises:
        Misconfigured: tokens would cross a network in clear, or a number makes no sense.
    """
    if options.tls is None and not options.plain and not is_loopback(options.host):
        raise Misconfigured(
            f"would say tokens in clear on {options.host}", where="rest",
            expected="tls with certificate and key; or plain: true, when something before it speaks TLS; or host 127.0.0.1",
        )  # fmt: skip
    if not options.requests_per_s > 0.0 or options.burst < 1 or options.max_body_bytes < 1:
        raise Misconfigured(
            "nobody could ask", where="rest", expected="requestsPerS above 0, burst and maxBodyBytes of at least 1"
        )
