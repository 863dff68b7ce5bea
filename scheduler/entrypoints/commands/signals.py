"""`heat-dispatch signals`: what sources of prices, carbon, weather and heat demand say, and which providers there are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.logs import configure
from scheduler.adapters.sources.cache import SignalCache
from scheduler.adapters.sources.file import FileSource
from scheduler.adapters.sources.rates import RatesFile
from scheduler.adapters.sources.web.client import Unanswered, WebClient, agent_name
from scheduler.config.findings import Level, did_you_mean, one_of
from scheduler.config.kinds import DispatchPolicy, Site
from scheduler.config.kinds.base import seconds
from scheduler.config.load import Manifests
from scheduler.config.sources import chains_of
from scheduler.core.signals.conversion import ExchangeRates
from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.commands.validate import checked
from scheduler.entrypoints.console import EXIT_FAILED, err, friendly, report_findings, talk, write_json
from scheduler.entrypoints.operator.keeping import parse_series
from scheduler.entrypoints.options import AllowedHosts, Contact, InsideHosts, JsonFile, Rates, SignalFiles
from scheduler.entrypoints.signal_chains import Chains, Means, Stated
from scheduler.entrypoints.signal_report import HORIZON, report_of
from scheduler.entrypoints.signal_table import provider_facts
from scheduler.entrypoints.signal_web import fetching, files_in, host_rules
from scheduler.ports import SeriesSource
from scheduler.views.signals import provider_lines, provider_table, signal_lines

CHECK_HELP = """Ask every source that the policies of a folder state, and say what came of it.

For each quantity: its sources in order of trust with when they were heard, what they know from when to when and why one is not
used; the hours around now; and which source a plan would be made with from when to when. Times are in UTC.

Only the providers' own hosts are asked (`signals providers` lists them) unless you name others. Credentials are read from
`DIR/SECRET/KEY`, a folder for each secret and a file for each of its keys, as Kubernetes mounts them.

Exit code 0: every chain has something usable; 1: one has nothing; 2: wrong input.

**Examples**

    heat-dispatch signals check -f examples/signals

    heat-dispatch signals check -f my-site --secrets my-secrets --allow-host prices.example.org --json signals.json
"""
SOURCES = "spec.sources"
PROVIDERS_HELP = """List the providers that a policy may name, or say everything about one.

**Examples**

    heat-dispatch signals providers

    heat-dispatch signals providers entsoe
"""
app = typer.Typer(name="signals", help="Prices, carbon, weather and heat demand: what their sources say.", no_args_is_help=True)


@app.command(name="check", help=CHECK_HELP)
@friendly
def check(  # noqa: PLR0913 - one parameter per option of the command
    directory: Annotated[Path, typer.Option("--site", "-f", metavar="DIR", help="Folder of YAML manifests, or one file.")],
    secrets: Annotated[Path | None, typer.Option(metavar="DIR", help="Credentials, as DIR/SECRET/KEY.")] = None,
    allowed_host: AllowedHosts = None,
    inside_host: InsideHosts = None,
    contact: Contact = "",
    rates: Rates = None,
    series: Annotated[
        Path | None, typer.Option(metavar="FILE", help="series.csv as the first source of every chain, as the operator has it.")
    ] = None,
    signal_files: SignalFiles = None,
    cache: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep here what was heard, and begin with it.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Ask every source and say what came of it."""
    # What a feed would log stands in the answer.
    configure(as_json=False, level="error")
    now_utc = SystemClock().now_utc()
    for option, place in (("--secrets", secrets), ("--signal-files", signal_files)):
        if place is not None and not place.is_dir():
            raise Misconfigured(f"{place}: no such folder", where=option, expected="a folder")
    if series is not None and not series.is_file():
        raise Misconfigured(f"{series}: no such file", where="--series", expected="a file")
    manifests, findings = checked(directory, now_utc)
    # Of the rest of the site only what stops: what is doubtful about it, `validate` tells.
    report_findings([one for one in findings if one.level is Level.ERROR or SOURCES in one.field])
    means = Means(
        fetch=fetching(lambda: client, folder_of(secrets), files_in(signal_files, SystemClock())),
        rates=ExchangeRates if rates is None else RatesFile(rates),
        cache=None if cache is None else SignalCache(cache),
        files=() if series is None else (FileSource(series.name, series, parse_series),),
    )
    chains = chains_from(manifests, means)
    client = WebClient(host_rules(allowed_host or (), inside_host or ()), user_agent=agent_name(contact))
    asyncio.run(asked(chains.sources, client))
    horizons_s = [seconds(policy.spec.cycle.horizon) for policy in manifests.of(DispatchPolicy)]
    horizon = timedelta(seconds=max(horizons_s)) if horizons_s else HORIZON
    report = report_of(chains, SystemClock().now_utc(), horizon)
    write_json(json_file, report)
    console = talk(json_file)
    for line in signal_lines(report, console.width):
        console.print(line, soft_wrap=True)
    if not report["usable"]:
        raise typer.Exit(EXIT_FAILED)


