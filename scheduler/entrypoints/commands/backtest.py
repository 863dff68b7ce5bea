"""`heat-dispatch backtest`: replay history in closed loop, against baselines and a proven bound."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from scheduler.core.planning.bound.problem import BoundBudget
from scheduler.domain.settings import Settings, SolveBudget
from scheduler.entrypoints.commands.inputs import Given, Parts, read_given
from scheduler.entrypoints.console import friendly, talk, write_json, write_text
from scheduler.entrypoints.options import (
    CycleMinutes,
    Days,
    Gpus,
    HeatPeak,
    HtmlFile,
    JobsFile,
    JobsSeed,
    JsonFile,
    ScenarioDir,
    SeriesFile,
    SeriesSeed,
    SiteDir,
    Start,
    TimeZone,
    Workers,
)
from scheduler.entrypoints.progress import RunProgress
from scheduler.simulate.backtest import Options
from scheduler.simulate.backtest import backtest as run_backtest
from scheduler.simulate.outage_scripts import scripts_of
from scheduler.units import S_PER_H, S_PER_MIN
from scheduler.views.outages import OUTAGE_CAPTION, OUTAGE_HEADER, SENTENCES, outage_lines, outage_rows
from scheduler.views.report import backtest_page
from scheduler.views.style import STRATEGY_NAMES
from scheduler.views.tables import STRATEGY_CAPTION, STRATEGY_HEADER, csv_text, rich_table, strategy_rows, summary_lines

LONG_DAYS = 31
FAR_HORIZON_H, NEAR_HORIZON_H = 96, 48
# One branch and bound over pump states and schedules together for so many rounds of prices: each takes as long as five of them.
JOINT_EVERY = 5
# Two percent of a plan's cost is far below what forecasts leave open (docs/backtest.md); hours of computing are not.
LONG_BUDGET = SolveBudget(bundle_steps=60, master_rounds=1, mip_nodes=0, dive_batches=30, target_gap=0.02)

HELP = """Replay history in closed loop and say, term by term, what it would have cost.

Every strategy meets the same plant, contract, prices and jobs, and knows only what was known at the time. Beside them stands a
bound that no policy could have gone below.

**Examples**

    heat-dispatch backtest --scenario weeks/winter --json winter.json --html winter.html

    heat-dispatch backtest -f examples/reference --series year.csv --jobs jobs.csv --start 2026-01-05T00:00Z --days 7

    heat-dispatch backtest --series year.csv --generate-jobs 1 --gpus 256 --quick --json year.json

    heat-dispatch backtest -f examples/swimming-pool --generate-series 1 --generate-jobs 1 --days 3 --html pool.html

    heat-dispatch backtest --scenario weeks/winter --quick --outages all:1d --outages price+heat:6h:frozen

**Outages** are runs more of our strategy, one for each SPEC: the sources price, carbon, weather, heat (demand), plant, several
of them joined by +, or all, fail for 30m, 6h, 1d or 1w. They fall silent unless another kind is named: frozen, nulls, nonsense.
Without a START that is half an hour before the next day's prices are told, on the second day. `standard` is every source and
all at once for an hour, a day and a week, `lies` the same frozen, with nulls and with nonsense for a day: 18 runs each.
"""


@friendly
def backtest(  # noqa: PLR0913 - one parameter per option of the command
    scenario: ScenarioDir = None,
    site: SiteDir = None,
    series: SeriesFile = None,
    generate_series: SeriesSeed = None,
    jobs: JobsFile = None,
    generate_jobs: JobsSeed = None,
    start: Start = None,
    days: Days = None,
    gpus: Gpus = None,
    heat_peak_kw: HeatPeak = None,
    time_zone: TimeZone = None,
    json_file: JsonFile = None,
    html: HtmlFile = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the costs by strategy and term.")] = None,
    cycle_minutes: CycleMinutes = 60,
    horizon_hours: Annotated[
        int | None, typer.Option(min=12, max=336, help="Hours a plan looks ahead; 96 for up to a month, 48 for more.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what each lever is worth (four runs less).")] = False,
    knowledge: Annotated[bool, typer.Option("--knowledge", help="Measure what limits the rest (six runs more).")] = False,
    outages: Annotated[
        list[str] | None,
        typer.Option(
            "--outages",
            metavar="SPEC",
            help="What failing sources cost (a run more each): standard, lies, or SOURCE:LENGTH[:KIND][@START]; repeatable.",
        ),
    ] = None,
    workers: Workers = 2,
    bound_rounds: Annotated[int, typer.Option(min=0, help="Rounds that tighten the bound; 0 leaves it out.")] = 60,
) -> None:
    """Replay history in closed loop."""
    parts = Parts(
        site=site, series=series, generate_series=generate_series, jobs=jobs, generate_jobs=generate_jobs, start=start,
        days=days, gpus=gpus, heat_peak_kw=heat_peak_kw, time_zone=time_zone,
    )  # fmt: skip
    given = read_given(scenario, parts)
    options = Options(
        cycle_s=cycle_minutes * int(S_PER_MIN),
        settings=effort(given, given.paced(cycle_minutes * int(S_PER_MIN)), horizon_hours),
        ablation=not quick,
        decomposition=knowledge,
        outages=scripts_of(outages or (), given.scenario),
        workers=workers,
        bound=bound_rounds > 0,
        bound_budget=BoundBudget(rounds=max(1, bound_rounds), joint_rounds=bound_rounds // JOINT_EVERY),
        clock_s=time.perf_counter,
    )
    report = replay(given, options)
    show(report, talk(json_file))
    write_json(json_file, report)
    if csv_file is not None:
        write_text(csv_file, csv_text(report))
    if html is not None:
        write_text(html, backtest_page(report))


def effort(given: Given, settings: Settings, horizon_hours: int | None) -> Settings:
    """How far plans look, and how long they think: in weeks as long as the operator; a year has 8,800 of them."""
    long = given.scenario.days > LONG_DAYS
    hours = horizon_hours if horizon_hours is not None else FAR_HORIZON_H if not long else NEAR_HORIZON_H
    slots = int(hours * S_PER_H) // settings.slot_s
    if not long:
        return replace(settings, horizon_slots=slots)
    # Whole pump states beyond the next hour took three to ten times as long in May, when demand lies below the least load, and
    # saved nothing there; a plan still knows what the pump can do before the next one.
    return replace(settings, horizon_slots=slots, budget=LONG_BUDGET, pump_slots=0)


def replay(given: Given, options: Options) -> dict[str, Any]:
    """Run with a progress display; the result as plain numbers."""
    with RunProgress.started(given.scenario.name, options) as progress:
        result = run_backtest(given.scenario, progress.watching(options), reference=given.reference)
    return result.to_json()


def show(report: Mapping[str, Any], console: Console) -> None:
    """The table of strategies, and what it means, in words."""
    title, ours = str(report["scenario"]), STRATEGY_NAMES["ours"]
    console.print(rich_table(STRATEGY_HEADER, strategy_rows(report), title, ours, STRATEGY_CAPTION))
    console.print()
    failed = outage_rows(report)
    if failed:
        console.print(rich_table(OUTAGE_HEADER, failed, "What outages cost", caption=OUTAGE_CAPTION, sentences=SENTENCES))
        console.print()
    for line in (*summary_lines(report), *outage_lines(report)):
        console.print(line, markup=False)
