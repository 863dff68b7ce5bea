"""Rolling-origin skill of every forecast on a table of hours: `python benchmarks/forecast_skill.py SERIES.csv [...]`.

Reads `series.csv` of a scenario (or a folder with one) or a table with the columns of the Copenhagen year. Every origin sees
only what was known then (prices of the next local day from 13:00 local); MAE in the quantity's own unit.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from scheduler.core.forecast.frame import PAST_H
from scheduler.core.forecast.skill import Trial, rolling
from scheduler.domain.contract import ElectricityContract, HeatTariff
from scheduler.domain.settings import Settings
from scheduler.domain.site import Caps, Offtake, SinkKind, Site
from scheduler.domain.snapshot import History
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.units import eur_per_kwh_from_eur_per_mwh

RENAMED = {
    "timestamp_utc": "start_utc",
    "price_eur_mwh": "price_eur_per_mwh",
    "carbon_g_kwh": "carbon_g_per_kwh",
    "air_temp_c": "outdoor_c",
    # The customer's share of a city's demand: its megawatts read as kilowatts keep the shape.
    "heat_demand_mw": "heat_demand_kw",
}
LEADS = {"1-6 h": slice(0, 6), "7-24 h": slice(6, 24), "25-48 h": slice(24, 48), "all": slice(None)}


def table(path: Path) -> pd.DataFrame:
    file = path / "series.csv" if path.is_dir() else path
    return pd.read_csv(file).rename(columns=RENAMED)


def history(frame: pd.DataFrame) -> History:
    start_utc = datetime.fromisoformat(str(frame["start_utc"][0])).astimezone(UTC)
    grid = TimeGrid(start_utc=start_utc, slot_s=3600, slots=len(frame))

    def series(name: str, unit: str) -> Series:
        return Series(grid=grid, values=frame[name].to_numpy(dtype=np.float64), unit=unit, source=name)

    price = series("price_eur_per_mwh", "EUR/MWh")
    price_values: FloatArray = np.asarray([eur_per_kwh_from_eur_per_mwh(float(v)) for v in price.values])
    return History(
        price=Series(grid=grid, values=price_values, unit="EUR/kWh", source="price"),
        carbon=series("carbon_g_per_kwh", "g/kWh"),
        outdoor=series("outdoor_c", "degC"),
        heat_demand_kw={"heat": series("heat_demand_kw", "kW")},
    )


def site(time_zone: str) -> Site:
    offtake = Offtake(
        offtake_id="heat", plug_id="plug", sink=SinkKind.DISTRICT_HEATING, max_heat_kw=float("inf"), tariff=HeatTariff()
    )
    caps = Caps(levels=(1.0,), binding_draw_fraction=0.95, speed_of_ratio=((1.0, 1.0),))
    return Site(
        name="skill",
        time_zone=time_zone,
        pools=(),
        plugs=(),
        offtakes=(offtake,),
        classes=(),
        caps=caps,
        electricity=ElectricityContract(),
    )


def describe(trial: Trial) -> None:
    for label, columns in LEADS.items():
        skill = trial.skill(columns)
        if skill.mae is None or skill.against_persistence is None or skill.against_hour_of_week is None:
            continue
        text = f"{trial.name:14s} {label:8s} MAE {skill.mae:9.4f}  against persistence {skill.against_persistence:+.3f}"
        text += f"  hour of week {skill.against_hour_of_week:+.3f}"
        if trial.low is not None and trial.high is not None:
            known = np.isfinite(trial.actual[:, columns])
            above = (trial.actual >= trial.low)[:, columns][known].mean()
            below = (trial.actual <= trial.high)[:, columns][known].mean()
            text += f"  above p10 {above:.3f}  below p90 {below:.3f}"
        print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--time-zone", default="Europe/Copenhagen")
    parser.add_argument("--stride-h", type=int, default=7)
    parser.add_argument("--past-h", type=int, default=PAST_H, help="hours of history before the first origin")
    options = parser.parse_args()
    for path in options.paths:
        past = history(table(path))
        first = past.price.grid.start_utc + timedelta(hours=options.past_h)
        last = past.price.grid.end_utc - timedelta(hours=1)
        count = int((last - first).total_seconds() // 3600) // options.stride_h
        origins = [first + timedelta(hours=options.stride_h * i) for i in range(count)]
        began_s = time.perf_counter()
        trials = rolling(site(options.time_zone), past, Settings(), origins)
        per_origin_s = (time.perf_counter() - began_s) / max(1, len(origins))
        print(f"{path.name}: {len(origins)} origins, {per_origin_s:.4f} s each")
        for trial in trials.values():
            describe(trial)


if __name__ == "__main__":
    main()
