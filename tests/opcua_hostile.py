"""Requests that an enemy of the OPC UA server makes: broken frames, forged channels, and services called without a right."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from asyncua import Client, ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto import security_policies
from asyncua.ua.ua_binary import header_from_binary, nodeid_to_binary, struct_from_binary, struct_to_binary, uatcp_to_binary
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

ANSWER_S, CHUNK = 20.0, 8192
UNTYPED: Any = security_policies
FAULT_TYPE = ua.ObjectIds.ServiceFault_Encoding_DefaultBinary
HARMLESS = {
    ua.ObjectIds.GetEndpointsResponse_Encoding_DefaultBinary,
    ua.ObjectIds.FindServersResponse_Encoding_DefaultBinary,
    ua.ObjectIds.CloseSecureChannelResponse_Encoding_DefaultBinary,
}
REQUESTS = [number for name, number in vars(ua.ObjectIds).items() if name.endswith("Request_Encoding_DefaultBinary")]
# What the decoder of the library follows for ever, or for very long.
BACKWARDS = struct.pack("<i", 2**31 - 1) + struct.pack("<i", -4) * 20
NOTHING = b"\x80" + struct.pack("<i", 2**31 - 1)


@dataclass(frozen=True, slots=True)
class Attack:
    """One of them: what is sent before a channel is open, or `inside` one without security."""

    name: str
    data: bytes
    inside: bool = False
    waits: bool = False


def hello(rng: np.random.Generator | None = None) -> bytes:
    """A greeting, with sizes that an enemy chooses."""
    sizes = [65535, 65535, 0, 0] if rng is None else [int(rng.integers(0, 2**32)) for _ in range(4)]
    found = ua.Hello(EndpointUrl=ua.String("opc.tcp://127.0.0.1:4840"))
    found.ReceiveBufferSize, found.SendBufferSize, found.MaxMessageSize, found.MaxChunkCount = (ua.UInt32(one) for one in sizes)
    return uatcp_to_binary(ua.MessageType.Hello, found)  # type: ignore[arg-type] # a bytes constant of asyncua's own enum


def opening(policy: Any = None) -> tuple[bytes, SecureConnection]:
    """A request for a channel, and the connection that understands the answer."""
    connection = SecureConnection(policy or UNTYPED.SecurityPolicyNone(), TransportLimits(max_send_buffer=CHUNK))
    request = ua.OpenSecureChannelRequest()
    request.Parameters.SecurityMode = ua.MessageSecurityMode.None_ if policy is None else ua.MessageSecurityMode.SignAndEncrypt
    request.Parameters.RequestedLifetime = ua.UInt32(60_000)
    request.Parameters.ClientNonce = b"" if policy is None else b"n" * 32
    data = connection.message_to_binary(struct_to_binary(request), ua.MessageType.SecureOpen, request_id=1)  # type: ignore[arg-type] # as above
    return data, connection


def body_of(number: int, rest: bytes) -> bytes:
    """A request of a type: its header is in order, the rest is the enemy's."""
    return nodeid_to_binary(ua.FourByteNodeId(ua.Int32(number))) + struct_to_binary(ua.RequestHeader()) + rest


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes of it others, and sometimes a part of it gone or doubled."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        found[int(rng.integers(len(found)))] = int(rng.integers(256))
    at = int(rng.integers(len(found)))
    return bytes(found[:at] + found[at:] * int(rng.integers(0, 3)))


def attacks(count: int, seed: int, trusted: bytes = b"") -> Iterator[Attack]:
    """So many of all kinds, always the same ones of a seed; `trusted`: a certificate in DER whose key the enemy has not."""
    rng = np.random.default_rng(seed)
    kinds: list[Callable[[np.random.Generator], Attack]] = [_noise, _greeting, _channel, _service, _endless, _session, _chunks]
    if trusted:
        forged = opening(_forged(trusted))[0]
        kinds.append(lambda rng: Attack("forged channel", hello() + (forged if rng.random() < 0.5 else mutated(forged, rng))))
    for i in range(count):
        yield kinds[i % len(kinds)](rng)


def _noise(rng: np.random.Generator) -> Attack:
    kind = (b"HEL", b"OPN", b"MSG", b"CLO", b"GET")[int(rng.integers(5))]
    data = rng.bytes(int(rng.integers(1, 300)))
    frame = kind + b"F" + struct.pack("<I", int(rng.integers(0, 2**32)) if rng.random() < 0.3 else len(data) + 8) + data
    return Attack("noise", frame if rng.random() < 0.5 else hello() + frame)


def _greeting(rng: np.random.Generator) -> Attack:
    return Attack("greeting", hello(rng) if rng.random() < 0.5 else mutated(hello(), rng))


def _channel(rng: np.random.Generator) -> Attack:
    return Attack("channel", hello() + mutated(opening()[0], rng))


def _service(rng: np.random.Generator) -> Attack:
    number = REQUESTS[int(rng.integers(len(REQUESTS)))]
    return Attack("service", body_of(number, rng.bytes(int(rng.integers(0, 200)))), inside=True)


def _endless(rng: np.random.Generator) -> Attack:
    number = REQUESTS[int(rng.integers(len(REQUESTS)))]
    rest = (BACKWARDS, NOTHING * 3, BACKWARDS * 3 + NOTHING, b"\xff" * 64, b"\x00" * 4 + BACKWARDS)[int(rng.integers(5))]
    return Attack("endless", body_of(number, rest), inside=True)


