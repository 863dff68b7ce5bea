"""Values as registers and back: scaled integers, both word orders, text."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from scheduler.adapters.plantlink.modbus.registers import Block, Form, Register

Value = float | int | str | None
WORD_BITS = 16


def not_known(register: Register) -> int:
    """The count that stands for "not known": all ones, or the sign bit alone."""
    bits = register.words * WORD_BITS
    return 1 << (bits - 1) if register.form.signed else (1 << bits) - 1


def count_of(register: Register, value: float | int | None) -> int:
    """A value as an unsigned count; one that has no place in its register is not known, never another value."""
    if value is None:
        return not_known(register)
    # A sequence of 64 bits must not pass through a float.
    count = value if isinstance(value, int) and not register.decimals else round(float(value) * 10**register.decimals)
    bits = register.words * WORD_BITS
    low, high = (1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1) if register.form.signed else (0, (1 << bits) - 2)
    return count % (1 << bits) if low <= count <= high else not_known(register)


def value_of(register: Register, count: int) -> float | int | None:
    """The value of an unsigned count; whole numbers stay whole."""
    if count == not_known(register):
        return None
    bits = register.words * WORD_BITS
    if register.form.signed and count >> (bits - 1):
        count -= 1 << bits
    return count / 10**register.decimals if register.decimals else count


def text_bytes(text: str, words: int) -> bytes:
    """UTF-8, cut where a character ends, filled up with zeros."""
    room = words * 2
    return text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore").encode().ljust(room, b"\0")


def encoded(register: Register, value: Value, low_word_first: bool) -> bytes:
    """A value as its registers go over the wire; a text that is not known is empty."""
    if register.form is Form.TEXT:
        return text_bytes(value if isinstance(value, str) else "", register.words)
    count = count_of(register, None if isinstance(value, str) else value)
    return count_bytes(count, register.words, low_word_first)


def count_bytes(count: int, words: int, low_word_first: bool) -> bytes:
    """A count in registers, in either order of words."""
    data = count.to_bytes(2 * words, "big")
    return b"".join(data[i : i + 2] for i in range(len(data) - 2, -1, -2)) if low_word_first and words > 1 else data


def decoded(register: Register, words: Sequence[int], low_word_first: bool) -> Value:
    """What some registers say; `words` are those of this value alone."""
    if register.form is Form.TEXT:
        return struct.pack(f">{len(words)}H", *words).rstrip(b"\0").decode("utf-8", "replace")
    count = 0
    for word in reversed(words) if low_word_first else words:
        count = (count << WORD_BITS) | word
    return value_of(register, count)


def block_bytes(block: Block, values: dict[str, Value], low_word_first: bool) -> bytes:
    """A block as it goes over the wire; a name that is not given is not known."""
    return b"".join(encoded(one, values.get(one.name), low_word_first) for one in block.registers)


def block_values(block: Block, words: Sequence[int], low_word_first: bool) -> dict[str, Value]:
    """What a block says, by name; `words` begin with its first register."""
    return {one.name: decoded(one, words[one.offset : one.end], low_word_first) for one in block.registers}
