"""`GET /v1/telemetry` of a node's agent: what it looks like, and what is believed of it.

    {"version": 1, "node": "gpu-0", "boot": "c0ffee", "measuredUtc": "2026-01-14T12:00:30Z",
     "gpus": [{"uuid": "GPU-1", "podUid": "7c0e...", "limitWatts": 700.0}],
     "slots": [{"sequence": 41, "seconds": 10.0, "joules": {"GPU-1": 3000.0}, "wallJoules": 8000.0, "wallOf": "measured"}]}

Energy over short intervals, not watts at an instant: whoever asks every half minute gets the mean of that half minute, and one
who missed a turn (`?since=SEQUENCE` of the same `boot`) gets what he missed. `podUid` is "" for a free GPU and absent when the
agent does not know; `wallJoules` is absent where the node does not know what it takes. Unknown keys are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.telemetry import VERSION, GpuDraw, NodeDraw, WallOf
from scheduler.domain.time import utc

MAX_GPUS = 64
MAX_SLOTS = 1000
# No GPU and no node draws more; what is above is a fault of a counter.
MAX_GPU_W = 5000.0
MAX_NODE_W = 100_000.0
# Who is asked for the first time tells of so long back at most: what a job drew before nobody looked is not now.
FIRST_S = 60.0


class Unbelievable(HeatDispatchError):
    """An agent's answer is not what it should be; the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How far an agent was heard: its start, and the last interval."""

    boot: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """Energy of one interval, in joules by GPU."""

    sequence: int
    seconds: float
    joules: Mapping[str, float]
    wall_joules: float | None
    wall_of: WallOf


def node_draw(said: object, node: str, before: Heard | None) -> tuple[NodeDraw, Heard]:
    """Read an agent's answer.

    Args:
        said: the parsed JSON.
        node: the node that was asked; an answer in another's name is not believed.
        before: how far this agent was heard.

    Raises:
        Unbelievable: when anything in it is not as it should be; nothing of it is used then.
    """
    document = _mapping(said, "the answer")
    if document.get("version") != VERSION:
        raise Unbelievable(f"version: {document.get('version')!r} (expected {VERSION})")
    if document.get("node") != node:
        raise Unbelievable(f"node: {document.get('node')!r} (expected {node!r})")
    boot = str(document.get("boot") or "")
    slots = sorted((_slot(one, at) for at, one in _list(document, "slots", MAX_SLOTS)), key=lambda slot: slot.sequence)
    fresh = _fresh(slots, before.sequence if before is not None and before.boot == boot else None)
    gpus = tuple(_gpu(one, at, fresh) for at, one in _list(document, "gpus", MAX_GPUS))
    if len({gpu.uuid for gpu in gpus}) < len(gpus):
        raise Unbelievable("gpus: a uuid stands there twice")
    wall_w, wall_of = _wall(fresh)
    measured_utc = _instant(document.get("measuredUtc"))
    found = NodeDraw(node=node, measured_utc=measured_utc, gpus=gpus, wall_w=wall_w, wall_of=wall_of)
    return found, Heard(boot=boot, sequence=slots[-1].sequence if slots else -1)


def _fresh(slots: Sequence[_Slot], heard: int | None) -> tuple[_Slot, ...]:
    """Intervals that were not heard yet; of an agent that is new the last ones."""
    if heard is not None:
        return tuple(slot for slot in slots if slot.sequence > heard)
    found: list[_Slot] = []
    for slot in reversed(slots):
        if sum(one.seconds for one in found) >= FIRST_S:
            break
        found.append(slot)
    return tuple(found)


