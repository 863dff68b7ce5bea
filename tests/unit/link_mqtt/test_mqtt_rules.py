"""Topics, what may be set up, what a retained letter is worth, and what stands at a broker."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler.adapters.plantlink.mqtt.hearing import retained_wrong
from scheduler.adapters.plantlink.mqtt.late import dated
from scheduler.adapters.plantlink.mqtt.session import checked, trusted
from scheduler.adapters.plantlink.mqtt.topics import topics_of
from scheduler.core.publishing.letters import body_of
from scheduler.core.publishing.message import stamp
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import MqttOptions, TlsFiles
from scheduler.domain.plantlink import DemandForecast
from scheduler.domain.time import utc

NOW = utc("2026-01-15T10:00:00+00:00")
PLAIN = MqttOptions(plain=True, offtakes=("city",))


def test_topics_hang_below_prefix_site_and_customer() -> None:
    topics = topics_of("a/b", "town", "city")
    assert [topics.schedule, topics.status] == ["a/b/town/city/schedule", "a/b/town/city/status"]
    assert topics.kind_of(topics.letter("demand")) == "demand"
    assert [topics.kind_of(one) for one in ("a/b/town/other/plant/demand", topics.schedule, "demand", "")] == [""] * 4


@pytest.mark.parametrize(
    "names", [("", "s", "o"), ("a//b", "s", "o"), ("a", "s+", "o"), ("a", "s", "#"), ("a", "s", "o/p"), ("$SYS", "s", "o")]
)
def test_a_name_that_means_more_than_itself_is_refused(names: tuple[str, str, str]) -> None:
    with pytest.raises(Misconfigured, match="cannot stand in a topic"):
        topics_of(*names)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": 3}, "version"),
        ({"port": 0}, "port"),
        ({"offtakes": ()}, "nobody"),
        ({"offtakes": ("city", "city")}, "twice"),
        ({"ca": "x"}, "plain, and yet"),
        ({"tls": TlsFiles(certificate="a", key="b")}, "plain, and yet"),
        ({"host": "192.0.2.1", "username": "u", "password_file": "p"}, "open wire"),
        ({"password_file": "p"}, "without a user"),
        ({"username": "u", "password_file": "missing"}, "No such file"),
    ],
)
def test_what_cannot_work_or_gives_a_secret_away_is_refused(changed: dict[str, object], why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        checked(replace(PLAIN, **changed))  # type: ignore[arg-type]  # fields by name


def test_an_empty_password_and_a_key_that_is_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(Misconfigured, match="empty"):
        checked(replace(PLAIN, username="u", password_file=str(tmp_path / "empty")))
    files = TlsFiles(certificate=str(tmp_path / "empty"), key=str(tmp_path / "empty"))
    with pytest.raises(Misconfigured, match="empty"):
        checked(replace(PLAIN, plain=False, tls=files))


def test_only_tls_or_this_machine_makes_a_broker_s_promise_worth_something() -> None:
    assert [trusted(replace(PLAIN, host=host)) for host in ("127.0.0.1", "::1", "localhost", "192.0.2.1", "broker")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert trusted(MqttOptions(host="broker", offtakes=("city",)))


@pytest.mark.parametrize(
    ("kind", "payload", "believed"),
    [
        ("heartbeat", {"counter": 1}, False),
        ("override", {}, False),
        ("request", {"heatKw": 1.0, "start": stamp(NOW), "end": stamp(NOW + timedelta(hours=1))}, False),
        ("acknowledgement", {"sequence": 1, "verdict": "rejected"}, False),
        ("network", {"at": stamp(NOW - timedelta(minutes=15))}, True),
        ("network", {"at": stamp(NOW - timedelta(minutes=16))}, False),
        ("tank", {"at": stamp(NOW - timedelta(minutes=16)), "levelKwh": 1.0}, False),
        ("demand", {"start": stamp(NOW), "stepSeconds": 900, "heatKw": [1.0]}, False),
        ("demand", {"start": stamp(NOW), "stepSeconds": 900, "heatKw": [1.0], "issuedAt": stamp(NOW)}, True),
        (
            "demand",
            {"start": stamp(NOW), "stepSeconds": 900, "heatKw": [1.0], "issuedAt": stamp(NOW - timedelta(days=2))},
            False,
        ),
    ],
)
def test_a_retained_letter_counts_when_it_tells_its_own_time(kind: str, payload: dict[str, object], believed: bool) -> None:
    assert (retained_wrong(body_of(kind, payload), NOW) == "") is believed


FORECAST = {"start": stamp(NOW), "stepSeconds": 900, "heatKw": [1.0]}
TIMES = {"start": stamp(NOW), "end": stamp(NOW + timedelta(hours=1))}
ANSWERED = {"sequence": 1, "verdict": "rejected"}


@pytest.mark.parametrize(
    ("kind", "payload", "said_s", "late", "counts_s"),
    [
        # Nothing is said of its time, and it did not lie there: it is of now.
        ("heartbeat", {"counter": 1}, None, False, 0),
        ("demand", FORECAST, None, False, 0),
        # It may have lain there.
        ("heartbeat", {"counter": 1}, None, True, None),
        ("demand", FORECAST, None, True, None),
        ("demand", {**FORECAST, "issuedAt": stamp(NOW)}, None, True, 0),
        ("request", {"heatKw": 1.0, **TIMES}, None, True, 0),
        ("maintenance", {"id": "m", "availableKw": 0.0, **TIMES}, None, True, 0),
        ("acknowledgement", ANSWERED, None, True, 0),
        ("tank", {"at": stamp(NOW), "levelKwh": 1.0}, None, True, 0),
        ("override", {}, None, True, 0),
        # It says its time.
        ("heartbeat", {"counter": 1}, 30, True, 0),
        ("heartbeat", {"counter": 1}, 31, False, None),
        ("demand", FORECAST, 3600, True, 0),
        ("acknowledgement", ANSWERED, 3600, True, 3600),
        ("acknowledgement", ANSWERED, -100, True, 0),
        ("acknowledgement", ANSWERED, -121, True, None),
        ("acknowledgement", ANSWERED, 86401, True, None),
        ("override", {}, 999999, True, 0),
    ],
)
def test_a_letter_counts_from_when_it_was_said(
    kind: str, payload: dict[str, object], said_s: int | None, late: bool, counts_s: int | None
) -> None:
    said_at = None if said_s is None else stamp(NOW - timedelta(seconds=said_s))
    found = dated(body_of(kind, payload), NOW, said_at, late)
    assert (found.wrong == "") is (counts_s is not None)
    if counts_s is not None:
        assert found.at_utc == NOW - timedelta(seconds=counts_s)
    if isinstance(found.body, DemandForecast) and said_s is not None:
        assert found.body.issued_utc == NOW - timedelta(seconds=said_s)


def test_an_instant_that_is_none_is_refused_but_for_an_override() -> None:
    assert "saidAt" in dated(body_of("acknowledgement", ANSWERED), NOW, "yesterday", late=False).wrong
    assert dated(body_of("override", {}), NOW, "yesterday", late=False).wrong == ""
