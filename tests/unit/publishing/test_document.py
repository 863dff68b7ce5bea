"""Bytes from outside become a document or a reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.publishing.document import document
from scheduler.core.publishing.letters import NotALetter


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "must be JSON"),
        (b"\xff", "UTF-8"),
        (b'{"a":1,"a":2}', "twice"),
        (b'{"a":NaN}', "no number"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "digits"),
        (b"[" * 60000, "deep"),
        (b" " * 70000, "longer than"),
    ],
)
def test_what_is_no_document_is_refused_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(NotALetter, match=why):
        document(data)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_no_letter(data: bytes) -> None:
    try:
        found = document(data)
    except NotALetter:
        return
    assert json.loads(data) == found
