"""The software plant through a week with faults, in virtual time, over every protocol and over none.

Four hours of the week are one round; around a fault a round is 15 seconds. What is asked of the plant's side and of ours is the
same over every wire, but for what a protocol has no place for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from link_broker import LinkBroker, free_port

from scheduler.adapters.plantlink.mqtt import hearing
from scheduler.adapters.plantside.clients import plant_client
from scheduler.adapters.plantside.desk import DeskPlantClient
from scheduler.adapters.plantside.options import PlantsideOptions
from scheduler.domain.plantlink import AlarmLevel, LinkMode, LinkProtocol, MaintenanceNotice, TankState
from scheduler.domain.time import utc
from scheduler.entrypoints.plantsim.clock import PacedClock
from scheduler.entrypoints.plantsim.interfaces import demo_link
from scheduler.entrypoints.plantsim.sender import DemoSender
from scheduler.entrypoints.plantsim.session import background, begun
from scheduler.ports import PlantClient
from scheduler.simulate.plant.faults import Fault, FaultKind
from scheduler.simulate.plant.plant import PlantStep, SoftwarePlant
from scheduler.simulate.plant.sender import MadeUp
from scheduler.simulate.plant.spec import Periods, sized_for
from scheduler.simulate.plant.summary import Summary
from scheduler.simulate.plant.talk import PlantTalk

MONDAY_UTC = utc("2026-01-12T00:00:00+00:00")
HOUR_S, COARSE_S, FINE_S, WEEK_S = 3600.0, 4 * 3600.0, 15.0, 7 * 86400.0
BEFORE_S, AFTER_S, FAULT_S = 15.0, 60.0, 105.0
WATCHDOG_S = 45.0
# At 09:30 and 15:30 of each day nobody asks for a boiler, so that whatever asks for it is the fault.
KINDS = (
    FaultKind.CUT, FaultKind.SENDER_STOPPED, FaultKind.OPERATOR_GONE, FaultKind.OLD_SCHEDULE, FaultKind.WITHDRAWN,
    FaultKind.SILENT, FaultKind.FROZEN, FaultKind.SEQUENCE, FaultKind.CLOCK, FaultKind.TANK, FaultKind.PUMP,
    FaultKind.OVERRIDE, FaultKind.MAINTENANCE,
)  # fmt: skip
SCRIPT = tuple(
    Fault(kind=kind, start_s=(i // 2) * 86400.0 + (9.5 + 6 * (i % 2)) * HOUR_S, length_s=FAULT_S)
    for i, kind in enumerate(KINDS)
)
# The wire that knows no credentials carries no forecasts, states and notices, and no acceptance.
BARE = LinkProtocol.MODBUS


def moments() -> list[float]:
    """Every fourth hour of the week, and every fifteen seconds around a fault."""
    found = {COARSE_S * i for i in range(int(WEEK_S / COARSE_S))}
    for one in SCRIPT:
        fine = int((BEFORE_S + one.length_s + AFTER_S) / FINE_S)
        found |= {one.start_s - BEFORE_S + FINE_S * i for i in range(fine + 1)}
    return sorted(found)


@dataclass(slots=True)
class Week:
    """What happened."""

    sender: DemoSender
    plant: SoftwarePlant
    protocol: LinkProtocol | None
    steps: dict[float, PlantStep] = field(default_factory=dict)
    levels: dict[float, AlarmLevel] = field(default_factory=dict)
    summary: Summary = field(default_factory=Summary)

    def during(self, kind: FaultKind, after_s: float = 0.0) -> list[PlantStep]:
        """The rounds of a fault, from `after_s` after it began."""
        one = next(each for each in SCRIPT if each.kind is kind)
        return [step for at_s, step in self.steps.items() if one.start_s + after_s <= at_s < one.start_s + one.length_s]

    def after(self, kind: FaultKind) -> PlantStep:
        """The round a minute after a fault."""
        one = next(each for each in SCRIPT if each.kind is kind)
        return self.steps[one.start_s + one.length_s + AFTER_S]

    def whys(self, kind: FaultKind, after_s: float) -> set[str]:
        return {step.view.decided.why for step in self.during(kind, after_s)}


async def settled(sender: DemoSender, client: PlantClient) -> None:
    """Wait until what our side has just said can be read; a broker may turn two heartbeats round, the next one mends that."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20.0):
        again_s = loop.time() + 1.0
        while True:
            heartbeat = await client.heartbeat()
            if heartbeat is not None and heartbeat.counter == sender.desk.boards()[sender.offtake_id].heartbeat.counter:
                return
            if loop.time() > again_s:
                await sender.desk.beat()
                again_s += 1.0
            await asyncio.sleep(0.002)


