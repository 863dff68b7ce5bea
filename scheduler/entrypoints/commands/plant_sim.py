"""`heat-dispatch plant-sim`: a software plant that talks to the plant link, or to one of its own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantside.clients import plant_client
from scheduler.adapters.plantside.options import PlantsideOptions
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plantlink import LinkProtocol
from scheduler.domain.time import utc
from scheduler.entrypoints.console import EXIT_FAILED, err, friendly, talk, write_json
from scheduler.entrypoints.options import JsonFile
from scheduler.entrypoints.plantsim.clock import PacedClock
from scheduler.entrypoints.plantsim.interfaces import DemoLink, demo_link
from scheduler.entrypoints.plantsim.sender import DemoSender
from scheduler.entrypoints.plantsim.session import LINE_EVERY_S, PlantSession
from scheduler.simulate.plant.faults import OF_SENDER, Fault, fault_of
from scheduler.simulate.plant.plant import SoftwarePlant
from scheduler.simulate.plant.sender import MadeUp
from scheduler.simulate.plant.spec import PlantSpec, sized_for
from scheduler.simulate.plant.summary import Summary
from scheduler.simulate.plant.talk import PlantTalk
from scheduler.views.plant_sim import PlantScreen, line_of

HELP = """Be a heat plant: a district with tank, boiler and a PLC that reads schedules and heartbeats, and answers them.

It talks to a plant link that runs (`--address`), or with `--demo` to one of its own on this machine, which shows schedules that
are made up: nothing else is needed. Faults are played with `--fault KIND@START+LENGTH`, in seconds of the plant's time.
Exit code 1: nothing was ever heard.

**Examples**

    heat-dispatch plant-sim --demo --speed 60

    heat-dispatch plant-sim --demo --protocol modbus --speed 60 --seconds 3600 --fault cut@1200+300

    heat-dispatch plant-sim --protocol rest --address https://link.example:8443 --offtake town --secret-file token --ca ca.pem
"""
DEMO_START_UTC = utc("2026-01-12T07:30:00+00:00")
DEMO_OFFTAKE, DEMO_SITE = "town", "demo-site"
MAX_SPEED, MAX_MQTT_SPEED = 600.0, 20.0


class Protocol(StrEnum):
    """What a plant can speak."""

    REST = "rest"
    MODBUS = "modbus"
    OPCUA = "opcua"
    MQTT = "mqtt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for."""

    options: PlantsideOptions
    spec: PlantSpec
    faults: tuple[Fault, ...]
    demo: bool
    speed: float
    seconds: float | None
    files: Path | None = None


