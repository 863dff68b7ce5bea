"""Agent and setter as the commands that people type, on GPUs of other backends: a cap comes, is told, and is given back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent_process import RUN, running_agent
from gpu_machine import Machine
from zeusd_peer import running_zeusd

WAIT_S = 60.0
OPTIONS = ("--no-dry-run", "--gpus", "all", "--pause-seconds", "0", "--jitter-seconds", "0", "--contact-seconds", "5")


def until(holds: Callable[[], bool], told: Callable[[], str]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until_s, told()
        time.sleep(0.1)


@contextmanager
def setting(machine: Machine, folder: Path, backend: str) -> Iterator[subprocess.Popen[bytes]]:
    """A setter that may be asked at `setter.sock`; killed in the end if it still runs."""
    command = [sys.executable, "-c", RUN, "agent-setter", "--socket", str(folder / "setter.sock"), *OPTIONS]
    with (folder / "setter.log").open("wb") as out:
        process = subprocess.Popen(
            [*command, "--journal", str(folder / "journal"), "--backend", backend],
            env=machine.environment,
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_S)


def probed(socket: Path) -> int:
    """What the kubelet's probe says."""
    command = [sys.executable, "-P", "-m", "scheduler.entrypoints.setter.probe", str(socket)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def wish(folder: Path, uuid: str) -> Path:
    """A wish for 400 W, while a pod sits on the GPU."""
    file = folder / "wishes.json"
    said = {
        "planId": "p", "generation": 1, "leaseSeconds": 120, "lease": "always",
        "gpus": [{"uuid": uuid, "podUid": "u-1", "capWatts": 400}],
        "pods": [{"namespace": "lab", "name": "train", "uid": "u-1", "gpus": [uuid]}],
    }  # fmt: skip
    file.write_text(json.dumps(said), encoding="utf-8")
    return file


def test_a_machine_without_gpus_shows_how_a_cap_comes_and_goes(machine: Machine, tmp_path: Path) -> None:
    shared = tmp_path / "limits.json"
    backend, asked = f"simulated:{shared}", ("--setter", str(tmp_path / "setter.sock"))
    file = wish(tmp_path, "GPU-simulated-0")
    with setting(machine, tmp_path, backend) as setter:
        with running_agent(machine, tmp_path, "--backend", backend, "--wishes", str(file), *asked) as agent:
            told = json.loads(agent.wait("/v1/telemetry", '"limitWatts": 400.0'))
            assert {gpu["uuid"]: gpu["limitWatts"] for gpu in told["gpus"]}["GPU-simulated-0"] == 400.0
            assert len(told["gpus"]) == 8
        assert probed(tmp_path / "setter.sock") == 0
        setter.send_signal(signal.SIGTERM)
        assert setter.wait(WAIT_S) == 0
    assert json.loads(shared.read_text("utf-8")) == {"GPU-simulated-0": 700.0}
    assert probed(tmp_path / "setter.sock") == 1


def test_zeusd_sets_and_gives_back_what_the_setter_decides(machine: Machine, tmp_path: Path) -> None:
    file = wish(tmp_path, "GPU-0001")
    with running_zeusd(machine, tmp_path) as address, setting(machine, tmp_path, f"zeusd:{address}") as setter:
        with running_agent(machine, tmp_path, "--wishes", str(file), "--setter", str(tmp_path / "setter.sock")) as agent:
            workers = Path(f"/proc/{setter.pid}/task/{setter.pid}/children").read_text("ascii").split()
            log = tmp_path / "setter.log"
            until(lambda: machine[1].limit_milliwatt == 400_000, lambda: agent.told() + log.read_text("utf-8"))
        setter.send_signal(signal.SIGTERM)
        assert setter.wait(WAIT_S) == 0
        assert [machine[number].limit_milliwatt for number in (0, 1)] == [700_000, 700_000]
    writers = {write.pid for write in machine.writes()}
    assert len(writers) == 1
    assert writers.isdisjoint({setter.pid, *map(int, workers)})


def test_what_zeusd_could_not_give_back_it_gives_back_when_it_is_there_again(machine: Machine, tmp_path: Path) -> None:
    file, log = wish(tmp_path, "GPU-0001"), tmp_path / "setter.log"
    asked = ("--wishes", str(file), "--setter", str(tmp_path / "setter.sock"))
    with running_zeusd(machine, tmp_path) as address, ExitStack() as stack:
        setter = stack.enter_context(setting(machine, tmp_path, f"zeusd:{address}"))
        agent = stack.enter_context(running_agent(machine, tmp_path, *asked))
        until(lambda: machine[1].limit_milliwatt == 400_000, lambda: agent.told() + log.read_text("utf-8"))
        setting_on = stack.pop_all()
    with setting_on:
        # zeusd is gone, and so is the wish.
        file.unlink()
        until(lambda: "zeusd does not answer" in log.read_text("utf-8"), lambda: log.read_text("utf-8"))
        assert (machine[1].limit_milliwatt, setter.poll()) == (400_000, None)
        with running_zeusd(machine, tmp_path):
            until(lambda: machine[1].limit_milliwatt == 700_000, lambda: log.read_text("utf-8"))
            until(lambda: not list((tmp_path / "journal").glob("*.json")), lambda: log.read_text("utf-8"))
