"""`heat-dispatch agent --once` as a process: on a machine with GPUs, with a lost one, and with none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from gpu_machine import Machine
from kubelet_peer import KubeletPeer, holding
from typer.testing import CliRunner

from scheduler.adapters.gpu.permission import may_set
from scheduler.entrypoints.agent.command import app
from scheduler.entrypoints.agent.setup import Api, Host, Setup, setup_of, setup_text

RUN = "import sys; from scheduler.entrypoints.start import main; sys.exit(main())"
HEAVY = ("pandas", "pulp", "plotly", "sqlalchemy", "highspy", "kubernetes", "numpy", "pydantic", "httpx")


def agent(machine: Machine | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": "/nowhere"} if machine is None else machine.environment
    command = [sys.executable, "-c", RUN, "agent", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_it_tells_what_could_be_capped(machine: Machine) -> None:
    machine[0].limit_milliwatt, machine[0].noise_milliwatt = 600_000, 0
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
    assert "draw W limit W  min W  max W  degC" in done.stderr
    assert (one["persistenceMode"], "nvidia-persistenced" in done.stderr) == (True, False)


def test_a_driver_that_does_not_stay_loaded_is_named(machine: Machine) -> None:
    machine.state.persistence_off = 1
    done = agent(machine, "--once", "--json", "-")
    assert [gpu["persistenceMode"] for gpu in json.loads(done.stdout)["gpus"]] == [False, False]
    assert "nvidia-persistenced" in done.stderr


def test_with_a_kubelet_it_tells_who_holds_what_and_so_what_could_be_capped(machine: Machine, tmp_path: Path) -> None:
    with KubeletPeer(tmp_path) as kubelet:
        kubelet.pods = [holding("train", "GPU-0000")]
        done = agent(machine, "--once", "--json", "-", "--pod-resources", str(tmp_path))
        assert done.returncode == 0, done.stderr
        one, other = json.loads(done.stdout)["gpus"]
        assert one["heldBy"] == {"namespace": "lab", "pod": "train", "shared": False}
        assert one["capping"] == {"possible": True, "why": ""}
        assert (other["heldBy"], other["capping"]) == (None, {"possible": False, "why": "no pod holds it"})
        kubelet.pods = [holding("train", "GPU-0000"), holding("serve", "GPU-0000::1")]
        told = json.loads(agent(machine, "--once", "--json", "-", "--pod-resources", str(tmp_path)).stdout)
        assert told["gpus"][0]["capping"]["why"] == "several pods share it"
        kubelet.pods = [holding("train", "nvidia0")]
        told = json.loads(agent(machine, "--once", "--json", "-", "--pod-resources", str(tmp_path)).stdout)
        assert [one["capping"]["why"] for one in told["gpus"]] == ["it is not known who holds it"] * 2
    done = agent(machine, "--once", "--json", "-", "--pod-resources", str(tmp_path / "none"))
    told = json.loads(done.stdout)
    assert (done.returncode, told["gpus"][0]["capping"]["why"]) == (0, "it is not known who holds it")
    assert "kubelet.sock" in told["troubles"][0]["what"]
    assert "kubelet.sock" in done.stderr


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
    ("given", "why"),
    [
        (["--host", "0.0.0.0"], "--token-file FILE"),
        (["--json", "x.json"], "a service writes no file"),
        (["--setter", "/run/s"], "nothing to ask for"),
        (["--setter", "/run/s", "--wishes", "api"], "--pod-resources DIR"),
        (["--tls-key", "key"], "--tls-certificate FILE"),
        (["--host-model", "1000"], "two numbers"),
        (["--host-model", "1000,0.9"], "a factor of 1 or more"),
        (["--host-model", "nan,1.3"], "W of 0 or more"),
        (["--log-format", "xml"], "text or json"),
        (["--port", "70000"], "--port"),
        (["--token-file", "/nowhere/token"], "/nowhere/token: No such file"),
        (["--wishes", ""], "a JSON file"),
        (["--wishes", "/etc"], "a JSON file"),
        (["--wishes", "api", "--node", "a/b"], "no node's name"),
        (["--wishes", "api", "--lease-namespace", "../x"], "no namespace's name"),
        (["--wishes", "api", "--api-server", "nonsense"], "no address"),
        (["--wishes", "api", "--api-server", "https://[::1"], "no address"),
        (["--wishes", "api", "--api-server", "https://h:99999"], "no address"),
        (["--wishes", "api", "--api-token", "token"], "--api-server URL"),
        (["--wishes", "api", "--api-server", "https://h", "--api-ca", "/nowhere/ca"], "/nowhere/ca: No such file"),
        (["--redfish-ca", "ca"], "--redfish-url URL"),
        (["--redfish-url", "https://h", "--redfish-credentials", "/nowhere/c"], "/nowhere/c: No such file"),
    ],
)
def test_what_cannot_work_or_would_tell_too_much_is_refused(given: list[str], why: str) -> None:
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 2
    assert why in done.output


def test_what_the_command_has_read_arrives() -> None:
    power = Host(redfish_url="https://bmc", rapl="/sys/class/powercap", model=(1000.0, 1.32))
    setup = Setup(node="n0", host="::1", port=1, wishes="api", gpu_resources=("a", "b"), api=Api(url="u"), power=power)
    assert setup_of(setup_text(setup)) == setup
    assert setup_of(setup_text(Setup(node="n", host="h", port=2))) == Setup(node="n", host="h", port=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("CapEff:\t0000000000200000\n", True), ("CapEff:\t00000000a80425fb\n", False), ("Name:\tx\n", False)],
)
def test_limits_are_for_whom_has_the_capability(tmp_path: Path, text: str, expected: bool) -> None:
    status = tmp_path / "status"
    status.write_text(text, encoding="utf-8")
    assert may_set(status) is expected
    assert not may_set(tmp_path / "none")
