"""First process of a node's own namespaces: `python -I inside.py SPEC`. When it ends, all that runs on the node ends with it.

It covers what containerd and the kubelet would write to on the machine (folders at fixed places, kernel settings), starts the
one, gives it its images, starts the other, and buries what is orphaned. Standard library only, imported by nothing.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MS_BIND, MS_REC, MS_SHARED = 1 << 12, 1 << 14, 1 << 20
PATIENCE_S = 60.0
EVERY_S = 0.1


def cover(spec: Mapping[str, Any]) -> None:
    """Mount folders of the node over those at fixed places, and copies over kernel settings. Nobody outside sees these mounts.

    Among the processes of the node mounts are shared. Otherwise the kubelet would share its own folder while it already makes
    sockets there, and fail when the one is faster than the other.
    """
    doubled: set[Path] = set()
    for folder, own in ((Path(folder), own) for folder, own in spec["covered"].items()):
        if not folder.is_dir():
            above = next(parent for parent in folder.parents if parent.is_dir())
            if above not in doubled:
                double(above, Path(spec["scratch"]))
                doubled.add(above)
            folder.mkdir(parents=True)
        mount(own, folder, flags=MS_BIND)
    for setting, copy in spec["copied"].items():
        mount(copy, setting, flags=MS_BIND)
    mount("none", "/", flags=MS_REC | MS_SHARED)


def double(folder: Path, scratch: Path) -> None:
    """Put another folder with the same things in it in the place of one, so that new things in it are not on the machine."""
    mount("node", scratch, kind="tmpfs")
    for old in folder.iterdir():
        new = scratch / old.name
        if old.is_symlink():
            new.symlink_to(old.readlink())
            continue
        new.mkdir() if old.is_dir() else new.touch()
        mount(old, new, flags=MS_BIND | MS_REC)
    mount(scratch, folder, flags=MS_BIND | MS_REC)


def mount(source: str | Path, target: str | Path, *, kind: str = "", flags: int = 0) -> None:
    """Mount, or end with what the kernel says against it."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode(), flags, None)
    if ctypes.CDLL(None, use_errno=True).mount(*arguments) != 0:
        sys.exit(f"cannot mount {source} on {target}: {os.strerror(ctypes.get_errno())}")


def started(name: str, spec: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """A program with a log of its own."""
    with Path(spec["logs"], f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            spec[name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"PATH": spec["path"], "HOME": spec["logs"]},
        )


def load(spec: Mapping[str, Any], containerd: subprocess.Popen[bytes]) -> None:
    """Give containerd its images as soon as it answers, one archive after the other."""
    until_s, waiting = time.monotonic() + PATIENCE_S, list(spec["load"])
    while waiting and containerd.poll() is None:
        done = subprocess.run(waiting[0], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            del waiting[0]
            until_s = time.monotonic() + PATIENCE_S
        elif time.monotonic() > until_s:
            sys.exit(f"containerd takes no images: {done.stderr.strip()}")
        else:
            time.sleep(EVERY_S)


def watch(programs: Mapping[str, subprocess.Popen[bytes]], spec: Mapping[str, Any]) -> None:
    """Bury whoever ends, until it is one of ours; then end too. A kubelet that was killed gets a successor, as by a service."""
    names = {one.pid: name for name, one in programs.items()}
    while True:
        pid, status = os.wait()
        name, code = names.pop(pid, ""), os.waitstatus_to_exitcode(status)
        if name == "kubelet" and code == -signal.SIGKILL:
            names[started(name, spec).pid] = name
        elif name:
            sys.exit(f"{name} ended with {code}")


if __name__ == "__main__":
    wanted = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    cover(wanted)
    runtime = started("containerd", wanted)
    load(wanted, runtime)
    watch({"containerd": runtime, "kubelet": started("kubelet", wanted)}, wanted)
