"""Plots of the live page as plain SVG, drawn for any width: shapes stretch, text and strokes do not.

Every plot is an outer SVG without a view box, in which places across are percentages and places down are pixels; the shapes lie
in an inner one that is stretched. So no script is needed, and nothing is set by a style attribute, which the page's policy for
content forbids. Colours and line widths are those of `live.css`, by class.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.units import S_PER_H

TOP_PX, BOTTOM_PX = 18, 20
# Height of the stretched shapes in units of their own.
UNITS = 1000
TICK_H = 6
NICE = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One series of a plot: a line, an area down to zero, or a band between two series.

    kind: `line`, `step`, `area` or `band`. name: class of its colour. low: lower edge of a band or of a stacked area.
    """

    kind: str
    name: str
    values: FloatArray
    low: FloatArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot on a grid: its parts from back to front, and what somebody hears who does not see it.

    least: the scale goes at least so far up. scale: values are multiplied by it before they are shown.
    """

    name: str
    title: str
    text: str
    unit: str
    layers: tuple[Layer, ...]
    height_px: int = 190
    least: float = 1.0


def drawn(plot: Plot, grid: TimeGrid, now_slot: int, zone: ZoneInfo) -> str:
    """The SVG element."""
    low, high, ticks = scale(plot)
    inner_px = plot.height_px - TOP_PX - BOTTOM_PX

    def y_px(value: float) -> float:
        return TOP_PX + inner_px * (1.0 - (value - low) / (high - low))

    shapes = "".join(_shape(layer, low, high) for layer in plot.layers)
    lines = "".join(f'<line x1="0" x2="100%" y1="{y_px(one):.1f}" y2="{y_px(one):.1f}" class="grid"/>' for one in ticks)
    shown = [number(one) for one in ticks]
    shown[-1] += f" {escape(plot.unit)}"
    words = "".join(
        f'<text x="4" y="{y_px(one) - 3:.1f}" class="tick">{text}</text>' for one, text in zip(ticks, shown, strict=True)
    )
    floor_px = TOP_PX + inner_px
    now = f"{100.0 * now_slot / grid.slots:.2f}%"
    return (
        f'<svg class="plot" role="img" aria-labelledby="{plot.name}-t {plot.name}-d" width="100%" height="{plot.height_px}">'
        f'<title id="{plot.name}-t">{escape(plot.title)}</title><desc id="{plot.name}-d">{escape(plot.text)}</desc>'
        f'<rect class="past" x="0" y="{TOP_PX}" width="{now}" height="{inner_px}"/>{lines}'
        f'<svg x="0" y="{TOP_PX}" width="100%" height="{inner_px}" viewBox="0 0 {grid.slots} {UNITS}" '
        f'preserveAspectRatio="none">{shapes}</svg>'
        f'<line class="now" x1="{now}" x2="{now}" y1="{TOP_PX - 12}" y2="{floor_px}"/>'
        f'<text class="now-text" x="{now}" dx="5" y="14">now</text>{words}'
        f"{''.join(hours(grid, zone, floor_px))}</svg>"
    )


def scale(plot: Plot) -> tuple[float, float, list[float]]:
    """Lower and upper end of the scale, and three or four round values on it; zero is always there."""
    known = np.concatenate([one.values for one in plot.layers] + [one.low for one in plot.layers if one.low is not None])
    known = known[np.isfinite(known)]
    top = max(plot.least, float(known.max(initial=0.0)))
    bottom = min(0.0, float(known.min(initial=0.0)))
    rough = (top - bottom) / 3.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one for one in NICE if one * power >= rough * 0.999) * power
    first, last = math.floor(bottom / step + 1e-9), math.ceil(top / step - 1e-9)
    ticks = [index * step for index in range(first, last + 1)]
    # Room above the highest value, but not a whole empty step.
    high = max(top * 1.04, ticks[-1]) if top > ticks[-1] - 0.5 * step else top * 1.04
    return min(bottom, ticks[0]) if bottom < 0.0 else 0.0, high, [one for one in ticks if one <= high]


def _shape(layer: Layer, low: float, high: float) -> str:
    """The path of a layer; nothing where nothing is known."""

    def y(values: FloatArray) -> list[int | None]:
        units = UNITS * (1.0 - (values - low) / (high - low))
        return [round(float(one)) if math.isfinite(one) else None for one in units]

    if layer.kind in ("area", "band"):
        under = np.where(np.isfinite(layer.values), 0.0, np.nan) if layer.low is None else layer.low
        path = "".join(_closed(start, upper, lower) for start, upper, lower in _stretches(y(layer.values), y(under)))
    else:
        path = "".join(_open(start, upper) for start, upper, _ in _stretches(y(layer.values), None))
    return f'<path class="{layer.kind} {layer.name}" d="{path}"/>' if path else ""


def _stretches(upper: Sequence[int | None], lower: Sequence[int | None] | None) -> Iterator[tuple[int, list[int], list[int]]]:
    """Where both are known, one stretch after the other: first slot, upper and lower values."""
    start, above, below = 0, list[int](), list[int]()
    for slot, one in enumerate(upper):
        other = 0 if lower is None else lower[slot]
        if one is None or other is None:
            if above:
                yield start, above, below
            above, below = [], []
            continue
        if not above:
            start = slot
        above.append(one)
        below.append(other)
    if above:
        yield start, above, below


def _open(start: int, values: Sequence[int]) -> str:
    """Steps from left to right: a value holds for its slot."""
    return f"M{start} {values[0]}{_steps(values)}"


def _closed(start: int, upper: Sequence[int], lower: Sequence[int]) -> str:
    """Steps along the top, back along the bottom."""
    back = list(reversed(lower))
    return f"M{start} {upper[0]}{_steps(upper)}V{back[0]}{_steps(back, -1)}Z"


def _steps(values: Sequence[int], sign: int = 1) -> str:
    """Relative path of steps; equal values run together."""
    parts, run, before = [], 0, values[0]
    for one in values:
        if one != before:
            parts.append(f"h{sign * run}v{one - before}")
            run, before = 0, one
        run += 1
    return "".join([*parts, f"h{sign * run}"])


def hours(grid: TimeGrid, zone: ZoneInfo, floor_px: float) -> Iterator[str]:
    """Local times below the plot: a day's name at its midnight, every sixth hour in between."""
    span_s = grid.slots * grid.slot_s
    at = grid.start_utc.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    for hour in range(int(span_s / S_PER_H) + 1):
        moment: datetime = (at.astimezone(grid.start_utc.tzinfo) + timedelta(seconds=hour * S_PER_H)).astimezone(zone)
        share = (moment - grid.start_utc).total_seconds() / span_s
        if moment.hour % TICK_H or moment.minute or not 0.0 <= share <= 1.0:
            continue
        place, midnight = f"{100.0 * share:.2f}%", moment.hour == 0
        kind = "day" if midnight else "noon" if moment.hour == 2 * TICK_H else "minor"
        text = f"{moment:%a} {moment.day}" if midnight else f"{moment:%H:%M}"
        anchor = "start" if share < 0.03 else "end" if share > 0.97 else "middle"
        if midnight:
            yield f'<line class="midnight" x1="{place}" x2="{place}" y1="{TOP_PX}" y2="{floor_px}"/>'
        yield f'<text class="hour {kind}" x="{place}" y="{floor_px + 15}" text-anchor="{anchor}">{text}</text>'


def number(value: float) -> str:
    """A round value of a scale."""
    return f"{value:,.0f}" if abs(value) >= 10.0 or value == round(value) else f"{value:,.1f}"


def escape(value: object) -> str:
    """Text for HTML; `views.page` has the same, and all of plotly with it."""
    return html.escape(str(value))
