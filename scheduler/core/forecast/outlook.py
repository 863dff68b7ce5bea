"""The outlook: everything that is expected over the grid, made of the site and one snapshot alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from scheduler.core.forecast.arrivals import draws_w, expected_arrivals, seen_work
from scheduler.core.forecast.calendar import HOUR_S
from scheduler.core.forecast.direct import DirectSettings, direct
from scheduler.core.forecast.durations import learn_durations
from scheduler.core.forecast.fill import CARBON, HEAT_KW, PRICE, Hourly, Plausible, hourly, plausible, ready
from scheduler.core.forecast.frame import PAST_H, TAIL_H, Frame, frame, tail_grid
from scheduler.core.forecast.heat_demand import Weather, forecast_demand, prior_width
from scheduler.core.forecast.prices import PriceAhead, price_ahead, published, published_stop_h
from scheduler.core.forecast.quantiles import band
from scheduler.core.forecast.weather import Outdoor, outdoor_ahead
from scheduler.domain.outlook import DurationModel, Outlook
from scheduler.domain.settings import Settings
from scheduler.domain.site import DemandSource, Offtake, Site
from scheduler.domain.snapshot import Band, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid

PLANT_FORECAST_MAX_AGE_S = 6.0 * HOUR_S
# A measured demand may exceed what the customer's connection takes, but not by any factor.
MAX_OVER_CONNECTION = 10.0
NO_PRICES = PriceAhead(path=np.empty(0), low=np.empty(0), high=np.empty(0))
GRID_CARBON = DirectSettings(decay_h=30.0)

Reasons = tuple[str, ...]


def outlook(site: Site, snapshot: Snapshot, settings: Settings, grid: TimeGrid) -> Outlook:
    """Forecast prices, carbon, weather, heat demand, arrivals and durations over `grid`.

    Pure: the same arguments give the same outlook. What is missing, stale, frozen or implausible is named in `degraded`
    ("price: missing"); the value then used is the most harmless one (no heat demand, no carbon, temperature NaN) and never
    passes for a measurement.
    """
    where = frame(grid, site.time_zone, site.holidays)
    past = snapshot.history
    spot, price_reasons = prices(past.price, where, settings)
    outdoor = outdoor_ahead(past.outdoor, where, settings.max_fill_s)
    carbon, carbon_known, carbon_reasons = carbon_path(past.carbon, where, settings)
    demand, demand_reasons = demands(site, snapshot, settings, where, outdoor.weather)
    durations = learn_durations(past.finished, snapshot.jobs)
    works = seen_work(past.finished, snapshot.jobs, durations)
    return Outlook(
        grid=grid,
        spot_eur_per_kwh=spot.expected,
        spot_p10_eur_per_kwh=spot.low,
        spot_p90_eur_per_kwh=spot.high,
        known_price_slots=spot.known_slots,
        tail_spot_eur_per_kwh=spot.tail,
        carbon_g_per_kwh=carbon,
        carbon_known=carbon_known,
        outdoor_c=outdoor_slots(outdoor, where),
        demand_kw=demand,
        arrival_gpus=arrivals(site, snapshot, where, durations),
        arrival_draw_w=draws_w(site, works),
        durations=durations,
        degraded=(*price_reasons, *outdoor.past.reasons, *carbon_reasons, *demand_reasons),
    )


def ready_past(name: str, series: Series | None, where: Frame, settings: Settings, limits: Plausible) -> Hourly:
    """Checked and filled hours of the past of one series, (PAST_H,)."""
    return ready(name, series, now=where.now, past_h=PAST_H, max_fill_s=settings.max_fill_s, limits=limits)


def on_slots(past: FloatArray, path: FloatArray, where: Frame) -> FloatArray:
    """An hourly path on the slots of the grid; the hour that has begun keeps its last measurement."""
    present = float(past[-1])
    return where.on_slots(path, present if np.isfinite(present) else float(path[0]))


def outdoor_slots(outdoor: Outdoor, where: Frame) -> FloatArray:
    """Outdoor temperature on the slots of the grid; NaN when nothing is known."""
    if outdoor.weather is None:
        return np.full(where.grid.slots, np.nan)
    return on_slots(outdoor.past.values, outdoor.weather.told_c, where)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spot:
    """Spot prices on the grid with their band, on the week after it, and the number of leading slots that are published."""

    expected: FloatArray
    low: FloatArray
    high: FloatArray
    tail: FloatArray
    known_slots: int


def prices(price: Series, where: Frame, settings: Settings) -> tuple[Spot, Reasons]:
    """Spot prices, and what is wrong with them; what is published is its own band."""
    grid, tail = where.grid, tail_grid(where.grid)
    spot = plausible(published(price, grid), PRICE)
    unknown = np.flatnonzero(~np.isfinite(spot))
    known_slots = int(unknown[0]) if len(unknown) else grid.slots
    end = where.now + where.leads + TAIL_H
    stop = min(max(published_stop_h(price), where.now), end)
    first = where.local.first
    past = ready("price", price, now=stop, past_h=stop - first, max_fill_s=settings.max_fill_s, limits=PRICE)
    if not past.known:
        known = np.where(np.isfinite(spot), spot, 0.0)
        return Spot(expected=known, low=known, high=known, tail=np.zeros(tail.slots), known_slots=known_slots), past.reasons
    ahead = price_ahead(past.values, where.local, end - stop) if end > stop else NO_PRICES
    mean = float(np.nanmean(past.values))

    def whole(coming: FloatArray) -> FloatArray:
        path = np.concatenate([past.values, coming])
        return np.where(np.isfinite(path), path, mean)

    expected, low, high = (whole(coming) for coming in (ahead.path, ahead.low, ahead.high))
    on_grid = [np.where(np.isfinite(spot), spot, sampled(path, first, grid)) for path in (expected, low, high)]
    tail_spot = sampled(expected, first, tail)
    found = Spot(expected=on_grid[0], low=on_grid[1], high=on_grid[2], tail=tail_spot, known_slots=known_slots)
    return found, past.reasons


def sampled(path: FloatArray, first: int, grid: TimeGrid) -> FloatArray:
    """Values of an hourly path that starts at hour number `first` on the slots of a grid; the last one goes on."""
    start_s = int(grid.start_utc.timestamp())
    hour = (start_s + np.arange(grid.slots, dtype=np.int64) * grid.slot_s) // HOUR_S - first
    return np.asarray(path[np.clip(hour, 0, len(path) - 1)])


def carbon_path(carbon: Series, where: Frame, settings: Settings) -> tuple[FloatArray, bool, Reasons]:
    """Carbon intensity on the grid, and whether it is known; zero, and named, when nothing is."""
    past = ready_past("carbon", carbon, where, settings, CARBON)
    if not past.known:
        return np.zeros(where.grid.slots), False, past.reasons
    values = on_slots(past.values, direct(past.values, where.leads, GRID_CARBON).now, where)
    return np.maximum(0.0, values), True, past.reasons


def demands(
    site: Site, snapshot: Snapshot, settings: Settings, where: Frame, weather: Weather | None
) -> tuple[dict[str, Band], Reasons]:
    """Demand band of every offtake, and what is wrong with their inputs."""
    bands: dict[str, Band] = {}
    reasons: list[str] = []
    for offtake in site.offtakes:
        own, why = own_demand(offtake, snapshot, settings, where, weather)
        told = plant_forecast(offtake, snapshot, where)
        bands[offtake.offtake_id] = own if told is None else around(told, own, offtake.max_heat_kw)
        reasons += why if told is None or not np.all(np.isfinite(told)) else ()
    return bands, tuple(reasons)


def own_demand(
    offtake: Offtake, snapshot: Snapshot, settings: Settings, where: Frame, weather: Weather | None
) -> tuple[Band, Reasons]:
    """Our own forecast of one offtake: constant as told, else learned from its past; zero, and named, without any."""
    slots, ceiling_kw = where.grid.slots, offtake.max_heat_kw
    if offtake.demand_source is DemandSource.CONSTANT:
        flat = np.full(slots, offtake.constant_demand_kw)
        return band(flat, flat, flat, ceiling_kw), ()
    name = f"heat_demand {offtake.offtake_id}"
    limits = replace(HEAT_KW, high=MAX_OVER_CONNECTION * ceiling_kw)
    past = ready_past(name, snapshot.history.heat_demand_kw.get(offtake.offtake_id), where, settings, limits)
    if not past.known:
        return band(np.zeros(slots), np.zeros(slots), np.zeros(slots), 0.0), past.reasons
    by_weather = offtake.demand_source is not DemandSource.PROFILE
    hourly_band = forecast_demand(
        past.values, weather if by_weather else None, where.local, where.leads, ceiling_kw, settings.weather_error_c
    )
    p10, p50, p90 = (on_slots(past.values, path, where) for path in (hourly_band.p10, hourly_band.p50, hourly_band.p90))
    return band(p10, p50, p90, ceiling_kw), past.reasons


def plant_forecast(offtake: Offtake, snapshot: Snapshot, where: Frame) -> FloatArray | None:
    """The plant's own forecast on the slots (NaN where it says nothing); None unless it is fresh."""
    series = snapshot.plant_forecast_kw.get(offtake.offtake_id)
    if series is None or series.issued_utc is None:
        return None
    if snapshot.observed_utc - series.issued_utc > timedelta(seconds=PLANT_FORECAST_MAX_AGE_S):
        return None
    values = published(series, where.grid)
    values = np.where(values >= 0.0, values, np.nan)
    return values if np.any(np.isfinite(values)) else None


