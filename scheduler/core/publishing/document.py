"""Bytes that came from outside, over REST or MQTT, read as JSON with distrust."""

from __future__ import annotations

import json

from scheduler.core.publishing.letters import NotALetter
from scheduler.core.publishing.message import number

MAX_LETTER_BYTES = 64 * 1024
MAX_DIGITS = 30


def document(data: bytes, max_bytes: int = MAX_LETTER_BYTES) -> object:
    """A JSON document that somebody has sent.

    Args:
        data: UTF-8.
        max_bytes: longer ones are not even looked at.

    Raises:
        NotALetter: it is too long, no JSON, nested too deeply, names a field twice, or holds NaN or infinity.
    """
    if len(data) > max_bytes:
        raise NotALetter(f"longer than {max_bytes} bytes")
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_once, parse_constant=_no_number, parse_int=_whole, parse_float=_real
        )
    except UnicodeDecodeError:
        raise NotALetter("must be UTF-8") from None
    except RecursionError:
        raise NotALetter("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise NotALetter(f"must be JSON: {error.msg} at character {error.pos}") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object in which no field stands twice: readers differ in which of the two they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotALetter("names a field twice")
    return found


def _no_number(text: str) -> object:
    raise NotALetter(f"{text}: is no number")


def _whole(text: str) -> int:
    """A whole number; reading one of thousands of digits would take long."""
    if len(text) > MAX_DIGITS:
        raise NotALetter("a number has too many digits")
    return int(text)


def _real(text: str) -> float:
    value = float(text) if len(text) <= 10 * MAX_DIGITS else None
    if value is None or number(value) is None:
        raise NotALetter("a number has too many digits, or is too large")
    return value
