"""What OpenAPI says of answers and letters, with units; tests hold these against what is really said and understood."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from scheduler.domain.plantlink import ScheduleState

AT = "2026-01-31T23:45:00Z"
Instant = Annotated[datetime, Field(examples=[AT], description="UTC, with a Z")]
Kw = Annotated[float, Field(description="kW of heat")]
Celsius = Annotated[float, Field(description="degrees Celsius")]
M3PerH = Annotated[float, Field(description="m3/h")]
Counter = Annotated[int, Field(ge=0, lt=2**32, description="rises; after 4294967295 comes 0")]
Sequence = Annotated[int, Field(ge=0, lt=2**64, description="rises strictly; never used twice")]
Text = Annotated[str, Field(max_length=200)]


def on_wire(name: str) -> str:
    """A field's name in JSON: heat_kw is heatKw, flow_m3h is flowM3h."""
    return to_camel(name).replace("M3H", "M3h")


SCHEDULE: dict[str, Any] = {
    "schemaVersion": "1.0", "siteId": "north", "plugId": "hall-1", "offtakeId": "city", "meterPointId": "mp-1",
    "messageId": "5f0c1d", "sequence": 412, "supersedes": 411, "issuedAt": "2026-01-31T23:40:12Z", "validFrom": AT,
    "validUntil": "2026-02-01T02:40:12Z", "resolution": "PT15M", "kind": "update", "mode": "dispatch",
    "intervals": [
        {
            "start": AT, "heatKw": 812.4, "p10": 700.0, "p90": 905.2, "firmKw": 650.0, "maxKw": 1000.0, "minKw": 0.0,
            "supplyC": 72.0, "returnMaxC": 45.0, "flowM3h": 26.33, "probShortfall": 0.02, "gco2PerKwhHeat": 14.5,
        }
    ],
    "boilerRequestKw": 0.0, "reason": "",
}  # fmt: skip
"""A HeatSchedule of one interval. What it may hold is said by `core/publishing/schema.py`."""


class Said(BaseModel):
    """One JSON object, with the names that stand on the wire."""

    model_config = ConfigDict(alias_generator=on_wire, extra="forbid", populate_by_name=True)


def such_as(example: dict[str, Any]) -> ConfigDict:
    """With an example."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class HeartbeatAnswer(Said):
    """Our sign of life. Watch the counter: when it stands still for 60 s, start the boiler."""

    model_config = such_as(
        {
            "offtakeId": "city", "counter": 90211, "at": AT, "lastSequence": 412, "mode": "auto", "bypass": False,
            "boilerOn": False, "boilerKw": 0.0, "alarm": "none", "alarmText": "", "operatorSilent": False,
            "scheduleState": "inForce",
        }
    )  # fmt: skip
    offtake_id: str
    counter: Counter
    at: Instant
    last_sequence: Annotated[int | None, Field(description="of the newest schedule; null: none yet")]
    mode: Literal["auto", "manual", "fallback"]
    bypass: Annotated[bool, Field(description="all heat goes to the dry coolers")]
    boiler_on: Annotated[bool, Field(description="start the boiler; false only while all is well")]
    boiler_kw: Annotated[float | None, Field(description="heat to make ready, kW; null: as much as you need")]
    alarm: Literal["none", "warning", "critical"]
    alarm_text: str
    operator_silent: Annotated[bool, Field(description="our planning program was not heard for 40 s")]
    schedule_state: Annotated[
        ScheduleState, Field(description="what the newest schedule is worth; it is shown while inForce, advice or cancelled")
    ]


class OfftakeAnswer(Said):
    """One contract of yours. sequence, validUntil: of the schedule that is shown; null: none is."""

    model_config = such_as(
        {"offtakeId": "city", "siteId": "north", "plugId": "hall-1", "version": 77, "sequence": 412, "validUntil": AT}
    )
    offtake_id: str
    site_id: str
    plug_id: str
    version: Annotated[int, Field(description="rises when the schedule, or what we heard of you, changes")]
    sequence: int | None
    valid_until: str | None


class OfftakesAnswer(Said):
    """All contracts of whoever asks."""

    offtakes: list[OfftakeAnswer]


class ReceiptAnswer(Said):
    """What became of a letter: it is on disk, and the next plan reads it."""

    accepted: Literal[True]
    reason: Literal[""]


class ProblemAnswer(BaseModel):
    """Why something was turned away (RFC 9457). field: which part was wrong; expected: what would be right."""

    model_config = such_as(
        {
            "type": "urn:heat-dispatch:problem:letter", "title": "Unprocessable Content", "status": 422,
            "detail": "heatKw: must be a number from 0 to 1e+06", "field": "heatKw", "expected": "a number from 0 to 1e+06",
            "accepted": False, "reason": "heatKw: must be a number from 0 to 1e+06",
        }
    )  # fmt: skip
    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    expected: str | None = None
    accepted: Literal[False] | None = None
    reason: str | None = None


class Demand(Said):
    """What you expect to take: mean kW of steps from `start` on; null where you do not say."""

    start: Instant
    step_seconds: Annotated[int, Field(ge=300, le=86400)]
    heat_kw: Annotated[list[Kw | None], Field(min_length=1, max_length=1344)]
    issued_at: Instant | None = None


class Request(Said):
    """How much heat you want, from when until when: a wish, which the next plan weighs."""

    heat_kw: Kw
    start: Instant
    end: Instant


class Network(Said):
    """What you measure at the hand-off; leave out what you do not know."""

    at: Instant
    supply_c: Celsius | None = None
    return_c: Celsius | None = None
    wanted_supply_c: Celsius | None = None
    flow_m3h: M3PerH | None = None
    heat_kw: Kw | None = None


class Tank(Said):
    """Usable heat in the tank between us."""

    at: Instant
    level_kwh: Annotated[float, Field(ge=0.0, description="kWh")]


class AcknowledgementLetter(Said):
    """Your answer to a schedule. acceptedKw: with `partial`, and only then, the most that you take in any hour of it."""

    sequence: Sequence
    verdict: Literal["accepted", "partial", "rejected"]
    reason: Text = ""
    accepted_kw: Kw | None = None


class Maintenance(Said):
    """A time in which you take at most so much. The same `id` again replaces what you said before."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
    start: Instant
    end: Instant
    available_kw: Kw
    reason: Text = ""


