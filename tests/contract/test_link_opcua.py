"""The OPC UA server as a client of another library finds it: what it shows, to whom, and how soon."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from opcua_world import WAIT_S, OpcuaWorld, schedule, serving, world_in

from scheduler.adapters.plantlink.opcua.client import OpcuaPlantClient
from scheduler.adapters.plantlink.opcua.model import SCHEDULE, VARIABLES
from scheduler.domain.plantlink import HeatRequest, Letter, LinkMode, LinkProtocol, PlantHeartbeat, Receipt, TankState

CHANGES = "Schedule/Sequence", "Schedule/HeatKw", "Schedule/Message"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpcuaWorld]:
    with serving(world_in(tmp_path_factory.mktemp("opcua"))) as world:
        yield world


@pytest.fixture
def world(running: OpcuaWorld) -> Iterator[OpcuaWorld]:
    """The same server, as it is after a first schedule of each offtake."""
    for offtake in ("town", "school"):
        running.do(running.desk.post(offtake, schedule(running.clock.now_utc(), 1, offtakeId=offtake)))
    running.desk.refusals.clear()
    running.desk.letters.clear()
    yield running
    running.clock.later, running.desk.in_charge, running.desk.alive = timedelta(), True, True
    running.do(running.desk.beat())


async def values(world: OpcuaWorld, client: Client, names: list[str]) -> list[ua.DataValue]:
    return await client.uaclient.read_attributes([world.node_id(name) for name in names], ua.AttributeIds.Value)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():  # noqa: ASYNC110 - the client's trouble is a plain answer
            await asyncio.sleep(0.02)


def status(value: ua.DataValue) -> str:
    return value.StatusCode.name if value.StatusCode is not None else "Good"


async def told(world: OpcuaWorld, client: Client, name: str, wanted: Callable[[ua.DataValue], bool]) -> ua.DataValue:
    """A value once it is as wanted."""
    async with asyncio.timeout(WAIT_S):
        while True:
            (found,) = await values(world, client, [name])
            if wanted(found):
                return found
            await asyncio.sleep(0.02)


def as_town(world: OpcuaWorld, story: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    """Play a story with the client of the town's plant."""

    async def play() -> None:
        async with await world.client(world.trusted / "town-plant.der") as client:
            await story(client)

    asyncio.run(play())


class Notes:
    """What a subscription brings."""

    def __init__(self) -> None:
        self.values: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.values.put_nowait((node.nodeid.Identifier.split("/", 1)[1], value))

    async def until(self, path: str, wanted: Any) -> None:
        async with asyncio.timeout(WAIT_S):
            while await self.values.get() != (path, wanted):
                pass


def test_every_variable_of_the_model_is_there_with_its_type_and_unit(world: OpcuaWorld) -> None:
    async def story(client: Client) -> None:
        assert (await client.get_namespace_array())[world.index] == "urn:heat-dispatch:plant-link:1"
        for one in VARIABLES:
            node = client.get_node(world.node_id(f"town/{one.path}"))
            assert await node.read_data_type_as_variant_type() == ua.VariantType[one.kind.value], one.path
            assert await node.read_value_rank() == (ua.ValueRank.OneDimension if one.array else ua.ValueRank.Scalar)
            if one.unit is not None:
                unit = await (await node.get_child("0:EngineeringUnits")).read_value()
                assert (unit.UnitId, unit.DisplayName.Text) == (one.unit.unit_id, one.unit.symbol)
        kind = await client.get_node(world.node_id("town")).read_type_definition()
        assert kind == world.node_id("OfftakeType")

    as_town(world, story)


def test_one_read_is_of_one_schedule_with_one_time(world: OpcuaWorld) -> None:
    async def story(client: Client) -> None:
        now_utc = world.clock.now_utc()
        world.do(world.desk.post("town", schedule(now_utc, 7, heat_kw=55.0, intervals=288)))
        await told(world, client, "town/Schedule/Sequence", lambda value: bool(value.Value and value.Value.Value == 7))
        found = await values(world, client, [f"town/{one.path}" for one in SCHEDULE])
        assert len({value.SourceTimestamp for value in found}) == 1
        assert {status(value) for value in found} == {"Good"}
        by_path = {one.path: value.Value.Value for one, value in zip(SCHEDULE, found, strict=True) if value.Value}
        assert by_path["Schedule/HeatKw"] == [55.0] * 288
        assert len(by_path["Schedule/Start"]) == by_path["Schedule/Intervals"] == 288

    as_town(world, story)


