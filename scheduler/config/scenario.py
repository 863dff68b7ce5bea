"""A scenario: the world that a backtest replays, from a folder or from its parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from scheduler.config.findings import Finding, did_you_mean, error, refuse, warning
from scheduler.config.jobs import read_jobs
from scheduler.config.reference import reference_site
from scheduler.config.series import QUARTER_S, read_series
from scheduler.config.table import instant, read_text
from scheduler.domain.errors import Misconfigured
from scheduler.domain.site import Site
from scheduler.domain.time import Series
from scheduler.domain.world import JobTruth, Scenario, WorldSeries
from scheduler.units import h_from_s

SERIES_FILE, JOBS_FILE, SCENARIO_FILE = "series.csv", "jobs.csv", "scenario.json"
NOTES = {"note", "comment", "gpu_hours", "jobs"}
MAX_DAYS = 400


def known_zone(name: str) -> str:
    """An IANA time zone that exists; ValueError otherwise."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValueError(f"the time zone {name[:60]!r} does not exist") from None
    return name


class ScenarioFile(BaseModel):
    """`scenario.json`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=253)]
    start_utc: str
    days: Annotated[int, Field(ge=1, le=MAX_DAYS)]
    time_zone: Annotated[str, AfterValidator(known_zone)]
    gpus: Annotated[int, Field(ge=1, le=1_000_000)]
    gpus_per_node: Annotated[int, Field(ge=1, le=1_000_000)]
    gpu_model: Annotated[str, Field(min_length=1)] = "H100-SXM"
    heat_peak_kw: Annotated[float, Field(gt=0.0, le=1e7, allow_inf_nan=False)]


def load_scenario(folder: Path) -> tuple[Scenario, list[Finding]]:
    """Read a scenario folder (`series.csv`, `jobs.csv`, `scenario.json`) onto the reference site, scaled by it.

    Raises:
        Misconfigured: when a file is missing or something in it cannot be; see the readers.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise Misconfigured(
            "no such folder", where=str(folder), expected=f"a folder with {SERIES_FILE}, {JOBS_FILE}, {SCENARIO_FILE}"
        )
    given, findings = _scenario_file(folder / SCENARIO_FILE)
    start_utc = _start(given.start_utc)
    site = reference_site(
        gpus=given.gpus,
        gpus_per_node=given.gpus_per_node,
        heat_peak_kw=given.heat_peak_kw,
        gpu_model=given.gpu_model,
        time_zone=given.time_zone,
        name=given.name,
    )
    series, more = read_series(folder / SERIES_FILE)
    jobs, still_more = read_jobs(folder / JOBS_FILE, site)
    scenario, last = scenario_from(site, series, jobs, start_utc=start_utc, days=given.days, name=given.name)
    return scenario, [*findings, *more, *still_more, *last]


def scenario_from(
    site: Site, series: WorldSeries, jobs: Sequence[JobTruth], *, start_utc: datetime, days: int, name: str
) -> tuple[Scenario, list[Finding]]:
    """Put a scenario together: jobs outside [start, start + days) are left out and counted.

    Raises:
        Misconfigured: when the series do not cover the days, or the start is not on a quarter hour.
    """
    end_utc = start_utc + timedelta(days=days)
    findings = _coverage(series, start_utc, end_utc) + _demand_size(site, series)
    if int(start_utc.timestamp()) % QUARTER_S:
        findings.append(error(name, "start_utc", "the start is not on a quarter hour", "a time such as 2026-01-05T00:00Z"))
    refuse(findings)
    inside = tuple(truth for truth in jobs if start_utc <= truth.job.submit_utc < end_utc)
    if len(inside) < len(jobs):
        outside = len(jobs) - len(inside)
        findings.append(warning(name, "jobs", f"{outside} of {len(jobs)} jobs come outside the {days} days and are left out"))
    return Scenario(name=name, start_utc=start_utc, days=days, site=site, series=series, jobs=inside), findings


