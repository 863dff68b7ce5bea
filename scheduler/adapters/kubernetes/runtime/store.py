"""What one kind looks like now: immutable objects by key, with indexes; written by its reflector, read by everybody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, cast

from scheduler.adapters.kubernetes.runtime.frozen import EMPTY, Key, Obj, freeze, key_of, version_of
from scheduler.adapters.kubernetes.runtime.kinds import Kind
from scheduler.adapters.kubernetes.runtime.trim import Trim, common
from scheduler.adapters.logs import Teller

Index = Callable[[Obj], Iterable[str]]
"""The values under which an object is found."""


class ChangeType(StrEnum):
    """What happened to an object, as far as the cache can tell."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object's change; `old` is None for an added, `new` for a removed object."""

    type: ChangeType
    key: Key
    old: Obj | None
    new: Obj | None


Listener = Callable[[Change], None]
"""Told after the store has changed, on the reflector's thread: quick, and level-triggered (a change may be told late)."""


def owner_uids(obj: Obj) -> Iterable[str]:
    """Uids of an object's owners: find the Pods of a Job."""
    return [str(owner["uid"]) for owner in obj.get("metadata", EMPTY).get("ownerReferences", ())]


def label(name: str) -> Index:
    """Index by the value of one label; objects without it are not found."""

    def values(obj: Obj) -> Iterable[str]:
        value = obj.get("metadata", EMPTY).get("labels", EMPTY).get(name)
        return () if value is None else (str(value),)

    return values


def node_name(obj: Obj) -> Iterable[str]:
    """Index of Pods by the Node they run on."""
    name = obj.get("spec", EMPTY).get("nodeName")
    return (str(name),) if name else ()


class Store:
    """Objects of one kind. Reads never block on the network and never see half of a relist."""

    def __init__(self, kind: Kind, *, trim: Trim = common, indexes: Mapping[str, Index] = MappingProxyType({})) -> None:
        """Start empty and not synced."""
        self.kind = kind
        self._trim = trim
        self._indexes = dict(indexes)
        self._objects: dict[Key, Obj] = {}
        self._found: dict[str, dict[str, dict[Key, None]]] = {name: {} for name in indexes}
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._synced = False
        self._log = Teller("runtime.store")

    # Reading.

    @property
    def synced(self) -> bool:
        """True once a whole list has been seen; an empty store before that means "not known"."""
        return self._synced

    def get(self, name: str, namespace: str = "") -> Obj | None:
        """Return one object as last seen, or None."""
        with self._lock:
            return self._objects.get((namespace, name))

    def all(self) -> tuple[Obj, ...]:
        """Return every object as last seen: one consistent moment."""
        with self._lock:
            return tuple(self._objects.values())

    def by(self, index: str, value: str) -> tuple[Obj, ...]:
        """Return the objects that an index finds under a value.

        Raises:
            KeyError: when the store has no such index.
        """
        with self._lock:
            return tuple(self._objects[key] for key in self._found[index].get(value, ()))

    def count(self) -> int:
        """Number of objects; not `len()`, which would make an empty store false."""
        with self._lock:
            return len(self._objects)

    def subscribe(self, listener: Listener) -> None:
        """Tell `listener` of every change from now on; what is there already is told as added."""
        with self._lock:
            self._listeners.append(listener)
            present = list(self._objects.items())
        for key, obj in present:
            listener(Change(type=ChangeType.ADDED, key=key, old=None, new=obj))

    # Writing: the reflector alone.

    def frozen(self, raw: dict[str, Any]) -> Obj:
        """Trim and freeze one object; list items get the kind that the API server leaves out."""
        raw["apiVersion"], raw["kind"] = self.kind.api_version, self.kind.kind
        return cast(Obj, freeze(self._trim(raw)))

    def replace(self, objects: Iterable[Obj]) -> None:
        """Take over a complete list at once; what is not in it has been removed."""
        fresh = {key_of(obj): obj for obj in objects}
        with self._lock:
            gone = [key for key in self._objects if key not in fresh]
            changes = [self._remove(key) for key in gone]
            changes += [self._put(key, obj) for key, obj in fresh.items()]
            self._synced = True
        self._tell(changes)

    def put(self, obj: Obj) -> None:
        """Add or change one object."""
        with self._lock:
            change = self._put(key_of(obj), obj)
        self._tell([change])

    def remove(self, obj: Obj) -> None:
        """Remove one object."""
        with self._lock:
            change = self._remove(key_of(obj))
        self._tell([change])

    def _put(self, key: Key, obj: Obj) -> Change | None:
        old = self._objects.get(key)
        if old is not None and version_of(old) and version_of(old) == version_of(obj):
            return None
        if old is not None:
            self._unindex(key, old)
        self._objects[key] = obj
        for name, values in self._indexes.items():
            for value in values(obj):
                self._found[name].setdefault(value, {})[key] = None
        return Change(type=ChangeType.ADDED if old is None else ChangeType.CHANGED, key=key, old=old, new=obj)

    def _remove(self, key: Key) -> Change | None:
        old = self._objects.pop(key, None)
        if old is None:
            return None
        self._unindex(key, old)
        return Change(type=ChangeType.REMOVED, key=key, old=old, new=None)

    def _unindex(self, key: Key, old: Obj) -> None:
        for name, values in self._indexes.items():
            for value in values(old):
                keys = self._found[name].get(value, {})
                keys.pop(key, None)
                if not keys:
                    self._found[name].pop(value, None)

    def _tell(self, changes: Iterable[Change | None]) -> None:
        """Tell every listener of every change: one that fails costs nobody else a change, and the store nothing."""
        for change in (one for one in changes if one is not None):
            for listener in tuple(self._listeners):
                try:
                    listener(change)
                except Exception as error:  # a bug of a listener
                    self._log.error("listener fault", fault=error, kind=self.kind.plural, key="/".join(change.key))
