"""A letter's body as the JSON that REST and MQTT carry: the other way round of `letters.body_of`."""

from __future__ import annotations

from scheduler.core.publishing.message import stamp
from scheduler.domain.plantlink import (
    Acknowledgement,
    DemandForecast,
    HeatRequest,
    LetterBody,
    MaintenanceNotice,
    ManualOverride,
    MeterReading,
    NetworkState,
    PlantHeartbeat,
    TankState,
)

KIND_OF: dict[type[LetterBody], str] = {
    DemandForecast: "demand",
    HeatRequest: "request",
    NetworkState: "network",
    TankState: "tank",
    Acknowledgement: "acknowledgement",
    MaintenanceNotice: "maintenance",
    ManualOverride: "override",
    PlantHeartbeat: "heartbeat",
    MeterReading: "meter",
}


def kind_of(body: LetterBody) -> str:
    """The kind under which a body is known on the wire."""
    return KIND_OF[type(body)]


def payload_of(body: LetterBody) -> dict[str, object]:
    """JSON of a body: read by `body_of`, it is the body again, with whole seconds."""
    if isinstance(body, NetworkState | TankState | MeterReading):
        return _said(_measured(body))
    return _said(_stated(body))


def _measured(body: NetworkState | TankState | MeterReading) -> dict[str, object]:
    """What was measured at an instant."""
    if isinstance(body, TankState):
        return {"at": stamp(body.at_utc), "levelKwh": body.level_kwh}
    if isinstance(body, NetworkState):
        return {
            "at": stamp(body.at_utc),
            "supplyC": body.supply_c,
            "returnC": body.return_c,
            "wantedSupplyC": body.wanted_supply_c,
            "flowM3h": body.flow_m3_per_h,
            "heatKw": body.heat_kw,
        }
    return {
        "meterPointId": body.meter_point_id,
        "at": stamp(body.at_utc),
        "energyKwh": body.energy_kwh,
        "volumeM3": body.volume_m3,
        "heatKw": body.heat_kw,
        "flowM3h": body.flow_m3_per_h,
        "supplyC": body.supply_c,
        "returnC": body.return_c,
        "meterId": body.meter_id,
        "error": body.error,
    }


def _stated(
    body: DemandForecast | HeatRequest | Acknowledgement | MaintenanceNotice | ManualOverride | PlantHeartbeat,
) -> dict[str, object]:
    """What somebody at the plant, or a program of it, says."""
    match body:
        case DemandForecast():
            issued = None if body.issued_utc is None else stamp(body.issued_utc)
            return {
                "start": stamp(body.start_utc),
                "stepSeconds": body.step_s,
                "heatKw": list(body.heat_kw),
                "issuedAt": issued,
            }
        case HeatRequest():
            return {"heatKw": body.heat_kw, "start": stamp(body.start_utc), "end": stamp(body.end_utc)}
        case Acknowledgement():
            return {
                "sequence": body.sequence,
                "verdict": body.verdict.value,
                "reason": body.reason,
                "acceptedKw": body.accepted_kw,
            }
        case MaintenanceNotice():
            return {
                "id": body.notice_id,
                "start": stamp(body.start_utc),
                "end": stamp(body.end_utc),
                "availableKw": body.available_kw,
                "reason": body.reason,
            }
        case ManualOverride():
            return {"limitKw": body.limit_kw, "reason": body.reason}
        case PlantHeartbeat():
            return {"counter": body.counter}


def _said(payload: dict[str, object]) -> dict[str, object]:
    """Without what is not said."""
    return {key: value for key, value in payload.items() if value is not None and value != ""}
