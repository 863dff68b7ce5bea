"""What answers to schedules relieve us of, case by case."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduler.core.publishing.binding import Told
from scheduler.core.publishing.relieving import reliefs_by_answers
from scheduler.domain.contract import FirmRule, Silence
from scheduler.domain.plantlink import Acknowledgement, AckVerdict, Letter, LinkProtocol, Sender
from scheduler.domain.settlement import ReliefKind
from scheduler.domain.snapshot import Commitment
from scheduler.domain.time import utc

START = utc("2026-01-14T10:00:00+00:00")
SENDER = Sender(name="plant", protocol=LinkProtocol.REST, authenticated=True)
YES, NO, PART = AckVerdict.ACCEPTED, AckVerdict.REJECTED, AckVerdict.PARTIAL
Found = list[tuple[ReliefKind, int, int, int, bool]]


def told(sequence: int, kw: float, minute: int = 0) -> Told:
    """An hour from a minute on, told by the gate of that number."""
    start_utc = START + timedelta(minutes=minute)
    gate_utc = START - timedelta(days=1) + timedelta(minutes=sequence)
    hour = Commitment(
        offtake_id="a", start_utc=start_utc, end_utc=start_utc + timedelta(hours=1), firm_kw=kw, gate_utc=gate_utc
    )
    return Told(sequence=sequence, commitments=(hour,))


def relieved(
    promises: list[Told], *answers: tuple[int, int, AckVerdict, float | None], on_silence: Silence = Silence.BIND
) -> Found:
    """(minute, sequence, verdict, kW) of each answer; kind, minutes, W and whether unsold of each relief."""
    letters = [
        Letter(
            offtake_id="a",
            sender=SENDER,
            received_utc=START + timedelta(minutes=minute),
            body=Acknowledgement(sequence=sequence, verdict=verdict, accepted_kw=kw),
        )
        for minute, sequence, verdict, kw in answers
    ]
    found = reliefs_by_answers(promises, letters, FirmRule(on_silence=on_silence))
    return [(one.kind, minutes(one.start_utc), minutes(one.end_utc), one.limit_w, one.unsold) for one in found]


def minutes(at_utc: datetime) -> int:
    return int((at_utc - START).total_seconds()) // 60


def test_less_that_was_promised_after_a_rejection_is_owed() -> None:
    # 100 kW rejected, 50 promised later and accepted: 50 is owed, and only the rest of the 100 was never sold.
    found = relieved([told(1, 100.0), told(2, 50.0)], (-600, 1, NO, None), (-500, 2, YES, None))
    assert found == [(ReliefKind.REJECTED, 0, 60, 50_000, True), (ReliefKind.REJECTED, -600, -540, 0, False)]


def test_of_a_promise_stated_anew_and_taken_in_part_the_part_is_owed() -> None:
    found = relieved([told(1, 100.0), told(2, 100.0)], (-600, 1, YES, None), (-400, 2, PART, 50.0))
    assert found == [(ReliefKind.PARTIAL, 0, 60, 50_000, True), (ReliefKind.PARTIAL, -400, -40, 50_000, False)]


def test_a_later_schedule_that_is_not_taken_bounds_our_heat_for_a_while() -> None:
    # What was accepted binds, but our heat is stopped for an hour, or capped until the next answer.
    accepted = (-600, 1, YES, None)
    assert relieved([told(1, 100.0)], accepted, (10, 7, NO, None)) == [(ReliefKind.REJECTED, 10, 70, 0, False)]
    assert relieved([told(1, 100.0)], accepted, (10, 7, PART, 20.0), (20, 8, NO, None), (30, 9, YES, None)) == [
        (ReliefKind.PARTIAL, 10, 20, 20_000, False),
        (ReliefKind.REJECTED, 20, 30, 0, False),
    ]


def test_an_answer_counts_from_the_quarter_hour_in_which_it_came() -> None:
    found = relieved([told(1, 10.0)], (20, 1, NO, None))
    assert found == [(ReliefKind.REJECTED, 15, 60, 0, True), (ReliefKind.REJECTED, 20, 80, 0, False)]
    assert relieved([told(1, 10.0)], (60, 1, NO, None)) == [(ReliefKind.REJECTED, 60, 120, 0, False)]


def test_a_raised_promise_that_is_rejected_falls_back_to_what_it_was() -> None:
    promises = [told(2, 10.0), told(5, 15.0)]
    found = relieved(promises, (-600, 2, YES, None), (-500, 5, NO, None))
    assert found[0] == (ReliefKind.REJECTED, 0, 60, 10_000, True)
    assert relieved(promises, (-600, 2, YES, None)) == []
    silent = relieved(promises, (-600, 2, YES, None), on_silence=Silence.WITHDRAW)
    assert silent == [(ReliefKind.SILENT, 0, 60, 10_000, True)]


def test_silence_counts_where_the_contract_says_so() -> None:
    promises = [told(2, 10.0), told(4, 10.0, minute=60)]
    assert relieved(promises, (-5, 2, YES, None), on_silence=Silence.WITHDRAW) == [(ReliefKind.SILENT, 60, 120, 0, True)]
    assert relieved(promises, (-5, 2, YES, None)) == []
    assert reliefs_by_answers(promises, [], None) == ()
