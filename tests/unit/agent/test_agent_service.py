"""The agent as a process: what it tells, to whom, and that a sick GPU or driver hides no other."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import pytest
from agent_process import running_agent
from gpu_machine import Machine

from scheduler.adapters.telemetry.wire import node_draw
from scheduler.domain.telemetry import WallOf
from scheduler.entrypoints.agent.service import _Run

TWO = 'heatdispatch_agent_gpu_power_watts{gpu="GPU-0001"}'


def test_energy_is_told_once_and_as_the_operator_reads_it(machine: Machine, tmp_path: Path) -> None:
    machine[0].noise_milliwatt = machine[1].noise_milliwatt = 0
    machine[1].work_milliwatt = 300_000
    with running_agent(machine, tmp_path) as agent:
        agent.wait("/v1/telemetry", '"sequence"')
        first, heard = node_draw(agent.ask("/v1/telemetry").json(), "n0", None)
        # The counter ticks ten times a second, an interval has ten seconds.
        assert [gpu.draw_w for gpu in first.gpus] == [pytest.approx(650.0, rel=0.02), pytest.approx(300.0, rel=0.02)]
        assert [gpu.limit_w for gpu in first.gpus] == [700.0, 700.0]
        again = agent.ask("/v1/telemetry", since=str(heard.sequence), boot=heard.boot).json()
        assert [slot for slot in again["slots"] if slot["sequence"] <= heard.sequence] == []
        other_start = agent.ask("/v1/telemetry", since=str(heard.sequence), boot="another").json()
        assert other_start["slots"][0]["sequence"] == 1


def test_it_tells_whose_pod_is_on_which_gpu_and_what_the_host_takes(machine: Machine, tmp_path: Path) -> None:
    machine[0].noise_milliwatt = machine[1].noise_milliwatt = 0
    package = tmp_path / "powercap" / "intel-rapl:0"
    package.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("energy_uj", "5000000"), ("max_energy_range_uj", "262143328850")):
        (package / name).write_text(text + "\n", encoding="utf-8")
    wishes = {"planId": "p", "generation": 1, "leaseSeconds": 60, "lease": "always", "gpus": []}
    pods = [{"namespace": "lab", "name": "train", "uid": "u-1", "gpus": ["GPU-0000"]}]
    (tmp_path / "wishes.json").write_text(json.dumps({**wishes, "pods": pods}), encoding="utf-8")
    more = ("--wishes", str(tmp_path / "wishes.json"), "--rapl", str(package.parent), "--host-model", "1000,1.5")
    with running_agent(machine, tmp_path, *more) as agent:
        agent.wait("/v1/telemetry", '"wallJoules"')
        document = agent.ask("/v1/telemetry").json()
        assert [gpu["podUid"] for gpu in document["gpus"]] == ["u-1", ""]
        slot = next(slot for slot in document["slots"] if "wallJoules" in slot)
        # The processors' counter stands still: 1000 W for ten seconds, and 1.5 times what both GPUs took.
        assert slot["wallJoules"] == pytest.approx(10_000.0 + 1.5 * sum(slot["joules"].values()), abs=0.01)
        assert (slot["wallOf"], set(slot["joules"])) == ("modelled", {"GPU-0000", "GPU-0001"})
        found, _ = node_draw(document, "n0", None)
        assert (found.gpus[0].pod_uid, found.wall_of) == ("u-1", WallOf.MODELLED)
        page = agent.ask("/metrics").text
        assert 'heatdispatch_agent_host_power_up{kind="processors"} 1.0' in page
        assert "setter" not in page


def test_why_it_is_not_ready_is_for_whoever_knows_the_token(machine: Machine, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open sesame\n", encoding="utf-8")
    (tmp_path / "wishes.json").write_text("{", encoding="utf-8")
    more = ("--wishes", str(tmp_path / "wishes.json"), "--setter", str(tmp_path / "nobody"), "--token-file", str(token))
    with running_agent(machine, tmp_path, *more) as agent:
        agent.wait("/healthz", "ok")
        answer = agent.ask("/readyz")
        assert (answer.status_code, answer.text) == (503, "not ready\n")
        agent.token = "open sesame"
        why = agent.wait("/readyz", "nobody")
        assert "wishes.json" in why
        assert "asking the setter failed" in agent.told()
        assert "heatdispatch_agent_setter_up 0.0" in agent.ask("/metrics").text
        assert agent.ask("/healthz").text == "ok\n"


def test_no_signal_interrupts_another(machine: Machine, tmp_path: Path) -> None:
    with running_agent(machine, tmp_path) as agent:
        agent.wait("/healthz", "ok")
        status = Path(f"/proc/{agent.process.pid}/status").read_text("ascii")
        kept = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk")), 16)
        for number in (signal.SIGTERM, signal.SIGINT):
            # A handler would run within whatever the main thread does: the handler of the signal before, for instance.
            assert kept >> (number - 1) & 1
            agent.process.send_signal(number)
        assert agent.process.wait(30) == 0


def test_half_an_agent_ends_as_a_whole(machine: Machine, tmp_path: Path) -> None:
    run = _Run()
    try:
        raise ValueError("what nobody thought of")
    except ValueError as error:
        run._failed(threading.ExceptHookArgs((type(error), error, None, threading.current_thread())))
    assert (run.code, run.stopping.is_set()) == (1, True)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--tls-certificate", "/nowhere/cert"), "/nowhere/cert"),
        (("--host", "192.0.2.1", "--token-file", "/dev/null"), "Cannot assign requested address"),
        (("--redfish-url", "http://192.0.2.1"), "--redfish-url http://192.0.2.1"),
        (("--redfish-url", "https://[::1"), "--redfish-url https://[::1: no address"),
        (("--redfish-url", "https://h", "--redfish-ca", "/dev/null"), "/dev/null"),
        (("--wishes", "api", "--lease-namespace", "x"), "KUBERNETES_SERVICE_HOST"),
    ],
)
def test_what_cannot_be_begun_ends_with_a_line(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], why: str
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with running_agent(machine, tmp_path, *more) as agent:
        assert agent.process.wait(30) == 2
        assert "Traceback" not in agent.told()
        assert agent.told().startswith("error: ")
        assert why in agent.told()


def test_the_process_that_stays_is_small_and_knows_its_modules(machine: Machine, tmp_path: Path) -> None:
    with running_agent(machine, tmp_path) as agent:
        agent.wait("/v1/telemetry", "GPU-0001")
        status = Path(f"/proc/{agent.process.pid}/status").read_text("utf-8")
        rss_kib = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        maps = Path(f"/proc/{agent.process.pid}/maps").read_text("utf-8")
        # 28 MB are measured (docs/agent.md); what would bring in a compiled table, solver or check would bring more.
        assert rss_kib < 45 * 1024
        assert not any(name in maps for name in ("numpy", "pandas", "pydantic", "highs"))


def test_a_gpu_that_hangs_or_is_lost_hides_no_other(machine: Machine, tmp_path: Path) -> None:
    with running_agent(machine, tmp_path) as agent:
        agent.wait("/metrics", TWO)
        machine.delay(1, "power", 20_000)
        machine[0].noise_milliwatt, machine[0].work_milliwatt = 0, 123_000
        agent.wait("/metrics", 'gpu_power_watts{gpu="GPU-0000"} 123.0')
        time.sleep(6.0)  # a GPU that was not read for five seconds is told of no more
        page = agent.ask("/metrics").text
        assert TWO not in page
        assert 'gpu_power_watts{gpu="GPU-0000"} 123.0' in page
        machine[0].lost = 1
        agent.wait("/metrics", "heatdispatch_agent_gpus_lost 1.0")
        assert "GPU 0 does not answer" in agent.told()
        assert agent.ask("/healthz").text == "ok\n"


def test_a_gpu_that_answers_as_if_the_driver_had_gone_hides_no_other(machine: Machine, tmp_path: Path) -> None:
    machine.fail(0, "power", 999)
    with running_agent(machine, tmp_path) as agent:
        agent.wait("/metrics", "heatdispatch_agent_gpus_lost 1.0")
        agent.wait("/metrics", TWO)
        assert agent.ask("/readyz").text == "ok\n"
        assert agent.told().count("Unknown Error") == 1
        assert agent.told().count("2 GPUs") == 1


def test_a_driver_that_is_loaded_anew_is_met_and_nothing_is_counted_twice(machine: Machine, tmp_path: Path) -> None:
    machine[1].energy_uj = 9_000_000_000_000  # 9 MJ since the driver was loaded
    with running_agent(machine, tmp_path) as agent:
        agent.wait("/readyz", "ok")
        agent.wait("/metrics", TWO)
        machine.reload_driver()
        agent.wait("/metrics", 'gpu_energy_resets_total{gpu="GPU-0001"} 1.0')
        agent.wait("/readyz", "ok")
        assert "Traceback" not in agent.told()


def test_a_machine_whose_driver_comes_later_is_waited_for(machine: Machine, tmp_path: Path) -> None:
    machine.state.init_error = 9
    with running_agent(machine, tmp_path) as agent:
        assert "the NVIDIA driver is not loaded" in agent.wait("/readyz", "not loaded")
        assert agent.ask("/readyz").status_code == 503
        assert agent.ask("/v1/telemetry").json()["gpus"] == []
        machine.state.init_error = 0
        agent.wait("/readyz", "ok")


def test_a_driver_without_gpus_is_a_trouble_until_it_has_some(machine: Machine, tmp_path: Path) -> None:
    machine.state.count = 0
    with running_agent(machine, tmp_path) as agent:
        assert "the driver shows no GPU" in agent.wait("/readyz", "no GPU")
        machine.state.count = 2
        agent.wait("/readyz", "ok")
        agent.wait("/metrics", TWO)


def test_a_thread_that_was_left_behind_says_nothing_of_the_driver_that_came_after(machine: Machine, tmp_path: Path) -> None:
    with running_agent(machine, tmp_path) as agent:
        agent.wait("/metrics", TWO)
        machine.delay(1, "power", 60_000)
        time.sleep(1.5)  # the second GPU's thread hangs now
        machine.reload_driver()
        until_s = time.monotonic() + 30.0
        while agent.told().count("2 GPUs") < 2:
            assert time.monotonic() < until_s
            time.sleep(0.1)
        machine.delay(1, "power", 0)  # its call comes back, with a handle that is void
        time.sleep(2.0)
        assert agent.ask("/readyz").text == "ok\n"
        assert agent.told().count("Uninitialized") == 1
        # What it read is no reading: power counts for the time of the hang.
        assert 'gpu_silent_seconds_total{gpu="GPU-0001"} 0.0\n' in agent.wait("/metrics", TWO)


def test_another_version_of_the_driver_ends_it(machine: Machine, tmp_path: Path) -> None:
    machine.state.init_error = 18
    with running_agent(machine, tmp_path) as agent:
        assert agent.process.wait(30) == 1
        assert "of different versions" in agent.told()


def test_only_who_knows_the_token_is_told_of_jobs(machine: Machine, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open sesame\n", encoding="utf-8")
    with running_agent(machine, tmp_path, "--token-file", str(token)) as agent:
        agent.wait("/healthz", "ok")
        assert [agent.ask(path).status_code for path in ("/v1/telemetry", "/metrics", "/readyz", "/x")] == [401, 401, 200, 404]
        agent.token = "open sesam"
        assert agent.ask("/metrics").status_code == 401
        agent.token = "open sesame"
        assert agent.ask("/metrics").status_code == 200
        token.unlink()
        assert agent.ask("/metrics").status_code == 401
