"""Between which limits a cap may lie, and how long a new one waits."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

from scheduler.core.capping.held import SAME_LIMIT_W, Facts
from scheduler.domain.capping import CapRules


@dataclass(frozen=True, slots=True)
class Aim:
    """The cap that a wish comes to in W; None when it comes to no cap, and why. floor_w: no cap may be lower."""

    cap_w: float | None
    floor_w: float = 0.0
    why: str = ""
    clamped: bool = False


def aimed(wish_w: float, original_w: float, seen: Facts, rules: CapRules) -> Aim:
    """What a wish comes to between the lowest cap and what was found, in whole watts.

        floor = ceil(max(least of the GPU, least_fraction * default))
        cap   = max(floor, floor_of(wish))          no cap when original - cap < same_w(default)

    A limit that somebody else has set lower than the wish is left alone by this: there is nothing to take from it.
    """
    default_w = seen.default_w or 0.0
    # Milliwatts are what a GPU counts in; less than that is noise of the multiplication.
    floor_w = float(math.ceil(round(max(seen.least_w or 0.0, rules.least_fraction * default_w), 3)))
    whole_w = float(math.floor(wish_w))
    clamped = wish_w < floor_w
    cap_w = max(floor_w, whole_w)
    most_w = original_w if seen.most_w is None else min(original_w, seen.most_w)
    if cap_w >= most_w or most_w - cap_w < same_w(default_w, rules):
        why = "the lowest cap is no lower than the limit that is there" if clamped else "the limit that is there is no higher"
        return Aim(None, floor_w, why, clamped)
    return Aim(cap_w, floor_w, f"the lowest cap is {floor_w:.0f} W" if clamped else "", clamped)


def same_w(default_w: float, rules: CapRules) -> float:
    """A change below this is none: smaller than same_w and than same_fraction of the default limit, or hard to tell."""
    return max(2.0 * SAME_LIMIT_W, min(rules.same_w, rules.same_fraction * default_w))


def jitter_s(uuid: str, generation: int, most_s: float) -> float:
    """How long a new cap waits: evenly spread over GPUs and generations, the same at each start."""
    return most_s * zlib.crc32(f"{uuid}/{generation}".encode()) / 2**32
