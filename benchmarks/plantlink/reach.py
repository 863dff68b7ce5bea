"""How soon a plan can be read over each interface: one link with all of them in a process of its own, a client of each here."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from link_broker import LinkBroker, link_broker
from link_kills import TOKEN, free_port
from link_offers import TOWN, offer, sign

from benchmarks.rows import Row, quantile
from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.adapters.plantlink.store.publisher import StoredPublisher
from scheduler.adapters.plantside.clients import plant_client
from scheduler.adapters.plantside.options import PlantsideOptions
from scheduler.domain.link_options import Credential, LinkOptions, ModbusOptions, MqttOptions, OpcuaOptions, RestOptions
from scheduler.domain.plantlink import LinkProtocol
from scheduler.entrypoints.link.interfaces import interfaces_of
from scheduler.entrypoints.link.process import LinkPlace, PlantLink
from scheduler.ports import PlantClient

WAIT_S, LOOK_S, LIFE_S = 60.0, 0.02, 2.0
REACH_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Ports and files of one run."""

    database: str
    secret: str
    rest: int
    modbus: int
    opcua: int
    mqtt: int


def options_of(place: Place) -> LinkOptions:
    """Every interface, without TLS, on loopback."""
    plant = Credential(name="plc", secret_file=place.secret, offtakes=("town",))
    return LinkOptions(
        site_id="site",
        rest=RestOptions(port=place.rest, credentials=(plant,), requests_per_s=500.0, burst=500),
        modbus=ModbusOptions(port=place.modbus, units={1: "town"}),
        opcua=OpcuaOptions(port=place.opcua, insecure_reading=True),
        mqtt=(MqttOptions(port=place.mqtt, plain=True, version=4, offtakes=("town",)),),
    )


def run_link(place: Place) -> None:
    """The link's process."""
    options, store = options_of(place), LinkStore(place.database)
    asyncio.run(PlantLink(options, interfaces_of(options), store, SystemClock(), LinkPlace(host="here", pages_port=0)).run())


def clients_of(place: Place) -> dict[str, PlantClient]:
    """A plant's client of each protocol."""
    sides = {
        LinkProtocol.REST: f"http://127.0.0.1:{place.rest}",
        LinkProtocol.MODBUS: f"127.0.0.1:{place.modbus}",
        LinkProtocol.OPCUA: f"opc.tcp://127.0.0.1:{place.opcua}",
        LinkProtocol.MQTT: f"mqtt://127.0.0.1:{place.mqtt}",
    }
    found: dict[str, PlantClient] = {}
    for protocol, address in sides.items():
        secret = place.secret if protocol is LinkProtocol.REST else ""
        one = PlantsideOptions(
            protocol=protocol, address=address, offtake_id="town", site_id="site", secret_file=secret, mqtt_version=4
        )
        found[protocol.value] = plant_client(one)
    return found


def reach_rows(folder: Path, plans: int) -> list[Row]:
    """Seconds from handing a plan over until a client holds it, by interface."""
    secret = folder / "reach-secret"
    secret.write_text(TOKEN, encoding="utf-8")
    with ExitStack() as stack:
        broker: LinkBroker = stack.enter_context(link_broker(folder / "broker"))
        place = Place(
            database=str(folder / "reach.sqlite"), secret=str(secret), rest=free_port(), modbus=free_port(), opcua=free_port(),
            mqtt=broker.port,
        )  # fmt: skip
        LinkStore(place.database).close()
        link = multiprocessing.get_context("spawn").Process(target=run_link, args=(place,))
        link.start()
        try:
            times_s = asyncio.run(measured(place, plans))
        finally:
            link.terminate()
            link.join(20.0)
    return [
        Row(
            key=f"reach_{name}",
            what=f"a plan can be read over {name}, worst of {len(found)}",
            value=max(found),
            unit="s",
            at_most=REACH_S,
            behind={"median s": round(quantile(found, 0.5), 3)},
        )
        for name, found in times_s.items()
    ]


async def measured(place: Place, plans: int) -> dict[str, list[float]]:
    """Publish plan after plan, and wait until every client has it."""
    store, clock, clients = LinkStore(place.database), SystemClock(), clients_of(place)
    publisher = StoredPublisher(store, clock, lambda: replace(sign(), at_utc=clock.now_utc()), lambda: (TOWN,))
    held = [asyncio.create_task(one.run()) for one in clients.values()]
    living = asyncio.create_task(_live(store, clock))
    found: dict[str, list[float]] = {name: [] for name in clients}
    try:
        for number in range(plans + 1):
            began_s = time.perf_counter()
            await publisher.publish([offer(100.0 + number, at_utc=clock.now_utc(), slots=192)], ())
            each = await asyncio.gather(*(_reached(one, number + 1, began_s) for one in clients.values()))
            # With the first one connections are made.
            for name, took_s in zip(clients, each, strict=True) if number else ():
                found[name].append(took_s)
            await asyncio.sleep(0.1)
    finally:
        for task in (*held, living):
            task.cancel()
        await asyncio.gather(*held, living, return_exceptions=True)
        store.close()
    return found


async def _live(store: LinkStore, clock: SystemClock) -> None:
    while True:
        store.live(replace(sign(), at_utc=clock.now_utc()))
        await asyncio.sleep(LIFE_S)


async def _reached(client: PlantClient, sequence: int, began_s: float) -> float:
    """Seconds until a client holds a sequence."""
    while time.perf_counter() - began_s < WAIT_S:
        schedule = await client.schedule()
        if schedule is not None and schedule.get("sequence") == sequence:
            return time.perf_counter() - began_s
        await asyncio.sleep(LOOK_S)
    raise TimeoutError(f"sequence {sequence} cannot be read: {client.trouble()}")
