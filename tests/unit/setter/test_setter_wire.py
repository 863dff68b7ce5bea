"""The lines between agent and setter: what goes in comes out, and nothing but lines of ours does."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.gpu.setter_wire import (
    MAX_LINE_BYTES,
    MAX_TEXT,
    Malformed,
    answer_line,
    answer_of,
    asking_line,
    error_line,
    look_line,
    request_of,
)
from scheduler.domain.capping import Answer, Asking, Condition, GpuStanding, Restored, SetterCounts, Want

TEXT = st.text(max_size=MAX_TEXT)
COUNT = st.integers(0, 2**63 - 1)
NUMBER = st.floats(allow_nan=False)
WANT = st.builds(Want, uuid=TEXT, cap_w=NUMBER, lease_s=NUMBER, pod_uid=TEXT, emergency=st.booleans())
ASKING = st.builds(
    Asking,
    source=TEXT,
    generation=COUNT,
    plan_id=TEXT,
    wants=st.lists(WANT, max_size=8).map(tuple),
    back=st.dictionaries(TEXT, st.sampled_from(Restored), max_size=8),
)
WATTS = st.none() | NUMBER
STANDING = st.builds(
    GpuStanding,
    uuid=TEXT,
    condition=st.sampled_from(Condition),
    why=TEXT,
    pod_uid=TEXT,
    clamped=st.booleans(),
    **{
        name: WATTS
        for name in ("original_w", "requested_w", "enforced_w", "default_w", "least_w", "most_w", "cap_w", "lease_s")
    },
)
COUNTS = st.builds(
    SetterCounts,
    restores=st.dictionaries(st.sampled_from(Restored), COUNT),
    refused=st.dictionaries(TEXT, COUNT, max_size=4),
    **{name: COUNT for name in ("writes", "read_back_failures", "foreign_writes", "clamps", "journal_failures")},
)
ANSWER = st.builds(
    Answer,
    gpus=st.lists(STANDING, max_size=4).map(tuple),
    counts=COUNTS,
    dry_run=st.booleans(),
    waiting=st.booleans(),
    trouble=TEXT,
)


@given(ASKING)
def test_what_is_asked_arrives(asking: Asking) -> None:
    assert request_of(asking_line(asking)) == asking


@given(ANSWER)
def test_what_is_answered_arrives(answer: Answer) -> None:
    assert answer_of(answer_line(answer)) == answer


@given(ASKING)
def test_a_request_is_one_line(asking: Asking) -> None:
    line = asking_line(asking)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


def test_the_lines_are_the_documented_ones() -> None:
    asking = Asking(
        source="uid",
        generation=7,
        plan_id="p",
        wants=(Want(uuid="GPU-2", cap_w=400.0, lease_s=120.0, pod_uid="pod"),),
        back={"GPU-1": Restored.OCCUPANT},
    )
    assert json.loads(asking_line(asking)) == {
        "version": 1,
        "source": "uid",
        "generation": 7,
        "planId": "p",
        "wants": [{"uuid": "GPU-2", "capWatts": 400.0, "leaseSeconds": 120.0, "podUid": "pod", "emergency": False}],
        "back": {"GPU-1": "occupant"},
    }
    assert request_of(look_line()) is None


def test_a_number_that_is_none_reaches_whoever_refuses_it_by_name() -> None:
    line = b'{"version":1,"source":"s","generation":1,"wants":[{"uuid":"u","capWatts":NaN,"leaseSeconds":1%s}]}'
    asking = request_of(line % (b"0" * 400))
    assert asking is not None
    assert asking.wants[0].cap_w != asking.wants[0].cap_w
    assert asking.wants[0].lease_s == float("inf")


def test_an_error_is_told_as_one() -> None:
    with pytest.raises(Malformed, match="too many messages"):
        answer_of(error_line("too many messages"))


WHOLE: dict[str, Any] = {
    "version": 1,
    "source": "s",
    "generation": 1,
    "wants": [{"uuid": "u", "capWatts": 1, "leaseSeconds": 1}],
}


def test_the_least_request_is_understood() -> None:
    assert request_of(json.dumps(WHOLE).encode()) == Asking(
        source="s", generation=1, wants=(Want(uuid="u", cap_w=1.0, lease_s=1.0),)
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "another version"),
        ({"version": None}, "another version"),
        ({"source": 3}, "source"),
        ({"source": "x" * (MAX_TEXT + 1)}, "source"),
        ({"generation": -1}, "generation"),
        ({"generation": 1.0}, "generation"),
        ({"generation": True}, "generation"),
        ({"generation": 2**63}, "generation"),
        ({"wants": {}}, "wants"),
        ({"wants": ["GPU-1"]}, "wants"),
        ({"wants": [{"uuid": "u", "capWatts": "400", "leaseSeconds": 1}]}, "capWatts"),
        ({"wants": [{"uuid": "u", "capWatts": 400, "leaseSeconds": True}]}, "leaseSeconds"),
        ({"wants": [{"uuid": "u", "capWatts": 400, "leaseSeconds": 1, "emergency": 1}]}, "emergency"),
        ({"back": ["GPU-1"]}, "back"),
        ({"back": {"GPU-1": "because"}}, "back"),
        ({"back": {"GPU-1": []}}, "back"),
    ],
)
def test_another_form_is_refused_by_the_name_of_its_field(change: dict[str, Any], says: str) -> None:
    with pytest.raises(Malformed, match=says):
        request_of(json.dumps({**WHOLE, **change}).encode())


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"null", b"[]", b"\xff\xfe", b"[" * 60_000, b"9" * 5_000, b"{" * (MAX_LINE_BYTES + 1)]
)
def test_what_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(Malformed):
        request_of(line)


@settings(max_examples=300)
@given(ASKING, st.data())
def test_a_torn_or_changed_line_is_read_or_refused_never_worse(asking: Asking, data: st.DataObject) -> None:
    line = bytearray(asking_line(asking))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] = data.draw(st.integers(0, 255))
    del line[data.draw(st.integers(at, len(line))) :]
    found = None
    with suppress(Malformed):
        found = request_of(bytes(line))
    assert found is None or isinstance(found, Asking)
