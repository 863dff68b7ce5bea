"""The fields of `link.yaml`, which sets the plant link up; an interface that is left out is off."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from scheduler.config.kinds.base import DurationText, Part, Word, about
from scheduler.domain.link_options import LEAST_PREFIX

LEDGER = "sqlite:///heat-dispatch.db"
# Fields that name a file or a folder.
FILES = frozenset({"certificate", "key", "client_ca", "secret_file", "trusted", "password_file", "ca"})
# A name as it stands in topics, logs and node ids.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
Named = Annotated[str, Field(pattern=NAME, max_length=63)]
Offtake = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]
FilePath = Annotated[str, Field(min_length=1, max_length=1024)]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$", max_length=200)]


def _network(text: str) -> str:
    """An address or a network."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as bad:
        raise ValueError(f"{str(bad)[:120]}; write an address or a network such as 192.0.2.0/28") from None
    if network.prefixlen < LEAST_PREFIX[network.version]:
        raise ValueError(f"{text} lets everybody in, and Modbus knows no credentials; write the plant's own network")
    return text


def _unit(text: str) -> str:
    """A Modbus unit id."""
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 247:
        raise ValueError(f"{text[:20]!r} is no unit id (expected 1 to 247)")
    return text


def _url(text: str) -> str:
    """A URL that a webhook may be sent to."""
    if not re.fullmatch(r"https?://[^\s@]+", text):
        raise ValueError(f"{text[:60]!r} is no http(s) URL without a user name")
    return text


Network = Annotated[str, Field(max_length=64), AfterValidator(_network)]
UnitId = Annotated[str, AfterValidator(_unit)]
Url = Annotated[str, Field(max_length=2048), AfterValidator(_url)]


class Tls(Part):
    """Our certificate; its files are read anew when they change."""

    certificate: FilePath = about("PEM file with our certificate and those between it and its authority.")
    key: FilePath = about("PEM file with the key of the certificate.")
    client_ca: FilePath | None = about("PEM file; whoever connects must show a certificate of it.", default=None)


class Plant(Part):
    """One plant that may speak, and of whom."""

    name: Named = about("Its name, in logs and on every letter of it.")
    secret_file: FilePath = about("File with its token, password or key; read anew when it changes.")
    offtakes: list[Offtake] = about("HeatOfftakes that it may see and speak of.", min_length=1, max_length=256)


class Rest(Part):
    """The REST interface."""

    host: Word = about("Address to listen on.", default="127.0.0.1")
    port: Port = about("Port to listen on.", "count", default=8443)
    tls: Tls | None = about("Our certificate; needed beyond loopback unless `plain`.", default=None)
    plain: bool = about("Plain HTTP beyond loopback: only behind something that does TLS.", default=False)
    credentials: list[Plant] = about("Plants that may ask.", default_factory=list, max_length=256)
    requests_per_s: float = about("Requests of one plant per second, over time.", "1/s", default=5.0, gt=0.0, le=1000.0)
    burst: int = about("Requests of one plant at once.", "count", default=20, ge=1, le=10000)
    max_body_bytes: int = about("Largest body of a request.", "bytes", default=262144, ge=1024, le=10_000_000)


class Webhook(Plant):
    """Schedules and boiler signals, pushed to a URL and signed with the secret."""

    url: Url = about("Where to.")
    timeout: DurationText = about("How long one try may take.", "duration", default="5s")
    give_up: DurationText = about("How long it is tried again.", "duration", default="1h")
    ca: FilePath | None = about("PEM file of the receiver's authority [default: those of the machine].", default=None)


class Modbus(Part):
    """The Modbus TCP server. It knows no credentials."""

    host: Word = about("Address to listen on.", default="127.0.0.1")
    port: Port = about("Port to listen on.", "count", default=502)
    units: dict[UnitId, Offtake] = about("HeatOfftake by unit id.", min_length=1, max_length=247)
    low_word_first: bool = about("For PLCs that swap the words of values of 32 bits.", default=False)
    writable: bool = about("Clients may reduce or withdraw heat; never more.", default=False)
    clients: list[Network] = about(
        "Addresses or networks that may connect.", default_factory=lambda: ["127.0.0.1/32"], max_length=256
    )
    writes_per_min: float = about("Writes of one client per minute.", "1/min", default=60.0, gt=0.0, le=6000.0)