@friendly
def plant_sim(  # noqa: PLR0913 - one parameter per option of the command
    protocol: Annotated[Protocol, typer.Option(help="How to speak.")] = Protocol.REST,
    address: Annotated[
        str,
        typer.Option(help="Of the link: https://host:8443, host:502, opc.tcp://host:4840; of the broker: mqtts://host:8883."),
    ] = "",
    offtake: Annotated[str, typer.Option(help="Whose heat: the name of the HeatOfftake.")] = DEMO_OFFTAKE,
    site: Annotated[str, typer.Option(help="The site's name; MQTT needs it.")] = DEMO_SITE,
    demo: Annotated[bool, typer.Option("--demo", help="Bring a link of its own, with schedules that are made up.")] = False,
    speed: Annotated[float, typer.Option(min=0.1, max=MAX_SPEED, help="Times as fast as real time (with --demo).")] = 1.0,
    seconds: Annotated[float | None, typer.Option(min=0.0, help="End after so many s of the plant's time.")] = None,
    fault: Annotated[list[str] | None, typer.Option(metavar="KIND@START+LENGTH", help="What goes wrong, and when.")] = None,
    peak_kw: Annotated[float, typer.Option(min=1.0, max=1e6, help="Heat of the district on the coldest day.")] = 400.0,
    max_take_kw: Annotated[float | None, typer.Option(min=0.0, help="Take no more of ours: accepts in part.")] = None,
    clock_offset_s: Annotated[float, typer.Option(help="How far the plant's clock is ahead.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other weather.")] = 1,
    username: Annotated[str, typer.Option(help="At an MQTT broker.")] = "",
    secret_file: Annotated[str, typer.Option(metavar="FILE", help="Token (REST) or password (MQTT).")] = "",
    ca: Annotated[str, typer.Option(metavar="FILE", help="Authority of the other side's certificate, PEM.")] = "",
    certificate: Annotated[str, typer.Option(metavar="FILE", help="Our certificate.")] = "",
    key: Annotated[str, typer.Option(metavar="FILE", help="Its key.")] = "",
    server_certificate: Annotated[str, typer.Option(metavar="FILE", help="Of the OPC UA server.")] = "",
    unit: Annotated[int, typer.Option(min=1, max=247, help="Modbus unit id.")] = 1,
    prefix: Annotated[str, typer.Option(help="Of MQTT's topics.")] = "heat-dispatch",
    mqtt_version: Annotated[int, typer.Option(min=4, max=5, help="4: MQTT 3.1.1, or 5.")] = 5,
    files: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep token and certificates of --demo here [default: nowhere].")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Be a heat plant."""
    options = PlantsideOptions(
        protocol=LinkProtocol(protocol.value), address=address, offtake_id=offtake, site_id=site, username=username,
        secret_file=secret_file, ca=ca, certificate=certificate, key=key, server_certificate=server_certificate, unit=unit,
        prefix=prefix, mqtt_version=mqtt_version,
    )  # fmt: skip
    spec = replace(sized_for(offtake, peak_kw, seed, max_take_kw=max_take_kw), clock_offset_s=clock_offset_s)
    faults = tuple(fault_of(text) for text in fault or ())
    wanted = Wanted(options=options, spec=spec, faults=faults, demo=demo, speed=speed, seconds=seconds, files=files)
    checked(wanted)
    summary, plant = asyncio.run(lived(wanted, talk(json_file)))
    write_json(json_file, summary.to_json(plant))
    if not summary.ever_heard:
        err.print("[bold red]error:[/] nothing was ever heard of the link", soft_wrap=True)
        raise typer.Exit(EXIT_FAILED)


def checked(wanted: Wanted) -> None:
    """Refuse what cannot be.

    Raises:
        Misconfigured: saying what would be right.
    """
    if not wanted.demo and not wanted.options.address:
        raise Misconfigured("which link?", where="--address", expected="its address, or --demo")
    if not wanted.demo and wanted.speed != 1.0:
        raise Misconfigured("a link that runs keeps real time", where="--speed", expected="1, or --demo")
    if wanted.options.protocol is LinkProtocol.MQTT and wanted.speed > MAX_MQTT_SPEED:
        raise Misconfigured(
            "of a kind of letter two a second are read", where="--speed", expected=f"{MAX_MQTT_SPEED:g} at most"
        )
    ours = [one.kind.value for one in wanted.faults if one.kind in OF_SENDER]
    if ours and not wanted.demo:
        raise Misconfigured(f"{ours[0]} is a fault of ours", where="--fault", expected="a fault of the plant's, or --demo")


async def lived(wanted: Wanted, console: Console) -> tuple[Summary, SoftwarePlant]:
    """The whole run."""
    with tempfile.TemporaryDirectory(prefix="plant-sim-") as temporary:
        folder = wanted.files or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        clock = clock_of(wanted)
        start_utc = clock.start_utc if isinstance(clock, PacedClock) else clock.now_utc()
        plant = SoftwarePlant(spec=wanted.spec, start_utc=start_utc, faults=wanted.faults)
        sender, link = None, None
        if wanted.demo:
            made_up = MadeUp(site_id=wanted.options.site_id, plug_id="demo-loop", plant=wanted.spec)
            sender = DemoSender(made_up, start_utc, clock, wanted.faults)
            link = demo_link(wanted.options, sender.desk, clock, folder)
        client = plant_client(wanted.options if link is None else link.options)
        screen = PlantScreen(f"a software plant over {wanted.options.protocol.value}")
        live = console.is_terminal
        session = PlantSession(
            talk=PlantTalk(plant=plant, client=client),
            clock=clock,
            speed=wanted.speed,
            say=screen.say if live else lambda line: console.print(line, soft_wrap=True, markup=False),
            show=screen.show if live else Lines(console),
            sender=sender,
            interface=None if link is None else link.interface,
            seconds=wanted.seconds,
        )
        tell_begin(console, wanted, link, start_utc)
        with Live(screen, console=console, refresh_per_second=4) if live else nullcontext():
            return await session.run(), plant


def clock_of(wanted: Wanted) -> PacedClock | SystemClock:
    """The time of a run: a demonstration that is as fast as real time also keeps it, so that others may join."""
    if not wanted.demo:
        return SystemClock()
    return PacedClock(DEMO_START_UTC if wanted.speed != 1.0 else SystemClock().now_utc(), wanted.speed)


def tell_begin(console: Console, wanted: Wanted, link: DemoLink | None, start_utc: datetime) -> None:
    """What runs, and where others may look."""
    where = wanted.options.address if link is None else link.options.address
    console.print(
        f"A software plant takes heat of {wanted.options.offtake_id} over {wanted.options.protocol.value} at {where}, from "
        f"{start_utc:%Y-%m-%d %H:%M}Z; Ctrl-C ends it.",
        soft_wrap=True,
        markup=False,
    )


class Lines:
    """A line every quarter hour where there is no terminal to draw on."""

    def __init__(self, console: Console) -> None:
        """Speak on `console`."""
        self.console = console
        self.said_utc: datetime | None = None

    def __call__(self, numbers: Mapping[str, Any]) -> None:
        """Take one moment."""
        at_utc = utc(str(numbers["at"]))
        if self.said_utc is None or (at_utc - self.said_utc).total_seconds() >= LINE_EVERY_S:
            self.said_utc = at_utc
            self.console.print(line_of(numbers), soft_wrap=True, markup=False)
