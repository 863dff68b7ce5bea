"""What a real node needs of the machine, and what of it is missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scheduler.adapters.devcluster.realnode.remains import hierarchies
from scheduler.domain.errors import Misconfigured

SETUP = "scripts/real-node-setup"
# Of these Debian packages; the last is on every Debian.
PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "busybox": "busybox-static",
    "unshare": "util-linux",
}
NETWORK_PACKAGE = "containernetworking-plugins"
NETWORK_PLUGINS = ("ptp", "host-local", "loopback")
NETWORK_PLACES = ("/usr/lib/cni", "/opt/cni/bin")
# Administrators' programs, which a user's PATH often lacks.
SEARCHED = (*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/local/sbin", "/usr/sbin", "/sbin")
NAMESPACES = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Where the machine keeps what a node is made of."""

    programs: dict[str, str]
    network_plugins: str

    @property
    def path(self) -> str:
        """PATH for programs that look for others."""
        return os.pathsep.join(SEARCHED)


def missing() -> tuple[str, ...]:
    """Why there can be no real node here, in words; empty when there can."""
    if platform.system() != "Linux":
        return ("Linux",)
    found = [] if os.geteuid() == 0 else ["root"]
    packages = missing_packages()
    found += [f"the Debian packages {', '.join(packages)} (`{SETUP}`)"] if packages else []
    if not found and not may_separate():
        found.append("the right to make mount and process namespaces (CAP_SYS_ADMIN)")
    if not found and not hierarchies():
        found.append("a writable /sys/fs/cgroup")
    return tuple(found)


def missing_packages() -> tuple[str, ...]:
    """Debian packages that would bring what is not there."""
    lacking = {package for name, package in PACKAGES.items() if program(name) is None}
    return tuple(sorted(lacking if network_plugins() else {*lacking, NETWORK_PACKAGE}))


def means() -> Means:
    """What is there.

    Raises:
        Misconfigured: when something is missing, with all of it.
    """
    lacking = missing()
    if lacking:
        raise Misconfigured(f"no real node on this machine: it needs {'; '.join(lacking)}")
    programs = {name: path for name in PACKAGES if (path := program(name)) is not None}
    return Means(programs=programs, network_plugins=network_plugins() or "")


def program(name: str) -> str | None:
    """Path of a program; of busybox only one that needs no libraries, since an image holds nothing else."""
    found = shutil.which(name, path=os.pathsep.join(SEARCHED))
    return None if found is None or (name == "busybox" and not is_static(Path(found))) else found


def is_static(path: Path) -> bool:
    """Whether an ELF file names no loader."""
    return b"/ld-linux" not in path.read_bytes()[:4096] and b"/ld-musl" not in path.read_bytes()[:4096]


def network_plugins() -> str | None:
    """Folder of the CNI plugins."""
    return next((place for place in NETWORK_PLACES if _all_there(Path(place), NETWORK_PLUGINS)), None)


def _all_there(folder: Path, names: Iterable[str]) -> bool:
    return all((folder / name).is_file() for name in names)


def may_overlay(folder: Path) -> bool:
    """Whether folders on this file system can be laid over each other, tried out in `folder`, which is left as it was."""
    parts = [folder / f"overlay-{name}" for name in ("lower", "upper", "work", "merged")]
    for part in parts:
        part.mkdir()
    lower, upper, work, merged = map(str, parts)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    command = [program("unshare") or "unshare", "--mount", "mount", "-t", "overlay", "-o", options, "overlay", merged]
    done = subprocess.run(command, capture_output=True, check=False)
    for part in parts:
        shutil.rmtree(part, ignore_errors=True)
    return done.returncode == 0


def may_separate() -> bool:
    """Whether namespaces can be made, tried out."""
    command = [program("unshare") or "unshare", *NAMESPACES, "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