def around(told_kw: FloatArray, own: Band, ceiling_kw: float) -> Band:
    """Put our relative band around the plant's own forecast where it speaks; ours stays elsewhere."""
    wide = prior_width(len(told_kw))
    known = own.p50 > 1e-9
    low = np.where(known, own.p10 / np.where(known, own.p50, 1.0), 1.0 - wide)
    high = np.where(known, own.p90 / np.where(known, own.p50, 1.0), 1.0 + wide)
    spoken = np.isfinite(told_kw)
    middle = np.where(spoken, told_kw, own.p50)
    return band(np.where(spoken, low * middle, own.p10), middle, np.where(spoken, high * middle, own.p90), ceiling_kw)


def arrivals(site: Site, snapshot: Snapshot, where: Frame, durations: DurationModel) -> dict[str, FloatArray]:
    """Expected busy GPUs by class with work that is not submitted yet."""
    past = snapshot.history
    first = where.now - PAST_H
    sums = {
        name: hourly(series, first, where.now) * max(1.0, HOUR_S / series.grid.slot_s)
        for name, series in past.arrived_gpu_h.items()
    }
    works = seen_work(past.finished, snapshot.jobs, durations)
    ends_utc = snapshot.intake_ends_utc
    open_slots = None if ends_utc is None else where.grid.slot_of(ends_utc)
    return expected_arrivals(site, sums, where.local, works, durations, where.grid, open_slots)
