"""The software plant on a terminal, and as lines in a pipe."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

BAR = 28
NOTES = 12
MODE_STYLES = {"auto": "green", "fallback": "bold red", "manual": "bold yellow"}


def bar(value: float, most: float, width: int = BAR) -> str:
    """A bar of `width` at most."""
    filled = 0 if most <= 0.0 else round(width * min(max(value / most, 0.0), 1.0))
    return "█" * filled + "·" * (width - filled)


def line_of(numbers: Mapping[str, Any]) -> str:
    """One moment in one line."""
    tank = "" if numbers["tank_fraction"] is None else f", tank {100 * numbers['tank_fraction']:.0f} %"
    boiler = "off" if numbers["boiler"] == "off" else f"{numbers['boiler']} {numbers['boiler_kw']:.0f} kW"
    why = f" ({numbers['why']})" if numbers["why"] else ""
    return (
        f"{numbers['at']}  {numbers['mode']}: schedule {numbers['sequence']}, demand {numbers['demand_kw']:.0f} kW, "
        f"taken {numbers['taken_kw']:.0f} of {numbers['planned_kw']:.0f} kW, boiler {boiler}{why}{tank}, "
        f"outdoor {numbers['outdoor_c']:.1f} C, said {numbers['accepted']}, refused {numbers['refused']}"
    )


class PlantScreen:
    """What the plant hears and does, drawn anew at every moment."""

    def __init__(self, title: str) -> None:
        """Nothing yet."""
        self.title = title
        self.numbers: Mapping[str, Any] | None = None
        self.notes: deque[str] = deque(maxlen=NOTES)

    def show(self, numbers: Mapping[str, Any]) -> None:
        """Take one moment."""
        self.numbers = numbers

    def say(self, note: str) -> None:
        """Take one line."""
        self.notes.append(note)

    def __rich__(self) -> RenderableType:
        """Draw."""
        if self.numbers is None:
            return Panel(Text("waiting"), title=self.title)
        told = Text("\n".join(self.notes), overflow="fold")
        return Panel(Group(_link(self.numbers), Text(""), _heat(self.numbers), Text(""), told), title=self.title)


def _link(numbers: Mapping[str, Any]) -> Table:
    """Both sides of the conversation."""
    grid = Table.grid(padding=(0, 2))
    mode, age_s = str(numbers["mode"]), numbers["link_age_s"]
    age = "never" if age_s is None else f"{age_s:.0f} s ago"
    asked = {None: "unknown", True: "START THE BOILER", False: "no boiler needed"}[numbers["boiler_asked"]]
    grid.add_row("time", f"{numbers['at']}  (the plant's clock: {numbers['own_clock']})")
    grid.add_row("mode", Text(mode + (f": {numbers['why']}" if numbers["why"] else ""), style=MODE_STYLES.get(mode, "")))
    grid.add_row("heard", f"counter {numbers['counter']} moved {age}; schedule {numbers['sequence']}; signal: {asked}")
    grid.add_row("alarm", Text(str(numbers["alarm"] or "none")))
    grid.add_row(
        "said", f"{numbers['accepted']} letters, {numbers['acknowledged']} acknowledgements; {numbers['refused']} turned away"
    )
    wrong = [*numbers["faults"], *([numbers["trouble"]] if numbers["trouble"] else [])]
    grid.add_row("wrong", Text(", ".join(str(one) for one in wrong) or "nothing", style="red" if wrong else ""))
    return grid


def _heat(numbers: Mapping[str, Any]) -> Table:
    """Where the heat is."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    most = max(float(numbers[key]) for key in ("demand_kw", "planned_kw", "taken_kw", "boiler_kw")) or 1.0
    rows = (
        ("demand", "demand_kw"),
        ("planned", "planned_kw"),
        ("taken", "taken_kw"),
        ("boiler", "boiler_kw"),
        ("dry cooler", "dry_cooler_kw"),
    )
    for name, key in rows:
        label = f"boiler ({numbers['boiler']})" if key == "boiler_kw" else name
        grid.add_row(label, f"{numbers[key]:.0f} kW", bar(float(numbers[key]), most))
    if numbers["tank_fraction"] is not None:
        grid.add_row("tank", f"{numbers['tank_kwh']:.0f} kWh", bar(float(numbers["tank_fraction"]), 1.0))
    grid.add_row(
        "outdoor", f"{numbers['outdoor_c']:.1f} C", f"supply {numbers['supply_c']:.0f} C, return {numbers['return_c']:.0f} C"
    )
    return grid
