"""A feed: when it asks, what it believes, what it remembers, and what it says when something is wrong."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from feed_world import NOW, Line, Scripted, World, later, run, told

from scheduler.adapters.sources.blueprint import Ask, BadAnswer, NothingYet, Schedule
from scheduler.adapters.sources.chain import Chain
from scheduler.adapters.sources.feed import MOST_FOLLOWED, Feed
from scheduler.adapters.sources.fixed import FixedSource, constant
from scheduler.adapters.sources.web.trouble import Unanswered
from scheduler.core.signals.conversion import ExchangeRates
from scheduler.domain.observed import CARBON, OUTDOOR, PRICE, Origin, SourceReading
from scheduler.domain.signals import Basis, Grade, Told

DAY = [50.0 + hour for hour in range(24)]


def price(feed: Feed, now_utc: datetime = NOW) -> SourceReading:
    return next(one for one in feed.readings(now_utc) if one.quantity == PRICE)


def at(reading: SourceReading, hours: float) -> float:
    grid = reading.series.grid
    slot = grid.slot_of(later(hours))
    return float(reading.series.values[slot]) if 0 <= slot < grid.slots else float("nan")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="heat_dispatch")
    return caplog


def test_what_is_told_is_known_in_our_unit_with_its_age_and_origin() -> None:
    feed = World(Scripted([told(DAY, first_h=-2, issued_utc=later(-20))])).feed()
    assert feed.readings(NOW) == ()
    run(feed.poll(NOW))
    one = price(feed)
    # 50 EUR/MWh at 08:00 is 0.05 EUR/kWh.
    assert one.series.values.tolist() == [value / 1000.0 for value in DAY]
    assert (one.series.unit, one.series.grid.start_utc, one.series.grid.slot_s) == ("EUR/kWh", later(-2), 3600)
    assert (one.fetched_utc, one.issued_utc, one.source) == (NOW, later(-20), "feed")
    assert one.origins.parts == (Origin(source="feed", grade=Grade.PUBLISHED),)
    assert feed.trouble() == ""


def test_polls_before_the_time_ask_nobody() -> None:
    world = World(Scripted([told(DAY)]))
    feed = world.feed()
    run(feed.poll(NOW))
    run(feed.poll(later(0.9)))
    assert len(world.line.asked) == 1
    assert feed.due_s(later(0.5)) == 1800.0
    run(feed.poll(later(1.0)))
    assert len(world.line.asked) == 2
    # A clock that was put back makes nobody wait for hours.
    assert feed.due_s(later(-5.0)) == 0.0


FAILURES = {
    "unanswered": Unanswered("feed.example: 503"),
    "nothing": NothingYet("no prices for 2026-01-15"),
    "malformed": BadAnswer("data: a list was expected, found null"),
    "fault": KeyError("data"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_one_line_and_one_count_and_so_is_its_end(kind: str, log: pytest.LogCaptureFixture) -> None:
    world = World(Scripted([told(DAY)]))
    feed = world.feed()
    run(feed.poll(NOW))
    before = price(feed)
    if kind == "unanswered":
        world.line.wrong["feed.example"] = FAILURES[kind]
    else:
        world.provider.said = FAILURES[kind]
    for hour in (1, 3, 6):
        run(feed.poll(later(hour)))
    assert price(feed) is before
    assert price(feed).fetched_utc == NOW
    assert str(FAILURES[kind]).strip("'") in feed.trouble()
    outcome = "malformed" if kind == "fault" else kind
    assert world.count("source_polls_total", source="feed", outcome=outcome) == 3.0
    assert lines(log) == ["source feed failed"]
    world.line.wrong.clear()
    world.provider.said = [told(DAY)]
    run(feed.poll(later(9)))
    assert lines(log) == ["source feed failed", "source feed works again"]
    assert feed.trouble() == ""
    assert price(feed).fetched_utc == later(9)


def test_a_feed_that_hangs_is_given_up() -> None:
    world = World(Scripted([told(DAY)]), line=Line(hangs=True), limit_s=0.01)
    feed = world.feed()
    run(feed.poll(NOW))
    assert feed.trouble() == "no end within 0.01 s"
    world.line.hangs = False
    run(feed.poll(later(1)))
    assert feed.trouble() == ""


def test_being_left_alone_is_honoured_and_a_refused_token_is_not_tried_soon() -> None:
    world = World(Scripted([told(DAY)], Schedule(every_s=60.0)))
    feed = world.feed()
    world.line.wrong["feed"] = Unanswered("429", retry_after_s=7200.0)
    run(feed.poll(NOW))
    # At least two hours, and up to a tenth more by chance, here half of that.
    assert feed.due_s(NOW) == pytest.approx(7200.0 * 1.05)
    other = World(Scripted([told(DAY)], Schedule(every_s=60.0)), line=Line(wrong={"feed": Unanswered("401", final=True)}))
    feed = other.feed()
    run(feed.poll(NOW))
    # A quarter of an hour, of which a half by chance, here half of that.
    assert feed.due_s(NOW) == pytest.approx(900.0 * 0.75)


def test_what_comes_later_revises_and_what_came_before_stays() -> None:
    world = World(Scripted([told(DAY, first_h=-2)]))
    feed = world.feed()
    run(feed.poll(NOW))
    world.provider.said = [told([500.0, 501.0], first_h=0), told([70.0], first_h=30)]
    run(feed.poll(later(1)))
    one = price(feed)
    assert [at(one, hour) for hour in (-2, -1, 0, 1, 2)] == [0.05, 0.051, 0.5, 0.501, 0.054]
    assert at(one, 30) == 0.07
    # Between the 22 hours of the first and the thirtieth nobody has said anything.
    assert np.isnan(at(one, 25))
    # An older issue than what is known changes nothing where it is known.
    world.provider.said = [told([1.0, 1.0, 1.0], first_h=29, issued_utc=later(-5))]
    run(feed.poll(later(2)))
    assert [at(price(feed), hour) for hour in (29, 30, 31)] == [0.001, 0.07, 0.001]


def test_after_nine_days_values_go_and_a_forecast_that_nobody_repeats_goes_sooner() -> None:
    world = World(Scripted([told([5.0] * 48, quantity=OUTDOOR, unit="degC", grade=Grade.FORECAST)]))
    feed = world.feed()
    run(feed.poll(NOW))
    world.provider.said = [told([6.0], first_h=30, quantity=OUTDOOR, unit="degC", grade=Grade.FORECAST)]
    run(feed.poll(later(30)))
    [one] = feed.readings(later(30))
    # The past of the old forecast stays as the best that is known of it; its future is over a day old.
    assert [at(one, hour) for hour in (0, 29, 30)] == [5.0, 5.0, 6.0]
    assert np.isnan(at(one, 31))
    world.provider.said = [told([7.0], first_h=24 * 10, quantity=OUTDOOR, unit="degC")]
    run(feed.poll(later(24 * 10)))
    [one] = feed.readings(later(24 * 10))
    assert one.series.grid.start_utc >= later(24)


def test_values_that_cannot_be_are_not_taken_and_counted(log: pytest.LogCaptureFixture) -> None:
    world = World(
        Scripted([told([50.0, 99_000.0, 52.0]), told([1.0], quantity="prize"), told([100.0], quantity=CARBON, unit="mg")])
    )
    feed = world.feed()
    run(feed.poll(NOW))
    assert np.array_equal(price(feed).series.values, [0.05, np.nan, 0.052], equal_nan=True)
    for reason in ("implausible", "quantity", "unit"):
        assert world.count("source_rejected_values_total", source="feed", reason=reason) == 1.0
    assert "1 values are implausible, such as 99 EUR/kWh" in feed.trouble()
    assert world.count("source_polls_total", source="feed", outcome="partial") == 1.0
    assert lines(log) == ["source feed: telling all it should failed"]
    world.provider.said = [told(DAY)]
    run(feed.poll(later(1)))
    assert lines(log)[1:] == ["source feed: telling all it should works again"]


def test_rates_that_cannot_be_read_are_a_failure_and_no_more() -> None:
    world = World(Scripted([told(DAY)]))

    def lost() -> ExchangeRates:
        raise OSError("rates.xml: no such file")

    feed = Feed("feed", world.provider, fetch=world.line.fetch, rates=lost)
    run(feed.poll(NOW))
    assert feed.trouble() == "OSError: rates.xml: no such file"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((), "no value that could be taken"),
        ((told([float("nan")] * 3),), "no value that could be taken"),
        ((told([float("inf")] * 3),), "3 values are infinite"),
        ((told([1.0], unit="SEK/MWh"),), "no exchange rate for SEK"),
        ((told([1.0], unit="EUR"),), "'EUR' is no unit that could become EUR/kWh"),
        ((told([1.0], first_h=24 * 30),), "lie beyond 10 days ahead"),
    ],
    ids=["nothing", "null", "infinite", "currency", "unit", "far"],
)
def test_an_answer_without_any_usable_value_is_a_failure(said: Sequence[Told], why: str) -> None:
    world = World(Scripted(said))
    feed = world.feed()
    run(feed.poll(NOW))
    assert feed.readings(NOW) == ()
    assert why in feed.trouble()
    assert world.count("source_polls_total", source="feed", outcome="unusable") == 1.0


def test_gaps_that_matter_soon_are_named_and_fill_nothing() -> None:
    hours = (0, 1, 3, 60, 66)
    world = World(Scripted([told([50.0], first_h=hour) for hour in hours]))
    feed = world.feed()
    run(feed.poll(NOW))
    assert feed.trouble() == "price: gap 2026-01-14T12:00Z to 2026-01-14T13:00Z"
    assert {hour for hour in range(70) if np.isfinite(at(price(feed), hour))} == set(hours)


def test_other_currencies_need_rates_that_are_young() -> None:
    world = World(Scripted([told([746.0], unit="DKK/MWh"), told([23.0], first_h=1, unit="GBp/kWh")]))
    rates = ExchangeRates(per_eur={"DKK": 7.46, "GBP": 0.92}, dated_utc=later(-24))
    feed = Feed("feed", world.provider, fetch=world.line.fetch, rates=lambda: rates)
    run(feed.poll(NOW))
    # 746 DKK/MWh at 7.46 DKK are 100 EUR/MWh; 23 p at 0.92 GBP are 25 ct.
    assert price(feed).series.values.tolist() == pytest.approx([0.1, 0.25])
    old = ExchangeRates(per_eur=rates.per_eur, dated_utc=later(-24 * 11))
    feed = Feed("feed", world.provider, fetch=world.line.fetch, rates=old)
    run(feed.poll(NOW))
    assert feed.readings(NOW) == ()
    assert "the exchange rates are of 2026-01-03" in feed.trouble()


def test_average_and_marginal_carbon_never_meet() -> None:
    both = [
        told([100.0, 101.0], quantity=CARBON, unit="g/kWh", basis=Basis.AVERAGE),
        told([400.0], first_h=2, quantity=CARBON, unit="g/kWh", basis=Basis.MARGINAL),
    ]
    world = World(Scripted(both), basis=Basis.MARGINAL)
    feed = world.feed()
    run(feed.poll(NOW))
    [one] = feed.readings(NOW)
    assert (one.series.values.tolist(), one.basis) == ([400.0], Basis.MARGINAL)
    assert "average values do not go with marginal ones" in feed.trouble()
    # Without a word from its owner the first kind that it tells is its kind.
    feed = World(Scripted(both)).feed()
    run(feed.poll(NOW))
    assert [one.series.values.tolist() for one in feed.readings(NOW)] == [[100.0, 101.0]]


def test_requests_follow_answers_but_not_for_ever() -> None:
    world = World(Scripted([told(DAY)], more=lambda count: (Ask(url=f"https://feed.example/page/{count}"),)))
    feed = world.feed()
    run(feed.poll(NOW))
    assert len(world.line.asked) == 1 + MOST_FOLLOWED
    assert "more than 8 further requests" in feed.trouble()
    # One that leads to itself is asked once.
    world = World(Scripted([told(DAY)], more=lambda _: (Ask(url="https://feed.example/again"),)))
    run(world.feed().poll(NOW))
    assert world.line.asked == ["https://feed.example/now", "https://feed.example/again"]


def test_a_request_that_is_not_needed_may_fail() -> None:
    asks = (Ask(url="https://feed.example/now"), Ask(url="https://feed.example/extra", optional=True))
    world = World(Scripted([told(DAY)], first=asks), line=Line(wrong={"extra": Unanswered("extra: 500")}))
    feed = world.feed()
    run(feed.poll(NOW))
    assert at(price(feed), 0) == 0.05
    assert feed.trouble() == "extra: 500"
    world.line.wrong = {"now": Unanswered("now: 500")}
    run(feed.poll(later(1)))
    assert feed.trouble() == "now: 500"


def test_a_chain_of_feed_and_rule_falls_back_when_the_feed_is_too_old() -> None:
    world = World(Scripted([told([50.0] * 60, first_h=-2)]))
    feed = world.feed()
    chain = Chain("price", (feed, FixedSource("fixed", PRICE, constant(0.2))))
    run(chain.poll(NOW))
    assert chain.choices(NOW)[PRICE].depth == 0
    world.provider.said = BadAnswer("<html>")
    run(chain.poll(later(20)))
    assert chain.choices(later(20))[PRICE].depth == 0
    choice = chain.choices(later(25))[PRICE]
    assert choice.depth == 1
    assert choice.reading is not None
    assert choice.reading.source == "fixed"
    assert any("stale (last heard 25.0 h ago)" in why for why in choice.refused)
    assert chain.trouble() == "feed: <html>"


def test_what_was_known_survives_a_restart_with_its_age(tmp_path: Path) -> None:
    world = World(Scripted([told(DAY, first_h=-2, issued_utc=later(-3))]), folder=tmp_path)
    feed = world.feed()
    run(feed.poll(NOW))
    world.line.wrong["feed"] = Unanswered("no network")
    again = world.feed()
    one, kept = price(feed), price(again)
    assert np.array_equal(one.series.values, kept.series.values)
    assert (kept.fetched_utc, kept.issued_utc, kept.series.grid) == (NOW, later(-3), one.series.grid)
    # It is asked when it would have been asked without the restart.
    assert again.due_s(later(0.5)) == 1800.0
    run(again.poll(later(2)))
    assert price(again).fetched_utc == NOW
    # Another request is another source, whatever its name.
    world.provider.first = (Ask(url="https://feed.example/elsewhere"),)
    assert world.feed().readings(NOW) == ()


def test_after_an_answer_that_was_no_good_another_one_is_wanted_not_the_kept_one() -> None:
    world = World(Scripted([told(DAY)]))
    feed = world.feed()
    run(feed.poll(NOW))
    world.provider.said = BadAnswer("cut off")
    run(feed.poll(later(1)))
    world.provider.said = [told(DAY)]
    run(feed.poll(later(3)))
    run(feed.poll(later(5)))
    assert world.line.anew == [False, False, True, False]
