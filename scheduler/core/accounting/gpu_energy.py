"""Energy of one GPU from its counter, second by second, over resets of the counter and silent seconds.

    joules = e[i] - e[i-1]                            while 0 <= that <= slack * P_most * dt
           = P * dt, for a minute at most             else: the counter began anew, or does not exist

The counter counts from the load of the driver, so it falls back with every reload; it uses the same sensor as the power reading
and is read instead of it because a mean over the second that just was misses what was between two looks. `slack` 1.2: a GPU may
pass its limit for a moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

SLACK = 1.2
# For longer than this power now says nothing of power then: a GPU that was lost for an hour has not drawn all the while.
LONGEST_S = 60.0
# A counter of whole joules, or one that ticks ten times a second, may be so much ahead of a second's end.
TICK_J = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuEnergy:
    """One GPU between two looks.

    seen_s: when it was last read, by a monotonic clock. counter_j: its counter then. total_j: all energy since we began.
    resets: how often the counter fell back or jumped. silent_s: time of which nothing is known.
    """

    seen_s: float
    counter_j: float | None = None
    total_j: float = 0.0
    resets: int = 0
    silent_s: float = 0.0


def after_look(
    before: GpuEnergy | None, at_s: float, counter_j: float | None, draw_w: float | None, most_w: float | None
) -> tuple[GpuEnergy, float | None]:
    """Take one look.

    Args:
        before: as the last look left it; None for the first one.
        at_s: now, by the same monotonic clock.
        counter_j: the counter, None when there is none.
        draw_w: mean power now, None when it is not known.
        most_w: largest power limit; None: any rise of the counter is believed.

    Returns:
        What to keep, and the energy in J since the last look; None when nothing is known of that time.
    """
    counter_j, draw_w = _believed(counter_j), _believed(draw_w)
    if before is None or at_s <= before.seen_s:
        return (before or GpuEnergy(seen_s=at_s, counter_j=counter_j)), None
    passed_s = at_s - before.seen_s
    rise_j = None if counter_j is None or before.counter_j is None else counter_j - before.counter_j
    reset = rise_j is not None and not 0.0 <= rise_j <= _most_j(most_w, passed_s)
    by_power_j = None if draw_w is None or passed_s > LONGEST_S else draw_w * passed_s
    joules = rise_j if rise_j is not None and not reset else by_power_j
    after = replace(
        before,
        seen_s=at_s,
        counter_j=counter_j,
        total_j=before.total_j + (joules or 0.0),
        resets=before.resets + reset,
        silent_s=before.silent_s + (passed_s if joules is None else 0.0),
    )
    return after, joules


def _believed(value: float | None) -> float | None:
    """A reading that can be: finite and not below zero."""
    return value if value is not None and math.isfinite(value) and value >= 0.0 else None


def _most_j(most_w: float | None, passed_s: float) -> float:
    """The largest rise of a counter in some seconds."""
    return math.inf if most_w is None else SLACK * most_w * passed_s + TICK_J


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Energy of one GPU from one look to the next, in seconds of a monotonic clock."""

    uuid: str
    start_s: float
    end_s: float
    joules: float


def energy_within(pieces: Iterable[Piece], start_s: float, end_s: float, least_fraction: float = 0.5) -> dict[str, float]:
    """Energy in J by GPU of an interval: the mean power of what is known of it, for all of its time.

    A piece that reaches over an edge gives the share of its time. A GPU that is known for less than `least_fraction` of the
    interval is left out.
    """
    known: dict[str, tuple[float, float]] = {}
    for piece in pieces:
        inside_s = min(piece.end_s, end_s) - max(piece.start_s, start_s)
        if inside_s > 0.0:
            joules, seconds = known.get(piece.uuid, (0.0, 0.0))
            share = inside_s / (piece.end_s - piece.start_s)
            known[piece.uuid] = (joules + share * piece.joules, seconds + inside_s)
    length_s = end_s - start_s
    return {
        uuid: joules * length_s / seconds for uuid, (joules, seconds) in known.items() if seconds >= least_fraction * length_s
    }
