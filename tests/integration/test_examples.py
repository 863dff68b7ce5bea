"""The examples: each is valid and complete, and does what its README says, typed from the README itself and made small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_files import run
from docs_commands import Command, changed, commands_in, skipped

ROOT = Path(__file__).parents[2]
SITES = ("campus", "digester", "district-heating", "greenhouse", "swimming-pool")
OURS = "heat-dispatch"
# A day, every four hours, without the bound: what is asked here is that it runs and adds up.
SMALL = {"--days": "1", "--cycle-minutes": "240"}
FAST = ("--workers", "1", "--bound-rounds", "0", "--json", "report.json")
PAGES = sorted((ROOT / "examples").glob("**/README.md"))
TYPED = [command for page in PAGES if page.parent.name in SITES for command in commands_in(page) if command.program == OURS]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the repository to a reader of its pages, where results may be left."""
    for name in ("examples", "policies"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of(verb: str) -> list[Command]:
    """Commands of the pages with this verb, one parameter of a test each."""
    return [command for command in TYPED if command.words[1] == verb]


@pytest.mark.parametrize("command", of("validate"), ids=str)
def test_an_example_is_valid_without_a_warning(desk: Path, command: Command) -> None:
    result = run(*command.words[1:], "--at", "2026-11-21")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "nothing to complain about" in result.stdout


@pytest.mark.parametrize("command", of("backtest"), ids=str)
def test_an_example_is_replayed(desk: Path, command: Command) -> None:
    result = run(*changed(command.words[1:], SMALL, FAST))
    assert result.exit_code == 0, result.output
    assert "warning" not in result.stderr
    report: dict[str, Any] = json.loads((desk / "report.json").read_text(encoding="utf-8"))
    assert report["invariants"]["violations"] == 0
    assert report["solver"]["degraded_cycles"] == 0
    ours = report["strategies"]["ours"]
    assert ours["heat_sold_kwh"] > 0.0
    assert all(one["jobs"]["unfinished"] == 0 for one in report["strategies"].values())
    # A bath has no tank, so that there is no share of the time in which it is full or empty.
    assert (report["binding_share"]["tank"] is None) == ("swimming-pool" in command.page.parent.name)
    page = desk / command.words[command.words.index("--html") + 1]
    assert "How it ran" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", of("plan"), ids=str)
def test_an_example_is_planned(desk: Path, command: Command) -> None:
    result = run(*command.words[1:], "--json", "plan.json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    plan: dict[str, Any] = json.loads((desk / "plan.json").read_text(encoding="utf-8"))
    assert plan["status"] == "fresh", plan["degraded_reason"]
    assert max(plan["series"]["sold_kw"]) > 0.0


def test_every_example_is_explained_and_every_command_is_typed() -> None:
    verbs = {(command.page.parent.name, command.words[1]) for command in TYPED}
    assert verbs == {(site, verb) for site in SITES for verb in ("validate", "backtest", "plan")}
    programs = {command.program for page in PAGES for command in commands_in(page)}
    # kubectl is typed in tests/controlplane/test_examples_on_api_server.py.
    assert programs <= {OURS, "kubectl"}
    assert [page for page in PAGES if skipped(page)] == []


def test_the_list_of_examples_names_every_folder() -> None:
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    folders = sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir())
    assert [name for name in folders if f"]({name}" not in text] == []
