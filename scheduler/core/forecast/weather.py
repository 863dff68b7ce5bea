"""Outdoor temperature: our own projection of the past, and a weather forecast over it where the series reaches ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.direct import DirectSettings, direct
from scheduler.core.forecast.fill import OUTDOOR, Hourly, hourly, ready
from scheduler.core.forecast.frame import PAST_H, Frame
from scheduler.core.forecast.heat_demand import Weather
from scheduler.domain.time import FloatArray, Series

SETTINGS = DirectSettings(decay_h=60.0)
# A told temperature still counts this long after the last told hour (e-folding).
TOLD_DECAY_H = 24.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outdoor:
    """Past hours with what is wrong with them, and the weather ahead; `weather` is None when nothing is known at all."""

    past: Hourly
    weather: Weather | None


def told_over(expected_c: FloatArray, told_c: FloatArray) -> FloatArray:
    """Follow a forecast (NaN: silent) where it speaks; after its last word its difference to `expected_c` fades."""
    spoken = np.flatnonzero(np.isfinite(told_c))
    if not len(spoken):
        return expected_c
    leads = np.arange(len(expected_c))
    difference = np.interp(leads, spoken, (told_c - expected_c)[spoken])
    fade = np.exp(-np.maximum(0, leads - spoken[-1]) / TOLD_DECAY_H)
    return np.asarray(expected_c + difference * fade)


def outdoor_ahead(outdoor: Series, where: Frame, max_fill_s: float) -> Outdoor:
    """Project the outdoor temperature; values of the series after the present are a weather forecast and win."""
    past = ready("outdoor", outdoor, now=where.now, past_h=PAST_H, max_fill_s=max_fill_s, limits=OUTDOOR)
    if not past.known:
        return Outdoor(past=past, weather=None)
    expected = direct(past.values, where.leads, SETTINGS)
    told_c = hourly(outdoor, where.now, where.now + where.leads)
    told_c = np.where((told_c >= OUTDOOR.low) & (told_c <= OUTDOOR.high), told_c, np.nan)
    path_c = told_over(expected.now, told_c)
    weather = Weather(past_c=past.values, expected_c=expected.predicted, told_c=path_c, spoken=np.isfinite(told_c))
    return Outdoor(past=past, weather=weather)