@asynccontextmanager
async def wired(week: Week, options: PlantsideOptions | None, clock: PacedClock, folder: Path):  # type: ignore[no-untyped-def]  # an async context manager of a client
    """The plant's client, with our interface behind it."""
    if options is None:
        yield DeskPlantClient(week.sender.desk, week.sender.offtake_id, clock)
        return
    link = demo_link(options, week.sender.desk, clock, folder)
    client = plant_client(link.options)
    async with background(link.interface.run()) as task, background(client.run()) as other:
        await begun(link.interface, task)
        yield client
        for one in (task, other):
            assert not one.done()


async def lived(options: PlantsideOptions | None, folder: Path) -> Week:
    """The whole week."""
    clock = PacedClock(MONDAY_UTC, speed=0.0)
    spec = replace(sized_for("town", 400.0), periods=Periods(state_s=60.0, meter_s=6 * HOUR_S, forecast_s=6 * HOUR_S))
    sender = DemoSender(MadeUp(site_id="lab", plug_id="loop", plant=spec), MONDAY_UTC, clock, SCRIPT)
    plant = SoftwarePlant(spec=spec, start_utc=MONDAY_UTC, faults=SCRIPT)
    week = Week(sender=sender, plant=plant, protocol=None if options is None else options.protocol)
    async with wired(week, options, clock, folder) as client:
        talk = PlantTalk(plant=plant, client=client)
        for at_s in moments():
            now_utc: datetime = MONDAY_UTC + timedelta(seconds=at_s)
            clock.move_to(now_utc)
            await sender.turn(now_utc)
            await settled(sender, client)
            week.steps[at_s] = await talk.turn(now_utc)
            week.levels[at_s] = sender.desk.boards()["town"].heartbeat.alarm
            week.summary.add(week.steps[at_s])
    return week


def options_of(protocol: LinkProtocol, broker: LinkBroker | None) -> PlantsideOptions:
    """A demonstration of a protocol at a port of our own."""
    schemes = {
        LinkProtocol.REST: "http",
        LinkProtocol.MODBUS: "modbus",
        LinkProtocol.OPCUA: "opc.tcp",
        LinkProtocol.MQTT: "mqtt",
    }
    port = broker.port if broker is not None else free_port()
    return PlantsideOptions(
        protocol=protocol, address=f"{schemes[protocol]}://127.0.0.1:{port}", offtake_id="town", site_id="lab", mqtt_version=4
    )


