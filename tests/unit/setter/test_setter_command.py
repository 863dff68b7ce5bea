"""`heat-dispatch agent-setter`: what it takes, what it becomes, and what `--status` says of one that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gpu_machine import Machine
from hypothesis import given
from hypothesis import strategies as st
from setter_process import SetterProcess, looked, running_setter, until

from scheduler.domain.capping import Answer, CapRules, Condition, FailMode, GpuStanding, Restored, SetterCounts
from scheduler.entrypoints.setter.command import status_text
from scheduler.entrypoints.setter.setup import Setup, setup_of, setup_text

RUN = "import sys; from scheduler.entrypoints.start import main; sys.exit(main())"
HEAVY = ("typer", "click", "rich", "httpx", "ssl", "hashlib", "prometheus_client", "pydantic", "numpy", "asyncio", "http")


def command(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", RUN, "agent-setter", *arguments]
    return subprocess.run(words, env=machine.environment, capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def by_command(machine: Machine, folder: Path, *more: str) -> Iterator[SetterProcess]:
    """A setter that the command begins."""
    socket, log, journal = folder / "s", folder / "log", folder / "made" / "journal"
    words = [sys.executable, "-c", RUN, "agent-setter", "--socket", str(socket), "--journal", str(journal), *more]
    with log.open("wb") as out:
        process = subprocess.Popen(words, env=machine.environment, stdout=out, stderr=out)
    try:
        yield SetterProcess(process=process, log=log, socket=socket, journal=journal)
    finally:
        process.terminate()
        process.wait(30.0)


def test_the_command_becomes_a_setter_that_says_what_it_would_do(machine: Machine, tmp_path: Path) -> None:
    with by_command(machine, tmp_path, "--gpus", "all") as setter:
        until(lambda: [one.condition for one in looked(setter).gpus] == [Condition.FREE] * 2, setter.told)
        assert setter.journal.stat().st_mode & 0o777 == 0o700
        done = command(machine, "--status", "--socket", str(setter.socket), "--json", "-")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["dryRun"] is True
        assert [(one["uuid"], one["condition"], one["requestedWatts"]) for one in told["gpus"]] == [
            ("GPU-0000", "free", 700.0),
            ("GPU-0001", "free", 700.0),
        ]
        assert "This setter sets nothing (dry run)" in done.stderr
        assert setter.end() == 0
    assert command(machine, "--status", "--socket", str(setter.socket)).returncode == 1


def test_without_a_gpu_that_is_opted_in_it_says_so(machine: Machine, tmp_path: Path) -> None:
    with by_command(machine, tmp_path) as setter:
        until(lambda: len(looked(setter).gpus) == 2, setter.told)
        assert looked(setter).trouble == "no GPU is opted in"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--gpus", "0,1"], "no GPU's name"),
        (["--gpus", "all", "--json", "x"], "a service writes no file"),
        (["--least-fraction", "nan"], "'--least-fraction'"),
        (["--least-fraction", "0"], "'--least-fraction'"),
        (["--contact-seconds", "inf"], "'--contact-seconds'"),
        (["--fail-mode", "keep"], "'--fail-mode'"),
        (["--allow-uid", "root"], "'--allow-uid'"),
        (["--journal", "/proc/version"], "--journal /proc/version"),
        (["--backend", "amd"], "amd"),
        (["--backend", "zeusd:http://"], "zeusd:http://"),
        (["--backend", "zeusd:unix:/"], "zeusd:unix:/"),
        (["--backend", "zeusd:http://h:99999"], "zeusd:http://h:99999"),
        (["--gpus", "GPU-1,GPU-a b"], "GPU-a b: no GPU's name"),
        (["--gpus", "GPU-"], "GPU-: no GPU's name"),
        (["--allow-uid", "99999999999"], "'--allow-uid'"),
    ],
)
def test_a_wrong_use_is_told_with_what_would_be_right(machine: Machine, tmp_path: Path, given: list[str], says: str) -> None:
    done = command(machine, "--socket", str(tmp_path / "s"), *given)
    assert done.returncode == 2, done.stderr
    # The frame around a message of the parser may break it anywhere.
    assert says in " ".join(done.stderr.replace("│", " ").split())


def test_what_runs_as_root_loads_little() -> None:
    script = f"import sys; import scheduler.entrypoints.setter.main; print([each for each in {HEAVY!r} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


RULES = st.builds(
    CapRules,
    dry_run=st.booleans(),
    fail_mode=st.sampled_from(FailMode),
    least_fraction=st.floats(0.05, 1.0),
    contact_s=st.floats(0.5, 60.0),
    fights=st.integers(0, 9),
)
SETUP = st.builds(
    Setup,
    socket=st.text(),
    journal=st.text(),
    allow_uids=st.lists(st.integers(0, 2**31)).map(tuple),
    gpus=st.none() | st.lists(st.text()).map(tuple),
    rules=RULES,
    log_json=st.booleans(),
)


@given(SETUP)
def test_the_guardian_is_set_up_as_the_command_was(setup: Setup) -> None:
    assert setup_of(setup_text(setup)) == setup


def test_what_stands_is_told_in_lines() -> None:
    one = GpuStanding(
        uuid="GPU-1", condition=Condition.CAPPED, requested_w=400.0, original_w=700.0, cap_w=400.0, lease_s=59.6, why="ramps"
    )
    counts = SetterCounts(writes=3, restores={Restored.SILENT: 2})
    lines = status_text(Answer(gpus=(one,), counts=counts, dry_run=False, trouble="no driver"))
    assert lines[0] == "This setter sets limits; 3 writes, limits given back: silent 2."
    assert lines[1] == "Trouble: no driver"
    assert lines[3].split() == ["GPU-1", "capped", "400", "700", "400", "60", "ramps"]
    # Each number stands under its unit.
    head, row = lines[2], lines[3]
    assert [row[: head.index(unit) + len(unit)].split()[-1] for unit in ("limit W", "found W", "cap W", "lease s")] == [
        "400", "700", "400", "60",
    ]  # fmt: skip
    assert status_text(Answer(waiting=True))[0].startswith("This setter waits for another setter to end")


def test_whoever_starts_it_may_ask_it(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path) as setter:
        assert setter.socket.stat().st_uid == os.getuid()
        assert setter.socket.stat().st_mode & 0o777 == 0o600
