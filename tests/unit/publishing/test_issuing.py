"""Whether and what is sent: a new sequence only where a plant would do something else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from link_offers import NOON, offer, promise

from scheduler.core.publishing.issuing import Issue, cancelled, issued
from scheduler.core.publishing.message import problems
from scheduler.domain.plan import Offer

FIRST = Issue(site_id="site", meter_point_id="MP-1", last=None)


def after(first: Offer, second: Offer, **changed: object) -> dict[str, object] | None:
    """What follows the message of a first offer."""
    return issued(second, replace(FIRST, last=issued(first, FIRST), **changed))  # type: ignore[arg-type] # fields of it


def test_the_first_message_is_a_plan_of_sequence_one() -> None:
    found = issued(offer(), FIRST)
    assert found is not None
    assert problems(found) == ()
    assert (found["sequence"], found["supersedes"], found["kind"], found["mode"]) == (1, None, "plan", "dispatch")


@pytest.mark.parametrize(
    "second",
    [
        offer(),
        offer(at_utc=NOON + timedelta(minutes=15)),
        offer(100.2),
        offer(shortfall_probability=np.full(96, 0.055)),
        offer(plan_id="another plan"),
    ],
)
def test_what_a_plant_would_not_notice_is_not_sent(second: Offer) -> None:
    assert after(offer(), second) is None


@pytest.mark.parametrize(
    "second",
    [
        offer(101.0),
        offer(firm_kw=79.9),
        offer(boiler_request_kw=0.1),
        offer(advisory=True),
        offer(supply_c=np.full(96, 71.0)),
        offer(slots=124),
        offer(at_utc=NOON + timedelta(minutes=45)),
    ],
)
def test_what_a_plant_would_notice_is_an_update(second: Offer) -> None:
    found = after(offer(), second)
    assert found is not None
    assert (found["sequence"], found["supersedes"], found["kind"]) == (2, 1, "update")


def test_a_promise_makes_a_firm_message_even_of_the_same_numbers() -> None:
    found = after(offer(), offer(), promises=[promise(1)])
    assert found is not None
    assert (found["kind"], found["reason"]) == ("firm", "firm since the gate of 2026-01-15T12:00:00Z")


def test_a_withdrawn_offer_cancels_once_and_a_plan_comes_after_it() -> None:
    gone = offer(0.0, withdrawn=True, boiler_request_kw=90.0)
    cancel = after(offer(), gone)
    assert cancel is not None
    assert (cancel["kind"], cancel["boilerRequestKw"]) == ("cancel", 90.0)
    assert issued(gone, replace(FIRST, last=cancel)) is None
    again = issued(offer(), replace(FIRST, last=cancel))
    assert again is not None
    assert (again["kind"], again["sequence"]) == ("plan", 3)


def test_without_an_offer_a_cancel_asks_the_boiler_for_what_the_next_hour_would_have_brought() -> None:
    """150 kW from 12:45 on, 100 kW before: within the hour after 12:20 the most is 150 kW."""
    heat_kw = np.full(96, 100.0)
    heat_kw[3:] = 150.0
    band = {"p50_kw": heat_kw, "p10_kw": 0.9 * heat_kw, "p90_kw": 1.1 * heat_kw}
    last = issued(offer(**band), FIRST)  # type: ignore[arg-type] # arrays of an offer
    assert last is not None
    found = cancelled(last, NOON + timedelta(minutes=20), "gone")
    assert found is not None
    assert problems(found) == ()
    assert (found["sequence"], found["kind"], found["boilerRequestKw"]) == (2, "cancel", 150.0)
    assert (found["validFrom"], found["validUntil"]) == ("2026-01-15T12:15:00Z", last["validUntil"])
    assert cancelled(found, NOON + timedelta(minutes=21), "gone") is None
    assert cancelled(last, NOON + timedelta(hours=1), "gone") is None
