"""The OPC UA server of the plant link: shows the desk's boards as nodes, and hands in what plants say by calling methods."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler import __version__
from scheduler.adapters.addresses import is_loopback
from scheduler.adapters.clock import MonotonicClock, SystemClock
from scheduler.adapters.logs import Teller
from scheduler.adapters.plantlink.keeping import SOON_S, kept
from scheduler.adapters.plantlink.opcua.limits import Limits
from scheduler.adapters.plantlink.opcua.model import NAMESPACE, Method
from scheduler.adapters.plantlink.opcua.spoken import letter_of
from scheduler.core.publishing.letters import NotALetter, body_of
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import OpcuaOptions
from scheduler.domain.plantlink import Letter, LinkProtocol, Receipt, Refusal, Sender
from scheduler.ports import Clock, PlantDesk

if TYPE_CHECKING:
    from scheduler.adapters.plantlink.opcua.sessions import Rights

LOOK_S = 1.0
BEAT_WAIT_S = 10.0


class OpcuaInterface:
    """A `ports.PlantInterface`. A client sees the offtakes of its certificate, and may speak of them."""

    def __init__(
        self,
        options: OpcuaOptions,
        desk: PlantDesk,
        clock: Clock,
        tell: Teller | None = None,
        *,
        limits: Limits | None = None,
        monotonic: MonotonicClock | None = None,
    ) -> None:
        """Not listening yet.

        Args:
            options: where, and who may connect.
            desk: what is shown, and where letters go.
            clock: of values and certificates.
            tell: where faults of ours are told; what plants do wrong goes to the desk alone.
            limits: what one peer may have of us.
            monotonic: of limits.

        Raises:
            Misconfigured: nobody could connect as it is set up, or anybody could.
        """
        self._options, self._desk, self._clock = options, desk, clock
        self._tell, self._limits = tell or Teller("plantlink.opcua"), limits or Limits()
        self._monotonic = monotonic or SystemClock()
        self._troubles: Sequence[Any] = ()
        self.port = 0
        self.listening = asyncio.Event()
        check(options)

    async def run(self) -> None:
        """As the port says."""
        from scheduler.adapters.plantlink.opcua import assembly

        # It logs a traceback for whatever a peer sends; what matters of that goes to the desk.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        with closing(self._bound()) as port:
            parts = await assembly.assembled(
                self._options, self._limits, (self._clock, self._monotonic), self._refuse, self._answer
            )
            self._troubles = parts.troubles
            try:
                await parts.space.show(self._desk.boards(), self._clock.now_utc())
                await self._serve(parts, port)
            finally:
                self.listening.clear()
                await parts.close()

    def _bound(self) -> socket.socket:
        """Our port, before anything is built.

        Raises:
            Misconfigured: it cannot be had.
        """
        host, port = self._options.host, self._options.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return socket.create_server((host, port), family=family)
        except OSError as error:
            raise Misconfigured(
                f"cannot listen there ({error.strerror})",
                where=f"opcua, {host}:{port}",
                expected="a free port and an address of this machine",
            ) from None

    async def _serve(self, parts: Any, port: socket.socket) -> None:
        """Listen and show until cancelled."""
        self.port = await parts.listener.open(port)
        self.listening.set()
        self._tell.info("OPC UA listens", url=parts.listener.url, namespace=NAMESPACE, version=__version__)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._show_changes(parts))
            both.create_task(self._show_beats(parts))

    async def _show_changes(self, parts: Any) -> None:
        """Show each new schedule at once; look each second whether one has run out."""
        version = 0
        while True:
            version = await self._desk.changed(version, LOOK_S)
            await parts.show(self._desk.boards(), self._clock.now_utc())

    async def _show_beats(self, parts: Any) -> None:
        counter = 0
        while True:
            counter = await self._desk.beats(counter, BEAT_WAIT_S)
            await parts.show(self._desk.boards(), self._clock.now_utc())

    def trouble(self) -> str:
        """As the port says."""
        if not self.listening.is_set():
            return "OPC UA does not listen"
        return "; ".join(one.trouble for one in self._troubles if one.trouble)

    # What plants say.

    async def _answer(self, rights: Rights, offtake_id: str, method: Method, values: Sequence[object]) -> Receipt | None:
        """Hand in what was said; None: the offtake is not ours to speak of now."""
        if offtake_id not in self._desk.boards():
            return None
        now_utc = self._clock.now_utc()
        try:
            kind, payload = letter_of(method, values, now_utc)
            body = body_of(kind, payload)
        except NotALetter as error:
            self._refuse(rights.name, f"{method.path}: {error}")
            return Receipt(accepted=False, reason=str(error))
        sender = Sender(name=rights.name, protocol=LinkProtocol.OPCUA, authenticated=True)
        letter = Letter(offtake_id=offtake_id, sender=sender, received_utc=now_utc, body=body)
        return await kept(self._desk, letter, SOON_S)

    def _refuse(self, sender: str, what: str) -> None:
        self._desk.refuse(Refusal(protocol=LinkProtocol.OPCUA, sender=sender, at_utc=self._clock.now_utc(), what=what[:200]))


def check(options: OpcuaOptions) -> None:
    """Whether somebody, and not anybody, can connect, with files that are there.

    Raises:
        Misconfigured: saying what is missing.
    """
    if importlib.util.find_spec("asyncua") is None:
        raise Misconfigured("asyncua is not installed", where="opcua", expected="pip install heat-dispatch[opcua]")
    secure = bool(options.certificate and options.key)
    if bool(options.certificate) != bool(options.key):
        raise Misconfigured("a certificate and its key go together", where="opcua", expected="certificate and key, or neither")
    if secure and not (options.trusted and options.certificates):
        raise Misconfigured(
            "nobody is trusted",
            where="opcua",
            expected="trusted: a folder of client certificates, and certificates: whose they are",
        )
    if not secure and not is_loopback(options.host):
        raise Misconfigured(
            f"{options.host} can be reached from other machines, and nobody there is known", where="opcua.host",
            expected="certificate, key, trusted and certificates; or host: 127.0.0.1",
        )  # fmt: skip
    if not secure and not options.insecure_reading:
        raise Misconfigured("nobody can connect", where="opcua", expected="certificate and key, or insecureReading: true")
    if secure:
        _check_files(options)


def _check_files(options: OpcuaOptions) -> None:
    """Whether we can show who we are, and look up who others are."""
    from scheduler.adapters.plantlink.opcua.certificates import OurIdentity

    OurIdentity(options.certificate, options.key)
    if not Path(options.trusted).is_dir():
        raise Misconfigured(
            f"{options.trusted} is no folder", where="opcua.trusted", expected="a folder of client certificates"
        )
