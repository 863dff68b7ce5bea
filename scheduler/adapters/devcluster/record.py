"""What a running cluster leaves in its folder, so that other processes can find it, ask how it is, and end it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scheduler.adapters.devcluster.build import cache_root
from scheduler.domain.errors import Misconfigured

RECORD = "devcluster.json"
START_TIME_FIELD = 19
STOP_S = 20.0
EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Identity:
    """A process for good: ids are used again, ids with a start time (kernel ticks since boot) are not."""

    pid: int
    start_ticks: int

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return identity(self.pid) == self

    def send(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def identity(pid: int) -> Identity | None:
    """The process that has an id now; None when there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else Identity(pid, int(fields[START_TIME_FIELD]))


def default_folder() -> Path:
    """Where a cluster lives when nobody says: beside the programs it is made of."""
    return cache_root().parent / "devcluster"


def claim(folder: Path) -> None:
    """Make a folder ready for a new cluster of this process, throwing away what an earlier one left there.

    Raises:
        Misconfigured: when one runs there, or when the folder holds anything that is not of a cluster.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if is_running(folder):
        raise Misconfigured(
            "a cluster runs here already", where=str(folder), expected="`heat-dispatch dev cluster down` before"
        )
    if any(folder.iterdir()) and not (folder / RECORD).is_file():
        raise Misconfigured(
            "the folder is not empty", where=str(folder), expected="an empty one, or that of an earlier cluster"
        )
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    write(folder, {}, {})


def write(folder: Path, described: Mapping[str, Any], pids: Mapping[str, int]) -> None:
    """Note what runs: this process, the programs it started, and where they are."""
    children = {name: found for name, pid in pids.items() if (found := identity(pid)) is not None}
    record = {
        **described,
        "supervisor": asdict(_present(identity(os.getpid()))),
        "programs": {name: asdict(child) for name, child in children.items()},
    }
    part = folder / f"{RECORD}.part"
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / RECORD)


def _present(found: Identity | None) -> Identity:
    if found is None:
        raise ProcessLookupError("the own process has no entry under /proc")
    return found


def read(folder: Path) -> dict[str, Any]:
    """What was noted; empty when nothing was."""
    try:
        found: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def supervisor(record: Mapping[str, Any]) -> Identity | None:
    """The process that holds a cluster."""
    return Identity(**record["supervisor"]) if "supervisor" in record else None


def programs(record: Mapping[str, Any]) -> dict[str, Identity]:
    """The programs of a cluster as they were noted."""
    return {name: Identity(**one) for name, one in record.get("programs", {}).items()}


def is_running(folder: Path) -> bool:
    """Whether the process that holds the cluster of a folder is there."""
    holder = supervisor(read(folder))
    return holder is not None and holder.alive()


def stop(folder: Path) -> bool:
    """End the cluster of a folder: ask the process that holds it, insist after a while. False when none ran."""
    record = read(folder)
    holder, children = supervisor(record), programs(record).values()
    everybody = [one for one in (holder, *children) if one is not None and one.alive()]
    if not everybody:
        return False
    if holder is not None:
        holder.send(signal.SIGTERM)
    if not _gone(everybody, STOP_S):
        for one in everybody:
            one.send(signal.SIGKILL)
        _gone(everybody, STOP_S)
    return True


def _gone(processes: Iterable[Identity], within_s: float) -> bool:
    """Wait until none of them is alive."""
    until_s, left = time.monotonic() + within_s, list(processes)
    while left and time.monotonic() < until_s:
        left = [one for one in left if one.alive()]
        time.sleep(EVERY_S)
    return not left
