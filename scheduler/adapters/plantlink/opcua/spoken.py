"""What a plant says in a method call, as the JSON that `letters.body_of` reads: no argument of OPC UA may be left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from scheduler.adapters.plantlink.opcua.model import Argument, Kind, Method
from scheduler.core.publishing.document import document
from scheduler.core.publishing.letters import MAX_POINTS, NotALetter
from scheduler.core.publishing.message import stamp

# The null time of OPC UA is 1601-01-01; nothing that a plant speaks of lies before this.
FIRST_TIME = datetime(1990, 1, 1, tzinfo=UTC)


def letter_of(method: Method, values: Sequence[object], now_utc: datetime) -> tuple[str, object]:
    """Kind and payload of a call; the types of `values` were checked.

    Args:
        method: which of the model.
        values: one per argument of it.
        now_utc: stands for a time of measurement that is not said.

    Raises:
        NotALetter: what was given as JSON is none.
    """
    if method.letter is None:
        kind, text = (str(value or "") for value in values)
        return kind, document(text.encode("utf-8", "replace"))
    return method.letter, payload_of(method, values, now_utc)


def payload_of(method: Method, values: Sequence[object], now_utc: datetime) -> Mapping[str, object]:
    """The JSON of a typed call, without what is not said."""
    payload: dict[str, object] = {}
    for argument, value in zip(method.arguments, values, strict=True):
        said = _said(argument, value)
        if said is None and argument.name == "at":
            said = stamp(now_utc)
        if said is not None:
            payload[argument.name] = said
    return payload


def _said(argument: Argument, value: object) -> object:
    """A value as JSON has it; None: it is not said."""
    if argument.array:
        values = value if isinstance(value, list | tuple) else []
        if len(values) > MAX_POINTS:
            raise NotALetter(f"{argument.name}: must be a list of 1 to {MAX_POINTS} numbers or nulls")
        return [_number(one) for one in values]
    if argument.kind is Kind.DOUBLE:
        number = _number(value)
        # A NaN that may not be left out stays wrong, and the letter says of which field.
        return math.nan if number is None and not argument.optional else number
    if isinstance(value, datetime):
        at_utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return stamp(at_utc) if at_utc >= FIRST_TIME else None
    return None if value == "" and argument.optional else value


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, float | int) and math.isfinite(value) else None


def values_of(method: Method, payload: Mapping[str, object]) -> list[object] | None:
    """The other way round, for the plant's side; None: the payload holds what no argument carries."""
    names = {argument.name for argument in method.arguments}
    if not names >= set(payload):
        return None
    return [_argued(argument, payload.get(argument.name)) for argument in method.arguments]


def _argued(argument: Argument, value: object) -> object:
    """A value of JSON as an argument's type wants it."""
    if argument.array:
        values = value if isinstance(value, list | tuple) else []
        return [math.nan if one is None else float(one) for one in values]
    if argument.kind is Kind.DOUBLE:
        return float(value) if isinstance(value, float | int) else math.nan
    if argument.kind is Kind.DATETIME:
        return datetime.fromisoformat(value) if isinstance(value, str) else datetime(1601, 1, 1, tzinfo=UTC)
    if argument.kind in (Kind.UINT32, Kind.UINT64):
        return value if isinstance(value, int) else 0
    return "" if value is None else str(value)
