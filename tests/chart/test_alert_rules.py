"""Alerts, by Prometheus' own tool: each fires when it should and is silent when all is well; each has its page."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.adapters.metrics.agent import AGENT
from scheduler.adapters.metrics.catalog import CATALOG, CYCLE_S
from scheduler.adapters.metrics.link import LINK

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "heat-dispatch" / "files" / "rules.yaml"
RUNBOOK = ROOT / "docs" / "runbook.md"

# All is well: what a running system says, minute by minute (a number; a start and what is added each minute).
WELL = {
    'heatdispatch_last_cycle_timestamp_seconds{policy="day"}': "0+60x600",
    'heatdispatch_cycle_interval_seconds{policy="day"}': "900x600",
    'heatdispatch_degraded_step{policy="day"}': "0x600",
    'heatdispatch_heat_offer_watts{plug="loop",quantile="firm"}': "100000x600",
    'heatdispatch_heat_offer_watts{plug="loop",quantile="p50"}': "120000x600",
    'heatdispatch_heat_residual_watts{plug="loop"}': "10000x600",
    'heatdispatch_heat_metered_watts{plug="loop"}': "110000x600",
    'heatdispatch_heat_captured_watts{plug="loop"}': "130000x600",
    'heatdispatch_hold_used_ratio_max{policy="day"}': "0.3x600",
    'heatdispatch_source_fallback_depth{quantity="price"}': "0x600",
    'heatdispatch_source_rejected_values_total{source="feed",reason="implausible"}': "3x600",
    'heatdispatch_source_usable{source="history"}': "1x600",
    'heatdispatch_leader{pod="a"}': "1x600",
    'heatdispatch_leader{pod="b"}': "0x600",
    'heatdispatch_other_installation{pod="a"}': "0x600",
    'heatdispatch_right_missing{verb="patch",resource="jobs"}': "0x600",
    'heatdispatch_store_last_event_timestamp_seconds{kind="Job"}': "0+60x600",
    'heatdispatch_agents{state="silent"}': "0x600",
    'heatdispatch_agent_setter_up{instance="n"}': "1x600",
    'heatdispatch_agent_operator_silent_seconds{instance="n"}': "5x600",
    'heatdispatch_agent_cap_restores_total{instance="n",reason="expired"}': "0x600",
    'heatdispatch_agent_cap_restores_total{instance="n",reason="released"}': "0+1x600",
    'heatdispatch_agent_cap_foreign_writes_total{instance="n"}': "0x600",
    'heatdispatch_agent_cap_read_back_failures_total{instance="n"}': "0x600",
    'heatdispatch_agent_cap_journal_failures_total{instance="n"}': "0x600",
    'heatdispatch_agent_gpus_lost{instance="n"}': "0x600",
    'heatdispatch_agent_driver_up{instance="n"}': "1x600",
    f'heatdispatch_cycle_duration_seconds_bucket{{policy="day",le="{CYCLE_S[-1]}"}}': "0+1x600",
    'heatdispatch_cycle_duration_seconds_count{policy="day"}': "0+1x600",
    'heatdispatch_link_speaks{instance="n"}': "1x600",
    'heatdispatch_link_boiler_signal{instance="n",offtake="town"}': "0x600",
    'heatdispatch_link_plant_heartbeat_age_seconds{instance="n",offtake="town"}': "4x600",
    'heatdispatch_link_override{instance="n",offtake="town"}': "0x600",
    'heatdispatch_link_interface_up{instance="n",interface="rest"}': "1x600",
    'heatdispatch_link_refusals_total{instance="n",protocol="modbus"}': "0+1x600",
    'heatdispatch_plan_cost_euros{policy="day",term="electricity"}': "80x600",
    'heatdispatch_baseline_cost_euros{policy="day",term="electricity"}': "100x600",
}
# What is otherwise, and after how many minutes the alert is looked at, when it must fire.
ILL: dict[str, tuple[dict[str, str], int]] = {
    "HeatDispatchPlanStale": ({'heatdispatch_last_cycle_timestamp_seconds{policy="day"}': "0x600"}, 60),
    "HeatDispatchDegraded": ({'heatdispatch_degraded_step{policy="day"}': "2x600"}, 35),
    "HeatDispatchLetGo": ({'heatdispatch_degraded_step{policy="day"}': "3x600"}, 10),
    "HeatDispatchCycleSlow": ({'heatdispatch_cycle_duration_seconds_count{policy="day"}': "0+2x600"}, 60),
    "HeatDispatchShortfallExpected": ({'heatdispatch_heat_offer_watts{plug="loop",quantile="p50"}': "90000x600"}, 35),
    "HeatDispatchHeatMissing": (
        {
            'heatdispatch_heat_residual_watts{plug="loop"}': "40000x600",
            'heatdispatch_heat_metered_watts{plug="loop"}': "80000x600",
        },
        50,
    ),
    "HeatDispatchHoldLong": ({'heatdispatch_hold_used_ratio_max{policy="day"}': "0.9x600"}, 35),
    "HeatDispatchSourceGone": ({'heatdispatch_source_fallback_depth{quantity="price"}': "-1x600"}, 20),
    "HeatDispatchSourceFallback": ({'heatdispatch_source_fallback_depth{quantity="price"}': "1x600"}, 365),
    "HeatDispatchSourceRejected": (
        {'heatdispatch_source_rejected_values_total{source="feed",reason="implausible"}': "0+1x600"},
        60,
    ),
    "HeatDispatchPastNotKept": ({'heatdispatch_source_usable{source="history"}': "0x600"}, 20),
    "HeatDispatchNoLeader": ({'heatdispatch_leader{pod="a"}': "0x600"}, 10),
    "HeatDispatchTwoLeaders": ({'heatdispatch_leader{pod="b"}': "1x600"}, 5),
    "HeatDispatchOtherInstallation": ({'heatdispatch_other_installation{pod="a"}': "1x600"}, 15),
    "HeatDispatchRightMissing": ({'heatdispatch_right_missing{verb="patch",resource="jobs"}': "1x600"}, 15),
    "HeatDispatchBlind": ({'heatdispatch_store_last_event_timestamp_seconds{kind="Job"}': "0x600"}, 20),
    "HeatDispatchAgentSilent": ({'heatdispatch_agents{state="silent"}': "2x600"}, 15),
    "HeatDispatchSetterAway": ({'heatdispatch_agent_setter_up{instance="n"}': "0x600"}, 10),
    "HeatDispatchOperatorSilent": ({'heatdispatch_agent_operator_silent_seconds{instance="n"}': "100x600"}, 5),
    "HeatDispatchCapExpired": ({'heatdispatch_agent_cap_restores_total{instance="n",reason="expired"}': "0x5 1x595"}, 10),
    "HeatDispatchForeignWriter": ({'heatdispatch_agent_cap_foreign_writes_total{instance="n"}': "0x5 1x595"}, 10),
    "HeatDispatchCapNotTaken": ({'heatdispatch_agent_cap_read_back_failures_total{instance="n"}': "0x5 9x595"}, 10),
    "HeatDispatchJournalFailed": ({'heatdispatch_agent_cap_journal_failures_total{instance="n"}': "0x5 1x595"}, 10),
    "HeatDispatchGpuLost": ({'heatdispatch_agent_gpus_lost{instance="n"}': "1x600"}, 10),
    "HeatDispatchLinkAway": ({'heatdispatch_link_speaks{instance="n"}': "1x5 0x595"}, 10),
    "HeatDispatchBoilerSignal": ({'heatdispatch_link_boiler_signal{instance="n",offtake="town"}': "1x600"}, 15),
    "HeatDispatchPlantSilent": (
        {'heatdispatch_link_plant_heartbeat_age_seconds{instance="n",offtake="town"}': "0+60x600"},
        20,
    ),
    "HeatDispatchOverridden": ({'heatdispatch_link_override{instance="n",offtake="town"}': "1x600"}, 20),
    "HeatDispatchInterfaceDown": ({'heatdispatch_link_interface_up{instance="n",interface="rest"}': "0x600"}, 10),
    "HeatDispatchLinkRefuses": ({'heatdispatch_link_refusals_total{instance="n",protocol="modbus"}': "0+60x600"}, 60),
    "HeatDispatchDriverDown": ({'heatdispatch_agent_driver_up{instance="n"}': "0x600"}, 10),
}


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def series(changed: dict[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in {**WELL, **changed}.items()]


def fires(promtool: str, folder: Path, name: str) -> dict[str, list[str]]:
    """Of one alert: expression by which promtool is told that it fires, and what it says to that."""
    changed, minutes = ILL[name]
    asked = [{"expr": f'ALERTS{{alertname="{name}",alertstate="firing"}} * 0 + 1', "eval_time": f"{minutes}m"}]
    file = folder / f"{name}.yaml"
    test = {
        "interval": "1m",
        "input_series": series(changed),
        "promql_expr_test": [{**one, "exp_samples": []} for one in asked],
    }
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}), encoding="utf-8"
    )
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False, timeout=120)
    return {name: re.findall(r"got:\s*(.*)", done.stdout + done.stderr)}


def test_every_alert_is_tried() -> None:
    assert set(ILL) == set(alerts())


@pytest.mark.parametrize("name", sorted(ILL))
def test_it_fires_when_it_should(promtool: str, tmp_path: Path, name: str) -> None:
    """Asked for no alert at all, the tool says what it got instead."""
    told = fires(promtool, tmp_path, name)[name]
    assert told, "nothing was said: it did not fire"
    assert f'alertname="{name}"' in told[0]
    assert f'severity="{alerts()[name]["labels"]["severity"]}"' in told[0]


def test_nothing_fires_while_all_is_well(promtool: str, tmp_path: Path) -> None:
    looked = [{"expr": "ALERTS", "eval_time": f"{minutes}m", "exp_samples": []} for minutes in (5, 60, 400)]
    saving = {"expr": "heatdispatch:plan_saving_euros", "eval_time": "60m"}
    wanted = [{"labels": 'heatdispatch:plan_saving_euros{policy="day"}', "value": 20}]
    test = {"interval": "1m", "input_series": series({}), "promql_expr_test": [*looked, {**saving, "exp_samples": wanted}]}
    file = tmp_path / "well.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}), encoding="utf-8"
    )
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_policy_that_plans_every_hour_is_not_late_after_three_quarters_of_one(promtool: str, tmp_path: Path) -> None:
    hourly = {
        'heatdispatch_cycle_interval_seconds{policy="day"}': "3600x600",
        'heatdispatch_last_cycle_timestamp_seconds{policy="day"}': " ".join(f"{3600 * hour}x59" for hour in range(10)),
    }
    looked = [{"expr": "ALERTS", "eval_time": f"{minutes}m", "exp_samples": []} for minutes in (55, 59, 119)]
    test = {"interval": "1m", "input_series": series(hourly), "promql_expr_test": looked}
    file = tmp_path / "hourly.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}), encoding="utf-8"
    )
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_page_and_says_how_grave_it_is() -> None:
    sections = set(re.findall(r"^### (\w+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE))
    assert sections == set(alerts())
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_every_metric_that_is_asked_for_is_told() -> None:
    known = {f"heatdispatch_{one.name}" for one in (*CATALOG, *AGENT, *LINK)}
    text = "\n".join(rule["expr"] for rule in alerts().values())
    asked = {name.removesuffix("_bucket").removesuffix("_count") for name in re.findall(r"\bheatdispatch_\w+", text)}
    assert asked <= known
