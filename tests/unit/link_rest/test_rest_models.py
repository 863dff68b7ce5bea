"""OpenAPI says of letters and answers what the core reads and says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantlink.rest.app import PlantRoutes, app_of
from scheduler.adapters.plantlink.rest.models import LETTERS, SCHEDULE, HeartbeatAnswer, Said
from scheduler.core.publishing.heartbeat_payload import heartbeat_payload
from scheduler.core.publishing.letters import KINDS, LetterLimits, NotALetter, body_of
from scheduler.core.publishing.message import problems
from scheduler.core.publishing.payloads import kind_of, payload_of
from scheduler.core.publishing.schema import heat_schedule_schema
from scheduler.domain.plantlink import AlarmLevel, Heartbeat, LinkMode


def names(model: type[Said]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_every_kind_of_letter_is_described() -> None:
    assert list(LETTERS) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_fields_of_a_letter_are_those_that_are_read(kind: str) -> None:
    model, example = LETTERS[kind]
    with pytest.raises(NotALetter, match="unknown field") as caught:
        body_of(kind, {**example, "no such field": 1})
    expected = str(caught.value).partition("(expected ")[2].rstrip(")").split(", ")
    assert names(model) == set(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_a_letter_in_both_books_and_comes_back_as_it_was(kind: str) -> None:
    model, example = LETTERS[kind]
    body = body_of(kind, example)
    assert kind_of(body) == kind
    assert model.model_validate(payload_of(body))
    assert model.model_validate(example)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_required_is_required_in_both_books(kind: str) -> None:
    model, example = LETTERS[kind]
    required = {field.alias or name for name, field in model.model_fields.items() if field.is_required()}
    for name in example:
        payload = {key: value for key, value in example.items() if key != name}
        if name in required:
            with pytest.raises(NotALetter):
                body_of(kind, payload)
        elif name != "acceptedKw":  # which the verdict of the example demands
            assert body_of(kind, payload) is not None


def test_the_example_of_a_schedule_is_one() -> None:
    assert problems(SCHEDULE) == ()
    Draft202012Validator(heat_schedule_schema()).validate(SCHEDULE)


def test_a_heartbeat_is_described_as_it_is_said() -> None:
    beat = Heartbeat(
        offtake_id="city", counter=1, at_utc=datetime(2026, 1, 31, 23, 45, tzinfo=UTC), last_sequence=None,
        mode=LinkMode.AUTO, bypass=False, boiler_on=True, boiler_kw=None, alarm=AlarmLevel.NONE,
    )  # fmt: skip
    assert names(HeartbeatAnswer) == set(heartbeat_payload(beat))
    assert HeartbeatAnswer.model_validate(heartbeat_payload(beat)).boiler_on
    assert set(get_args(HeartbeatAnswer.model_fields["mode"].annotation)) == set(LinkMode)
    assert set(get_args(HeartbeatAnswer.model_fields["alarm"].annotation)) == {one.name.lower() for one in AlarmLevel}


def test_every_route_has_its_problems_and_every_letter_its_example() -> None:
    clock = SystemClock()
    desk = MemoryDesk("site", {"city": LetterLimits(max_heat_kw=1.0, tank_kwh=None)}, {"city": "plug"}, clock)
    app: FastAPI = app_of(PlantRoutes(desk, clock, 1000))
    paths = app.openapi()["paths"]
    assert {f"/v1/offtakes/{{offtakeId}}/letters/{kind}" for kind in KINDS} < set(paths)
    for path, methods in paths.items():
        for method, told in methods.items():
            assert {"401", "404", "422", "429", "503"} <= set(told["responses"]), path
            assert told["security"], path
            if method == "post":
                content = told["requestBody"]["content"]["application/json"]
                assert content["example"] == LETTERS[path.rpartition("/")[2]][1]
                assert content["schema"]["additionalProperties"] is False
