"""`heat-dispatch forecast evaluate`: how good the forecasts would have been on a table of hours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scheduler.config.calendar import checked_holidays
from scheduler.config.jobs import read_jobs
from scheduler.config.reference import reference_site
from scheduler.config.series import CARBON, DEMAND, OUTDOOR, PRICE, read_series
from scheduler.core.forecast.calendar import DAY_H, ceil_hour, hour_number
from scheduler.core.forecast.frame import PAST_H
from scheduler.core.forecast.skill import Foretold, rolling
from scheduler.core.forecast.skill_jobs import Jobs, judged_hours, rolling_jobs
from scheduler.core.forecast.trial import Trial
from scheduler.domain.contract import ElectricityContract, HeatTariff
from scheduler.domain.errors import Misconfigured
from scheduler.domain.settings import Settings
from scheduler.domain.site import Caps, Offtake, SinkKind, Site
from scheduler.domain.snapshot import History
from scheduler.domain.time import Series
from scheduler.domain.world import WorldSeries
from scheduler.entrypoints.commands.forecast_report import report_of
from scheduler.entrypoints.commands.inputs import GPUS_PER_NODE, instant, zone_of
from scheduler.entrypoints.console import err, friendly, report_findings, talk, write_json, write_text
from scheduler.entrypoints.options import HtmlFile, JsonFile
from scheduler.simulate.generate import year_jobs
from scheduler.units import S_PER_H, S_PER_MIN
from scheduler.views.forecast_page import forecast_page
from scheduler.views.forecast_tables import SCORE_HEADER, score_caption, score_rows, score_title, told_columns, weather_words
from scheduler.views.tables import rich_table

HELP = """Make the forecasts again at every few hours of a past, from what was known then, and say how good they were.

Nothing is fitted beforehand: each forecast is fitted to the weeks before it, as the operator does. Prices are judged beyond the
published hours only; prices of the next local day are published at 13:00. A heat demand is judged without any weather forecast
and with a perfect one; a real one lies between.

**Examples**

    heat-dispatch forecast evaluate --series year.csv --time-zone Europe/Copenhagen --country DK --html year.html

    heat-dispatch forecast evaluate --series year.csv --column heat_demand_kw=load_kw --from 2026-03-01T00:00Z --lead 96
"""
COLUMNS = (PRICE, CARBON, OUTDOOR, DEMAND)
LEAST_PAST_H = 14 * 24
ORDER = ("demand", "price", "carbon", "outdoor", "arrivals", "insulated")
# Large enough that a file of jobs meets no limit of a site: none is placed here.
MANY_GPUS = 100_000
GENERATED_GPUS = 256
HOUR_S = int(S_PER_H)

app = typer.Typer(no_args_is_help=True, help="Judge the forecasts.", rich_markup_mode="markdown")


class WeatherTold(StrEnum):
    """What a heat demand is told of the weather to come."""

    NOTHING = "none"
    TOLD = "told"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When forecasts are made: every so many hours from one instant on, as long as one hour of each can still be judged."""

    start_utc: datetime
    end_utc: datetime
    every_h: int
    leads: int

    @property
    def origins_utc(self) -> list[datetime]:
        """The instants, whole hours."""
        hours = int((self.end_utc - self.start_utc) / timedelta(hours=1))
        return [self.start_utc + timedelta(hours=hour) for hour in range(0, hours, self.every_h)]


@app.callback()
def forecast() -> None:
    """Judge the forecasts."""


