"""The port: who may connect, how often, and with which security; each connection is a `Peer`."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from asyncua import ua
from asyncua.crypto import uacrypto
from asyncua.crypto.security_policies import (
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
    SecurityPolicyFactory,
    SecurityPolicyNone,
)

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.plantlink.opcua.certificates import APPLICATION_URI, Identity, OurIdentity, TrustedClients, first_of
from scheduler.adapters.plantlink.opcua.limits import Allowance
from scheduler.adapters.plantlink.opcua.peers import Peer, address_of
from scheduler.adapters.plantlink.opcua.sessions import STRANGER, PlantServer, Rights
from scheduler.ports import Clock

SECURE = ua.MessageSecurityMode.SignAndEncrypt
NONE = ua.MessageSecurityMode.None_
POLICIES = ((SecurityPolicyBasic256Sha256, 80), (SecurityPolicyAes256Sha256RsaPss, 90))
TRANSPORT = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"
NAME = "heat-dispatch plant link"
PRODUCT = "urn:heat-dispatch"
MOST_ADDRESSES = 4096


class TrustingFactory(SecurityPolicyFactory):
    """A security policy for one peer, made only when it is trusted: before anything that it sent is decrypted."""

    def __init__(self, policy: Any, identity: Identity, trust: Callable[[bytes | None], object]) -> None:
        """As asyncua has it, with a check."""
        super().__init__(policy, SECURE, identity.certificate, identity.key)
        self._trust = trust

    def create(self, peer_certificate: bytes | None) -> Any:
        """The policy.

        Raises:
            NotTrusted: the certificate is not accepted.
        """
        self._trust(peer_certificate)
        return super().create(first_of(peer_certificate or b""))


class Listener:
    """A `peers.Gate`: accepts connections and keeps count of them."""

    def __init__(
        self,
        iserver: PlantServer,
        identity: OurIdentity | None,
        trusted: TrustedClients,
        clock: Clock,
        monotonic: MonotonicClock,
        refuse: Callable[[str, str], None],
        *,
        insecure_reading: bool,
    ) -> None:
        """Not listening yet; `identity` None: there is no security, so nothing but insecure reading."""
        self._iserver, self._identity, self._trusted, self._clock = iserver, identity, trusted, clock
        self.limits, self.monotonic, self.refuse = iserver.limits, monotonic, refuse
        self._insecure_reading = insecure_reading
        self._peers: dict[asyncio.Task[None], Peer] = {}
        self._new: dict[str, Allowance] = {}
        self._server: asyncio.Server | None = None
        self._told: Identity | None = None
        self.url = ""

    # A gate.

    def policies(self) -> list[Any]:
        """Secure ones while there is a certificate; the open one is for listing endpoints, and for insecure reading."""
        found: list[Any] = [SecurityPolicyFactory(SecurityPolicyNone, NONE)]
        if self._identity is None:
            return found
        identity = self._identity.current()
        self.endpoints()
        return [*found, *(TrustingFactory(policy, identity, self._client) for policy, _ in POLICIES)]

    def rights(self, mode: ua.MessageSecurityMode, certificate: bytes | None) -> Rights:
        """As the gate says."""
        if mode is SECURE:
            client = self._client(certificate)
            return Rights(name=client.name, offtakes=client.offtakes, speaks=True)
        return Rights(name="", offtakes=None, speaks=False) if self._insecure_reading else STRANGER

    def crowded(self, name: str) -> bool:
        """As the gate says."""
        sessions = [peer for peer in self._peers.values() if peer.processor.active and peer.processor.rights.name == name]
        return bool(name) and len(sessions) >= self.limits.per_client

    def _client(self, certificate: bytes | None) -> Any:
        return self._trusted.client(certificate, self._clock.now_utc())

    # Listening.

    async def open(self, port: socket.socket) -> int:
        """Listen on what was bound; returns the number of the port."""
        self._server = await asyncio.start_server(self._connected, sock=port, limit=2 * self.limits.max_bytes)
        host, found = port.getsockname()[:2]
        self.url = f"opc.tcp://[{host}]:{found}" if ":" in host else f"opc.tcp://{host}:{found}"
        self.endpoints()
        return int(found)

    async def close(self) -> None:
        """End every connection, and listen no more."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._peers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def peers(self) -> int:
        """Connections there are now."""
        return len(self._peers)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = address_of(writer.get_extra_info("peername"))
        why = self._crowd(address)
        task = asyncio.current_task()
        if why or task is None:
            self.refuse(address, why)
            writer.transport.abort()
            return
        peer = Peer(self._iserver, reader, writer, self)
        self._peers[task] = peer
        try:
            await peer.serve()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._peers.pop(task, None)
            with suppress(Exception):
                await writer.wait_closed()

    def _crowd(self, address: str) -> str:
        """Why one more connection from an address is too many; empty when it is not."""
        if len(self._peers) >= self.limits.connections:
            return "too many connections"
        if Counter(peer.address for peer in self._peers.values())[address] >= self.limits.per_address:
            return "too many connections of one address"
        if len(self._new) >= MOST_ADDRESSES:
            self._new = {key: one for key, one in self._new.items() if not one.full()}
        allowance = self._new.setdefault(address, Allowance(self.limits.new_per_s, self.limits.new_burst, self.monotonic))
        return "connects too often" if allowance.take() > 1.0 else ""

    # What is told to whoever lists endpoints.

    def endpoints(self) -> None:
        """Tell how we can be reached, with our certificate as it is now."""
        identity = None if self._identity is None else self._identity.current()
        if identity is self._told and self._iserver.endpoints:
            return
        self._told = identity
        secure = [] if identity is None else [(policy.URI, SECURE, level) for policy, level in POLICIES]
        plain = [(SecurityPolicyNone.URI, NONE, 0)] if self._insecure_reading else []
        self._iserver.endpoints[:] = [self._endpoint(identity, *one) for one in (*secure, *plain)]

    def _endpoint(
        self, identity: Identity | None, uri: str, mode: ua.MessageSecurityMode, level: int
    ) -> ua.EndpointDescription:
        token = ua.UserTokenPolicy(
            PolicyId=ua.String("anonymous"),
            TokenType=ua.UserTokenType.Anonymous,
            SecurityPolicyUri=ua.String(SecurityPolicyNone.URI),
        )
        found = ua.EndpointDescription(
            EndpointUrl=ua.String(self.url), SecurityMode=mode, SecurityPolicyUri=ua.String(uri), UserIdentityTokens=[token],
            TransportProfileUri=ua.String(TRANSPORT), SecurityLevel=ua.Byte(level),
        )  # fmt: skip
        found.Server = ua.ApplicationDescription(
            ApplicationUri=ua.String(APPLICATION_URI if identity is None else identity.uri), ProductUri=ua.String(PRODUCT),
            ApplicationName=ua.LocalizedText(NAME), ApplicationType=ua.ApplicationType.Server,
            DiscoveryUrls=[ua.String(self.url)],
        )  # fmt: skip
        if identity is not None:
            found.ServerCertificate = uacrypto.der_from_x509(identity.certificate)
        return found
