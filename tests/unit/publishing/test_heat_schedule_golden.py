"""The message byte for byte: files that receivers may rely on, each of which is a HeatSchedule by schema and by our own check.

A change of these files is a change of what is published: it needs a new schemaVersion and a record in docs/adr.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from link_offers import NOON, offer, promise

from scheduler.adapters.plantlink.store.messages import canonical
from scheduler.core.publishing.issuing import Issue, cancelled, issued
from scheduler.core.publishing.message import INTERVAL, problems
from scheduler.core.publishing.schema import heat_schedule_schema

FOLDER = Path(__file__).parents[2] / "golden"
SCHEMA = Draft202012Validator(heat_schedule_schema())


def made() -> dict[str, dict[str, object]]:
    """A short conversation: a plan, a promise, an update of hours, a cancel; and advice."""
    issue = Issue(site_id="site", meter_point_id="MP-1", last=None)
    plan = issued(offer(slots=4, heat_g_per_kwh=np.full(4, 12.5)), issue)
    firm = issued(offer(slots=4), Issue(site_id="site", meter_point_id="MP-1", last=plan, promises=[promise(1)]))
    cold = offer(120.0, slots=4, at_utc=NOON + timedelta(minutes=15), supply_c=np.full(4, 45.0), boiler_request_kw=7.25)
    update = issued(cold, Issue(site_id="site", meter_point_id="MP-1", last=firm))
    assert update is not None
    cancel = cancelled(update, NOON + timedelta(minutes=20), "all is let go")
    advice = issued(offer(slots=4, advisory=True, heat_g_per_kwh=np.array([0.0, 12.5, 80.25, 300.0])), issue)
    found = {"plan": plan, "firm": firm, "update": update, "cancel": cancel, "advice": advice}
    return {name: payload for name, payload in found.items() if payload is not None}


@pytest.mark.parametrize("name", ["plan", "firm", "update", "cancel", "advice"])
def test_messages_are_the_golden_ones(name: str) -> None:
    payload = made()[name]
    golden = (FOLDER / f"heat_schedule_{name}.json").read_bytes()
    assert json.dumps(payload, indent=1, sort_keys=True) + "\n" == golden.decode()
    assert problems(payload) == ()
    assert list(SCHEMA.iter_errors(payload)) == []
    assert json.loads(canonical(payload)) == payload


def test_the_schema_refuses_what_the_check_refuses_field_by_field() -> None:
    payload = made()["plan"]
    rows = payload["intervals"]
    assert isinstance(rows, list)
    for key in payload:
        without = {name: value for name, value in payload.items() if name != key}
        assert problems(without)
        assert list(SCHEMA.iter_errors(without))
    for key in INTERVAL:
        short = {**payload, "intervals": [{name: value for name, value in rows[0].items() if name != key}]}
        assert problems(short)
        assert list(SCHEMA.iter_errors(short))
    tampered: list[dict[str, object]] = [
        {"sequence": -1},
        {"kind": "maybe"},
        {"extra": 1},
        {"validUntil": "2026-01-15 13:00"},
        {"intervals": []},
    ]
    for wrong in tampered:
        assert problems({**payload, **wrong})
        assert list(SCHEMA.iter_errors({**payload, **wrong}))
