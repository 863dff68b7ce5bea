"""Bytes of Protocol Buffers, by the examples of their specification and by bytes of chance."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubelet_peer import part, varint

from scheduler.adapters.gpu.wire_proto import Malformed, chunks, fields, text


def test_a_field_is_found_among_others_of_every_type() -> None:
    # protobuf.dev, "Encoding": field 1 = 150 is 08 96 01, field 2 = "testing" is 12 07 and the text. Before eight bytes stands
    # 19 (field 3, type 1), before four 25 (field 4, type 5).
    others = b"\x08\x96\x01" + b"\x19" + bytes(8) + b"\x25" + bytes(4)
    assert list(fields(others + b"\x12\x07testing" + others, (2,))) == [(2, b"testing")]


def test_fields_keep_their_order_and_repeat() -> None:
    message = part(2, "b") + part(1, "a") + part(7, "not asked for") + part(2, "c") + part(2, b"")
    assert list(fields(message, (1, 2))) == [(2, b"b"), (1, b"a"), (2, b"c"), (2, b"")]
    assert list(chunks(message, 2)) == [b"b", b"c", b""]
    assert list(chunks(b"", 1)) == []


def test_numbers_of_fields_need_several_bytes_from_16_on() -> None:
    # 300 << 3 | 2 = 2402 = 0b10010_1100010: e2 12.
    assert varint(2402) == b"\xe2\x12"
    assert list(chunks(part(300, "far"), 300)) == [b"far"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\x12", "a number does not end"),
        (b"\x12\x05four", "longer than its message"),
        (b"\x12" + b"\xff" * 9 + b"\x01" + b"x", "longer than its message"),
        (b"\x12" + b"\xff" * 11, "a number does not end"),
        (b"\x19\x00", "longer than its message"),
        (b"\x02\x00", "without a number"),
        (b"\x13", "wire type 3"),
        (b"\x10\x07", "field 2 is of wire type 0"),
    ],
)
def test_what_is_no_message_is_said_so(message: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        list(chunks(message, 2))


def test_a_text_is_utf8() -> None:
    assert text("Größe".encode()) == "Größe"
    with pytest.raises(Malformed):
        text(b"\xff")


@given(st.binary(max_size=200))
def test_bytes_of_chance_are_a_message_or_malformed(message: bytes) -> None:
    found: list[tuple[int, bytes]] = []
    with suppress(Malformed):
        found.extend(fields(message, (1, 2, 3)))
    assert sum(len(value) for _, value in found) <= len(message)


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.binary(max_size=300)), max_size=8))
def test_what_is_written_is_read(written: list[tuple[int, bytes]]) -> None:
    message = b"".join(part(number, value) for number, value in written)
    assert list(fields(message, tuple(number for number, _ in written))) == written
