"""The wheel in an environment of its own: it holds all that it needs, and every role starts."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROLES = ("operator", "plant-link", "agent", "agent-setter", "release", "plan", "plant-sim")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel has put its commands. What it depends on comes from this environment, the code does not."""
    folder = tmp_path_factory.mktemp("wheel")

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    run(sys.executable, "-m", "venv", "--without-pip", str(folder / "own"))
    (wheel,) = folder.glob("*.whl")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "own"))
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    (site,) = (folder / "own" / "lib").glob("python3.*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    where = run(str(folder / "own" / "bin" / "python"), "-P", "-c", "import scheduler; print(scheduler.__file__)")
    assert where.startswith(str(site))
    return folder / "own" / "bin"


def started(command: list[str], folder: Path) -> str:
    """What it prints, run where no code of ours lies."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("role", ROLES)
def test_every_role_starts(scripts: Path, tmp_path: Path, role: str) -> None:
    assert f"heat-dispatch {role}" in started([str(scripts / "heat-dispatch"), role, "--help"], tmp_path)


def test_both_commands_tell_what_they_are_for(scripts: Path, tmp_path: Path) -> None:
    for name in ("heat-dispatch", "kubectl-heatdispatch"):
        assert "Usage" in started([str(scripts / name), "--help"], tmp_path)


def test_the_charts_test_starts_as_a_module(scripts: Path, tmp_path: Path) -> None:
    python = [str(scripts / "python"), "-P", "-m"]
    assert "--selector" in started([*python, "scheduler.entrypoints.installed", "--help"], tmp_path)