def test_a_letter_that_cannot_be_written_down_is_a_bad_status(world: OpcuaWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(letter: Letter) -> Receipt:
        await asyncio.Event().wait()
        raise AssertionError(letter)

    monkeypatch.setattr(world.desk, "hand_in", hangs)

    async def story(client: Client) -> None:
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await client.get_node(world.node_id("town/Plant")).call_method(
                world.node_id("town/Plant/SubmitHeartbeat"), ua.Variant(1, ua.VariantType.UInt32)
            )
        assert refused.value.code == ua.StatusCodes.BadResourceUnavailable
        monkeypatch.undo()
        accepted, _ = await client.get_node(world.node_id("town/Plant")).call_method(
            world.node_id("town/Plant/SubmitHeartbeat"), ua.Variant(1, ua.VariantType.UInt32)
        )
        assert accepted

    as_town(world, story)


def test_a_subscription_brings_a_new_schedule_in_the_order_of_the_model(world: OpcuaWorld) -> None:
    async def story(client: Client) -> None:
        notes = Notes()
        subscription = await client.create_subscription(100, notes)
        await subscription.subscribe_data_change([client.get_node(world.node_id(f"town/{path}")) for path in CHANGES])
        await notes.until("Schedule/Sequence", 1)
        while not notes.values.empty():
            notes.values.get_nowait()
        world.do(world.desk.post("town", schedule(world.clock.now_utc(), 2, heat_kw=61.0)))
        seen = [(await asyncio.wait_for(notes.values.get(), WAIT_S))[0] for _ in CHANGES]
        # asyncua tells of items in the order in which they changed.
        assert seen == ["Schedule/HeatKw", "Schedule/Message", "Schedule/Sequence"]

    as_town(world, story)


def test_quality_falls_with_the_schedule_the_operator_and_our_being_in_charge(world: OpcuaWorld) -> None:
    async def story(client: Client) -> None:
        async def becomes(name: str, wanted: str) -> ua.DataValue:
            return await told(world, client, name, lambda value: status(value) == wanted)

        world.clock.later = timedelta(hours=2)
        world.do(world.desk.beat())
        run_out = await becomes("town/Schedule/HeatKw", "BadNoData")
        assert run_out.Value is None or run_out.Value.Value is None
        (needed,) = await values(world, client, ["town/Heartbeat/BoilerNeeded"])
        assert (status(needed), needed.Value and needed.Value.Value) == ("Good", True)
        world.desk.alive = False
        world.do(world.desk.beat())
        silent = await becomes("town/Schedule/HeatKw", "BadNoCommunication")
        assert silent.Value is None or silent.Value.Value is None
        world.desk.in_charge = False
        for name in ("town/Schedule/Sequence", "town/Heartbeat/BoilerNeeded", "town/Plant/OverrideActive"):
            away = await becomes(name, "BadOutOfService")
            assert away.Value is None or away.Value.Value is None
        level = client.get_node(ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServiceLevel)))
        assert await level.read_value() == 1
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await client.get_node(world.node_id("town/Plant")).call_method(
                world.node_id("town/Plant/SubmitHeartbeat"), ua.Variant(1, ua.VariantType.UInt32)
            )
        assert refused.value.code == ua.StatusCodes.BadOutOfService
        world.desk.in_charge = True
        await becomes("town/Heartbeat/BoilerNeeded", "Good")
        assert await level.read_value() == 200

    as_town(world, story)


def test_what_is_not_beaten_any_more_says_so(world: OpcuaWorld) -> None:
    async def story(client: Client) -> None:
        world.clock.later = timedelta(minutes=5)
        found = await told(world, client, "town/Heartbeat/Counter", lambda value: status(value) == "BadNoCommunication")
        assert found.Value is None or found.Value.Value is None

    as_town(world, story)


def test_a_typed_call_becomes_a_letter_with_the_name_of_the_certificate(world: OpcuaWorld) -> None:
    async def story(client: Client) -> None:
        plant = client.get_node(world.node_id("town/Plant"))
        counted = await plant.call_method(world.node_id("town/Plant/SubmitHeartbeat"), ua.Variant(4, ua.VariantType.UInt32))
        never = ua.Variant(ua.DateTime(1601, 1, 1), ua.VariantType.DateTime)
        filled = await plant.call_method(world.node_id("town/Plant/SubmitTank"), never, ua.Variant(9, ua.VariantType.Int32))
        too_full = await plant.call_method(world.node_id("town/Plant/Submit"), "tank", '{"at":"2026-01-01T00:00:00Z"}')
        assert (counted, filled) == ([True, ""], [True, ""])
        assert too_full == [False, "levelKwh: is missing"]
        await told(world, client, "town/Plant/HeartbeatCounter", lambda value: bool(value.Value and value.Value.Value == 4))

    as_town(world, story)
    first, second = world.desk.letters
    assert (first.sender.name, first.sender.protocol, first.sender.authenticated) == ("town-plant", LinkProtocol.OPCUA, True)
    assert (first.offtake_id, first.body) == ("town", PlantHeartbeat(counter=4))
    assert isinstance(second.body, TankState)
    assert second.body.level_kwh == 9.0
    assert [one.what for one in world.desk.refusals] == ["Plant/Submit: levelKwh: is missing"]


