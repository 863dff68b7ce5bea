"""The link's end of each protocol on this machine alone, for `--demo`: one interface on a desk in memory."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from scheduler.adapters.plantside.clients import PLAIN_MQTT_PORT, host_port, loaded
from scheduler.adapters.plantside.options import PlantsideOptions
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import Credential, ModbusOptions, MqttOptions, OpcuaOptions, RestOptions
from scheduler.domain.plantlink import LinkProtocol
from scheduler.ports import Clock, PlantDesk, PlantInterface

LOOPBACK = "127.0.0.1"
DEMO_PORTS = {LinkProtocol.REST: 18443, LinkProtocol.MODBUS: 15020, LinkProtocol.OPCUA: 14840}
PLENTY_PER_S, PLENTY_BURST = 1e4, 100_000
PLENTY_WRITES_PER_MIN = 1e6
PLANT, LINK = "demo-plant", "demo-link"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoLink:
    """An interface and how its plant reaches it."""

    interface: PlantInterface
    options: PlantsideOptions


def demo_link(wanted: PlantsideOptions, desk: PlantDesk, clock: Clock, folder: Path) -> DemoLink:
    """An interface of the wanted protocol on this machine.

    Args:
        wanted: protocol, offtake and site; the address too, where another than the usual one of a demonstration is wanted.
        desk: what it shows.
        clock: of letters.
        folder: private; secrets that are made up are put there.

    Raises:
        Misconfigured: the extra is missing, or MQTT has no broker.
    """
    make = {
        LinkProtocol.REST: _rest,
        LinkProtocol.MODBUS: _modbus,
        LinkProtocol.OPCUA: _opcua,
        LinkProtocol.MQTT: _mqtt,
    }.get(wanted.protocol)
    if make is None:
        raise Misconfigured(
            f"{wanted.protocol}: only carries from us", where="--protocol", expected="rest, modbus, opcua or mqtt"
        )
    return make(wanted, desk, clock, folder)


def _port(wanted: PlantsideOptions) -> int:
    """Of the address, or the usual one of a demonstration."""
    if not wanted.address:
        return DEMO_PORTS[wanted.protocol]
    address = wanted.address.partition("://")[2] or wanted.address
    host, port = host_port(address, LinkProtocol.MODBUS)
    if host not in {LOOPBACK, "localhost"}:
        raise Misconfigured(f"{host}: a demonstration stays on this machine", where="--address", expected=f"{LOOPBACK}:port")
    return port


def _rest(wanted: PlantsideOptions, desk: PlantDesk, clock: Clock, folder: Path) -> DemoLink:
    module = loaded("scheduler.adapters.plantlink.rest.server", "rest")
    token, port = folder / "token", _port(wanted)
    token.touch(mode=0o600)
    token.write_text(secrets.token_urlsafe(32), encoding="ascii")
    options = RestOptions(
        host=LOOPBACK,
        port=port,
        credentials=(Credential(name=PLANT, secret_file=str(token), offtakes=(wanted.offtake_id,)),),
        requests_per_s=PLENTY_PER_S,
        burst=PLENTY_BURST,
    )
    plant = PlantsideOptions(
        protocol=LinkProtocol.REST,
        address=f"http://{LOOPBACK}:{port}",
        offtake_id=wanted.offtake_id,
        site_id=wanted.site_id,
        secret_file=str(token),
    )
    return DemoLink(interface=module.RestInterface(options, desk, clock), options=plant)


def _modbus(wanted: PlantsideOptions, desk: PlantDesk, clock: Clock, folder: Path) -> DemoLink:
    module = loaded("scheduler.adapters.plantlink.modbus.server", "modbus")
    port = _port(wanted)
    options = ModbusOptions(
        host=LOOPBACK,
        port=port,
        units={wanted.unit: wanted.offtake_id},
        writable=True,
        writes_per_min=PLENTY_WRITES_PER_MIN,
    )
    plant = PlantsideOptions(
        protocol=LinkProtocol.MODBUS,
        address=f"{LOOPBACK}:{port}",
        offtake_id=wanted.offtake_id,
        unit=wanted.unit,
    )
    return DemoLink(interface=module.ModbusInterface(options, desk, clock), options=plant)


def _opcua(wanted: PlantsideOptions, desk: PlantDesk, clock: Clock, folder: Path) -> DemoLink:
    module = loaded("scheduler.adapters.plantlink.opcua.server", "opcua")
    making = loaded("scheduler.adapters.plantlink.opcua.self_signed", "opcua")
    plenty = loaded("scheduler.adapters.plantlink.opcua.limits", "opcua").Limits(
        requests_per_s=PLENTY_PER_S, request_burst=PLENTY_BURST
    )
    port, trusted = _port(wanted), folder / "trusted"
    trusted.mkdir(exist_ok=True)
    ours, theirs = (making.self_signed(folder, name, clock.now_utc()) for name in (LINK, PLANT))
    (trusted / f"{PLANT}.der").write_bytes(theirs.certificate.read_bytes())
    options = OpcuaOptions(
        host=LOOPBACK,
        port=port,
        certificate=str(ours.certificate),
        key=str(ours.key),
        trusted=str(trusted),
        certificates={PLANT: (wanted.offtake_id,)},
    )
    plant = PlantsideOptions(
        protocol=LinkProtocol.OPCUA,
        address=f"opc.tcp://{LOOPBACK}:{port}",
        offtake_id=wanted.offtake_id,
        certificate=str(theirs.certificate),
        key=str(theirs.key),
        server_certificate=str(ours.certificate),
    )
    return DemoLink(interface=module.OpcuaInterface(options, desk, clock, limits=plenty), options=plant)


def _mqtt(wanted: PlantsideOptions, desk: PlantDesk, clock: Clock, folder: Path) -> DemoLink:
    module = loaded("scheduler.adapters.plantlink.mqtt.client", "mqtt")
    if not wanted.address:
        raise Misconfigured(
            "MQTT needs a broker", where="--address", expected=f"mqtt://{LOOPBACK}:{PLAIN_MQTT_PORT}, with a broker there"
        )
    host, port = host_port(wanted.address, LinkProtocol.MQTT)
    options = MqttOptions(
        host=host,
        port=port,
        prefix=wanted.prefix,
        version=wanted.mqtt_version,
        username=wanted.username,
        password_file=wanted.secret_file,
        plain=wanted.address.startswith("mqtt://"),
        ca=wanted.ca,
        listens=True,
        offtakes=(wanted.offtake_id,),
    )
    return DemoLink(interface=module.MqttInterface(options, desk, clock), options=wanted)
