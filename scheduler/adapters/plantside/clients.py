"""The plant's client of each protocol, loaded when it is asked for: with one of the extras, none of the others is needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from scheduler.adapters.plantside.options import PlantsideOptions
from scheduler.adapters.plantside.rest import RestPlantClient
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import MqttOptions, TlsFiles
from scheduler.domain.plantlink import LinkProtocol
from scheduler.ports import PlantClient

USUAL_PORTS = {LinkProtocol.MODBUS: 502, LinkProtocol.OPCUA: 4840, LinkProtocol.MQTT: 8883}
PLAIN_MQTT_PORT = 1883


def plant_client(options: PlantsideOptions) -> PlantClient:
    """The client for a protocol.

    Raises:
        Misconfigured: the address or a secret is wrong, the extra is not installed, or a plant cannot read this protocol.
    """
    make: dict[LinkProtocol, Callable[[PlantsideOptions], PlantClient]] = {
        LinkProtocol.REST: RestPlantClient,
        LinkProtocol.MODBUS: _modbus,
        LinkProtocol.OPCUA: _opcua,
        LinkProtocol.MQTT: _mqtt,
    }
    found = make.get(options.protocol)
    if found is None:
        raise Misconfigured(f"{options.protocol}: only carries from us", where="--protocol", expected=", ".join(make))
    return found(options)


def loaded(module: str, extra: str) -> Any:
    """A module that needs an extra.

    Raises:
        Misconfigured: saying how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.startswith("scheduler"):
            raise
        raise Misconfigured(
            f"{error.name} is not installed", where=f"--protocol {extra}", expected=f"pip install heat-dispatch[{extra}]"
        ) from None


def host_port(address: str, protocol: LinkProtocol) -> tuple[str, int]:
    """Host and port of `host:port`, `host` or a URL.

    Raises:
        Misconfigured: it is none of these.
    """
    usual = USUAL_PORTS[protocol]
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise Misconfigured(f"{address!r} is no address", where="address", expected=f"host:port, as 192.0.2.7:{usual}")
    return host, port or (PLAIN_MQTT_PORT if address.startswith("mqtt://") else usual)


def _modbus(options: PlantsideOptions) -> PlantClient:
    module = loaded("scheduler.adapters.plantlink.modbus.client", "modbus")
    host, port = host_port(options.address, LinkProtocol.MODBUS)
    client: PlantClient = module.ModbusPlantClient(host, port, options.unit, options.timeout_s)
    return client


def _opcua(options: PlantsideOptions) -> PlantClient:
    module = loaded("scheduler.adapters.plantlink.opcua.client", "opcua")
    client: PlantClient = module.OpcuaPlantClient(
        options.address,
        options.offtake_id,
        certificate=options.certificate,
        key=options.key,
        server_certificate=options.server_certificate,
        timeout_s=options.timeout_s,
    )
    return client


def _mqtt(options: PlantsideOptions) -> PlantClient:
    module = loaded("scheduler.adapters.plantlink.mqtt.plant", "mqtt")
    host, port = host_port(options.address, LinkProtocol.MQTT)
    if not options.site_id:
        raise Misconfigured("is missing", where="site", expected="the site's name, which stands in the topics")
    own = TlsFiles(certificate=options.certificate, key=options.key) if options.certificate else None
    broker = MqttOptions(
        host=host,
        port=port,
        prefix=options.prefix,
        version=options.mqtt_version,
        username=options.username,
        password_file=options.secret_file,
        plain=options.address.startswith("mqtt://"),
        ca=options.ca,
        tls=own,
        offtakes=(options.offtake_id,),
    )
    client: PlantClient = module.MqttPlantClient(broker, options.site_id, options.offtake_id)
    return client
