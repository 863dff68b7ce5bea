"""`heat-dispatch serve`: what it shows, what it refuses, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from cli_files import run
from live_world import a_state, booked

from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.adapters.live.store import LiveStore

RUN = "import sys; from scheduler.entrypoints.cli import main; sys.exit(main())"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a demonstration leaves, in short."""
    url = str(tmp_path / "ledger.db")
    ledger, live = SqlLedger(url, inline=True), LiveStore(url)
    ledger.append_now(booked())
    live.keep(a_state())
    ledger.close()
    live.close()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "one of --database, --run and --demo"),
        (("--demo", "--run", "."), "one of --database, --run and --demo"),
        (("--run", "nowhere"), "there is no ledger.db"),
        (("--database", "nowhere.db"), "there is no such ledger"),
        (("--database", "mysql://host/books"), "not supported"),
    ],
)
def test_what_cannot_be_shown_is_said(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    given = [str(tmp_path / one) if one.startswith("nowhere") else one for one in arguments]
    result = run("serve", *given)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "nowhere.db").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--host", "0.0.0.0"), "everybody who reaches"),
        (("--host", "0.0.0.0", "--token-file", "nowhere"), "cannot be read"),
        (("--host", "no-address-of-ours.invalid"), "everybody who reaches"),
    ],
)
def test_it_is_not_shown_to_everybody(folder: Path, more: tuple[str, ...], words: str) -> None:
    result = run("serve", "--run", folder, "--port", "0", *more)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_database_without_any_plan_shows_none(tmp_path: Path) -> None:
    SqlLedger(str(tmp_path / "ledger.db"), inline=True).close()
    result = run("serve", "--run", tmp_path, "--json", "-")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"policies": []}


def test_what_the_page_says_can_be_had_as_json(folder: Path) -> None:
    result = run("serve", "--run", folder, "--json", "-")
    assert result.exit_code == 0
    (told,) = json.loads(result.stdout)["policies"]
    assert told["policy"] == "hall"
    assert told["level"] == "act"  # it is a plan of January, and nobody has made another one
    assert told["customers"][0]["firmKw"] == pytest.approx(6.0)
    assert told["jobs"]["waiting"] == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_end(folder: Path, number: signal.Signals) -> None:
    arguments = [sys.executable, "-c", RUN, "serve", "--run", str(folder), "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            assert found, line
            assert "Act now" in httpx.get(found.group(), timeout=60.0).text
        finally:
            process.send_signal(number)
            assert process.wait(60) == 0
        assert process.stdout.read() == ""


def test_a_made_up_site_lives_while_it_is_watched() -> None:
    arguments = [sys.executable, "-c", RUN, "serve", "--demo", "--demo-seconds", "600", "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+/", process.stdout.readline())
            assert found
            text = httpx.get(found.group(), timeout=60.0).text
            assert "made-up site" in text
            assert "town-network" in text
        finally:
            process.terminate()
            assert process.wait(60) == 0
