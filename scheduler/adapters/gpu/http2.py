"""A client's end of HTTP/2 (RFC 9113) for one call at a time: bytes in and out, and no socket.

A library for all of HTTP/2 takes half a millisecond of processor time for a call, and an agent calls twice a second for as long
as the node lives. What is left out here: calls side by side, priorities, pushes, and waiting for room to send in, since what is
sent is a few bytes. Header fields (RFC 7541) are read by `hpack`; they are asked for without a memory of earlier ones, so those
of every answer are the same bytes, and are read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hpack import Decoder, HPACKError

from scheduler.domain.errors import HeatDispatchError

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES: Final = 9
# Kinds of frames, and flags of them.
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
PRIORITY_BYTES: Final = 5
# Settings.
HEADER_TABLE_BYTES, ENABLE_PUSH, WINDOW, HEADER_LIST_BYTES = 1, 2, 4, 6
# The largest frame that may be sent to one who has not asked for larger ones.
MOST_FRAME_BYTES: Final = 16384
MOST_HEADER_BYTES: Final = 16384
# How much may come before more is granted, of one answer and of all together; and the window of a connection as it begins.
WINDOW_BYTES, FIRST_WINDOW_BYTES = 16 * 1024 * 1024, 65535
LAST_STREAM: Final = 2**31 - 1
# So many different blocks of headers are kept; a server has two or three.
KEPT_BLOCKS: Final = 16

Fields = dict[bytes, bytes]


class NotHttp2(HeatDispatchError):
    """What came is not HTTP/2, or no part of it that is known here."""


@dataclass(frozen=True, slots=True)
class Head:
    """Header fields of the answer, or its trailers."""

    fields: Fields
    last: bool


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of its body."""

    content: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """The server will not go on with this answer."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """The server takes no more calls on this connection."""


Event = Head | Body | BrokenOff | Farewell


def header_block(fields: Sequence[tuple[str, str]]) -> bytes:
    """Header fields as literals without indexing (RFC 7541, 6.2.2): the same bytes every time. Each shorter than 127 bytes."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


class Http2Client:
    """One connection. `words` are to be sent whenever there are any."""

    def __init__(self) -> None:
        """Begin with what a client says first."""
        settings = {HEADER_TABLE_BYTES: 0, ENABLE_PUSH: 0, WINDOW: WINDOW_BYTES, HEADER_LIST_BYTES: MOST_HEADER_BYTES}
        said = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in settings.items())
        more = (WINDOW_BYTES - FIRST_WINDOW_BYTES).to_bytes(4, "big")
        self.words = bytearray(PREFACE + _frame(SETTINGS, 0, 0, said) + _frame(WINDOW_UPDATE, 0, 0, more))
        self._unread = bytearray()
        self._decoder, self._known = Decoder(max_header_list_size=MOST_HEADER_BYTES), dict[bytes, Fields]()
        self._stream, self._taken_bytes = -1, 0
        self._block: bytearray | None = None
        self._block_is_last = False

    def ask(self, headers: bytes, body: bytes) -> None:
        """Begin a call, with the block of its headers and a small body; the one before it is over.

        Raises:
            NotHttp2: when a connection has no number left for it.
        """
        self._stream += 2
        if self._stream > LAST_STREAM:
            raise NotHttp2("no more calls fit into this connection")
        self.words += _frame(HEADERS, END_HEADERS, self._stream, headers) + _frame(DATA, END_STREAM, self._stream, body)

    def take(self, read: bytes) -> list[Event]:
        """What bytes that were read say of the call; what they ask to be answered is added to `words`.

        Raises:
            NotHttp2: when they are not what may come.
        """
        unread, at, events = self._unread, 0, list[Event]()
        unread += read
        while len(unread) - at >= HEAD_BYTES:
            size = int.from_bytes(unread[at : at + 3], "big")
            if size > MOST_FRAME_BYTES:
                raise NotHttp2(f"a frame of {size} bytes")
            begin, end = at + HEAD_BYTES, at + HEAD_BYTES + size
            if len(unread) < end:
                break
            kind, flags, stream = unread[at + 3], unread[at + 4], int.from_bytes(unread[at + 5 : begin], "big") & LAST_STREAM
            events += self._frame(kind, flags, stream, bytes(unread[begin:end]))
            at = end
        del unread[:at]
        return events

    def _frame(self, kind: int, flags: int, stream: int, content: bytes) -> Sequence[Event]:
        """One frame."""
        if (self._block is not None) != (kind == CONTINUATION):
            raise NotHttp2("headers that are not whole")
        if kind in (HEADERS, DATA) and flags & PADDED:
            content, padded = _unpadded(content), len(content)
        else:
            padded = len(content)
        found: Event | None = None
        if kind == DATA:
            self._taken(padded)
            found = Body(content, bool(flags & END_STREAM))
        elif kind in (HEADERS, CONTINUATION):
            found = self._headers(kind, flags, content)
        elif kind == RST_STREAM:
            found = BrokenOff()
        elif kind == GOAWAY:
            return [Farewell()]
        elif kind in (SETTINGS, PING):
            if not flags & ACK:
                self.words += _frame(kind, ACK, 0, content if kind == PING else b"")
        elif kind == PUSH_PROMISE:
            raise NotHttp2("a push, which was not allowed")
        return [found] if found is not None and stream == self._stream else []

    def _headers(self, kind: int, flags: int, content: bytes) -> Head | None:
        """Header fields, once their block is whole: all of them are read, since each may change how the next are to be read."""
        if kind == HEADERS:
            self._block, self._block_is_last = bytearray(), bool(flags & END_STREAM)
            content = content[PRIORITY_BYTES:] if flags & WITH_PRIORITY else content
        assert self._block is not None
        self._block += content
        if len(self._block) > MOST_HEADER_BYTES:
            raise NotHttp2("headers that are too long")
        if not flags & END_HEADERS:
            return None
        block, self._block = bytes(self._block), None
        return Head(self._read(block), self._block_is_last)

    def _read(self, block: bytes) -> Fields:
        """The fields in a block; known at once where it hangs on no other block."""
        if block in self._known:
            return self._known[block]
        try:
            fields = {bytes(name): bytes(value) for name, value in self._decoder.decode(block, raw=True)}
        except HPACKError as error:
            raise NotHttp2(f"headers that cannot be read: {type(error).__name__}") from error
        if self._decoder.header_table.dynamic_entries:
            self._known.clear()
        elif len(self._known) < KEPT_BLOCKS:
            self._known[block] = fields
        return fields

    def _taken(self, count: int) -> None:
        """Grant as much again as was taken, once it is worth a frame. What one answer may be never runs out within a call."""
        self._taken_bytes += count
        if self._taken_bytes >= WINDOW_BYTES // 4:
            self.words += _frame(WINDOW_UPDATE, 0, 0, self._taken_bytes.to_bytes(4, "big"))
            self._taken_bytes = 0


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + content


def _unpadded(content: bytes) -> bytes:
    """A frame's content without its padding."""
    if not content or content[0] >= len(content):
        raise NotHttp2("more padding than there is of a frame")
    return content[1 : len(content) - content[0]]


def _text(text: str) -> bytes:
    """A text as it is, with its length before it."""
    return bytes((len(text),)) + text.encode("ascii")
