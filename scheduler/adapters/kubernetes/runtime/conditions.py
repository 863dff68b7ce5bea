"""`metav1.Condition`s: what holds of an object, since when, and of which generation of its spec."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from scheduler.adapters.kubernetes.runtime.frozen import EMPTY, Obj

_REASON = re.compile(r"[A-Za-z](?:[A-Za-z0-9_,:]*[A-Za-z0-9_])?\Z")
MAX_REASON = 1024
MAX_MESSAGE = 32768


class Truth(StrEnum):
    """Status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What holds, and why: `reason` is a stable CamelCase word that programs may rely on, `message` is for people."""

    type: str
    status: Truth
    reason: str
    message: str = ""

    def __post_init__(self) -> None:
        """Refuse a reason that the API server would refuse."""
        if not _REASON.match(self.reason) or len(self.reason) > MAX_REASON:
            raise ValueError(f"condition {self.type}: reason {self.reason!r} must be a CamelCase word")


def stamp(at_utc: datetime) -> str:
    """`metav1.Time`: RFC 3339 in whole seconds."""
    return at_utc.strftime("%Y-%m-%dT%H:%M:%SZ")


def found(obj: Obj, kind: str) -> Obj | None:
    """Return one condition of an object as it was seen, or None."""
    conditions = obj.get("status", EMPTY).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == kind), None)


def holds(obj: Obj, kind: str) -> bool:
    """True when the object says that the condition is True."""
    condition = found(obj, kind)
    return condition is not None and condition.get("status") == Truth.TRUE


def merged(seen: Obj, wanted: Sequence[Condition], now_utc: datetime) -> tuple[dict[str, Any], ...]:
    """The conditions to apply to an object that was `seen`, in the order of `wanted`.

    `lastTransitionTime` moves only with the status; `observedGeneration` is the generation that was seen. What is not in
    `wanted` is left out: for conditions that we apply ourselves that takes them away.
    """
    generation = seen.get("metadata", EMPTY).get("generation")
    told = []
    for condition in wanted:
        old = found(seen, condition.type)
        same = old is not None and old.get("status") == condition.status and bool(old.get("lastTransitionTime"))
        entry: dict[str, Any] = {
            "type": condition.type,
            "status": str(condition.status),
            "reason": condition.reason,
            "message": condition.message[:MAX_MESSAGE],
            "lastTransitionTime": old["lastTransitionTime"] if old is not None and same else stamp(now_utc),
        }
        if generation is not None:
            entry["observedGeneration"] = generation
        told.append(entry)
    return tuple(told)
