"""Progress of a backtest: bars with an estimate of the time left on a terminal, nothing in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from scheduler.entrypoints.console import err
from scheduler.simulate.backtest import Options
from scheduler.views.style import STRATEGY_NAMES


@dataclass(slots=True)
class RunProgress:
    """Two bars: simulated time of our own run, and finished runs of all."""

    progress: Progress
    time: TaskID
    runs: TaskID

    @classmethod
    @contextmanager
    def started(cls, title: str, options: Options, console: Console = err) -> Iterator[RunProgress]:
        """Show bars while the block runs; they vanish with it."""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
        bars = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
        with bars:
            planned = "ours" in options.strategies
            clock = bars.add_task(f"{title}: {STRATEGY_NAMES['ours']}", total=None, said="", visible=planned)
            yield cls(progress=bars, time=clock, runs=bars.add_task("all runs", total=None, said=""))

    def watching(self, options: Options) -> Options:
        """The same options, reporting here as well as where they already report."""
        cycle, done = options.on_cycle, options.on_done

        def on_cycle(numbers: Mapping[str, Any]) -> None:
            self.passed(numbers)
            if cycle is not None:
                cycle(numbers)

        def on_done(key: str, count: int, total: int) -> None:
            self.finished(key, count, total)
            if done is not None:
                done(key, count, total)

        return replace(options, on_cycle=on_cycle, on_done=on_done)

    def passed(self, numbers: Mapping[str, Any]) -> None:
        """One cycle of our run is over."""
        self.progress.update(self.time, completed=numbers["done"], total=numbers["total"], said=str(numbers["at"]))

    def finished(self, key: str, count: int, total: int) -> None:
        """A run is over; after the last one the runs are scored and the bound is sought."""
        said = f"{STRATEGY_NAMES.get(key, key.replace('_', ' '))} done" if count < total else "seeking the bound"
        self.progress.update(self.runs, completed=count, total=total, said=said)
