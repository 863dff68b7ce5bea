"""`series.csv`: price, carbon, outdoor temperature and heat demand on one grid, with its gaps named rather than guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from scheduler.config.findings import Finding, did_you_mean, error, one_of, refuse, warning
from scheduler.config.table import Table, convert, instant, numbers, pick_columns, present, read_table
from scheduler.domain.errors import Misconfigured
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.domain.world import WorldSeries
from scheduler.units import KWH_PER_MWH, S_PER_H, S_PER_MIN, h_from_s

HOUR_S = int(S_PER_H)
QUARTER_S = HOUR_S // 4
DEFAULT_FILL_S = 3.0 * HOUR_S
MAX_SLOTS = 2_000_000
HOURLY_RUN = 24
SHOWN_GAPS = 5
# Stands in for a price that is not in the file where only the size of one is judged.
USUAL_EUR_PER_MWH = 50.0

TIME, PRICE, CARBON, OUTDOOR, DEMAND = "start_utc", "price_eur_per_mwh", "carbon_g_per_kwh", "outdoor_c", "heat_demand_kw"
DEMAND_NORM = "heat_demand_norm"
EXTRA = ("supply_c", "return_c")
ALIASES: dict[str, tuple[str, ...]] = {
    TIME: ("timestamp_utc",),
    # The same unit, written without its "per".
    PRICE: (PRICE.replace("_per_", "_"),),
    CARBON: (CARBON.replace("_per_", "_"),),
    OUTDOOR: ("air_temp_c",),
}
EXPECTED_TIME = "ISO 8601 with an offset, such as 2026-01-05T00:00Z"
Frame = dict[str, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The file's rows before they meet a grid: UTC seconds of each start and a column per quantity."""

    table: Table
    starts_s: np.ndarray[tuple[int], np.dtype[np.int64]]
    values: Frame


def read_series(
    path: Path,
    *,
    max_fill_s: float = DEFAULT_FILL_S,
    heat_peak_kw: float | None = None,
    renamed: Mapping[str, str] | None = None,
    needed: Sequence[str] = (PRICE, CARBON, DEMAND),
) -> tuple[WorldSeries, list[Finding]]:
    """Read a series file onto its own grid (hourly or 15 min; hourly values are step-constant).

    Gaps up to `max_fill_s` are filled in a straight line, longer ones stay NaN, both are reported. Negative prices are prices.
    A demand in kW is `heat_demand_kw`; as a share of the peak it is `heat_demand_norm` and needs `heat_peak_kw`.
    renamed: what the file calls a column of ours, by our name. needed: columns that must be there; the others are unknown
    throughout where they are not.

    Raises:
        Misconfigured: naming file, line and column of every cell that cannot be a number or a time, of a time that goes
            backwards, is said twice with different values, or is not on a 15 min grid.
    """
    path = Path(path)
    table = read_table(path)
    theirs = renamed or {}
    refuse([_no_column(table, name) for name in theirs.values() if name not in table.columns])
    demand, scale_kw = (DEMAND, 1.0) if DEMAND in theirs else _demand_column(table, heat_peak_kw)
    known = {**ALIASES, demand: (), **dict.fromkeys(EXTRA, ()), **{ours: (name,) for ours, name in theirs.items()}}
    wanted = (TIME, *(demand if name == DEMAND else name for name in needed))
    columns, findings = pick_columns(table, known, wanted)
    refuse(findings)
    findings = [finding for finding in findings if finding.field != DEMAND_NORM]
    rows, more = _rows(table, columns, demand)
    findings += more
    refuse(findings)
    rows, merged = _without_repeats(rows)
    step_s = _step_s(rows)
    frame, grid = _on_grid(rows, step_s)
    findings += merged + _fill(table.name, frame, grid, max_fill_s) + _scales(table.name, frame)
    if demand in frame:
        frame[demand] *= scale_kw
    return _world(frame, grid, demand, table.name), findings


def _no_column(table: Table, name: str) -> Finding:
    """A column that somebody names and the file does not have."""
    return error(f"{table.name}:1", name, f"the column is missing{did_you_mean(name, table.columns)}", one_of(table.columns))


def _demand_column(table: Table, peak_kw: float | None) -> tuple[str, float]:
    """Which column holds the demand and how many kW one of its units is; never guessed."""
    if peak_kw is not None and not 0.0 < peak_kw < float("inf"):
        raise Misconfigured(f"{peak_kw} cannot be a peak", where="heat_peak_kw", expected="a number above zero")
    if DEMAND in table.columns or DEMAND_NORM not in table.columns:
        return DEMAND, 1.0
    if peak_kw is None:
        raise Misconfigured(
            "the heat demand is a share of a peak that is not given",
            where=f"{table.name}:1: {DEMAND_NORM}",
            expected=f"heat_peak_kw, or {DEMAND} in kW",
        )
    return DEMAND_NORM, peak_kw


