"""Child processes of a cluster: with a log each, ended on purpose or noticed, never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from scheduler.adapters.devcluster.processes import Command, PortTaken, ProcessDied, Processes, cpu_s, free_ports
from scheduler.adapters.devcluster.record import identity

SLEEPS = Command(arguments=("/bin/sleep", "600"))
SHORT_S = 10.0


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """No processes yet; what a test starts ends with it."""
    found = Processes(tmp_path)
    yield found
    found.stop()


def says(words: str, code: int = 1) -> Command:
    """A program that writes a line and ends."""
    return Command(arguments=("/bin/sh", "-c", f"echo {words}; exit {code}"))


def until_gone(pids: list[int]) -> bool:
    """Whether all end within a while."""
    until_s = time.monotonic() + SHORT_S
    while any(identity(pid) for pid in pids) and time.monotonic() < until_s:
        time.sleep(0.02)
    return not any(identity(pid) for pid in pids)


def test_what_ends_by_itself_is_noticed_with_its_log(processes: Processes) -> None:
    processes.start("well", SLEEPS)
    processes.check()
    processes.start("ill", says("out of luck"))
    processes.running["ill"].wait(SHORT_S)
    with pytest.raises(ProcessDied, match=r"ill ended with 1; its log .*/ill\.log ends with\n  out of luck"):
        processes.check()
    processes.kill("ill")
    processes.check()


def test_a_taken_port_is_told_apart(processes: Processes) -> None:
    processes.start("late", says("listen tcp 127.0.0.1:1: bind: address already in use"))
    processes.running["late"].wait(SHORT_S)
    with pytest.raises(PortTaken):
        processes.check()


def test_kill_restart_and_stop(processes: Processes) -> None:
    processes.start("one", SLEEPS)
    first = processes.pids()["one"]
    processes.restart("one")
    second = processes.pids()["one"]
    assert first != second
    assert identity(first) is None
    assert processes.resident_mb()["one"] > 0.0
    assert cpu_s(second) >= 0.0
    processes.signal("one", signal.SIGSTOP)
    processes.stop()
    assert identity(second) is None
    processes.restart("one")
    assert identity(processes.pids()["one"]) is not None


def test_programs_see_no_more_of_the_environment_than_they_are_given(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/somewhere/precious")
    processes.start("env", Command(arguments=("/usr/bin/env",), environment={"GIVEN": "1"}))
    processes.running["env"].wait(SHORT_S)
    names = {line.partition("=")[0] for line in processes.log("env").read_text("utf-8").splitlines()}
    assert {"PATH", "HOME", "GIVEN"} <= names
    assert "KUBECONFIG" not in names
    assert f"HOME={tmp_path}" in processes.log("env").read_text("utf-8")


def test_they_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = dedent("""
        import pathlib, sys, time
        from scheduler.adapters.devcluster.processes import Command, Processes
        processes = Processes(pathlib.Path(sys.argv[1]))
        processes.start("long", Command(arguments=("/bin/sh", "-c", "echo up; exec sleep 600")))
        while "up" not in processes.tail("long"):
            time.sleep(0.01)
        print(processes.pids()["long"], flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        assert identity(pid) is not None
        holder.kill()
    assert until_gone([pid])


def test_a_launcher_whose_parent_is_gone_starts_nothing(tmp_path: Path) -> None:
    from scheduler.adapters.devcluster.processes import LAUNCHER

    mark = tmp_path / "started"
    nobody = str(os.getppid())
    done = subprocess.run(
        [sys.executable, "-I", str(LAUNCHER), nobody, "/usr/bin/touch", str(mark)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "is gone" in done.stderr
    assert not mark.exists()


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(6)
    assert len(set(ports)) == 6
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_the_tail_of_a_log_is_short(processes: Processes) -> None:
    processes.log("much").write_text("".join(f"line {number}\n" for number in range(100)) + "x" * 1000, encoding="utf-8")
    lines = processes.tail("much").splitlines()
    assert lines[0] == "  line 81"
    assert len(lines) == 20
    assert len(lines[-1]) == 402
    assert processes.tail("none") == "  (no log)"
