"""What programs can change on a machine: looked at before and after, it must be the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

SETTINGS = [Path("/proc/sys") / name for name in ("kernel", "vm", "net/core", "net/ipv4", "net/ipv6")]
# These count, or are drawn anew at each look.
RESTLESS = ("random", "ns_last_pid", "pty")
FOLDERS = ("/etc/cni", "/etc/hosts", "/opt/cni", "/opt/containerd", "/run/containerd", "/run/netns", "/usr/libexec/kubernetes",
           "/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods")  # fmt: skip
PROGRAMS = ("containerd", "containerd-shim", "kubelet", "runc", "unshare", "busybox", "ptp", "host-local")
SETTLED_S = 30.0
FIREWALLS = ("iptables-save", "ip6tables-save", "iptables-nft-save", "ip6tables-nft-save")

Traces = Mapping[str, object]


def traces() -> Traces:
    """Everything by name, so that a difference names itself."""
    found: dict[str, object] = {
        f"mount {line.split()[1]}": line for line in Path("/proc/mounts").read_text("utf-8").splitlines()
    }
    found |= {f"interface {path.name}": True for path in Path("/sys/class/net").iterdir()}
    found |= {f"route {line}": True for line in Path("/proc/net/route").read_text("utf-8").splitlines()}
    found |= {f"group {path}": True for path in Path("/sys/fs/cgroup").glob("*/heat-dispatch-*")}
    found |= {f"group {path}": True for path in Path("/sys/fs/cgroup").rglob("kubepods*")}
    found |= {f"file {name}": _inode(Path(name)) for name in FOLDERS}
    found |= {f"process {pid}": name for pid, name in processes().items()}
    found |= {f"firewall {line}": True for line in firewall()}
    return found | settings()


def changes(before: Traces, after: Traces) -> list[str]:
    """What is new, gone or different, in words."""
    names = sorted({*before, *after})
    return [f"{name}: {before.get(name)!r} -> {after.get(name)!r}" for name in names if before.get(name) != after.get(name)]


def settled(before: Traces) -> list[str]:
    """What is not as it was before, when the kernel has had its time to clear away networks of pods that are gone."""
    until_s = time.monotonic() + SETTLED_S
    while (found := changes(before, traces())) and time.monotonic() < until_s:
        time.sleep(0.2)
    return found


def settings() -> dict[str, object]:
    """Kernel settings that can be read."""
    found: dict[str, object] = {}
    # os.walk passes over a folder that goes meanwhile, as that of another network's interface may.
    files = (Path(folder, name) for root in SETTINGS for folder, _, names in os.walk(root) for name in names)
    for path in files:
        if not any(word in str(path) for word in RESTLESS):
            with suppress(OSError, UnicodeDecodeError):
                found[f"setting {path}"] = path.read_text("utf-8")
    return found


def processes() -> dict[int, str]:
    """Programs of nodes and their pods that run."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            name = path.read_text("utf-8").strip()
            if name.startswith(PROGRAMS):
                found[int(path.parent.name)] = name
    return found


def firewall() -> set[str]:
    """Rules and chains, without counters."""
    lines: set[str] = set()
    for name in FIREWALLS:
        program = shutil.which(name, path="/usr/sbin:/sbin")
        if program is not None:
            said = subprocess.run([program], capture_output=True, text=True, check=False).stdout.splitlines()
            lines |= {line.split(" [")[0] for line in said if not line.startswith("#")}
    return lines


def _inode(path: Path) -> object:
    return (path.stat().st_ino, path.stat().st_size) if path.exists() else None
