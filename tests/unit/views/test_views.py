"""Pages need no network, tables say what the report says."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from scheduler.domain.plan import RunOption
from scheduler.domain.problem import PlanJob, PowerPoint
from scheduler.domain.time import TimeGrid, utc
from scheduler.views import plots
from scheduler.views.live import LiveRun, sparkline
from scheduler.views.page import library, page, table
from scheduler.views.plan_report import segments
from scheduler.views.report import backtest_page
from scheduler.views.style import STRATEGY_NAMES
from scheduler.views.tables import STRATEGY_HEADER, rich_table, strategy_rows, term_rows

sys.path.insert(0, str(Path(__file__).parent))
from sample_report import sample_report

OUTSIDE = re.compile(r"""(src|href)="https?://|@import|url\(["']?http""")


def test_a_page_loads_nothing_from_outside() -> None:
    text = backtest_page(sample_report())
    assert not OUTSIDE.search(text)
    assert "Plotly.newPlot" in text


def test_the_library_keeps_its_code_but_for_spelling() -> None:
    from plotly.offline import get_plotlyjs

    assert library().replace("\\/", "/") == get_plotlyjs().replace("\\/", "/")


def test_what_a_user_names_is_escaped() -> None:
    text = page("a <b>", "x & y", [table(("h",), [["<script>alert(1)</script>"]])])
    assert "<script>alert(1)" not in text
    assert "a &lt;b&gt;" in text


def test_every_figure_is_strict_json() -> None:
    report = sample_report()
    figures = [
        plots.cost_bars(report["strategies"], report["bound"]["cost_eur"]),
        plots.closed_loop(report["series"], "ours", "fifo"),
        plots.bars("t", ["a", "b"], [1.0, None], "EUR"),
        plots.gantt([]),
    ]
    for figure in figures:
        json.dumps(figure, allow_nan=False)
        assert set(figure) == {"data", "layout"}


def test_rows_follow_the_report() -> None:
    report = sample_report()
    rows = strategy_rows(report)
    assert [row[0] for row in rows[:-1]] == list(STRATEGY_NAMES.values())
    # FIFO's total is 900 + 50 + 20 = 970; ours is index 6: 840 + 50 + 20 = 910, so (970 - 910) / 970 = 6.2 % below.
    assert rows[-2][1] == "910.00"
    assert rows[-2][4] == "6.2 %"
    header, terms = term_rows(report)
    assert header[0] == "EUR"
    assert terms[-1][0] == "Total"


def test_a_terminal_table_fits_a_hundred_columns() -> None:
    console = Console(width=110, file=open("/dev/null", "w", encoding="utf-8"), record=True)  # noqa: SIM115, PTH123 - record only
    console.print(rich_table(STRATEGY_HEADER, strategy_rows(sample_report())))
    assert "heat-dispatch" in console.export_text()
    console.file.close()


@pytest.mark.parametrize(("values", "expected"), [([], ""), ([1.0, 1.0], "▁▁"), ([0.0, 4.0, 8.0], " ▄█")])
def test_sparkline(values: list[float], expected: str) -> None:
    assert sparkline(values) == expected


def test_live_panel_draws_what_it_was_told() -> None:
    live = LiveRun(title="demo")
    numbers = {"price_eur_per_mwh": 41.0, "demand_kw": 90.0, "sold_kw": 80.0, "tank_kwh": 12.0, "gpus_busy": 100, "gpus": 256}
    words = {"at": "Mon 05:00", "done": 3, "total": 9, "running": 2, "waiting": 4, "capped": 7, "says": "3 wait"}
    live.update(numbers | words)
    console = Console(width=120, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - record only
    console.print(live)
    text = console.export_text()
    console.file.close()
    assert "100 of 256" in text
    assert "3 wait" in text


def test_segments_of_a_modulated_run() -> None:
    """Levels 1, 1, 0.57, 1 with half of the last slot: three stretches, the last one ends after 7.5 min."""
    points = (PowerPoint(level=1.0, cap_w=700, draw_w=500, speed=1.0), PowerPoint(level=0.57, cap_w=399, draw_w=379, speed=0.9))
    job = PlanJob(job_id="a", gpus=1, pools=(0,), work_s=3000.0, tail_work_s=3000.0, points=points)
    grid = TimeGrid(start_utc=utc("2026-01-05T00:00Z"), slot_s=900, slots=192)
    option = RunOption(start_slot=2, pool=0, points=np.array([0, 0, 1, 0]), last_slot_fraction=0.5)
    parts = segments(option, job, grid)
    assert [part["level"] for part in parts] == [1.0, 0.57, 1.0]
    assert parts[0]["start_utc"] == "2026-01-05T00:30:00Z"
    assert parts[-1]["end_utc"] == "2026-01-05T01:22:30Z"
