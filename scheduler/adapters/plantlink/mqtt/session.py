"""One connection to a broker: how it is made, how much may come over it, and letters acknowledged only once they are kept.

`aiomqtt` acknowledges a message as soon as it is read, and reads messages of any length. `BoundedClient` does neither.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from scheduler.adapters.addresses import is_loopback
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import MqttOptions

try:
    import aiomqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
except ImportError:
    raise Misconfigured(
        "the MQTT library is missing", where="plant link", expected="pip install 'heat-dispatch[mqtt]'"
    ) from None

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

V311, V5 = 4, 5
KEEPALIVE_S = 10
ANSWER_S = 5.0
# How many messages may lie unread; more than the doors of all kinds together let in.
QUEUE = 512
# How many the broker may send (MQTT 5) before we have acknowledged the first.
UNACKNOWLEDGED = 64
# Length of a topic and of MQTT 5 properties, above the payload.
ENVELOPE_BYTES = 4096
# What was said while we were away is kept by the broker so long.
SESSION_S = 3600
MAX_SECRET_BYTES = 4096

QUIET = logging.getLogger("heat_dispatch.quiet.mqtt")
"""The library's own lines; what matters of them becomes `trouble`, what a peer wrote must not fill our log."""
QUIET.setLevel(logging.CRITICAL + 1)

Message: TypeAlias = aiomqtt.Message
MqttError: TypeAlias = aiomqtt.MqttError
Turned = Callable[[str, str], None]
Door = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """What one connection is for.

    client_id: the same for every replica of ours, so that a broker ends the session of one before that of the next begins.
    will_topic: empty for none. keeps: whether the broker keeps what comes for us while we are away. max_payload_bytes: of what
    comes to us. door: says of each message by its topic, before it is kept, why it is not let in; empty: it is. So a flood of
    one kind leaves room for the others. turned: told of each message that was not read, its topic and why.
    """

    client_id: str
    will_topic: str = ""
    will: bytes = b""
    keeps: bool = False
    max_payload_bytes: int
    door: Door
    turned: Turned


class TooLarge(MqttError):
    """The connection has ended because the broker began to send a message that is far too long."""


