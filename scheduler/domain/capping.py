"""Caps of GPUs as leases: what is wished, what is held, what an agent may do. Times are seconds of one monotonic clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FailMode(StrEnum):
    """What becomes of a cap whose lease ends.

    restore: the limit that was found comes back. hold: the cap stays, where a feeder needs it more than a job its speed; it
    ends all the same when it is taken back, or when another pod comes.
    """

    RESTORE = "restore"
    HOLD = "hold"


class Condition(StrEnum):
    """How a GPU stands with its setter; the words of status, metrics and log."""

    FREE = "free"
    CAPPED = "capped"
    WAITING = "waiting"
    """A change is wished and comes later: by rate limit, ramp or jitter."""
    RESTORING = "restoring"
    """The limit must come back and could not be written yet."""
    YIELDED = "yielded"
    """Somebody else sets this limit; it is left to him."""
    UNAVAILABLE = "unavailable"
    """The GPU does not answer, or its limit cannot be set; `why` says which."""


class Restored(StrEnum):
    """Why a limit was given back; the label `reason` of the metric."""

    EXPIRED = "expired"
    SILENT = "silent"
    """The agent that wished for it was not heard in time."""
    RELEASED = "released"
    """It is not wished any more."""
    OCCUPANT = "occupant"
    """The pod on the GPU is not the one it was meant for, or is not known."""
    STOPPING = "stopping"
    STARTUP = "startup"
    """Found in the journal at start, and nobody wished for it."""
    REFUSED = "refused"
    """The wish itself cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapWish:
    """One cap as somebody wishes for it: this GPU, while this pod sits on it. emergency: a reduction that may not wait."""

    uuid: str
    pod_uid: str
    cap_w: float
    emergency: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWish:
    """All caps of one node as its NodePower, or a file, states them.

    source: identity of the object; generations count within one. lease_s: how long the caps outlive the last sign of life.
    observed_generation: the object's own count of its changes, for the status that answers it; None where it has none.
    """

    source: str
    generation: int
    plan_id: str
    lease_s: float
    gpus: tuple[CapWish, ...] = ()
    observed_generation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a source of wishes knows now.

    wish: None when there is none, or none that is known. alive_s: when the last sign of life of the operator was seen, None:
    never. pods: uid by (namespace, name) of the pods of this node; a name that is missing is not known. begun: the source has
    been read at least once; until then nothing is asked of the setter, which would take back what stands.
    """

    wish: NodeWish | None = None
    alive_s: float | None = None
    pods: Mapping[tuple[str, str], str] = field(default_factory=dict)
    trouble: str = ""
    begun: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """Who holds a GPU according to the kubelet; shared: several pods, a slice of time, or a part of the GPU."""

    namespace: str
    name: str
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """Who holds which GPU of this node, by uuid.

    seen_s: when the kubelet was last asked and said so, None: never, or what it said cannot be understood. all_named: a GPU
    that is not named is held by nobody; else it is not known. `trouble`: why the kubelet does not say so now, or which devices
    it names that are not known by uuid.
    """

    seen_s: float | None = None
    by_uuid: Mapping[str, Occupant] = field(default_factory=dict)
    all_named: bool = True
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """One GPU's cap as the agent asks its setter for it; lease_s: so long from now without being asked again."""

    uuid: str
    cap_w: float
    lease_s: float
    pod_uid: str = ""
    emergency: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What the agent asks for: every cap of the node, whole. A GPU that is not named gets its limit back.

    back: why some of those that are not named do not, by uuid.
    """

    source: str
    generation: int
    plan_id: str = ""
    wants: tuple[Want, ...] = ()
    back: Mapping[str, Restored] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRules:
    """What a setter keeps to, whatever it is asked.

    least_fraction: of the GPU's default limit; no cap is lower. same_w, same_fraction: a change smaller than both is not
    written. pause_s: between two changes of one GPU; reductions in an emergency and restores do not wait. step_fraction: of the
    default limit, largest step of a cap that rises. jitter_s: a new cap waits up to so long: nodes shall not step together.
    contact_s: without a word from the agent for so long all limits come back. fights: so often a limit that somebody else
    changed is set again before it is left to him; yield_s: for so long.
    """

    dry_run: bool = True
    fail_mode: FailMode = FailMode.RESTORE
    least_fraction: float = 0.4
    same_w: float = 5.0
    same_fraction: float = 0.02
    pause_s: float = 60.0
    step_fraction: float = 0.15
    jitter_s: float = 5.0
    contact_s: float = 1.2
    fights: int = 2
    yield_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuStanding:
    """How one GPU stands with its setter, in W and s; None is not known, or not so.

    original_w: limit that was found before the first write, only while one of ours is or may be in force. requested_w,
    enforced_w: as read back. cap_w: what is held, or would be in a dry run. lease_s: until it ends by itself. clamped: the wish
    was lower than what may be.
    """

    uuid: str
    condition: Condition
    why: str = ""
    original_w: float | None = None
    requested_w: float | None = None
    enforced_w: float | None = None
    default_w: float | None = None
    least_w: float | None = None
    most_w: float | None = None
    cap_w: float | None = None
    lease_s: float | None = None
    pod_uid: str = ""
    clamped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetterCounts:
    """What a setter has counted since it began; restores by reason, refused by a few fixed words."""

    writes: int = 0
    restores: Mapping[Restored, int] = field(default_factory=dict)
    read_back_failures: int = 0
    foreign_writes: int = 0
    clamps: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    journal_failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a setter answers; waiting: another setter is still in charge of these GPUs."""

    gpus: tuple[GpuStanding, ...] = ()
    counts: SetterCounts = SetterCounts()
    dry_run: bool = True
    waiting: bool = False
    trouble: str = ""
