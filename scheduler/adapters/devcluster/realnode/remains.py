"""What a node may leave on the machine when it is gone, found and taken away: control groups, and empty folders for mounts.

Mounts, processes, pod networks and kernel settings are not among it: they are in namespaces, or copies, and go with the node.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = "cgroup.controllers"
WITHIN_S = 15.0
EVERY_S = 0.05


def hierarchies() -> tuple[Path, ...]:
    """Roots of the hierarchies of control groups: one (version 2), or one for each controller and one without (version 1)."""
    if (CGROUPS / UNIFIED).is_file():
        return (CGROUPS,)
    return tuple(one for one in sorted(CGROUPS.glob("*")) if (one / "cgroup.procs").is_file())


def make_cgroups(name: str) -> None:
    """A group of this name in every hierarchy, with all that the kubelet wants to hand out below it."""
    for root in hierarchies():
        (root / name).mkdir(exist_ok=True)
        if (root / UNIFIED).is_file():
            _hand_down(root)
            _hand_down(root / name)
        elif (root / "cpuset.cpus").is_file():
            for kind in ("cpuset.cpus", "cpuset.mems"):
                (root / name / kind).write_text((root / kind).read_text("utf-8"), encoding="utf-8")


def _hand_down(group: Path) -> None:
    """Let children of a group have its controllers; those that cannot be handed down are left out."""
    for controller in (group / UNIFIED).read_text("utf-8").split():
        with suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"+{controller}", encoding="utf-8")


def cgroups(name: str) -> tuple[Path, ...]:
    """Groups of this name, and all below them, the deepest first."""
    tops = (root / name for root in hierarchies())
    found = [group for top in tops if top.is_dir() for group in (top, *(one for one in top.rglob("*") if one.is_dir()))]
    return tuple(sorted(found, key=lambda group: -len(group.parts)))


def clear_cgroups(name: str) -> tuple[Path, ...]:
    """Remove them, waiting for processes that are about to end. Returns those that somebody still uses."""
    until_s = time.monotonic() + WITHIN_S
    while (left := cgroups(name)) and time.monotonic() < until_s:
        for group in left:
            with suppress(OSError):
                group.rmdir()
        if cgroups(name):
            time.sleep(EVERY_S)
    return cgroups(name)


def make_folders(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Make folders that are not there, with their parents; returns what was made, the deepest first."""
    made = [missing for path in paths for missing in reversed([one for one in (path, *path.parents) if not one.exists()])]
    for path in dict.fromkeys(made):
        path.mkdir()
    return tuple(sorted(dict.fromkeys(made), key=lambda path: -len(path.parts)))


def clear_folders(made: Iterable[Path]) -> tuple[Path, ...]:
    """Remove folders that were made, unless somebody has put something there. Returns those that are left."""
    paths = tuple(made)
    for path in paths:
        with suppress(OSError):
            path.rmdir()
    return tuple(path for path in paths if path.exists())