class BoundedClient(aiomqtt.Client):
    """A client of a broker that reads little at once, and acknowledges when told."""

    def __init__(self, plan: SessionPlan, **settings: Any) -> None:
        """As `aiomqtt.Client`."""
        super().__init__(max_queued_incoming_messages=QUEUE, logger=QUIET, **settings)
        self._plan = plan
        self.too_large, self.denied = False, ""
        self.resumed = False
        self._home, self._over = threading.get_ident(), False
        self._client.manual_ack_set(True)
        read, most = self._client._sock_recv, plan.max_payload_bytes + ENVELOPE_BYTES

        def bounded(bufsize: int) -> bytes:
            """Read, unless a packet was announced that is too long; the length of a packet comes before it."""
            if bufsize > most:
                self.too_large = True
                raise ConnectionError("too large")
            return read(bufsize)

        self._opened: list[ssl.SSLSocket] = []
        self._client._sock_recv = bounded  # type: ignore[method-assign]  # there is no setting for it

    def _on_message(self, client: Any, userdata: Any, message: MQTTMessage) -> None:
        """Queue what has room; the rest is acknowledged and forgotten, or it would come again and again."""
        del client, userdata
        why = ""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic, why = "", "a topic that is not UTF-8"
        if len(message.payload) > self._plan.max_payload_bytes:
            why = f"longer than {self._plan.max_payload_bytes} bytes"
        elif not why:
            why = "too many at once" if self._queue.full() else self._plan.door(topic)
        if why:
            self._plan.turned(topic, why)
            self._client.ack(message.mid, message.qos)
        else:
            self._queue.put_nowait(aiomqtt.Message._from_paho_message(message))

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        """Do not wait for an answer of a broker that has hung up."""
        if self._connected.cancelled():  # nobody waits for it any more, and the library would ask it why it failed
            return
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        if not self._connected.done():
            self._connected.set_exception(MqttError("the broker hung up instead of an answer"))
        self._look_at_ends()

    def _client_connect(self) -> None:
        """As the library, in a thread of its own: who hung up meanwhile wants no connection any more."""
        super()._client_connect()
        if self._over:
            self._client._sock_close()

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:
        """As the library, but nothing is watched for who has hung up."""
        if not self._over:
            super()._on_socket_open(client, userdata, sock)

    def _on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:
        """As the library, but in the loop's thread."""
        self._in_loop(partial(super()._on_socket_close, client, userdata, sock))

    def _on_socket_unregister_write(self, client: Any, userdata: Any, sock: Any) -> None:
        """As the library, but in the loop's thread: it connects in another, and would take the loop what it just runs."""
        self._in_loop(partial(super()._on_socket_unregister_write, client, userdata, sock))

    def _in_loop(self, do: Callable[[], None]) -> None:
        """Do something in the thread of the loop, and go on when it is done: the socket may be closed next."""
        if threading.get_ident() == self._home:
            do()
            return
        done = threading.Event()

        def and_tell() -> None:
            try:
                do()
            finally:
                done.set()

        try:
            self._loop.call_soon_threadsafe(and_tell)
        except RuntimeError:  # the loop has ended meanwhile, and with it whatever it watched
            return
        done.wait(ANSWER_S)

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        """Note whether the broker has kept our session: what comes next may have lain there."""
        self.resumed = bool(flags.session_present)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        """Note that a broker of MQTT 5 does not let us publish; one of 3.1.1 does not say so."""
        if getattr(reason_code, "is_failure", False):
            self.denied = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def remember(self, trust: ssl.SSLContext) -> None:
        """Close what is opened with this context when we hang up: paho leaves a failed handshake lying open."""
        wrap = trust.wrap_socket

        def wrapped(*given: Any, **settings: Any) -> ssl.SSLSocket:
            self._opened.append(wrap(*given, **settings))
            return self._opened[-1]

        trust.wrap_socket = wrapped  # type: ignore[method-assign]  # one context per connection

    def done_with(self, message: Message) -> None:
        """Acknowledge a message: the broker need not send it again."""
        self._client.ack(message.mid, message.qos)

    def stands(self) -> bool:
        """Whether there is a connection; aiomqtt does not see one that ends in the moment in which it begins."""
        return self._client.is_connected()

    async def lost(self) -> None:
        """Wait until the connection is lost.

        Raises:
            MqttError: it is.
        """
        await asyncio.wait([self._disconnected])
        raise MqttError("the connection was lost")

    async def hang_up(self) -> None:
        """Close without a word, whatever the state: the broker then publishes our will. Nothing may be left behind."""
        self._over = True
        self._client._sock_close()
        for opened in self._opened:
            opened.close()
        self._look_at_ends()
        # The library's own task is begun, and cancelled, by callbacks that may not have run yet.
        await asyncio.sleep(0)
        if self._misc_task is not None:
            self._misc_task.cancel()
            await asyncio.gather(self._misc_task, return_exceptions=True)

    def _look_at_ends(self) -> None:
        """Whoever never asks why a connection has ended gets no line about it into his log."""
        for ended in (self._connected, self._disconnected):
            if ended.done() and not ended.cancelled():
                ended.exception()


@asynccontextmanager
async def connected(options: MqttOptions, plan: SessionPlan) -> AsyncIterator[BoundedClient]:
    """A connection, which ends by hanging up: the broker says for us that we are gone.

    Raises:
        MqttError: there is none, or it broke; `TooLarge`: at a message that is too long.
        Misconfigured: a file that cannot be used.
    """
    trust = trust_of(options)
    client = client_of(options, plan, trust)
    if trust is not None:
        client.remember(trust)
    try:
        await client.__aenter__()
        if not client.stands():
            raise MqttError("the connection was lost at once")
        yield client
    except MqttError:
        if client.too_large:
            raise TooLarge("the broker sent a message that was far too long") from None
        raise
    finally:
        await client.hang_up()