@app.command(name="evaluate", help=HELP)
@friendly
def evaluate(  # noqa: PLR0913 - one parameter per option of the command
    series: Annotated[Path, typer.Option("--series", metavar="FILE", help="Table of hours or quarter hours, as series.csv.")],
    time_zone: Annotated[str, typer.Option("--time-zone", metavar="ZONE", help="Zone in which people live.")] = "UTC",
    country: Annotated[
        str, typer.Option("--country", metavar="CODE", help="Country whose holidays are days off: DK, DE-BY [default: none].")
    ] = "",
    column: Annotated[
        list[str] | None, typer.Option("--column", metavar="OURS=NAME", help="What the file calls a column. Repeatable.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="UTC", help="First forecast [default: eight weeks into the series].")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="UTC", help="Judge up to here [default: all].")] = None,
    lead: Annotated[int, typer.Option(min=1, max=336, help="Hours that each forecast looks ahead.")] = 48,
    every: Annotated[int, typer.Option(min=1, max=168, help="Hours between two forecasts; 7 meets every hour of a day.")] = 7,
    weather: Annotated[WeatherTold, typer.Option(help="Weather forecast that a heat demand is told.")] = WeatherTold.BOTH,
    weather_error_c: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="Let the told weather err by so much (standard deviation, K).")
    ] = 0.0,
    jobs: Annotated[
        Path | None, typer.Option("--jobs", metavar="FILE", help="Judge work to come and insulated work on a jobs.csv as well.")
    ] = None,
    generate_jobs: Annotated[
        int | None, typer.Option(min=0, metavar="SEED", help="... on jobs that are made up, for 256 GPUs.")
    ] = None,
    json_file: JsonFile = None,
    html: HtmlFile = None,
) -> None:
    """Judge the forecasts on a past."""
    if jobs is not None and generate_jobs is not None:
        raise Misconfigured("--jobs and --generate-jobs contradict", where="options", expected="one of them")
    site = place(zone_of(time_zone), checked_holidays(country, "--country"))
    world = read_world(series, column or [])
    span = span_of(world, start, end, every, lead)
    began_s = time.perf_counter()
    trials = judged(site, world, span, weather, weather_error_c)
    if jobs is not None or generate_jobs is not None:
        trials |= judged_work(site, world, span, jobs, generate_jobs)
    facts = {
        "series": series.name,
        "time_zone": time_zone,
        "country": country,
        "start_utc": f"{span.start_utc:%Y-%m-%dT%H:%MZ}",
        "end_utc": f"{span.end_utc:%Y-%m-%dT%H:%MZ}",
        "every_h": every,
        "leads_h": lead,
        "weather_error_c": weather_error_c,
        "forecasts": len(span.origins_utc),
        "wall_s": round(time.perf_counter() - began_s, 1),
    }
    report = {**facts, "quantities": report_of(trials)}
    show(report, talk(json_file))
    write_json(json_file, report)
    if html is not None:
        write_text(html, forecast_page(report))


def read_world(path: Path, columns: Sequence[str]) -> WorldSeries:
    """The series of a file; warnings go to standard error.

    Raises:
        Misconfigured: anything in the file cannot be, or it has none of the columns that can be forecast.
    """
    renamed = dict(named(text) for text in columns)
    world, findings = read_series(path, renamed=renamed, needed=())
    # A table of a utility has many columns that are none of ours.
    report_findings(finding for finding in findings if "is not used" not in finding.message)
    parts = (world.price_eur_per_kwh, world.carbon_g_per_kwh, world.outdoor_c, world.heat_demand_kw)
    if not any(np.isfinite(part.values).any() for part in parts):
        expected = f"one of {', '.join(COLUMNS)}, or --column to say what the file calls one"
        raise Misconfigured("no column that can be forecast", where=f"{path.name}:1", expected=expected)
    return world


def named(text: str) -> tuple[str, str]:
    """Our name of a column and the file's, from "OURS=NAME".

    Raises:
        Misconfigured: no such column of ours, or nothing after the sign.
    """
    ours, _, theirs = text.partition("=")
    if ours not in COLUMNS or not theirs:
        raise Misconfigured(f"{text!r} names no column", where="--column", expected=f"OURS=NAME, OURS of {', '.join(COLUMNS)}")
    return ours, theirs


def span_of(world: WorldSeries, start: str | None, end: str | None, every_h: int, leads: int) -> Span:
    """When forecasts are made, from the options and what the series holds.

    Raises:
        Misconfigured: an instant that is none, too little past before the first forecast, or nothing to judge after it.
    """
    grid = world.price_eur_per_kwh.grid
    start_utc = ceil_hour(instant(start, "--from") if start else grid.start_utc + timedelta(hours=PAST_H))
    end_utc = instant(end, "--to") if end else grid.end_utc
    first_utc = grid.start_utc + timedelta(hours=LEAST_PAST_H)
    if not first_utc <= start_utc < min(end_utc, grid.end_utc):
        raise Misconfigured(
            f"no forecast can be judged from {start_utc:%Y-%m-%dT%H:%MZ} to {end_utc:%Y-%m-%dT%H:%MZ}",
            where="--from" if start else "--to" if end else f"{world.price_eur_per_kwh.source}: start_utc",
            expected=f"from {first_utc:%Y-%m-%dT%H:%MZ} (two weeks of past) to before {grid.end_utc:%Y-%m-%dT%H:%MZ}",
        )
    return Span(start_utc=start_utc, end_utc=min(end_utc, grid.end_utc), every_h=every_h, leads=leads)


def place(time_zone: str, holidays: Sequence[Any]) -> Site:
    """A site with one heat customer and nothing else: what forecasts of series need."""
    offtake = Offtake(
        offtake_id="heat", plug_id="plug", sink=SinkKind.DISTRICT_HEATING, max_heat_kw=float("inf"), tariff=HeatTariff()
    )
    caps = Caps(levels=(1.0,), binding_draw_fraction=0.95, speed_of_ratio=((1.0, 1.0),))
    return Site(
        name="evaluated",
        time_zone=time_zone,
        pools=(),
        plugs=(),
        offtakes=(offtake,),
        classes=(),
        caps=caps,
        electricity=ElectricityContract(),
        holidays=tuple(holidays),
    )


