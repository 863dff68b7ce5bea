"""The software plant's controller: watchdog, schedules, faults, the manual button, and what it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler.core.publishing.letters import NotALetter, body_of
from scheduler.core.publishing.message import problems
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plantlink import AlarmLevel, Heartbeat, LinkMode, Receipt
from scheduler.simulate.plant.faults import FaultKind, fault_of
from scheduler.simulate.plant.plant import Heard, PlantStep, SoftwarePlant
from scheduler.simulate.plant.receiver import Held, nothing_held, received, why_not
from scheduler.simulate.plant.sender import MadeUp
from scheduler.simulate.plant.spec import sized_for
from scheduler.simulate.plant.watchdog import Watchdog

START_UTC = datetime(2026, 1, 12, 12, tzinfo=UTC)
SPEC = sized_for("town", 400.0)
SENDER = MadeUp(site_id="lab", plug_id="loop", plant=SPEC)
YES = Receipt(accepted=True)


def beat(counter: int, **changed: Any) -> Heartbeat:
    usual: dict[str, Any] = {
        "offtake_id": "town", "counter": counter, "at_utc": START_UTC, "last_sequence": 1, "mode": LinkMode.AUTO,
        "bypass": False, "boiler_on": False, "boiler_kw": 0.0, "alarm": AlarmLevel.NONE,
    }  # fmt: skip
    return Heartbeat(**(usual | changed))


def schedule(sequence: int, at_utc: datetime = START_UTC, **changed: Any) -> Mapping[str, object]:
    return SENDER.schedule(at_utc, sequence) | changed


def holding(payload: Mapping[str, object]) -> Held:
    """What a plant holds that has read this."""
    return received(nothing_held("town"), payload, START_UTC, None).held


def run(plant: SoftwarePlant, seconds: int, first: int = 0, **said: Any) -> list[PlantStep]:
    """A step every ten seconds with our counter rising."""
    steps = []
    for i in range(first, first + seconds, 10):
        heard = Heard(heartbeat=beat(1 + i // 10, **said), schedule=schedule(1))
        steps.append(plant.step(START_UTC + timedelta(seconds=i), heard))
        for letter in steps[-1].letters:
            plant.answered(letter, YES)
    return steps


def test_made_up_schedules_are_heat_schedules() -> None:
    for hour in range(24):
        payload = SENDER.schedule(START_UTC.replace(hour=hour, minute=7), 3)
        assert problems(payload) == ()
        assert payload["kind"] == ("firm" if hour >= 10 else "update")
        assert (payload["boilerRequestKw"] == 100.0) == (5 <= hour < 8)
    assert problems(SENDER.schedule(START_UTC, 9, withdrawn=True)) == ()


def test_the_watchdog_waits_its_time_and_no_longer() -> None:
    dog = Watchdog(timeout_s=45.0)
    assert not dog.alive(0.0)
    dog = dog.seen(2**32 - 1, 10.0)
    assert dog.alive(55.0)
    assert not dog.alive(55.1)
    # After the largest counter comes 0: that is a change like any other.
    assert dog.seen(0, 56.0).alive(60.0)
    assert not dog.seen(2**32 - 1, 56.0).alive(60.0)
    assert not dog.seen(None, 56.0).alive(60.0)


def test_only_a_higher_sequence_takes_the_place_of_a_schedule() -> None:
    first = received(nothing_held("town"), schedule(5), START_UTC, None)
    assert first.acknowledgement == {"sequence": 5, "verdict": "accepted"}
    assert received(first.held, schedule(5, reason="again"), START_UTC, None).held is first.held
    old = received(first.held, schedule(4), START_UTC, None)
    assert old.held is first.held
    assert old.acknowledgement is None
    assert "5 is newer" in old.note
    newer = received(first.held, schedule(6), START_UTC, None)
    assert newer.held.newest == 6


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"offtakeId": "village"}, "is another contract's"),
        ({"kind": "gift"}, "kind"),
        ({"intervals": []}, "intervals"),
        ({"validUntil": "tomorrow"}, "validUntil"),
    ],
)
def test_what_is_no_schedule_is_rejected_and_the_one_before_stays(changed: dict[str, Any], reason: str) -> None:
    before = received(nothing_held("town"), schedule(5), START_UTC, None).held
    answer = received(before, schedule(6, **changed), START_UTC, None)
    assert answer.held.schedule is before.schedule
    assert answer.acknowledgement is not None
    assert answer.acknowledgement["verdict"] == "rejected"
    assert reason in str(answer.acknowledgement["reason"])
    # It is rejected once, not at every look.
    assert received(answer.held, schedule(6, **changed), START_UTC, None).acknowledgement is None


@pytest.mark.parametrize("sequence", [None, True, -1, 2**64, 1.5, "7"])
def test_a_schedule_without_a_sequence_is_dropped(sequence: object) -> None:
    answer = received(nothing_held("town"), {**schedule(6), "sequence": sequence}, START_UTC, None)
    assert answer.held == nothing_held("town")
    assert answer.acknowledgement is None


def test_a_plant_that_takes_less_accepts_in_part() -> None:
    answer = received(nothing_held("town"), schedule(5), START_UTC, 50.0)
    assert answer.acknowledgement == {
        "sequence": 5, "verdict": "partial", "acceptedKw": 50.0, "reason": "at most 50 kW can be taken",
    }  # fmt: skip


def test_heat_is_counted_on_only_while_a_schedule_holds() -> None:
    held = holding(schedule(5))
    assert why_not(held, START_UTC) == ""
    assert why_not(held, START_UTC + timedelta(hours=6)) == "the schedule has run out"
    assert why_not(nothing_held("town"), START_UTC) == "there is no schedule"
    assert why_not(holding(SENDER.schedule(START_UTC, 6, withdrawn=True)), START_UTC) == "the schedule was withdrawn"
    assert why_not(holding(schedule(6, mode="advisory")), START_UTC) == "the schedule is advice only"
    assert why_not(held, START_UTC - timedelta(minutes=1)) == "the schedule has no heat for now"


def test_a_schedule_that_has_run_out_is_rejected_and_remembered() -> None:
    answer = received(holding(schedule(5)), schedule(6), START_UTC + timedelta(hours=6), None)
    assert answer.acknowledgement == {"sequence": 6, "verdict": "rejected", "reason": "validUntil: is past"}
    assert answer.held.newest == 6


def test_a_plant_begins_with_its_boiler_and_ends_it_once_we_are_heard() -> None:
    plant = SoftwarePlant(spec=SPEC, start_utc=START_UTC)
    assert plant.step(START_UTC, Heard()).view.decided.why == "the link's heartbeat is missing"
    last = run(plant, 60, first=10)[-1].view
    assert (last.decided.why, last.decided.mode) == ("", LinkMode.AUTO)
    assert last.flows.taken_kw > 50.0


def test_silence_starts_the_boiler_after_the_watchdogs_time() -> None:
    plant = SoftwarePlant(spec=SPEC, start_utc=START_UTC)
    run(plant, 60)
    steps = [plant.step(START_UTC + timedelta(seconds=i), Heard()) for i in range(60, 130, 5)]
    whys = {int(plant.since_s(step.view.at_utc)): step.view.decided.why for step in steps}
    # Last moved at 50 s, timeout 45 s.
    assert whys[95] == ""
    assert whys[100] == "the link's heartbeat is missing"
    assert steps[-1].view.store.boiler.wanted
    # Hot water knows nothing of networks: it flows on as planned.
    assert steps[-1].view.flows.taken_kw > 50.0


def test_a_counter_that_stands_still_is_silence() -> None:
    plant = SoftwarePlant(spec=SPEC, start_utc=START_UTC)
    run(plant, 60)
    still = Heard(heartbeat=beat(6))
    whys = [plant.step(START_UTC + timedelta(seconds=i), still).view.decided.why for i in range(60, 130, 10)]
    assert whys[0] == ""
    assert whys[-1] == "the link's heartbeat is missing"


def test_the_boiler_signal_and_a_bypass_are_obeyed() -> None:
    plant = SoftwarePlant(spec=SPEC, start_utc=START_UTC)
    assert run(plant, 30, boiler_on=True)[-1].view.decided.why == "the boiler is asked for"
    assert run(plant, 30, first=30, boiler_on=True, bypass=True)[-1].view.flows.taken_kw == 0.0


def test_a_cut_wire_says_nothing_and_the_answer_comes_later() -> None:
    plant = SoftwarePlant(spec=SPEC, start_utc=START_UTC, faults=[fault_of("cut@10+30")])
    assert not plant.reachable(START_UTC + timedelta(seconds=10))
    assert plant.reachable(START_UTC + timedelta(seconds=40))
    first = plant.step(START_UTC, Heard(heartbeat=beat(1), schedule=schedule(1)))
    assert "acknowledgement" in [letter.kind for letter in first.letters]
    for letter in first.letters:
        plant.answered(letter, Receipt(accepted=False, reason="nobody there"))
    assert plant.step(START_UTC + timedelta(seconds=10), Heard()).letters == ()
    later = plant.step(START_UTC + timedelta(seconds=40), Heard(heartbeat=beat(5)))
    assert "acknowledgement" in [letter.kind for letter in later.letters]


def test_an_answer_that_nobody_wants_is_not_repeated_for_ever() -> None:
    plant = SoftwarePlant(spec=SPEC, start_utc=START_UTC)
    said = 0
    for i in range(20):
        step = plant.step(START_UTC + timedelta(seconds=10 * i), Heard(heartbeat=beat(i), schedule=schedule(1)))
        for letter in step.letters:
            said += letter.kind == "acknowledgement"
            plant.answered(letter, Receipt(accepted=letter.kind != "acknowledgement", reason="no"))
    assert said == 5


def test_the_plants_own_faults_are_played() -> None:
    faults = [fault_of(text) for text in ("frozen@100+50", "silent@200+50", "tank@300+70", "sequence@400", "clock@500+50")]
    plant = SoftwarePlant(spec=SPEC, start_utc=START_UTC, faults=faults)
    steps = run(plant, 600)
    counters = [next((one.payload["counter"] for one in step.letters if one.kind == "heartbeat"), None) for step in steps]
    assert len(set(counters[10:15])) == 1
    assert counters[20:25] == [None] * 5
    before = counters[19]
    assert isinstance(before, int)
    assert counters[30] == before + 1 + 5
    levels = [one.payload["levelKwh"] for step in steps[30:37] for one in step.letters if one.kind == "tank"]
    assert levels
    assert all(isinstance(level, float) and math.isnan(level) for level in levels)
    never = [one.payload["sequence"] for one in steps[40].letters if one.kind == "acknowledgement"]
    assert never == [1001]
    assert steps[50].view.own_utc - steps[50].view.at_utc == timedelta(seconds=600)
    assert FaultKind.CLOCK in steps[50].view.faults


def test_all_that_a_plant_says_is_a_letter() -> None:
    plant = SoftwarePlant(spec=SPEC, start_utc=START_UTC, faults=[fault_of("maintenance@60"), fault_of("override@120+60")])
    said = [letter for step in run(plant, 1200) for letter in step.letters]
    assert {letter.kind for letter in said} == {
        "heartbeat", "acknowledgement", "network", "tank", "demand", "request", "meter", "maintenance", "override",
    }  # fmt: skip
    for letter in said:
        body_of(letter.kind, letter.payload)
    with pytest.raises(NotALetter):
        body_of("tank", {"at": "2026-01-12T12:00:00Z", "levelKwh": math.nan})


def test_a_pressed_button_stays_in_until_our_operator_clears_it() -> None:
    plant = SoftwarePlant(spec=SPEC, start_utc=START_UTC, faults=[fault_of("override@60+60")])
    run(plant, 60)
    pressed = run(plant, 120, first=60, mode=LinkMode.MANUAL)
    assert {step.view.decided.mode for step in pressed} == {LinkMode.MANUAL}
    assert pressed[-1].view.flows.taken_kw == 0.0
    assert pressed[-1].view.store.boiler.wanted
    assert run(plant, 30, first=180)[-1].view.decided.mode is LinkMode.AUTO


def test_a_failing_pump_carries_a_third() -> None:
    well, ill = (SoftwarePlant(spec=SPEC, start_utc=START_UTC, faults=faults) for faults in ([], [fault_of("pump@100+100")]))
    good, bad = run(well, 150)[-1].view.flows, run(ill, 150)[-1].view.flows
    assert bad.taken_kw < 0.45 * good.taken_kw
    assert bad.dry_cooler_kw > good.dry_cooler_kw


def test_a_drifting_clock_ends_a_schedule_early() -> None:
    spec = replace(SPEC, clock_offset_s=120.0, clock_drift_ppm=100.0)
    plant = SoftwarePlant(spec=spec, start_utc=START_UTC)
    # 100 ppm of 1000 s is 0.1 s.
    assert plant.own_utc(START_UTC + timedelta(seconds=1000)) == START_UTC + timedelta(seconds=1120.1)


def test_time_does_not_run_backwards() -> None:
    plant = SoftwarePlant(spec=SPEC, start_utc=START_UTC)
    plant.step(START_UTC + timedelta(seconds=10), Heard())
    with pytest.raises(ValueError, match="cannot go back"):
        plant.step(START_UTC, Heard())


@pytest.mark.parametrize("text", ["", "cut", "cut@", "cut@-5", "cut@5+", "flood@5", "cut@5+5+5"])
def test_a_script_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="--fault"):
        fault_of(text)
