"""The agent as a process: what it tells, to whom, and that a sick GPU or driver hides no other."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from agent_process import running_agent
from gpu_machine import Machine

from scheduler.adapters.telemetry.wire import node_draw

TWO = 'heatdispatch_agent_gpu_power_watts{gpu="GPU-0001"}'


def test_energy_is_told_once_and_as_the_operator_reads_it(machine: Machine, tmp_path: Path) -> None:
    machine[0].noise_mw = machine[1].noise_mw = 0
    machine[1].work_mw = 300_000
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


def test_a_gpu_that_hangs_or_is_lost_hides_no_other(machine: Machine, tmp_path: Path) -> None:
    with running_agent(machine, tmp_path) as agent:
        agent.wait("/metrics", TWO)
        machine.delay(1, "power", 20_000)
        machine[0].noise_mw, machine[0].work_mw = 0, 123_000
        agent.wait("/metrics", 'gpu_power_watts{gpu="GPU-0000"} 123.0')
        time.sleep(6.0)  # a GPU that was not read for five seconds is told of no more
        page = agent.ask("/metrics").text
        assert TWO not in page
        assert 'gpu_power_watts{gpu="GPU-0000"} 123.0' in page
        machine[0].lost = 1
        agent.wait("/metrics", "heatdispatch_agent_gpus_lost 1.0")
        assert "GPU 0 does not answer" in agent.told()
        assert agent.ask("/healthz").text == "ok\n"


def test_a_driver_that_is_loaded_anew_is_met_and_nothing_is_counted_twice(machine: Machine, tmp_path: Path) -> None:
    machine[1].energy_uj = 9_000_000_000_000  # 9 MJ since the driver was loaded
    with running_agent(machine, tmp_path) as agent:
        agent.wait("/readyz", "ok")
        agent.wait("/metrics", TWO)
        machine.reload_driver()
        agent.wait("/metrics", 'gpu_energy_counter_resets_total{gpu="GPU-0001"} 1.0')
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
