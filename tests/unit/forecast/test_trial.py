"""Forecasts judged by hand: errors, references, coverage, and the day ahead as a path through time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.core.forecast.judged import curves, day_ahead, months, telling_weeks
from scheduler.core.forecast.trial import Trial, lead_ranges, scores
from scheduler.domain.time import FloatArray

NAN = float("nan")
FIRST_H = 438288  # 2020-01-01T00:00Z
LEADS, EVERY_H = 48, 7


def trial(count: int = 120, band: float | None = 10.0) -> Trial:
    """Truth 100 + hour of the trial; the forecast is 2 too high, persistence 4 too low, last week 8, the week mean 5 off."""
    origin = FIRST_H + EVERY_H * np.arange(count)
    actual = 100.0 + (origin[:, None] - FIRST_H + np.arange(LEADS)).astype(np.float64)
    return Trial(
        name="demand heat",
        unit="kW",
        origin_h=origin,
        predicted=actual + 2.0,
        actual=actual,
        persistence=actual - 4.0,
        last_week=actual + 8.0,
        week_mean=actual + 5.0,
        low=None if band is None else actual + 2.0 - band,
        high=None if band is None else actual + 2.0 + band,
    )


def test_errors_and_skills_by_hand() -> None:
    found = {score.label: score for score in scores(trial())}
    assert list(found) == ["1-6 h", "7-24 h", "25-48 h", "1-24 h", "day ahead", "all"]
    one = found["day ahead"]
    # 24 leads of 120 origins; MAE 2 against 4, 8 and 5: skill 1 - 2/4, 1 - 2/8, 1 - 2/5.
    assert (one.hours, one.mae, one.bias) == (24 * 120, 2.0, 2.0)
    assert one.against_persistence == pytest.approx(0.5)
    assert one.against_last_week == pytest.approx(0.75)
    assert one.against_hour_of_week == pytest.approx(0.6)
    assert (one.above_p10, one.below_p90, one.width) == (1.0, 1.0, 20.0)
    assert one.mape_fraction == pytest.approx(float((2.0 / trial().actual[:, 12:36]).mean()))


def test_what_is_not_known_counts_for_nobody() -> None:
    whole = trial()
    holes = whole.actual.copy()
    holes[:, :6] = NAN
    found = {score.label: score for score in scores(replace(whole, actual=holes))}
    assert "1-6 h" not in found
    assert found["1-24 h"].hours == 18 * 120
    assert scores(replace(whole, last_week=np.full_like(holes, NAN))) == []


def test_a_relative_error_is_taken_of_no_truth_near_zero_and_of_no_price() -> None:
    whole = trial()
    zero = whole.actual.copy()
    zero[:, 0] = 0.0
    assert scores(replace(whole, actual=zero))[0].mape_fraction == pytest.approx(
        float((2.0 / whole.actual[:, 1:6]).mean()), rel=1e-12
    )
    assert scores(replace(whole, relative=False))[0].mape_fraction is None


def test_coverage_counts_hours_outside_the_band() -> None:
    whole = trial()
    assert whole.low is not None
    low = whole.low.copy()
    low[::10] = whole.actual[::10] + 1.0
    score = scores(replace(whole, low=low))[-1]
    # A tenth of the origins says too high a p10.
    assert score.above_p10 == pytest.approx(0.9)
    assert score.below_p90 == 1.0


@pytest.mark.parametrize(
    ("leads", "labels"),
    [(6, ["1-6 h", "all"]), (36, ["1-6 h", "7-24 h", "25-36 h", "1-24 h", "day ahead", "all"])],
)
def test_ranges_of_leads_end_where_the_forecast_ends(leads: int, labels: list[str]) -> None:
    assert [label for label, _ in lead_ranges(leads)] == labels


def test_curves_are_silent_where_too_few_hours_are_known() -> None:
    whole = trial()
    actual = whole.actual.copy()
    actual[29:, 40] = NAN
    found = curves(replace(whole, actual=actual))
    assert np.isnan(found.mae[40])
    assert np.delete(found.mae, 40).tolist() == [2.0] * 47
    assert found.above_p10 is not None
    assert np.delete(found.above_p10, 40).tolist() == [1.0] * 47


def test_the_day_ahead_tells_every_hour_once_from_at_least_twelve_hours_before() -> None:
    whole = trial(count=20)
    # Marks each forecast with its lead, so that the path shows who spoke.
    lead: FloatArray = np.broadcast_to(np.arange(1.0, LEADS + 1.0), whole.actual.shape).copy()
    told = day_ahead(replace(whole, predicted=lead))
    assert np.diff(told.hour).tolist() == [1] * (len(told.hour) - 1)
    assert told.hour[0] == FIRST_H + 12
    # Origins are 7 h apart: leads 13 to 19 take turns, until the last origin speaks alone.
    assert told.predicted[:14].tolist() == [13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0] * 2
    assert told.predicted[-1] == LEADS
    assert told.actual.tolist() == (100.0 + (told.hour - FIRST_H)).tolist()


def test_origins_far_apart_leave_hours_untold() -> None:
    whole = trial(count=4)
    sparse = replace(whole, origin_h=FIRST_H + 100 * np.arange(4))
    told = day_ahead(sparse)
    # Of every hundred hours the leads 13 to 48 are told: 36 of each of four origins.
    assert len(told.hour) == 4 * 36


def test_weeks_are_ranked_by_their_error_and_months_add_up() -> None:
    whole = trial(count=199)
    error = np.where(whole.origin_h[:, None] < FIRST_H + 500, 1.0, 6.0)
    told = day_ahead(replace(whole, predicted=whole.actual + error))
    easy, _, hard = telling_weeks(told)
    assert (easy[0], hard[0]) == ("easiest week", "hardest week")
    assert told.error[easy[1]].mean() == 1.0
    assert told.error[hard[1]].mean() == 6.0
    found = months(told)
    assert [month.month for month in found] == ["2020-01", "2020-02"]
    assert sum(month.hours for month in found) == len(told.hour)
    assert found[0].last_week_mae == 8.0
