"""`heat-dispatch report` on a few days that were written down as operator and plant link would."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_files import run
from docs_calls import CALLS
from docs_commands import changed

from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.config.contracts import contracts_from
from scheduler.config.load import load_manifests
from scheduler.core.accounting.booking import account_of

ROOT = Path(__file__).parents[2]
MONTH = ("--month", "2026-01")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Site, database, and what the benchmark found of them: three days without faults of the meter."""
    folder = tmp_path_factory.mktemp("settled")
    out = folder / "out.json"
    command = [sys.executable, "-m", "benchmarks.settlement_year", "--days", "3", "--seed", "3"]
    limits = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--keep", folder, "--json", out], cwd=ROOT, env=limits, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return folder, found


@pytest.fixture
def place(kept: tuple[Path, dict[str, Any]], tmp_path: Path) -> tuple[str, ...]:
    """Options that name a copy of both, to be changed at will."""
    shutil.copytree(kept[0], tmp_path / "copy")
    return ("-f", str(tmp_path / "copy" / "site"), "--ledger", str(tmp_path / "copy" / "heat-dispatch.db"))


def test_three_ways_lead_to_the_same_cents(kept: tuple[Path, dict[str, Any]], place: tuple[str, ...]) -> None:
    row = kept[1]["months"][0]
    assert row["agree"]
    assert len(set(row["cents"].values())) == 1
    assert row["heat_wh"] > 1_000_000
    result = run("report", "settlement", *place, *MONTH, "--ways", "--json", "-")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["ways"]["heat-network"] == row["cents"]
    assert found["statements"][0]["total_cents"] == row["cents"]["ledger"]
    assert "the three ways do not agree" not in result.stderr


def test_table_csv_and_page_say_the_same(place: tuple[str, ...], tmp_path: Path) -> None:
    files = ("--csv", tmp_path / "out.csv", "--html", tmp_path / "out.html", "--json", tmp_path / "out.json")
    result = run("report", "settlement", *place, *MONTH, *files)
    assert result.exit_code == 0, result.output
    statement = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["statements"][0]
    assert "Capacity payment" in result.stdout
    assert "OPEN: " in result.stdout
    assert "Take or pay: " in result.stdout
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert round(sum(float(row["amount"]) for row in rows) * 100) == statement["total_cents"]
    assert {row["line"] for row in rows} == {"energy", "capacity", "shortfall", "availability"}
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "Firm heat by delivery period" in page
    assert '="https://' not in page


def test_a_correction_by_hand_shows_against_what_was_issued(place: tuple[str, ...], tmp_path: Path) -> None:
    issued = tmp_path / "issued.json"
    assert run("report", "settlement", *place, *MONTH, "--json", issued).exit_code == 0
    slot = ("--slot", "2026-01-02T10:00Z", "--kwh", "1000.0", "--reason", "read by both from the display")
    done = run("report", "correct", *place, *slot)
    assert done.exit_code == 0, done.output
    assert "1000.0 kWh as revision" in done.stdout
    # Booking again leaves it alone; so does booking the month twice.
    booked = run("report", "book", *place, *MONTH, "--json", "-")
    assert booked.exit_code == 0, booked.output
    again = json.loads(run("report", "book", *place, *MONTH, "--json", "-").stdout)
    assert again["accounts"][0]["booked"] == 0
    changed = tmp_path / "changed.json"
    result = run("report", "settlement", *place, *MONTH, "--against", issued, "--json", changed, "--html", tmp_path / "c.html")
    assert result.exit_code == 0, result.output
    assert "since it was issued" in result.stdout
    found = json.loads(changed.read_text(encoding="utf-8"))
    energy = [one for one in found["differences"]["heat-network"] if one["kind"] == "energy"]
    assert [one["day"] for one in energy] == ["2026-01-02"]
    assert energy[0]["difference_cents"] > 0
    assert "What has changed since it was issued" in (tmp_path / "c.html").read_text(encoding="utf-8")
    # The ledger now says more than the meter: the ways part, and the command says so.
    ways = run("report", "settlement", *place, *MONTH, "--ways")
    assert ways.exit_code == 1
    assert "the three ways do not agree" in ways.stderr


