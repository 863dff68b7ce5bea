"""Frozen dataclasses to JSON values and back, exact: driven by their type hints, so a new field needs no code here.

Floats keep every bit (JSON writes the shortest text that reads back equal); NaN and the infinities are the strings "nan",
"inf" and "-inf", in arrays NaN is null. Instants are ISO 8601 in UTC. Where a field may hold one of several dataclasses,
the value carries its class name under "class".
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
Json = Any
# No field of a dataclass can be called so.
CLASS = "class"


class Unreadable(ValueError):
    """A JSON value does not fit the type it should become."""


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Resolved type of every field of a dataclass."""
    resolved = typing.get_type_hints(cls)
    return {field.name: resolved[field.name] for field in dataclasses.fields(cls)}


def encode(hint: Any, value: Any) -> Json:
    """Return the JSON value of `value`, which is of type `hint`."""
    if value is None:
        return None
    return _coder(hint)[0](value)


def decode(hint: type[T], value: Json) -> T:
    """Return what `encode(hint, ...)` was given.

    Raises:
        Unreadable: when the JSON value does not fit the type.
    """
    try:
        found: T = _coder(hint)[1](value)
    except (KeyError, TypeError, AttributeError, ValueError) as wrong:
        raise Unreadable(f"{getattr(hint, '__name__', hint)}: {wrong}") from wrong
    return found


Coder = tuple[Callable[[Any], Json], Callable[[Json], Any]]


def _coder(hint: Any) -> Coder:
    """Writer and reader of a type."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(typing.get_args(hint))
    if origin is tuple:
        return _tuple(typing.get_args(hint))
    if origin in (dict, Mapping):
        return _mapping(typing.get_args(hint))
    if origin is np.ndarray:
        return _array(typing.get_args(typing.get_args(hint)[1])[0])
    if dataclasses.is_dataclass(hint):
        return _dataclass(typing.cast(type, hint))
    return _plain(hint)


@cache
def _plain(hint: type) -> Coder:
    """Numbers, texts, truth values, instants and enumerations."""
    if hint is float:
        return _write_float, _read_float
    if hint is datetime:
        return (lambda at: at.astimezone(UTC).isoformat()), _read_instant
    if hint is date:
        return date.isoformat, date.fromisoformat
    if isinstance(hint, type) and issubclass(hint, Enum):
        return (lambda member: member.value), hint
    if hint in (int, str, bool):
        return hint, lambda value: _checked(value, hint)
    raise TypeError(f"no JSON form for {hint}")


def _checked(value: Json, hint: type) -> Any:
    """Refuse a value of another type: JSON has one, we have the other."""
    if type(value) is not hint:
        raise TypeError(f"{value!r} is not of type {hint.__name__}")
    return value


def _write_float(number: float) -> Json:
    """A finite float as it is, the others by name."""
    return float(number) if math.isfinite(number) else str(float(number))


def _read_float(value: Json) -> float:
    """Back from JSON; only the three names are accepted as text."""
    if isinstance(value, bool) or (isinstance(value, str) and value not in ("nan", "inf", "-inf")):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _read_instant(value: Json) -> datetime:
    """An instant with its offset, in UTC."""
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError(f"{value!r} has no UTC offset")
    return at.astimezone(UTC)


@cache
def _dataclass(cls: type) -> Coder:
    """A dataclass as an object with one key per field; a missing key takes the field's default."""
    hints = _hints(cls)

    def write(value: Any) -> Json:
        return {name: encode(hint, getattr(value, name)) for name, hint in hints.items()}

    def read(value: Json) -> Any:
        unknown = value.keys() - hints.keys() - {CLASS}
        if unknown:
            raise KeyError(f"unknown {', '.join(sorted(unknown))}")
        return cls(**{name: decode(hints[name], part) for name, part in value.items() if name != CLASS})

    return write, read


def _union(options: tuple[Any, ...]) -> Coder:
    """None or a value; of several dataclasses the one that "class" names."""
    some = [option for option in options if option is not type(None)]
    if len(some) == 1:
        write, read = _coder(some[0])
        return write, lambda value: None if value is None else read(value)
    by_name = {option.__name__: option for option in some}

    def read_class(value: Json) -> Any:
        return None if value is None else decode(by_name[value[CLASS]], value)

    return (lambda value: {CLASS: type(value).__name__, **encode(type(value), value)}), read_class


def _tuple(parts: tuple[Any, ...]) -> Coder:
    """Tuples of any length of one type, or of fixed types, as lists."""
    if len(parts) == 2 and parts[1] is Ellipsis:
        return (
            lambda values: [encode(parts[0], value) for value in values],
            lambda values: tuple(decode(parts[0], value) for value in _checked(values, list)),
        )
    return (
        lambda values: [encode(part, value) for part, value in zip(parts, values, strict=True)],
        lambda values: tuple(decode(part, value) for part, value in zip(parts, _checked(values, list), strict=True)),
    )


def _mapping(parts: tuple[Any, ...]) -> Coder:
    """Mappings with text keys as objects, in their order."""
    if parts[0] is not str:
        raise TypeError("only text keys have a JSON form")
    return (
        lambda values: {key: encode(parts[1], value) for key, value in values.items()},
        lambda values: {key: decode(parts[1], value) for key, value in _checked(values, dict).items()},
    )


def _array(scalar: Any) -> Coder:
    """Arrays of one type as (nested) lists; NaN is null, infinities are named."""
    dtype = np.dtype(scalar)

    def write(values: Any) -> Json:
        flat = np.asarray(values, dtype=dtype)
        if dtype.kind != "f" or bool(np.isfinite(flat).all()):
            return flat.tolist()
        return _named(flat.tolist())

    def read(value: Json) -> Any:
        if dtype.kind != "f":
            return np.asarray(_checked(value, list), dtype=dtype)
        return np.asarray(_unnamed(_checked(value, list)), dtype=dtype)

    return write, read


def _named(value: Json) -> Json:
    """Non-finite numbers of nested lists by name."""
    if isinstance(value, list):
        return [_named(part) for part in value]
    return value if math.isfinite(value) else (None if math.isnan(value) else str(value))


def _unnamed(value: Json) -> Json:
    """Back to numbers."""
    if isinstance(value, list):
        return [_unnamed(part) for part in value]
    return math.nan if value is None else _read_float(value)