def _rows(table: Table, columns: dict[str, str], demand: str) -> tuple[Rows, list[Finding]]:
    """Times and numbers of every row, in the file's order."""
    times, findings = convert(table, columns[TIME], instant, EXPECTED_TIME)
    values: Frame = {}
    for wanted in (PRICE, CARBON, OUTDOOR, demand, *EXTRA):
        if wanted in columns:
            values[wanted], more = numbers(table, columns[wanted])
            findings += more
    for wanted in (name for name in (CARBON, demand) if name in values):
        for row in np.flatnonzero(values[wanted] < 0.0):
            shown = table.columns[columns[wanted]][row]
            findings.append(error(table.where(int(row)), columns[wanted], f"{shown} is negative", "zero or more"))
    if len(table) < 2 and not findings:
        findings.append(error(f"{table.name}", TIME, f"{len(table)} rows do not show a step", "at least two rows"))
    starts_s = np.array([int(at.timestamp()) for at in present(times)], dtype=np.int64)
    return Rows(table=table, starts_s=starts_s, values=values), findings


def _without_repeats(rows: Rows) -> tuple[Rows, list[Finding]]:
    """Merge rows that say the same twice; refuse times that go backwards or contradict themselves."""
    steps = np.diff(rows.starts_s)
    findings: list[Finding] = []
    for row in np.flatnonzero(steps < 0) + 1:
        text = "the time goes backwards"
        findings.append(error(rows.table.where(int(row)), TIME, text, "times in rising order"))
    repeats = np.flatnonzero(steps == 0) + 1
    for row in repeats:
        for name, column in rows.values.items():
            if not np.array_equal(column[row], column[row - 1], equal_nan=True):
                said = f"the time is there twice with {column[row - 1]} and {column[row]}"
                findings.append(error(rows.table.where(int(row)), name, said, "one row per time"))
    refuse(findings)
    if not len(repeats):
        return rows, []
    keep = np.ones(len(rows.starts_s), dtype=bool)
    keep[repeats] = False
    note = f"{len(repeats)} repeated {_plural('row', len(repeats))} merged, all equal to the row before"
    table = Table(
        name=rows.table.name, columns={}, lines=[line for line, kept in zip(rows.table.lines, keep, strict=True) if kept]
    )
    kept_rows = Rows(
        table=table, starts_s=rows.starts_s[keep], values={name: column[keep] for name, column in rows.values.items()}
    )
    return kept_rows, [warning(rows.table.where(int(repeats[0])), TIME, note)]


def _step_s(rows: Rows) -> int:
    """The file's step: an hour when all times are whole hours apart, else a quarter hour."""
    steps = np.diff(rows.starts_s)
    off = np.flatnonzero(rows.starts_s % QUARTER_S)
    if len(off):
        raise Misconfigured(
            "the time is not on a quarter hour", where=f"{rows.table.where(int(off[0]))}: {TIME}", expected="hourly or 15 min"
        )
    if not len(steps):
        raise Misconfigured("one row does not show a step", where=f"{rows.table.name}: {TIME}", expected="at least two rows")
    usual_s = int(np.median(steps))
    step_s = HOUR_S if not (steps % HOUR_S).any() else QUARTER_S
    if usual_s not in (QUARTER_S, HOUR_S):
        minutes = usual_s / S_PER_MIN
        raise Misconfigured(
            f"rows are {minutes:g} minutes apart", where=f"{rows.table.name}: {TIME}", expected="60 or 15 minutes"
        )
    if (rows.starts_s[-1] - rows.starts_s[0]) // step_s >= MAX_SLOTS:
        raise Misconfigured(
            "the times span too many slots; a mistyped year?",
            where=f"{rows.table.where(int(np.argmax(steps)) + 1)}: {TIME}",
            expected=f"at most {MAX_SLOTS} slots",
        )
    return step_s


def _on_grid(rows: Rows, step_s: int) -> tuple[Frame, TimeGrid]:
    """Values on an unbroken grid, NaN where the file has no row; hourly stretches of a 15 min file hold for their hour."""
    # Forty megabytes and a quarter of a second that only a file of series is worth: an operator without one never pays them.
    import pandas as pd

    starts_s, values = _hours_as_quarters(rows, step_s)
    known = pd.DataFrame(values, index=pd.to_datetime(starts_s, unit="s", utc=True))
    every = pd.date_range(known.index[0], known.index[-1], freq=pd.Timedelta(seconds=step_s))
    whole = known.reindex(every)
    frame = {name: whole[name].to_numpy(dtype=np.float64, copy=True) for name in values}
    return frame, TimeGrid(start_utc=every[0].to_pydatetime().astimezone(UTC), slot_s=step_s, slots=len(every))


def _hours_as_quarters(rows: Rows, step_s: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Frame]:
    """Repeat each hourly value over its four quarters where a 15 min file is hourly for a day or longer."""
    if step_s == HOUR_S:
        return rows.starts_s, rows.values
    hourly = np.diff(rows.starts_s) == HOUR_S
    repeat = np.ones(len(rows.starts_s), dtype=np.int64)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], hourly, [False])).astype(np.int8)))
    for first, stop in edges.reshape(-1, 2):
        if stop - first >= HOURLY_RUN:
            repeat[first:stop] = 4
            if stop == len(hourly):
                repeat[stop] = 4
    quarter = np.concatenate([np.arange(n) for n in repeat])
    starts_s = np.repeat(rows.starts_s, repeat) + quarter * QUARTER_S
    return starts_s, {name: np.repeat(column, repeat) for name, column in rows.values.items()}


