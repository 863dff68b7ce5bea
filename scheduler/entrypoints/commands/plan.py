"""`heat-dispatch plan`: one plan from files, and why each job waits."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from scheduler.adapters.record.digest import plan_digest
from scheduler.adapters.record.store import StoredCycle, read_cycle, stored, write_cycle
from scheduler.core.forecast.outlook import outlook
from scheduler.core.planning.problem import build_problem, plan_grid
from scheduler.domain.decision import CycleRecord, Decision
from scheduler.domain.errors import Misconfigured
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
    SeriesSeed,
    SiteDir,
    Start,
    TimeZone,
)
from scheduler.loop.cycle import cycle_entry
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

**A cycle that was recorded**, by an operator or with `--record`, is decided again from its own input:

    heat-dispatch plan --snapshot cycle-20260114T100000Z.json.gz
"""


@friendly
def plan(  # noqa: PLR0913 - one parameter per option of the command
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
    at: Annotated[str | None, typer.Option(metavar="UTC", help="Instant of the plan [default: the scenario's start].")] = None,
    undecided_hours: Annotated[float, typer.Option(min=0.0, max=168.0, help="Flexible jobs this young still wait.")] = 12.0,
    snapshot: Annotated[
        Path | None, typer.Option("--snapshot", metavar="FILE", help="Decide a recorded cycle again, instead of a scenario.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Record the cycle for --snapshot (.json or .json.gz).")
    ] = None,
    json_file: JsonFile = None,
    html: HtmlFile = None,
) -> None:
    """Make one plan."""
    parts = Parts(
        site=site, series=series, generate_series=generate_series, jobs=jobs, generate_jobs=generate_jobs, start=start,
        days=days, gpus=gpus, heat_peak_kw=heat_peak_kw, time_zone=time_zone,
    )  # fmt: skip
    console = talk(json_file)
    if snapshot is not None:
        if scenario is not None or parts.given or at is not None:
            raise Misconfigured("--snapshot has all its input in it", where="options", expected="--snapshot alone")
        cycle, same = replayed(snapshot)
        console.print(SAME if same else DIFFERENT, markup=False)
    else:
        given = read_given(scenario, parts)
        cycle = decided(given, given.scenario.start_utc if at is None else instant(at, "--at"), undecided_hours)
    report = described(cycle.site, cycle.snapshot, cycle.settings, cycle.decision)
    show(report, console)
    write_json(json_file, report)
    if html is not None:
        write_text(html, plan_page(report))
    if record is not None:
        write_cycle(record, cycle)


SAME = "Decided again: the very plan that was recorded."
DIFFERENT = "Decided again: NOT the plan that was recorded; another version, or a solve that its clock ended."


def replayed(path: Path) -> tuple[StoredCycle, bool]:
    """A recorded cycle with its decision made anew, and whether its plan is the recorded one.

    Raises:
        Misconfigured: when the file is no recorded cycle.
    """
    before = read_cycle(path)
    decision = decide(before.site, before.snapshot, before.settings, last=before.last, clock_s=time.perf_counter)
    digest = plan_digest(decision.plan)
    return replace(before, decision=decision, plan_digest=digest), digest == before.plan_digest


def decided(given: Given, at_utc: datetime, undecided_h: float) -> StoredCycle:
    """Plan a scenario at an instant, as if it were to be carried out."""
    scenario = given.scenario
    seen = standing(scenario, at_utc, undecided_s=s_from_h(undecided_h)).snapshot()
    in_force = given.settings.in_force(seen.observed_utc, scenario.site.time_zone)
    settings = replace(in_force, mode=Mode.DISPATCH)
    decision = decide(scenario.site, seen, settings, clock_s=time.perf_counter)
    entry = cycle_entry(seen, decision)
    cycle = CycleRecord(snapshot=seen, decision=decision, outcomes=(), receipts=(), entry=entry)
    return stored(scenario.site, settings, None, cycle)


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
