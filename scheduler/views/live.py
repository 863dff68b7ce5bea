"""The terminal while a virtual cluster runs: one panel that is redrawn, or nothing at all in a pipe."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scheduler.views.style import STRATEGY_NAMES

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH = 56


def sparkline(values: list[float], low: float | None = None, high: float | None = None) -> str:
    """Values as block characters; the range may be given, else it is that of the values."""
    if not values:
        return ""
    floor = min(values) if low is None else low
    ceiling = max(values) if high is None else high
    span = ceiling - floor
    if span <= 0:
        return BLOCKS[1] * len(values)
    steps = len(BLOCKS) - 1
    return "".join(BLOCKS[max(0, min(steps, round((value - floor) / span * steps)))] for value in values)


@dataclass(slots=True)
class LiveRun:
    """What the panel shows; `update` takes the plain numbers of one cycle.

    Keys: at (text), done, total, price_eur_per_mwh, demand_kw, sold_kw, tank_kwh, gpus_busy, gpus, running, waiting,
    capped, says (a sentence or "").
    """

    title: str
    latest: Mapping[str, Any] = field(default_factory=dict)
    price: deque[float] = field(default_factory=lambda: deque(maxlen=WIDTH))
    sold: deque[float] = field(default_factory=lambda: deque(maxlen=WIDTH))
    demand: deque[float] = field(default_factory=lambda: deque(maxlen=WIDTH))
    busy: deque[float] = field(default_factory=lambda: deque(maxlen=WIDTH))
    tank: deque[float] = field(default_factory=lambda: deque(maxlen=WIDTH))
    said: deque[str] = field(default_factory=lambda: deque(maxlen=4))
    others: str = ""

    def update(self, numbers: Mapping[str, Any]) -> None:
        """Take one cycle."""
        self.latest = numbers
        self.price.append(float(numbers["price_eur_per_mwh"]))
        self.sold.append(float(numbers["sold_kw"]))
        self.demand.append(float(numbers["demand_kw"]))
        self.busy.append(float(numbers["gpus_busy"]))
        self.tank.append(float(numbers["tank_kwh"]))
        if numbers.get("says"):
            self.said.append(f"{numbers['at']}  {numbers['says']}")

    def finish(self, key: str, count: int, total: int) -> None:
        """A run is over, ours or another strategy's."""
        told = f"{STRATEGY_NAMES.get(key, key)} done, {count} of {total} runs"
        self.others = told if count < total else "all runs done; seeking what no policy can beat"

    def __rich__(self) -> RenderableType:
        """Draw."""
        if not self.latest:
            return Panel("starting", title=self.title, title_align="left")
        now = self.latest
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True)
        heat_top = max([*self.demand, *self.sold, 1.0])
        table.add_row("power price", f"{now['price_eur_per_mwh']:,.0f} EUR/MWh", Text(sparkline([*self.price]), style="blue"))
        table.add_row(
            "heat demand", f"{now['demand_kw']:,.0f} kW", Text(sparkline([*self.demand], 0, heat_top), style="yellow")
        )
        table.add_row("heat sold", f"{now['sold_kw']:,.0f} kW", Text(sparkline([*self.sold], 0, heat_top), style="red"))
        table.add_row(
            "GPUs busy",
            f"{now['gpus_busy']:,} of {now['gpus']:,}",
            Text(sparkline([*self.busy], 0, now["gpus"]), style="green"),
        )
        table.add_row("tank", f"{now['tank_kwh']:,.0f} kWh", Text(sparkline([*self.tank], 0), style="magenta"))
        table.add_row("jobs", f"{now['running']} run, {now['waiting']} wait", f"{now['capped']} capped")
        # A grid of one cell, since a bar does not end its own line.
        bar = Table.grid()
        bar.add_row(ProgressBar(total=max(1, int(now["total"])), completed=int(now["done"]), width=WIDTH + 36))
        words = Text("\n".join(self.said), style="dim", overflow="ellipsis", no_wrap=True)
        parts: list[RenderableType] = [Text(str(now["at"])), table, bar, words]
        if self.others:
            parts.append(Text(self.others, style="bold"))
        return Panel(Group(*parts), title=self.title, title_align="left")


def plain_line(numbers: Mapping[str, Any]) -> str:
    """One cycle in one line, for a pipe."""
    return (
        f"{numbers['at']}  {numbers['price_eur_per_mwh']:,.0f} EUR/MWh, heat {numbers['sold_kw']:,.0f} of "
        f"{numbers['demand_kw']:,.0f} kW, {numbers['gpus_busy']} of {numbers['gpus']} GPUs busy, "
        f"{numbers['running']} jobs run, {numbers['waiting']} wait"
    )