class Override(Said):
    """A person at the plant has taken over: at most so much from now on, until our operator clears it."""

    limit_kw: Kw = 0.0
    reason: Text = ""


class HeartbeatLetter(Said):
    """Your own sign of life: a counter that changes."""

    counter: Counter


class Meter(Said):
    """What a meter of yours shows at one instant; leave out what it does not say."""

    meter_point_id: str
    at: Instant
    energy_kwh: Annotated[float | None, Field(description="register, kWh; only rises")] = None
    volume_m3: Annotated[float | None, Field(description="register, m3; only rises")] = None
    heat_kw: Kw | None = None
    flow_m3h: M3PerH | None = None
    supply_c: Celsius | None = None
    return_c: Celsius | None = None
    meter_id: Annotated[Text, Field(description="serial number of the meter itself")] = ""
    error: Annotated[Text, Field(description="what the meter says of itself; empty: all is well")] = ""


LETTERS: dict[str, tuple[type[Said], dict[str, Any]]] = {
    "demand": (Demand, {"start": AT, "stepSeconds": 3600, "heatKw": [820.0, 790.5, None, 760.0]}),
    "request": (Request, {"heatKw": 500.0, "start": AT, "end": "2026-02-01T06:00:00Z"}),
    "network": (Network, {"at": AT, "supplyC": 71.5, "returnC": 44.0, "wantedSupplyC": 75.0, "flowM3h": 18.2}),
    "tank": (Tank, {"at": AT, "levelKwh": 1250.0}),
    "acknowledgement": (
        AcknowledgementLetter,
        {"sequence": 412, "verdict": "partial", "acceptedKw": 450.0, "reason": "a pump"},
    ),
    "maintenance": (
        Maintenance,
        {"id": "wo-2231", "start": AT, "end": "2026-02-01T06:00:00Z", "availableKw": 0.0, "reason": "valve exchanged"},
    ),
    "override": (Override, {"limitKw": 0.0, "reason": "leak in street 4"}),
    "heartbeat": (HeartbeatLetter, {"counter": 8123}),
    "meter": (Meter, {"meterPointId": "mp-1", "at": AT, "energyKwh": 184223.4, "volumeM3": 7012.25, "meterId": "68124431"}),
}
"""Model and example of each kind of letter."""


class SeenOverride(Override):
    """An override that holds."""

    since: str | None


class PlantAnswer(Said):
    """What we have heard of you; null: nothing yet."""

    heard_at: str | None
    counter: Annotated[int | None, Field(description="of your heartbeat")]
    counter_moved_at: str | None
    acknowledgement: AcknowledgementLetter | None
    request: Request | None
    network: Network | None
    tank: Tank | None
    override: SeenOverride | None
