"""The information model as data: every variable and method that one offtake has. Server, client and reference page read it.

A node id is `ns=<namespace>;s=<offtake id>/<path>`; the index of the namespace is looked up by its URI, as always in OPC UA.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scheduler.domain.plantlink import ScheduleState

NAMESPACE = "urn:heat-dispatch:plant-link:1"
ROOT = "HeatDispatch"
OFFTAKE_TYPE = "OfftakeType"
# Of the standard's ServiceLevel (OPC 10000-4, 6.6.2): 200 and more is healthy, 1 has no data.
IN_CHARGE, STANDING_BY = 200, 1
GROUPS = ("Schedule", "Heartbeat", "Plant")
SUBMIT = "Plant/Submit"


class Kind(StrEnum):
    """Built-in types of OPC UA that we use."""

    BOOLEAN = "Boolean"
    UINT32 = "UInt32"
    UINT64 = "UInt64"
    DOUBLE = "Double"
    STRING = "String"
    DATETIME = "DateTime"


class Quality(StrEnum):
    """How good a value is, by the name of its OPC UA status code."""

    GOOD = "Good"
    RUN_OUT = "BadNoData"
    ABSENT = "BadWaitingForInitialData"
    SILENT = "BadNoCommunication"
    ENDING = "BadShutdown"
    AWAY = "BadOutOfService"


QUALITY_MEANS = {
    Quality.GOOD: "as it is now",
    Quality.RUN_OUT: "the schedule has run out; no value: count on nothing",
    Quality.ABSENT: "not known: no schedule yet, or you have not said it; no value",
    Quality.SILENT: "the operator, or the link itself, was not heard for too long; no value: start the boiler",
    Quality.ENDING: "the link is being stopped; no value: start the boiler",
    Quality.AWAY: "another server of ours is in charge, or this contract is served here no more; no value: ask the other",
}


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measurement: its UNECE Recommendation 20 code, symbol and name."""

    code: str
    symbol: str
    name: str

    @property
    def unit_id(self) -> int:
        """The code as a number (OPC 10000-8, 5.6.3): its characters as bytes, the first one highest."""
        return int.from_bytes(self.code.encode("ascii"), "big")


