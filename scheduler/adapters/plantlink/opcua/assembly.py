"""The parts of the server that need asyncua, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from asyncua import Server, ua

from scheduler import __version__
from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.plantlink.opcua.certificates import APPLICATION_URI, OurIdentity, TrustedClients, valid_at
from scheduler.adapters.plantlink.opcua.decoding import be_strict
from scheduler.adapters.plantlink.opcua.limits import Limits
from scheduler.adapters.plantlink.opcua.listener import NAME, PRODUCT, Listener
from scheduler.adapters.plantlink.opcua.model import NAMESPACE
from scheduler.adapters.plantlink.opcua.sessions import Answer, PlantServer
from scheduler.adapters.plantlink.opcua.space import Space
from scheduler.domain.link_options import OpcuaOptions
from scheduler.domain.plantlink import Board
from scheduler.ports import Clock

BUILT = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS_OF = "Server_ServerCapabilities_OperationLimits_MaxNodesPer"
OPERATIONS = ("Read", "MethodCall", "Browse", "RegisterNodes", "TranslateBrowsePathsToNodeIds")


class OurCertificate:
    """Whether our own certificate still holds: clients refuse one that does not."""

    def __init__(self, identity: OurIdentity, clock: Clock) -> None:
        """Ask it when somebody asks."""
        self._identity, self._clock = identity, clock

    @property
    def trouble(self) -> str:
        """Empty while it holds."""
        why = valid_at(self._identity.current().certificate, self._clock.now_utc())
        return self._identity.trouble or (f"certificate: it {why}" if why else "")


@dataclass
class Parts:
    """What runs."""

    server: Server
    iserver: PlantServer
    space: Space
    listener: Listener
    troubles: tuple[Any, ...]
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def show(self, boards: Mapping[str, Board], now_utc: datetime) -> None:
        """Bring all nodes up to date, and the standard's clock."""
        async with self._one_at_a_time:
            await self.space.show(boards, now_utc)
            value = ua.DataValue(ua.Variant(now_utc, ua.VariantType.DateTime), SourceTimestamp=cast(ua.DateTime, now_utc))
            await self.iserver.write_attribute_value(self.iserver.current_time_node.nodeid, value)

    async def close(self) -> None:
        """End all connections; nothing of it goes on."""
        await self.listener.close()
        with suppress(Exception):
            await self.iserver.stop()


async def assembled(
    options: OpcuaOptions,
    limits: Limits,
    clocks: tuple[Clock, MonotonicClock],
    refuse: Callable[[str, str], None],
    answer: Answer,
) -> Parts:
    """A server with the standard's nodes and ours, which does not listen yet.

    Raises:
        Misconfigured: our certificate or key cannot be used.
    """
    be_strict()
    clock, monotonic = clocks
    identity = OurIdentity(options.certificate, options.key) if options.certificate else None
    trusted = TrustedClients(
        options.trusted if identity is not None else "", options.certificates if identity is not None else {}
    )
    trusted.refresh()
    iserver = PlantServer(limits)
    server = Server(iserver=iserver)
    await server.init()
    await server.set_application_uri(APPLICATION_URI if identity is None else identity.current().uri)
    await server.set_build_info(PRODUCT, "heat-dispatch", NAME, __version__, __version__, BUILT)
    known = {offtake for offtakes in options.certificates.values() for offtake in offtakes}
    space = Space(iserver, await server.register_namespace(NAMESPACE), known)
    iserver.space, iserver.answer = space, answer
    await space.begin()
    await _say_limits(iserver, limits)
    await iserver.start()
    listener = Listener(iserver, identity, trusted, clock, monotonic, refuse, insecure_reading=options.insecure_reading)
    troubles = (trusted,) if identity is None else (OurCertificate(identity, clock), trusted)
    return Parts(server, iserver, space, listener, troubles)


async def _say_limits(iserver: PlantServer, limits: Limits) -> None:
    """Tell clients in the standard's own nodes how much one request may ask for."""
    most = {name: limits.nodes for name in OPERATIONS} | {"MethodCall": limits.calls}
    for name, number in most.items():
        node = ua.NodeId(ua.Int32(getattr(ua.ObjectIds, LIMITS_OF + name)))
        await iserver.write_attribute_value(node, ua.DataValue(ua.Variant(number, ua.VariantType.UInt32)))
