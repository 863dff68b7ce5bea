"""A heartbeat survives its JSON, and what is none, or says nothing of the boiler, is not taken for "all is well"."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from scheduler.core.publishing.heartbeat_payload import heartbeat_from, heartbeat_payload
from scheduler.domain.plantlink import AlarmLevel, Heartbeat, LinkMode

BEAT = Heartbeat(
    offtake_id="dh-1",
    counter=4_294_967_295,
    at_utc=datetime(2026, 1, 31, 23, 45, tzinfo=UTC),
    last_sequence=18_446_744_073_709_551_615,
    mode=LinkMode.AUTO,
    bypass=False,
    boiler_on=False,
    boiler_kw=12.5,
    alarm=AlarmLevel.WARNING,
    alarm_text="a pump is slow",
)


@pytest.mark.parametrize("beat", [BEAT, replace(BEAT, last_sequence=None, boiler_kw=None, boiler_on=True, alarm_text="")])
def test_a_heartbeat_comes_back_as_it_was(beat: Heartbeat) -> None:
    assert heartbeat_from(json.loads(json.dumps(heartbeat_payload(beat)))) == beat


@pytest.mark.parametrize("key", ["boilerOn", "bypass"])
@pytest.mark.parametrize("value", [None, 0, "", "false"])
def test_a_signal_that_is_not_false_is_on(key: str, value: object) -> None:
    found = heartbeat_from({**heartbeat_payload(BEAT), key: value})
    assert found is not None
    assert found.boiler_on if key == "boilerOn" else found.bypass


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("counter", True),
        ("counter", -1),
        ("counter", 2**32),
        ("at", "yesterday"),
        ("mode", "off"),
        ("alarm", 3),
        ("offtakeId", 1),
    ],
)
def test_what_is_no_heartbeat_is_none(key: str, value: object) -> None:
    assert heartbeat_from({**heartbeat_payload(BEAT), key: value}) is None


def test_a_list_is_no_heartbeat() -> None:
    assert heartbeat_from([heartbeat_payload(BEAT)]) is None
