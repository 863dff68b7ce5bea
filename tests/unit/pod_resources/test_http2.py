"""A client's end of HTTP/2, against a library that speaks all of it, and against bytes that are none of it."""

from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, SettingsAcknowledged, StreamEnded
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.gpu.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_BYTES,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Body,
    BrokenOff,
    Event,
    Farewell,
    Head,
    Http2Client,
    NotHttp2,
    header_block,
)

ASKED = [
    (":method", "POST"),
    (":path", "/a.Service/Method"),
    (":scheme", "http"),
    (":authority", "localhost"),
    ("te", "trailers"),
]
# 0x88 is `:status: 200` (RFC 7541, appendix A).
WELL = b"\x88"
FRAMES = st.tuples(st.integers(0, 255), st.integers(0, 255), st.sampled_from([0, 1, 3]), st.binary(max_size=40))


def frame(kind: int, flags: int = 0, stream: int = 1, content: bytes = b"") -> bytes:
    return len(content).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + content


def asking() -> Http2Client:
    """A client that has sent a call, and what it says to begin with."""
    client = Http2Client()
    client.ask(header_block(ASKED), b"")
    client.words.clear()
    return client


def answered(server: H2Connection, words: bytes, **headers: str) -> list[tuple[bytes, bytes]]:
    """A server hears words, and answers a call that is among them; what it has heard of the call's headers."""
    heard = []
    for event in server.receive_data(words):
        if isinstance(event, RequestReceived):
            heard = [(bytes(name), bytes(value)) for name, value in event.headers]
        if isinstance(event, StreamEnded):
            server.send_headers(event.stream_id, [(":status", "200"), *headers.items()])
            server.send_data(event.stream_id, b"body")
            server.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
    return heard


def test_a_library_understands_what_is_asked_and_what_it_says_is_understood() -> None:
    server, client = H2Connection(H2Configuration(client_side=False, header_encoding=None)), Http2Client()
    server.initiate_connection()
    for number in range(5):
        client.ask(header_block(ASKED), b"question")
        heard = answered(server, bytes(client.words), **{"x-call": str(number)})
        client.words.clear()
        assert heard == [(name.encode(), value.encode()) for name, value in ASKED]
        events = client.take(server.data_to_send())
        assert events == [
            Head({b":status": b"200", b"x-call": str(number).encode()}, last=False),
            Body(b"body", last=False),
            Head({b"grpc-status": b"0"}, last=True),
        ]
    assert server.remote_settings[SettingCodes.HEADER_TABLE_SIZE] == 0
    assert [type(one) for one in server.receive_data(bytes(client.words))] in ([], [SettingsAcknowledged])


def test_headers_by_a_memory_of_earlier_ones_are_read_though_none_was_asked_for() -> None:
    client = asking()
    # Literals with incremental indexing (0x40), then the same fields by their places in the table: 62 is the newest.
    first = WELL + b"\x40\x01a\x01b" + b"\x40\x01c\x01d"
    assert client.take(frame(HEADERS, END_HEADERS, 1, first)) == [
        Head({b":status": b"200", b"a": b"b", b"c": b"d"}, last=False)
    ]
    assert client.take(frame(HEADERS, END_HEADERS, 1, b"\xbe\xbf")) == [Head({b"c": b"d", b"a": b"b"}, last=False)]
    assert client.take(frame(HEADERS, END_HEADERS, 1, b"\x40\x01e\x01f")) == [Head({b"e": b"f"}, last=False)]
    # The same bytes say something else now.
    assert client.take(frame(HEADERS, END_HEADERS, 1, b"\xbe\xbf")) == [Head({b"e": b"f", b"c": b"d"}, last=False)]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_an_answer_comes_in_pieces_of_any_size(size: int) -> None:
    padded = bytes([3]) + b"\x00\x00\x00\x00\x00" + WELL + bytes(3)
    words = b"".join([
        frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x64"),
        frame(HEADERS, PADDED | WITH_PRIORITY, 1, padded),
        frame(CONTINUATION, END_HEADERS, 1, b"\x00\x01a\x01b"),
        frame(PING, 0, 0, b"12345678"),
        frame(DATA, PADDED, 1, b"\x02abc\x00\x00"),
        frame(0xEE, 0xFF, 1, b"of a later version"),
        frame(DATA, END_STREAM, 1, b""),
    ])  # fmt: skip
    client, events = asking(), list[Event]()
    for start in range(0, len(words), size):
        events += client.take(words[start : start + size])
    assert events == [Head({b":status": b"200", b"a": b"b"}, last=False), Body(b"abc", last=False), Body(b"", last=True)]
    assert bytes(client.words) == frame(SETTINGS, ACK, 0) + frame(PING, ACK, 0, b"12345678")


def test_what_is_said_of_another_call_is_not_said_of_this_one() -> None:
    client = asking()
    client.ask(header_block(ASKED), b"")
    others = frame(HEADERS, END_HEADERS, 1, WELL) + frame(DATA, 0, 1, b"old") + frame(RST_STREAM, 0, 1, bytes(4))
    assert client.take(others) == []
    assert client.take(frame(RST_STREAM, 0, 3, bytes(4))) == [BrokenOff()]
    assert client.take(frame(GOAWAY, 0, 0, bytes(8))) == [Farewell()]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (frame(DATA, 0, 1, bytes(16_385)), "a frame of 16385 bytes"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a frame of 4740180 bytes"),
        (frame(HEADERS, 0, 1, WELL) + frame(DATA), "headers that are not whole"),
        (frame(CONTINUATION, 0, 1, WELL), "headers that are not whole"),
        (frame(PUSH_PROMISE, 0, 1, bytes(8)), "a push"),
        (frame(DATA, PADDED, 1, b"\x05abc"), "more padding"),
        (frame(DATA, PADDED, 1, b""), "more padding"),
        (frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff"), "headers that cannot be read"),
        (frame(HEADERS, 0, 1, bytes(9000)) + frame(CONTINUATION, 0, 1, bytes(9000)), "headers that are too long"),
    ],
)
def test_what_is_no_http2_is_told_as_such(words: bytes, why: str) -> None:
    with pytest.raises(NotHttp2, match=why):
        asking().take(words)


@settings(max_examples=60, deadline=None)
@given(frames=st.lists(FRAMES, max_size=8), noise=st.binary(max_size=30))
def test_whatever_comes_is_events_or_none_of_it(frames: list[tuple[int, int, int, bytes]], noise: bytes) -> None:
    client = asking()
    try:
        events = client.take(b"".join(frame(*one) for one in frames) + noise)
    except NotHttp2:
        return
    assert len(events) <= len(frames) + 4


def test_what_was_taken_is_granted_again_before_it_is_needed() -> None:
    client, piece, granted = asking(), frame(DATA, 0, 1, bytes(16_384)), 0
    for number in range(1, 3 * WINDOW_BYTES // 16_384):
        assert client.take(piece) == [Body(bytes(16_384), last=False)]
        if client.words:
            granted += int.from_bytes(client.words[9:], "big")
            assert bytes(client.words) == frame(WINDOW_UPDATE, 0, 0, bytes(client.words[9:]))
            client.words.clear()
        # Of 16 MiB as much is always left as the largest answer, of 4 MiB and a little, needs.
        assert WINDOW_BYTES + granted - 16_384 * number >= 5 * 1024 * 1024
