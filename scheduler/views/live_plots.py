"""What the live page plots, and the same as one table for who does not see plots."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.domain.live import LiveSeries, LiveState
from scheduler.domain.time import FloatArray
from scheduler.units import KWH_PER_MWH, S_PER_WHOLE_H
from scheduler.views.live_svg import Layer, Plot

# name, title, class and words of every key below it
Keys = tuple[tuple[str, str], ...]
HEAT_KEYS: Keys = (
    ("delivered", "delivered"),
    ("planned", "planned, with 10 to 90 % band"),
    ("demand", "demand, with 10 to 90 % band"),
    ("firm", "promised (firm)"),
)
PRICE_KEYS: Keys = (("price", "power on the exchange; band where it is forecast"),)
TANK_KEYS: Keys = (("tank", "level"),)
GPU_KEYS: Keys = (
    ("insulated", "insulated work"),
    ("flexible", "flexible jobs that are here"),
    ("expected", "work expected to come"),
    ("there", "all GPUs"),
)
NUMBER_HEADER = (
    "hour",
    "heat kW",
    "of it 10–90 %",
    "demand kW",
    "of it 10–90 %",
    "firm kW",
    "price /MWh",
    "tank kWh",
    "GPUs",
)


def plots(state: LiveState) -> tuple[tuple[Plot, Keys], ...]:
    """All plots of a state, the most important first; no tank, no plot of it."""
    found = [(heat(state), HEAT_KEYS), (price(state), PRICE_KEYS), (gpus(state), GPU_KEYS)]
    if state.tank_capacity_kwh > 0.0:
        found.insert(2, (tank(state), TANK_KEYS))
    return tuple(found)


def heat(state: LiveState) -> Plot:
    """Heat delivered and planned against demand."""
    one = state.series
    layers = (
        Layer(kind="band", name="demand", values=one.demand_p90_kw, low=one.demand_p10_kw),
        Layer(kind="area", name="planned", values=_joined(one.delivered_kw, one.planned_kw)),
        Layer(kind="band", name="planned", values=one.planned_p90_kw, low=one.planned_p10_kw),
        Layer(kind="line", name="demand", values=_joined(one.demand_kw, one.demand_p50_kw)),
        Layer(kind="line", name="planned", values=_joined(one.delivered_kw, one.planned_kw)),
        Layer(kind="line", name="firm", values=np.where(one.firm_kw > 0.0, one.firm_kw, np.nan)),
    )
    text = (
        f"{told('Planned', one.planned_kw, 'kW')} {told('Demand', one.demand_p50_kw, 'kW')} {told('Firm', one.firm_kw, 'kW')}"
    )
    return Plot(name="heat", title="Heat, kW", text=text, unit="kW", layers=layers, height_px=250, least=10.0)


def price(state: LiveState) -> Plot:
    """Price of power."""
    one = state.series
    unit = f"{state.currency}/MWh"
    low, high = one.price_p10_eur_per_kwh * KWH_PER_MWH, one.price_p90_eur_per_kwh * KWH_PER_MWH
    sure = np.isclose(low, high, atol=0.01)
    layers = (
        Layer(kind="band", name="price", values=np.where(sure, np.nan, high), low=np.where(sure, np.nan, low)),
        Layer(kind="line", name="price", values=one.price_eur_per_kwh * KWH_PER_MWH),
    )
    text = told("Price", (one.price_eur_per_kwh * KWH_PER_MWH)[one.now_slot :], unit)
    return Plot(name="price", title=f"Power price, {unit}", text=text, unit=unit, layers=layers, height_px=160, least=10.0)


def tank(state: LiveState) -> Plot:
    """Level of all tanks."""
    layers = (
        Layer(kind="area", name="tank", values=state.series.tank_kwh),
        Layer(kind="line", name="tank", values=state.series.tank_kwh),
    )
    text = told("Level", state.series.tank_kwh[state.series.now_slot :], "kWh")
    return Plot(
        name="tank",
        title="Heat in the tank, kWh",
        text=text,
        unit="kWh",
        layers=layers,
        height_px=140,
        least=state.tank_capacity_kwh,
    )


def gpus(state: LiveState) -> Plot:
    """GPUs at work, one kind of work on the other."""
    one = state.series
    first = one.gpus_insulated
    second = first + one.gpus_flexible
    third = second + one.gpus_expected
    layers = (
        Layer(kind="area", name="insulated", values=first),
        Layer(kind="band", name="flexible", values=second, low=first),
        Layer(kind="band", name="expected", values=third, low=second),
        Layer(kind="line", name="there", values=one.gpus_there),
    )
    text = told("Busy", np.fmax(second, third)[one.now_slot :], "GPUs")
    return Plot(name="gpus", title="GPUs at work", text=text, unit="GPUs", layers=layers, height_px=160, least=8.0)


def number_rows(state: LiveState) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """The plots as hourly means, hour by hour, and whether the hour is over."""
    one, zone = state.series, ZoneInfo(state.time_zone)
    per_hour = max(1, S_PER_WHOLE_H // one.grid.slot_s)
    kept = _joined(one.delivered_kw, one.planned_kw), _joined(one.demand_kw, one.demand_p50_kw)
    busy = one.gpus_insulated + one.gpus_flexible + np.nan_to_num(one.gpus_expected)
    for first in range(0, one.grid.slots, per_hour):
        here = slice(first, first + per_hour)
        at = one.grid.time_of(first).astimezone(zone)
        yield (
            first + per_hour <= one.now_slot,
            (
                hour(at),
                mean(kept[0][here]),
                between(one.planned_p10_kw[here], one.planned_p90_kw[here]),
                mean(kept[1][here]),
                between(one.demand_p10_kw[here], one.demand_p90_kw[here]),
                mean(one.firm_kw[here]),
                mean(one.price_eur_per_kwh[here] * KWH_PER_MWH),
                mean(one.tank_kwh[here][-1:]),
                mean(busy[here]),
            ),
        )


def hour(at: datetime) -> str:
    """`Tue 13, 06:00`."""
    return f"{at:%a} {at.day}, {at:%H:%M}"


def mean(values: FloatArray) -> str:
    """A mean in whole numbers; a dash where one value is not known."""
    found = float(np.mean(values)) if len(values) else math.nan
    return f"{found:,.0f}" if math.isfinite(found) else "–"


def between(low: FloatArray, high: FloatArray) -> str:
    """A band; a dash where it is not known."""
    least, most = mean(low), mean(high)
    return "–" if "–" in (least, most) else f"{least}–{most}"


def told(what: str, values: FloatArray, unit: str) -> str:
    """A series in one sentence."""
    known = values[np.isfinite(values)]
    if not len(known):
        return f"{what}: not known."
    return f"{what}: {known[0]:,.0f} {unit} now, between {known.min():,.0f} and {known.max():,.0f} {unit} until the end."


def _joined(was: FloatArray, comes: FloatArray) -> FloatArray:
    """What was, then what comes."""
    return np.where(np.isfinite(was), was, comes)


def now_of(series: LiveSeries, values: FloatArray) -> float | None:
    """The value of the slot that has begun; None where it is not known."""
    value = float(values[series.now_slot]) if series.now_slot < len(values) else math.nan
    return value if math.isfinite(value) else None
