"""`heat-dispatch bench`: measure the planner on generated problems, every row in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

import scheduler
from scheduler.domain.errors import HeatDispatchError, Misconfigured
from scheduler.domain.settings import SolveBudget
from scheduler.entrypoints.console import EXIT_FAILED, err, friendly, talk, write_json, write_text
from scheduler.entrypoints.options import JsonFile
from scheduler.loop.deciders import PINNED
from scheduler.simulate.bench import (
    MEANING,
    NAIVE_CAPTION,
    NAIVE_HEADER,
    PLAN_CAPTION,
    PLAN_HEADER,
    Gauges,
    Row,
    beside,
    default_seeds,
    failures_of,
    markdown,
    measure,
    measure_naive,
    naive_rows,
    plan_rows,
    summary_of,
)
from scheduler.views.tables import rich_table

HELP = """Measure the planner on generated problems: time cold and warm, proven gap, memory.

Every row is measured in a fresh process. With `--naive` the model that one writes first (PuLP, every start, pool and cap level
a 0/1 variable, CBC) tries the same problem beside it.

**Example**

    heat-dispatch bench plan --jobs 100,500 --seeds 3 --naive --json bench.json --markdown bench.md
"""
# Longer than any plan should take: what is measured is when it ends by itself.
GUARD_S = 60.0
KB_PER_MB = 1024.0
MB_PER_GB = 1024.0
SIZES = "100,500,2000,5000"
NAIVE_SIZES = "50,100"
LIBRARIES = ("highspy", "pulp", "numpy")
# CBC writes, reads and stops on its own time: a row may take this much longer than its limit.
NAIVE_SPARE_S = 1200.0
ROW_LIMIT_S = 900.0

app = typer.Typer(no_args_is_help=True, help="Measure speed and quality.", rich_markup_mode="markdown")


@app.callback()
def bench() -> None:
    """Measure speed and quality."""


@app.command(name="plan", help=HELP)
@friendly
def plan(  # noqa: PLR0913 - one parameter per option of the command
    jobs: Annotated[str, typer.Option(metavar="N,N", help="Sizes of the problems.")] = SIZES,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Problems of each size [default: 10, and 4 from 2,000 jobs on].")
    ] = None,
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first problem of each size.")] = 1,
    naive: Annotated[bool, typer.Option("--naive", help="Let PuLP and CBC try the full 0/1 model beside us.")] = False,
    naive_jobs: Annotated[str, typer.Option(metavar="N,N", help="Sizes that CBC tries.")] = NAIVE_SIZES,
    naive_limit_s: Annotated[float, typer.Option(min=1.0, help="Time limit of CBC, seconds.")] = 60.0,
    guard_s: Annotated[float, typer.Option(min=1.0, help="Time guard of one plan, seconds.")] = GUARD_S,
    json_file: JsonFile = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write the tables as Markdown.")
    ] = None,
) -> None:
    """Measure the planner."""
    tasks = [(size, first_seed + number) for size in sizes_of(jobs, "--jobs") for number in range(seeds or default_seeds(size))]
    tried = [(size, first_seed) for size in sizes_of(naive_jobs, "--naive-jobs")] if naive else []
    attempts = list(measured(tasks, guard_s))
    rows = [one for one in attempts if "failed" not in one]
    failed = [one for one in attempts if "failed" in one]
    report = {
        "machine": machine(),
        "versions": {"heat-dispatch": scheduler.__version__, "python": platform.python_version(), **libraries()},
        "settings": {"budget": asdict(SolveBudget(guard_s=guard_s)), "threads": 1, "meaning": MEANING},
        "rows": rows,
        "failed": failed,
        "naive": list(compared(tried, attempts, naive_limit_s, guard_s)),
        "summary": summary_of(rows, failed),
    }
    show(report, json_file)
    write_json(json_file, report)
    if markdown_file is not None:
        write_text(markdown_file, markdown(report))
    judge(report)


def judge(report: Row) -> None:
    """Fail when a row is missing or the checker refuses a plan.

    Raises:
        typer.Exit: with 1, after saying which.
    """
    refused = [f"{row['jobs']} jobs, seed {row['seed']}: {text}" for row in report["rows"] for text in row["violations"]]
    if refused:
        err.print("[bold red]error:[/] the checker refuses a plan")
        err.print(*refused[:5], sep="\n", markup=False, soft_wrap=True)
    missing = failures_of(report)
    if missing:
        err.print("[bold red]error:[/] without a row")
        err.print(*missing, sep="\n", markup=False, soft_wrap=True)
    if refused or missing:
        raise typer.Exit(EXIT_FAILED)


@app.command(name="row", hidden=True)
def row(jobs: int, seed: int, guard_s: float = GUARD_S, naive_limit_s: Annotated[float, typer.Option()] = 0.0) -> None:
    """Measure one row in this process and print it as JSON; with a limit, by CBC."""
    gauges = Gauges(clock_s=time.perf_counter, cpu_s=time.process_time, rss_mb=rss_mb)
    if naive_limit_s > 0.0:
        with tempfile.TemporaryDirectory() as folder:
            log_path = str(Path(folder) / "cbc.log")
            found = measure_naive(jobs, seed, naive_limit_s, log_path, gauges)
    else:
        found = measure(jobs, seed, SolveBudget(guard_s=guard_s), gauges)
    sys.stdout.write(json.dumps(found, allow_nan=False) + "\n")


def sizes_of(text: str, option: str) -> list[int]:
    """Sizes from "100,500".

    Raises:
        Misconfigured: when one of them is not a number of jobs.
    """
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not part.isdecimal() or not 1 <= int(part) <= 100_000]
    if wrong:
        raise Misconfigured(f"{wrong[0]!r} is no number of jobs", where=option, expected="whole numbers such as 100,500")
    return list(dict.fromkeys(int(part) for part in parts))


def measured(tasks: Sequence[tuple[int, int]], guard_s: float) -> Iterator[Row]:
    """One row per (jobs, seed), each said as soon as it is there; a row that fails says why and the others go on."""
    for number, (jobs, seed) in enumerate(tasks, start=1):
        found = attempted(jobs, seed, ["--guard-s", str(guard_s)], ROW_LIMIT_S + 2 * guard_s)
        err.print(f"{number:>3}/{len(tasks)}  {sentence(found)}", markup=False, soft_wrap=True)
        yield found


def sentence(found: Row) -> str:
    """A row in one line: wall seconds, CPU seconds in brackets, gap, memory; or why there is none."""
    size = f"{found['jobs']:,} jobs, seed {found['seed']}"
    if "failed" in found:
        return f"{size}: failed: {found['failed']}"
    times = ", ".join(f"{found[f'wall_{one}_s']:.2f} s {one} ({found[f'cpu_{one}_s']:.2f} s CPU)" for one in ("cold", "warm"))
    return f"{size}: {times}, gap {100 * found['gap']:.2f} %, {found['rss_mb']:.0f} MiB"


def compared(tasks: Sequence[tuple[int, int]], rows: Sequence[Row], limit_s: float, guard_s: float) -> Iterator[Row]:
    """CBC's rows beside ours; ours is measured when it is not among the rows. Either may be a failed one."""
    known = {(one["jobs"], one["seed"]): one for one in rows}
    for jobs, seed in tasks:
        err.print(f"CBC tries {jobs:,} jobs, seed {seed}, for {limit_s:g} s after modelling", markup=False)
        ours = known.get((jobs, seed)) or attempted(jobs, seed, ["--guard-s", str(guard_s)], ROW_LIMIT_S + 2 * guard_s)
        naive = attempted(jobs, seed, ["--naive-limit-s", str(limit_s)], limit_s + NAIVE_SPARE_S)
        for failed in (one for one in (ours, naive) if "failed" in one):
            err.print(sentence(failed), markup=False, soft_wrap=True)
        yield beside(naive, ours)