def judged(site: Site, world: WorldSeries, span: Span, weather: WeatherTold, error_c: float) -> dict[str, Trial]:
    """Trials by quantity name; "demand heat, weather told" is the one with a weather forecast."""
    settings = replace(Settings(), slot_s=HOUR_S, horizon_slots=span.leads, weather_error_c=error_c)
    history = History(
        price=until(world.price_eur_per_kwh, span.end_utc),
        carbon=until(world.carbon_g_per_kwh, span.end_utc),
        outdoor=until(world.outdoor_c, span.end_utc),
        heat_demand_kw={"heat": until(world.heat_demand_kw, span.end_utc)},
    )
    tellable = bool(np.isfinite(world.outdoor_c.values).any() and np.isfinite(world.heat_demand_kw.values).any())
    trials: dict[str, Trial] = {}
    origins_utc = span.origins_utc
    if weather is not WeatherTold.TOLD or not tellable:
        with watched("no weather forecast", len(origins_utc)) as tell:
            trials |= rolling(site, history, settings, origins_utc, on_origin=tell)
    if weather is not WeatherTold.NOTHING and tellable:
        # Price and carbon know no weather: once is enough.
        known = replace(history, price=unknown(history.price), carbon=unknown(history.carbon)) if trials else history
        with watched("weather told", len(origins_utc)) as tell:
            told = rolling(site, known, settings, origins_utc, weather=Foretold(error_c=error_c), on_origin=tell)
        trials = {f"{name}, weather told" if name.startswith("demand") else name: one for name, one in told.items()} | trials
    return {name: trials[name] for name in sorted(trials, key=place_of)}


def judged_work(site: Site, world: WorldSeries, span: Span, file: Path | None, seed: int | None) -> dict[str, Trial]:
    """Trials of work, at those instants of the span that have two weeks of jobs before them and know what came after.

    Raises:
        Misconfigured: anything in the file cannot be, or there is no such instant.
    """
    gpus = MANY_GPUS if file is not None else GENERATED_GPUS
    cluster = reference_site(gpus=gpus, gpus_per_node=GPUS_PER_NODE, heat_peak_kw=1.0, time_zone=site.time_zone)
    cluster = replace(cluster, holidays=site.holidays)
    if file is not None:
        truths, findings = read_jobs(file, cluster)
        report_findings(findings)
    else:
        grid = world.price_eur_per_kwh.grid
        truths = year_jobs(cluster, max(1, int(grid.slots * grid.slot_h) // DAY_H), seed or 0, start_utc=grid.start_utc)
    known = judged_hours(Jobs.of(cluster, truths), span.leads, LEAST_PAST_H) if truths else range(0)
    origins_utc = [at_utc for at_utc in span.origins_utc if hour_number(at_utc) in known]
    if not origins_utc:
        raise Misconfigured(
            "no forecast of work can be judged",
            where=str(file.name if file is not None else "--generate-jobs"),
            expected=f"two weeks of jobs before {span.end_utc:%Y-%m-%dT%H:%MZ}, and {span.leads} h after a forecast",
        )
    with watched("work", len(origins_utc)) as tell:
        return rolling_jobs(cluster, truths, origins_utc, span.leads, tell)


def place_of(name: str) -> int:
    """Order of the quantities on a page: heat first."""
    return ORDER.index(name.partition(" ")[0].rstrip(","))


def until(series: Series, end_utc: datetime) -> Series:
    """The series with nothing known from an instant on."""
    stop = max(0, series.grid.slot_of(end_utc))
    return replace(series, values=np.where(np.arange(series.grid.slots) < stop, series.values, np.nan))


def unknown(series: Series) -> Series:
    """The series with nothing known."""
    return replace(series, values=np.full(series.grid.slots, np.nan))


@contextmanager
def watched(what: str, total: int) -> Iterator[Any]:
    """A bar on a terminal, a line a minute in a pipe; gives the function that hears how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    began_s = said_s = time.perf_counter()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task(what, total=total)

        def tell(done: int, _: int) -> None:
            nonlocal said_s
            bars.update(task, completed=done)
            now_s = time.perf_counter()
            if not err.is_terminal and now_s - said_s >= S_PER_MIN:
                said_s = now_s
                left = timedelta(seconds=round((now_s - began_s) * (total - done) / done))
                err.print(f"{what}: {done} of {total} forecasts, about {left} left", markup=False, soft_wrap=True)

        yield tell


def show(report: Mapping[str, Any], console: Console) -> None:
    """A table per quantity."""
    span = f"one each {report['every_h']} h from {report['start_utc']} to {report['end_utc']}"
    console.print(f"{report['forecasts']} forecasts, {span}. {weather_words(report)}".rstrip(), markup=False)
    for quantity in report["quantities"]:
        console.print()
        header, rows = told_columns(SCORE_HEADER, score_rows(quantity))
        console.print(rich_table(header, rows, score_title(quantity), "day ahead"))
    console.print()
    console.print(score_caption(report), markup=False, style="dim")
