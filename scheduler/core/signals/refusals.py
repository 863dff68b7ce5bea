"""Why told values are not taken: few kinds, so that each can be the label of a metric, and a line for whoever looks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reject(StrEnum):
    """Kinds of reasons."""

    QUANTITY = "quantity"
    UNIT = "unit"
    CURRENCY = "currency"
    BASIS = "basis"
    INFINITE = "infinite"
    IMPLAUSIBLE = "implausible"
    FAR = "far"
    CONFLICT = "conflict"
    SURPLUS = "surplus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """So many values were not taken, and why, in one line that begins with their quantity."""

    kind: Reject
    count: int
    why: str
