"""`link.yaml`: how the plant link is set up, checked with file and line, and turned into `LinkOptions`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scheduler.config.findings import Finding, error, refuse
from scheduler.config.kinds.base import seconds
from scheduler.config.lines import Document, read_documents, words
from scheduler.config.link_file import FILES, LinkFile, Meter, Modbus, Mqtt, Opcua, Plant, Rest, Tls, Webhook
from scheduler.config.load import part_of, parts_of
from scheduler.config.table import read_text
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import (
    Credential,
    LinkOptions,
    LinkTimes,
    MeterOptions,
    MeterRegister,
    ModbusOptions,
    MqttOptions,
    OpcuaOptions,
    RestOptions,
    TlsFiles,
    WebhookOptions,
)

MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSetup:
    """All that a plant-link process is set up with."""

    options: LinkOptions
    ledger: str
    host: str
    port: int


def load_link(path: Path) -> LinkSetup:
    """Read and check `link.yaml`.

    Raises:
        Misconfigured: names the file and line of everything that is wrong.
    """
    document = _document(path)
    file, findings = part_of(document, LinkFile)
    if file is not None:
        findings += _contradictions(document, file)
        findings += _missing_files(document, file, path.parent)
    refuse(findings)
    assert file is not None, "without findings there is a file"
    return setup_of(file, path.parent)


def _document(path: Path) -> Document:
    """The one document of the file."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Misconfigured("the file is too large", where=path.name, expected=f"at most {MAX_FILE_BYTES} bytes")
        text = read_text(path)
    except OSError as bad:
        raise Misconfigured(f"cannot be read: {bad.strerror}", where=str(path), expected="a link.yaml") from None
    documents, findings = read_documents(text, path.name)
    refuse(findings)
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise Misconfigured(f"{len(documents)} documents", where=path.name, expected="one mapping of the fields of link.yaml")
    return documents[0]


def _contradictions(document: Document, file: LinkFile) -> list[Finding]:
    """What no single field shows."""
    found = [
        error(document.where(path), words(path), f"{name!r} is there twice", "each name once") for path, name in _twice(file)
    ]
    beat_s, alive_s = seconds(file.times.beat), seconds(file.times.alive)
    if not 1.0 <= beat_s <= 60.0:
        found.append(error(document.where(("times", "beat")), "times.beat", f"{beat_s:g} s", "1s to 60s"))
    if not 10.0 <= alive_s <= 300.0:
        found.append(error(document.where(("times", "alive")), "times.alive", f"{alive_s:g} s", "10s to 5m"))
    if file.modbus is not None and file.modbus.writable and len(set(file.modbus.units.values())) > 1:
        # Modbus has one list of clients for all units, and no credentials: each client could lower the heat of all.
        where, why = ("modbus", "writable"), "every client could reduce the heat of every unit's offtake"
        found.append(error(document.where(where), words(where), why, "false, or units of one offtake alone"))
    if not any((file.rest, file.webhooks, file.modbus, file.opcua, file.mqtt)):
        found.append(error(document.where(), "", "no interface is set up", "rest, webhooks, modbus, opcua or mqtt"))
    return found


