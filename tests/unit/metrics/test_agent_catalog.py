"""Names of metrics, the agent's and the operator's, by the rules of the house and by promtool."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as Family

from scheduler.adapters.gpu.agent_metrics import families
from scheduler.adapters.metrics.agent import AGENT
from scheduler.adapters.metrics.catalog import Kind, Metric
from scheduler.adapters.metrics.page import metrics_page
from scheduler.adapters.metrics.registry import Metrics

BASE_UNITS = ("seconds", "watts", "joules", "celsius", "ratio", "total")
COUNTS_AND_STATES = {
    "agent_gpus", "agent_gpus_lost", "agent_gpu_instances", "agent_gpu_persistence_mode",
    "agent_gpu_clocks_held_back", "agent_driver_up",
    "agent_host_power_up", "agent_setter_up", "agent_setter_dry_run", "agent_cap_condition",
}  # fmt: skip
REQUIRED = "HEAT_DISPATCH_REQUIRE_CONTROLPLANE"


class Everything:
    """A page with a row for every metric of the agent."""

    def collect(self) -> list[Family]:
        return list(families((one.name.removeprefix("agent_"), tuple("x" for _ in one.labels), 1.0) for one in AGENT))


def agents_page() -> bytes:
    registry = CollectorRegistry()
    registry.register(Everything())
    return generate_latest(registry)


@pytest.fixture(scope="module")
def promtool() -> str:
    """The tool of Prometheus that checks names."""
    found = shutil.which("promtool", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        words = "no promtool on this machine (`make promtool`)"
        if os.environ.get(REQUIRED) and shutil.which("apt-get"):
            pytest.fail(f"{words} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(words)
    return found


@pytest.mark.parametrize("metric", AGENT, ids=lambda one: one.name)
def test_names_labels_and_help_keep_the_rules(metric: Metric) -> None:
    assert re.fullmatch(r"agent_[a-z0-9_]*", metric.name)
    assert metric.name.endswith(BASE_UNITS) or metric.name in COUNTS_AND_STATES
    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
    assert set(metric.labels) <= {"gpu", "kind", "reason"}
    assert metric.help.endswith(".")
    assert len(metric.help) > 20


def test_every_metric_is_on_the_page_of_the_reference() -> None:
    ((_, text),) = metrics_page().items()
    assert [one.full_name for one in AGENT if f"| `{one.full_name}` |" not in text] == []


@pytest.mark.parametrize("page", [agents_page(), Metrics().exposition()[0]], ids=["agent", "operator"])
def test_promtool_finds_nothing_to_say(promtool: str, page: bytes) -> None:
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_promtool_would_say_something(promtool: str) -> None:
    page = agents_page().replace(b"gpu_energy_joules_total", b"gpu_energyMillijoules")
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False, timeout=60)
    assert done.returncode != 0
    assert b"gpu_energyMillijoules" in done.stdout + done.stderr


def test_a_row_without_a_place_in_the_catalogue_is_a_fault() -> None:
    with pytest.raises(KeyError):
        list(families([("gpu_colour", ("x",), 1.0)]))
