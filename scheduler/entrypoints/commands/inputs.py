"""What `plan` and `backtest` read: a scenario folder, or its parts one by one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from scheduler.config.findings import Finding, warning
from scheduler.config.jobs import read_jobs
from scheduler.config.kinds import HeatOfftake
from scheduler.config.load import Manifests
from scheduler.config.reference import reference_parameters, reference_site
from scheduler.config.scenario import known_zone, load_scenario, scenario_from
from scheduler.config.series import read_series
from scheduler.config.to_domain import settings_from, site_from
from scheduler.domain.errors import Misconfigured
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.time import Series, TimeGrid, utc
from scheduler.domain.world import JobTruth, Scenario, WorldSeries
from scheduler.entrypoints.commands.validate import checked
from scheduler.entrypoints.console import report_findings
from scheduler.simulate.generate import measured_customer, site_series, year_jobs
from scheduler.units import H_PER_DAY, KWH_PER_MWH, S_PER_DAY, S_PER_H

# Peak of heat demand on the reference site per GPU when nobody says it: the two published weeks have 0.40 and 0.45.
HEAT_PEAK_KW_PER_GPU = 0.4
GPUS_PER_NODE = 8
# Jobs go on after the period: so long must the series reach beyond it, else their last week is repeated.
DRAIN = timedelta(days=14)
WEEK_S = 7 * S_PER_DAY
# A winter week for those who name none, from a Monday at midnight in Copenhagen.
MADE_UP_START_UTC, MADE_UP_DAYS = utc("2026-01-11T23:00:00+00:00"), 7
NOTHING = "--scenario DIR, or --series FILE (or --generate-series SEED) with --jobs FILE (or --generate-jobs SEED)"
EXPECTED_TIME = "ISO 8601 with an offset, such as 2026-01-05T00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A scenario in parts, as given on the command line; without manifests the site is the reference site, scaled."""

    site: Path | None = None
    series: Path | None = None
    generate_series: int | None = None
    jobs: Path | None = None
    generate_jobs: int | None = None
    start: str | None = None
    days: int | None = None
    gpus: int | None = None
    heat_peak_kw: float | None = None
    time_zone: str | None = None

    @property
    def given(self) -> list[str]:
        """Options that were given."""
        named = (
            "site", "series", "generate_series", "jobs", "generate_jobs", "start", "days", "gpus", "heat_peak_kw", "time_zone",
        )  # fmt: skip
        return ["--" + name.replace("_", "-") for name in named if getattr(self, name) is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A scenario, the parameters of the reference site that a result echoes, and settings of a policy (else the defaults)."""

    scenario: Scenario
    reference: dict[str, Any]
    settings: Settings = field(default_factory=Settings)

    def paced(self, cycle_s: int) -> Settings:
        """The settings for plans this far apart: each commits to what comes before the next."""
        return replace(self.settings, cycle_s=cycle_s, commit_slots=max(1, cycle_s // self.settings.slot_s))


def read_given(folder: Path | None, parts: Parts) -> Given:
    """Read a scenario from a folder or from its parts; warnings go to standard error.

    Raises:
        Misconfigured: when both or neither is given, or anything in the files cannot be.
    """
    if folder is not None and parts.given:
        raise Misconfigured(f"--scenario and {parts.given[0]} contradict", where="options", expected="a folder or its parts")
    if folder is not None:
        scenario, findings = load_scenario(folder)
        report_findings(findings)
        return Given(scenario=scenario, reference=reference_parameters())
    place = place_of(parts)
    reference = reference_parameters() if parts.site is None else {}
    return Given(scenario=scenario_of(place, parts), reference=reference, settings=place.settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A site, the peak of heat demand that a share of it refers to, what its customer takes in a year, how it is to be run."""

    site: Site
    heat_peak_kw: float
    settings: Settings
    annual_kwh: float | None = None


def place_of(parts: Parts) -> Place:
    """The site of a directory of manifests, or the reference site for a number of GPUs.

    The manifests are held to everything that `validate` checks, a meter's calibration against the first day of the period and
    not against today: history is replayed. Warnings are shown, an error ends the command.

    Raises:
        Misconfigured: when manifests and the size of the reference site are both given, or no site can be made of them.
        typer.Exit: with the code of wrong input when the manifests do not hold up; every finding has been printed.
    """
    if parts.site is None:
        gpus = 256 if parts.gpus is None else parts.gpus
        peak_kw = HEAT_PEAK_KW_PER_GPU * gpus if parts.heat_peak_kw is None else parts.heat_peak_kw
        site = reference_site(
            gpus=gpus, gpus_per_node=GPUS_PER_NODE, heat_peak_kw=peak_kw, time_zone=zone_of(parts.time_zone), name="reference"
        )
        return Place(site=site, heat_peak_kw=peak_kw, settings=Settings())
    for option, value in (("--gpus", parts.gpus), ("--time-zone", parts.time_zone)):
        if value is not None:
            raise Misconfigured(f"--site and {option} contradict", where="options", expected="the manifests say it")
    manifests, findings = checked(parts.site, period_start(parts))
    report_findings(findings)
    site = site_from(manifests)
    peak_kw = HEAT_PEAK_KW_PER_GPU * site.gpus if parts.heat_peak_kw is None else parts.heat_peak_kw
    return Place(site=site, heat_peak_kw=peak_kw, settings=settings_from(manifests), annual_kwh=annual_kwh_of(manifests, site))


def annual_kwh_of(manifests: Manifests, site: Site) -> float | None:
    """What the customer with a series of demand takes in a year; None without one."""
    customer = measured_customer(site)
    named = {offtake.name: offtake.spec.requirement.annual_mwh * KWH_PER_MWH for offtake in manifests.of(HeatOfftake)}
    return None if customer is None else named[customer.offtake_id]


def period_start(parts: Parts, series: WorldSeries | None = None) -> datetime:
    """First instant of the period: as given, or the first whole hour of the series, read now unless it has been.

    Raises:
        Misconfigured: when the instant is none, or a made-up period does not begin on a whole hour.
    """
    if parts.start is not None:
        start_utc = instant(parts.start, "--start")
        if parts.generate_series is not None and int(start_utc.timestamp()) % int(S_PER_H):
            raise Misconfigured("made-up series are hourly", where="--start", expected="a whole hour, as 2026-01-05T00:00Z")
        return start_utc
    if parts.series is None:
        return MADE_UP_START_UTC
    # The scale of the demand does not matter for the time.
    read = read_series(parts.series, heat_peak_kw=1.0)[0] if series is None else series
    return first_hour(read.price_eur_per_kwh.grid)


def scenario_of(place: Place, parts: Parts) -> Scenario:
    """A scenario on a site, from files or made up.

    Raises:
        Misconfigured: when there are no series or two, or anything in the files cannot be.
    """
    if parts.series is not None and parts.generate_series is not None:
        raise Misconfigured("--series and --generate-series contradict", where="options", expected="one of them")
    if parts.generate_series is not None:
        return made_up(place, parts, parts.generate_series)
    if parts.series is None:
        raise Misconfigured("nothing to replay", where="options", expected=NOTHING)
    return from_parts(parts.series, place, parts)


def made_up(place: Place, parts: Parts, seed: int) -> Scenario:
    """A scenario on a site with series from a seed: they reach from weeks before the period to weeks after it."""
    site, start_utc = place.site, period_start(parts)
    days = MADE_UP_DAYS if parts.days is None else parts.days
    jobs, findings = jobs_of(parts, site, start_utc, days)
    series = site_series(site, seed, start_utc, days, place.annual_kwh)
    scenario, more = scenario_from(site, series, jobs, start_utc=start_utc, days=days, name=f"{site.name}-{seed}")
    report_findings([*findings, *more])
    return scenario


def from_parts(path: Path, place: Place, parts: Parts) -> Scenario:
    """A scenario on a site from a series file and a jobs file, or generated jobs."""
    series, findings = read_series(path, heat_peak_kw=place.heat_peak_kw)
    start_utc = period_start(parts, series)
    days = whole_days(series.price_eur_per_kwh.grid, start_utc) if parts.days is None else parts.days
    jobs, more = jobs_of(parts, place.site, start_utc, days)
    scenario, last = scenario_from(place.site, series, jobs, start_utc=start_utc, days=days, name=path.stem)
    longer, told = with_drain(series, start_utc + timedelta(days=days) + DRAIN)
    report_findings([*findings, *more, *last, *told])
    return replace(scenario, series=longer)


def jobs_of(parts: Parts, site: Site, start_utc: datetime, days: int) -> tuple[tuple[JobTruth, ...], list[Finding]]:
    """Jobs from a file, or made up from a seed.

    Raises:
        Misconfigured: when both or neither is asked for.
    """
    if (parts.jobs is None) == (parts.generate_jobs is None):
        raise Misconfigured("which jobs?", where="options", expected="--jobs FILE or --generate-jobs SEED, one of them")
    if parts.jobs is not None:
        return read_jobs(parts.jobs, site)
    return year_jobs(site, days, parts.generate_jobs or 0, start_utc=start_utc), []


def instant(text: str, option: str) -> datetime:
    """An instant with its offset.

    Raises:
        Misconfigured: when it is none.
    """
    try:
        return utc(text)
    except ValueError as error:
        raise Misconfigured(str(error), where=option, expected=EXPECTED_TIME) from None


def zone_of(name: str | None) -> str:
    """A time zone that exists; UTC by default.

    Raises:
        Misconfigured: when it does not exist.
    """
    try:
        return "UTC" if name is None else known_zone(name)
    except ValueError as error:
        raise Misconfigured(str(error), where="--time-zone", expected="an IANA name, such as Europe/Copenhagen") from None


def first_hour(grid: TimeGrid) -> datetime:
    """First whole hour of a series."""
    hours = -(-int(grid.start_utc.timestamp()) // int(S_PER_H))
    return datetime.fromtimestamp(hours * S_PER_H, tz=UTC)


def whole_days(grid: TimeGrid, start_utc: datetime) -> int:
    """Whole days from an instant to the end of a series; at least one, so that a later check names what is missing."""
    return max(1, int((grid.end_utc - start_utc).total_seconds() // S_PER_DAY))


def with_drain(series: WorldSeries, until_utc: datetime) -> tuple[WorldSeries, list[Finding]]:
    """Series that reach to `until_utc`: where a file ends earlier its last week is repeated, and that is said."""
    grid = series.price_eur_per_kwh.grid
    missing = -(-int((until_utc - grid.end_utc).total_seconds()) // grid.slot_s)
    if missing <= 0:
        return series, []
    days = missing * grid.slot_h / H_PER_DAY
    ends = f"the series end on {grid.end_utc:%Y-%m-%d %H:%M}Z"
    text = f"{ends}; their last week is repeated for {days:g} days, so that the last jobs can end"
    longer = WorldSeries(
        price_eur_per_kwh=repeated(series.price_eur_per_kwh, missing),
        carbon_g_per_kwh=repeated(series.carbon_g_per_kwh, missing),
        outdoor_c=repeated(series.outdoor_c, missing),
        heat_demand_kw=repeated(series.heat_demand_kw, missing),
    )
    return longer, [warning(series.price_eur_per_kwh.source, "start_utc", text)]


def repeated(series: Series, more: int) -> Series:
    """A series with `more` slots, each that of a week before."""
    grid = series.grid
    week = max(1, min(grid.slots, int(WEEK_S // grid.slot_s)))
    tail = np.resize(series.values[-week:], more)
    longer = TimeGrid(start_utc=grid.start_utc, slot_s=grid.slot_s, slots=grid.slots + more)
    return replace(series, grid=longer, values=np.concatenate([series.values, tail]))
