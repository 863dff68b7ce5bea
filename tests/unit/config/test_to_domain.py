"""Manifests become the same Site as the packaged reference parameters, and Settings of their policy."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from manifest_files import REFERENCE, manifests_of, minimal

from scheduler.config.findings import refuse
from scheduler.config.load import load_manifests
from scheduler.config.reference import reference_site
from scheduler.config.to_domain import settings_from, site_from
from scheduler.domain.errors import Misconfigured
from scheduler.domain.settings import Levers, Mode, Settings
from scheduler.domain.time import utc


def differences(ours: Any, theirs: Any, path: str = "site") -> list[str]:
    """Paths of the fields in which two nouns differ."""
    if is_dataclass(ours) and type(ours) is type(theirs):
        return [
            found
            for each in fields(ours)
            for found in differences(getattr(ours, each.name), getattr(theirs, each.name), f"{path}.{each.name}")
        ]
    if isinstance(ours, tuple) and isinstance(theirs, tuple) and len(ours) == len(theirs):
        pairs = zip(ours, theirs, strict=True)
        return [found for i, (a, b) in enumerate(pairs) for found in differences(a, b, f"{path}[{i}]")]
    return [] if ours == theirs else [f"{path}: {ours!r} is not {theirs!r}"]


def test_reference_manifests_and_reference_parameters_are_the_same_site() -> None:
    manifests, findings = load_manifests(REFERENCE)
    assert findings == ()
    packaged = reference_site(gpus=256, gpus_per_node=8, heat_peak_kw=100.0, time_zone="Europe/Copenhagen")
    assert differences(site_from(manifests), packaged) == []


def test_reference_policy_is_the_default_settings() -> None:
    manifests, _ = load_manifests(REFERENCE)
    assert settings_from(manifests) == Settings()


def test_policy_reaches_the_settings(tmp_path: Path) -> None:
    policy = """
    mode: Dispatch
    objective: {preset: balanced}
    levers: {plant: false}
    seasons:
      - {name: winter, firstDay: 10-15, lastDay: 04-14, preset: heat-first}
    capping: {enabled: false}
    queue: {maxHeldJobs: 7, maxHold: 1h30m}
    cycle: {every: 30m, horizon: 24h, gap: 0.01, solveBudgetSeconds: 20}
    """
    manifests = manifests_of(tmp_path, minimal(policy=policy))
    given = settings_from(manifests)
    summer = given.in_force(utc("2026-07-01T00:00Z"), "Europe/Copenhagen")
    assert summer.mode is Mode.DISPATCH
    assert (summer.cycle_s, summer.commit_slots, summer.horizon_slots) == (1800, 2, 96)
    assert (summer.max_held_jobs, summer.max_hold_s) == (7, 5400.0)
    assert (summer.budget.target_gap, summer.budget.guard_s) == (0.01, 20.0)
    assert summer.levers == Levers(plant=False, shifting=True, pausing=False, capping=False)
    # Midnight in Copenhagen is 22:00 UTC in summer time, 23:00 in winter: local days count, the first and the last among them.
    for at in ("2026-10-14T22:00Z", "2026-12-31T12:00Z", "2027-04-14T21:59Z"):
        winter = given.in_force(utc(at), "Europe/Copenhagen")
        assert winter.levers == Levers(plant=False, shifting=True, pausing=True, capping=False)
        assert winter.seasons == ()
    for at in ("2026-10-14T21:59Z", "2027-04-14T22:00Z"):
        assert not given.in_force(utc(at), "Europe/Copenhagen").levers.pausing


def test_parts_become_what_the_core_reads(tmp_path: Path) -> None:
    plug = """
    temperature: {supplyMinC: 30, supplyMaxC: 60, returnMaxC: 45}
    capacity: {maxHeatKw: 60, blocks: [{name: base, kw: 20, type: firm}, {name: rest, kw: 30, type: interruptible}]}
    capture: {gpu: 0.9, other: 0.2, cpu: 0.7, cpuShareOfRest: 0.5}
    redundancyClass: 2N
    metering: {meterPointId: m1, position: return, calibrationDue: 2030-01-01}
    maintenance: [{start: "2026-02-01T00:00Z", end: "2026-02-02T00:00Z", nodes: 2, reason: pump}]
    """
    site = site_from(manifests_of(tmp_path, minimal(plug=plug, idle_node_kw=1.8)))
    (made,), (pool,), (offtake,) = site.plugs, site.pools, site.offtakes
    assert made.firm_heat_kw == 20.0
    # Half of the rest is CPUs at 0.7, half at 0.2: 0.45.
    assert made.capture_other_fraction == pytest.approx(0.45)
    # Two of eight nodes out: three quarters of 60 kW.
    assert made.maintenance[0].available_kw == pytest.approx(45.0)
    # 1.8 kW / 8 GPUs = 0.225; minus 1.32 x 0.07 kW = 0.0924 leaves 0.1326.
    assert pool.power.kw_per_gpu_base == pytest.approx(0.1326)
    # The customer needs 50 degC of a plug that reaches 60: a flat curve.
    assert offtake.supply_curve == ((-60.0, 50.0), (60.0, 50.0))
    assert [job_class.name for job_class in site.classes] == ["insulated"]


def test_idle_node_below_its_idle_gpus_is_refused(tmp_path: Path) -> None:
    # 8 x 1.32 x 0.07 kW = 0.7392 kW.
    with pytest.raises(Misconfigured, match=r"site\.yaml:\d+: spec\.nodePools\[0\]\.idleNodeKw: 0\.5 kW is less .*0\.7392 kW"):
        site_from(manifests_of(tmp_path, minimal(idle_node_kw=0.5)))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (("ThermalPlug",), "no Site: place, electricity and node pools are not known"),
        (("Site",), "there is no ThermalPlug 'loop'"),
    ],
)
def test_missing_objects_are_named(tmp_path: Path, kinds: tuple[str, ...], message: str) -> None:
    parts = {name: text for name, text in minimal().items() if f"kind: {kinds[0]}\n" in text}
    with pytest.raises(Misconfigured, match=message):
        site_from(manifests_of(tmp_path, parts))


def test_policy_must_be_clear(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, minimal(policy="{pools: [gpu]}"))
    with pytest.raises(Misconfigured, match=r"no DispatchPolicy 'min1', did you mean 'min'\?"):
        settings_from(manifests, policy="min1")
    assert settings_from(manifests, policy="min").mode is Mode.OBSERVE


def test_horizon_that_cannot_be_planned(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, minimal(policy="{cycle: {horizon: 1h}}"))
    with pytest.raises(Misconfigured, match=r"policy\.yaml:\d+: spec\.cycle\.horizon: 1h cannot be planned.*4h to 96h"):
        settings_from(manifests)


def test_reference_findings_do_not_stop() -> None:
    _, findings = load_manifests(REFERENCE)
    refuse(findings)
    assert not findings
