"""`heat-dispatch demo`, one generated day: four outputs that are what they say."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cli_files import run

from scheduler.core.publishing.message import problems
from scheduler.simulate.strategies import STRATEGIES

OUTSIDE = re.compile(r"""(src|href)="https?://|@import|url\(["']?http""")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    result = run(
        "demo",
        "--output",
        folder / "out",
        "--days",
        "1",
        "--seed",
        "2",
        "--gpus",
        "32",
        "--workers",
        "1",
        "--cycle-minutes",
        "240",
    )
    assert result.exit_code == 0, result.output
    (folder / "said.txt").write_text(result.stdout, encoding="utf-8")
    return folder


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_what_it_says(outputs: Path) -> None:
    said = (outputs / "said.txt").read_text(encoding="utf-8")
    assert "EUR/MWh, heat" in said
    assert "no policy below" in said
    assert "report.html" in said


def test_pages_need_no_network(outputs: Path) -> None:
    for name in ("report.html", "plan.html"):
        page = (outputs / "out" / name).read_text(encoding="utf-8")
        assert "Plotly.newPlot" in page
        assert not OUTSIDE.search(page)


def test_the_messages_are_heat_schedules(outputs: Path) -> None:
    for name, offtake in (("schedule.json", "town-network"), ("schedule-swimming-bath.json", "swimming-bath")):
        message = read(outputs / "out" / name)
        assert problems(message) == ()
        assert message["offtakeId"] == offtake
        assert message["mode"] == "dispatch"


def test_the_plan_is_the_last_one_of_the_period(outputs: Path) -> None:
    plan = read(outputs / "out" / "plan.json")
    # A day from 23:00Z with a plan every four hours: the last one is that of 19:00Z.
    assert plan["start_utc"] == "2026-01-12T19:00:00Z"
    assert plan["status"] == "fresh"


def test_the_ledger_holds_every_cycle_and_every_slot(outputs: Path) -> None:
    report = read(outputs / "out" / "report.json")
    with closing(sqlite3.connect(outputs / "out" / "ledger.db")) as db:
        cycles = db.execute("select count(*) from ledger_cycle").fetchone()[0]
        of_plugs, of_customers = (
            db.execute(f"select count(*), sum(heat_sold_kwh) from ledger_entry where plug_id {like} 'offtake:%'").fetchone()
            for like in ("not like", "like")
        )
    slots, sold_kwh = of_plugs
    assert set(report["strategies"]) == set(STRATEGIES)
    assert cycles == report["cycles"] >= 6
    # Four hours of quarter hours each, but for the last cycle, which ends with the run.
    assert 16 * (cycles - 1) < slots <= 16 * cycles
    assert sold_kwh == pytest.approx(report["strategies"]["ours"]["heat_sold_kwh"], abs=1e-3)  # written with three decimals
    # The customers' own accounts, in whole Wh, come to the same.
    assert of_customers[0] == 2 * slots
    assert of_customers[1] == pytest.approx(sold_kwh, abs=1e-3 * of_customers[0])


def test_its_end_can_be_seen_on_the_live_page(outputs: Path) -> None:
    said = (outputs / "said.txt").read_text(encoding="utf-8")
    assert f"serve --run {outputs / 'out'}" in said
    shown = run("serve", "--run", outputs / "out", "--json", "-")
    assert shown.exit_code == 0
    (told,) = json.loads(shown.stdout)["policies"]
    assert told["policy"] == "demo"
    assert told["mode"] == "Dispatch"
    assert told["gpus"]["there"] == 32