KW = Unit("KWT", "kW", "kilowatt")
KWH = Unit("KWH", "kWh", "kilowatt hour")
CELSIUS = Unit("CEL", "°C", "degree Celsius")
M3_PER_H = Unit("MQH", "m³/h", "cubic metre per hour")
M3 = Unit("MTQ", "m³", "cubic metre")
SECOND = Unit("SEC", "s", "second")


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that is read. `path`: below the offtake; `array`: one element per quarter hour."""

    path: str
    kind: Kind
    text: str
    unit: Unit | None = None
    array: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """What a method is given. `optional`: NaN, empty text or the null time (1601) stand for "not said"."""

    name: str
    kind: Kind
    text: str
    unit: Unit | None = None
    array: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """One thing that a plant may say; `letter`: its kind, None: the first argument names it."""

    path: str
    letter: str | None
    text: str
    arguments: tuple[Argument, ...]


def _row(name: str, text: str, unit: Unit | None = None, kind: Kind = Kind.DOUBLE) -> Variable:
    return Variable(f"Schedule/{name}", kind, text, unit, array=True)


# The sequence stands last: whoever sees it change has all of the schedule.
SCHEDULE = (
    Variable("Schedule/Intervals", Kind.UINT32, "quarter hours in the schedule, the length of every array"),
    Variable("Schedule/ResolutionS", Kind.UINT32, "length of an interval", SECOND),
    _row("Start", "when each interval begins, UTC", kind=Kind.DATETIME),
    _row("HeatKw", "expected mean heat (median)", KW),
    _row("P10", "heat that is exceeded nine times out of ten", KW),
    _row("P90", "heat that is exceeded once out of ten", KW),
    _row("FirmKw", "heat that we owe", KW),
    _row("MaxKw", "most heat", KW),
    _row("MinKw", "least heat", KW),
    _row("SupplyC", "supply temperature", CELSIUS),
    _row("ReturnMaxC", "highest return temperature", CELSIUS),
    _row("FlowM3h", "volume flow at these temperatures; NaN: not known", M3_PER_H),
    _row("ProbShortfall", "probability of delivering less than the firm heat, 0 to 1"),
    _row("GCo2PerKwhHeat", "g CO2 per kWh of heat; NaN: not known"),
    Variable("Schedule/BoilerRequestKw", Kind.DOUBLE, "heat that the plant should make instead of us", KW),
    Variable("Schedule/Kind", Kind.STRING, "plan, firm, update, cancel or fallback"),
    Variable("Schedule/Mode", Kind.STRING, "dispatch, or advisory: nobody has promised this heat"),
    Variable("Schedule/Reason", Kind.STRING, "why it came"),
    Variable("Schedule/MeterPointId", Kind.STRING, "meter point at which it is measured"),
    Variable("Schedule/IssuedAt", Kind.DATETIME, "when it was made, UTC"),
    Variable("Schedule/ValidFrom", Kind.DATETIME, "begin of its first interval, UTC"),
    Variable("Schedule/ValidUntil", Kind.DATETIME, "from here on it says nothing, UTC"),
    Variable("Schedule/Supersedes", Kind.UINT64, "sequence that it takes the place of; 0: none"),
    Variable("Schedule/MessageId", Kind.STRING, "same content, same id"),
    Variable("Schedule/Message", Kind.STRING, "all of it as one HeatSchedule in JSON"),
    Variable("Schedule/Sequence", Kind.UINT64, "rises with every schedule; changes last"),
)

HEARTBEAT = (
    Variable("Heartbeat/At", Kind.DATETIME, "when it was made, UTC"),
    Variable("Heartbeat/LastSequence", Kind.UINT64, "of the newest schedule; bad while there is none"),
    Variable("Heartbeat/Mode", Kind.STRING, "auto, manual (a person at the plant has taken over) or fallback"),
    Variable("Heartbeat/Bypass", Kind.BOOLEAN, "our heat goes to the dry coolers, none to you"),
    Variable("Heartbeat/BoilerNeeded", Kind.BOOLEAN, "start the boiler; a bad status says so too"),
    Variable("Heartbeat/BoilerKw", Kind.DOUBLE, "heat to make ready; bad: as much as you need", KW),
    Variable("Heartbeat/ScheduleState", Kind.STRING, f"what the newest schedule is worth: {', '.join(ScheduleState)}"),
    Variable("Heartbeat/OperatorSilent", Kind.BOOLEAN, "our planning program was not heard for 40 s"),
    Variable("Heartbeat/AlarmLevel", Kind.UINT32, "0 none, 1 warning, 2 critical"),
    Variable("Heartbeat/AlarmText", Kind.STRING, "the worst alarm in words"),
    Variable("Heartbeat/Counter", Kind.UINT32, "rises by one every 10 s, after 4294967295 comes 0; changes last"),
)

HEARD = (
    Variable("Plant/HeardAt", Kind.DATETIME, "when we last believed something that you said, UTC"),
    Variable("Plant/HeartbeatCounter", Kind.UINT32, "your counter as we know it"),
    Variable("Plant/AcknowledgedSequence", Kind.UINT64, "of your last answer to a schedule"),
    Variable("Plant/AcknowledgedVerdict", Kind.STRING, "that answer: accepted, partial or rejected"),
    Variable("Plant/RequestedKw", Kind.DOUBLE, "your last request", KW),
    Variable("Plant/OverrideActive", Kind.BOOLEAN, "a person at the plant has taken over, until our operator clears it"),
    Variable("Plant/OverrideLimitKw", Kind.DOUBLE, "the most that he takes", KW),
)

VARIABLES = (*SCHEDULE, *HEARTBEAT, *HEARD)

_AT = Argument("at", Kind.DATETIME, "when it was measured, UTC; the null time: now", optional=True)
_REASON = Argument("reason", Kind.STRING, "why, at most 200 characters", optional=True)


def _maybe(name: str, text: str, unit: Unit) -> Argument:
    return Argument(name, Kind.DOUBLE, text, unit, optional=True)


METHODS = (
    Method("Plant/SubmitHeartbeat", "heartbeat", "your sign of life: a counter that changes", (
        Argument("counter", Kind.UINT32, "any number that changes"),
    )),
    Method("Plant/SubmitDemand", "demand", "what you expect to take", (
        Argument("start", Kind.DATETIME, "begin of the first step, UTC"),
        Argument("stepSeconds", Kind.UINT32, "length of a step, 300 to 86400", SECOND),
        Argument("heatKw", Kind.DOUBLE, "mean heat of each step, 1 to 1344 of them; NaN: you do not say", KW, array=True),
        Argument("issuedAt", Kind.DATETIME, "when you made it, UTC", optional=True),
    )),
    Method("Plant/SubmitRequest", "request", "how much heat you want for a while", (
        Argument("heatKw", Kind.DOUBLE, "mean heat", KW),
        Argument("start", Kind.DATETIME, "from, UTC"),
        Argument("end", Kind.DATETIME, "until, UTC"),
    )),
    Method("Plant/SubmitNetwork", "network", "what you measure at the hand-off", (
        _AT,
        _maybe("supplyC", "supply temperature", CELSIUS),
        _maybe("returnC", "return temperature", CELSIUS),
        _maybe("wantedSupplyC", "supply temperature that you want", CELSIUS),
        _maybe("flowM3h", "volume flow", M3_PER_H),
        _maybe("heatKw", "heat", KW),
    )),
    Method("Plant/SubmitTank", "tank", "usable heat in the tank between us", (
        _AT,
        Argument("levelKwh", Kind.DOUBLE, "usable heat", KWH),
    )),
    Method("Plant/SubmitAcknowledgement", "acknowledgement", "your answer to a schedule", (
        Argument("sequence", Kind.UINT64, "of the schedule"),
        Argument("verdict", Kind.STRING, "accepted, partial or rejected"),
        _REASON,
        _maybe("acceptedKw", "with partial alone: the most that you take in any hour", KW),
    )),
    Method("Plant/SubmitMaintenance", "maintenance", "a time in which you take less", (
        Argument("id", Kind.STRING, "a second notice of the same id takes the place of the first"),
        Argument("start", Kind.DATETIME, "from, UTC"),
        Argument("end", Kind.DATETIME, "until, UTC"),
        Argument("availableKw", Kind.DOUBLE, "the most that you take", KW),
        _REASON,
    )),
    Method("Plant/SubmitOverride", "override", "a person has taken over, until our operator clears it", (
        Argument("limitKw", Kind.DOUBLE, "the most that you take from now on", KW),
        _REASON,
    )),
    Method("Plant/SubmitMeter", "meter", "what a heat or electricity meter shows", (
        Argument("meterPointId", Kind.STRING, "where it stands"),
        _AT,
        _maybe("energyKwh", "its register", KWH),
        _maybe("volumeM3", "its volume register", M3),
        _maybe("heatKw", "heat now", KW),
        _maybe("flowM3h", "flow now", M3_PER_H),
        _maybe("supplyC", "supply temperature", CELSIUS),
        _maybe("returnC", "return temperature", CELSIUS),
        Argument("meterId", Kind.STRING, "serial number of the meter", optional=True),
        Argument("error", Kind.STRING, "what it says of itself; empty: all is well", optional=True),
    )),
    Method(SUBMIT, None, "any of these as JSON, as over REST and MQTT", (
        Argument("kind", Kind.STRING, "as in the names of the methods above: demand, request, heartbeat and so on"),
        Argument("json", Kind.STRING, "the letter's JSON"),
    )),
)  # fmt: skip

OUTPUTS = (
    Argument("accepted", Kind.BOOLEAN, "whether it was believed and is kept"),
    Argument("reason", Kind.STRING, "why not"),
)


def node_name(offtake_id: str, path: str = "") -> str:
    """The string of a node id."""
    return f"{offtake_id}/{path}" if path else offtake_id
