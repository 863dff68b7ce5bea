"""How the agent and its setter speak: one JSON object a line over a Unix socket, one answer for each.

Only form is judged here: types, sizes, version. What a number may be the setter decides. A key that is not known is passed
over, so that the two may be of neighbouring versions while a new one is rolled out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from scheduler.domain.capping import Answer, Asking, Condition, GpuStanding, Restored, SetterCounts, Want
from scheduler.domain.errors import HeatDispatchError

VERSION = 1
MAX_LINE_BYTES = 64 * 1024
MAX_TEXT = 256
MAX_GENERATION = 2**63 - 1

Word = TypeVar("Word", bound=StrEnum)

# Fields of `GpuStanding` that may be absent, by their keys.
_WATTS = {
    "original_w": "originalWatts",
    "requested_w": "requestedWatts",
    "enforced_w": "enforcedWatts",
    "default_w": "defaultWatts",
    "least_w": "leastWatts",
    "most_w": "mostWatts",
    "cap_w": "capWatts",
    "lease_s": "leaseSeconds",
}
_COUNTS = {
    "writes": "writes",
    "read_back_failures": "readBackFailures",
    "foreign_writes": "foreignWrites",
    "clamps": "clamps",
    "journal_failures": "journalFailures",
}


# Made once: lines are written several times a second for as long as a node lives.
_ENCODED = json.JSONEncoder(separators=(",", ":")).encode


class Malformed(HeatDispatchError):
    """A line that is none of ours, and why."""


# Requests.


def asking_line(asking: Asking) -> bytes:
    """The line that asks for these caps."""
    return _line(
        {
            "source": asking.source,
            "generation": asking.generation,
            "planId": asking.plan_id,
            "wants": [_want_json(want) for want in asking.wants],
            "back": {uuid: why.value for uuid, why in asking.back.items()},
        }
    )


def look_line() -> bytes:
    """The line that only looks."""
    return _line({"look": True})


def request_of(line: bytes) -> Asking | None:
    """What a line asks for; None when it only looks, which is no sign of life.

    Raises:
        Malformed: when it is no request of this version.
    """
    told = _object_of(line)
    if told.get("look") is True:
        return None
    back = told.get("back", {})
    if not isinstance(back, dict):
        raise Malformed("back: not an object")
    return Asking(
        source=_text(told, "source"),
        generation=_count(told, "generation"),
        plan_id=_text(told, "planId", ""),
        wants=tuple(_want(one) for one in _list(told, "wants")),
        back={_short(uuid, "back"): _word(Restored, why, "back") for uuid, why in back.items()},
    )


def _want_json(want: Want) -> dict[str, Any]:
    return {
        "uuid": want.uuid,
        "capWatts": want.cap_w,
        "leaseSeconds": want.lease_s,
        "podUid": want.pod_uid,
        "emergency": want.emergency,
    }


def _want(told: Any) -> Want:
    if not isinstance(told, dict):
        raise Malformed("wants: not a list of objects")
    return Want(
        uuid=_text(told, "uuid"),
        cap_w=_number(told, "capWatts"),
        lease_s=_number(told, "leaseSeconds"),
        pod_uid=_text(told, "podUid", ""),
        emergency=_flag(told, "emergency"),
    )


# Answers.


def answer_line(answer: Answer) -> bytes:
    """The line that answers."""
    counts = answer.counts
    return _line(
        {
            "dryRun": answer.dry_run,
            "waiting": answer.waiting,
            "trouble": answer.trouble,
            "gpus": [_standing_json(one) for one in answer.gpus],
            "counts": {
                **{key: getattr(counts, name) for name, key in _COUNTS.items()},
                "restores": {why.value: number for why, number in counts.restores.items()},
                "refused": dict(counts.refused),
            },
        }
    )


def error_line(why: str) -> bytes:
    """The line that answers what cannot be understood, or may not be asked."""
    return _line({"error": why[:MAX_TEXT]})


def answer_of(line: bytes) -> Answer:
    """What a setter answered.

    Raises:
        Malformed: when it is no answer of this version, or says an error.
    """
    told = _object_of(line)
    if "error" in told:
        raise Malformed(_text(told, "error"))
    return Answer(
        gpus=tuple(_standing(one) for one in _list(told, "gpus")),
        counts=_counts(told.get("counts", {})),
        dry_run=_flag(told, "dryRun"),
        waiting=_flag(told, "waiting"),
        trouble=_text(told, "trouble", ""),
    )


def _standing_json(one: GpuStanding) -> dict[str, Any]:
    numbers = {key: getattr(one, name) for name, key in _WATTS.items()}
    return {
        "uuid": one.uuid,
        "condition": one.condition.value,
        "why": one.why[:MAX_TEXT],
        **{key: value for key, value in numbers.items() if value is not None},
        "podUid": one.pod_uid,
        "clamped": one.clamped,
    }


def _standing(told: Any) -> GpuStanding:
    if not isinstance(told, dict):
        raise Malformed("gpus: not a list of objects")
    return GpuStanding(
        uuid=_text(told, "uuid"),
        condition=_word(Condition, told.get("condition"), "condition"),
        why=_text(told, "why", ""),
        pod_uid=_text(told, "podUid", ""),
        clamped=_flag(told, "clamped"),
        **{name: None if told.get(key) is None else _number(told, key) for name, key in _WATTS.items()},
    )


def _counts(told: Any) -> SetterCounts:
    if not isinstance(told, dict):
        raise Malformed("counts: not an object")
    restores, refused = _tally(told, "restores"), _tally(told, "refused")
    return SetterCounts(
        restores={_word(Restored, why, "restores"): number for why, number in restores.items()},
        refused=refused,
        **{name: _count(told, key) for name, key in _COUNTS.items() if key in told},
    )


# Words of JSON.


def _line(told: Mapping[str, Any]) -> bytes:
    """One object as a line; the version comes first."""
    return _ENCODED({"version": VERSION, **told}).encode() + b"\n"


def _object_of(line: bytes) -> dict[str, Any]:
    """One object of this version."""
    if len(line) > MAX_LINE_BYTES:
        raise Malformed(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error
    if not isinstance(told, dict):
        raise Malformed("not an object")
    if told.get("version") != VERSION:
        raise Malformed(f"of another version than {VERSION}")
    return told


def _list(told: Mapping[str, Any], key: str) -> Iterable[Any]:
    found = told.get(key, [])
    if not isinstance(found, list):
        raise Malformed(f"{key}: not a list")
    return found


def _text(told: Mapping[str, Any], key: str, absent: str | None = None) -> str:
    found = told.get(key, absent)
    return _short(found, key)


def _short(found: Any, key: str) -> str:
    if not isinstance(found, str) or len(found) > MAX_TEXT:
        raise Malformed(f"{key}: not a text of at most {MAX_TEXT} characters")
    return found


def _number(told: Mapping[str, Any], key: str) -> float:
    """A number; also one that is none (NaN) or without end, which the setter refuses by name."""
    found = told.get(key)
    if not isinstance(found, int | float) or isinstance(found, bool):
        raise Malformed(f"{key}: not a number")
    try:
        return float(found)
    except OverflowError:
        return float("inf") if found > 0 else float("-inf")


def _count(told: Mapping[str, Any], key: str) -> int:
    found = told.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= MAX_GENERATION:
        raise Malformed(f"{key}: not a count")
    return found


def _flag(told: Mapping[str, Any], key: str) -> bool:
    found = told.get(key, False)
    if not isinstance(found, bool):
        raise Malformed(f"{key}: neither true nor false")
    return found


def _word(kind: type[Word], found: Any, key: str) -> Word:
    """A member of an enum of texts."""
    try:
        return kind(found)
    except ValueError as error:
        raise Malformed(f"{key}: {repr(found)[:40]} is no word for it") from error


def _tally(told: Mapping[str, Any], key: str) -> dict[str, int]:
    found = told.get(key, {})
    if not isinstance(found, dict):
        raise Malformed(f"{key}: not an object")
    return {_short(word, key): _count(found, word) for word in found}
