"""Nouns between us and a heat plant: what it may see of its heat, what it may say, and who said it.

One conversation per customer contract (offtake): its own sequence of schedules, its own heartbeat, its own boiler signal. Every
interface (REST, webhook, Modbus TCP, OPC UA, MQTT) shows the same `Board` and hands in the same `Letter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum


class LinkProtocol(StrEnum):
    """The way a plant speaks with us; a webhook only carries from us. METER: nobody spoke, we read a meter."""

    REST = "rest"
    WEBHOOK = "webhook"
    MODBUS = "modbus"
    OPCUA = "opcua"
    MQTT = "mqtt"
    METER = "meter"


class LinkMode(StrEnum):
    """Who decides about the heat: we do, a person at the plant has taken over, or the contract's fallback holds."""

    AUTO = "auto"
    MANUAL = "manual"
    FALLBACK = "fallback"


class AlarmLevel(IntEnum):
    """How bad the worst of our alarms is."""

    NONE = 0
    WARNING = 1
    CRITICAL = 2


class ScheduleState(StrEnum):
    """What the newest schedule is worth now, told alike on every interface.

    NONE: there is none yet. ADVICE: nobody has promised it. CANCELLED: it takes everything back. STOPPED: whoever makes our
    heartbeat has stopped. Only of IN_FORCE, ADVICE and CANCELLED is the schedule shown.
    """

    NONE = "none"
    IN_FORCE = "inForce"
    ADVICE = "advice"
    CANCELLED = "cancelled"
    RUN_OUT = "runOut"
    OPERATOR_SILENT = "operatorSilent"
    ENDING = "ending"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Sign of life to one customer, every ten seconds.

    counter: rises by one each time and goes on over restarts; 32 bits, after the largest comes 0. last_sequence: of the newest
    schedule, None: none yet. bypass: heat goes to the dry coolers, none to the customer. boiler_on: "start the boiler"; true
    also where nothing is known. boiler_kw: heat to make ready, None: as much as is needed, since we do not know.
    operator_silent: nobody has spoken for the cluster lately, so the schedule may be true no more. state: what it is worth.
    """

    offtake_id: str
    counter: int
    at_utc: datetime
    last_sequence: int | None
    mode: LinkMode
    bypass: bool
    boiler_on: bool
    boiler_kw: float | None
    alarm: AlarmLevel
    alarm_text: str = ""
    operator_silent: bool = False
    state: ScheduleState = ScheduleState.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who said something: a name from the credential, or the address where there is none.

    authenticated: by a token, a certificate or a password. Who is not may only reduce or withdraw heat.
    """

    name: str
    protocol: LinkProtocol
    authenticated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandForecast:
    """What the customer expects to take: mean kW over steps of `step_s` from `start_utc`; None: he does not say."""

    start_utc: datetime
    step_s: int
    heat_kw: tuple[float | None, ...]
    issued_utc: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatRequest:
    """How much heat the customer wants from `start_utc` until `end_utc`, kW: a wish, never a command."""

    heat_kw: float
    start_utc: datetime
    end_utc: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """What the customer measures at the hand-off; None: he does not say."""

    at_utc: datetime
    supply_c: float | None = None
    return_c: float | None = None
    wanted_supply_c: float | None = None
    flow_m3_per_h: float | None = None
    heat_kw: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TankState:
    """Usable heat in the tank between us."""

    at_utc: datetime
    level_kwh: float


class AckVerdict(StrEnum):
    """What the customer says to a schedule."""

    ACCEPTED = "accepted"
    PARTIAL = "partial"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """Answer to the schedule of one sequence; `accepted_kw`: with PARTIAL, the most he takes in any hour of it."""

    sequence: int
    verdict: AckVerdict
    reason: str = ""
    accepted_kw: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceNotice:
    """A time in which the customer takes at most `available_kw`; a second one of the same id takes the place of the first."""

    notice_id: str
    start_utc: datetime
    end_utc: datetime
    available_kw: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualOverride:
    """A person at the plant takes at most `limit_kw` from now on, whatever was planned, until our operator clears it."""

    limit_kw: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantHeartbeat:
    """The plant's own sign of life: a counter that changes."""

    counter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """What a heat or electricity meter shows at one instant; None: it does not say.

    meter_id: serial number of the meter itself, which changes when it is exchanged. energy_kwh: its register, which only rises.
    error: what it says of itself, empty when all is well.
    """

    meter_point_id: str
    at_utc: datetime
    energy_kwh: float | None = None
    volume_m3: float | None = None
    heat_kw: float | None = None
    flow_m3_per_h: float | None = None
    supply_c: float | None = None
    return_c: float | None = None
    meter_id: str = ""
    error: str = ""


LetterBody = (
    DemandForecast
    | HeatRequest
    | NetworkState
    | TankState
    | Acknowledgement
    | MaintenanceNotice
    | ManualOverride
    | PlantHeartbeat
    | MeterReading
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One thing that a plant says of one offtake."""

    offtake_id: str
    sender: Sender
    received_utc: datetime
    body: LetterBody


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a letter; `reason` says why it was refused, for the sender's eyes.

    again: nobody has judged it, since it could not be kept; sent again it may be accepted.
    """

    accepted: bool
    reason: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that was turned away before it was a letter: no credential, malformed, too often, too large."""

    protocol: LinkProtocol
    sender: str
    at_utc: datetime
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantSeen:
    """What was last heard of a plant; None: never. counter: of its heartbeat; moved_utc: when that last changed.

    counter_authenticated: it was said with a credential, after which none without one counts.
    """

    heard_utc: datetime | None = None
    counter: int | None = None
    moved_utc: datetime | None = None
    acknowledged: Acknowledgement | None = None
    requested: HeatRequest | None = None
    network: NetworkState | None = None
    tank: TankState | None = None
    override: ManualOverride | None = None
    override_since_utc: datetime | None = None
    counter_authenticated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Board:
    """All that one customer may see, at one moment.

    version: rises whenever the schedule, or what was heard of the plant, changes; not with the heartbeat. schedule: the newest
    HeatSchedule (`core/publishing/message.py`), and the same as bytes, whose digest is the ETag; None and empty before the
    first.
    """

    site_id: str
    plug_id: str
    offtake_id: str
    version: int
    heartbeat: Heartbeat
    schedule: Mapping[str, object] | None = None
    schedule_json: bytes = b""
    seen: PlantSeen = field(default_factory=PlantSeen)
