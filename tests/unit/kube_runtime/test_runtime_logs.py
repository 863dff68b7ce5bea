"""Lines tell a cycle as a story, in text or JSON, once per failure, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scheduler.adapters.logs import HIDDEN, Episode, Teller, configure, cycle

Lines = Callable[[], list[str]]


@pytest.fixture
def as_text() -> Iterator[Lines]:
    yield from captured(as_json=False)


@pytest.fixture
def as_json() -> Iterator[Lines]:
    yield from captured(as_json=True)


def captured(*, as_json: bool) -> Iterator[Lines]:
    stream = io.StringIO()
    handler = configure(as_json=as_json, level="debug", stream=stream)
    yield lambda: stream.getvalue().splitlines()
    for name in ("heat_dispatch", "apscheduler", "urllib3", "kubernetes"):
        logger = logging.getLogger(name)
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


def test_text_is_a_line_for_eyes(as_text: Lines) -> None:
    with cycle("7f3a"):
        Teller("loop").info("plan made", held=3, gap=0.00123456789, why="power is cheaper", pools=["a", "b"])
    line = as_text()[0]
    assert line[10] == "T"
    assert line[23] == "Z"
    assert (
        line.split("Z ", 1)[1]
        == 'info    plan made  cycle=7f3a held=3 gap=0.001235 why="power is cheaper" pools=["a", "b"]  (loop)'
    )


def test_json_is_one_object_a_line(as_json: Lines) -> None:
    Teller("loop").warning("held", until=None, ok=True, nan=float("nan"), nested={"a": (1, 2)})
    told: dict[str, Any] = json.loads(as_json()[0])
    del told["at"]
    assert told == {
        "level": "warning",
        "event": "held",
        "until": None,
        "ok": True,
        "nan": "nan",
        "nested": {"a": [1, 2]},
        "from": "loop",
    }


def test_the_cycle_ends_with_its_block(as_json: Lines) -> None:
    with cycle("a"):
        with cycle("b"):
            Teller("x").info("one")
        Teller("x").info("two")
    Teller("x").info("three")
    assert [json.loads(line).get("cycle") for line in as_json()] == ["b", "a", None]


@pytest.mark.parametrize(
    "facts",
    [
        {"token": "abc"},
        {"db_password": "abc"},
        {"headers": {"Authorization": "Bearer abcdefgh", "X": 1}},
        {"url": "postgresql://user:abc@db/ledger"},
        {"error": "401: Authorization: Bearer abcdefgh1234 refused"},
        {"jwt": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"},
    ],
)
def test_secrets_are_hidden(as_json: Lines, facts: dict[str, object]) -> None:
    Teller("x").info("asked", **facts)
    line = as_json()[0]
    assert HIDDEN in line
    assert "abc" not in line.replace("abcissa", "")
    assert "eyJ" not in line


def test_a_fault_carries_its_trace_without_secrets(as_text: Lines) -> None:
    try:
        raise RuntimeError("Bearer abcdefgh1234")
    except RuntimeError as error:
        Teller("x").error("cycle failed", fault=error)
    text = "\n".join(as_text())
    assert "Traceback" in text
    assert "abcdefgh" not in text


def test_a_line_stays_a_line(as_text: Lines) -> None:
    Teller("x").info("two\nlines", name="a\nb")
    assert len(as_text()) == 1


def test_a_failure_is_told_once_and_its_recovery_once(as_json: Lines) -> None:
    episode = Episode(Teller("x"), "watch jobs")
    episode.worked()
    assert [episode.failed("reset") for _ in range(3)] == [1, 2, 3]
    episode.worked()
    episode.worked()
    told = [json.loads(line) for line in as_json()]
    assert [(one["level"], one["event"]) for one in told] == [
        ("warning", "watch jobs failed"),
        ("debug", "watch jobs still fails"),
        ("debug", "watch jobs still fails"),
        ("info", "watch jobs works again"),
    ]
    assert told[-1]["failures"] == 3


def test_levels(as_json: Lines) -> None:
    logging.getLogger("heat_dispatch").setLevel("WARNING")
    Teller("x").info("not told")
    Teller("x").debug("not told")
    Teller("x").warning("told")
    assert len(as_json()) == 1


def test_libraries_speak_in_our_form(as_json: Lines) -> None:
    logging.getLogger("apscheduler.scheduler").error("job %s raised", "x")
    logging.getLogger("urllib3.connectionpool").warning("pool is full")
    assert [json.loads(line)["event"] for line in as_json()] == ["job x raised"]
