"""One connection: frames checked before asyncua sees them, a channel with a trusted peer, and bounded patience."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol, cast

from asyncua import ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import ServiceError
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import header_from_binary, nodeid_from_binary, struct_from_binary, uatcp_to_binary

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.plantlink.opcua.certificates import NotTrusted
from scheduler.adapters.plantlink.opcua.decoding import StrictBuffer
from scheduler.adapters.plantlink.opcua.limits import Allowance, Limits
from scheduler.adapters.plantlink.opcua.sessions import STRANGER, PlantServer, PlantSession, Rights

HEADER_BYTES = 8
LEAST_BUFFER = 8192
NONCE_BYTES = 32
CHANNEL_MS = (10_000, 3_600_000)
KINDS = {ua.MessageType.Hello, ua.MessageType.SecureOpen, ua.MessageType.SecureMessage, ua.MessageType.SecureClose}
OPENING = {
    ua.ObjectIds.FindServersRequest_Encoding_DefaultBinary,
    ua.ObjectIds.GetEndpointsRequest_Encoding_DefaultBinary,
    ua.ObjectIds.CloseSecureChannelRequest_Encoding_DefaultBinary,
}
SESSION = {
    ua.ObjectIds.CreateSessionRequest_Encoding_DefaultBinary,
    ua.ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary,
    ua.ObjectIds.CloseSessionRequest_Encoding_DefaultBinary,
}
CALL = ua.ObjectIds.CallRequest_Encoding_DefaultBinary
SERVICES = {
    ua.ObjectIds.ReadRequest_Encoding_DefaultBinary,
    ua.ObjectIds.BrowseRequest_Encoding_DefaultBinary,
    ua.ObjectIds.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary,
    ua.ObjectIds.RegisterNodesRequest_Encoding_DefaultBinary,
    ua.ObjectIds.UnregisterNodesRequest_Encoding_DefaultBinary,
    CALL,
    ua.ObjectIds.CreateSubscriptionRequest_Encoding_DefaultBinary,
    ua.ObjectIds.ModifySubscriptionRequest_Encoding_DefaultBinary,
    ua.ObjectIds.DeleteSubscriptionsRequest_Encoding_DefaultBinary,
    ua.ObjectIds.CreateMonitoredItemsRequest_Encoding_DefaultBinary,
    ua.ObjectIds.ModifyMonitoredItemsRequest_Encoding_DefaultBinary,
    ua.ObjectIds.DeleteMonitoredItemsRequest_Encoding_DefaultBinary,
    ua.ObjectIds.SetMonitoringModeRequest_Encoding_DefaultBinary,
    ua.ObjectIds.SetPublishingModeRequest_Encoding_DefaultBinary,
    ua.ObjectIds.PublishRequest_Encoding_DefaultBinary,
    ua.ObjectIds.RepublishRequest_Encoding_DefaultBinary,
}


class Refused(Exception):
    """A peer is turned away: says why, and the status code that it is told."""

    def __init__(self, why: str, code: int = ua.StatusCodes.BadTcpMessageTypeInvalid) -> None:
        """Keep both."""
        super().__init__(why)
        self.code = code


class Gate(Protocol):
    """What a connection asks of its server."""

    limits: Limits
    monotonic: MonotonicClock

    def policies(self) -> list[Any]:
        """Factories of the security policies that are offered now."""
        ...

    def rights(self, mode: ua.MessageSecurityMode, certificate: bytes | None) -> Rights:
        """Who is at the other end of a secure channel; a stranger where there is no security.

        Raises:
            NotTrusted: the certificate is not accepted.
        """
        ...

    def refuse(self, sender: str, why: str) -> None:
        """Note that somebody was turned away."""
        ...

    def crowded(self, name: str) -> bool:
        """Whether a client has as many sessions as it may."""
        ...


class PlantProcessor(UaProcessor):
    """asyncua's reading of messages, behind a check of who sends them and what they are."""

    def __init__(self, iserver: PlantServer, transport: Any, gate: Gate) -> None:
        """A connection that is not open yet."""
        limits = gate.limits
        super().__init__(
            iserver,
            transport,
            # asyncua's client takes what we accept for what it has to accept itself: say as much as our largest answer.
            TransportLimits(max_recv_buffer=limits.max_bytes, max_message_size=limits.answer_bytes, max_chunk_count=64),
        )
        self._gate = gate
        self.rights = STRANGER
        self.greeted = False
        self._calls: set[asyncio.Task[None]] = set()
        self.set_policies(gate.policies())

    @property
    def active(self) -> bool:
        """Whether there is a session that works."""
        return self.session is not None and self.session.is_activated()

    @property
    def opened(self) -> bool:
        """Whether there is a secure channel."""
        return self._connection.is_open()

    @property
    def waiting_bytes(self) -> int:
        """Of chunks whose message is not complete."""
        return self._connection._incoming_size

    def greet(self) -> None:
        """After the greeting, whose sizes asyncua has taken as they came.

        Raises:
            Refused: the peer cannot take an answer, or greets again.
        """
        if self.greeted:
            raise Refused("greets twice")
        self.greeted = True
        if self._limits.max_send_buffer < LEAST_BUFFER or self._limits.max_recv_buffer < LEAST_BUFFER:
            raise Refused("buffers are too small", ua.StatusCodes.BadTcpInternalError)

    def open_secure_channel(self, algohdr: Any, seqhdr: Any, body: Any) -> None:
        """Open or renew a channel with somebody who is trusted."""
        request = struct_from_binary(ua.OpenSecureChannelRequest, StrictBuffer(bytes(body)))
        asked = request.Parameters
        if not self.opened:
            self._connection.select_policy(algohdr.SecurityPolicyURI, algohdr.SenderCertificate, asked.SecurityMode)
        policy = self._connection.security_policy
        self.rights = self._gate.rights(policy.Mode, policy.peer_certificate)
        if policy.Mode is not ua.MessageSecurityMode.None_ and len(asked.ClientNonce or b"") != NONCE_BYTES:
            raise Refused("a nonce of the wrong length", ua.StatusCodes.BadNonceInvalid)
        asked.RequestedLifetime = ua.UInt32(min(max(asked.RequestedLifetime, CHANNEL_MS[0]), CHANNEL_MS[1]))
        response = ua.OpenSecureChannelResponse(Parameters=self._connection.open(asked, self.iserver))
        self.send_response(request.RequestHeader.RequestHandle, seqhdr, response, ua.MessageType.SecureOpen)

    def send_response(
        self, requesthandle: Any, seqhdr: Any, response: Any, msgtype: Any = ua.MessageType.SecureMessage
    ) -> None:
        """Send, unless the peer does not read what it was sent."""
        super().send_response(requesthandle, seqhdr, response, msgtype)
        if self._transport.get_write_buffer_size() > self._gate.limits.unsent_bytes:
            self._transport.abort()

    async def process_message(self, seqhdr: Any, body: Any) -> bool:
        """Answer one request; False: the connection ends."""
        if not self.opened:
            raise Refused("speaks without a secure channel", ua.StatusCodes.BadSecureChannelIdInvalid)
        body = StrictBuffer(bytes(body))
        type_id = nodeid_from_binary(body)
        header = struct_from_binary(ua.RequestHeader, body)
        number = type_id.Identifier if type_id.NamespaceIndex == 0 else 0
        if number == CALL and self.active:
            self._begin_call(self._answered(type_id, header, seqhdr, body), header, seqhdr)
            return True
        return await self._answered(type_id, header, seqhdr, body)

    def _begin_call(self, call: Coroutine[Any, Any, bool], header: Any, seqhdr: Any) -> None:
        """Answer a call when its letter is on disk, and go on reading meanwhile: a heartbeat does not wait for a database."""
        if len(self._calls) >= self._gate.limits.calls_at_once:
            call.close()
            self._fault(header, seqhdr, ua.StatusCodes.BadTooManyOperations)
            return
        task = asyncio.create_task(self._called(call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _called(self, call: Coroutine[Any, Any, bool]) -> None:
        try:
            await call
        except NotTrusted as error:
            self._gate.refuse(self._sender(), str(error))
            self._transport.abort()

    async def close(self) -> None:
        """As asyncua's, once no call is under way any more."""
        for task in tuple(self._calls):
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await super().close()

    async def _answered(self, type_id: Any, header: Any, seqhdr: Any, body: Any) -> bool:
        """Answer one request, if only by a fault; False: the connection ends."""
        try:
            return bool(await self._process_message(type_id, header, seqhdr, body))
        except NotTrusted:
            raise
        except (ServiceError, ua.uaerrors.UaStatusCodeError) as error:
            code = error.code
        except Exception as error:  # noqa: BLE001, RUF100 - whatever the decoder of a hostile request raises
            self._gate.refuse(self._sender(), f"a request that cannot be read ({type(error).__name__})")
            code = ua.StatusCodes.BadDecodingError
        self._fault(header, seqhdr, code)
        return True

    def _fault(self, header: Any, seqhdr: Any, code: int) -> None:
        fault = ua.ServiceFault()
        fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(code))
        self.send_response(header.RequestHandle, seqhdr, fault)

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> bool:
        """Let asyncua answer what it may."""
        number = typeid.Identifier if typeid.NamespaceIndex == 0 else 0
        if number not in OPENING | SESSION | SERVICES:
            self._gate.refuse(
                self._sender(), f"a service that is not offered ({number})" if isinstance(number, int) else "no service"
            )
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        if number not in OPENING:
            self._must_be_known(number)
        if isinstance(self.session, PlantSession):
            self.session.rights = self.rights
        return bool(await super()._process_message(typeid, requesthdr, seqhdr, body))

    def _must_be_known(self, number: int) -> None:
        """Who has a session is known, each time anew: a certificate may have been taken from the folder."""
        policy = self._connection.security_policy
        self.rights = self._gate.rights(policy.Mode, policy.peer_certificate)
        if self.rights.offtakes is not None and not self.rights.name:
            self._gate.refuse(self._sender(), "a session without a certificate")
            raise ServiceError(ua.StatusCodes.BadSecurityModeInsufficient)
        begins = number == ua.ObjectIds.CreateSessionRequest_Encoding_DefaultBinary
        if begins and (self.session is not None or self._gate.crowded(self.rights.name)):
            raise ServiceError(ua.StatusCodes.BadTooManySessions)

    def publish_request_limit(self, subscription_count: int) -> int:
        """A few more than subscriptions, as the standard wants it."""
        return subscription_count + 4

    def _should_close_session_on_transport_loss(self) -> bool:
        """Always: nobody may go on with a session on another connection, so it would only lie there."""
        return True

    def _sender(self) -> str:
        return self.rights.name or address_of(self.name)


def address_of(name: Any) -> str:
    """The address of a peer, without its port."""
    return str(name[0]) if isinstance(name, tuple) and name else "unknown"


class Peer:
    """One connection, from its first byte to its last."""

    def __init__(self, iserver: PlantServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: Gate) -> None:
        """Nothing is read yet."""
        self._reader, self._writer, self._gate = reader, writer, gate
        self._limits = gate.limits
        self.address = address_of(writer.get_extra_info("peername"))
        self.processor = PlantProcessor(iserver, writer.transport, gate)
        self._allowance = Allowance(self._limits.requests_per_s, self._limits.request_burst, gate.monotonic)
        self._until_s = gate.monotonic.monotonic_s() + self._limits.handshake_s

    async def serve(self) -> None:
        """Until it ends, or is turned away; nothing is raised for the peer's fault."""
        try:
            while await self._message():
                await asyncio.wait_for(self._writer.drain(), self._limits.message_s)
        except TimeoutError:
            self._end("is silent, or does not take what it asked for", ua.StatusCodes.BadTimeout)
        except (asyncio.IncompleteReadError, OSError):
            return
        except (Refused, NotTrusted) as error:
            code = error.code if isinstance(error, Refused) else ua.StatusCodes.BadSecurityChecksFailed
            self._end(str(error), code)
        except Exception as error:  # noqa: BLE001, RUF100 - whatever the decoder of hostile bytes raises
            self._end(f"what it sends cannot be read ({type(error).__name__})", ua.StatusCodes.BadSecurityChecksFailed)
        finally:
            self._writer.close()
            with suppress(Exception):
                await self.processor.close()

    async def _message(self) -> bool:
        """One frame; False: the peer has ended the connection in good order."""
        head = await asyncio.wait_for(self._reader.readexactly(HEADER_BYTES), self._patience_s())
        kind, chunk, size = struct.unpack("<3scI", head)
        most = self._limits.max_bytes if self.processor.active else self._limits.unknown_bytes
        if kind not in KINDS or chunk not in (b"F", b"C", b"A"):
            raise Refused("does not speak OPC UA")
        if not 12 <= size <= most - self.processor.waiting_bytes:
            raise Refused("a message of a wrong size", ua.StatusCodes.BadTcpMessageTooLarge)
        if self.processor.greeted == (kind == ua.MessageType.Hello):
            raise Refused("a greeting is missing, or comes twice")
        body = await asyncio.wait_for(self._reader.readexactly(size - HEADER_BYTES), self._limits.message_s)
        await asyncio.sleep(self._allowance.take(1.0 + size / 4096.0))
        data = StrictBuffer(head + body)
        going = await self.processor.process(header_from_binary(data), data)
        if kind == ua.MessageType.Hello:
            self.processor.greet()
        return bool(going)

    def _patience_s(self) -> float:
        """How long to wait for the next message."""
        if self.processor.active:
            return self._limits.idle_s
        return max(0.001, self._until_s - self._gate.monotonic.monotonic_s())

    def _end(self, why: str, code: int) -> None:
        """Say why, if it can be said, and note it."""
        self._gate.refuse(self.processor.rights.name or self.address, why)
        with suppress(Exception):
            self._writer.write(
                uatcp_to_binary(
                    cast(ua.MessageType, ua.MessageType.Error), ua.ErrorMessage(ua.StatusCode(ua.UInt32(code)), ua.String(why))
                )
            )
