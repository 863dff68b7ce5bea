"""Conformance rules, contradictions and suspicious units: each is named at its file, line and field."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from manifest_files import OFFTAKE, PLUG, REFERENCE, ROOT, manifests_of, minimal

from scheduler.config.findings import Finding, Level, errors_of
from scheduler.config.load import load_manifests
from scheduler.config.to_domain import settings_from, site_from
from scheduler.config.validate import validate_manifests
from scheduler.domain.settings import Levers

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CLASSES = {"calm": "{flexibility: deferrable, maxDelay: 1h}"}
PUMP = """
heatPump:
  ratedHeatKw: 60
  cop: {model: jensen, sourceInC: 45, sourceOutC: 35, sinkInC: 40, sinkOutC: 70}
"""
FIRM = "firm: {quantile: 0.1, shortfallEurPerKwh: 0.16, products: [{gate: 10:30}]}\n"


def findings_of(folder: Path, **parts: str) -> list[Finding]:
    files = minimal(classes=CLASSES, **parts)  # type: ignore[arg-type]  # names of text parts only
    return validate_manifests(manifests_of(folder, files), NOW)


def plug(old: str = "", new: str = "", more: str = "") -> str:
    assert old in PLUG
    return PLUG.replace(old, new) + more if old else PLUG + more


def offtake(old: str = "", new: str = "", more: str = "") -> str:
    assert old in OFFTAKE
    return OFFTAKE.replace(old, new) + more if old else OFFTAKE + more


def test_a_small_site_is_fine(tmp_path: Path) -> None:
    assert findings_of(tmp_path) == []


def test_the_reference_site_is_fine() -> None:
    manifests, findings = load_manifests(REFERENCE)
    assert [*findings, *validate_manifests(manifests, NOW)] == []


PLUG_ERRORS = [
    (plug("supplyMaxC: 60", "supplyMaxC: 75"), "6: loop: spec.temperature.supplyMaxC: 75 degC without a heat pump"),
    (plug("returnMaxC: 45", "returnMaxC: 60"), "6: loop: spec.temperature.returnMaxC: water comes back at up to 60 degC"),
    (plug("supplyMaxC: 60", "supplyMaxC: 75", PUMP), "6: loop: spec.temperature.supplyMaxC: 75 degC is hotter than the heat"),
    (
        plug(more=PUMP.replace("70", "110")),
        "13: loop: spec.heatPump.cop.sinkOutC: 110 degC is more than a heat pump with ammonia",
    ),
    (plug(more=PUMP.replace("sourceOutC: 35", "sourceOutC: 50")), "13: loop: spec.heatPump.cop.sourceInC: the loop enters"),
    (plug(more=PUMP.replace("sinkInC: 40", "sinkInC: 70")), "13: loop: spec.heatPump.cop.sinkInC: water enters the condenser"),
    (
        plug("{maxHeatKw: 60}", "{maxHeatKw: 60, blocks: [{name: a, kw: 40, type: firm}, {name: a, kw: 30, type: firm}]}"),
        "7: loop: spec.capacity.blocks: the blocks add up to 70 kW (expected at most maxHeatKw, 60 kW)",
    ),
    (
        plug("{maxHeatKw: 60}", "{maxHeatKw: 60, blocks: [{name: a, kw: 4, type: firm}, {name: a, kw: 3, type: firm}]}"),
        "7: loop: spec.capacity.blocks[1].name: block 'a' is there twice",
    ),
    (
        # N+1: half of 60 kW survives one failure.
        plug("{maxHeatKw: 60}", "{maxHeatKw: 60, blocks: [{name: a, kw: 40, type: firm}]}", "redundancyClass: N+1\n"),
        "7: loop: spec.capacity.blocks: 40 kW are firm; of 60 kW class N+1 keeps 30 kW (expected firm blocks of at most 30 kW",
    ),
    (
        plug(more="storage: {capacityKwh: 10, maxChargeKw: 5, maxDischargeKw: 5, minKwh: 8}\n"),
        "10: loop: spec.storage.initialFraction: the tank begins with 5 kWh (expected at least minKwh, 8 kWh)",
    ),
    (plug("2030-01-01", "2026-11-20"), "9: loop: spec.metering.calibrationDue: the meter's calibration ran out on 2026-11-20"),
]
WINDOW = '{start: "2026-12-01T00:00Z", end: "2026-12-03T00:00Z", '
WINDOW_ERRORS = [
    ('[{start: "2026-12-02T00:00Z", end: "2026-12-01T00:00Z", kw: 1}]', "maintenance[0].end: the window ends at"),
    (f"[{WINDOW}kw: 61}}]", "maintenance[0].kw: 61 kW in maintenance is more than the plug delivers without"),
    (f"[{WINDOW}nodes: 9}}]", "maintenance[0].nodes: 9 nodes of 8 on the plug"),
    (f"[{WINDOW}kw: 30}}, {WINDOW}kw: 20}}]", "maintenance[1].start: overlaps window 1 and says something else"),
]


@pytest.mark.parametrize(("text", "expected"), PLUG_ERRORS)
def test_a_plug_that_cannot_be(tmp_path: Path, text: str, expected: str) -> None:
    errors = [str(finding) for finding in errors_of(findings_of(tmp_path, plug=text))]
    assert any(line.startswith(f"plug.yaml:{expected}") for line in errors), errors


@pytest.mark.parametrize(("windows", "expected"), WINDOW_ERRORS)
def test_a_window_that_cannot_be(tmp_path: Path, windows: str, expected: str) -> None:
    errors = [str(finding) for finding in errors_of(findings_of(tmp_path, plug=plug(more=f"maintenance: {windows}\n")))]
    assert any(line.startswith(f"plug.yaml:10: loop: spec.{expected}") for line in errors), errors


def test_equal_windows_may_overlap(tmp_path: Path) -> None:
    assert findings_of(tmp_path, plug=plug(more=f"maintenance: [{WINDOW}kw: 30}}, {WINDOW}kw: 30}}]\n")) == []


OFFTAKE_ERRORS = [
    ("supplyC: 50", "supplyC: 70", "", "requirement.supplyC: 70 degC is not reached directly: plug 'loop' delivers 60 degC"),
    ("supplyC: 50", "supplyC: 150", "", "requirement.supplyC: 150 degC cannot be served with data centre heat"),
    ("annualMwh: 100", "annualMwh: 400", "", "requirement.annualMwh: 400 MWh a year is more than 40 kW gives"),
    ("availability: 0.9", "availability: 0", "", "requirement.availability: a customer who needs heat in no hour is none"),
    ("plugRef: loop", "plugRef: lop", "", "plugRef: there is no ThermalPlug 'lop', did you mean 'loop'?"),
    ("", "", "auxiliaryHeat: false\n", "firm: nothing is promised to a customer who is critical or has no other heat"),
    ("availability: 0.9", "availability: 0.99", FIRM + "auxiliaryHeat: false\n", "firm.quantile: promises at quantile 0.1"),
    ("", "", FIRM + "critical: true\n", "interruptible: critical heat cannot be interruptible"),
    ("", "", FIRM + "critical: true\ninterruptible: false\nauxiliaryHeat: false\n", "critical: critical heat on plug 'loop'"),
    ("", "", FIRM.replace("{quantile", "{timeZone: Europe/Paris, quantile"), "firm.timeZone: the gate is in Europe/Paris"),
    ("", "", "thermalMass: {kwhPerK: 10, minC: 30, maxC: 55, maxKPerDay: 1}\n", "thermalMass.maxC: a mass of up to 55 degC"),
    (
        "supplyC: 50",
        "supplyCurve: [{outdoorC: -10, supplyC: 80}, {outdoorC: 15, supplyC: 50}]",
        "",
        "requirement.supplyCurve: 80 degC is not reached directly",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "more", "expected"), OFFTAKE_ERRORS)
def test_an_offtake_that_cannot_be(tmp_path: Path, old: str, new: str, more: str, expected: str) -> None:
    errors = [str(finding) for finding in errors_of(findings_of(tmp_path, offtake=offtake(old, new, more)))]
    assert any(f": house: spec.{expected}" in line and line.startswith("offtake.yaml:") for line in errors), errors


def test_through_the_pump_more_is_reached_and_no_more(tmp_path: Path) -> None:
    lifted = plug("supplyMaxC: 60", "supplyMaxC: 70", PUMP)
    assert findings_of(tmp_path / "a", plug=lifted, offtake=offtake("supplyC: 50", "supplyC: 70")) == []
    (refused,) = findings_of(tmp_path / "b", plug=lifted, offtake=offtake("supplyC: 50", "supplyC: 71"))
    assert "71 degC is not reached through the heat pump: plug 'loop' delivers 70 degC at most" in str(refused)


TINY = offtake("40", "0.05").replace("100", "0.1")
WARNINGS = [
    ({"plug": plug("maxHeatKw: 60", "maxHeatKw: 500")}, "plug.yaml:7", "too many zeros"),
    ({"plug": plug("maxHeatKw: 60", "maxHeatKw: 60000")}, "plug.yaml:7", "is it in W?"),
    ({"plug": plug("maxHeatKw: 60", "maxHeatKw: 0.06"), "offtake": TINY}, "plug.yaml:7", "is it in MW?"),
    ({"plug": plug("2030-01-01", "2026-12-01")}, "plug.yaml:9", "runs out on 2026-12-01, in 10 days"),
    ({"plug": plug("position: return", "position: flow")}, "plug.yaml:9", "the flow sensor sits in the flow pipe"),
    ({"plug": plug("maxHeatKw: 60", "maxHeatKw: 60, blocks: [{name: a, kw: 9, type: firm}]")}, "plug.yaml:7", "class N"),
    ({"plug": plug(more=PUMP.replace("ratedHeatKw: 60", "ratedHeatKw: 50"))}, "plug.yaml:7", "together deliver 50 kW"),
    ({"offtake": offtake("0.04", "50")}, "offtake.yaml:9", "50 EUR/kWh; is it in EUR/MWh?"),
    ({"offtake": offtake("0.04", "0.00004")}, "offtake.yaml:9", "is it in EUR/Wh"),
    ({"offtake": offtake("annualMwh: 100", "annualMwh: 0.1")}, "offtake.yaml:8", "is it in GWh?"),
    ({"offtake": offtake("availability: 0.9", "availability: 0.99", FIRM)}, "offtake.yaml:10", "99.0% are asked for"),
    ({"extra_site": "electricity: {networkEurPerKwh: 25}"}, "site.yaml:9", "25 EUR/kWh; is it in EUR/MWh?"),
    ({"policy": "{limits: {siteMaxKw: 1}}"}, "policy.yaml:6", "less than the idle nodes draw, 13.9 kW; is it in MW?"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "where", "expected"), WARNINGS)
def test_what_is_odd_is_said_and_does_not_stop(tmp_path: Path, parts: dict[str, str], where: str, expected: str) -> None:
    findings = findings_of(tmp_path, **parts)
    assert errors_of(findings) == []
    assert any(finding.where == where and expected in str(finding) for finding in findings), [str(each) for each in findings]


def test_kelvin_is_suspected_beside_the_error(tmp_path: Path) -> None:
    findings = findings_of(tmp_path, offtake=offtake("supplyC: 50", "supplyC: 323"))
    assert [finding.level for finding in findings] == [Level.ERROR, Level.WARNING]
    assert "323 degC; is it in K?" in str(findings[1])


def test_five_megawatt_behind_eight_gpus(tmp_path: Path) -> None:
    # One busy GPU of 0.7 kW: rest 0.125 + 0.32 x 0.7 = 0.349 kW; caught 0.9 x 0.7 + 0.3 x 0.349 = 0.7347 kW; eight: 5.88 kW.
    files = minimal(classes=CLASSES, plug=plug("maxHeatKw: 60", "maxHeatKw: 5000"))
    files["site.yaml"] = files["site.yaml"].replace("nodes: 8", "nodes: 1")
    findings = validate_manifests(manifests_of(tmp_path, files), NOW)
    assert [finding.level for finding in findings] == [Level.WARNING]
    assert "5000 kW behind 8 GPUs that give 5.88 kW at full power; is it in W?" in str(findings[0])


POLICY_ERRORS = [
    ("seasons: [{name: a, firstDay: 10-01, lastDay: 03-01, preset: balanced}, "
     "{name: b, firstDay: 02-15, lastDay: 05-01, preset: heat-first}]",
     "spec.seasons[1].firstDay: 02-15 is in season 'a' (balanced) too"),
    ("capping: {speedCurve: [{drawRatio: 0.9, speed: 1}, {drawRatio: 0.5, speed: 0.7}]}",
     "does not hold full draw at full speed"),
    ("capping: {speedCurve: [{drawRatio: 1, speed: 1}, {drawRatio: 0.9, speed: 0.5}, {drawRatio: 0.5, speed: 0.7}]}",
     "more power gives less speed"),
    ("pools: [gpus]", "spec.pools[0]: there is no pool 'gpus', did you mean 'gpu'?"),
    ("cycle: {horizon: 50m}", "spec.cycle.horizon: 50m cannot be planned"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), POLICY_ERRORS)
def test_a_policy_that_contradicts_itself(tmp_path: Path, spec: str, expected: str) -> None:
    errors = [str(finding) for finding in errors_of(findings_of(tmp_path, policy=spec))]
    assert any(expected in line and line.startswith("policy.yaml:") for line in errors), errors


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        ("[{startHour: 0, endHour: 20, eurPerKwh: 0.1}]", "weekday 1, 20:00 has no price"),
        (
            "[{startHour: 0, endHour: 24, eurPerKwh: 0.1}, {startHour: 7, endHour: 8, eurPerKwh: 0.2}]",
            "weekday 1, 7:00 has two",
        ),
        ("[{startHour: 22, endHour: 6, eurPerKwh: 0.1}]", "the band ends at 6 h, not after its start at 22 h"),
    ],
)
def test_bands_cover_the_week_once(tmp_path: Path, bands: str, expected: str) -> None:
    errors = errors_of(findings_of(tmp_path, extra_site=f"electricity: {{kind: timeOfUse, bands: {bands}}}"))
    assert any(expected in str(finding) for finding in errors), errors


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{flexibility: deferrable}", "a deferrable class that may not wait"),
        ("{flexibility: deferrable, maxDelay: 1h, maxSlowdown: 0.1}", "so that every cap pays"),
        ("{flexibility: preemptible, maxDelay: 1h}", "may never be stopped"),
        ("{flexibility: preemptible, maxDelay: 1h, maxPreemptions: 1}", "costs no run time"),
    ],
)
def test_classes(tmp_path: Path, spec: str, expected: str) -> None:
    (finding,) = validate_manifests(manifests_of(tmp_path, minimal(classes={"calm": spec})), NOW)
    assert finding.level is Level.WARNING
    assert expected in str(finding)


def test_what_plans_do_not_reckon_with_is_said(tmp_path: Path) -> None:
    files = minimal(
        plug=plug(more=PUMP.replace("ratedHeatKw: 60", "ratedHeatKw: 60\n  insideBoundary: false")),
        offtake=offtake(
            "fixedEurPerKwh: 0.04",
            "fixedEurPerKwh: 0.04, takeOrPayKwhPerYear: 1000",
            "thermalMass: {kwhPerK: 10, minC: 30, maxC: 45, maxKPerDay: 1}\n",
        ),
        classes={"calm": "{flexibility: deferrable, maxDelay: 1h, powerProfile: memory_bound}"},
    )
    findings = validate_manifests(manifests_of(tmp_path, files), NOW)
    assert errors_of(findings) == []
    named = [finding.field.rsplit(".", 1)[-1] for finding in findings]
    assert named == ["insideBoundary", "takeOrPayKwhPerYear", "thermalMass", "powerProfile"]


def test_one_owner_for_each_thing(tmp_path: Path) -> None:
    files = minimal(classes=CLASSES, policy="{}")
    files["more.yaml"] = "---\n".join(
        [
            files["plug.yaml"].replace("name: loop", "name: loop2"),
            files["offtake.yaml"].replace("name: house", "name: school"),
            files["policy.yaml"].replace("name: min", "name: max"),
            files["site.yaml"].replace("name: small", "name: other"),
        ]
    )
    said = " | ".join(str(finding) for finding in errors_of(validate_manifests(manifests_of(tmp_path, files), NOW)))
    for text in (
        "metering point 'm1' belongs to another plug",
        "the file's heat_demand_kw belongs to 'school' already",
        "shares pools with policy 'max'",
        "a second Site, the first is 'other'",
    ):
        assert text in said


PRESETS = {
    "compute-first": Levers(shifting=False, pausing=False),
    "balanced": Levers(pausing=False),
    "heat-first": Levers(),
    "seasonal": Levers(pausing=False),
    "carbon-aware": Levers(pausing=False),
    "no-caps": Levers(pausing=False, capping=False),
}


@pytest.mark.parametrize("name", PRESETS)
def test_policy_presets_load_validate_and_plan(tmp_path: Path, name: str) -> None:
    text = (ROOT / "policies" / f"{name}.yaml").read_text(encoding="utf-8")
    alone, findings = load_manifests(ROOT / "policies" / f"{name}.yaml")
    assert [*findings, *validate_manifests(alone, NOW)] == []
    manifests = manifests_of(tmp_path, {**minimal(classes=CLASSES), "policy.yaml": text})
    assert validate_manifests(manifests, NOW) == []
    settings = settings_from(manifests)
    assert settings.levers == PRESETS[name]
    assert settings.mode == "Observe"
    assert site_from(manifests).caps.levels[0] == 1.0


def test_what_no_part_reads_is_said(tmp_path: Path) -> None:
    policy = "queue: {maxHeldFraction: 0.8}\ncapping: {maxStepFraction: 0.5}\n"
    told = validate_manifests(manifests_of(tmp_path, minimal(policy=policy, classes=CLASSES)), NOW)
    assert [(one.field, one.message) for one in told] == [
        ("min: spec.queue.maxHeldFraction", "nothing reads it in this version"),
        ("min: spec.capping.maxStepFraction", "nothing reads it in this version"),
    ]


def test_the_seasonal_preset_over_the_year() -> None:
    manifests, _ = load_manifests(ROOT / "policies" / "seasonal.yaml")
    settings = settings_from(manifests)
    days = {1: Levers(), 5: Levers(pausing=False), 7: Levers(shifting=False, pausing=False), 12: Levers()}
    for month, levers in days.items():
        assert settings.in_force(datetime(2026, month, 15, tzinfo=UTC), "Europe/Copenhagen").levers == levers
