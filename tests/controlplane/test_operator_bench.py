"""The benchmark of the operator, small: it must come to an end with every row, whatever the machine makes of the numbers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.adapters.devcluster.build import Toolbox

ROOT = Path(__file__).parents[2]
LIMIT_S = 1200.0
SMALL = ("--nodes", "20", "--jobs", "30", "--new-jobs", "4", "--hurried")
ROWS = {
    "first_start_s", "all_decided_s", "start_s", "new_job_p50_s", "new_job_p95_s", "new_job_max_s", "quiet_writes", "idle_core",
    "next_decision_s", "double_actions", "rss_peak_mb", "rss_mb", "child_mb", "cycle_s", "writes_per_s", "burst_lost",
    "burst_decided_s", "burst_peak_mb",
}  # fmt: skip


@pytest.mark.slow
def test_every_row_is_there_and_what_does_not_hang_on_speed_holds(toolbox: Toolbox, tmp_path: Path) -> None:
    assert toolbox
    out, table = tmp_path / "bench.json", tmp_path / "bench.md"
    command = [sys.executable, "-m", "benchmarks.operator", *SMALL, "--json", str(out), "--markdown", str(table)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(out.read_text("utf-8"))
    rows = {row["key"]: row for row in report["rows"]}
    assert rows.keys() == ROWS
    assert all(math.isfinite(row["value"]) and row["value"] >= 0.0 for row in rows.values())
    # What must hold on any machine: nothing lost, nothing done twice, nothing written for nothing.
    nothing = [rows[key] for key in ("burst_lost", "double_actions", "quiet_writes")]
    assert not [one for one in nothing if one["value"]]
    assert 50.0 < rows["rss_mb"]["value"] <= rows["rss_peak_mb"]["value"] < 1000.0
    assert rows["cycle_s"]["behind"]["plans"] == {"fresh": rows["cycle_s"]["behind"]["cycles"]}
    lines = table.read_text("utf-8").splitlines()
    assert len([line for line in lines if line.startswith("| ")]) == len(ROWS) + 1
    assert report["machine"]["cores"] > 0
