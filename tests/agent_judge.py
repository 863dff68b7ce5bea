"""Judges caps by the pretended library's log of writes alone: bounds, when a limit had to be back, what is left behind.

Nothing is polled: every change of a limit stands in the log with its instant, and between two entries it stands still. What
may be in force when is told by who made the faults: for each GPU the spans in which a cap was allowed, and those in which
nobody could have written its limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gpu_machine import Kind, Write

FOR_GOOD = math.inf
GRACE_S = 2.0
"""A limit has to be back so long after the instant at which its cap ended."""
SAME_W = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From start_s to before end_s, by the monotonic clock; `why` it ended."""

    start_s: float
    end_s: float
    why: str = ""

    def has(self, at_s: float) -> bool:
        """Whether an instant is in it."""
        return self.start_s <= at_s < self.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuStory:
    """What one GPU's caps are judged by.

    original_w: limit before anybody capped. default_w: its limit after a load of the driver. least_w: lowest that may be set.
    may: spans in which a cap may be in force, in order and apart. cannot: those in which its limit could not be written.
    """

    gpu: int
    original_w: float
    default_w: float
    least_w: float
    may: Sequence[Span]
    cannot: Sequence[Span] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A cap of ours had to end at ended_s, or at due_s when its limit could not be written before; it did at restored_s."""

    gpu: int
    why: str
    ended_s: float
    due_s: float
    restored_s: float

    @property
    def late_s(self) -> float:
        """How long the cap was in force longer than it might."""
        return max(0.0, self.restored_s - self.due_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Complaints in words, none when all was well, and how long every ending of a cap took."""

    complaints: tuple[str, ...]
    endings: tuple[Ending, ...]


def judged(story: GpuStory, writes: Iterable[Write], end_s: float, grace_s: float = GRACE_S) -> Verdict:
    """Judge one GPU from its writes until end_s, when everything had to be given back; late is more than grace_s."""
    own = sorted((each for each in writes if each.gpu == story.gpu), key=lambda each: each.at_s)
    held, complaints = _followed(story, own, end_s)
    endings = [found for forbidden in _forbidden(story.may) if (found := _ending(story, held, forbidden, grace_s)) is not None]
    complaints += [
        f"GPU {story.gpu}: {ending.why}: {ending.late_s:.2f} s too long in force"
        for ending in endings
        if ending.late_s > grace_s
    ]
    if held and held[-1].end_s >= end_s:
        complaints.append(f"GPU {story.gpu}: a cap is left behind")
    return Verdict(complaints=tuple(complaints), endings=tuple(endings))


def _followed(story: GpuStory, own: Sequence[Write], end_s: float) -> tuple[list[Span], list[str]]:
    """Spans in which a limit of ours was in force, and writes that passed a bound.

    What somebody else set, and what the driver's load set, is found by whoever caps next, and given back by him.
    """
    found_w, complaints, held = [story.original_w], [], []
    since_s: float | None = None
    for each in (one for one in own if one.code == 0):
        if each.kind is not Kind.NVML:
            found_w.append(each.limit_w)
        elif each.asked_w > max(found_w) + SAME_W:
            complaints.append(f"GPU {story.gpu}: {each.asked_w:g} W is above the {max(found_w):g} W that were found")
        elif each.asked_w < story.least_w - SAME_W:
            complaints.append(f"GPU {story.gpu}: {each.asked_w:g} W is below the least of {story.least_w:g} W")
        ours = each.kind is Kind.NVML and all(abs(each.limit_w - level_w) > SAME_W for level_w in found_w)
        if since_s is not None and not ours:
            held.append(Span(start_s=since_s, end_s=each.at_s))
        since_s = None if not ours else each.at_s if since_s is None else since_s
    if since_s is not None:
        held.append(Span(start_s=since_s, end_s=end_s))
    return held, complaints


def _forbidden(may: Sequence[Span]) -> list[Span]:
    """The time in which no cap may be in force, each span named by why the cap before it ended."""
    starts = [(-FOR_GOOD, "nobody has asked yet"), *((span.end_s, span.why) for span in may)]
    ends = [*(span.start_s for span in may), FOR_GOOD]
    return [Span(start_s=start, end_s=end, why=why) for (start, why), end in zip(starts, ends, strict=True) if start < end]


def _ending(story: GpuStory, held: Sequence[Span], forbidden: Span, grace_s: float) -> Ending | None:
    """How long caps were in force in a span that forbids them; None when none was."""
    inside = [span for span in held if span.start_s < forbidden.end_s and span.end_s > forbidden.start_s]
    if not inside:
        return None
    restored_s, due_s = min(inside[-1].end_s, forbidden.end_s), forbidden.start_s
    for span in sorted(story.cannot, key=lambda each: each.start_s):
        if span.end_s > due_s >= span.start_s - grace_s and span.start_s < restored_s:
            due_s = span.end_s
    return Ending(gpu=story.gpu, why=forbidden.why, ended_s=forbidden.start_s, due_s=due_s, restored_s=restored_s)


def both(ones: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """Spans in both; each ends for the reason of what ends first."""
    found, others = [], list(others)
    for one in ones:
        for other in others:
            start_s, first = max(one.start_s, other.start_s), min(one, other, key=lambda each: each.end_s)
            if start_s < first.end_s:
                found.append(Span(start_s=start_s, end_s=first.end_s, why=first.why))
    return sorted(found, key=lambda each: each.start_s)


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that are apart; each ends for the reason of what ends last."""
    found: list[Span] = []
    for each in sorted(spans, key=lambda one: one.start_s):
        if found and each.start_s <= found[-1].end_s:
            before = found.pop()
            last = max(before, each, key=lambda one: one.end_s)
            found.append(Span(start_s=before.start_s, end_s=last.end_s, why=last.why))
        else:
            found.append(each)
    return found
