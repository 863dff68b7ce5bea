"""One desk behind all four interfaces, read by a plant on each: whatever has happened, the four show the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from link_broker import MOSQUITTO, LinkBroker, link_broker
from link_world import schedule_of
from opcua_world import AdjustedClock

from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantlink.modbus.client import ModbusPlantClient
from scheduler.adapters.plantlink.modbus.server import ModbusInterface
from scheduler.adapters.plantlink.mqtt.client import MqttInterface
from scheduler.adapters.plantlink.mqtt.plant import MqttPlantClient
from scheduler.adapters.plantlink.opcua.client import OpcuaPlantClient
from scheduler.adapters.plantlink.opcua.server import OpcuaInterface
from scheduler.adapters.plantlink.rest.server import RestInterface
from scheduler.adapters.plantside.options import PlantsideOptions
from scheduler.adapters.plantside.rest import RestPlantClient
from scheduler.core.publishing.issuing import cancelled
from scheduler.core.publishing.letters import LetterLimits
from scheduler.core.publishing.shown import STALE_S
from scheduler.domain.link_options import Credential, ModbusOptions, MqttOptions, OpcuaOptions, RestOptions
from scheduler.domain.plantlink import LinkMode, LinkProtocol, ScheduleState
from scheduler.ports import PlantClient, PlantInterface

SITE, TOWN, UNIT = "site", "town", 1
KW = ("heatKw", "p10", "p90", "firmKw", "minKw", "maxKw")
ALIKE_S = 120.0
# What is in the schedule of `link_world`, by the names above, and what is in one that takes it back.
SOLD, NOTHING = (100.0, 90.0, 110.0, 80.0, 0.0, 200.0), (0.0,) * len(KW)


@dataclass(frozen=True)
class Seen:
    """What a plant acts on. rows: kW of the first quarter hour, empty where no schedule is shown.

    Of sequences the last digit.
    """

    sequence: int | None
    rows: tuple[float, ...]
    mode: LinkMode
    boiler_on: bool
    state: ScheduleState
    silent: bool
    why: str
    last_sequence: int | None


@dataclass
class Scene:
    """The desk, its clock, and a plant on each interface.

    beats: as a link does, so that no heartbeat grows old. sequence: of the next schedule, which ends in 7.
    """

    desk: MemoryDesk
    clock: AdjustedClock
    plants: Mapping[LinkProtocol, PlantClient]
    beats: bool = True
    sequence: int = 7

    async def begins(self) -> None:
        """As it is before the first schedule; a plant that has heard of a sequence takes no lower one."""
        self.sequence += 10
        self.beats, self.clock.later, self.desk.alive, self.desk.ending = True, timedelta(), True, False
        await self.desk.clear_override(TOWN)
        await self.desk.post(TOWN, None)

    async def beating(self) -> None:
        while True:
            if self.beats:
                await self.desk.beat()
            await asyncio.sleep(1.0)


async def planned(scene: Scene) -> None:
    await scene.desk.post(TOWN, schedule_of(scene.sequence, TOWN))


async def nothing(scene: Scene) -> None:
    await scene.desk.beat()


async def run_out(scene: Scene) -> None:
    await planned(scene)
    scene.clock.later = timedelta(hours=3)
    await scene.desk.beat()


async def withdrawn(scene: Scene) -> None:
    await planned(scene)
    before = scene.desk.boards()[TOWN].schedule
    assert before is not None
    await scene.desk.post(TOWN, cancelled(before, scene.clock.now_utc(), "all is let go"))


async def silence(scene: Scene) -> None:
    await planned(scene)
    scene.desk.alive = False
    await scene.desk.beat()


async def goodbye(scene: Scene) -> None:
    await planned(scene)
    scene.desk.ending = True
    await scene.desk.beat()


async def overridden(scene: Scene) -> None:
    await planned(scene)
    receipt = await scene.plants[LinkProtocol.REST].say("override", {"limitKw": 5.0, "reason": "leak"})
    assert receipt.accepted


async def advised(scene: Scene) -> None:
    await scene.desk.post(TOWN, {**schedule_of(scene.sequence, TOWN), "mode": "advisory"})


async def back_again(scene: Scene) -> None:
    """The operator is heard again, and the schedule holds as it did: the same sequence is shown once more."""
    await silence(scene)
    await alike(scene, SILENT)
    scene.desk.alive = True
    await scene.desk.beat()


FALLBACK = LinkMode.FALLBACK
FORCE = Seen(7, SOLD, LinkMode.AUTO, False, ScheduleState.IN_FORCE, False, "", 7)
SILENT = Seen(None, (), FALLBACK, True, ScheduleState.OPERATOR_SILENT, True, "the operator is silent", 7)
STORIES = {
    "before the first": (nothing, Seen(None, (), FALLBACK, True, ScheduleState.NONE, False, "there is no schedule yet", None)),
    "in force": (planned, FORCE),
    "run out": (run_out, Seen(None, (), FALLBACK, True, ScheduleState.RUN_OUT, False, "the schedule has run out", 7)),
    "cancelled": (withdrawn, Seen(8, NOTHING, FALLBACK, True, ScheduleState.CANCELLED, False, "the schedule was withdrawn", 8)),
    "silent": (silence, SILENT),
    "ending": (goodbye, Seen(None, (), FALLBACK, True, ScheduleState.ENDING, False, "the plant link is ending", 7)),
    "overridden": (
        overridden,
        replace(FORCE, mode=LinkMode.MANUAL, boiler_on=True, why="a person at the plant has taken over"),
    ),
    "advice": (
        advised,
        replace(
            FORCE, mode=FALLBACK, boiler_on=True, state=ScheduleState.ADVICE,
            why="the schedule is advice: nobody has promised this heat",
        ),
    ),
    "back again": (back_again, FORCE),
}  # fmt: skip


async def seen_by(plant: PlantClient) -> Seen | None:
    """What a plant sees; None while it hears no heartbeat."""
    beat, schedule = await plant.heartbeat(), await plant.schedule()
    if beat is None:
        return None
    rows = [] if schedule is None else schedule["intervals"]
    assert isinstance(rows, list)
    return Seen(
        sequence=None if schedule is None else int(str(schedule["sequence"])) % 10,
        rows=tuple(float(rows[0][key]) for key in KW) if rows else (),
        mode=beat.mode,
        boiler_on=beat.boiler_on,
        state=beat.state,
        silent=beat.operator_silent,
        why=beat.alarm_text,
        last_sequence=None if beat.last_sequence is None else beat.last_sequence % 10,
    )


async def alike(scene: Scene, wanted: Seen | Callable[[LinkProtocol, Seen | None], bool]) -> None:
    """Wait until every plant sees what is wanted; tells what each of them saw last."""
    found: dict[str, Seen | None] = {}

    def right(protocol: LinkProtocol, seen: Seen | None) -> bool:
        return wanted(protocol, seen) if callable(wanted) else seen == wanted

    try:
        async with asyncio.timeout(ALIKE_S):
            while True:
                seen = {protocol: await seen_by(plant) for protocol, plant in scene.plants.items()}
                found = {protocol.value: one for protocol, one in seen.items()}
                if all(right(protocol, one) for protocol, one in seen.items()):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"wanted {wanted}, saw {found}") from None


async def four(folder: Path, broker: LinkBroker) -> AsyncGenerator[Scene, None]:
    """A desk behind Modbus, OPC UA, MQTT and REST on free ports, and a plant on each."""
    clock = AdjustedClock()
    desk = MemoryDesk(SITE, {TOWN: LetterLimits(max_heat_kw=500.0, tank_kwh=None)}, {TOWN: "plug"}, clock)
    (folder / "token").write_text("t" * 40)
    credential = Credential(name="plant", secret_file=str(folder / "token"), offtakes=(TOWN,))
    over = MqttOptions(
        host="127.0.0.1", port=broker.port, version=5 if broker.kind == "mosquitto" else 4, plain=True, prefix="alike",
        offtakes=(TOWN,), client_id="us",
    )  # fmt: skip
    rest = RestInterface(RestOptions(port=0, credentials=(credential,), requests_per_s=1e6, burst=1000), desk, clock)
    modbus = ModbusInterface(ModbusOptions(port=0, units={UNIT: TOWN}), desk, clock)
    opcua = OpcuaInterface(OpcuaOptions(port=0, insecure_reading=True), desk, clock)
    mqtt = MqttInterface(over, desk, clock)
    interfaces: list[PlantInterface] = [rest, modbus, opcua, mqtt]
    tasks = [asyncio.create_task(one.run()) for one in interfaces]
    try:
        async with asyncio.timeout(ALIKE_S):
            # An OPC UA server takes long to build its nodes where others work too.
            while any(one.trouble() for one in (rest, modbus, opcua)):
                assert not any(task.done() for task in tasks)
                await asyncio.sleep(0.02)
        plants: dict[LinkProtocol, PlantClient] = {
            LinkProtocol.REST: RestPlantClient(
                PlantsideOptions(
                    protocol=LinkProtocol.REST, address=f"http://127.0.0.1:{rest.port}", offtake_id=TOWN,
                    secret_file=str(folder / "token"), timeout_s=20.0,
                )
            ),
            LinkProtocol.MODBUS: ModbusPlantClient("127.0.0.1", modbus.port, UNIT, timeout_s=20.0),
            LinkProtocol.OPCUA: OpcuaPlantClient(f"opc.tcp://127.0.0.1:{opcua.port}", TOWN, timeout_s=20.0),
            LinkProtocol.MQTT: MqttPlantClient(replace(over, client_id="plant"), SITE, TOWN),
        }  # fmt: skip
        tasks += [asyncio.create_task(one.run()) for one in plants.values()]
        scene = Scene(desk, clock, plants)
        tasks.append(asyncio.create_task(scene.beating()))
        yield scene
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Scene]]:
    """One link for all stories: its loop turns while a story is told."""
    folder = tmp_path_factory.mktemp("alike")
    with link_broker(folder / "broker", "amqtt" if MOSQUITTO is None else "mosquitto") as broker, asyncio.Runner() as runner:
        opened = four(folder, broker)
        scene = runner.run(anext(opened))
        yield runner, scene
        runner.run(opened.aclose())


@pytest.mark.parametrize("name", STORIES)
def test_the_four_interfaces_show_the_same(name: str, running: tuple[asyncio.Runner, Scene]) -> None:
    (runner, scene), (happens, wanted) = running, STORIES[name]

    async def run() -> None:
        await scene.begins()
        await happens(scene)
        await alike(scene, wanted)

    runner.run(run())


def test_a_heartbeat_that_stands_still_starts_the_boiler_on_all_four(running: tuple[asyncio.Runner, Scene]) -> None:
    runner, scene = running

    def stopped(protocol: LinkProtocol, seen: Seen | None) -> bool:
        # OPC UA alone can mark a value as bad, and so marks them all.
        if protocol is LinkProtocol.OPCUA:
            return seen is None
        return seen is not None and seen.boiler_on and seen.state is ScheduleState.STOPPED and seen.sequence is None

    async def run() -> None:
        await scene.begins()
        await planned(scene)
        await alike(scene, FORCE)
        scene.beats = False
        scene.clock.later = timedelta(seconds=STALE_S + 1.0)
        await alike(scene, stopped)

    runner.run(run())
