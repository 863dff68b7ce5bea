"""Pages need no network, tables say what the report says."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console, RenderableType

from scheduler.domain.plan import RunOption
from scheduler.domain.problem import PlanJob, PowerPoint
from scheduler.domain.time import TimeGrid, utc
from scheduler.views import plots
from scheduler.views.live import LiveRun, plain_line, sparkline
from scheduler.views.page import library, page, table
from scheduler.views.plan_report import segments
from scheduler.views.report import backtest_page
from scheduler.views.style import STRATEGY_NAMES
from scheduler.views.tables import (
    STRATEGY_CAPTION,
    STRATEGY_HEADER,
    csv_text,
    money,
    percent,
    rich_table,
    strategy_rows,
    summary_lines,
    term_rows,
)

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
    # FIFO costs 950 in cash and 20 more; EASY (index 1) 890 + 50 in cash; ours (index 6) 840 + 50: (940 - 890) / 940 saved.
    # Perfect foresight takes 970 - 820 = 150 off FIFO's total, ours 60 of them, EASY 10.
    assert rows[-2][1] == "910.0"
    assert rows[-2][4:6] == ["5.3 %", "40.0 %"]
    assert rows[1][4:6] == ["0.0 %", "6.7 %"]
    assert rows[-1][1] == "820.0"
    assert rows[-1][5] == "100.0 %"


def test_saved_is_against_fifo_where_easy_was_not_run_and_value_needs_a_spread() -> None:
    report = sample_report()
    del report["strategies"]["easy_backfill"]
    # (950 - 890) / 950.
    assert strategy_rows(report)[-2][4] == "6.3 %"
    report["value_captured"] = None
    assert strategy_rows(report)[-2][5] == "–"


def test_a_share_that_rounds_to_zero_has_no_sign() -> None:
    assert percent(-0.0001) == "0.0 %"
    assert percent(-0.001) == "-0.1 %"


def test_rows_by_term_end_with_the_total() -> None:
    report = sample_report()
    header, terms = term_rows(report)
    assert header[0] == "EUR"
    assert terms[-1][0] == "Total"


def printed(what: RenderableType, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_table_fits_eighty_columns() -> None:
    text = printed(rich_table(STRATEGY_HEADER, strategy_rows(sample_report()), caption=STRATEGY_CAPTION), 80)
    lines = [line for line in text.splitlines() if line.startswith("heat-dispatch")]
    assert len(lines) == 1
    assert lines[0].split()[1:4] == ["910.0", "890.0", "20.0"]
    assert "…" not in text


def test_brackets_in_a_name_are_no_markup() -> None:
    assert "[red]job[/]" in printed(rich_table(("job",), [["[red]job[/]"]]), 80)


def test_a_report_in_words() -> None:
    report = sample_report()
    text = "\n".join(summary_lines(report))
    assert "83.0 % of what perfect foresight could have saved" in text
    assert "820.00 EUR" in text
    assert "shifting 31.50" in text
    # 850 as it was, 840 with known arrivals: 10 EUR less.
    assert "known arrivals 10.00" in text
    bare = {"bound": {"cost_eur": None}, "ablation": {"plant_eur": None}, "cycles": 0}
    assert summary_lines(bare) == []


def test_csv_has_a_line_per_strategy_and_term() -> None:
    report = sample_report()
    lines = csv_text(report).splitlines()
    assert lines[0] == "strategy,term,eur"
    assert "ours,total,910.000000" in lines
    assert lines[-1] == "bound,total,820.000000"
    assert len(lines) == 2 + sum(len(one["cost_eur"]) for one in report["strategies"].values())


def test_a_tank_that_is_not_there_is_no_limit() -> None:
    report = sample_report()
    assert "tank 10.0 %, GPUs 33.0 %" in "\n".join(summary_lines(report))
    report["binding_share"]["tank"] = None
    assert "heat pump or plug 2.0 %, GPUs 33.0 %" in "\n".join(summary_lines(report))
    limits = next(text for text in re.findall(r'\{"data".*', backtest_page(report)) if "Slots at the limit" in text)
    assert '"GPUs"' in limits
    assert '"Tank"' not in limits


def test_a_site_without_a_tank_has_no_pane_for_it() -> None:
    series = sample_report()["series"]
    assert [one["name"] for one in plots.closed_loop(series, "ours", "fifo")["data"]][-1] == "Tank, heat-dispatch"
    for run in series["strategies"].values():
        run["tank_kwh"] = [0.0] * len(series["time_utc"])
    figure = plots.closed_loop(series, "ours", "fifo")
    assert [key for key in figure["layout"] if key.startswith("yaxis")] == ["yaxis", "yaxis2", "yaxis3"]
    assert {one.get("yaxis") for one in figure["data"]} == {"y", "y2", "y3"}


def test_nothing_is_minus_nothing() -> None:
    assert (money(-0.0), money(-0.004), money(-0.006)) == ("0.00", "0.00", "-0.01")


def test_levers_that_were_not_measured_are_not_drawn() -> None:
    report = sample_report()
    report["ablation"] = dict.fromkeys(report["ablation"])
    assert "What each lever is worth" not in backtest_page(report)
    assert "What each lever is worth" in backtest_page(sample_report())


@pytest.mark.parametrize(("values", "expected"), [([], ""), ([1.0, 1.0], "▁▁"), ([0.0, 4.0, 8.0], " ▄█")])
def test_sparkline(values: list[float], expected: str) -> None:
    assert sparkline(values) == expected


def test_live_panel_draws_what_it_was_told() -> None:
    live = LiveRun(title="demo")
    numbers = {"price_eur_per_mwh": 41.0, "demand_kw": 90.0, "sold_kw": 80.0, "tank_kwh": 12.0, "gpus_busy": 100, "gpus": 256}
    words = {"at": "Mon 05:00", "done": 3, "total": 9, "running": 2, "waiting": 4, "capped": 7, "says": "3 wait"}
    live.update(numbers | words)
    live.finish("fifo", 1, 3)
    text = printed(live, 120)
    assert "100 of 256" in text
    assert "3 wait" in text
    assert "FIFO done, 1 of 3 runs" in text
    # The bar ends its line: what is said stands below it, within the frame.
    assert {len(line) for line in text.splitlines()} == {120}
    assert plain_line(numbers | words).startswith("Mon 05:00  41 EUR/MWh, heat 80 of 90 kW, 100 of 256 GPUs busy")


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
