"""`heat-dispatch plan`: one plan from files, and why each job waits."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from scheduler.core.forecast.outlook import outlook
from scheduler.core.planning.problem import build_problem, plan_grid
from scheduler.domain.decision import Decision
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import Mode, Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.entrypoints.commands.inputs import Given, Parts, instant, read_given
from scheduler.entrypoints.console import friendly, talk, write_json, write_text
from scheduler.entrypoints.options import (
    Days,
    Gpus,
    HeatPeak,
    HtmlFile,
    JobsFile,
    JobsSeed,
    JsonFile,
    ScenarioDir,
    SeriesFile,
    SiteDir,
    Start,
    TimeZone,
)
from scheduler.loop.decide import decide
from scheduler.simulate.standing import standing
from scheduler.units import s_from_h
from scheduler.views.plan_report import plan_report
from scheduler.views.plan_tables import PLAN_HEADER, WAIT_HEADER, plan_lines, plan_rows, wait_rows
from scheduler.views.report import plan_page
from scheduler.views.tables import rich_table

HELP = """Make one plan and say what starts, what waits and why, which caps hold and how much heat goes where.

The cluster is taken to have run EASY backfill until `--at`; flexible jobs of the last `--undecided-hours` wait for this plan.

**Example**

    heat-dispatch plan --scenario weeks/winter --at 2026-01-14T10:00Z --html plan.html --json plan.json
"""


@friendly
def plan(  # noqa: PLR0913 - one parameter per option of the command
    scenario: ScenarioDir = None,
    site: SiteDir = None,
    series: SeriesFile = None,
    jobs: JobsFile = None,
    generate_jobs: JobsSeed = None,
    start: Start = None,
    days: Days = None,
    gpus: Gpus = None,
    heat_peak_kw: HeatPeak = None,
    time_zone: TimeZone = None,
    at: Annotated[str | None, typer.Option(metavar="UTC", help="Instant of the plan [default: the scenario's start].")] = None,
    undecided_hours: Annotated[float, typer.Option(min=0.0, max=168.0, help="Flexible jobs this young still wait.")] = 12.0,
    json_file: JsonFile = None,
    html: HtmlFile = None,
) -> None:
    """Make one plan."""
    parts = Parts(
        site=site, series=series, jobs=jobs, generate_jobs=generate_jobs, start=start, days=days, gpus=gpus,
        heat_peak_kw=heat_peak_kw, time_zone=time_zone,
    )  # fmt: skip
    given = read_given(scenario, parts)
    at_utc = given.scenario.start_utc if at is None else instant(at, "--at")
    report = plan_of(given, at_utc, undecided_hours)
    console = talk(json_file)
    show(report, console)
    write_json(json_file, report)
    if html is not None:
        write_text(html, plan_page(report))


def plan_of(given: Given, at_utc: datetime, undecided_h: float) -> dict[str, Any]:
    """Plan a scenario at an instant, as if it were to be carried out; the plan as plain numbers."""
    scenario = given.scenario
    snapshot = standing(scenario, at_utc, undecided_s=s_from_h(undecided_h)).snapshot()
    in_force = given.settings.in_force(snapshot.observed_utc, scenario.site.time_zone)
    settings = replace(in_force, mode=Mode.DISPATCH)
    decision = decide(scenario.site, snapshot, settings, clock_s=time.perf_counter)
    return described(scenario.site, snapshot, settings, decision)


def described(site: Site, snapshot: Snapshot, settings: Settings, decision: Decision) -> dict[str, Any]:
    """A decision beside the problem it answers, as plain numbers."""
    classes = {state.job.job_id: state.job.class_name for state in snapshot.jobs}
    return plan_report(decision.plan, problem_of(site, snapshot, settings), decision.actions, classes)


def problem_of(site: Site, snapshot: Snapshot, settings: Settings) -> PlanProblem:
    """The problem that `decide` wrote: a pure function of the same input."""
    ahead = outlook(site, snapshot, settings, plan_grid(snapshot.observed_utc, settings))
    return build_problem(site, snapshot, ahead, settings)


def show(report: dict[str, Any], console: Console) -> None:
    """What the plan does, in tables and sentences."""
    for line in plan_lines(report):
        console.print(line, markup=False)
    tables: list[Table] = [rich_table(PLAN_HEADER, plan_rows(report), "The next hours (UTC)")]
    if report["explanations"]:
        tables.append(rich_table(WAIT_HEADER, wait_rows(report), "Why jobs wait (UTC)"))
    for table in tables:
        console.print()
        console.print(table)