class Opcua(Part):
    """The OPC UA server."""

    host: Word = about("Address to listen on.", default="127.0.0.1")
    port: Port = about("Port to listen on.", "count", default=4840)
    certificate: FilePath | None = about("Our certificate, DER or PEM.", default=None)
    key: FilePath | None = about("Its key, PEM.", default=None)
    trusted: FilePath | None = about("Folder of client certificates.", default=None)
    certificates: dict[Named, list[Offtake]] = about(
        "HeatOfftakes by the name of a trusted certificate's file, without its ending.", default_factory=dict
    )
    insecure_reading: bool = about("Show everything to whoever asks, without certificates.", default=False)


class Mqtt(Part):
    """A broker of the plant's."""

    host: Word = about("The broker.")
    port: Port = about("Its port.", "count", default=8883)
    prefix: Topic = about("Begins all topics.", default="heat-dispatch")
    version: Literal[4, 5] = about("4: MQTT 3.1.1; 5: MQTT 5.", "count", default=5)
    client_id: Word = about("Our client id [default: made from the site].", default="")
    username: Word = about("Our user name.", default="")
    password_file: FilePath | None = about("File with our password.", default=None)
    plain: bool = about("Without TLS.", default=False)
    ca: FilePath | None = about("PEM file of the broker's authority [default: those of the machine].", default=None)
    tls: Tls | None = about("A certificate of our own.", default=None)
    listens: bool = about("Believe what is published; the broker must keep others from these topics.", default=False)
    offtakes: list[Offtake] = about("HeatOfftakes that this broker is told of.", min_length=1, max_length=256)


class Register(Part):
    """Where a Modbus meter keeps one quantity."""

    quantity: Literal["energyKwh", "volumeM3", "heatKw", "flowM3h", "supplyC", "returnC"] = about("What it is.")
    address: int = about("Address of the first register, from 0.", "count", ge=0, le=65535)
    kind: Literal["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"] = about(
        "How it is written.", default="uint32"
    )
    value_per_count: float = about("What one count is, in the unit of the quantity.", "1", default=1.0)
    table: Literal["input", "holding"] = about("Which registers.", default="input")
    low_word_first: bool = about("For meters that swap the words.", default=False)


class Meter(Part):
    """A meter that we read ourselves."""

    meter_point: Named = about("The metering point.")
    offtake: Offtake = about("Whose heat it measures.")
    host: Word = about("The meter, or the gateway in front of it.")
    protocol: Literal["modbus", "mbus"] = about("Modbus TCP, or M-Bus behind a TCP gateway.", default="modbus")
    port: Port = about("Its port.", "count", default=502)
    address: int = about("Modbus unit id, or primary address on the M-Bus.", "count", default=1, ge=0, le=255)
    every: DurationText = about("How often it is read.", "duration", default="1m")
    timeout: DurationText = about("How long one reading may take.", "duration", default="5s")
    registers: list[Register] = about("Where a Modbus meter keeps what.", default_factory=list, max_length=32)


class MeterSender(Part):
    """Who reads a meter for us that we cannot read ourselves."""

    meter_point: Named = about("The metering point.")
    sender: Word = about("Name of the credential whose readings of it are believed for billing.", min_length=1)


class Times(Part):
    """What the link keeps to."""

    beat: DurationText = about("Between two heartbeats.", "duration", default="10s")
    alive: DurationText = about("The operator counts as gone when silent for so long.", "duration", default="40s")
    plant_silent: DurationText = about(
        "The plant counts as gone when its counter stands still for so long; 0s: it has none.", "duration", default="60s"
    )


class Pages(Part):
    """Probes and numbers for Prometheus."""

    host: Word = about("Address to listen on.", default="127.0.0.1")
    port: Annotated[int, Field(ge=0, le=65535)] = about("Port; 0 takes a free one.", "count", default=9464)


class LinkFile(Part):
    """`link.yaml`; an interface that is left out is off. Paths count from the file's folder."""

    site: Word = about("Name of the Site.", min_length=1)
    ledger: Word = about(
        "Database of the operator's ledger: sqlite:///FILE or postgresql://USER@HOST/DATABASE.", default=LEDGER
    )
    pages: Pages = about("Probes and numbers for Prometheus.", default_factory=Pages)
    times: Times = about("What the link keeps to.", default_factory=Times)
    rest: Rest | None = about("The REST interface.", default=None)
    webhooks: list[Webhook] = about("Who is pushed to.", default_factory=list, max_length=64)
    modbus: Modbus | None = about("The Modbus TCP server.", default=None)
    opcua: Opcua | None = about("The OPC UA server.", default=None)
    mqtt: list[Mqtt] = about("Brokers that we connect to.", default_factory=list, max_length=16)
    meters: list[Meter] = about("Meters that we read ourselves.", default_factory=list, max_length=256)
    meter_senders: list[MeterSender] = about(
        "Who else's readings are billed by, as if we had read the meter.", default_factory=list, max_length=256
    )
