"""How the plant link is set up: where each interface listens or connects, and who may speak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# By IP version: a network with fewer fixed bits is no list of clients, it is everybody.
LEAST_PREFIX = {4: 8, 6: 32}


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Our certificate and key, PEM, read anew when they change; client_ca: whoever connects must show a certificate of it."""

    certificate: str
    key: str
    client_ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One plant: its name, the file with its secret (token or password), and the offtakes it may see and speak of."""

    name: str
    secret_file: str
    offtakes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """The REST interface. Beyond loopback only with TLS, or behind something that does it (`plain`)."""

    host: str = "127.0.0.1"
    port: int = 8443
    tls: TlsFiles | None = None
    plain: bool = False
    credentials: tuple[Credential, ...] = ()
    requests_per_s: float = 5.0
    burst: int = 20
    max_body_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """Schedules and boiler signals pushed to a URL, signed with the secret; ca: PEM of the receiver's authority."""

    credential: Credential
    url: str
    timeout_s: float = 5.0
    give_up_s: float = 3600.0
    ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusOptions:
    """The Modbus TCP server. It knows no credentials: `writable` lets clients reduce or withdraw heat, nothing else.

    units: offtake by unit id. low_word_first: for PLCs that swap the words of 32 bit values. clients: addresses or networks
    that may connect, such as 192.0.2.0/28; nobody else.
    """

    host: str = "127.0.0.1"
    port: int = 502
    units: Mapping[int, str] = field(default_factory=dict)
    low_word_first: bool = False
    writable: bool = False
    clients: tuple[str, ...] = ("127.0.0.1/32",)
    writes_per_min: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcuaOptions:
    """The OPC UA server: SignAndEncrypt with certificates; `insecure_reading` also shows everything to whoever asks.

    trusted: folder of client certificates (DER or PEM), whose file names are the names of `certificates`.
    """

    host: str = "127.0.0.1"
    port: int = 4840
    certificate: str = ""
    key: str = ""
    trusted: str = ""
    certificates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    insecure_reading: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttOptions:
    """A broker of the plant's, which we connect to.

    prefix: of all topics. version: 4 (MQTT 3.1.1) or 5. username, password_file: ours at the broker. ca: PEM of the broker's
    authority; tls: with a certificate of our own. listens: whether what is published there is believed; the broker must then
    keep others from these topics. offtakes: of whom this broker is told.
    """

    host: str = "127.0.0.1"
    port: int = 8883
    prefix: str = "heat-dispatch"
    version: int = 5
    client_id: str = ""
    username: str = ""
    password_file: str = ""
    plain: bool = False
    ca: str = ""
    tls: TlsFiles | None = None
    listens: bool = False
    offtakes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRegister:
    """Where a Modbus meter keeps one quantity: `quantity` is a field of `MeterReading`, value = raw * value_per_count.

    kind: uint16, int16, uint32, int32, uint64, int64, float32 or float64. table: input or holding. low_word_first: for
    meters that swap the words.
    """

    quantity: str
    address: int
    kind: str = "uint32"
    value_per_count: float = 1.0
    table: str = "input"
    low_word_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterOptions:
    """A heat or electricity meter that we read ourselves; what it says is handed in as a letter of its offtake.

    protocol: modbus (Modbus TCP, `registers` say where) or mbus (M-Bus behind a TCP gateway). address: Modbus unit id, or M-Bus
    primary address 0 to 250.
    """

    meter_point_id: str
    offtake_id: str
    host: str
    protocol: str = "modbus"
    port: int = 502
    address: int = 1
    every_s: float = 60.0
    timeout_s: float = 5.0
    registers: tuple[MeterRegister, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimes:
    """What the link keeps to, in s.

    beat_s: between two heartbeats. alive_s: the operator counts as gone when it was not heard for so long. plant_silent_s: the
    plant counts as gone when its counter stood still for so long; 0: it has none.
    """

    beat_s: float = 10.0
    alive_s: float = 40.0
    plant_silent_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """All of it; an interface that is None is off.

    meter_senders: (metering point, name of a credential) whose readings count as if we had read the meter ourselves.
    """

    site_id: str
    rest: RestOptions | None = None
    webhooks: tuple[WebhookOptions, ...] = ()
    modbus: ModbusOptions | None = None
    opcua: OpcuaOptions | None = None
    mqtt: tuple[MqttOptions, ...] = ()
    meters: tuple[MeterOptions, ...] = ()
    meter_senders: frozenset[tuple[str, str]] = frozenset()
    times: LinkTimes = field(default_factory=LinkTimes)
