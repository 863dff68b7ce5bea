"""What is left of a customer's letters says all that they said, at every moment to come; and no stranger raises anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from link_offers import NOON, PLC, STRANGER, letter

from scheduler.core.publishing.payloads import kind_of
from scheduler.core.publishing.standing import crowded, standing
from scheduler.core.publishing.taking import ceiling_kw
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    HeatRequest,
    Letter,
    LetterBody,
    MaintenanceNotice,
    ManualOverride,
)
from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.loop.letters import limits_of

HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
HOURS, KW = st.integers(0, 12), st.sampled_from([0.0, 20.0, 50.0, 1e6])
LASTING: st.SearchStrategy[LetterBody] = st.one_of(
    st.builds(ManualOverride, limit_kw=KW),
    st.builds(
        lambda kw, first, hours: HeatRequest(heat_kw=kw, start_utc=NOON + first * HOUR, end_utc=NOON + (first + hours) * HOUR),
        KW, HOURS, st.integers(1, 9),
    ),
    st.builds(
        lambda name, kw, first, hours: MaintenanceNotice(
            notice_id=name, start_utc=NOON + first * HOUR, end_utc=NOON + (first + hours) * HOUR, available_kw=kw
        ),
        st.sampled_from("ab"), KW, HOURS, st.integers(1, 9),
    ),
    st.builds(Acknowledgement, sequence=st.integers(1, 4), verdict=st.sampled_from([AckVerdict.ACCEPTED, AckVerdict.REJECTED])),
    st.builds(Acknowledgement, sequence=st.integers(1, 4), verdict=st.just(AckVerdict.PARTIAL), accepted_kw=KW),
)  # fmt: skip
SPOKEN = st.lists(st.tuples(LASTING, st.booleans(), st.integers(0, 3)), max_size=30)
GRID = TimeGrid(start_utc=NOON, slot_s=900, slots=4 * 24)


def letters_of(spoken: list[tuple[LetterBody, bool, int]]) -> list[Letter]:
    """Letters in their order; some minutes lie between two of them."""
    found, at_utc = [], NOON
    for body, known, quarters in spoken:
        at_utc += quarters * QUARTER
        found.append(letter(body, at_utc=at_utc, sender=PLC if known else STRANGER))
    return found


def folded(letters: Sequence[Letter]) -> list[Letter]:
    """One by one, as they come: after each only what stands is remembered."""
    kept: list[Letter] = []
    for one in letters:
        kind = [*(other for other in kept if kind_of(other.body) == kind_of(one.body)), one]
        holds = standing(kind, one.received_utc)
        gone = {id(other) for other, holds_on in zip(kind, holds, strict=True) if not holds_on}
        kept = [other for other in (*kept, one) if id(other) not in gone]
    return kept


def most_kw(letters: Sequence[Letter], hour: int) -> FloatArray:
    """What is taken at most in each quarter hour from an hour on, as it is known then."""
    now_utc = NOON + hour * HOUR
    return ceiling_kw(limits_of({"town": letters}, now_utc), "town", GRID)[4 * hour :]


@settings(max_examples=300, deadline=None)
@given(spoken=SPOKEN, later=st.integers(0, 12))
def test_what_stands_bounds_as_all_that_was_said_does(spoken: list[tuple[LetterBody, bool, int]], later: int) -> None:
    letters = letters_of(spoken)
    now = max((one.received_utc for one in letters), default=NOON)
    hour = min(20, -(-int((now - NOON).total_seconds()) // 3600) + later)
    assert np.array_equal(most_kw(folded(letters), hour), most_kw(letters, hour))


@settings(max_examples=150, deadline=None)
@given(spoken=SPOKEN)
def test_what_strangers_said_raises_nothing_of_what_stands(spoken: list[tuple[LetterBody, bool, int]]) -> None:
    letters = letters_of(spoken)
    known = [one for one in letters if one.sender.authenticated]
    hour = min(20, max((-(-int((one.received_utc - NOON).total_seconds()) // 3600) for one in letters), default=0))
    assert bool(np.all(most_kw(folded(letters), hour) <= most_kw(folded(known), hour)))
    # And however many they are, nobody with a credential is refused for them.
    for one in known:
        crowd = [letter(HeatRequest(heat_kw=0.0, start_utc=NOON, end_utc=NOON + HOUR), sender=STRANGER)] * 500
        assert crowded([*crowd, one], one) == ""