def chains_from(manifests: Manifests, means: Means) -> Chains:
    """The chains of all policies.

    Raises:
        Misconfigured: no policy states a source, and there is no file either.
    """
    policies, sites = manifests.of(DispatchPolicy), manifests.of(Site)
    if not means.files and not any(list(chains_of(policy.spec.sources)) for policy in policies):
        expected = "spec.sources in a DispatchPolicy, as in examples/signals"
        raise Misconfigured("no policy states a source", where=manifests.directory, expected=expected)
    zone = sites[0].spec.time_zone if sites else "UTC"
    chains = Chains(means)
    chains.seat([Stated(policy=policy.name, sources=policy.spec.sources, time_zone=zone) for policy in policies])
    return chains


def folder_of(folder: Path | None) -> Any:
    """Credentials of a secret: the files of its folder."""

    def credentials(secret: str) -> Mapping[str, str]:
        if folder is None:
            raise Unanswered(f"no credentials: `--secrets DIR` with a folder {secret!r}", final=True)
        place = folder / secret
        if not place.is_dir():
            raise Unanswered(f"there is no folder {secret!r} in {folder}", final=True)
        return {file.name: file.read_text("utf-8", errors="replace") for file in sorted(place.iterdir()) if file.is_file()}

    return credentials


async def asked(sources: Sequence[SeriesSource], client: WebClient, console: Console = err) -> None:
    """Ask all side by side; on a terminal it is shown who has not answered yet."""
    waiting = [source.name for source in sources]

    async def one(source: SeriesSource) -> None:
        await source.poll(SystemClock().now_utc())
        waiting.remove(source.name)
        status.update(_waiting(waiting))

    async with client:
        if not console.is_terminal:
            status = console.status("")
            await asyncio.gather(*(one(source) for source in sources))
            return
        with console.status(_waiting(waiting)) as status:
            await asyncio.gather(*(one(source) for source in sources))


def _waiting(names: Sequence[str]) -> str:
    """Who has not answered yet."""
    return f"asking {', '.join(names[:6])}{' ...' if len(names) > 6 else ''}"


@app.command(name="providers", help=PROVIDERS_HELP)
@friendly
def providers(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A provider [default: a table of all].")] = "",
    json_file: JsonFile = None,
) -> None:
    """List the providers."""
    known = provider_facts()
    names = [one["name"] for one in known]
    if name and name not in names:
        raise Misconfigured(
            f"there is no provider {name!r}{did_you_mean(name, names)}", where="NAME", expected=one_of(names, limit=40)
        )
    chosen = [one for one in known if name in ("", one["name"])]
    write_json(json_file, chosen)
    console = talk(json_file)
    lines = provider_lines(chosen[0], console.width) if name else provider_table(chosen, console.width)
    for line in lines:
        console.print(line, soft_wrap=True)
