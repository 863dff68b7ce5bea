"""JSON Schema of the HeatSchedule, for whoever writes a receiver; `message.problems` checks what a schema cannot say."""

from __future__ import annotations

from scheduler.core.publishing.message import HEADER, INTERVAL, MAX_INTERVALS, RESOLUTION, SCHEMA_VERSION, Kind

Schema = dict[str, object]
INSTANT: Schema = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"}
MARK = "Generated from scheduler/core/publishing/schema.py by scripts/generate.py; do not edit."


def _text(about: str) -> Schema:
    return {"type": "string", "description": about}


def _instant(about: str) -> Schema:
    return {**INSTANT, "description": about}


def _number(about: str, **limits: object) -> Schema:
    return {"type": "number", "description": about, **limits}


HEADER_FIELDS: dict[str, Schema] = {
    "schemaVersion": {"const": SCHEMA_VERSION, "description": "Version of this format."},
    "siteId": _text("Our site."),
    "plugId": _text("The thermal plug that delivers."),
    "offtakeId": _text("The contract that this message is about."),
    "meterPointId": _text("The billing meter's point; empty when it has no name."),
    "messageId": _text("Same content, same id."),
    "sequence": {
        "type": "integer",
        "minimum": 0,
        "maximum": 2**64 - 1,
        "description": "Rises strictly within a contract, over restarts too. The same again: a repeat. A lower one: drop it.",
    },
    "supersedes": {
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": 2**64 - 1,
        "description": "The sequence that this message takes the place of; null for the first.",
    },
    "issuedAt": _instant("When it was made, UTC."),
    "validFrom": _instant("Start of the first interval, UTC."),
    "validUntil": _instant("From here on it says nothing any more: the contract's fallback holds. UTC."),
    "resolution": {"const": RESOLUTION, "description": "Length of every interval."},
    "kind": {
        "enum": [one.value for one in Kind],
        "description": "plan: the first, or the first after a cancel. firm: heat became binding. update: any later one. "
        "cancel: everything before is taken back. fallback: the contract's fallback holds.",
    },
    "mode": {
        "enum": ["advisory", "dispatch"],
        "description": "advisory: what we would do; nobody has promised it. dispatch: what we do.",
    },
    "intervals": {},
    "boilerRequestKw": _number("Heat to make ready elsewhere within the boiler's lead time, kW.", minimum=0),
    "reason": _text("In words, for people; may be empty."),
}
INTERVAL_FIELDS: dict[str, Schema] = {
    "start": _instant("Start of the quarter hour, UTC."),
    "heatKw": _number("Heat that is expected at the hand-off meter, median, kW.", minimum=0),
    "p10": _number("It will be more than this nine times in ten, kW.", minimum=0),
    "p90": _number("It will be less than this nine times in ten, kW.", minimum=0),
    "firmKw": _number("Heat that is promised, kW.", minimum=0),
    "maxKw": _number("The most that can be delivered, kW.", minimum=0),
    "minKw": _number("The least that must be taken, kW.", minimum=0),
    "supplyC": _number("Supply temperature, degrees C."),
    "returnMaxC": _number("Highest return temperature that may come back, degrees C."),
    "flowM3h": {
        "type": ["number", "null"],
        "minimum": 0,
        "description": "Volume flow of heatKw between supplyC and returnMaxC, m3/h; null when there is none.",
    },
    "probShortfall": _number("Probability that less than the promise, less its tolerance, is delivered.", minimum=0, maximum=1),
    "gco2PerKwhHeat": {"type": ["number", "null"], "description": "Emissions of a kWh of this heat, g CO2; null: not known."},
}


def heat_schedule_schema() -> Schema:
    """JSON Schema (2020-12) of the message."""
    interval: Schema = {
        "type": "object",
        "properties": {key: INTERVAL_FIELDS[key] for key in INTERVAL},
        "required": list(INTERVAL),
        "additionalProperties": False,
    }
    properties: dict[str, Schema] = {key: HEADER_FIELDS[key] for key in HEADER}
    properties["intervals"] = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_INTERVALS,
        "items": interval,
        "description": "Quarter hours without gap or overlap. 0 <= p10 <= heatKw <= p90; minKw and firmKw <= maxKw.",
    }
    properties["signature"] = {"description": "Of whoever forwards the message; receivers that know none ignore it."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:heat-dispatch:heat-schedule:{SCHEMA_VERSION}",
        "$comment": MARK,
        "title": "HeatSchedule",
        "description": "What one heat customer may expect from us, quarter hour by quarter hour.",
        "type": "object",
        "properties": properties,
        "required": list(HEADER),
        "additionalProperties": False,
    }
