"""One fault that many meet is one line; a reminder while it lasts, and one line when it is over."""

from __future__ import annotations

import logging

import pytest
from runtime_world import FakeClock

from scheduler.adapters.kubernetes.runtime.errors import Forbidden, Unreachable
from scheduler.adapters.kubernetes.runtime.outage import REMIND_S, Outage
from scheduler.adapters.logs import Teller, TextFormatter

AWAY = Unreachable("GET /api/v1/pods: no answer")


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    logging.getLogger("heat_dispatch").propagate = True
    caplog.set_level(logging.INFO, logger="heat_dispatch")
    return caplog


def lines(told: pytest.LogCaptureFixture) -> list[str]:
    """What was told since, without the time."""
    found = [TextFormatter().format(record).partition(" ")[2] for record in told.records]
    told.clear()
    return found


def test_an_outage_is_told_once_reminded_of_and_ended_once(told: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    outage = Outage(Teller("test"), "reading the cluster", clock, "what was seen last counts")
    for kind in "abcdefg":
        outage.failed(kind, AWAY)
    [line] = lines(told)
    assert line.startswith("warning reading the cluster failed  who=a why=")
    assert 'meanwhile="what was seen last counts"' in line
    clock.sleep(REMIND_S + 1.0)
    outage.failed("a", AWAY)
    [line] = lines(told)
    assert 'still fails  who="a, b, c, d, e and 2 more"' in line
    assert "for_s=61" in line
    for kind in "abcdef":
        outage.worked(kind)
    assert lines(told) == []
    clock.sleep(2.5)
    outage.worked("g")
    [line] = lines(told)
    assert line.startswith('info    reading the cluster works again  who="a, b, c, d, e and 2 more" after_s=63.5')


def test_another_reason_is_told_too_and_nothing_of_those_who_are_well(told: pytest.LogCaptureFixture) -> None:
    outage = Outage(Teller("test"), "writing to jobs", FakeClock(), "tried again")
    outage.worked("x")
    outage.failed("x", AWAY)
    outage.failed("x", Forbidden("not allowed"))
    outage.failed("y", Forbidden("not allowed"))
    assert [line.partition(" why")[0] for line in lines(told)] == [
        "warning writing to jobs failed  who=x",
        "warning writing to jobs failed  who=x",
    ]
