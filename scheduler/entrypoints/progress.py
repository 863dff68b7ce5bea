"""Progress of a backtest: bars with an estimate of the time left on a terminal, a line a minute in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from scheduler.entrypoints.console import err
from scheduler.simulate.backtest import Options
from scheduler.simulate.outage_scripts import OUTAGE
from scheduler.units import S_PER_MIN
from scheduler.views.style import STRATEGY_NAMES


@dataclass(slots=True)
class RunProgress:
    """Three bars: simulated time of our own run, finished runs of all, and the pieces that the bound is sought in."""

    progress: Progress
    console: Console
    time: TaskID
    runs: TaskID
    bound: TaskID
    title: str = ""
    running: str | None = STRATEGY_NAMES["ours"]
    outages: int = 0
    alike_done: int = 0
    said_s: float = 0.0

    @classmethod
    @contextmanager
    def started(cls, title: str, options: Options, console: Console = err) -> Iterator[RunProgress]:
        """Show bars while the block runs; they vanish with it."""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
        bars = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
        with bars:
            planned = "ours" in options.strategies
            clock = bars.add_task(f"{title}: {STRATEGY_NAMES['ours']}", total=None, said="", visible=planned)
            runs = bars.add_task("all runs", total=None, said="")
            bound = bars.add_task("the bound", total=None, said="", visible=False, start=False)
            outages = len(options.outages)
            yield cls(progress=bars, console=console, time=clock, runs=runs, bound=bound, title=title, outages=outages)

    def watching(self, options: Options) -> Options:
        """The same options, reporting here as well as where they already report."""
        cycle, done, piece = options.on_cycle, options.on_done, options.on_bound

        def on_cycle(numbers: Mapping[str, Any]) -> None:
            self.passed(numbers)
            if cycle is not None:
                cycle(numbers)

        def on_done(key: str, count: int, total: int) -> None:
            self.finished(key, count, total)
            if done is not None:
                done(key, count, total)

        def on_bound(number: int, total: int) -> None:
            self.seeking(number, total)
            if piece is not None:
                piece(number, total)

        return replace(options, on_cycle=on_cycle, on_done=on_done, on_bound=on_bound, on_foresight=self.foreseeing)

    def passed(self, numbers: Mapping[str, Any]) -> None:
        """One cycle of our run is over."""
        key = str(numbers.get("run", "ours"))
        name = STRATEGY_NAMES.get(key, key.replace("_", " "))
        if name != self.running:
            self.running = name
            self.progress.reset(self.time, description=f"{self.title}: {name}")
        self.progress.update(self.time, completed=numbers["done"], total=numbers["total"], said=str(numbers["at"]))
        if self.outages:
            self.say(f"{name} at {numbers['at']}{self.outages_left(numbers['done'] / max(1, numbers['total']))}")
        else:
            self.say(f"{name} at {numbers['at']}", self.time)

    def finished(self, key: str, count: int, total: int) -> None:
        """A run is over; after the last one the runs are scored and the bound is sought."""
        said = f"{STRATEGY_NAMES.get(key, key.replace('_', ' '))} done" if count < total else "seeking the bound"
        self.progress.update(self.runs, completed=count, total=total, said=said)
        self.alike_done += key == "ours" or key.startswith(OUTAGE)
        self.say(f"{count} of {total} runs, {said}{self.outages_left()}", at_once=count == total)

    def foreseeing(self) -> None:
        """The last search, that for the best plan of the whole window, is as long as many runs and cannot say how far it is."""
        said = "seeking the best plan with all known (some minutes)"
        self.progress.update(self.runs, said=said)
        self.say(said, at_once=True)

    def outages_left(self, begun: float = 0.0) -> str:
        """Our run and those with outages take about as long as each other: the time left of all, at their pace so far.

        begun: how much of a further one is done, as a share. Empty without outages, and when nothing of them is left.
        """
        share = (self.alike_done + begun) / (1 + self.outages)
        if not self.outages or not 0.0 < share < 1.0:
            return ""
        elapsed_s = self.task(self.runs).elapsed or 0.0
        left = timedelta(seconds=round(elapsed_s * (1.0 - share) / share))
        return f", {self.alike_done} of {1 + self.outages} runs with and without outages, about {left} left of them"

    def seeking(self, number: int, total: int) -> None:
        """The bound has come to a piece of its window."""
        if number == 1:
            self.progress.start_task(self.bound)
        said = f"piece {number} of {total}"
        self.progress.update(self.bound, completed=number - 1, total=total, said=said, visible=True)
        self.say(f"bound, {said}", self.bound)

    def say(self, what: str, task_id: TaskID | None = None, *, at_once: bool = False) -> None:
        """Without a terminal there are no bars: a line at most every minute, with the time left of a steady task.

        What begins something else is said at once, but in a short run, of which nothing is said.

        Runs are none: ours takes as long as many rules.
        """
        elapsed_s = self.task(self.runs).elapsed or 0.0
        if self.console.is_terminal or (elapsed_s - self.said_s < S_PER_MIN and not (at_once and self.said_s > 0.0)):
            return
        self.said_s = elapsed_s
        left = None if task_id is None else time_left(self.task(task_id))
        words = f"{timedelta(seconds=round(elapsed_s))}  {what}"
        self.console.print(words if left is None else f"{words}, about {left} left", markup=False, soft_wrap=True)

    def task(self, task_id: TaskID) -> Task:
        """One of the bars."""
        return next(task for task in self.progress.tasks if task.id == task_id)


def time_left(task: Task) -> timedelta | None:
    """What is left of a task at the pace of all of it so far; None while nothing is known."""
    if not task.total or not task.completed or not task.elapsed:
        return None
    return timedelta(seconds=round(task.elapsed * (task.total - task.completed) / task.completed))
