from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.publishing.binding import Told, answer_to, binding, binding_by_known
from scheduler.core.publishing.firm import answered_utc
from scheduler.domain.contract import FirmRule, Silence
from scheduler.domain.plantlink import Acknowledgement, AckVerdict
from scheduler.domain.snapshot import Commitment

GATE = datetime(2026, 1, 14, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULE = FirmRule()
ASKING = FirmRule(on_silence=Silence.WITHDRAW)


def told(sequence: int, *kw: float, gate_h: int = 0) -> Told:
    first = datetime(2026, 1, 15, tzinfo=UTC)
    return Told(
        sequence=sequence,
        commitments=tuple(
            Commitment(
                offtake_id="town",
                start_utc=first + i * HOUR,
                end_utc=first + (i + 1) * HOUR,
                firm_kw=value,
                gate_utc=GATE + gate_h * HOUR,
            )
            for i, value in enumerate(kw)
        ),
    )


def said(sequence: int, verdict: AckVerdict, accepted_kw: float | None = None) -> Acknowledgement:
    return Acknowledgement(sequence=sequence, verdict=verdict, accepted_kw=accepted_kw)


def owed(found: tuple[Commitment, ...]) -> list[float]:
    return [one.firm_kw for one in found]


def test_silence_binds_or_withdraws_as_the_contract_says() -> None:
    assert owed(binding([told(7, 30.0, 40.0)], [], RULE)) == [30.0, 40.0]
    assert owed(binding([told(7, 30.0, 40.0)], [], ASKING)) == [0.0, 0.0]
    assert owed(binding([told(7, 30.0, 40.0)], [said(7, AckVerdict.ACCEPTED)], ASKING)) == [30.0, 40.0]


def test_partial_takes_at_most_what_he_says_and_rejected_leaves_nothing() -> None:
    assert owed(binding([told(7, 30.0, 40.0)], [said(7, AckVerdict.PARTIAL, 35.0)], RULE)) == [30.0, 35.0]
    assert owed(binding([told(7, 30.0, 40.0)], [said(7, AckVerdict.PARTIAL)], RULE)) == [30.0, 40.0]
    assert owed(binding([told(7, 30.0, 40.0)], [said(7, AckVerdict.REJECTED)], RULE)) == [0.0, 0.0]


def test_a_gate_whose_promise_was_rejected_counts_as_answered() -> None:
    found = binding([told(7, 30.0)], [said(7, AckVerdict.REJECTED)], RULE)
    assert answered_utc(found, "town") == GATE


def test_an_answer_to_a_later_schedule_is_one_to_all_before_that_had_none() -> None:
    words = [said(9, AckVerdict.REJECTED), said(8, AckVerdict.ACCEPTED), said(8, AckVerdict.REJECTED)]
    assert [answer_to(sequence, words, RULE) for sequence in (7, 8, 9, 10)] == [words[1], words[1], words[0], None]
    # Withdrawn by silence, a promise stood in no later schedule.
    assert [answer_to(sequence, words, ASKING) for sequence in (7, 8, 9)] == [None, words[1], words[0]]


def test_a_raise_that_is_rejected_leaves_what_was_accepted_before() -> None:
    both = [told(9, 50.0, 60.0, gate_h=6), told(7, 30.0)]
    words = [said(7, AckVerdict.ACCEPTED), said(9, AckVerdict.REJECTED)]
    # The second hour was never promised before.
    assert owed(binding(both, words, RULE)) == [30.0, 0.0]
    assert owed(binding(both, words[:1], ASKING)) == [30.0, 0.0]
    assert owed(binding(both, words[:1], RULE)) == [50.0, 60.0]
    # He may take less of a raise than he took before: what he does not take is not owed.
    assert owed(binding(both, [words[0], said(9, AckVerdict.PARTIAL, 20.0)], RULE)) == [20.0, 20.0]


def test_periods_that_have_ended_are_left_out() -> None:
    end = datetime(2026, 1, 15, 1, tzinfo=UTC)
    assert owed(binding([told(7, 30.0, 40.0)], [], RULE, end)) == [40.0]


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(0.0, 100.0)), min_size=1, max_size=5),
    words=st.lists(
        st.builds(
            Acknowledgement,
            sequence=st.integers(0, 6),
            verdict=st.sampled_from(AckVerdict),
            accepted_kw=st.none() | st.floats(0.0, 100.0),
        ),
        max_size=6,
    ),
)
def test_nothing_is_owed_beyond_what_was_told(values: list[tuple[float, float]], words: list[Acknowledgement]) -> None:
    heard = [told(i, *pair, gate_h=i) for i, pair in enumerate(values)]
    for rule in (RULE, ASKING):
        found = owed(binding(heard, words, rule))
        assert all(kw <= max(pair[i] for pair in values) for i, kw in enumerate(found))
        assert found == owed(binding(reversed(heard), words, rule))
    assert owed(binding(heard, [], ASKING)) == [0.0, 0.0]


def test_an_answer_without_a_credential_makes_nothing_binding_and_hides_no_rejection() -> None:
    stranger, rejected = (said(7, AckVerdict.PARTIAL, 1e6), False), (said(7, AckVerdict.REJECTED), True)
    heard = [told(7, 30.0, 40.0)]
    assert owed(binding_by_known(heard, [stranger], ASKING)) == [0.0, 0.0]
    assert owed(binding_by_known(heard, [stranger, rejected], RULE)) == [0.0, 0.0]
    assert owed(binding_by_known(heard, [(said(7, AckVerdict.PARTIAL, 35.0), False)], RULE)) == [30.0, 35.0]
