"""What a settlement holds us to is what the operator knew itself to be bound to, whatever the customer answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.publishing.binding import Told, binding_by_known
from scheduler.core.publishing.relieving import reliefs_by_answers
from scheduler.core.reports.archived import reliefs_of
from scheduler.core.reports.firm_heat import firm_slots
from scheduler.domain.contract import FirmRule, Silence
from scheduler.domain.ledger import Quality
from scheduler.domain.plantlink import Acknowledgement, AckVerdict, Letter, LinkProtocol, Sender
from scheduler.domain.settlement import HeatSlot, Promise
from scheduler.domain.snapshot import Commitment
from scheduler.domain.time import utc
from scheduler.loop.letters import limits_of

START = utc("2026-01-14T10:00:00+00:00")
END = START + timedelta(minutes=15)
SENDER = Sender(name="plant", protocol=LinkProtocol.REST, authenticated=True)
ANSWERS = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from(list(AckVerdict)), st.integers(0, 60), st.booleans()), min_size=0, max_size=5
)
RAISES = st.lists(
    st.tuples(st.integers(1, 8), st.integers(1, 50)), min_size=1, max_size=3, unique_by=(lambda one: one[0], lambda one: one[1])
)


def ack(sequence: int, verdict: AckVerdict, kw: int) -> Acknowledgement:
    accepted_kw = float(kw) if verdict is AckVerdict.PARTIAL else None
    return Acknowledgement(sequence=sequence, verdict=verdict, accepted_kw=accepted_kw)


@settings(max_examples=300, deadline=None)
@given(RAISES, ANSWERS, st.sampled_from(list(Silence)))
def test_both_hold_the_same(
    raises: list[tuple[int, int]], answers: list[tuple[int, AckVerdict, int, bool]], silence: Silence
) -> None:
    # kW may fall: what was rejected is free for a later gate.
    steps = sorted(raises)
    acks = [ack(*one[:3]) for one in answers]
    told = [
        Told(
            sequence=sequence,
            commitments=(
                Commitment(
                    offtake_id="a",
                    start_utc=START,
                    end_utc=END,
                    firm_kw=float(kw),
                    gate_utc=START - timedelta(hours=9 - sequence),
                ),
            ),
        )
        for sequence, kw in steps
    ]
    said = [(one, not strange) for one, (*_, strange) in zip(acks, answers, strict=True)]
    (owed,) = binding_by_known(told, said, FirmRule(on_silence=silence))
    letters = [
        Letter(
            offtake_id="a",
            sender=replace(SENDER, authenticated=known),
            received_utc=START - timedelta(hours=1) + timedelta(minutes=i),
            body=one,
        )
        for i, (one, known) in enumerate(zip(acks, (not strange for *_, strange in answers), strict=True))
    ]
    answered = reliefs_by_answers(told, letters, FirmRule(on_silence=silence))
    # What the operator keeps to in the quarter hour: what binds, and at each moment of it what is taken at most.
    moments = [START + timedelta(minutes=minute) for minute in range(15)]
    limits = [one for at_utc in moments for one in limits_of({"a": letters}, at_utc)]
    acted_w = round(1000 * min([owed.firm_kw, *(one.heat_kw for one in limits)]))
    slot = HeatSlot(start_utc=START, duration_s=900, heat_wh=0, quality=Quality.METERED)
    promises = [Promise(start_utc=START, end_utc=END, firm_w=1000 * kw) for _, kw in steps]
    (settled,) = firm_slots([slot], promises, reliefs_of(letters, [], answered, end_utc=END))
    assert settled.owed_w == acted_w
    assert settled.paid_w == round(owed.firm_kw * 1000)
