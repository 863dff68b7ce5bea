"""Conditions move their time only with their status."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from runtime_world import START_UTC

from scheduler.adapters.kubernetes.runtime.conditions import Condition, Truth, found, holds, merged

READY = Condition(type="Ready", status=Truth.TRUE, reason="PlanCurrent", message="plan 7f3a")


def seen(*conditions: dict[str, Any], generation: int | None = 3) -> dict[str, Any]:
    metadata = {} if generation is None else {"generation": generation}
    return {"metadata": metadata, "status": {"conditions": list(conditions)}}


def test_a_new_condition() -> None:
    assert merged(seen(), [READY], START_UTC) == (
        {
            "type": "Ready",
            "status": "True",
            "reason": "PlanCurrent",
            "message": "plan 7f3a",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 3,
        },
    )
    assert "observedGeneration" not in merged(seen(generation=None), [READY], START_UTC)[0]
    assert merged({}, [READY], START_UTC)[0]["status"] == "True"


def test_time_stands_while_the_status_stands() -> None:
    first = merged(seen(), [READY], START_UTC)[0]
    later = START_UTC + timedelta(hours=1)
    other_reason = Condition(type="Ready", status=Truth.TRUE, reason="PlanKept", message="plan 8a00")
    kept = merged(seen(first, generation=4), [other_reason], later)[0]
    assert (kept["lastTransitionTime"], kept["reason"], kept["observedGeneration"]) == (
        "2026-01-01T00:00:00Z",
        "PlanKept",
        4,
    )
    lost = merged(seen(kept), [Condition(type="Ready", status=Truth.FALSE, reason="Degraded")], later)[0]
    assert lost["lastTransitionTime"] == "2026-01-01T01:00:00Z"


def test_a_repeat_is_equal_so_that_nothing_is_written() -> None:
    first = merged(seen(), [READY], START_UTC)
    assert merged(seen(*first), [READY], START_UTC + timedelta(days=1)) == first


def test_what_is_not_wanted_goes() -> None:
    stale = {"type": "ForecastStale", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"}
    assert [one["type"] for one in merged(seen(stale), [READY], START_UTC)] == ["Ready"]


def test_reading() -> None:
    obj = seen({"type": "Ready", "status": "True"}, {"type": "Degraded", "status": "False"})
    assert holds(obj, "Ready")
    assert not holds(obj, "Degraded")
    assert not holds(obj, "Unknown")
    assert not holds({"status": {"conditions": None}}, "Ready")
    assert found(obj, "Degraded") == {"type": "Degraded", "status": "False"}


@pytest.mark.parametrize("reason", ["", "plan is current", "1st", "Plan-Current", "x" * 2000])
def test_reasons_are_words(reason: str) -> None:
    with pytest.raises(ValueError, match="CamelCase"):
        Condition(type="Ready", status=Truth.TRUE, reason=reason)


def test_a_message_is_cut_to_what_the_server_takes() -> None:
    long = Condition(type="Ready", status=Truth.TRUE, reason="R", message="x" * 40_000)
    assert len(merged(seen(), [long], START_UTC)[0]["message"]) == 32768
