"""The operator beside a real API server, measured: `python -m benchmarks.operator [--nodes 1000] [--jobs 5000]`.

Starts the programs of `heat-dispatch dev cluster` on loopback, with nodes that kwok keeps ready, creates Jobs of the usual
size and runs `heat-dispatch operator` beside them, as a user would. Memory and processor come from /proc, writes from the API
server's audit log, decisions from a watch on Jobs, as their owners see them. Wall times are those of a machine that also runs
the API server, its controllers and kwok; the load average stands beside each row.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.operator.sight import Sight
from benchmarks.operator.stages import STAGES, Bench, Pace
from benchmarks.operator.world import LAB, REPLICAS, Size, free_lease, install
from benchmarks.rows import HEADER, Row, cells, machine, markdown, used_versions
from benchmarks.stages import some_of
from scheduler.adapters.clock import SystemClock
from scheduler.adapters.devcluster.build import NotBuilt, find
from scheduler.adapters.devcluster.cluster import DevCluster, Options
from scheduler.adapters.devcluster.processes import interruptible
from scheduler.views.tables import rich_table

FAILED = 1


def main() -> int:
    given = arguments()
    console = Console(stderr=True, soft_wrap=True)
    try:
        toolbox = find()
    except NotBuilt as error:
        print(error, file=sys.stderr)
        return FAILED
    interruptible()
    began_s = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began_s:7.1f} s  {text}", markup=False, highlight=False)

    folder = Path(given.keep or tempfile.mkdtemp(prefix="operator-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    pace = Pace(
        new_jobs=given.new_jobs,
        burst=2 * given.jobs if given.burst is None else given.burst,
        gap_s=0.2 if given.hurried else 1.0,
        many_limit_s=given.many_limit_s,
        hurried=given.hurried,
    )
    rows: list[Row] = []
    try:
        options = Options(users={user: () for user in REPLICAS})
        with DevCluster(toolbox, folder / "cluster", options) as cluster:
            measured(
                cluster, folder, (Size(nodes=given.nodes, jobs=given.jobs, seed=given.seed), pace), (given.stages, rows, say)
            )
    finally:
        report = report_of(given, rows)
        show(report, given, console)
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def measured(cluster: DevCluster, folder: Path, sizes: tuple[Size, Pace], told: tuple[list[str], list[Row], Any]) -> None:
    """Run the stages; every replica is ended afterwards."""
    (size, pace), (stages, rows, say) = sizes, told
    say(f"{size.nodes:,} nodes")
    install(cluster, size, SystemClock().now_utc())
    if pace.hurried:
        free_lease(cluster)
    say(f"nodes are ready; load {os.getloadavg()[0]:.1f}, namespace {LAB}")
    sight = Sight(cluster=cluster)
    bench = Bench(cluster=cluster, folder=folder, size=size, pace=pace, say=say, sight=sight, rows=rows)
    try:
        sight.start()
        for name in stages:
            STAGES[name](bench)
    finally:
        sight.stop()
        for one in list(bench.running):
            bench.end(one)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.operator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1000, help="nodes with 8 GPUs each [1000]")
    parser.add_argument("--jobs", type=int, default=5000, help="Jobs that are there from the beginning [5000]")
    parser.add_argument("--burst", type=int, help="Jobs created at once in the end [twice as many]")
    parser.add_argument(
        "--many-limit-s", type=float, default=3600.0, help="wait so long for decisions about thousands of Jobs [3600]"
    )
    parser.add_argument("--new-jobs", type=int, default=60, help="Jobs that come one after the other [60]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the Jobs [1]")
    parser.add_argument(
        "--stages", type=some_of(STAGES), default=",".join(STAGES), help=f"comma-separated [{','.join(STAGES)}]"
    )
    parser.add_argument(
        "--hurried", action="store_true", help="short lease and guard: to see that it works, not how fast it is"
    )
    parser.add_argument("--json", metavar="FILE", help="write the numbers; - is standard output")
    parser.add_argument("--markdown", metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--keep", metavar="DIR", help="keep logs and the audit log here")
    return parser.parse_args()


def report_of(given: argparse.Namespace, rows: list[Row]) -> dict[str, Any]:
    """Everything that is written down."""
    return {
        "date": f"{SystemClock().now_utc():%Y-%m-%d}",
        "nodes": given.nodes,
        "jobs": given.jobs,
        "hurried": given.hurried,
        "machine": machine(),
        "versions": used_versions(),
        "rows": [row.to_json() for row in rows],
    }


def show(report: dict[str, Any], given: argparse.Namespace, console: Console) -> None:
    """Print the table, write the files."""
    title = f"The operator at {report['nodes']:,} nodes and {report['jobs']:,} Jobs"
    table = rich_table(HEADER, [cells(row) for row in report["rows"]], title, sentences=("what", "behind it"))
    (console if given.json == "-" else Console()).print(table)
    if given.json == "-":
        json.dump(report, sys.stdout, indent=1)
    elif given.json:
        Path(given.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if given.markdown:
        Path(given.markdown).write_text(markdown(report), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
