"""Which overrides an instant ends, and which instant a status tells of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_offers import NOON, PLC, letter

from scheduler.adapters.plantlink.store.reading import KeptLetter
from scheduler.domain.plantlink import ManualOverride
from scheduler.entrypoints.operator.plant_conditions import INSTANT, OVERRIDDEN, conditions_of, override_told_utc
from scheduler.entrypoints.operator.plants import ended_row

TICK = timedelta(microseconds=1)


def pressed(*after: timedelta) -> list[KeptLetter]:
    """Overrides in the order in which they were kept."""
    return [
        KeptLetter(row=10 + i, letter=letter(ManualOverride(limit_kw=float(i)), at_utc=NOON + one))
        for i, one in enumerate(after)
    ]


def test_what_began_before_is_ended_and_what_came_since_holds() -> None:
    assert ended_row([], NOON) is None
    assert ended_row(pressed(TICK), NOON) is None
    assert ended_row(pressed(timedelta(0)), NOON) is None
    assert ended_row(pressed(timedelta(0), TICK), NOON + TICK) == 10
    assert ended_row(pressed(timedelta(0), TICK), NOON + 2 * TICK) == 11
    # A clock was set back: the one in the middle holds, so those after it do too.
    assert ended_row(pressed(timedelta(0), 9 * TICK, TICK), NOON + 5 * TICK) == 10


@given(micros=st.integers(-(10**15), 10**15), reason=st.text(max_size=40))
def test_a_status_tells_the_instant_of_the_override_that_it_shows(micros: int, reason: str) -> None:
    at_utc = NOON + micros * TICK
    said = letter(ManualOverride(limit_kw=5.0, reason=reason), at_utc=at_utc)
    (*_, told) = conditions_of([said], None, None, at_utc)
    status = {"status": {"conditions": [{"type": told.type, "status": str(told.status), "message": told.message}]}}
    assert override_told_utc(status) == at_utc
    # What release writes ends it, and nothing that came a microsecond later.
    until_utc = datetime.strptime(f"{at_utc + TICK:{INSTANT}}", INSTANT).replace(tzinfo=UTC)
    assert ended_row([KeptLetter(row=7, letter=said)], until_utc) == 7
    assert ended_row([KeptLetter(row=8, letter=letter(ManualOverride(), at_utc=at_utc + TICK, sender=PLC))], until_utc) is None


@pytest.mark.parametrize("message", ["", "since yesterday all takes", "plc takes at most 0 kW since 2026-01-15T12:00:00Z"])
def test_a_status_that_says_it_otherwise_tells_no_instant(message: str) -> None:
    told = {"type": OVERRIDDEN, "status": "True", "message": message}
    assert override_told_utc({"status": {"conditions": [told]}}) is None
    assert override_told_utc({}) is None
    over = {"type": OVERRIDDEN, "status": "False", "message": "since 2026-01-15T12:00:00.000000Z plc takes at most 0 kW"}
    assert override_told_utc({"status": {"conditions": [over]}}) is None