def attempted(jobs: int, seed: int, options: Sequence[str], limit_s: float) -> Row:
    """A row measured in a fresh process with one thread, or {jobs, seed, failed: reason} when that process fails or hangs."""
    command = [sys.executable, "-m", "scheduler.entrypoints.commands.bench", "row", str(jobs), str(seed), *options]
    try:
        return last_json(answer_of(command, limit_s))
    except HeatDispatchError as error:
        return {"jobs": jobs, "seed": seed, "failed": str(error)}


def answer_of(command: Sequence[str], limit_s: float) -> str:
    """What a command writes to standard output; whatever it started itself (CBC) ends with it.

    Raises:
        HeatDispatchError: when it fails, is killed, or is not done after `limit_s`.
    """
    pipe = subprocess.PIPE
    environment = os.environ | PINNED
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True) as child:
        try:
            written, complaint = child.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise HeatDispatchError(f"no answer after {limit_s:.0f} s") from None
        finally:
            if child.returncode != 0:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        raise HeatDispatchError(reason_of(child.returncode, complaint))
    return written


def reason_of(returncode: int, complaint: str) -> str:
    """Why a process failed: the signal that ended it, or the last line that it wrote to standard error."""
    if returncode < 0:
        hint = ", perhaps for want of memory" if -returncode == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-returncode).name}{hint}"
    return (complaint.strip().splitlines() or [f"ended with {returncode}"])[-1]


def last_json(written: str) -> Row:
    """The object on the last line of a row's output.

    Raises:
        HeatDispatchError: when there is none.
    """
    try:
        found: Row = json.loads(written.splitlines()[-1])
    except (IndexError, ValueError):
        raise HeatDispatchError("ended without a row") from None
    return found


def rss_mb() -> float:
    """Largest resident memory of this process, MiB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB_PER_MB


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    memory_kb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / KB_PER_MB
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": memory_kb / KB_PER_MB / MB_PER_GB,
        "system": f"{platform.system()} {platform.release()}",
    }


def libraries() -> dict[str, str]:
    """Versions of what the planner computes with."""
    return {name: version(name) for name in LIBRARIES}


def show(report: dict[str, Any], json_file: str | None) -> None:
    """Tables for people."""
    console = talk(json_file)
    console.print()
    title = "The planner on generated problems"
    console.print(rich_table(PLAN_HEADER, plan_rows(report["summary"]), title, caption=PLAN_CAPTION))
    if report["naive"]:
        console.print()
        title = "CBC on the full 0/1 model, ours beside it"
        console.print(rich_table(NAIVE_HEADER, naive_rows(report["naive"]), title, caption=NAIVE_CAPTION))


if __name__ == "__main__":
    app()
