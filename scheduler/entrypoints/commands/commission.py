"""`heat-dispatch commission`: the acceptance run of a plant link, with a signed report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import scheduler
from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantside.clients import plant_client
from scheduler.adapters.plantside.options import PlantsideOptions
from scheduler.config.commission import CommissionFile, load_commission
from scheduler.core.publishing.message import stamp
from scheduler.core.reports.commission import Check, report_of
from scheduler.core.reports.seal import LEAST_KEY_BYTES, broken, sealed
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plantlink import LinkProtocol
from scheduler.entrypoints.commissioning.hands import Hands, Nobody, Person
from scheduler.entrypoints.commissioning.run import AcceptanceRun
from scheduler.entrypoints.console import EXIT_FAILED, friendly, talk, write_json, write_text
from scheduler.entrypoints.options import HtmlFile, JsonFile
from scheduler.entrypoints.plantsim.session import background
from scheduler.views.commission import commission_page, line_of, report_in

HELP = """Accept a plant link: transfer of a schedule, heartbeat, what the plant says, alarms, failover, metering.

Each check says what is expected, what was measured, and whether that is enough. Where something has to be stopped or read, a
person is asked; with `--yes` only the commands of commission.yaml are run, and what needs a person is not done. The report is
signed with the key (HMAC-SHA256). Exit code 1: a check failed, or a signature does not hold.

**Examples**

    heat-dispatch commission --config commission.yaml --key commission.key --html acceptance.html

    heat-dispatch commission --verify acceptance.html --key commission.key
"""
MAX_REPORT_BYTES = 10_000_000


@friendly
def commission(
    config: Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="commission.yaml.")] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="File with the key of the signature.")] = None,
    verify: Annotated[Path | None, typer.Option("--verify", metavar="FILE", help="Check a report, JSON or HTML.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nobody.")] = False,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
) -> None:
    """Accept a plant link, or check a report of that."""
    if (config is None) == (verify is None):
        raise Misconfigured("what?", where="options", expected="--config, or --verify")
    console = talk(json_file)
    secret = None if key is None else key_of(key)
    if verify is not None:
        if secret is None:
            raise Misconfigured("which key?", where="--key", expected="the file that the report was signed with")
        verified(verify, secret, console)
        return
    assert config is not None, "one of the two was given"
    file = load_commission(config)
    hands: Hands = (
        Nobody(say=told(console)) if yes else Person(say=told(console), read=lambda asked: console.input(plain_prompt(asked)))
    )
    report = asyncio.run(lived(file, config.parent, hands, console))
    if secret is not None:
        report = sealed(report, secret)
    else:
        console.print("The report is not signed: no --key was given.")
    write_json(json_file, report)
    if html_file is not None:
        write_text(html_file, commission_page(report))
    counts = report["counts"]
    assert isinstance(counts, Mapping), "made just now"
    console.print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['notDone']} not done")
    if counts["failed"]:
        raise typer.Exit(EXIT_FAILED)


def told(console: Console) -> Any:
    """A way to say a line."""
    return lambda line: console.print(line, soft_wrap=True, markup=False)


def plain_prompt(asked: str) -> str:
    """A question without markup."""
    return asked.replace("[", "\\[")


def key_of(path: Path) -> bytes:
    """The key of the signature.

    Raises:
        Misconfigured: it is too short to be one.
    """
    key = path.read_bytes().strip()
    if len(key) < LEAST_KEY_BYTES:
        raise Misconfigured(f"{len(key)} bytes", where=str(path), expected=f"at least {LEAST_KEY_BYTES}: openssl rand -hex 32")
    return key


async def lived(file: CommissionFile, folder: Path, hands: Hands, console: Console) -> dict[str, object]:
    """The whole run, told as it goes."""
    clock = SystemClock()
    began_utc = clock.now_utc()
    client = plant_client(options_of(file, folder))
    say, checks = told(console), list[Check]()
    say(f"Acceptance of {file.offtake} over {file.protocol} at {file.address}")
    async with background(client.run()) as task:
        run = AcceptanceRun(file=file, client=client, hands=hands, clock=clock)
        async for check in run.checks():
            checks.append(check)
            say(line_of(check.to_json()))
        if task.done():
            task.result()
    about = {
        "site": file.site,
        "offtake": file.offtake,
        "protocol": file.protocol,
        "address": file.address,
        "engineer": file.engineer,
        "began": stamp(began_utc),
        "ended": stamp(clock.now_utc()),
        "version": scheduler.__version__,
        "unattended": isinstance(hands, Nobody),
    }
    return report_of(checks, about)


def options_of(file: CommissionFile, folder: Path) -> PlantsideOptions:
    """How the link is reached; files are meant from the folder of commission.yaml."""

    def at(name: str | None) -> str:
        return "" if name is None else str(folder / name)

    return PlantsideOptions(
        protocol=LinkProtocol(file.protocol),
        address=file.address,
        offtake_id=file.offtake,
        site_id=file.site,
        username=file.username or "",
        secret_file=at(file.secret_file),
        ca=at(file.ca),
        certificate=at(file.certificate),
        key=at(file.key),
        server_certificate=at(file.server_certificate),
        unit=file.unit,
        prefix=file.prefix,
        mqtt_version=file.mqtt_version,
    )


def verified(path: Path, key: bytes, console: Console) -> None:
    """Say whether a report is as it was made."""
    if path.stat().st_size > MAX_REPORT_BYTES:
        raise Misconfigured("the file is too large", where=str(path), expected="a report of heat-dispatch commission")
    try:
        page = path.read_text(encoding="utf-8")
        text = report_in(page)
        report = json.loads(page if text is None else text)
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise Misconfigured("is no report", where=str(path), expected="a file of heat-dispatch commission") from None
    if not isinstance(report, dict):
        raise Misconfigured("is no report", where=str(path), expected="a file of heat-dispatch commission")
    why = broken(report, key)
    if not why and text is not None:
        if report["about"]["version"] != scheduler.__version__:
            console.print(f"made by {report['about']['version']}: only the report inside the page can be checked here")
        else:
            why = altered(page, report)
    if why:
        console.print(f"[bold red]not as it was made:[/] {why}", soft_wrap=True)
        raise typer.Exit(EXIT_FAILED)
    console.print(f"as it was made: {report['about']['offtake']}, {report['about']['began']}, {report['about']['engineer']}")


def altered(page: str, report: Mapping[str, Any]) -> str:
    """Why a page is not the one of the report that it carries; empty when it is."""
    return "" if page == commission_page(report) else "the page was changed; the report inside was not"
