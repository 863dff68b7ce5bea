"""Heat demand of an offtake: signature of the weather, corrected by what it got wrong lately, with its band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.calendar import LocalHours
from scheduler.core.forecast.direct import DirectSettings, Paths, direct, origins, targets
from scheduler.core.forecast.fill import Hourly, seasonal
from scheduler.core.forecast.quantiles import band, spread
from scheduler.core.forecast.signature import Signature, fit_signature, smoothed, smoothed_path
from scheduler.domain.snapshot import Band
from scheduler.domain.time import FloatArray

SETTINGS = DirectSettings(decay_h=12.0)
MIN_SIGNATURE_H = 72
SIGNATURE_HALF_LIFE_H = 24.0 * 21
# Relative half width of the band at 1 hour and far out while there is nothing to learn it from.
PRIOR_WIDTH_NEAR, PRIOR_WIDTH_FAR = 0.08, 0.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DemandForecast:
    """Hourly band over the leads, the hindcasts it came from, and the signature (None without outdoor temperature)."""

    band: Band
    paths: Paths
    signature: Signature | None


def signature_paths(
    demand: Hourly, outdoor: Hourly, outdoor_paths: Paths, local: LocalHours, leads: int
) -> tuple[Signature, FloatArray, FloatArray]:
    """Signature, its demand over the past (n,) at measured weather, and over all paths (m, leads) at forecast weather."""
    count = len(demand.values)
    complete_c = seasonal(outdoor.values)
    weight = np.exp2((np.arange(count) - count) / SIGNATURE_HALF_LIFE_H) * np.isfinite(outdoor.values)
    signature = fit_signature(demand.values, complete_c, local.hour_of_week[:count], weight)
    t_eff_c = smoothed(complete_c, signature.smoothing_h)
    past = signature.demand_kw(t_eff_c, local.hour_of_week[:count])
    origin = outdoor_paths.origin
    path_c = smoothed_path(t_eff_c[origin], outdoor_paths.predicted[:, :leads], signature.smoothing_h)
    hours = local.hour_of_week[origin[:, None] + np.arange(1, leads + 1)]
    return signature, past, signature.demand_kw(path_c, hours)


def learnable_hours(demand: Hourly, outdoor: Hourly) -> int:
    """Hours in which demand and weather are both known."""
    return int((np.isfinite(demand.values) & np.isfinite(outdoor.values)).sum())


def demand_paths(
    demand: Hourly, outdoor: Hourly | None, outdoor_paths: Paths | None, local: LocalHours, leads: int
) -> tuple[Paths, Signature | None]:
    """Hindcasts and forecast in kW; without outdoor temperature the direct regression alone carries the demand."""
    if outdoor is None or outdoor_paths is None or learnable_hours(demand, outdoor) < MIN_SIGNATURE_H:
        return direct(demand.values, leads, SETTINGS), None
    signature, past_kw, path_kw = signature_paths(demand, outdoor, outdoor_paths, local, leads)
    actual = targets(demand.values, origins(len(demand.values), SETTINGS), leads)
    rest = direct(demand.values - past_kw, leads, SETTINGS, wanted=actual - path_kw)
    predicted = np.maximum(0.0, path_kw + rest.predicted)
    return Paths(origin=rest.origin, predicted=predicted, actual=actual, weight=rest.weight), signature


def prior_width(leads: int) -> FloatArray:
    """Relative half width of the band before there are residuals, growing with the lead over a day, (leads,)."""
    grown = 1.0 - np.exp(-np.arange(1, leads + 1) / 12.0)
    return np.asarray(PRIOR_WIDTH_NEAR + (PRIOR_WIDTH_FAR - PRIOR_WIDTH_NEAR) * grown)


def demand_band(paths: Paths, ceiling_kw: float) -> Band:
    """p10, p50, p90 over the leads: the forecast plus residual quantiles of the same lead."""
    now = paths.now
    leads = len(now)
    width_kw = prior_width(leads) * np.maximum(now, 0.0)
    # In-sample residuals are a little too small; the factor was set on a year of rolling forecasts (docs/forecasts.md).
    low = 1.05 * spread(paths.residual, paths.weight, 0.1, -width_kw)
    high = 1.05 * spread(paths.residual, paths.weight, 0.9, width_kw)
    return band(now + low, now, now + high, ceiling_kw)


def forecast_demand(
    demand: Hourly, outdoor: Hourly | None, outdoor_paths: Paths | None, local: LocalHours, leads: int, ceiling_kw: float
) -> DemandForecast:
    """Forecast the next `leads` hours after the last hour of `demand`, which must hold at least one value."""
    paths, signature = demand_paths(demand, outdoor, outdoor_paths, local, leads)
    return DemandForecast(band=demand_band(paths, ceiling_kw), paths=paths, signature=signature)
