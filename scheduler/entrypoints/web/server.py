"""Serves the live page: uvicorn on a socket of ours, reading what is shown in the background."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn

from scheduler.adapters.addresses import is_loopback
from scheduler.adapters.logs import Teller
from scheduler.adapters.plantlink.rest.credentials import CredentialBook
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import Credential
from scheduler.entrypoints.web.app import app_of
from scheduler.entrypoints.web.desk import LiveDesk
from scheduler.entrypoints.web.gate import Gate, hosts_for
from scheduler.entrypoints.web.options import LiveOptions

LOOK_S = 2.0
MOST_CONNECTIONS = 1000
MAX_HEAD_BYTES = 16 * 1024
KEEP_ALIVE_S = 15
END_S = 3
VIEWERS = "viewers"


class LiveServer:
    """The page on a port; `start` and `stop` for who has other things to do, `serve` for who has not."""

    def __init__(self, desk: LiveDesk, options: LiveOptions) -> None:
        """Listen, and answer nobody yet.

        Raises:
            Misconfigured: the port is taken, the token cannot be read, or everybody in a network would see the page.
        """
        self._desk = desk
        self._book = _book_of(options)
        self._socket = _listening(options)
        gate = Gate(app_of(desk), hosts_for(options.host, options.allowed_hosts), self._book)
        config = uvicorn.Config(
            gate, ws="none", lifespan="off", log_config=None, log_level="critical", access_log=False, proxy_headers=False,
            server_header=False, date_header=True, workers=1, h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            timeout_keep_alive=KEEP_ALIVE_S, limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=END_S,
        )  # fmt: skip
        self._server = _Quiet(config)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Serve on a thread of its own."""
        self._thread = threading.Thread(target=self.serve, name="live-page", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more; returns when that is so."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(2 * END_S)
        self._socket.close()

    def alive(self, wait_s: float) -> bool:
        """Wait a moment; whether it serves still."""
        if self._thread is None:
            return False
        self._thread.join(wait_s)
        return self._thread.is_alive()

    def serve(self) -> None:
        """Serve until `stop`."""
        with asyncio.Runner() as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        looking = asyncio.create_task(self._look())
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    async def _look(self) -> None:
        """Read what is shown, and tokens that were renewed."""
        while True:
            await asyncio.to_thread(self._desk.refresh)
            if self._book is not None:
                self._book.renew()
            await asyncio.sleep(LOOK_S)


class _Quiet(uvicorn.Server):
    """Leaves signals to whoever runs us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None of ours."""
        yield


def _book_of(options: LiveOptions) -> CredentialBook | None:
    """Tokens, where any are asked for.

    Raises:
        Misconfigured: they cannot be read, or none is asked for where others can connect.
    """
    if options.token_file is None:
        if not is_loopback(options.host):
            raise Misconfigured(
                f"everybody who reaches {options.host or 'this machine'} would see the page",
                where="live page",
                expected="a file with a token, or host 127.0.0.1",
            )
        return None
    viewers = Credential(name=VIEWERS, secret_file=str(options.token_file), offtakes=())
    return CredentialBook([viewers], certificates=False, tell=Teller("live"))


def _listening(options: LiveOptions) -> socket.socket:
    """A socket that listens.

    Raises:
        Misconfigured: when that cannot be done.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        where = f"live page {options.host}:{options.port}"
        raise Misconfigured(f"cannot listen ({why})", where=where, expected="a free port and an address of ours") from None
