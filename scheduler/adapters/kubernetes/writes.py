"""A write as a value: what the API server is asked to change, on exactly which object, and what its owner is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scheduler.adapters.kubernetes.marks import GATED_BY, HELD_BY, HOLD_UNTIL, HeldBy, read_instant
from scheduler.adapters.kubernetes.objects import NOTHING, Obj, at, name_of, namespace_of, part, parts, text, uid_of, version_of
from scheduler.adapters.kubernetes.runtime.kinds import JOBS, NODE_POWERS, WORKLOADS, Kind


class Verb(StrEnum):
    """PATCH: JSON merge patch of somebody else's object; APPLY: server-side apply of our object, or our entry of another."""

    PATCH = "patch"
    APPLY = "apply"


class Effect(StrEnum):
    """What a write does to a job, read from its body: the guard believes nothing else."""

    HOLD = "hold"
    RELEASE = "release"
    PLACE = "place"
    MARK = "mark"
    CHECK_READY = "checkReady"
    CHECK_SHUT = "checkShut"
    CHECK_TELL = "checkTell"
    CAP = "cap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One change of one object.

    uid and version are what was seen: the change is refused (409) when the object has moved on or was made anew. `change` is
    a merge patch, or the body of an apply without its metadata; reason and text become the Event on the object.
    """

    verb: Verb
    kind: Kind
    namespace: str
    name: str
    uid: str
    version: str
    change: Obj
    subresource: str = ""
    job_id: str = ""
    reason: str = ""
    text: str = ""

    @property
    def seen(self) -> Obj:
        """The object as it must still be, for a merge patch with preconditions."""
        metadata = {"namespace": self.namespace, "name": self.name, "uid": self.uid, "resourceVersion": self.version}
        return {"metadata": {key: value for key, value in metadata.items() if value}}

    @property
    def annotations(self) -> Obj:
        """Annotations that it sets (None: removes)."""
        return part(self.change, "metadata", "annotations")

    @property
    def effect(self) -> Effect:
        """What it does."""
        if self.kind == NODE_POWERS:
            return Effect.CAP
        if self.subresource == "status":
            states = {text(each, "state") for each in parts(self.change, "status", "admissionChecks")}
            said = {"Ready": Effect.CHECK_READY, "Pending": Effect.CHECK_TELL}
            return said.get(states.pop(), Effect.CHECK_SHUT) if len(states) == 1 else Effect.CHECK_SHUT
        if at(self.change, "spec", "suspend") is True or at(self.change, "spec", "active") is False:
            return Effect.HOLD
        if at(self.change, "spec", "suspend") is False or at(self.change, "spec", "active") is True:
            return Effect.RELEASE
        if GATED_BY in self.annotations:
            return Effect.RELEASE
        if at(self.change, "spec", "podSets") is not None:
            return Effect.PLACE
        return Effect.MARK if self.annotations.get(HELD_BY) == HeldBy.OWNER else Effect.HOLD

    @property
    def places(self) -> bool:
        """Whether it says where pods must run."""
        template = part(self.change, "spec", "template", "spec", "nodeSelector")
        updates = (
            part(each, "nodeSelector")
            for c in parts(self.change, "status", "admissionChecks")
            for each in parts(c, "podSetUpdates")
        )
        steers = at(self.change, "spec", "podSets") is not None
        return steers or any(value is not None for value in template.values()) or any(updates)

    @property
    def lets_go(self) -> bool:
        """Whether it only ends a hold: that is right in every mode."""
        return self.effect in (Effect.RELEASE, Effect.CHECK_READY) and not self.places

    @property
    def hold_until_text(self) -> str:
        """The end that a hold states; empty without one."""
        found = self.annotations.get(HOLD_UNTIL)
        return found if isinstance(found, str) and read_instant(found) is not None else ""


def patch_of(kind: Kind, obj: Obj, change: Obj, *, job_id: str, reason: str, said: str) -> Write:
    """A merge patch of an object as it was seen."""
    return Write(
        verb=Verb.PATCH,
        kind=kind,
        namespace=namespace_of(obj),
        name=name_of(obj),
        uid=uid_of(obj),
        version=version_of(obj),
        change=change,
        job_id=job_id,
        reason=reason,
        text=said,
    )


def kind_of(obj: Obj, workload: Obj = NOTHING) -> Kind:
    """Job, or Workload when the object is that very workload."""
    return WORKLOADS if workload and uid_of(obj) == uid_of(workload) else JOBS
