"""series.csv: what is read, what is filled, what is refused, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from config_files import SERIES_HEADER, START, series_lines, stamp, write_csv

from scheduler.config.series import read_series
from scheduler.domain.errors import Misconfigured
from scheduler.domain.world import WorldSeries

ZONE = ZoneInfo("Europe/Copenhagen")


def read(
    tmp_path: Path, lines: list[str], header: str = SERIES_HEADER, heat_peak_kw: float | None = None
) -> tuple[WorldSeries, list[str]]:
    series, findings = read_series(write_csv(tmp_path / "series.csv", header, lines), heat_peak_kw=heat_peak_kw)
    return series, [str(finding) for finding in findings]


def refused(tmp_path: Path, lines: list[str], header: str = SERIES_HEADER) -> str:
    with pytest.raises(Misconfigured) as caught:
        read(tmp_path, lines, header)
    return str(caught.value)


def day_lines(local_day: datetime, minutes: int) -> list[str]:
    """Rows from one local midnight to the next."""
    start, end = (day.replace(tzinfo=ZONE).astimezone(UTC) for day in (local_day, local_day + timedelta(days=1)))
    return series_lines(int((end - start).total_seconds()) // (60 * minutes), minutes, start)


def test_hourly_values_in_our_units(tmp_path: Path) -> None:
    series, told = read(tmp_path, ["2026-01-05T00:00Z,50,100,-3,40", "2026-01-05T02:00+01:00,-20.5,0,1.5,0"])
    assert told == []
    assert series.price_eur_per_kwh.values == pytest.approx([0.05, -0.0205])
    assert series.carbon_g_per_kwh.values == pytest.approx([100.0, 0.0])
    assert series.outdoor_c.values == pytest.approx([-3.0, 1.5])
    assert series.heat_demand_kw.values == pytest.approx([40.0, 0.0])
    grid = series.price_eur_per_kwh.grid
    assert (grid.start_utc, grid.slot_s, grid.slots) == (START, 3600, 2)


@pytest.mark.parametrize(
    ("local_day", "quarters"),
    [(datetime(2026, 3, 29), 92), (datetime(2026, 10, 25), 100), (datetime(2026, 1, 5), 96)],  # noqa: DTZ001 - local days
)
@pytest.mark.parametrize("minutes", [15, 60])
def test_days_of_clock_changes_have_no_gap(tmp_path: Path, local_day: datetime, quarters: int, minutes: int) -> None:
    series, told = read(tmp_path, day_lines(local_day, minutes))
    assert told == []
    grid = series.price_eur_per_kwh.grid
    assert (grid.slot_s, grid.slots) == (60 * minutes, quarters * 15 // minutes)
    assert not np.isnan(series.price_eur_per_kwh.values).any()


def test_a_local_clock_change_written_without_offset_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, ["2026-10-25T02:00,1,1,1,1", "2026-10-25T02:00,2,1,1,1"])
    assert message.startswith("series.csv:2: start_utc: '2026-10-25T02:00' has no UTC offset (expected ISO 8601")
    assert "1 more:\n  series.csv:3: start_utc" in message


def test_local_times_with_their_offsets_are_one_line_of_time(tmp_path: Path) -> None:
    # Two local hours called 02:00, an hour apart.
    lines = ["2026-10-25T02:00+02:00,10,1,1,1", "2026-10-25T02:00+01:00,20,1,1,1", "2026-10-25T03:00+01:00,30,1,1,1"]
    series, told = read(tmp_path, lines)
    assert told == []
    assert series.price_eur_per_kwh.grid.start_utc == datetime(2026, 10, 25, tzinfo=UTC)
    assert series.price_eur_per_kwh.values == pytest.approx([0.01, 0.02, 0.03])


def test_short_gaps_are_filled_long_ones_stay_unknown_and_both_are_said(tmp_path: Path) -> None:
    lines = [f"{stamp(START + timedelta(hours=h))},{10 * h},100,0,50" for h in range(24) if h not in (3, 4, 10, 11, 12, 13)]
    series, told = read(tmp_path, lines)
    values = series.price_eur_per_kwh.values * 1e3
    assert values[2:6] == pytest.approx([20.0, 30.0, 40.0, 50.0])
    assert np.isnan(values[10:14]).all()
    assert not np.isnan(values[14:]).any()
    assert any(
        line.startswith("series.csv: price_eur_per_mwh: 2 h missing in 1 gap, filled in a straight line") for line in told
    )
    assert any("4 h missing in 1 gap, left unknown (longer than 3 h" in line for line in told)
    assert any("2026-01-05T10:00Z to 2026-01-05T14:00Z" in line for line in told)


def test_an_empty_cell_is_a_gap_of_its_column_alone(tmp_path: Path) -> None:
    series, told = read(tmp_path, [*series_lines(3), f"{stamp(START + timedelta(hours=3))},,1,1,1", *series_lines(9)[4:]])
    assert np.isfinite(series.price_eur_per_kwh.values).all()
    assert [line.split(":")[1].strip() for line in told] == ["price_eur_per_mwh"]


def test_the_outdoor_column_may_be_missing(tmp_path: Path) -> None:
    lines = [",".join(line.split(",")[:3] + line.split(",")[4:]) for line in series_lines(48)]
    series, _ = read(tmp_path, lines, "start_utc,price_eur_per_mwh,carbon_g_per_kwh,heat_demand_kw")
    assert np.isnan(series.outdoor_c.values).all()


def test_columns_by_another_name_and_only_those_that_are_needed(tmp_path: Path) -> None:
    lines = [",".join([line.split(",")[0], line.split(",")[-1]]) for line in series_lines(48)]
    path = write_csv(tmp_path / "series.csv", "start_utc,load", lines)
    series, _ = read_series(path, renamed={"heat_demand_kw": "load"}, needed=())
    assert series.heat_demand_kw.values.tolist() == [float(line.split(",")[1]) for line in lines]
    assert np.isnan(series.price_eur_per_kwh.values).all()
    assert np.isnan(series.carbon_g_per_kwh.values).all()
    with pytest.raises(Misconfigured, match=r"series\.csv:1: laod: the column is missing, did you mean 'load'\?"):
        read_series(path, renamed={"heat_demand_kw": "laod"}, needed=())
    both = write_csv(tmp_path / "both.csv", "start_utc,load,heat_demand_kw", [f"{line},1" for line in lines])
    with pytest.raises(Misconfigured, match="columns heat_demand_kw and load mean the same"):
        read_series(both, renamed={"heat_demand_kw": "load"}, needed=())


def test_equal_repeats_are_merged_and_said_contradicting_ones_refused(tmp_path: Path) -> None:
    lines = series_lines(6)
    series, told = read(tmp_path, [*lines[:3], lines[2], *lines[3:]])
    assert series.price_eur_per_kwh.grid.slots == 6
    assert told == ["series.csv:5: start_utc: 1 repeated row merged, all equal to the row before"]
    other = lines[2].split(",")
    message = refused(tmp_path, [*lines[:3], ",".join([other[0], "999", *other[2:]]), *lines[3:]])
    assert message.startswith("series.csv:5: price_eur_per_mwh: the time is there twice with")


def test_times_that_go_backwards(tmp_path: Path) -> None:
    lines = series_lines(6)
    message = refused(tmp_path, [*lines[:3], lines[4], lines[3], lines[5]])
    assert message == "series.csv:6: start_utc: the time goes backwards (expected times in rising order)"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1,5", "6 cells under 5 columns; a decimal comma? (expected 5 cells)"),
        ("abc", "price_eur_per_mwh: 'abc' is not a number (expected a number with a decimal point)"),
        ("inf", "price_eur_per_mwh: 'inf' is not a number"),
        ("1e999", "price_eur_per_mwh: '1e999' is not finite"),
    ],
)
def test_cells_that_are_no_numbers(tmp_path: Path, cell: str, message: str) -> None:
    lines = series_lines(4)
    at, _, rest = lines[1].partition(",")
    lines[1] = f"{at},{cell},{rest.partition(',')[2]}"
    assert refused(tmp_path, lines).startswith(f"series.csv:3: {message}")


@pytest.mark.parametrize(("column", "name"), [(2, "carbon_g_per_kwh"), (4, "heat_demand_kw")])
def test_what_cannot_be_negative(tmp_path: Path, column: int, name: str) -> None:
    lines = series_lines(4)
    cells = lines[2].split(",")
    cells[column] = "-1"
    lines[2] = ",".join(cells)
    assert refused(tmp_path, lines) == f"series.csv:4: {name}: -1 is negative (expected zero or more)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "series.csv: the file is empty (expected a header line and rows)"),
        ("\n\n", "series.csv: the file is empty"),
        (SERIES_HEADER, "series.csv: start_utc: 0 rows do not show a step"),
        (SERIES_HEADER + "\n" + series_lines(1)[0], "series.csv: start_utc: 1 rows do not show a step"),
        (SERIES_HEADER.replace(",", ";") + "\n1;2;3;4;5", "series.csv:1: columns are separated by semicolons"),
        (SERIES_HEADER.replace("price_eur_per_mwh", "price_eur_per_kwh"), "did you mean 'price_eur_per_kwh'?"),
        (SERIES_HEADER + ",price_eur_per_mwh\n", "series.csv:1: price_eur_per_mwh: the column is named twice"),
        ('start_utc,"a\n', "series.csv:1: not readable as CSV"),
    ],
)
def test_files_that_are_no_series(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "series.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured) as caught:
        read_series(path)
    assert message in str(caught.value)


def test_missing_files_folders_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"start_utc\xff")
    for name, message in (("none.csv", "no such file"), ("", "this is a folder"), ("bytes.csv", "byte 9 is not UTF-8")):
        with pytest.raises(Misconfigured, match=message):
            read_series(tmp_path / name)


@pytest.mark.parametrize(("minutes", "message"), [(30, "rows are 30 minutes apart"), (7, "the time is not on a quarter hour")])
def test_other_steps(tmp_path: Path, minutes: int, message: str) -> None:
    assert message in refused(tmp_path, series_lines(50, minutes))


def test_a_mistyped_year_is_no_memory_bomb(tmp_path: Path) -> None:
    message = refused(tmp_path, [*series_lines(3), "2190-01-05T00:00Z,1,1,1,1", "2190-01-05T00:15Z,1,1,1,1"])
    assert "the times span too many slots; a mistyped year?" in message


@pytest.mark.parametrize(
    ("column", "factor", "hint"),
    [
        (1, 0.001, "is the file in EUR/kWh?"),
        (1, 1000.0, "is the file in EUR/GWh"),
        (2, 0.001, "is the file in kg/kWh or t/MWh?"),
    ],
)
def test_values_of_another_unit(tmp_path: Path, column: int, factor: float, hint: str) -> None:
    lines = [line.split(",") for line in series_lines(48)]
    scaled = [",".join([*cells[:column], f"{float(cells[column]) * factor}", *cells[column + 1 :]]) for cells in lines]
    _, told = read(tmp_path, scaled)
    assert any(hint in line for line in told), told


def test_kelvin_outdoors(tmp_path: Path) -> None:
    lines = [f"{stamp(START + timedelta(hours=h))},50,100,280,40" for h in range(48)]
    _, told = read(tmp_path, lines)
    assert told == ["series.csv: outdoor_c: the median is 280; is the file in K? (expected degrees Celsius)"]


def test_demand_in_a_unit_of_its_own_is_not_guessed(tmp_path: Path) -> None:
    header = "start_utc,price_eur_per_mwh,carbon_g_per_kwh,outdoor_c,heat_demand_megawatt"
    lines = [f"{stamp(START + timedelta(hours=h))},50,100,0,0.5" for h in range(4)]
    assert "heat_demand_kw" in refused(tmp_path, lines, header)


def test_demand_without_unit_needs_its_scale(tmp_path: Path) -> None:
    header = SERIES_HEADER.replace("heat_demand_kw", "heat_demand_norm")
    lines = [f"{stamp(START + timedelta(hours=h))},50,100,0,0.5" for h in range(4)]
    assert "the heat demand is a share of a peak that is not given" in refused(tmp_path, lines, header)
    series, _ = read(tmp_path, lines, header, heat_peak_kw=80.0)
    assert series.heat_demand_kw.values == pytest.approx([40.0] * 4)


def test_an_hourly_stretch_in_a_quarter_hourly_file_holds_for_its_hours(tmp_path: Path) -> None:
    quarters = series_lines(8, 15)
    hours = series_lines(48, 60, START + timedelta(hours=2), seed=1)
    series, _ = read(tmp_path, [*quarters, *hours])
    values = series.price_eur_per_kwh.values
    assert series.price_eur_per_kwh.grid.slot_s == 900
    assert len(values) == 8 + 4 * 48
    assert (values[8:12] == values[8]).all()
