"""What a settlement relieves us of is, at every moment, what the operator acted on then, whoever said what with which right."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from link_offers import NOON, PLC, STRANGER, letter

from scheduler.core.publishing.relieving import reliefs_by_answers
from scheduler.core.reports.archived import Ended, reliefs_of
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    HeatRequest,
    Letter,
    LetterBody,
    MaintenanceNotice,
    ManualOverride,
)
from scheduler.loop.letters import limits_of

HOUR, QUARTER, NOTHING_W = timedelta(hours=1), timedelta(minutes=15), 10**9
HOURS, KW = st.integers(-2, 6), st.sampled_from([0.0, 20.0, 50.0, 900.0])
SAID: st.SearchStrategy[LetterBody] = st.one_of(
    st.builds(ManualOverride, limit_kw=KW),
    st.builds(
        lambda kw, first, hours: HeatRequest(heat_kw=kw, start_utc=NOON + first * HOUR, end_utc=NOON + (first + hours) * HOUR),
        KW, HOURS, st.integers(1, 5),
    ),
    st.builds(
        lambda name, kw, first, hours: MaintenanceNotice(
            notice_id=name, start_utc=NOON + first * HOUR, end_utc=NOON + (first + hours) * HOUR, available_kw=kw
        ),
        st.sampled_from("ab"), KW, HOURS, st.integers(1, 5),
    ),
    st.builds(Acknowledgement, sequence=st.integers(1, 3), verdict=st.sampled_from([AckVerdict.ACCEPTED, AckVerdict.REJECTED])),
    st.builds(Acknowledgement, sequence=st.integers(1, 3), verdict=st.just(AckVerdict.PARTIAL), accepted_kw=KW),
)  # fmt: skip


def least_w(letters: list[Letter], ended: list[Ended], now_utc: datetime) -> int:
    """What the operator takes to be taken at most, as it is known at a moment; W."""
    cleared = max((one.letters_count for one in ended if one.at_utc <= now_utc), default=0)
    heard = [
        one
        for i, one in enumerate(letters)
        if one.received_utc <= now_utc and not (isinstance(one.body, ManualOverride) and i < cleared)
    ]
    limits = limits_of({"town": heard}, now_utc)
    return min(
        (
            round(1000 * one.heat_kw)
            for one in limits
            if one.start_utc <= now_utc and (one.end_utc is None or now_utc < one.end_utc)
        ),
        default=NOTHING_W,
    )


@settings(max_examples=300, deadline=None)
@given(
    spoken=st.lists(st.tuples(SAID, st.booleans(), st.integers(0, 3)), max_size=12),
    clears=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=2),
)
def test_at_every_moment_both_know_the_same(spoken: list[tuple[LetterBody, bool, int]], clears: list[tuple[int, int]]) -> None:
    letters, at_utc = list[Letter](), NOON
    for body, known, quarters in spoken:
        at_utc += quarters * QUARTER
        letters.append(letter(body, at_utc=at_utc, sender=PLC if known else STRANGER))
    # A clear covers some of the letters that had come, and is written down at once or a little later.
    ended = [
        Ended(at_utc=letters[count - 1].received_utc + after * QUARTER, letters_count=count)
        for count, after in clears
        if 0 < count <= len(letters)
    ]
    end_utc = NOON + 24 * HOUR
    reliefs = reliefs_of(letters, ended, reliefs_by_answers((), letters, None), end_utc=end_utc)
    for i in range(4 * 16):
        moment = NOON + (i + 0.5) * QUARTER
        settled_w = min((one.limit_w for one in reliefs if one.start_utc <= moment < one.end_utc), default=NOTHING_W)
        assert settled_w == least_w(letters, ended, moment)
