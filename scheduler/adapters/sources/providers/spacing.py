"""How long a value holds, where a provider says only when it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scheduler.adapters.sources.providers.parsing import Row, bad
from scheduler.units import S_PER_H

LONGEST_S = int(S_PER_H)
Point = tuple[int, float]


def rows_of(
    points: Sequence[Point], where: str, *, length_s: int | None = None, longest_s: int = LONGEST_S, ends: bool = False
) -> list[Row]:
    """Intervals of values that begin at given seconds, in order of time; length_s: how long each is, None: by its neighbours.

    An interval is as long as the shorter of its ways to the values before and after it, so that none reaches over a value that
    is missing; at both ends the shorter of two ways on its one side. The ways are those that the document has more than once,
    and at most longest_s. ends: the seconds are those at which intervals end.

    Raises:
        BadAnswer: a length cannot be told from so few values.
    """
    ordered = sorted(points, key=lambda point: point[0])
    if length_s is None and ordered:
        lengths = _lengths(sorted({at_s for at_s, _ in ordered}), where, longest_s)
    else:
        lengths = {at_s: length_s or 0 for at_s, _ in ordered}
    if ends:
        return [(at_s - lengths[at_s], at_s, value) for at_s, value in ordered]
    return [(at_s, at_s + lengths[at_s], value) for at_s, value in ordered]


def _lengths(starts: Sequence[int], where: str, longest_s: int) -> dict[int, int]:
    """How long the value lasts that begins at each of some different seconds in order."""
    ways = [after - before for before, after in zip(starts, starts[1:], strict=False)]
    times = Counter(way for way in ways if way <= longest_s)
    if not times:
        bad(where, f"{len(starts)} values", f"values at most {longest_s} s apart, or an option that says how long one is")
    usual = times.most_common(1)[0][0]
    real = [way if times[way] > 1 else usual for way in ways]
    first, last = min(real[:2]), min(real[-2:])
    inner = {start_s: min(real[place : place + 2]) for place, start_s in enumerate(starts[1:-1])}
    return {starts[0]: first, **inner, starts[-1]: last}
