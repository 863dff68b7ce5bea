"""The digest of a problem: the same input gives the same plan, and this tells whether it is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass

import numpy as np

from scheduler.domain.problem import PlanProblem


def digest_of(problem: PlanProblem) -> str:
    """SHA-256 over every number and name of a problem, in a fixed order."""
    state = hashlib.sha256()
    _feed(state.update, problem, {})
    return state.hexdigest()


def _feed(update: Callable[[bytes], None], value: object, names: dict[type, list[tuple[str, bytes]]]) -> None:
    """Hash one value with its kind, so that neighbours cannot be confused; `names` remembers the fields of every kind."""
    kind = type(value)
    if isinstance(value, np.ndarray):
        update(f"{value.dtype.str}{value.shape}".encode())
        update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, int | float) and kind is not bool:
        # A whole number that somebody wrote without a point is the same number.
        update(f"number:{float(value)!r};".encode())
    elif isinstance(value, tuple):
        update(f"({len(value)}".encode())
        for item in value:
            _feed(update, item, names)
    elif is_dataclass(kind):
        if kind not in names:
            names[kind] = [(one.name, one.name.encode()) for one in fields(kind)]
        for name, written in names[kind]:
            update(written)
            _feed(update, getattr(value, name), names)
    else:
        update(f"{kind.__name__}:{value!r};".encode())