def _session(rng: np.random.Generator) -> Attack:
    request = ua.CreateSessionRequest()
    request.Parameters.RequestedSessionTimeout = ua.Double(float("nan") if rng.random() < 0.5 else 1e300)
    data = struct_to_binary(request)
    return Attack("session", data if rng.random() < 0.5 else mutated(data, rng), inside=True)


def _chunks(rng: np.random.Generator) -> Attack:
    """A message that never ends: chunk after chunk."""
    data = b"MSGC" + struct.pack("<III", 8216, 7, 13) + struct.pack("<II", int(rng.integers(2, 5)), 2) + b"x" * 8192
    return Attack("chunks", hello() + opening()[0] + data * 4)


def _forged(trusted: bytes) -> Any:
    """A channel in the name of somebody whose key one has not."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    theirs = x509.load_der_x509_certificate(trusted)
    return UNTYPED.SecurityPolicyBasic256Sha256(theirs, theirs, key, ua.MessageSecurityMode.SignAndEncrypt)


async def attacked(port: int, some: Iterator[Attack], at_once: int) -> list[tuple[Attack, str]]:
    """Make them, so many at a time; with each, what the server did: closed, answered, fault, or what it should not say."""
    came: list[tuple[Attack, str]] = []

    async def worker() -> None:
        for one in some:
            try:
                said = await asyncio.wait_for(_made(port, one), ANSWER_S)
            except TimeoutError:
                said = "hung"
            except (OSError, asyncio.IncompleteReadError):
                said = "closed"
            came.append((one, said))

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return came


async def _made(port: int, one: Attack) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        if one.inside:
            return await _inside(reader, writer, one.data)
        writer.write(one.data)
        # What is whole and harmless is answered, and then waited for: nobody has to see the wait out.
        with suppress(OSError):
            writer.write_eof()
        await reader.read(-1)
        return "closed"
    finally:
        writer.close()


async def _inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> str:
    """Open a channel without security and ask; says what came."""
    request, connection = opening()
    writer.write(hello() + request)
    await _frame(reader)
    header, buffer = await _frame(reader)
    message = connection.receive_from_header_and_body(header, buffer)
    response = struct_from_binary(ua.OpenSecureChannelResponse, message.body())
    connection.set_channel(response.Parameters, ua.SecurityTokenRequestType.Issue, b"")
    writer.write(connection.message_to_binary(body, request_id=2))
    header, buffer = await _frame(reader)
    if header.MessageType.startswith(b"ERR"):
        return "closed"
    number = ua.ua_binary.nodeid_from_binary(connection.receive_from_header_and_body(header, buffer).body()).Identifier
    if number == FAULT_TYPE:
        return "fault"
    return "answered" if number in HARMLESS else f"taken: {number!r}"


async def _frame(reader: asyncio.StreamReader) -> tuple[Any, Buffer]:
    head = await reader.readexactly(8)
    buffer = Buffer(head + await reader.readexactly(struct.unpack("<I", head[4:])[0] - 8))
    return header_from_binary(buffer), buffer


def betrayals(count: int, seed: int, node_id: ua.NodeId) -> Iterator[bytes]:
    """Requests of somebody who is trusted, each of them wrong in some way."""
    rng = np.random.default_rng(seed)
    plain = [struct_to_binary(one) for one in _right(node_id)]
    for i in range(count):
        if i % 2:
            number = REQUESTS[int(rng.integers(len(REQUESTS)))]
            rest = (BACKWARDS, NOTHING, b"\xff" * 40, rng.bytes(100), b"")[int(rng.integers(5))]
            yield body_of(number, rest)
        else:
            yield mutated(plain[int(rng.integers(len(plain)))], rng)


def _right(node_id: ua.NodeId) -> list[Any]:
    """What a client asks for in good order."""
    read, browse, items = ua.ReadRequest(), ua.BrowseRequest(), ua.CreateMonitoredItemsRequest()
    read.Parameters.NodesToRead = [ua.ReadValueId(node_id, ua.AttributeIds.Value)] * 3
    browse.Parameters.NodesToBrowse = [ua.BrowseDescription(NodeId=node_id)]
    items.Parameters.ItemsToCreate = [
        ua.MonitoredItemCreateRequest(ItemToMonitor=ua.ReadValueId(node_id, ua.AttributeIds.Value))
    ]
    subscription, paths = ua.CreateSubscriptionRequest(), ua.TranslateBrowsePathsToNodeIdsRequest()
    paths.Parameters.BrowsePaths = [ua.BrowsePath(StartingNode=node_id, RelativePath=ua.RelativePath())]
    return [read, browse, items, subscription, paths, ua.PublishRequest(), ua.WriteRequest(), ua.HistoryReadRequest()]


async def betrayed(connect: Callable[[], Awaitable[Client]], bodies: Iterator[bytes]) -> int:
    """Send them over connections of somebody who is trusted, a new one whenever one is ended; returns how many were used."""
    used, body = 0, next(bodies, None)
    while body is not None:
        client, used = await connect(), used + 1
        with suppress(Exception):
            await client.connect()
            protocol: Any = client.uaclient.protocol
            for i in range(10):
                protocol.transport.write(protocol._connection.message_to_binary(body, request_id=5000 + i))
                body = next(bodies, None)
                if body is None:
                    break
            await client.nodes.server_state.read_value()
        with suppress(Exception):
            await client.disconnect()
    return used
