"""Limits set by zeusd: a process that speaks its API, NVML by the unmodified binding on both sides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from gpu_machine import Machine
from zeusd_peer import running_zeusd

from scheduler.adapters.gpu.nvml import NoDriver
from scheduler.adapters.gpu.setting import NotSet, NvmlSettables
from scheduler.adapters.gpu.zeusd import Zeusd, ZeusdSettables
from scheduler.core.capping.held import Facts

# httpcore leaves a socket that could not connect to the collector, at once.
LEFT = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


def gpus_of(address: str, token_file: Path | None = None) -> ZeusdSettables:
    return ZeusdSettables(Zeusd(address=address, token_file=token_file), NvmlSettables())


def limits(machine: Machine) -> list[int]:
    return [machine[number].limit_milliwatt for number in range(machine.state.count)]


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_a_limit_is_set_by_the_daemon_and_read_here(machine: Machine, tmp_path: Path, tcp: bool) -> None:
    with running_zeusd(machine, tmp_path, tcp=tcp) as address:
        gpus = gpus_of(address)
        assert gpus.start() == 2
        assert gpus.alive()
        gpu = gpus.open(1)
        gpu.set_limit(500.0)
        seen = gpu.look()
        gpus.close()
    assert isinstance(seen, Facts)
    assert (gpu.uuid, seen.requested_w, limits(machine)) == ("GPU-0001", 500.0, [700_000, 500_000])


@LEFT
def test_what_the_daemon_refuses_is_named(machine: Machine, tmp_path: Path) -> None:
    with running_zeusd(machine, tmp_path) as address:
        gpus = gpus_of(address)
        gpus.start()
        gpu = gpus.open(0)
        with pytest.raises(NotSet, match="zeusd: HTTP 400; NVML error: Invalid Argument"):
            gpu.set_limit(100.0)
        machine.state.allow_set = 0
        with pytest.raises(NotSet, match="HTTP 403; zeusd may not set limits, .*; NVML error: Insufficient Permissions"):
            gpu.set_limit(500.0)
    with pytest.raises(NotSet, match="zeusd does not answer at unix:"):
        gpu.set_limit(500.0)
    gpus.close()
    assert limits(machine) == [700_000, 700_000]


def test_the_token_is_a_file_read_every_time(machine: Machine, tmp_path: Path) -> None:
    token = tmp_path / "token"
    with running_zeusd(machine, tmp_path, "--token", "good") as address:
        gpus = gpus_of(address, token)
        with pytest.raises(NoDriver, match="token: No such file or directory"):
            gpus.start()
        token.write_text("old\n", encoding="utf-8")
        gpus.start()
        gpu = gpus.open(0)
        with pytest.raises(NotSet, match="HTTP 401; the token is missing, wrong or has expired; Invalid token"):
            gpu.set_limit(500.0)
        token.write_text("good\n", encoding="utf-8")
        gpu.set_limit(500.0)
        token.write_bytes(b"\xff\xfe")
        with pytest.raises(NotSet, match="token: no token"):
            gpu.set_limit(600.0)
        gpus.close()
    assert limits(machine) == [500_000, 700_000]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--gpus", "1"), "zeusd sees 1 GPUs, the driver here 2"),
        (("--groups", "gpu-control"), "zeusd does not offer gpu-read"),
        (("--groups", "gpu-read,cpu-read"), "zeusd does not offer gpu-control"),
    ],
)
def test_a_daemon_that_will_not_do_is_no_driver(machine: Machine, tmp_path: Path, options: tuple[str, ...], why: str) -> None:
    with running_zeusd(machine, tmp_path, *options) as address, pytest.raises(NoDriver, match=why):
        gpus_of(address).start()


@LEFT
def test_no_daemon_is_no_driver(machine: Machine, tmp_path: Path) -> None:
    assert machine.state.count == 2
    for address in (f"unix:{tmp_path}/none.sock", "http://127.0.0.1:9", "nonsense"):
        with pytest.raises(NoDriver, match="zeusd does not answer at"):
            gpus_of(address).start()


def test_a_daemon_that_counts_otherwise_never_leaves_a_limit_on_another_gpu(machine: Machine, tmp_path: Path) -> None:
    with running_zeusd(machine, tmp_path, "--swapped") as address:
        gpus = gpus_of(address)
        gpus.start()
        gpu = gpus.open(0)
        # Both read 700 W, so it shows only after the write, which is taken back.
        with pytest.raises(NotSet, match="zeusd's GPU 0 is another one than GPU-0000; its limit was put back"):
            gpu.set_limit(500.0)
        assert limits(machine) == [700_000, 700_000]
        # Where they differ nothing is written at all.
        machine.set_by_another(1, 650.0)
        with pytest.raises(NotSet, match="zeusd reads 650 W of its GPU 0, the driver here 700 W: not the same GPU"):
            gpu.set_limit(500.0)
        gpus.close()
    assert limits(machine) == [700_000, 650_000]


def test_a_limit_that_the_daemon_says_it_set_and_that_is_not_there_is_for_whoever_reads_back(
    machine: Machine, tmp_path: Path
) -> None:
    machine[0].lies = 1
    with running_zeusd(machine, tmp_path) as address:
        gpus = gpus_of(address)
        gpus.start()
        gpu = gpus.open(0)
        gpu.set_limit(500.0)
        seen = gpu.look()
        gpus.close()
    assert isinstance(seen, Facts)
    assert seen.requested_w == 700.0


def test_a_lost_gpu_is_not_asked_for(machine: Machine, tmp_path: Path) -> None:
    with running_zeusd(machine, tmp_path) as address:
        gpus = gpus_of(address)
        gpus.start()
        gpu = gpus.open(0)
        machine[0].lost = 1
        assert isinstance(gpu.look(), str)
        with pytest.raises(NotSet, match="GPU is lost"):
            gpu.set_limit(500.0)
        gpus.close()


def test_a_setter_that_does_without_it_does_not_load_it() -> None:
    code = "import sys, scheduler.adapters.gpu.setting; print('httpx' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
