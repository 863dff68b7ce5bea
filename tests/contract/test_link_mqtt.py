"""What a plant sees and says over a real broker: amqtt always, Debian's mosquitto (also MQTT 5) where it is installed."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import aiomqtt
import pytest
from link_broker import MOSQUITTO, USER, BrokerFiles, LinkBroker, link_broker
from link_world import CITY, SITE, World, until, until_is
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.devcluster.certificates import Subject, make_authority, make_certificate
from scheduler.adapters.plantlink.keeping import NOT_KEPT
from scheduler.adapters.plantlink.mqtt import plant as plant_side
from scheduler.adapters.plantlink.mqtt.client import MqttInterface
from scheduler.adapters.plantlink.mqtt.plant import MqttPlantClient
from scheduler.core.publishing.letters import KINDS
from scheduler.core.publishing.message import stamp
from scheduler.core.publishing.payloads import kind_of
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import MqttOptions, TlsFiles
from scheduler.domain.plantlink import Letter, ManualOverride, Receipt

needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed (apt-get install mosquitto)")
KINDS_OF_BROKER = [
    pytest.param(("amqtt", 4), id="amqtt-3.1.1"),
    pytest.param(("mosquitto", 4), id="mosquitto-3.1.1", marks=needs_mosquitto),
    pytest.param(("mosquitto", 5), id="mosquitto-5", marks=needs_mosquitto),
]
Found = TypeVar("Found")
SECRET = "a-password-nobody-may-read"


@dataclass(frozen=True)
class Wire:
    """A broker and the version that is spoken with it."""

    broker: LinkBroker
    version: int

    def prefix(self, story: str) -> str:
        """Of all topics of one story: brokers are shared."""
        return f"{story}/v{self.version}"

    def letters(self, story: str) -> str:
        return f"{self.prefix(story)}/{SITE}/{CITY}/plant"

    def options(self, story: str, **changed: object) -> MqttOptions:
        made = MqttOptions(
            host="127.0.0.1", port=self.broker.port, version=self.version, plain=True, prefix=self.prefix(story), listens=True,
            offtakes=(CITY,), client_id=f"us-{story}-{self.version}",
        )  # fmt: skip
        return replace(made, **changed)  # type: ignore[arg-type]  # fields by name


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], LinkBroker]]:
    running: dict[str, LinkBroker] = {}

    def of(kind: str) -> LinkBroker:
        if kind not in running:
            running[kind] = LinkBroker(kind=kind, folder=tmp_path_factory.mktemp(kind))
            running[kind].start()
        return running[kind]

    yield of
    for broker in running.values():
        broker.kill()


@pytest.fixture(params=KINDS_OF_BROKER)
def wire(request: pytest.FixtureRequest, brokers: Callable[[str], LinkBroker]) -> Wire:
    kind, version = request.param
    return Wire(brokers(kind), version)


@asynccontextmanager
async def running(*jobs: Awaitable[None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Jobs beside the test; one that failed fails it."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [one for one in found if one is not None and not isinstance(one, asyncio.CancelledError)] == []


def plant_at(options: MqttOptions) -> MqttPlantClient:
    return MqttPlantClient(replace(options, client_id=f"plant-{options.client_id}"), SITE, CITY)


async def _is(asked: Awaitable[Found], right: Callable[[Found], bool]) -> bool:
    return right(await asked)


async def beating(world: World) -> None:
    while True:
        await world.beat()
        await asyncio.sleep(0.1)


@asynccontextmanager
async def overheard(wire: Wire, story: str) -> AsyncIterator[list[aiomqtt.Message]]:
    """All that goes over a broker of one story, as a client that is not ours hears it."""
    heard: list[aiomqtt.Message] = []
    version = aiomqtt.ProtocolVersion.V5 if wire.version == 5 else aiomqtt.ProtocolVersion.V311
    async with aiomqtt.Client("127.0.0.1", wire.broker.port, protocol=version) as client:
        await client.subscribe(f"{wire.prefix(story)}/#", qos=1)

        async def listen() -> None:
            async for message in client.messages:
                # amqtt hands out what it has retained under other topics, too.
                if str(message.topic).startswith(wire.prefix(story)):
                    heard.append(message)

        task = asyncio.create_task(listen())
        try:
            yield heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def on(heard: list[aiomqtt.Message], name: str) -> list[bytes]:
    return [bytes(one.payload) for one in heard if str(one.topic).endswith(f"/{SITE}/{CITY}/{name}")]


async def said(wire: Wire, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
    async with aiomqtt.Client("127.0.0.1", wire.broker.port) as client:
        await client.publish(topic, payload, qos=qos, retain=retain)


def test_we_are_online_only_once_the_schedule_stands(wire: Wire) -> None:
    async def story() -> None:
        world = World()
        await world.plan(7)
        async with overheard(wire, "order") as heard, running(MqttInterface(wire.options("order"), world, SystemClock()).run()):
            await until(lambda: bool(on(heard, "heartbeat")))
            first = [str(one.topic).rpartition("/")[2] for one in heard[:3]]
            assert first == ["schedule", "status", "heartbeat"]
            assert on(heard, "schedule") == [world.boards()[CITY].schedule_json]
            assert on(heard, "status") == [b"online"]
            beat = json.loads(on(heard, "heartbeat")[0])
            assert (beat["lastSequence"], beat["boilerOn"]) == (7, False)
            if wire.version == 5:
                properties = heard[0].properties
                assert properties is not None
                told = properties.json()  # type: ignore[no-untyped-call]  # paho's
                assert (told["ContentType"], told["UserProperty"]) == ("application/json", [("schemaVersion", "1.0")])
                assert 7000 < told["MessageExpiryInterval"] <= 7200
        async with overheard(wire, "order") as late:
            await until(lambda: len(late) >= 2)
            assert {str(one.topic).rpartition("/")[2]: bytes(one.payload) for one in late} == {
                "schedule": world.boards()[CITY].schedule_json,
                "status": b"offline",
            }

    asyncio.run(story())


def test_a_new_schedule_a_cancel_and_none_at_all_arrive(wire: Wire) -> None:
    async def story() -> None:
        world = World()
        plant = plant_at(wire.options("news"))
        link = MqttInterface(wire.options("news"), world, SystemClock())
        async with running(link.run(), plant.run(), beating(world)):
            await until_is(lambda: _is(plant.heartbeat(), lambda beat: beat is not None and beat.boiler_on))
            assert await plant.schedule() is None
            made = await world.plan(1)
            await until_is(lambda: _is(plant.schedule(), lambda found: found == made))
            await until_is(lambda: _is(plant.heartbeat(), lambda beat: beat is not None and not beat.boiler_on))
            cancel = await world.plan(2, kind="cancel")
            await until_is(lambda: _is(plant.schedule(), lambda found: found == cancel))
            await until_is(lambda: _is(plant.heartbeat(), lambda beat: beat is not None and beat.boiler_on))
            await world.post(CITY, None)
            await until_is(lambda: _is(plant.schedule(), lambda found: found is None))
            assert link.trouble() == ""

    asyncio.run(story())


def test_all_kinds_of_letters_are_kept_and_answered(wire: Wire) -> None:
    async def story() -> None:
        world = World(tank_kwh=100.0)
        made = await world.plan(3)
        now, later = made["issuedAt"], made["validUntil"]
        letters: dict[str, dict[str, object]] = {
            # Where a busy broker makes the link connect anew, only a forecast that says its time is believed at once.
            "demand": {"start": now, "stepSeconds": 3600, "heatKw": [100.0, None], "issuedAt": now},
            "request": {"heatKw": 120.0, "start": now, "end": later},
            "network": {"at": now, "supplyC": 71.5},
            "tank": {"at": now, "levelKwh": 50.0},
            "acknowledgement": {"sequence": 3, "verdict": "accepted"},
            "maintenance": {"id": "pump", "start": now, "end": later, "availableKw": 0.0},
            "override": {"limitKw": 10.0, "reason": "leak"},
            "heartbeat": {"counter": 5},
            "meter": {"meterPointId": "meter", "at": now, "energyKwh": 12.5},
        }
        assert set(letters) == set(KINDS)
        plant = plant_at(wire.options("letters"))
        link = MqttInterface(wire.options("letters"), world, SystemClock())
        async with running(link.run(), plant.run(), beating(world)):
            await until(lambda: plant.trouble() == "" and link.trouble() == "")
            for kind, payload in letters.items():
                assert (await plant.say(kind, payload)).accepted, kind
            assert (await plant.say("tank", {"at": now, "levelKwh": 500.0})).reason == "levelKwh: more than the tank holds"
            assert not (await plant.say("heartbeat", {"counter": -1})).accepted
            assert "kind" in (await plant.say("valve", {})).reason
        assert [kind_of(one.body) for one in world.letters] == list(letters)
        assert all(one.sender.authenticated for one in world.letters)

    asyncio.run(story())


HOSTILE = [
    b"\xff\xfe", b"null", b"[]", b'"x"', b"{", b'{"counter":1,"counter":2}', b'{"counter":NaN}', b'{"counter":1e400}',
    b"[" * 5000,
    b'{"at":"2026-01-01T00:00:00Z","supplyC":1e9}', b'{"limitKw":-1}', b'{"sequence":99,"verdict":"accepted"}', b"\x00" * 100,
    b'{"reason":"\\ud800"}', b"9" * 6000, b'{"\\u0000":1}',
]  # fmt: skip


def test_what_is_hostile_is_refused_and_stops_nothing(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        world = World()
        await world.plan(1)
        link = MqttInterface(wire.options("hostile"), world, SystemClock())
        plant = plant_at(wire.options("hostile"))
        root = wire.letters("hostile")
        async with running(link.run(), plant.run(), beating(world)):
            await until(lambda: plant.trouble() == "")
            async with aiomqtt.Client("127.0.0.1", wire.broker.port) as enemy:
                for i in range(200):
                    kind = [*KINDS, "valve", "HEARTBEAT", "$share", " "][i % (len(KINDS) + 4)]
                    if b'"limitKw":-1' in HOSTILE[i % len(HOSTILE)] or kind != "override":
                        await enemy.publish(f"{root}/{kind}", HOSTILE[i % len(HOSTILE)], qos=i % 3)
            await world.plan(2)
            await until_is(lambda: _is(plant.schedule(), lambda found: found is not None and found["sequence"] == 2))
            await until(lambda: len(world.refusals) >= 100)
            assert len(world.letters) == 0
            assert link.trouble() == ""

    asyncio.run(story())
    assert not [one for one in caplog.records if one.exc_info or one.levelno >= logging.WARNING]


def test_more_than_anybody_needs_to_say_is_not_heard(wire: Wire) -> None:
    async def story() -> None:
        world = World()
        link = MqttInterface(wire.options("flood"), world, SystemClock())
        plant = plant_at(wire.options("flood"))
        async with running(link.run(), plant.run()):
            await until(lambda: plant.trouble() == "")
            async with aiomqtt.Client("127.0.0.1", wire.broker.port) as enemy:
                for counter in range(200):
                    await enemy.publish(f"{wire.letters('flood')}/heartbeat", json.dumps({"counter": counter}).encode(), qos=1)
                await enemy.publish(f"{wire.letters('flood')}/override", b"{}", qos=1)
            await until(lambda: any(isinstance(one.body, ManualOverride) for one in world.letters))
            assert 20 <= len(world.letters) < 100
            assert any("too" in one.what for one in world.refusals)

    asyncio.run(story())


@pytest.mark.parametrize("wire", KINDS_OF_BROKER[1:], indirect=True)
def test_a_message_of_megabytes_makes_us_deaf_not_dumb(wire: Wire) -> None:
    async def story() -> None:
        world = World()
        link = MqttInterface(wire.options("large"), world, SystemClock())
        plant = plant_at(wire.options("large"))
        async with running(link.run(), plant.run(), beating(world)):
            await until(lambda: plant.trouble() == "")
            await said(wire, f"{wire.letters('large')}/demand", b" " * 3_000_000)
            if wire.version == 4:
                await until(lambda: "far too long" in link.trouble())
            await world.plan(1)
            await until_is(lambda: _is(plant.schedule(), lambda found: found is not None and found["sequence"] == 1))
            assert not world.letters

    asyncio.run(story())


def test_a_retained_override_does_not_come_again_with_each_connection(wire: Wire) -> None:
    async def story() -> None:
        world = World()
        made = await world.plan(4)
        root = wire.letters("kept")
        await said(wire, f"{root}/override", b"{}", retain=True)
        await said(wire, f"{root}/heartbeat", b'{"counter":1}', retain=True)
        await said(wire, f"{root}/acknowledgement", b'{"sequence":4,"verdict":"rejected"}', retain=True)
        await said(wire, f"{root}/network", json.dumps({"at": made["issuedAt"], "supplyC": 70.0}).encode(), retain=True)
        async with running(MqttInterface(wire.options("kept"), world, SystemClock()).run()):
            await until(lambda: len(world.letters) + len(world.refusals) >= 4)
        assert {kind_of(one.body) for one in world.letters} == {"network"}
        assert all("retain" in one.what for one in world.refusals)

    asyncio.run(story())


def test_who_is_not_in_charge_says_nothing(wire: Wire) -> None:
    async def story() -> None:
        world = World()
        await world.plan(1)
        world.in_charge = False
        async with overheard(wire, "charge") as heard:
            link = MqttInterface(wire.options("charge"), world, SystemClock())
            async with running(link.run(), beating(world)):
                await asyncio.sleep(0.5)
                assert [str(one.topic) for one in heard] == []
                world.in_charge = True
                await until(lambda: on(heard, "status") == [b"online"])
                world.in_charge = False
                await until(lambda: on(heard, "status") == [b"online", b"offline"])
                said_then = len(heard)
                await world.plan(2)
                await asyncio.sleep(0.5)
                assert len(heard) == said_then
                assert link.trouble() == ""

    asyncio.run(story())


def test_the_next_replica_takes_over_and_has_the_last_word(wire: Wire) -> None:
    async def story() -> None:
        before, after = World(), World()
        after.in_charge = False
        await before.plan(1)
        made = await after.plan(2)
        options = wire.options("replicas")
        async with overheard(wire, "replicas") as heard:
            links = [MqttInterface(options, world, SystemClock()) for world in (before, after)]
            async with running(*(link.run() for link in links), beating(before), beating(after)):
                await until(lambda: on(heard, "status") == [b"online"])
                after.in_charge, before.in_charge = True, False
                await until(lambda: on(heard, "status") == [b"online", b"offline", b"online"])
                await asyncio.sleep(1.5)
                assert on(heard, "status") == [b"online", b"offline", b"online"]
                assert json.loads(on(heard, "schedule")[-1]) == made
                assert [link.trouble() for link in links] == ["", ""]

    asyncio.run(story())


class Locked(World):
    """A desk whose database is locked until it is not."""

    locked = True

    async def hand_in(self, letter: Letter) -> Receipt:
        return NOT_KEPT if self.locked else await super().hand_in(letter)


def test_a_letter_that_cannot_be_kept_is_tried_again_and_the_plant_is_told(wire: Wire) -> None:
    async def story() -> None:
        world, options = Locked(), wire.options("locked")
        plant = plant_at(options)
        async with overheard(wire, "locked") as heard, running(MqttInterface(options, world, SystemClock()).run(), plant.run()):
            await until(lambda: plant.trouble() == "")
            receipt = await plant.say("override", {"limitKw": 3.0})
            assert (receipt.accepted, receipt.again) == (False, True)
            assert not world.letters
            world.locked = False
            await until(lambda: [one.body for one in world.letters] == [ManualOverride(limit_kw=3.0)])
            await until(lambda: len(on(heard, "receipts")) == 2)
            assert [json.loads(one)["accepted"] for one in on(heard, "receipts")] == [False, True]

    asyncio.run(story())


@pytest.mark.parametrize("wire", KINDS_OF_BROKER[1:], indirect=True)
def test_a_letter_that_was_not_kept_when_we_ended_comes_again(wire: Wire) -> None:
    async def story() -> None:
        before, after, options = Locked(), World(), wire.options("unkept")
        plant = plant_at(options)
        async with running(MqttInterface(options, before, SystemClock()).run(), plant.run()):
            await until(lambda: plant.trouble() == "")
            assert (await plant.say("override", {"limitKw": 4.0})).again
        async with running(MqttInterface(options, after, SystemClock()).run()):
            await until(lambda: [one.body for one in after.letters] == [ManualOverride(limit_kw=4.0)])
        assert not before.letters

    asyncio.run(story())


@pytest.mark.parametrize("wire", KINDS_OF_BROKER[1:], indirect=True)
def test_what_lay_at_the_broker_is_worth_what_it_says_of_its_time(wire: Wire) -> None:
    async def story() -> None:
        world, options = World(), wire.options("late")
        made = await world.plan(3)
        now = str(made["issuedAt"])
        forecast = {"start": now, "stepSeconds": 3600, "heatKw": [100.0]}
        plant, root = plant_at(options), wire.letters("late")
        async with running(MqttInterface(options, world, SystemClock()).run(), plant.run()):
            await until(lambda: plant.trouble() == "")
            # Nothing lay there: what does not say its time is of now.
            assert (await plant.say("heartbeat", {"counter": 1})).accepted
            assert (await plant.say("demand", forecast)).accepted
        world.letters.clear()
        letters: list[tuple[str, dict[str, object]]] = [
            ("heartbeat", {"counter": 2}), ("demand", forecast), ("demand", {**forecast, "issuedAt": now}), ("override", {}),
            ("request", {"heatKw": 5.0, "start": now, "end": made["validUntil"]}),
        ]  # fmt: skip
        for kind, payload in letters:
            await said(wire, f"{root}/{kind}", json.dumps(payload).encode())
        async with running(MqttInterface(options, world, SystemClock()).run()):
            await until(lambda: len(world.letters) + len(world.refusals) >= len(letters))
        assert [kind_of(one.body) for one in world.letters] == ["demand", "override", "request"]
        assert ["lain at the broker" in one.what for one in world.refusals] == [True, True]

    asyncio.run(story())


@needs_mosquitto
def test_an_answer_counts_from_when_it_says_that_it_was_given(brokers: Callable[[str], LinkBroker]) -> None:
    async def story() -> None:
        wire = Wire(brokers("mosquitto"), 5)
        world, options = World(), wire.options("said-at")
        await world.plan(3)
        said_utc = SystemClock().now_utc() - timedelta(minutes=50)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
        properties.UserProperty = [("saidAt", stamp(said_utc))]
        version = aiomqtt.ProtocolVersion.V5
        async with (
            running(MqttInterface(options, world, SystemClock()).run()),
            aiomqtt.Client("127.0.0.1", wire.broker.port, protocol=version) as client,
        ):
            root, answer = wire.letters("said-at"), b'{"sequence": 3, "verdict": "rejected"}'
            # Until somebody listens a letter without retain goes nowhere.
            while not world.letters:
                await client.publish(f"{root}/acknowledgement", answer, qos=1, properties=properties)
                await asyncio.sleep(0.1)
            await client.publish(f"{root}/heartbeat", b'{"counter": 1}', qos=1, properties=properties)
            await until(lambda: bool(world.refusals))
        assert world.letters[0].received_utc == said_utc.replace(microsecond=0)
        assert "too old" in world.refusals[0].what

    asyncio.run(story())


@pytest.mark.parametrize("wire", KINDS_OF_BROKER[1:], indirect=True)
def test_what_was_said_while_we_were_away_is_heard_on_return(wire: Wire) -> None:
    async def story() -> None:
        world, options = World(), wire.options("away")
        plant = plant_at(options)
        async with running(MqttInterface(options, world, SystemClock()).run(), plant.run()):
            await until(lambda: plant.trouble() == "")
        await said(wire, f"{wire.letters('away')}/override", b'{"limitKw": 3}')
        async with running(MqttInterface(options, world, SystemClock()).run()):
            await until(lambda: [one.body for one in world.letters] == [ManualOverride(limit_kw=3.0)])

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["amqtt", pytest.param("mosquitto", marks=needs_mosquitto)])
def test_a_broker_that_forgot_everything_is_told_again(kind: str, tmp_path: Path) -> None:
    async def story(broker: LinkBroker) -> None:
        world, wire = World(), Wire(broker, 4)
        await world.plan(1)
        plant, link = (
            plant_at(wire.options("again")),
            MqttInterface(wire.options("again"), world, SystemClock()),
        )
        async with running(link.run(), plant.run(), beating(world)):
            await until_is(lambda: _is(plant.schedule(), lambda found: found is not None))
            await asyncio.to_thread(broker.kill)
            await until(lambda: link.trouble() != "" and plant.trouble() != "")
            assert await plant.heartbeat() is None
            assert not (await plant.say("heartbeat", {"counter": 1})).accepted
            await world.plan(2)
            await asyncio.to_thread(broker.start)
            await until_is(lambda: _is(plant.schedule(), lambda found: found is not None and found["sequence"] == 2))
            await until(lambda: link.trouble() == "" and plant.trouble() == "")

    with link_broker(tmp_path, kind) as broker:
        asyncio.run(story(broker))


@pytest.mark.parametrize("kind", ["amqtt", pytest.param("mosquitto", marks=needs_mosquitto)])
def test_a_broker_that_refuses_us_is_asked_again_with_what_the_file_says_then(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = tmp_path / "password"
    password.write_text(SECRET + "-wrong\n")
    caplog.set_level(logging.DEBUG)

    async def story(broker: LinkBroker) -> None:
        world = World()
        options = Wire(broker, 4).options("refused", username=USER, password_file=str(password))
        link, plant = MqttInterface(options, world, SystemClock()), plant_at(options)
        async with running(link.run(), plant.run(), beating(world)):
            await until(lambda: link.trouble() != "")
            assert SECRET not in link.trouble() + plant.trouble()
            password.write_text(SECRET + "\n")
            await until(lambda: link.trouble() == "" and plant.trouble() == "")

    with link_broker(tmp_path / "broker", kind, password=SECRET) as broker:
        asyncio.run(story(broker))
    assert SECRET not in caplog.text


@needs_mosquitto
def test_tls_with_a_certificate_of_ours_and_no_other_broker(tmp_path: Path) -> None:
    make_authority(tmp_path, "ca", "plant")
    make_authority(tmp_path, "other", "other")
    make_certificate(tmp_path, "broker", "ca", Subject(name="broker", alternatives=("IP:127.0.0.1",)))
    make_certificate(tmp_path, "us", "ca", Subject(name="us", alternatives=("DNS:us",), client=True))
    files = BrokerFiles(certificate=tmp_path / "broker.crt", key=tmp_path / "broker.key", client_ca=tmp_path / "ca.crt")
    ours = TlsFiles(certificate=str(tmp_path / "us.crt"), key=str(tmp_path / "us.key"))

    async def story(broker: LinkBroker) -> None:
        world, wire = World(), Wire(broker, 5)
        good = wire.options("tls", plain=False, ca=str(tmp_path / "ca.crt"), tls=ours)
        links = [
            MqttInterface(options, world, SystemClock())
            for options in (
                good,
                replace(good, ca=str(tmp_path / "other.crt"), client_id="b"),
                replace(good, tls=None, client_id="c"),
            )
        ]
        plant = plant_at(good)
        async with running(plant.run(), *(link.run() for link in links)):
            await until(lambda: links[1].trouble() != "" and links[2].trouble() != "" and plant.trouble() == "")
            assert [bool(link.trouble()) for link in links] == [False, True, True]
            assert "certificate" in links[1].trouble().lower()

    with link_broker(tmp_path / "broker", "mosquitto", tls=files) as broker:
        asyncio.run(story(broker))


@needs_mosquitto
def test_the_access_list_of_the_manual_lets_us_and_the_plant_through_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plant_side, "RECEIPT_S", 1.5)
    manual = (Path(__file__).parents[2] / "docs" / "plant-mqtt.md").read_text(encoding="utf-8")
    acl = manual.partition("# /etc/mosquitto/acl\n")[2].partition("```")[0]
    acl = acl.replace("/town/", f"/{SITE}/").replace("/district-north/", f"/{CITY}/") + "user stranger\ntopic read #\n"
    (tmp_path / "password").write_text(SECRET)

    def seen_by(user: str, broker: LinkBroker) -> MqttOptions:
        made = Wire(broker, 5).options("", prefix="heat-dispatch", client_id=user)
        return replace(made, username=user, password_file=str(tmp_path / "password"))

    async def story(broker: LinkBroker) -> None:
        world = World()
        made = await world.plan(1)
        link = MqttInterface(seen_by("heat-dispatch", broker), world, SystemClock())
        plant = MqttPlantClient(seen_by("district-north", broker), SITE, CITY)
        stranger = MqttPlantClient(seen_by("stranger", broker), SITE, CITY)
        impostor = MqttInterface(seen_by("stranger", broker), World(), SystemClock())
        async with running(link.run(), plant.run(), beating(world)):
            await until_is(lambda: _is(plant.schedule(), lambda found: found == made))
            assert (await plant.say("override", {"limitKw": 5.0})).accepted
            async with running(stranger.run()):
                await until(lambda: stranger.trouble() == "")
                answers = await asyncio.gather(
                    stranger.say("override", {"limitKw": 0.0}), plant.say("heartbeat", {"counter": 1})
                )
                assert [one.accepted for one in answers] == [False, True]
            async with running(impostor.run()):
                await until(lambda: "Not authorized" in impostor.trouble())
            assert await plant.schedule() == made
        assert {kind_of(one.body) for one in world.letters} == {"override", "heartbeat"}

    with link_broker(tmp_path / "broker", "mosquitto", password=SECRET, acl=acl) as broker:
        asyncio.run(story(broker))


@needs_mosquitto
@pytest.mark.skipif(shutil.which("mosquitto_sub") is None, reason="mosquitto-clients is not installed")
def test_debians_clients_read_the_schedule_and_write_a_letter(brokers: Callable[[str], LinkBroker]) -> None:
    wire = Wire(brokers("mosquitto"), 5)
    root, port = f"{wire.prefix('debian')}/{SITE}/{CITY}", str(wire.broker.port)

    async def story() -> None:
        world = World()
        await world.plan(6)
        async with running(MqttInterface(wire.options("debian"), world, SystemClock()).run()) as tasks:
            del tasks
            await until(lambda: world.boards()[CITY].schedule is not None)
            ask = ["mosquitto_sub", "-V", "5", "-p", port, "-C", "1", "-W", "10", "-t", f"{root}/schedule"]
            read = await asyncio.to_thread(subprocess.run, ask, capture_output=True, check=True)
            assert read.stdout.strip() == world.boards()[CITY].schedule_json
            letter = ["mosquitto_pub", "-V", "5", "-p", port, "-q", "1", "-t", f"{root}/plant/override", "-m", '{"limitKw":5}']
            await asyncio.to_thread(subprocess.run, letter, capture_output=True, check=True)
            await until(lambda: len(world.letters) == 1)
            assert world.letters[0].body == ManualOverride(limit_kw=5.0)

    asyncio.run(story())


def test_a_customer_that_nobody_knows_is_told_of(wire: Wire) -> None:
    async def story() -> None:
        link = MqttInterface(wire.options("typo", offtakes=("citty",)), World(), SystemClock())
        async with running(link.run()):
            await until(lambda: link.trouble() == "citty: no such customer")

    asyncio.run(story())


def test_files_that_cannot_be_used_end_it_before_it_begins(tmp_path: Path) -> None:
    options = MqttOptions(offtakes=(CITY,), ca=str(tmp_path / "missing"))
    with pytest.raises(Misconfigured, match="No such file"):
        asyncio.run(MqttInterface(options, World(), SystemClock()).run())
