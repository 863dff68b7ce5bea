"""Objects as deeply immutable dicts: what a cache hands out, no reader can change for another.

They stay `dict` (so `json`, `==` and pattern matching work); keys are interned, because 5,000 Pods repeat the same
hundred keys, and empty containers are shared.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn

Obj = Mapping[str, Any]
"""One Kubernetes object as raw JSON, or a part of it."""


class Frozen(dict[str, Any]):
    """A dict that refuses every change; make one with `freeze`, take a changeable copy with `thaw`."""

    __slots__ = ()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("objects of the cache are shared and immutable: thaw() makes a copy")

    __setitem__ = _refuse
    __delitem__ = _refuse
    __ior__ = _refuse
    clear = _refuse
    pop = _refuse
    popitem = _refuse
    setdefault = _refuse
    update = _refuse

    def __reduce__(self) -> tuple[type[Frozen], tuple[dict[str, Any]]]:
        """Pickle and copy by way of a plain dict: the usual way would set items one by one."""
        return Frozen, (dict(self),)


EMPTY: Final = Frozen()


def freeze(value: Any) -> Any:
    """Return a deeply immutable copy of parsed JSON: dicts become `Frozen`, lists become tuples; what is frozen is shared."""
    if type(value) is Frozen:
        return value
    if isinstance(value, dict):
        return Frozen({sys.intern(key): freeze(item) for key, item in value.items()}) if value else EMPTY
    if isinstance(value, list | tuple):
        return tuple([freeze(item) for item in value])
    return value


def thaw(value: Any) -> Any:
    """Return a deep, changeable copy: plain dicts and lists."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value


def uid_of(obj: Obj) -> str:
    """The object's uid; empty when it has none (not yet created)."""
    return str(obj.get("metadata", EMPTY).get("uid", ""))


def version_of(obj: Obj) -> str:
    """The object's resourceVersion, an opaque string."""
    return str(obj.get("metadata", EMPTY).get("resourceVersion", ""))


def key_of(obj: Obj) -> Key:
    """`(namespace, name)` of an object; the namespace of a cluster-scoped one is empty."""
    metadata = obj.get("metadata", EMPTY)
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))


Key = tuple[str, str]
