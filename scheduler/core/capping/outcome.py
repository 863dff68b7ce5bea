"""What is kept of a step once its acts were tried, whichever of them worked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from scheduler.core.capping.held import Act, Grip, Held, JournalEntry, Record, Step, Write, same_limit, took
from scheduler.domain.capping import SetterCounts

RETRY_S = 5.0
"""What failed is tried again after so long; restores are tried again at each look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is kept, and what is to be counted."""

    held: Held
    counted: SetterCounts


def after(step: Step, done: int, failure: str = "", read_back_w: float | None = None) -> Outcome:
    """What is kept of a step of which the first `done` acts worked.

    The shell carries a write out so: set, read back whatever became of it, and go on only if `took(write, read_back_w)`.

    Args:
        step: from `decide`.
        done: how many acts worked; a write worked when it took.
        failure: what the act after them said; empty for a write that was accepted and did not take.
        read_back_w: limit after the write, None when it could not be read, or there was no write.
    """
    held, counted = step.held, step.counted
    for act in step.acts[:done]:
        held, counted = _worked(held, act, step.now_s), summed(counted, _counted(act))
    if done < len(step.acts):
        return _failed(step, held, counted, done, failure, read_back_w)
    clean = replace(held, trouble="", write_again_s=None, record_again_s=None) if step.acts else held
    return Outcome(held=clean, counted=counted)


def summed(one: SetterCounts, other: SetterCounts) -> SetterCounts:
    """Both together."""
    return SetterCounts(
        writes=one.writes + other.writes,
        restores=dict(Counter(one.restores) + Counter(other.restores)),
        read_back_failures=one.read_back_failures + other.read_back_failures,
        foreign_writes=one.foreign_writes + other.foreign_writes,
        clamps=one.clamps + other.clamps,
        refused=dict(Counter(one.refused) + Counter(other.refused)),
        journal_failures=one.journal_failures + other.journal_failures,
    )


def _counted(act: Act) -> SetterCounts:
    if not isinstance(act, Write):
        return SetterCounts()
    return SetterCounts(writes=1, restores={act.back: 1} if act.back is not None else {})


def _worked(held: Held, act: Act, now_s: float) -> Held:
    """After an act that worked."""
    if isinstance(act, Record):
        return replace(held, entry=act.entry, recorded=True)
    if isinstance(act, Write):
        return replace(held, grip=Grip.SURE if act.back is None else Grip.LOOSE, changed_s=now_s, due_s=None)
    return replace(held, entry=None, recorded=True, torn=False, grip=Grip.LOOSE, due_s=None)


def _failed(step: Step, held: Held, counted: SetterCounts, done: int, failure: str, read_back_w: float | None) -> Outcome:
    """After an act that did not work: what it may have done all the same is kept in mind."""
    act = step.acts[done]
    again_s = step.now_s + RETRY_S
    if isinstance(act, Write):
        later = replace(held, trouble=failure, write_again_s=again_s)
        mismatch = not failure
        if mismatch:
            reads = "cannot be read back" if read_back_w is None else f"reads {read_back_w:.0f} W"
            later = replace(later, trouble=f"{act.limit_w:.0f} W was accepted, and the limit {reads}")
        tried = SetterCounts(writes=int(mismatch), read_back_failures=int(mismatch))
        if took(act, read_back_w):
            tried = _counted(act)
        return Outcome(held=_half_written(later, act, step, read_back_w), counted=summed(counted, tried))
    later = replace(held, trouble=failure, record_again_s=again_s)
    if isinstance(act, Record):
        later = replace(later, entry=_either(held.entry, act.entry))
    # A file that could not be written, or removed, may be there or not: nothing is written on its word.
    return Outcome(held=replace(later, recorded=False), counted=summed(counted, SetterCounts(journal_failures=1)))


def _half_written(held: Held, act: Write, step: Step, read_back_w: float | None) -> Held:
    """A write that failed, or did not take: by what the limit reads now."""
    if read_back_w is None:
        return replace(held, grip=Grip.UNSURE, changed_s=step.now_s)
    if took(act, read_back_w):
        return replace(_worked(held, act, step.now_s), trouble=held.trouble)
    if step.before_w is not None and same_limit(step.before_w, read_back_w):
        return held
    # Neither what was nor what was asked for: the GPU made it out of ours, so it is ours.
    entry = held.entry
    strayed = None if entry is None else replace(entry, ours_w=(*entry.ours_w, read_back_w))
    return replace(held, entry=strayed, recorded=False, grip=Grip.SURE, changed_s=step.now_s)


def _either(old: JournalEntry | None, new: JournalEntry) -> JournalEntry:
    """What a journal says of which it is not known whether it took the new entry."""
    if old is None:
        return new
    return replace(new, ours_w=tuple(dict.fromkeys((*old.ours_w, *new.ours_w))))
