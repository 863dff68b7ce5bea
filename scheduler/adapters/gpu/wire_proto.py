"""Protocol Buffers as they are on the wire, read without a schema: fields by number; what is not asked for is passed over.

A message is a row of fields, each a varint (number << 3 | type) and a value by type: 0 varint, 1 eight bytes, 2 length and
bytes, 5 four bytes (protobuf.dev, "Encoding"). Types 3 and 4 (groups) are in no message of proto3.
"""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.domain.errors import HeatDispatchError

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
# Ten bytes of seven bits hold the longest number, of 64 bits.
LONGEST = 10


class Malformed(HeatDispatchError):
    """These bytes are no message."""


def chunks(message: bytes, wanted: int) -> Iterator[bytes]:
    """Values of one field of a message: texts, or messages within it.

    Raises:
        Malformed: when the message is none, or this field is no text or message; what came before has been told by then.
    """
    return (value for _, value in fields(message, (wanted,)))


def fields(message: bytes, wanted: tuple[int, ...]) -> Iterator[tuple[int, bytes]]:
    """Texts and messages within a message, with the numbers of their fields, in the order in which they were written.

    Raises:
        Malformed: when the message is none, or one of these fields is no text or message.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise Malformed("a field without a number")
        start, at = _value(message, at, kind)
        if number in wanted:
            if kind != BYTES:
                raise Malformed(f"field {number} is of wire type {kind}")
            yield number, message[start:at]


def _value(message: bytes, at: int, kind: int) -> tuple[int, int]:
    """Where a value begins and ends."""
    if kind == VARINT:
        return at, _varint(message, at)[1]
    if kind == BYTES:
        size, at = _varint(message, at)
    elif kind in (EIGHT, FOUR):
        size = 8 if kind == EIGHT else 4
    else:
        raise Malformed(f"a field of wire type {kind}")
    if size > len(message) - at:
        raise Malformed("a field is longer than its message")
    return at, at + size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, seven bits a byte and the lowest first, and where it ends."""
    found = 0
    for place, byte in enumerate(message[at : at + LONGEST]):
        found |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return found, at + place + 1
    raise Malformed("a number does not end")


def text(value: bytes) -> str:
    """A text.

    Raises:
        Malformed: when it is not UTF-8.
    """
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a text is not UTF-8") from None