def _twice(file: LinkFile) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Names that are given twice, and offtakes of two Modbus units."""
    plants = (
        [] if file.rest is None else [(("rest", "credentials", i), one.name) for i, one in enumerate(file.rest.credentials)]
    )
    units = [] if file.modbus is None else [(("modbus", "units", key), one) for key, one in file.modbus.units.items()]
    for rows in (plants, units, [(("webhooks", i), one.name) for i, one in enumerate(file.webhooks)]):
        seen = set[str]()
        for path, name in rows:
            if name in seen:
                yield path, name
            seen.add(name)


def _missing_files(document: Document, file: LinkFile, folder: Path) -> list[Finding]:
    """Files that are named and not there."""
    found = []
    for path, part in parts_of(file):
        for name, info in type(part).model_fields.items():
            value = getattr(part, name)
            if name in FILES and isinstance(value, str) and value and not (folder / value).exists():
                here = (*path, str(info.alias))
                found.append(error(document.where(here), words(here), f"{value}: no such file", "a file that we may read"))
    return found


# To the domain.


def setup_of(file: LinkFile, folder: Path) -> LinkSetup:
    """The options of a checked file."""

    def at(name: str | None) -> str:
        return "" if not name else str(folder / name)

    times = file.times
    options = LinkOptions(
        site_id=file.site,
        rest=None if file.rest is None else _rest(file.rest, at),
        webhooks=tuple(_webhook(one, at) for one in file.webhooks),
        modbus=None if file.modbus is None else _modbus(file.modbus),
        opcua=None if file.opcua is None else _opcua(file.opcua, at),
        mqtt=tuple(_mqtt(one, at) for one in file.mqtt),
        meters=tuple(_meter(one) for one in file.meters),
        meter_senders=frozenset((one.meter_point, one.sender) for one in file.meter_senders),
        times=LinkTimes(beat_s=seconds(times.beat), alive_s=seconds(times.alive), plant_silent_s=seconds(times.plant_silent)),
    )
    return LinkSetup(options=options, ledger=file.ledger, host=file.pages.host, port=file.pages.port)


At = Callable[[str | None], str]


def _tls(part: Tls | None, at: At) -> TlsFiles | None:
    if part is None:
        return None
    return TlsFiles(certificate=at(part.certificate), key=at(part.key), client_ca=at(part.client_ca))


def _credential(part: Plant, at: At) -> Credential:
    return Credential(name=part.name, secret_file=at(part.secret_file), offtakes=tuple(part.offtakes))


def _rest(part: Rest, at: At) -> RestOptions:
    return RestOptions(
        host=part.host,
        port=part.port,
        tls=_tls(part.tls, at),
        plain=part.plain,
        credentials=tuple(_credential(one, at) for one in part.credentials),
        requests_per_s=part.requests_per_s,
        burst=part.burst,
        max_body_bytes=part.max_body_bytes,
    )


def _webhook(part: Webhook, at: At) -> WebhookOptions:
    return WebhookOptions(
        credential=_credential(part, at),
        url=part.url,
        timeout_s=seconds(part.timeout),
        give_up_s=seconds(part.give_up),
        ca=at(part.ca),
    )


def _modbus(part: Modbus) -> ModbusOptions:
    return ModbusOptions(
        host=part.host,
        port=part.port,
        units={int(key): name for key, name in part.units.items()},
        low_word_first=part.low_word_first,
        writable=part.writable,
        clients=tuple(part.clients),
        writes_per_min=part.writes_per_min,
    )


def _opcua(part: Opcua, at: At) -> OpcuaOptions:
    return OpcuaOptions(
        host=part.host,
        port=part.port,
        certificate=at(part.certificate),
        key=at(part.key),
        trusted=at(part.trusted),
        certificates={name: tuple(offtakes) for name, offtakes in part.certificates.items()},
        insecure_reading=part.insecure_reading,
    )


def _mqtt(part: Mqtt, at: At) -> MqttOptions:
    return MqttOptions(
        host=part.host,
        port=part.port,
        prefix=part.prefix,
        version=part.version,
        client_id=part.client_id,
        username=part.username,
        password_file=at(part.password_file),
        plain=part.plain,
        ca=at(part.ca),
        tls=_tls(part.tls, at),
        listens=part.listens,
        offtakes=tuple(part.offtakes),
    )


QUANTITIES = {
    "energyKwh": "energy_kwh",
    "volumeM3": "volume_m3",
    "heatKw": "heat_kw",
    "flowM3h": "flow_m3_per_h",
    "supplyC": "supply_c",
    "returnC": "return_c",
}


def _meter(part: Meter) -> MeterOptions:
    return MeterOptions(
        meter_point_id=part.meter_point,
        offtake_id=part.offtake,
        host=part.host,
        protocol=part.protocol,
        port=part.port,
        address=part.address,
        every_s=seconds(part.every),
        timeout_s=seconds(part.timeout),
        registers=tuple(
            MeterRegister(
                quantity=QUANTITIES[one.quantity],
                address=one.address,
                kind=one.kind,
                value_per_count=one.value_per_count,
                table=one.table,
                low_word_first=one.low_word_first,
            )
            for one in part.registers
        ),
    )
