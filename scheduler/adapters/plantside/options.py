"""How a plant's side reaches the link."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.domain.plantlink import LinkProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantsideOptions:
    """One offtake over one protocol.

    address: https://host:8443, host:502, opc.tcp://host:4840, or mqtts://broker:8883. secret_file: token (REST) or password
    (MQTT). ca: PEM of the authority that the other side's certificate must come from. certificate, key: our own.
    server_certificate: of the OPC UA server. unit: Modbus unit id. prefix: of MQTT's topics. mqtt_version: 4
    (MQTT 3.1.1) or 5.
    """

    protocol: LinkProtocol
    address: str
    offtake_id: str
    site_id: str = ""
    username: str = ""
    secret_file: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    server_certificate: str = ""
    unit: int = 1
    prefix: str = "heat-dispatch"
    mqtt_version: int = 5
    timeout_s: float = 5.0