def _gpu(said: object, at: str, slots: Sequence[_Slot]) -> GpuDraw:
    """One GPU with its mean power over some intervals."""
    one = _mapping(said, at)
    uuid = one.get("uuid")
    if not isinstance(uuid, str) or not uuid:
        raise Unbelievable(f"{at}.uuid: missing")
    pod = one.get("podUid")
    if pod is not None and not isinstance(pod, str):
        raise Unbelievable(f"{at}.podUid: {pod!r} (expected a text)")
    limit = one.get("limitWatts")
    mine = [(slot.seconds, slot.joules[uuid]) for slot in slots if uuid in slot.joules]
    return GpuDraw(
        uuid=uuid,
        pod_uid=pod,
        draw_w=_mean_w(mine, MAX_GPU_W, f"slots: {uuid}"),
        limit_w=None if limit is None else _number(limit, f"{at}.limitWatts", MAX_GPU_W),
    )


def _wall(slots: Sequence[_Slot]) -> tuple[float | None, WallOf | None]:
    """Mean power of the whole node, none when an interval lacks it; modelled as soon as one interval is."""
    known = [(slot.seconds, slot.wall_joules) for slot in slots if slot.wall_joules is not None]
    mean_w = _mean_w(known, MAX_NODE_W, "slots: wallJoules") if len(known) == len(slots) else None
    kinds = {slot.wall_of for slot in slots}
    return mean_w, None if mean_w is None else WallOf.MODELLED if WallOf.MODELLED in kinds else WallOf.MEASURED


def _mean_w(parts: Sequence[tuple[float, float]], most_w: float, what: str) -> float | None:
    """Joules over seconds; None without any."""
    seconds = sum(each for each, _ in parts)
    if seconds <= 0.0:
        return None
    mean_w = sum(joules for _, joules in parts) / seconds
    if mean_w > most_w:
        raise Unbelievable(f"{what}: {mean_w:.0f} W on the mean (expected at most {most_w:g})")
    return mean_w


def _slot(said: object, at: str) -> _Slot:
    """One interval."""
    one = _mapping(said, at)
    sequence = one.get("sequence")
    if not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 0:
        raise Unbelievable(f"{at}.sequence: {sequence!r} (expected a count)")
    joules = {
        str(uuid): _number(value, f"{at}.joules.{uuid}") for uuid, value in _mapping(one.get("joules"), f"{at}.joules").items()
    }
    wall = one.get("wallJoules")
    return _Slot(
        sequence=sequence,
        seconds=_number(one.get("seconds"), f"{at}.seconds", 3600.0),
        joules=joules,
        wall_joules=None if wall is None else _number(wall, f"{at}.wallJoules"),
        wall_of=_wall_of(one.get("wallOf"), at),
    )


def _wall_of(said: object, at: str) -> WallOf:
    """How the node knows what it takes; an agent that does not say it measures."""
    try:
        return WallOf.MEASURED if said is None else WallOf(str(said))
    except ValueError as error:
        raise Unbelievable(f"{at}.wallOf: {said!r} (expected {' or '.join(WallOf)})") from error


def _list(document: Mapping[str, Any], name: str, most: int) -> list[tuple[str, object]]:
    """Entries of a list with their places."""
    found = document.get(name)
    if not isinstance(found, list) or len(found) > most:
        raise Unbelievable(f"{name}: expected a list of at most {most}")
    return [(f"{name}[{number}]", one) for number, one in enumerate(found)]


def _mapping(said: object, at: str) -> Mapping[str, Any]:
    """An object of JSON."""
    if not isinstance(said, dict):
        raise Unbelievable(f"{at}: expected an object")
    return said


def _number(value: object, at: str, most: float = math.inf) -> float:
    """A number that is not below zero."""
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and 0.0 <= number <= most):
        raise Unbelievable(f"{at}: {str(value)[:40]} (expected a number from 0{'' if math.isinf(most) else f' to {most:g}'})")
    return number


def _instant(value: object) -> datetime:
    """An instant with its zone."""
    try:
        return utc(str(value).replace("Z", "+00:00"))
    except ValueError as error:
        raise Unbelievable(f"measuredUtc: {value!r} (expected an instant with its zone)") from error
