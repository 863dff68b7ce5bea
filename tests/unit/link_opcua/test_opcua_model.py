from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from opcua_world import schedule

from scheduler.adapters.plantlink.memory import canonical
from scheduler.adapters.plantlink.opcua.client import call_of
from scheduler.adapters.plantlink.opcua.limits import Allowance
from scheduler.adapters.plantlink.opcua.model import KWH, M3_PER_H, METHODS, SCHEDULE, VARIABLES, Quality
from scheduler.adapters.plantlink.opcua.shown import shown
from scheduler.adapters.plantlink.opcua.spoken import payload_of, values_of
from scheduler.core.publishing.letters import KINDS, NotALetter, body_of
from scheduler.core.publishing.shown import STALE_S
from scheduler.domain.plantlink import AlarmLevel, Board, Heartbeat, LinkMode

NOW = datetime(2026, 11, 22, 3, 7, tzinfo=UTC)
LETTERS: dict[str, dict[str, object]] = {
    "demand": {
        "start": "2026-11-22T04:00:00Z",
        "stepSeconds": 900,
        "heatKw": [1.0, None, 2.5],
        "issuedAt": "2026-11-22T03:00:00Z",
    },
    "request": {"heatKw": 12.5, "start": "2026-11-22T04:00:00Z", "end": "2026-11-22T05:00:00Z"},
    "network": {"at": "2026-11-22T03:00:00Z", "supplyC": 70.5, "flowM3h": 2.0},
    "tank": {"at": "2026-11-22T03:00:00Z", "levelKwh": 0.0},
    "acknowledgement": {"sequence": 2**63, "verdict": "partial", "reason": "pump", "acceptedKw": 20.0},
    "maintenance": {"id": "m-1", "start": "2026-11-22T04:00:00Z", "end": "2026-11-22T05:00:00Z", "availableKw": 0.0},
    "override": {"limitKw": 10.0, "reason": "fire drill"},
    "heartbeat": {"counter": 7},
    "meter": {"meterPointId": "m-7", "at": "2026-11-22T03:00:00Z", "energyKwh": 12.5, "meterId": "4711"},
}


def board(*, silent: bool = False, beaten_s: float = 1.0, there: bool = True) -> Board:
    message = schedule(NOW, 5) if there else None
    beat = Heartbeat(
        offtake_id="town", counter=9, at_utc=NOW - timedelta(seconds=beaten_s), last_sequence=5, mode=LinkMode.AUTO,
        bypass=False, boiler_on=False, boiler_kw=None, alarm=AlarmLevel.WARNING, alarm_text="pump", operator_silent=silent,
    )  # fmt: skip
    data = b"" if message is None else canonical(message)
    return Board(
        site_id="site", plug_id="plug", offtake_id="town", version=1, heartbeat=beat, schedule=message, schedule_json=data
    )


def test_a_unit_is_known_by_the_characters_of_its_code() -> None:
    # OPC 10000-8: KWH = 0x4B5748 = 75*65536 + 87*256 + 72 = 4937544; MQH = 77*65536 + 81*256 + 72 = 5067080.
    assert (KWH.unit_id, M3_PER_H.unit_id) == (4937544, 5067080)


def test_every_letter_has_one_typed_method_and_the_json_one_takes_all() -> None:
    assert sorted(method.letter or "" for method in METHODS) == sorted(["", *KINDS])
    assert len({one.path for one in VARIABLES}) == len(VARIABLES)
    assert SCHEDULE[-1].path == "Schedule/Sequence"


@pytest.mark.parametrize("kind", sorted(LETTERS))
def test_a_letter_goes_through_its_typed_method_and_comes_out_the_same(kind: str) -> None:
    method, values = call_of(kind, LETTERS[kind])
    assert method.letter == kind
    assert body_of(kind, payload_of(method, values, NOW)) == body_of(kind, LETTERS[kind])


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("tank", {"levelKwh": 5.0}),
        ("heartbeat", {"counter": -1, "other": 1}),
        ("request", {"heatKw": 1.0, "start": "soon"}),
        ("x", {}),
    ],
)
def test_what_a_typed_method_cannot_carry_goes_as_json(kind: str, payload: dict[str, object]) -> None:
    method, values = call_of(kind, payload)
    assert (method.letter, values[0]) == (None, kind)


def test_a_measurement_without_a_time_is_of_now() -> None:
    method = next(one for one in METHODS if one.letter == "tank")
    values = values_of(method, {"levelKwh": 5.0})
    assert values is not None
    assert payload_of(method, values, NOW) == {"at": "2026-11-22T03:07:00Z", "levelKwh": 5.0}


def test_a_number_that_is_needed_and_not_said_is_refused_by_its_name() -> None:
    method = next(one for one in METHODS if one.letter == "override")
    with pytest.raises(NotALetter, match="limitKw"):
        body_of("override", payload_of(method, [math.nan, ""], NOW))


def test_a_fresh_schedule_is_good_and_what_is_null_is_nan() -> None:
    found = shown(board(), NOW)
    assert {one.quality for path, one in found.items() if path.startswith("Schedule/")} == {Quality.GOOD}
    assert found["Schedule/HeatKw"].value == [40.0] * 4
    flow = found["Schedule/FlowM3h"].value
    assert isinstance(flow, list)
    assert all(isinstance(one, float) and math.isnan(one) for one in flow)
    assert found["Schedule/Start"].value == [datetime(2026, 11, 22, 3, quarter, tzinfo=UTC) for quarter in (0, 15, 30, 45)]
    assert (found["Schedule/Sequence"].value, found["Heartbeat/Counter"].value) == (5, 9)
    assert found["Heartbeat/BoilerKw"].quality is Quality.ABSENT


def test_the_quality_says_why_a_schedule_cannot_be_counted_on() -> None:
    # The schedule of `board` holds for an hour.
    late = board(beaten_s=-3600.0)
    run_out = shown(late, NOW + timedelta(hours=1))["Schedule/HeatKw"]
    assert (run_out.quality, run_out.value) == (Quality.RUN_OUT, None)
    assert shown(board(silent=True), NOW)["Schedule/HeatKw"].quality is Quality.SILENT
    assert shown(board(silent=True), NOW)["Heartbeat/BoilerNeeded"].quality is Quality.GOOD
    assert shown(board(there=False), NOW)["Schedule/Sequence"].quality is Quality.ABSENT
    assert {one.quality for one in shown(None, NOW).values()} == {Quality.AWAY}
    assert {one.quality for one in shown(board(beaten_s=STALE_S + 1.0), NOW).values()} == {Quality.SILENT}
    assert list(shown(board(), NOW)) == [one.path for one in VARIABLES] == list(shown(None, NOW))


def test_an_allowance_is_paid_back_by_waiting() -> None:
    class Clock:
        now_s = 100.0

        def monotonic_s(self) -> float:
            return self.now_s

    clock = Clock()
    allowance = Allowance(2.0, 3.0, clock)
    assert [allowance.take() for _ in range(3)] == [0.0, 0.0, 0.0]
    # One and a half too many, two a second: three quarters of a second.
    assert allowance.take(1.5) == pytest.approx(0.75)
    clock.now_s += 10.0
    assert allowance.full()
    assert allowance.take(3.0) == 0.0