@pytest.fixture(scope="module", params=[None, LinkProtocol.REST, LinkProtocol.MODBUS, LinkProtocol.OPCUA, LinkProtocol.MQTT])
def week(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    protocol: LinkProtocol | None = request.param
    folder = tmp_path_factory.mktemp(f"week-{protocol}")
    broker = None
    if protocol is LinkProtocol.MQTT:
        broker = LinkBroker(kind="amqtt", folder=folder)
        broker.start()
    with pytest.MonkeyPatch.context() as patch:
        # A week of letters within seconds: what is allowed in a second of real time is no part of this story.
        patch.setattr(hearing, "PER_LETTER_S", 1e-6)
        try:
            yield asyncio.run(lived(None if protocol is None else options_of(protocol, broker), folder))
        finally:
            if broker is not None:
                broker.kill()


def test_silence_starts_the_boiler_within_the_watchdogs_time(week: Week) -> None:
    # The counter last moved 15 s before the fault; 45 s later, at the next round at the latest, the boiler is wanted.
    for kind in (FaultKind.CUT, FaultKind.SENDER_STOPPED):
        assert week.whys(kind, WATCHDOG_S) == {"the link's heartbeat is missing"}
        assert all(step.view.store.boiler.wanted for step in week.during(kind, WATCHDOG_S))
        assert week.after(kind).view.decided.mode is LinkMode.AUTO


def test_an_operator_that_is_gone_and_a_schedule_that_is_withdrawn_start_the_boiler(week: Week) -> None:
    assert week.whys(FaultKind.OPERATOR_GONE, 2 * FINE_S) == {"the boiler is asked for"}
    assert week.whys(FaultKind.WITHDRAWN, 2 * FINE_S) == {"the schedule was withdrawn"}
    for kind in (FaultKind.OPERATOR_GONE, FaultKind.WITHDRAWN, FaultKind.OLD_SCHEDULE):
        assert week.after(kind).view.decided.why == ""


def test_sequences_only_rise_and_an_old_schedule_is_never_taken(week: Week) -> None:
    taken = week.summary.sequences
    assert all(before < after for before, after in pairwise(taken))
    assert taken[-1] == week.sender.sequence - 1
    held = {step.view.sequence for step in week.during(FaultKind.OLD_SCHEDULE)}
    assert len(held) == 1


def test_every_schedule_is_answered(week: Week) -> None:
    seen = week.sender.desk.boards()["town"].seen
    if week.protocol is BARE:
        assert seen.acknowledged is None
        return
    assert seen.acknowledged is not None
    assert seen.acknowledged.sequence == week.sender.sequence - 1
    assert week.plant.counts.acknowledged == len(week.summary.sequences)


def test_our_side_notices_a_plant_that_is_silent_or_frozen(week: Week) -> None:
    for kind in (FaultKind.SILENT, FaultKind.FROZEN):
        start_s = next(one.start_s for one in SCRIPT if one.kind is kind)
        assert week.levels[start_s + 90.0] is AlarmLevel.WARNING
        assert week.levels[start_s + FAULT_S + AFTER_S] is AlarmLevel.NONE
        assert week.after(kind).view.decided.why == ""


def test_nothing_absurd_is_believed(week: Week) -> None:
    letters = week.sender.desk.letters
    assert all(math.isfinite(one.body.level_kwh) for one in letters if isinstance(one.body, TankState))
    ahead_s = max(
        (one.body.at_utc - one.received_utc).total_seconds() for one in letters if isinstance(one.body, TankState)
    ) if week.protocol is not BARE else 0.0  # fmt: skip
    assert ahead_s <= 120.0
    assert week.plant.counts.refused >= 3


def test_a_person_at_the_plant_wins_until_our_operator_clears_it(week: Week) -> None:
    pressed = week.during(FaultKind.OVERRIDE, 2 * FINE_S)
    assert {step.view.decided.mode for step in pressed} == {LinkMode.MANUAL}
    assert {step.view.flows.taken_kw for step in pressed} == {0.0}
    assert week.after(FaultKind.OVERRIDE).view.decided.mode is LinkMode.MANUAL
    last = week.steps[max(week.steps)].view
    assert (last.decided.mode, last.decided.why) == (LinkMode.AUTO, "")


def test_work_that_was_announced_is_known(week: Week) -> None:
    notices = [one.body for one in week.sender.desk.letters if isinstance(one.body, MaintenanceNotice)]
    assert len(notices) == (0 if week.protocol is BARE else 1)


def test_the_houses_stay_warm_and_the_meter_counts_what_was_taken(week: Week) -> None:
    summary = week.summary
    assert summary.unserved_kwh < 0.001 * summary.demand_kwh
    assert week.plant.meter.energy_kwh == pytest.approx(summary.taken_kwh, rel=1e-6)
    assert summary.taken_kwh > 0.5 * summary.demand_kwh
    bad, good = week.during(FaultKind.PUMP)[-1].view.flows, week.after(FaultKind.PUMP).view.flows
    assert bad.taken_kw < 0.5 * good.taken_kw