def test_arguments_of_a_wrong_type_or_number_are_told(world: OpcuaWorld) -> None:
    async def code_of(client: Client, *arguments: Any) -> int:
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await client.get_node(world.node_id("town/Plant")).call_method(world.node_id("town/Plant/SubmitTank"), *arguments)
        return int(refused.value.code)

    async def story(client: Client) -> None:
        assert await code_of(client, "now") == ua.StatusCodes.BadArgumentsMissing
        assert await code_of(client, "now", 3.0) == ua.StatusCodes.BadInvalidArgument
        assert await code_of(client, "now", 3.0, 4.0) == ua.StatusCodes.BadTooManyArguments

    as_town(world, story)


def test_the_other_customer_does_not_exist(world: OpcuaWorld) -> None:
    async def story(client: Client) -> None:
        (read,) = await values(world, client, ["school/Schedule/HeatKw"])
        assert status(read) == "BadNodeIdUnknown"
        children = await client.get_node(world.node_id("HeatDispatch")).get_children()
        assert [child.nodeid.Identifier for child in children] == ["town"]
        for name in ("school", "school/Schedule/HeatKw/EngineeringUnits"):
            assert await client.get_node(world.node_id(name)).get_references() == []
        with pytest.raises(ua.UaStatusCodeError) as uncalled:
            await client.get_node(world.node_id("school/Plant")).call_method(
                world.node_id("school/Plant/SubmitOverride"), 0.0, "not ours"
            )
        assert uncalled.value.code == ua.StatusCodes.BadNodeIdUnknown
        subscription = await client.create_subscription(100, Notes())
        with pytest.raises(ua.UaStatusCodeError) as unsubscribed:
            await subscription.subscribe_data_change(client.get_node(world.node_id("school/Heartbeat/Counter")))
        assert unsubscribed.value.code == ua.StatusCodes.BadNodeIdUnknown
        with pytest.raises(ua.UaStatusCodeError):
            await client.nodes.objects.get_child([f"{world.index}:HeatDispatch", f"{world.index}:school"])
        town = await client.nodes.objects.get_child([f"{world.index}:HeatDispatch", f"{world.index}:town"])
        assert town.nodeid == world.node_id("town")

    as_town(world, story)
    assert not world.desk.letters


def test_nothing_can_be_written_or_made(world: OpcuaWorld) -> None:
    async def story(client: Client) -> None:
        node = client.get_node(world.node_id("town/Heartbeat/BoilerNeeded"))
        with pytest.raises(ua.UaStatusCodeError):
            await node.write_value(ua.DataValue(ua.Variant(False, ua.VariantType.Boolean)))
        with pytest.raises(ua.UaStatusCodeError):
            await client.get_node(world.node_id("town")).add_object(world.index, "more")
        with pytest.raises(ua.UaStatusCodeError):
            await client.delete_nodes([node])
        assert await node.read_value() is False

    as_town(world, story)
    assert {one.sender for one in world.desk.refusals} == {"town-plant"}


def test_the_plants_own_client_reads_speaks_and_comes_back(world: OpcuaWorld) -> None:
    async def story() -> None:
        client = OpcuaPlantClient(
            world.url, "town", certificate=str(world.trusted / "town-plant.der"), key=str(world.keys.key),
            server_certificate=str(world.server_certificate),
        )  # fmt: skip
        assert await client.schedule() is None
        running = asyncio.create_task(client.run())
        try:
            await until(lambda: not client.trouble())
            found = await client.schedule()
            assert found is not None
            assert found["sequence"] == 1
            beat = await client.heartbeat()
            assert beat is not None
            assert (beat.mode, beat.boiler_on, beat.boiler_kw, beat.operator_silent) == (LinkMode.AUTO, False, 0.0, False)
            end = (world.clock.now_utc() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            asked = {"heatKw": 30.0, "start": found["validFrom"], "end": end}
            assert (await client.say("request", asked)).accepted
            assert not (await client.say("request", {"heatKw": "much"})).accepted
            assert (await client.say("nonsense", {})).reason.startswith("kind: must be one of")
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    asyncio.run(story())
    assert isinstance(world.desk.letters[0].body, HeatRequest)


def test_a_client_without_the_right_certificate_learns_why_in_its_trouble(world: OpcuaWorld, tmp_path: Path) -> None:
    async def story() -> None:
        stranger = world.keys.certificate("stranger", tmp_path / "stranger.der")
        client = OpcuaPlantClient(
            world.url,
            "town",
            certificate=str(stranger),
            key=str(world.keys.key),
            server_certificate=str(world.server_certificate),
        )
        running = asyncio.create_task(client.run())
        await until(lambda: client.trouble() != "not connected yet")
        assert world.url in client.trouble()
        assert not (await client.say("heartbeat", {"counter": 1})).accepted
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(story())
    assert any("is not trusted" in one.what for one in world.desk.refusals)
