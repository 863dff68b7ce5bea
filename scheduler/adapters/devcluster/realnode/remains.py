"""What a node leaves on the machine when it is gone, found and taken away: its control groups, which are empty then.

Mounts, processes, pod networks and kernel settings are not among it: they are in namespaces, or copies, and go with the node.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
# Followed by the process id of who holds the node, and the port of its kubelet.
PREFIX = "heat-dispatch-node-"
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


def clear_stale() -> None:
    """Remove the groups of nodes whose holder was killed; a name says whose they are."""
    for name in {path.name for root in hierarchies() for path in root.glob(f"{PREFIX}*")}:
        holder = name.removeprefix(PREFIX).partition("-")[0]
        if not Path(f"/proc/{holder}").exists():
            clear_cgroups(name)


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
