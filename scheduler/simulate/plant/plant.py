"""A whole software plant: it hears, decides, moves heat and says what it has to say. Time is an argument of every step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduler.core.publishing.heartbeat import next_counter
from scheduler.domain.plantlink import Heartbeat, LinkMode, Receipt
from scheduler.simulate.plant import speech
from scheduler.simulate.plant.faults import CLOCK_AHEAD_S, OF_SENDER, PUMP_FRACTION, TOLD, Fault, FaultKind, holds
from scheduler.simulate.plant.flows import Flows, Store, Weather, flows_of, offered_kw, weather_at
from scheduler.simulate.plant.meter import Registers
from scheduler.simulate.plant.plc import Decided, Senses, decided
from scheduler.simulate.plant.receiver import Held, nothing_held, received
from scheduler.simulate.plant.spec import PlantSpec
from scheduler.simulate.plant.speech import Diary, Said
from scheduler.simulate.plant.watchdog import Watchdog

TANK_AT_START = 0.5
TRIES = 5
NEVER_SENT_AHEAD = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came over the wire in one round; None: nothing could be read."""

    schedule: Mapping[str, object] | None = None
    heartbeat: Heartbeat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantView:
    """The plant after one step, for people and tests. own_utc: by its own clock. sequence: of the schedule that it goes by."""

    at_utc: datetime
    own_utc: datetime
    decided: Decided
    flows: Flows
    weather: Weather
    store: Store
    meter: Registers
    sequence: int | None
    heartbeat: Heartbeat | None
    link_age_s: float | None
    faults: tuple[FaultKind, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantStep:
    """What one step gave: the plant as it is, what it wants to say, and what a person would like to know of it."""

    view: PlantView
    letters: tuple[Said, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class Counts:
    """What was said so far."""

    accepted: int = 0
    refused: int = 0
    acknowledged: int = 0


@dataclass(slots=True)
class SoftwarePlant:
    """The plant behind one offtake; `step` it forwards in time, tell it with `answered` what became of its letters."""

    spec: PlantSpec
    start_utc: datetime
    faults: Sequence[Fault] = ()
    counts: Counts = field(default_factory=Counts)
    meter: Registers = field(default_factory=Registers)
    unanswered: list[Said] = field(default_factory=list)
    _now_s: float = 0.0
    _counter: int = 0
    _manual: bool = False
    _latched: bool = False
    _heartbeat: Heartbeat | None = None
    _why: str | None = None
    _tries: int = 0
    _begun: set[Fault] = field(default_factory=set)
    _refused: set[tuple[str, str]] = field(default_factory=set)
    _notes: list[str] = field(default_factory=list)
    _diary: Diary = field(default_factory=Diary)
    _watchdog: Watchdog = field(init=False)
    _store: Store = field(init=False)
    held: Held = field(init=False)

    def __post_init__(self) -> None:
        """Begin with a tank that is half full, and nobody heard."""
        self._watchdog = Watchdog(timeout_s=self.spec.watchdog_s)
        self.held = nothing_held(self.spec.offtake_id)
        self._store = Store(level_kwh=TANK_AT_START * self.spec.tank.capacity_kwh)

    # Time.

    def since_s(self, now_utc: datetime) -> float:
        """Seconds since the plant began."""
        return (now_utc - self.start_utc).total_seconds()

    def own_utc(self, now_utc: datetime) -> datetime:
        """What its own clock shows."""
        since_s = self.since_s(now_utc)
        ahead_s = self.spec.clock_offset_s + since_s * self.spec.clock_drift_ppm * 1e-6
        ahead_s += CLOCK_AHEAD_S if holds(self.faults, FaultKind.CLOCK, since_s) else 0.0
        return now_utc + timedelta(seconds=ahead_s)

    def reachable(self, now_utc: datetime) -> bool:
        """Whether the wire between us is whole."""
        return not holds(self.faults, FaultKind.CUT, self.since_s(now_utc))

    # One step.

    def step(self, now_utc: datetime, heard: Heard) -> PlantStep:
        """Move on to `now_utc` with what was heard then.

        Raises:
            ValueError: when time runs backwards.
        """
        since_s = self.since_s(now_utc)
        if since_s < self._now_s:
            raise ValueError(f"the plant cannot go back from {self._now_s} s to {since_s} s")
        duration_s, self._now_s = since_s - self._now_s, since_s
        self._listen(heard, now_utc, since_s)
        self._press(since_s)
        result = self._decide(now_utc, since_s)
        weather = weather_at(self.spec, now_utc)
        flows = self._flow(now_utc, result, weather, duration_s)
        letters = self._speak(now_utc, weather, since_s)
        view = PlantView(
            at_utc=now_utc,
            own_utc=self.own_utc(now_utc),
            decided=result,
            flows=flows,
            weather=weather,
            store=self._store,
            meter=self.meter,
            sequence=None if self.held.schedule is None else _whole(self.held.schedule.get("sequence")),
            heartbeat=self._heartbeat,
            link_age_s=self._watchdog.age_s(since_s),
            faults=tuple(one.kind for one in self.faults if one.at(since_s) and one.kind not in OF_SENDER),
        )
        notes, self._notes = tuple(self._notes), []
        return PlantStep(view=view, letters=letters, notes=notes)

    def answered(self, said: Said, receipt: Receipt) -> None:
        """What became of a letter. An answer to a schedule is said again, a few times, until it is heard."""
        if receipt.accepted:
            self.counts.accepted += 1
            self.counts.acknowledged += said.kind == "acknowledgement"
        else:
            self.counts.refused += 1
            if (said.kind, receipt.reason) not in self._refused:
                self._refused.add((said.kind, receipt.reason))
                self._notes.append(f"{said.kind} was not accepted: {receipt.reason}")
        if said in self.unanswered:
            self._tries += 1
            if receipt.accepted or self._tries >= TRIES:
                self.unanswered.remove(said)
                self._tries = 0

    def _listen(self, heard: Heard, now_utc: datetime, since_s: float) -> None:
        """Take in what came."""
        alive = self._watchdog.alive(since_s)
        self._watchdog = self._watchdog.seen(None if heard.heartbeat is None else heard.heartbeat.counter, since_s)
        self._heartbeat = heard.heartbeat or self._heartbeat
        if self._watchdog.alive(since_s) != alive:
            self._notes.append("the link's heartbeat is missing" if alive else "the link's heartbeat is heard")
        if heard.schedule is None:
            return
        answer = received(self.held, heard.schedule, self.own_utc(now_utc), self.spec.max_take_kw)
        self.held = answer.held
        if answer.note:
            self._notes.append(answer.note)
        if answer.acknowledgement is not None:
            # Of an older schedule nobody needs an answer any more.
            self.unanswered = [one for one in self.unanswered if one.kind != "acknowledgement"]
            self.unanswered.append(Said(kind="acknowledgement", payload=answer.acknowledgement))
            self._tries = 0

    def _press(self, since_s: float) -> None:
        """Begin and end what the script says; the manual button comes out when our operator has cleared it."""
        for one in self.faults:
            if one.at(since_s) and one not in self._begun:
                self._begun.add(one)
                if one.kind not in OF_SENDER:
                    self._notes.append(f"fault: {TOLD[one.kind]}")
                if one.kind is FaultKind.OVERRIDE:
                    self._manual, self._latched = True, False
                    self.unanswered.append(speech.button())
        mode = None if self._heartbeat is None else self._heartbeat.mode
        self._latched = self._latched or (self._manual and mode is LinkMode.MANUAL)
        cleared = self._manual and self._latched and mode is not LinkMode.MANUAL
        if cleared and not holds(self.faults, FaultKind.OVERRIDE, since_s):
            self._manual = False
            self._notes.append("the manual button is out again")

    def _decide(self, now_utc: datetime, since_s: float) -> Decided:
        """What the controller wants."""
        found = decided(
            Senses(
                alive=self._watchdog.alive(since_s),
                heartbeat=self._heartbeat,
                held=self.held,
                at_utc=self.own_utc(now_utc),
                manual=self._manual,
                limit_kw=math.inf if self.spec.max_take_kw is None else self.spec.max_take_kw,
                pump_fraction=PUMP_FRACTION if holds(self.faults, FaultKind.PUMP, since_s) else 1.0,
            )
        )
        if found.why != self._why:
            self._notes.append(f"boiler on: {found.why}" if found.why else "boiler off: the schedule is counted on")
            self._why = found.why
        return found

    def _flow(self, now_utc: datetime, result: Decided, weather: Weather, duration_s: float) -> Flows:
        """Move heat over the time that has passed."""
        offered = offered_kw(self.spec, result.planned_kw, now_utc)
        step_s = max(duration_s, 1e-3)
        flows, self._store = flows_of(self.spec, self._store, result.orders, weather, offered, step_s)
        self.meter = self.meter.after(flows.taken_kw, weather.supply_c, weather.return_c, step_s)
        return flows

    def _speak(self, now_utc: datetime, weather: Weather, since_s: float) -> tuple[Said, ...]:
        """All that is due now."""
        if not self.reachable(now_utc) or holds(self.faults, FaultKind.SILENT, since_s):
            return ()
        every, due, own_utc = self.spec.periods, self._diary.due, self.own_utc(now_utc)
        letters: list[Said] = []
        if due("heartbeat", every.heartbeat_s, since_s):
            if not holds(self.faults, FaultKind.FROZEN, since_s):
                self._counter = next_counter(self._counter)
            letters.append(speech.heartbeat(self._counter))
        letters += self.unanswered
        if due("state", every.state_s, since_s):
            letters.append(speech.network(weather, self.meter, own_utc))
            if self.spec.tank.capacity_kwh:
                broken = holds(self.faults, FaultKind.TANK, since_s)
                letters.append(speech.tank(self._store.level_kwh, own_utc, broken=broken))
        if due("forecast", every.forecast_s, since_s):
            letters += speech.outlook(self.spec, own_utc)
        if due("meter", every.meter_s, since_s):
            letters.append(speech.reading(self.spec, weather, self.meter, own_utc))
        for number, one in enumerate(self.faults):
            if one.kind is FaultKind.MAINTENANCE and one.at(since_s) and due(f"work{number}", math.inf, since_s):
                letters.append(speech.work_notice(number, own_utc))
            if one.kind is FaultKind.SEQUENCE and one.at(since_s) and due(f"never{number}", math.inf, since_s):
                never = (self.held.newest or 0) + NEVER_SENT_AHEAD
                letters.append(Said(kind="acknowledgement", payload={"sequence": never, "verdict": "accepted"}))
        return tuple(letters)


def _whole(value: object) -> int | None:
    """A sequence number, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
