from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from scheduler.core.publishing.message import (
    Envelope,
    Kind,
    Verdict,
    flow_m3_per_h,
    heat_schedule,
    problems,
    verdict,
)
from scheduler.domain.plan import Offer
from scheduler.domain.time import TimeGrid

START = datetime(2021, 2, 1, 9, 30, tzinfo=UTC)
ENVELOPE = Envelope(site_id="school", meter_point_id="m-7", sequence=12, supersedes=11)


def offer(slot_s: int = 900, slots: int = 2) -> Offer:
    return Offer(
        offtake_id="town",
        plug_id="plug",
        plan_id="plan-1",
        issued_utc=START,
        valid_until_utc=START + timedelta(hours=3),
        grid=TimeGrid(start_utc=START, slot_s=slot_s, slots=slots),
        p50_kw=np.full(slots, 40.0),
        p10_kw=np.full(slots, 30.12345),
        p90_kw=np.full(slots, 44.0),
        firm_kw=np.full(slots, 20.0),
        min_kw=np.zeros(slots),
        max_kw=np.full(slots, 150.0),
        supply_c=np.full(slots, 70.0),
        return_max_c=50.0,
        shortfall_probability=np.full(slots, 0.01),
        boiler_request_kw=0.0,
        heat_g_per_kwh=np.full(slots, 31.5),
    )


def payload(**changes: object) -> dict[str, object]:
    return {**heat_schedule(offer(), ENVELOPE), **changes}


def test_the_message_word_for_word() -> None:
    found = heat_schedule(offer(slots=1), ENVELOPE)
    assert found == {
        "schemaVersion": "1.0",
        "siteId": "school",
        "plugId": "plug",
        "offtakeId": "town",
        "meterPointId": "m-7",
        "messageId": found["messageId"],
        "sequence": 12,
        "supersedes": 11,
        "issuedAt": "2021-02-01T09:30:00Z",
        "validFrom": "2021-02-01T09:30:00Z",
        "validUntil": "2021-02-01T12:30:00Z",
        "resolution": "PT15M",
        "kind": "plan",
        "mode": "advisory",
        "intervals": [
            {
                "start": "2021-02-01T09:30:00Z",
                "heatKw": 40.0,
                "p10": 30.123,
                "p90": 44.0,
                "firmKw": 20.0,
                "maxKw": 150.0,
                "minKw": 0.0,
                "supplyC": 70.0,
                "returnMaxC": 50.0,
                "flowM3h": 1.75,
                "probShortfall": 0.01,
                "gco2PerKwhHeat": 31.5,
            }
        ],
        "boilerRequestKw": 0.0,
        "reason": "",
    }
    assert problems(found) == ()


def test_it_survives_json() -> None:
    found = payload()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_same_content_has_the_same_id_and_another_sequence_another() -> None:
    assert payload()["messageId"] == payload()["messageId"]
    assert heat_schedule(offer(), replace(ENVELOPE, sequence=13))["messageId"] != payload()["messageId"]


def test_hours_are_sent_as_quarters() -> None:
    rows = heat_schedule(offer(slot_s=3600, slots=2), ENVELOPE)["intervals"]
    assert isinstance(rows, list)
    assert [row["start"][11:16] for row in rows] == ["09:30", "09:45", "10:00", "10:15", "10:30", "10:45", "11:00", "11:15"]


def test_slots_that_are_no_quarter_hours_are_refused() -> None:
    with pytest.raises(ValueError, match="quarter hours"):
        heat_schedule(offer(slot_s=600), ENVELOPE)


def test_flow_carries_the_heat() -> None:
    # 40 kW over 20 K: 40 * 3600 / (4114 * 20) = 1.750 m3/h.
    assert flow_m3_per_h(40.0, 70.0, 50.0) == pytest.approx(1.75, abs=1e-3)
    assert flow_m3_per_h(40.0, 50.0, 50.0) is None


def test_sequences_rise_repeats_are_harmless_and_old_ones_dropped() -> None:
    assert [verdict(None, 1), verdict(4, 5), verdict(5, 5), verdict(5, 4)] == [
        Verdict.NEW, Verdict.NEW, Verdict.REPEAT, Verdict.OLD,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"schemaVersion": "2.0"}, "schemaVersion"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"supersedes": 12}, "supersedes"),
        ({"kind": "wish"}, "kind"),
        ({"mode": "act"}, "mode"),
        ({"resolution": "PT1H"}, "resolution"),
        ({"issuedAt": "2021-02-01T09:30:00+01:00"}, "issuedAt"),
        ({"validUntil": "2021-02-01T09:00:00Z"}, "validUntil"),
        ({"boilerRequestKw": float("nan")}, "boilerRequestKw"),
        ({"intervals": []}, "intervals"),
        ({"intervals": ["x"]}, "intervals[0]"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_is_no_schedule_is_told_with_its_field(change: dict[str, object], word: str) -> None:
    assert any(found.startswith(word) for found in problems(payload(**change)))


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("p10", 41.0, "p10 <= heatKw"),
        ("firmKw", 151.0, "firmKw <= maxKw"),
        ("minKw", -1.0, "minKw"),
        ("probShortfall", 1.5, "probability"),
        ("heatKw", float("inf"), "finite"),
        ("start", "2021-02-01T10:30:00Z", "gap or overlap"),
    ],
)
def test_what_is_no_interval_is_told_with_its_place(field: str, value: object, word: str) -> None:
    found = payload()
    rows = found["intervals"]
    assert isinstance(rows, list)
    rows[1][field] = value
    told = problems(found)
    assert any(one.startswith("intervals[1]") and word in one for one in told)


def test_a_cancel_is_a_schedule_too() -> None:
    envelope = replace(ENVELOPE, kind=Kind.CANCEL, reason="solver failed; let go")
    assert problems(heat_schedule(offer(), envelope)) == ()


def test_an_empty_object_is_told_everything_that_lacks() -> None:
    assert len(problems({})) > 15