def checked(options: MqttOptions) -> None:
    """Refuse options that cannot work, or that would give away a secret.

    Raises:
        Misconfigured: with what to change.
    """
    where = f"mqtt {options.host}:{options.port}"
    if options.version not in (V311, V5):
        raise Misconfigured(f"version {options.version}", where=where, expected="4 (MQTT 3.1.1) or 5")
    if not 0 < options.port < 1 << 16:
        raise Misconfigured(f"port {options.port}", where=where, expected="1 to 65535")
    if not options.host or not options.offtakes:
        raise Misconfigured("nobody to tell", where=where, expected="a host and at least one offtake")
    if len(set(options.offtakes)) != len(options.offtakes):
        raise Misconfigured("an offtake stands twice", where=where, expected="each once")
    if options.plain and (options.ca or options.tls is not None):
        raise Misconfigured("plain, and yet certificates", where=where, expected="one of the two")
    if options.plain and options.password_file and not is_loopback(options.host):
        raise Misconfigured(
            "a password over an open wire", where=where, expected="TLS: leave `plain` out, name the broker's `ca`"
        )
    if options.password_file and not options.username:
        raise Misconfigured("a password without a user name", where=where, expected="username")
    trust_of(options)
    password_of(options)


def trusted(options: MqttOptions) -> bool:
    """Whether what comes from the broker is what the broker sent: over verified TLS, or on this machine."""
    return not options.plain or is_loopback(options.host)


def trust_of(options: MqttOptions) -> ssl.SSLContext | None:
    """TLS as the files say now; None for a plain connection.

    Raises:
        Misconfigured: a file that cannot be used.
    """
    if options.plain:
        return None
    try:
        context = ssl.create_default_context(cafile=options.ca or None)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"{options.ca}: {_why(error)}", where="mqtt ca", expected="a PEM file of the authority") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.tls is not None:
        try:
            context.load_cert_chain(options.tls.certificate, options.tls.key, password=_no_passphrase)
        except (OSError, ssl.SSLError, ValueError) as error:
            files = f"{options.tls.certificate}, {options.tls.key}"
            expected = "PEM files of a certificate and its key, without a passphrase"
            raise Misconfigured(f"{files}: {_why(error)}", where="mqtt tls", expected=expected) from None
    return context


def password_of(options: MqttOptions) -> str | None:
    """Our password at the broker, as the file says now; None when there is none.

    Raises:
        Misconfigured: the file cannot be read, or is empty.
    """
    if not options.password_file:
        return None
    try:
        with Path(options.password_file).open("rb") as file:
            found = file.read(MAX_SECRET_BYTES + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{options.password_file}: {_why(error)}", where="mqtt password", expected="a text file") from None
    if not found or len(found) > MAX_SECRET_BYTES:
        raise Misconfigured(f"{options.password_file}: empty or too long", where="mqtt password", expected="a password")
    return found


def client_of(options: MqttOptions, plan: SessionPlan, trust: ssl.SSLContext | None) -> BoundedClient:
    """A client that is not connected yet; the password is read now.

    Raises:
        Misconfigured: a file that cannot be used.
    """
    will = aiomqtt.Will(plan.will_topic, plan.will, qos=1, retain=True) if plan.will_topic else None
    if options.version == V5:
        kind: dict[str, Any] = {
            "protocol": aiomqtt.ProtocolVersion.V5, "clean_start": not plan.keeps, "properties": _greeting(plan)
        }  # fmt: skip
    else:
        kind = {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": not plan.keeps}
    return BoundedClient(
        plan,
        hostname=options.host,
        port=options.port,
        username=options.username or None,
        password=password_of(options),
        identifier=plan.client_id,
        will=will,
        timeout=ANSWER_S,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        keepalive=KEEPALIVE_S,
        tls_context=trust,
        **kind,
    )


def said_properties(*, expires_s: int | None = None, schema_version: str = "", correlation: bytes = b"") -> Properties:
    """MQTT 5: JSON, until when it is worth anything, its schema's version, and whom it answers."""
    found = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho states no types for it
    found.PayloadFormatIndicator = 1
    found.ContentType = "application/json"
    if expires_s is not None:
        found.MessageExpiryInterval = expires_s
    if schema_version:
        found.UserProperty = [("schemaVersion", schema_version)]
    if correlation:
        found.CorrelationData = correlation
    return found


def _greeting(plan: SessionPlan) -> Properties:
    """What we ask of a broker of MQTT 5: how long it keeps our session, how much at once, how long a packet may be."""
    found = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho states no types for it
    found.ReceiveMaximum = UNACKNOWLEDGED
    found.MaximumPacketSize = plan.max_payload_bytes + ENVELOPE_BYTES
    if plan.keeps:
        found.SessionExpiryInterval = SESSION_S
    return found


def _no_passphrase() -> str:
    """Nobody is there to type one."""
    return ""


def _why(error: Exception) -> str:
    """An error in words, without what a file holds."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
