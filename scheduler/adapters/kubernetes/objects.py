"""Reading Kubernetes objects: plain nested mappings as the API serves them. A missing part is empty, never an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from scheduler.domain.time import utc

Obj = Mapping[str, Any]
"""One Kubernetes object as raw JSON, or a part of it."""

NOTHING: Final[Obj] = {}


def at(obj: Obj, *path: str) -> Any:
    """The value at a path, None when a step of it is missing."""
    found: Any = obj
    for step in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(step)
    return found


def part(obj: Obj, *path: str) -> Obj:
    """The object at a path."""
    found = at(obj, *path)
    return found if isinstance(found, Mapping) else NOTHING


def parts(obj: Obj, *path: str) -> tuple[Obj, ...]:
    """The objects of the list at a path."""
    found = at(obj, *path)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ()
    return tuple(each for each in found if isinstance(each, Mapping))


def text(obj: Obj, *path: str) -> str:
    """The text at a path."""
    found = at(obj, *path)
    return found if isinstance(found, str) else ""


def count(obj: Obj, *path: str, default: int = 0) -> int:
    """The whole number at a path."""
    found = at(obj, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def texts(obj: Obj, *path: str) -> dict[str, str]:
    """The map of texts at a path."""
    return {key: value for key, value in part(obj, *path).items() if isinstance(value, str)}


def labels_of(obj: Obj) -> dict[str, str]:
    """Labels of an object."""
    return texts(obj, "metadata", "labels")


def annotations_of(obj: Obj) -> dict[str, str]:
    """Annotations of an object."""
    return texts(obj, "metadata", "annotations")


def name_of(obj: Obj) -> str:
    """Name of an object."""
    return text(obj, "metadata", "name")


def namespace_of(obj: Obj) -> str:
    """Namespace of an object; empty for a cluster-scoped one."""
    return text(obj, "metadata", "namespace")


def uid_of(obj: Obj) -> str:
    """Identity of an object: a recreated one has another."""
    return text(obj, "metadata", "uid")


def version_of(obj: Obj) -> str:
    """The resourceVersion, an opaque text."""
    return text(obj, "metadata", "resourceVersion")


def instant(obj: Obj, *path: str) -> datetime | None:
    """The instant at a path; None when it is missing or none."""
    try:
        return utc(text(obj, *path))
    except (ValueError, OverflowError):
        return None


def created_utc(obj: Obj) -> datetime | None:
    """When the API server took the object in."""
    return instant(obj, "metadata", "creationTimestamp")


def condition(obj: Obj, kind: str) -> Obj:
    """The condition of one type."""
    return next((each for each in parts(obj, "status", "conditions") if each.get("type") == kind), NOTHING)


def holds(obj: Obj, kind: str) -> bool:
    """Whether a condition is True."""
    return condition(obj, kind).get("status") == "True"


def going(obj: Obj) -> bool:
    """Whether the object is being deleted."""
    return bool(text(obj, "metadata", "deletionTimestamp"))


def controller_of(obj: Obj) -> Obj:
    """The owner reference of the controller that made the object; empty without one."""
    owners = parts(obj, "metadata", "ownerReferences")
    return next((owner for owner in owners if owner.get("controller") is True), NOTHING)


def job_id_of(obj: Obj) -> str:
    """Identity of a job for plan and ledger: readable, and another one when the object is made anew under its name."""
    return f"{namespace_of(obj)}/{name_of(obj)}@{uid_of(obj)[:8]}"
