"""`heat-dispatch dev cluster` where there is no cluster and no toolchain: what it says, and its exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from scheduler.adapters.devcluster import build
from scheduler.adapters.devcluster.build import Step
from scheduler.entrypoints.cli import app
from scheduler.entrypoints.commands.dev import BuildWatch, labels_from


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache and no Go."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "USUAL_PLACES", ())


def run(*arguments: str | Path) -> Result:
    """The command as the command line calls it."""
    return CliRunner().invoke(app, ["dev", "cluster", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize("command", ["up", "down", "status", "build"])
def test_every_command_has_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"heat-dispatch dev cluster {command}" in result.stdout


def test_without_a_toolchain_it_says_what_is_missing() -> None:
    for command in ("up", "build"):
        result = run(command)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: no Go toolchain to build the control plane with (expected Go 1.26 or newer")


def test_an_optional_build_warns_and_succeeds() -> None:
    result = run("build", "--optional")
    assert result.exit_code == 0
    assert "tests on a real control plane are skipped" in result.stderr


def test_a_wrong_program_or_label_is_refused() -> None:
    result = run("build", "--with", "docker", "--optional")
    assert result.exit_code == 2
    assert "no program 'docker'" in result.stderr
    result = run("up", "--node-label", "loop")
    assert result.exit_code == 2
    assert "--node-label: 'loop' is no label (expected KEY=VALUE)" in result.stderr
    assert labels_from(["a/b=c=d", "empty="]) == {"a/b": "c=d", "empty": ""}


def test_no_cluster_runs(tmp_path: Path) -> None:
    result = run("status", "--dir", tmp_path, "--json", "-")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"folder": str(tmp_path), "running": False, "programs": {}}
    result = run("down")
    assert result.exit_code == 0
    assert result.stdout == f"no cluster runs in {tmp_path / 'heat-dispatch' / 'devcluster'}\n"


def test_a_build_in_a_pipe_says_a_line_for_each_stage_and_then_now_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 1.0, 20.0, 25.0, 55.0, 60.0])
    monkeypatch.setattr("scheduler.entrypoints.commands.dev.time.monotonic", lambda: next(seconds))
    written = io.StringIO()
    console = Console(file=written, force_terminal=False)
    with BuildWatch.started(console) as report:
        report(Step(doing="fetching modules"))
        for done in (0, 10, 1200, 1300):
            report(Step(doing="compiling and linking", done=done, total=2400))
    assert written.getvalue().splitlines() == [
        "0:00:01  control plane: fetching modules",
        "0:00:20  control plane: compiling and linking, 0 of at most 2,400 packages",
        "0:00:55  control plane: compiling and linking, 1,200 of at most 2,400 packages",
    ]
