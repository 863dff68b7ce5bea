"""Nouns of one GPU in its setter: what is seen, ordered, written down and kept, and the acts that follow. In W and s."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scheduler.domain.capping import GpuStanding, Restored, SetterCounts, Want

SAME_LIMIT_W = 1.0
"""Two limits that differ by no more are one: drivers may keep whole watts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """What is written down before a limit of ours can be in force, so that whoever comes after a crash can undo it.

    original_w: lowest limit of somebody else that was found. ours_w: every value of ours that may be in force, the newest last.
    """

    uuid: str
    original_w: float
    ours_w: tuple[float, ...]
    pod_uid: str = ""
    plan_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One look at a GPU.

    None: it does not say. braked: its hardware brakes it just now, by heat or by the power supply. driver_epoch: grows when the
    driver was loaded anew.
    """

    requested_w: float | None
    enforced_w: float | None = None
    default_w: float | None = None
    least_w: float | None = None
    most_w: float | None = None
    mig: bool = False
    whole_module: bool = False
    may_set: bool = True
    braked: bool = False
    driver_epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """The newest order for one GPU.

    until_s: end of its lease by the setter's clock. heard_s: last sign of life of the agent, None: never. back: why it is not
    wanted, None: nobody said. stopping: the setter ends and nobody follows it. refused: why a want for it could not be taken.
    """

    want: Want | None = None
    until_s: float = 0.0
    heard_s: float | None = None
    back: Restored | None = None
    stopping: bool = False
    refused: str = ""
    generation: int = 0
    plan_id: str = ""


class Grip(StrEnum):
    """What is known of our value on a GPU that has a journal entry."""

    FOUND = "found"
    """The entry is from before our start, and nobody has wished for it yet."""
    SURE = "sure"
    """Ours was in force at the last look."""
    UNSURE = "unsure"
    """Something was written and could not be read back."""
    LOOSE = "loose"
    """None of ours is in force: never applied, or lost to the driver or to somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is kept about one GPU between two looks.

    entry: what its journal file may say; recorded: that it says so for sure. torn: its file could not be understood. epoch: of
    the driver, at the last look. changed_s: when we last changed the limit; due_s: before then a new cap waits, by jitter;
    write_again_s, record_again_s: before then a cap, or an entry, that failed is not tried again. fights: foreign writes that
    were answered, the last at fought_s. yield_until_s: so long the limit is left to somebody else. clamped: the wish was lower
    than may be. trouble: what failed last.
    """

    uuid: str
    started_s: float = 0.0
    entry: JournalEntry | None = None
    recorded: bool = True
    torn: bool = False
    grip: Grip = Grip.LOOSE
    epoch: int | None = None
    changed_s: float | None = None
    due_s: float | None = None
    write_again_s: float | None = None
    record_again_s: float | None = None
    fights: int = 0
    fought_s: float | None = None
    yield_until_s: float | None = None
    clamped: bool = False
    trouble: str = ""


def fresh(uuid: str, started_s: float = 0.0) -> Held:
    """A GPU of which the journal says nothing."""
    return Held(uuid=uuid, started_s=started_s)


def found(entry: JournalEntry, started_s: float) -> Held:
    """A GPU whose entry was there at start; nobody knows its last change, so the pause counts from there."""
    return Held(uuid=entry.uuid, started_s=started_s, entry=entry, grip=Grip.FOUND, changed_s=started_s)


def torn(uuid: str, started_s: float) -> Held:
    """A GPU whose journal file cannot be understood: what was found before is not known, and a cap may be in force."""
    return Held(uuid=uuid, started_s=started_s, torn=True, changed_s=started_s)


@dataclass(frozen=True, slots=True)
class Record:
    """Make the journal say this, and only then go on."""

    entry: JournalEntry


@dataclass(frozen=True, slots=True)
class Write:
    """Set the limit and read it back; `back` says why, when it is a limit of before that is given back."""

    limit_w: float
    back: Restored | None = None


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove the journal's entry; a file that could not be understood is moved aside."""


Act = Record | Write | Forget


def took(act: Write, read_back_w: float | None) -> bool:
    """Whether a write shows when the limit is read back."""
    return read_back_w is not None and same_limit(act.limit_w, read_back_w)


def same_limit(one_w: float, other_w: float) -> bool:
    """Whether two limits are one."""
    return abs(one_w - other_w) <= SAME_LIMIT_W


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What follows from one look: acts in order, at most one of them a write; the first that fails ends them.

    held: what is kept if nothing of it is done. before_w: the limit that was seen. standing: as seen, before the acts. counted:
    by the look alone.
    """

    held: Held
    acts: tuple[Act, ...]
    standing: GpuStanding
    now_s: float
    before_w: float | None = None
    counted: SetterCounts = SetterCounts()
