"""`heat-dispatch agent --once` as a process: on a machine with GPUs, with a lost one, and with none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from gpu_machine import Machine

from scheduler.entrypoints.agent.once import may_set

RUN = "import sys; from scheduler.entrypoints.start import main; sys.exit(main())"
HEAVY = ("pandas", "pulp", "plotly", "sqlalchemy", "highspy", "kubernetes", "numpy", "pydantic", "httpx")


def agent(machine: Machine | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": "/nowhere"} if machine is None else machine.environment
    command = [sys.executable, "-c", RUN, "agent", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_it_tells_what_could_be_capped(machine: Machine) -> None:
    machine[0].limit_mw, machine[0].noise_mw = 600_000, 0
    machine[1].mig = 1
    done = agent(machine, "--once", "--json", "-")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    one, other = told["gpus"]
    assert one["limitsWatts"] == {"requested": 600.0, "enforced": 600.0, "default": 700.0, "min": 200.0, "max": 700.0}
    assert (one["drawWatts"], one["throttledBy"]) == (0.95 * 600.0, ["power_cap"])
    assert one["capping"] == {"possible": True, "why": ""}
    assert other["capping"] == {"possible": False, "why": "it is split (MIG): its limit is that of all tenants"}
    assert "driver 580.00.0, 2 GPUs" in done.stderr


def test_a_lost_gpu_is_named_and_makes_it_fail(machine: Machine, tmp_path: Path) -> None:
    machine[1].lost = 1
    done = agent(machine, "--once", "--json", str(tmp_path / "gpus.json"))
    assert done.returncode == 1
    assert "GPU 1: " in done.stdout
    assert "Xid" in done.stdout
    told = json.loads((tmp_path / "gpus.json").read_text("utf-8"))
    assert [len(told["gpus"]), told["troubles"][0]["gpu"]] == [1, 1]


def test_without_a_driver_it_says_what_is_missing() -> None:
    done = agent(None, "--once", "--json", "-")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["gpus"], told["driver"]) == ([], None)
    assert "libnvidia-ml.so.1 was not found" in told["troubles"][0]["what"]
    assert "runtime class" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_written_is_said(machine: Machine) -> None:
    done = agent(machine, "--once", "--json", "/nowhere/gpus.json")
    assert (done.returncode, done.stderr.splitlines()[-1][:28]) == (2, "error: /nowhere/gpus.json: N")


def test_it_loads_nothing_of_the_house() -> None:
    told = "import sys, scheduler.entrypoints.agent.command; print([name for name in sys.argv[1:] if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("CapEff:\t0000000000200000\n", True), ("CapEff:\t00000000a80425fb\n", False), ("Name:\tx\n", False)],
)
def test_limits_are_for_whom_has_the_capability(tmp_path: Path, text: str, expected: bool) -> None:
    status = tmp_path / "status"
    status.write_text(text, encoding="utf-8")
    assert may_set(status) is expected
    assert not may_set(tmp_path / "none")
