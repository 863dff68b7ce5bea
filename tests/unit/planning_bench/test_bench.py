"""The benchmark's rows, quantiles and tables, and one real row in a process of its own."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.settings import SolveBudget
from scheduler.entrypoints.commands import bench as command
from scheduler.entrypoints.commands.bench import answer_of, app, attempted, judge, last_json, machine, sizes_of
from scheduler.simulate.bench import (
    Gauges,
    beside,
    default_seeds,
    failures_of,
    gap_of,
    markdown,
    measure,
    naive_rows,
    plan_rows,
    quantile,
    summary_of,
)

RUN = CliRunner()


def row(jobs: int = 100, seed: int = 1, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "jobs": jobs, "seed": seed, "wall_cold_s": 1.0, "wall_warm_s": 0.5, "cpu_cold_s": 0.9, "cpu_warm_s": 0.4, "gap": 0.001,
        "lb": 99.9, "ub": 100.0,
        "rss_mb": 150.0, "clock_bit": False, "violations": [], "warm": {"gap": 0.002, "clock_bit": False},
    }  # fmt: skip
    return fields | changes


def naive_row(incumbents: Sequence[Sequence[float]], ub: float | None, cbc_lb: float | None = None) -> dict[str, Any]:
    return {
        "jobs": 100, "seed": 1, "limit_s": 60.0, "binaries": 9, "build_s": 5.0, "solve_s": 30.0, "finished": False, "ub": ub,
        "cbc_lb": cbc_lb, "incumbents": incumbents, "rss_mb": 300.0,
    }  # fmt: skip


def test_a_row_is_measured_cold_and_warm_and_checked() -> None:
    # A clock that moves by a second at every look: every plan takes at least one.
    ticks = itertools.count()
    cpu = itertools.count(step=7)
    gauges = Gauges(clock_s=lambda: float(next(ticks)), cpu_s=lambda: float(next(cpu)), rss_mb=lambda: 123.0)
    found = measure(12, 3, SolveBudget(guard_s=1e9, mip_nodes=0, master_rounds=1), gauges)
    # The CPU clock is read once before and once after each plan.
    assert (found["cpu_cold_s"], found["cpu_warm_s"]) == (7.0, 7.0)
    assert found["wall_cold_s"] >= 1.0
    assert found["wall_warm_s"] >= 1.0
    assert found["gap"] == pytest.approx((found["ub"] - found["lb"]) / abs(found["ub"]))
    assert found["lb"] <= found["ub"] + 1e-6
    assert found["base_eur"] > 0.0
    assert found["rss_mb"] == 123.0
    assert found["gpus"] == 24
    assert not found["clock_bit"]
    assert set(found["stage_s"]) >= {"lp", "bound"}


def test_the_gap_refers_to_the_upper_bound_and_survives_zero() -> None:
    assert gap_of(99.0, 100.0) == pytest.approx(0.01)
    assert gap_of(-101.0, -100.0) == pytest.approx(0.01)
    assert gap_of(0.0, 0.0) == 0.0


def test_quantiles_are_values_that_occurred() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    # Ten values: the 95 % quantile is the tenth.
    assert quantile([float(value) for value in range(10)], 0.95) == 9.0
    assert quantile([7.0], 0.95) == 7.0


def test_the_summary_says_what_is_short_of_the_target() -> None:
    good = [row(seed=seed) for seed in range(10)]
    assert summary_of(good)[0]["met"] == {"wall": True, "gap": True, "rss": True}
    assert plan_rows(summary_of(good))[0][-1] == "nothing"
    late = [row(seed=seed, wall_cold_s=2.1, rss_mb=600.0) for seed in range(10)]
    assert plan_rows(summary_of(late))[0][-1] == "wall, rss"
    # Nine of ten within 0.5 %: 90 % are fewer than 95 %.
    assert summary_of([*good[1:], row(seed=9, gap=0.006)])[0]["met"]["gap"] is False
    # Warm must take half of the cold target: 1 s at 100 jobs.
    assert summary_of([row(wall_warm_s=1.1)])[0]["met"]["wall"] is False


def test_sizes_without_a_target_are_only_measured() -> None:
    (one,) = summary_of([row(jobs=37)])
    assert (one["target_cold_s"], one["met"], one["gap_p95"]) == (None, None, 0.001)


def test_cbc_is_held_against_the_better_bound() -> None:
    # lb 100: 101 is (101 - 100) / 101 = 0.99 % above, 102 is 1.96 %. Modelling took 5 s, CBC came to 101 after 20 s.
    ours = row(lb=100.0, ub=100.2)
    found = beside(naive_row([[10.0, 102.0], [20.0, 101.0]], 101.0, cbc_lb=90.0), ours)
    assert found["within_1_percent_s"] == 25.0
    assert found["gap"] == pytest.approx(1.0 / 101.0)
    assert found["ours"]["ub"] == 100.2
    # With 101.5 proven by CBC itself already 102 was near: (102 - 101.5) / 102 = 0.49 %.
    own = beside(naive_row([[10.0, 102.0], [20.0, 101.8]], 101.8, cbc_lb=101.5), ours)
    assert (own["lb"], own["within_1_percent_s"]) == (101.5, 15.0)
    nothing = beside(naive_row([], None), ours)
    assert (nothing["within_1_percent_s"], nothing["gap"], nothing["lb"]) == (None, None, 100.0)


def test_markdown_has_one_line_per_size() -> None:
    rows = [row(100), row(500), row(500, seed=2)]
    naive = [beside(naive_row([], None), rows[0])]
    report = {
        "machine": {"cpu": "x", "cores": 2, "memory_gb": 24.0}, "versions": {"pulp": "3"}, "rows": rows, "naive": naive,
        "failed": [], "summary": summary_of(rows),
    }  # fmt: skip
    text = markdown(report)
    assert "x, 2 cores, 24 GiB; pulp 3" in text
    assert "| 500 | 2 | 1.0 / 1.0 | 0.5 / 0.5 | 0.10 / 0.10 | 100 % | 150 | nothing |" in text
    assert "Seeds: 100 jobs: 1; 500 jobs: 1 to 2." in text
    assert "| 100 | 9 | 5.0 | 30.0 | no plan | never | 300 | 1.0 | 0.10 |" in text


def test_large_sizes_have_fewer_seeds() -> None:
    assert [default_seeds(jobs) for jobs in (100, 500, 2000, 5000)] == [10, 10, 4, 4]


def test_sizes_are_read_once_each() -> None:
    assert sizes_of("100, 500,100", "--jobs") == [100, 500]


@pytest.mark.parametrize("text", ["", "abc", "0", "-5", "1e3", "100,,5"])
def test_a_size_that_is_none_is_refused_in_words(text: str) -> None:
    done = RUN.invoke(app, ["plan", "--jobs", text])
    assert done.exit_code == 2
    assert "--jobs" in done.stderr


def test_a_row_that_fails_is_named() -> None:
    found = attempted(16, 1, ["--no-such-option"], 60.0)
    assert (found["jobs"], found["seed"]) == (16, 1)
    assert "failed" in found


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL, perhaps for want of memory"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("raise ValueError('no such seed')", "ValueError: no such seed"),
        ("raise SystemExit(3)", "ended with 3"),
        ("import time; time.sleep(60)", "no answer after 1 s"),
        ("pass", "ended without a row"),
    ],
)
def test_a_process_that_ends_badly_gives_its_reason(program: str, reason: str) -> None:
    with pytest.raises(HeatDispatchError, match=reason):
        last_json(answer_of([sys.executable, "-c", program], 1.0 if "sleep" in program else 30.0))


def test_what_a_hanging_row_has_started_ends_with_it(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    program = (
        "import pathlib, subprocess, sys, time\n"
        "started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(told)!r}).write_text(str(started.pid))\n"
        "time.sleep(60)"
    )
    with pytest.raises(HeatDispatchError, match="no answer"):
        answer_of([sys.executable, "-c", program], 2.0)
    # The process is gone, or a dead one that nobody has collected yet.
    stat = Path(f"/proc/{told.read_text()}/stat")
    for _ in range(100):
        if not stat.exists() or ") Z " in stat.read_text():
            break
        time.sleep(0.05)
    assert not stat.exists() or ") Z " in stat.read_text()


def test_failed_rows_stand_in_the_tables_and_the_others_go_on() -> None:
    lost = [{"jobs": 100, "seed": 2, "failed": "killed by SIGKILL"}, {"jobs": 500, "seed": 1, "failed": "no answer after 9 s"}]
    cbc_lost = {"jobs": 100, "seed": 1, "failed": "MemoryError"}
    report: dict[str, Any] = {
        "machine": {"cpu": "x", "cores": 2, "memory_gb": 24.0}, "versions": {}, "rows": [row()], "failed": lost,
        "naive": [beside(cbc_lost, row()), beside(naive_row([], 100.0, cbc_lb=95.0) | {"jobs": 500}, lost[1])],
        "summary": summary_of([row()], lost),
    }  # fmt: skip
    first, second = plan_rows(report["summary"])
    assert (first[1], first[-1]) == ("1 of 2", "1 failed")
    assert second == ["500", "0 of 1", "–", "–", "–", "–", "–", "failed"]
    text = markdown(report)
    assert "| 100 | – | – | – | failed | – | – | 1.0 | 0.10 |" in text
    # Without a row of ours CBC's own bound is all there is: (100 - 95) / 100 = 5 %.
    assert naive_rows(report["naive"])[1][4:] == ["5.00, limit", "never", "300", "failed", "–"]
    assert failures_of(report) == [
        "100 jobs, seed 2: killed by SIGKILL", "500 jobs, seed 1: no answer after 9 s", "CBC, 100 jobs, seed 1: MemoryError",
    ]  # fmt: skip
    assert "- CBC, 100 jobs, seed 1: MemoryError" in text
    with pytest.raises(typer.Exit) as ended:
        judge(report)
    assert ended.value.exit_code == 1


def test_a_row_of_ours_that_only_cbc_asked_for_is_missed_too() -> None:
    lost = {"jobs": 50, "seed": 1, "failed": "killed by SIGKILL"}
    report = {"failed": [], "naive": [beside(naive_row([], None) | {"jobs": 50}, lost)]}
    assert failures_of(report) == ["50 jobs, seed 1: killed by SIGKILL"]
    assert naive_rows(report["naive"])[0][4:] == ["no plan", "never", "300", "failed", "–"]


def test_the_command_goes_on_after_a_row_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A row that outlives its limit at once: the first fails, the command still writes its files and ends with 1.
    monkeypatch.setattr(command, "ROW_LIMIT_S", -2 * command.GUARD_S + 0.01)
    target = tmp_path / "bench.json"
    done = RUN.invoke(app, ["plan", "--jobs", "4", "--seeds", "2", "--json", str(target)])
    assert done.exit_code == 1
    report = json.loads(target.read_text())
    assert [one["seed"] for one in report["failed"]] == [1, 2]
    assert report["rows"] == []
    assert "4 jobs, seed 2: no answer after 0 s" in done.stderr


def test_the_command_measures_in_children_and_writes_what_it_says(tmp_path: Path) -> None:
    target, table = tmp_path / "bench.json", tmp_path / "bench.md"
    given = ["plan", "--jobs", "4", "--seeds", "1", "--json", str(target), "--markdown", str(table)]
    done = RUN.invoke(app, given)
    assert done.exit_code == 0, done.stderr
    report = json.loads(target.read_text())
    (one,) = report["rows"]
    assert {"jobs", "seed", "wall_cold_s", "wall_warm_s", "gap", "rss_mb", "lb", "ub"} <= set(one)
    assert report["settings"]["budget"]["guard_s"] == command.GUARD_S
    assert report["machine"]["cores"] == machine()["cores"]
    assert 50.0 < one["rss_mb"] < 1024.0
    assert "1/1  4 jobs, seed 1" in done.stderr
    assert table.read_text().count("\n| 4 |") == 1