def test_the_page_of_settlement_can_be_typed(place: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Line by line in the folder of the database, with a quarter hour and with meters that are in it."""
    folder = Path(place[1]).parent
    monkeypatch.chdir(folder)
    here = {"--slot": "2026-01-02T10:00Z", "--loop": "reference-loop", "--rejected": "none", "--it": "none"}
    lines = [call.words for call in CALLS if call.page.name == "settlement.md" and call.in_block]
    assert len(lines) == 6
    for words in lines:
        result = run(*changed(words[1:], {option: value for option, value in here.items() if option in words}))
        assert result.exit_code == 0, f"{words}: {result.output}"
    assert {"january.json", "january.html", "january.csv"} <= {path.name for path in folder.iterdir()}
    assert "since it was issued" in run(*lines[4][1:]).stdout


def test_jobs_are_a_book_of_their_own(place: tuple[str, ...], tmp_path: Path) -> None:
    table = tmp_path / "jobs.csv"
    lines = [
        "job_id,class,insulated,ended_utc,held_s",
        "a,insulated,yes,2026-01-02T10:00Z,60",
        "b,deferrable,no,2026-01-02T11:00Z,60",
    ]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = run("report", "settlement", *place, *MONTH, "--compute", table)
    assert result.exit_code == 0, result.output
    assert "Compute agreement: 2 jobs; 1 of 1 insulated ones touched" in result.stdout
    table.write_text("\n".join([lines[0], "a,insulated,yes,yesterday,60"]) + "\n", encoding="utf-8")
    wrong = run("report", "settlement", *place, *MONTH, "--compute", table)
    assert wrong.exit_code == 2
    assert "jobs.csv:2" in wrong.stderr


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--month", "2026-13"), "expected a year and a month"),
        ((*MONTH, "--offtake", "heat-netwrk"), "heat-network"),
        ((*MONTH, "--ledger", "nowhere.db"), "there is no such ledger"),
        ((*MONTH, "--against", "site/site.yaml"), "expected what `report settlement --json` wrote"),
        ((*MONTH, "--against", "nowhere.json"), "nowhere.json"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(place: tuple[str, ...], more: tuple[str, ...], told: str) -> None:
    folder = Path(place[1]).parent
    named = [str(folder / one) if one.startswith("site/") else one for one in more]
    result = run("report", "settlement", *place, *named)
    assert result.exit_code == 2, result.output
    assert told in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output


def test_what_befell_the_meters(place: tuple[str, ...]) -> None:
    result = run("report", "meters", *place, *MONTH, "--json", "-")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["meters"][0]
    assert [one["meter_point"] for one in found["meters"]] == ["reference-loop"]
    assert found["meters"][0]["metered"] > 200
    assert found["alarms"] == []
    assert "reference-loop" in result.stderr
    # A loop that takes up what nobody gets: the billing meter plays the loop, and a meter that says nothing the hand-off.
    silent = run("report", "meters", *place, *MONTH, "--loop", "reference-loop", "--hand-off", "none", "--rejected", "none")
    assert silent.exit_code == 0, silent.output
    leaking = run("report", "meters", *place, *MONTH, "--loop", "reference-loop", "--it", "reference-loop", "--captured", "0.1")
    assert leaking.exit_code == 1
    assert "ALARM rooms" in leaking.stdout
    assert "IT meter reads low" in leaking.stdout


def test_a_slot_that_was_never_booked_cannot_be_corrected(place: tuple[str, ...]) -> None:
    wrong = run("report", "correct", *place, "--slot", "2031-01-02T10:00Z", "--kwh", "1", "--reason", "none")
    assert wrong.exit_code == 2
    assert "a slot that was booked" in wrong.stderr.replace("\n", " ")
    assert run("report", "correct", *place, "--slot", "2026-01-02T10:00Z", "--kwh", "nan", "--reason", "none").exit_code == 2


def test_a_correction_never_goes_to_the_account_of_the_plug(place: tuple[str, ...]) -> None:
    start_utc = datetime(2026, 3, 20, 10, tzinfo=UTC)
    booked_utc = datetime(2026, 1, 2, 10, tzinfo=UTC)
    ledger = SqlLedger(place[-1], inline=True)
    (entry,) = ledger.entries_now(account_of("heat-network"), booked_utc, booked_utc + timedelta(seconds=1))
    (plug,) = {one.offtake.plug_id for one in contracts_from(load_manifests(Path(place[1]))[0])}
    ledger.append_now([replace(entry, entry_id="of-the-plug", plug_id=plug, start_utc=start_utc, revision=0)])
    ledger.close()
    wrong = run("report", "correct", *place, "--slot", "2026-03-20T10:00Z", "--kwh", "1", "--reason", "none")
    assert wrong.exit_code == 2
    assert "report book" in wrong.stderr.replace("\n", " ")
    ledger = SqlLedger(place[-1], inline=True)
    entries = ledger.entries_now(plug, start_utc, start_utc + timedelta(seconds=1))
    ledger.close()
    assert [one.revision for one in entries] == [0]
