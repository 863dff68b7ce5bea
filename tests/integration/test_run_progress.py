"""Progress without a terminal: a line a minute with the time left, and nothing in a short run."""

from __future__ import annotations

import io

from rich.console import Console

from scheduler.entrypoints.progress import RunProgress
from scheduler.simulate.backtest import Options, Teller
from scheduler.simulate.outage_scripts import OutageScript
from scheduler.simulate.outages import OutageKind, Source


def watched(clock: list[float]) -> str:
    """What is said of half a run, at the instants of a clock that the test moves."""
    console = Console(file=io.StringIO(), width=200)
    with RunProgress.started("year", Options(), console) as progress:
        progress.progress.get_time = lambda: clock[0]
        for task in progress.progress.tasks:
            task._get_time = progress.progress.get_time
            task.start_time = 0.0
        options = progress.watching(Options())
        assert options.on_cycle is not None
        assert options.on_done is not None
        assert options.on_bound is not None
        for at_s, done in ((30.0, 5), (60.0, 10), (80.0, 12), (150.0, 25)):
            clock[0] = at_s
            options.on_cycle({"done": done, "total": 100, "at": "Mon 05:00"})
        clock[0] = 300.0
        options.on_done("fifo", 1, 4)
        clock[0] = 400.0
        options.on_bound(1, 26)
        clock[0] = 410.0
        options.on_done("easy_backfill", 3, 4)
        options.on_done("ours", 4, 4)
        clock[0] = 430.0
        assert options.on_foresight is not None
        options.on_foresight()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_line_a_minute() -> None:
    lines = watched([0.0]).splitlines()
    # 60 s for 10 of 100: 540 s left; then 150 s for 25: 450 s left; runs differ too much to tell.
    assert lines == [
        "0:01:00  heat-dispatch at Mon 05:00, about 0:09:00 left",
        "0:02:30  heat-dispatch at Mon 05:00, about 0:07:30 left",
        "0:05:00  1 of 4 runs, FIFO done",
        "0:06:40  bound, piece 1 of 26",
        "0:06:50  4 of 4 runs, seeking the bound",
        "0:07:10  seeking the best plan with all known (some minutes)",
    ]


def test_of_a_short_run_nothing_is_said() -> None:
    console = Console(file=io.StringIO(), width=200)
    with RunProgress.started("week", Options(), console) as progress:
        progress.finished("ours", 1, 1)
        progress.foreseeing()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""


def test_with_outages_the_time_left_is_that_of_all_of_them() -> None:
    """Ours and three outages, each as long as the others: after 100 s one and a half of four are done, so 167 s are left."""
    console, clock = Console(file=io.StringIO(), width=200), [0.0]
    script = OutageScript(sources=(Source.PRICE,), kind=OutageKind.SILENT, length="1h", start_s=0.0, end_s=3600.0, what="price")
    with RunProgress.started("week", Options(outages=(script,) * 3), console) as progress:
        progress.progress.get_time = lambda: clock[0]
        for task in progress.progress.tasks:
            task._get_time = progress.progress.get_time
            task.start_time = 0.0
        clock[0] = 50.0
        progress.finished("ours", 1, 20)
        clock[0] = 100.0
        progress.passed({"run": script.key, "done": 50, "total": 100, "at": "Mon 05:00"})
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == (
        "0:01:40  outage of price, 1h silent from 0 h at Mon 05:00, 1 of 4 runs with and without outages, "
        "about 0:02:47 left of them\n"
    )


def test_every_run_is_told_of_once() -> None:
    told: list[tuple[str, int, int]] = []
    teller = Teller(on_done=lambda key, count, total: told.append((key, count, total)), total=2)
    for number, key in ((1, "fifo"), (1, "fifo"), (0, "ours")):
        teller.ended(number, key)
    assert told == [("fifo", 1, 2), ("ours", 2, 2)]