def _scenario_file(path: Path) -> tuple[ScenarioFile, list[Finding]]:
    """The scenario's parameters, checked."""
    where = path.name
    try:
        raw: Any = json.loads(read_text(path))
    except json.JSONDecodeError as bad:
        raise Misconfigured(f"not JSON: {bad.msg}", where=f"{where}:{bad.lineno}", expected="a JSON object") from None
    except (RecursionError, ValueError):
        raise Misconfigured("not JSON that can be read", where=where, expected="a JSON object") from None
    if not isinstance(raw, dict):
        raise Misconfigured("not a JSON object", where=where, expected="an object with name, start_utc, days, ...")
    known = set(ScenarioFile.model_fields)
    findings = [
        warning(where, key[:80], f"the key is not used{did_you_mean(key, known)}") for key in raw if key not in known | NOTES
    ]
    try:
        return ScenarioFile.model_validate(raw), findings
    except ValidationError as bad:
        wrong = [error(where, ".".join(map(str, each["loc"])), _plain(each["msg"])) for each in bad.errors(include_url=False)]
        refuse(wrong)
        raise


def _plain(message: str) -> str:
    """A pydantic message without its prefix."""
    return message.removeprefix("Value error, ")


def _start(text: str) -> datetime:
    """The scenario's start."""
    try:
        return instant(text)
    except ValueError as bad:
        raise Misconfigured(
            str(bad), where=f"{SCENARIO_FILE}: start_utc", expected="ISO 8601 with an offset, such as 2026-01-05T00:00Z"
        ) from None


def _coverage(series: WorldSeries, start_utc: datetime, end_utc: datetime) -> list[Finding]:
    """The series must reach over the days; holes inside them are named."""
    price = series.price_eur_per_kwh
    if price.grid.start_utc > start_utc or price.grid.end_utc < end_utc:
        said = f"the series reach from {price.grid.start_utc:%Y-%m-%dT%H:%MZ} to {price.grid.end_utc:%Y-%m-%dT%H:%MZ}"
        return [error(price.source, "start_utc", said, f"{start_utc:%Y-%m-%dT%H:%MZ} to {end_utc:%Y-%m-%dT%H:%MZ} at least")]
    named = {"price": price, "carbon": series.carbon_g_per_kwh, "heat demand": series.heat_demand_kw}
    return [finding for name, one in named.items() for finding in _holes(name, one, start_utc, end_utc)]


def _holes(name: str, series: Series, start_utc: datetime, end_utc: datetime) -> list[Finding]:
    """A warning when values inside the replayed days are unknown."""
    window = series.values[max(0, series.grid.slot_of(start_utc)) : series.grid.slot_of(end_utc)]
    unknown = int(np.isnan(window).sum())
    if not unknown:
        return []
    hours = h_from_s(unknown * series.grid.slot_s)
    return [warning(series.source, name, f"{hours:g} h inside the replayed days are unknown")]


def _demand_size(site: Site, series: WorldSeries) -> list[Finding]:
    """Warn when the demand is out of all proportion to what the site can deliver."""
    demand_kw = series.heat_demand_kw.values
    demand_kw = demand_kw[~np.isnan(demand_kw)]
    rated_kw = sum(plug.max_heat_kw for plug in site.plugs)
    if not len(demand_kw) or rated_kw <= 0.0:
        return []
    peak_kw = float(demand_kw.max())
    if peak_kw > 100.0 * rated_kw:
        text = f"the demand peaks at {peak_kw:g} kW, the site delivers {rated_kw:g} kW at most; is the file in W?"
    elif 0.0 < peak_kw < rated_kw / 200.0:
        text = f"the demand peaks at {peak_kw:g} kW, the site delivers {rated_kw:g} kW; is the file in MW?"
    else:
        return []
    return [warning(series.heat_demand_kw.source, "heat_demand_kw", text, "kW thermal")]
