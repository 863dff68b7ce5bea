"""The presets of policies/ on one and the same afternoon: each makes the plan that its comment promises.

Sixteen GPUs on a loop. Every day power costs 600 EUR/MWh from two to four in the afternoon and 50 else; or it costs the same
all day and is dirty in those hours. At two a preemptible job has been running for a while, and a deferrable one has just come.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_files import run, stamp

from scheduler.domain.time import utc

POLICIES = Path(__file__).parents[2] / "policies"
PRESETS = sorted(path.stem for path in POLICIES.glob("*.yaml"))
JANUARY, JULY = utc("2026-01-14T14:00:00+00:00"), utc("2026-07-15T14:00:00+00:00")
AFTERNOON = {14, 15}
SITE = """
apiVersion: heatdispatch.io/v1alpha1
kind: Site
metadata: {name: afternoon}
spec:
  timeZone: UTC
  nodePools:
    - {pool: gpu, plug: loop, nodes: 2, gpusPerNode: 8, gpuModel: H100-SXM}
---
apiVersion: heatdispatch.io/v1alpha1
kind: ThermalPlug
metadata: {name: loop}
spec:
  temperature: {supplyMinC: 40, supplyMaxC: 55, returnMaxC: 45}
  capacity: {maxHeatKw: 16}
  capture: {gpu: 0.9, other: 0.3}
  metering: {meterPointId: m, position: return, calibrationDue: 2040-01-01}
---
apiVersion: heatdispatch.io/v1alpha1
kind: HeatOfftake
metadata: {name: house}
spec:
  plugRef: loop
  sink: building
  requirement: {supplyC: 50, maxHeatKw: 16, annualMwh: 40, availability: 0.5}
  tariff: {kind: fixed, fixedEurPerKwh: 0.03}
---
apiVersion: heatdispatch.io/v1alpha1
kind: WorkloadClass
metadata: {name: later}
spec: {flexibility: deferrable, maxDelay: 24h, waitingEurPerGpuHour: 0.002, latenessEurPerGpuHour: 1.0}
---
apiVersion: heatdispatch.io/v1alpha1
kind: WorkloadClass
metadata: {name: pausable}
spec:
  flexibility: preemptible
  maxDelay: 48h
  maxSlowdown: 0.5
  minRuntime: 1h
  maxPreemptions: 2
  checkpoint: {costSeconds: 60}
  waitingEurPerGpuHour: 0.002
  latenessEurPerGpuHour: 1.0
  valueEurPerGpuHour: 0.05
"""


def dear_then(hour: int) -> tuple[float, float]:
    """Price in EUR/MWh and carbon in g/kWh of an hour."""
    return (600.0 if hour in AFTERNOON else 50.0), 100.0


def dirty_then(hour: int) -> tuple[float, float]:
    """The same price all day."""
    return 50.0, (350.0 if hour in AFTERNOON else 50.0)


def series_csv(at: datetime, world: Callable[[int], tuple[float, float]]) -> str:
    """Every day the same, from fifteen days before to three after; what never moves would be taken for a sensor that froze."""
    lines = ["start_utc,price_eur_per_mwh,carbon_g_per_kwh,outdoor_c,heat_demand_kw"]
    first = at - timedelta(days=15)
    for number in range(18 * 24):
        hour = first + timedelta(hours=number)
        price, carbon = world(hour.hour)
        moves = 0.1 * (hour.hour % 7)
        lines.append(f"{stamp(hour)},{price + moves:.1f},{carbon + moves:.1f},{5 + moves:.1f},{10 + moves:.1f}")
    return "\n".join(lines) + "\n"


def jobs_csv(at: datetime) -> str:
    """One that runs since two in the night, one that came an hour ago."""
    lines = ["job_id,submit_utc,duration_s,gpus,class,expected_duration_s,natural_power_w_per_gpu"]
    lines.append(f"running,{stamp(at - timedelta(hours=13))},108000,8,pausable,108000,650")
    lines.append(f"new,{stamp(at - timedelta(hours=1))},10800,4,later,10800,650")
    return "\n".join(lines) + "\n"


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The plan of a preset on that afternoon."""

    def plan(preset: str, at: datetime = JANUARY, world: Callable[[int], tuple[float, float]] = dear_then) -> dict[str, Any]:
        folder = tmp_path / f"{preset}-{at:%m}-{world.__name__}"
        folder.mkdir()
        (folder / "site.yaml").write_text(SITE, encoding="utf-8")
        shutil.copy(POLICIES / f"{preset}.yaml", folder)
        (folder / "series.csv").write_text(series_csv(at, world), encoding="utf-8")
        (folder / "jobs.csv").write_text(jobs_csv(at), encoding="utf-8")
        given = ("-f", folder, "--series", folder / "series.csv", "--jobs", folder / "jobs.csv")
        when = ("--start", stamp(at - timedelta(days=1)), "--days", "2", "--at", stamp(at))
        result = run("plan", *given, *when, "--json", "-")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        assert found["status"] == "fresh", found["degraded_reason"]
        return found

    return plan


def job(plan: dict[str, Any], name: str) -> dict[str, Any]:
    """A job of the plan."""
    found: dict[str, Any] = next(one for one in plan["jobs"] if one["job_id"] == name)
    return found


def least_level(plan: dict[str, Any]) -> float:
    """The lowest cap of any job."""
    return float(min(part["level"] for one in plan["jobs"] for part in one["segments"]))


def waits(plan: dict[str, Any]) -> bool:
    """Whether the job that has just come is held, to a clean or a cheap hour."""
    if plan["counts"]["hold"] == 0:
        return False
    start = utc(job(plan, "new")["segments"][0]["start_utc"])
    assert start.hour not in AFTERNOON
    return True


def levers(plan: dict[str, Any]) -> tuple[bool, bool, bool]:
    """What is done on that afternoon: the new job waits, the running one is stopped, something is capped."""
    return waits(plan), plan["counts"]["stop"] > 0, least_level(plan) < 1.0


def test_each_preset_uses_the_levers_that_its_comment_names(planned: Callable[..., dict[str, Any]]) -> None:
    done = {preset: levers(planned(preset)) for preset in ("compute-first", "balanced", "heat-first", "no-caps")}
    assert done["compute-first"] == (False, False, True)
    assert done["balanced"] == (True, False, True)
    assert done["heat-first"][:2] == (True, True)
    assert done["no-caps"] == (True, False, False)


def test_compute_first_caps_less_deep(planned: Callable[..., dict[str, Any]]) -> None:
    assert least_level(planned("compute-first")) == 0.7
    assert least_level(planned("balanced")) == 0.57


def test_seasonal_is_heat_first_in_winter_and_compute_first_in_summer(planned: Callable[..., dict[str, Any]]) -> None:
    assert levers(planned("seasonal", JANUARY))[:2] == (True, True)
    assert levers(planned("seasonal", JULY))[:2] == (False, False)


def test_carbon_aware_waits_for_clean_hours_and_balanced_does_not(planned: Callable[..., dict[str, Any]]) -> None:
    assert not waits(planned("balanced", world=dirty_then))
    assert waits(planned("carbon-aware", world=dirty_then))


def test_every_preset_is_looked_at_here_and_explained() -> None:
    assert PRESETS == ["balanced", "carbon-aware", "compute-first", "heat-first", "no-caps", "seasonal"]
    page = (POLICIES / "README.md").read_text(encoding="utf-8")
    assert all(f"[{name}]({name}.yaml)" in page for name in PRESETS)