def _fill(name: str, frame: Frame, grid: TimeGrid, max_fill_s: float) -> list[Finding]:
    """Fill short gaps in a straight line, in place, and name every gap."""
    findings: list[Finding] = []
    limit = int(max_fill_s // grid.slot_s)
    for column, values in frame.items():
        if column in EXTRA:
            continue
        gone = np.isnan(values)
        if gone.all():
            level = error if column == PRICE else warning
            findings.append(level(name, column, "no value at all"))
            continue
        edges = np.flatnonzero(np.diff(np.concatenate(([False], gone, [False])).astype(np.int8))).reshape(-1, 2)
        short = [(a, b) for a, b in edges if b - a <= limit and a > 0 and b < len(values)]
        long = [(a, b) for a, b in edges if not (b - a <= limit and a > 0 and b < len(values))]
        for a, b in short:
            values[a:b] = np.interp(np.arange(a, b), [a - 1, b], [values[a - 1], values[b]])
        fate = f"filled in a straight line (gaps up to {h_from_s(max_fill_s):g} h)"
        findings += _gap_finding(name, column, short, grid, fate)
        fate = f"left unknown (longer than {h_from_s(max_fill_s):g} h or at an end)"
        findings += _gap_finding(name, column, long, grid, fate)
    refuse(findings)
    return findings


def _gap_finding(name: str, column: str, gaps: list[tuple[int, int]], grid: TimeGrid, fate: str) -> list[Finding]:
    """One warning for all gaps of a column that shared a fate."""
    if not gaps:
        return []
    hours = sum(b - a for a, b in gaps) * grid.slot_h
    shown = ", ".join(f"{_stamp(grid.time_of(int(a)))} to {_stamp(grid.time_of(int(b)))}" for a, b in gaps[:SHOWN_GAPS])
    more = f" and {len(gaps) - SHOWN_GAPS} more" if len(gaps) > SHOWN_GAPS else ""
    return [warning(name, column, f"{hours:g} h missing in {len(gaps)} {_plural('gap', len(gaps))}, {fate}: {shown}{more}")]


def _scales(name: str, frame: Frame) -> list[Finding]:
    """Warn of values whose size suggests another unit."""
    findings: list[Finding] = []
    prices = frame.get(PRICE, np.array([]))
    price = float(np.nanmedian(np.abs(prices))) if len(prices) else USUAL_EUR_PER_MWH
    if price < 1.0:
        text = f"the median price is {price:g} EUR/MWh; is the file in EUR/kWh?"
        findings.append(warning(name, PRICE, text, "EUR/MWh, usually 10 to 300"))
    elif price > 5000.0:
        text = f"the median price is {price:g} EUR/MWh; is the file in EUR/GWh, or in another currency?"
        findings.append(warning(name, PRICE, text, "EUR/MWh, usually 10 to 300"))
    carbon = frame.get(CARBON, np.array([]))
    carbon = carbon[~np.isnan(carbon)]
    if len(carbon) and 0.0 < float(np.median(carbon)) < 1.0:
        text = f"the median is {np.median(carbon):g} g/kWh; is the file in kg/kWh or t/MWh?"
        findings.append(warning(name, CARBON, text, "g/kWh, usually 20 to 900"))
    outdoor = frame.get(OUTDOOR, np.array([]))
    outdoor = outdoor[~np.isnan(outdoor)]
    if len(outdoor) and float(np.median(outdoor)) > 45.0:
        unit = "K" if float(np.median(outdoor)) > 200.0 else "degrees Fahrenheit"
        findings.append(
            warning(name, OUTDOOR, f"the median is {np.median(outdoor):g}; is the file in {unit}?", "degrees Celsius")
        )
    return findings


def _world(frame: Frame, grid: TimeGrid, demand: str, source: str) -> WorldSeries:
    """The frame in the domain's units; a missing column is unknown throughout."""
    unknown = np.full(grid.slots, np.nan)

    def series(name: str, unit: str) -> Series:
        return Series(grid=grid, values=frame.get(name, unknown), unit=unit, source=source)

    price = series(PRICE, "EUR/kWh")
    return WorldSeries(
        price_eur_per_kwh=replace(price, values=price.values / KWH_PER_MWH),
        carbon_g_per_kwh=series(CARBON, "g/kWh"),
        outdoor_c=series(OUTDOOR, "degC"),
        heat_demand_kw=series(demand, "kW"),
    )


def _stamp(at: datetime) -> str:
    """Minute-precise UTC stamp."""
    return at.strftime("%Y-%m-%dT%H:%MZ")


def _plural(word: str, count: int) -> str:
    """The word with an s unless there is one."""
    return word if count == 1 else word + "s"
