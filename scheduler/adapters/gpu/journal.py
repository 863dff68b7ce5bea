"""What limits were found, on a disk, before ours are set: one small file per GPU in a folder of the machine's own.

A file is replaced, never changed: written beside, forced to the disk, renamed, and the folder forced too. It carries the boot
that it is of, since a boot gives every GPU its default limit again, and a check over the rest. Nothing outside the folder is
ever touched: it is opened as a folder, files in it without following links.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler.core.capping.held import JournalEntry
from scheduler.domain.errors import HeatDispatchError, Misconfigured

VERSION = 1
MAX_FILE_BYTES = 16 * 1024
MAX_OURS = 16
MOST_W = 10_000.0
ENDING = ".json"
UNFINISHED = f"{ENDING}.new"
UUID = re.compile(r"[A-Za-z0-9_-]{1,80}")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MACHINE_ID = Path("/etc/machine-id")


class JournalFailed(HeatDispatchError):
    """The journal could not be read or written, and why. What it says of this GPU may be old or new."""


class Torn(HeatDispatchError):
    """One file of it cannot be understood, and why."""


class _Past(HeatDispatchError):
    """One file of it says nothing about now, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was found at start: entries of this boot, GPUs whose file cannot be understood, and what there is to tell."""

    entries: Mapping[str, JournalEntry] = field(default_factory=dict)
    torn: frozenset[str] = frozenset()
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stamp:
    """This machine, in this boot of it."""

    machine: str
    boot: str

    @classmethod
    def of_this_boot(cls, machine_id: Path = MACHINE_ID, boot_id: Path = BOOT_ID) -> Stamp:
        """Read from the kernel and the system; a machine without an id has an empty one.

        Raises:
            Misconfigured: when the kernel does not tell its boot: then nobody could tell an old entry from one in force.
        """
        try:
            boot = boot_id.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise Misconfigured(str(error), where=str(boot_id), expected="the kernel's boot id") from error
        if not boot:
            raise Misconfigured("is empty", where=str(boot_id), expected="the kernel's boot id")
        try:
            return cls(machine_id.read_text(encoding="ascii").strip(), boot)
        except (OSError, ValueError):
            return cls("", boot)


class Journal:
    """The folder. Several threads may write, each of its own GPUs."""

    def __init__(self, folder: Path, stamp: Stamp) -> None:
        """Keep the journal of `stamp` in `folder`, which must be there; nothing is opened yet."""
        self._folder, self._stamp = folder, stamp
        self._loaded = False

    def load(self) -> Loaded:
        """Read every entry. Those of another boot are dropped, those of another machine moved aside, half-written ones removed.

        A file that cannot be understood stays until its GPU is mended and forgotten.

        Raises:
            JournalFailed: when the folder cannot be read; nothing can be recorded until it was.
        """
        entries: dict[str, JournalEntry] = {}
        torn: set[str] = set()
        troubles: list[str] = []
        with self._opened("read") as folder:
            for name in sorted(os.listdir(folder)):  # noqa: PTH208 - an open folder, not a path
                if name.endswith(UNFINISHED):
                    # Whoever was killed while writing it had not set its limit yet.
                    _tried(_removed, folder, name)
                uuid = name.removesuffix(ENDING)
                if uuid == name:
                    continue
                try:
                    entry = self._of_this_boot(folder, name, uuid)
                except FileNotFoundError:
                    continue
                except Torn as error:
                    troubles.append(f"{name}: {error}")
                    torn.add(uuid)
                except _Past as error:
                    troubles.append(f"{name}: {error}")
                else:
                    entries[uuid] = entry
        self._loaded = True
        return Loaded(entries=entries, torn=frozenset(torn), troubles=tuple(troubles))

    def record(self, entry: JournalEntry) -> None:
        """Make the file of a GPU say `entry`, on the disk, before this returns.

        Raises:
            JournalFailed: when it may not say so; the old entry, or the new one, is there whole.
        """
        if not self._loaded:
            raise JournalFailed("the journal was not read yet")
        name = _name_of(entry.uuid)
        with self._opened(f"write {name}") as folder:
            beside = name.removesuffix(ENDING) + UNFINISHED
            _written(folder, beside, file_bytes(entry, self._stamp))
            os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def gone(self, uuid: str) -> bool:
        """Whether the file of a GPU is certainly not there: somebody took away the only word of what was found."""
        return _gone(self._folder / _name_of(uuid))

    def forget(self, uuid: str) -> None:
        """Remove the file of a GPU, on the disk, before this returns; one that cannot be understood is moved aside.

        Raises:
            JournalFailed: when it may still be there.
        """
        name = _name_of(uuid)
        if _gone(self._folder):
            return  # And its files with it.
        with self._opened(f"remove {name}") as folder, contextlib.suppress(FileNotFoundError):
            try:
                entry_of(_content(folder, name), uuid)
            except Torn:
                _aside(folder, name, "torn")
            else:
                os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def _of_this_boot(self, folder: int, name: str, uuid: str) -> JournalEntry:
        """The entry of a file.

        The boot alone says that a limit may still be in force: its id is drawn at random by the kernel, while a machine's id
        may be another one in another image.

        Raises:
            Torn: when it cannot be understood. _Past: when it is of another boot or machine.
        """
        if not UUID.fullmatch(uuid):
            raise _Past(f"is no GPU's name; {_tried(_aside, folder, name, 'torn')}")
        entry, stamp = entry_of(_content(folder, name), uuid)
        if stamp.boot == self._stamp.boot:
            return entry
        if stamp.machine in ("", self._stamp.machine) or not self._stamp.machine:
            raise _Past(f"is of an earlier boot, since which limits are the default; {_tried(_removed, folder, name)}")
        raise _Past(f"is of another machine; {_tried(_aside, folder, name, 'elsewhere')}")

    @contextlib.contextmanager
    def _opened(self, doing: str) -> Iterator[int]:
        """The folder, as a descriptor; whatever the system refuses is told as one error."""
        folder = None
        try:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            if os.fstat(folder).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise JournalFailed(f"{self._folder}: others may write there")
            yield folder
        except OSError as error:
            raise JournalFailed(f"cannot {doing} in {self._folder}: {error.strerror or error}") from error
        finally:
            if folder is not None:
                os.close(folder)


# Files.


def _gone(path: Path) -> bool:
    """Whether nothing is at a path, for sure."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _name_of(uuid: str) -> str:
    if not UUID.fullmatch(uuid):
        raise JournalFailed("no GPU's name")
    return uuid + ENDING


def file_bytes(entry: JournalEntry, stamp: Stamp) -> bytes:
    """A file's content."""
    told = {
        "version": VERSION,
        "machine": stamp.machine,
        "boot": stamp.boot,
        "uuid": entry.uuid,
        "originalWatts": entry.original_w,
        "oursWatts": list(entry.ours_w),
        "podUid": entry.pod_uid,
        "planId": entry.plan_id,
    }
    return json.dumps({**told, "check": check_of(told)}, indent=1).encode() + b"\n"


def entry_of(content: bytes, uuid: str) -> tuple[JournalEntry, Stamp]:
    """What a file says.

    Raises:
        Torn: when it was not written whole, by us, for this GPU.
    """
    try:
        told = json.loads(content)
        fits = isinstance(told, dict) and told.pop("check", None) == check_of(told)
    except (ValueError, RecursionError) as error:
        raise Torn("is no JSON") from error
    if not fits:
        raise Torn("its check does not fit")
    if told.get("version") != VERSION or told.get("uuid") != uuid:
        raise Torn("is of another version, or of another GPU")
    original_w, ours_w = _watts(told.get("originalWatts")), told.get("oursWatts")
    if not isinstance(ours_w, list) or not 0 < len(ours_w) <= MAX_OURS:
        raise Torn("has no limits of ours")
    entry = JournalEntry(
        uuid=uuid,
        original_w=original_w,
        ours_w=tuple(_watts(one) for one in ours_w),
        pod_uid=_text(told, "podUid"),
        plan_id=_text(told, "planId"),
    )
    if max(entry.ours_w) > original_w:
        raise Torn("has a limit of ours above the one that was found")
    return entry, Stamp(_text(told, "machine"), _text(told, "boot"))


def check_of(told: Mapping[str, Any]) -> str:
    """Over the content whatever the order of its keys.

    CRC-32 finds what a disk or a crash does to a file. Only root writes here: a hash would keep nobody out, and brings OpenSSL,
    a fifth of the setter's memory.
    """
    return f"{zlib.crc32(json.dumps(told, sort_keys=True).encode()):08x}"


def _watts(told: Any) -> float:
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0.0 < told <= MOST_W:
        raise Torn("has a limit that is none")
    return float(told)


def _text(told: Mapping[str, Any], key: str) -> str:
    text = told.get(key)
    if not isinstance(text, str):
        raise Torn(f"has no {key}")
    return text


def _content(folder: int, name: str) -> bytes:
    """A file's content.

    Raises:
        Torn: when it cannot be read, is a link, no file, or too long to be ours. FileNotFoundError: when it is gone.
    """
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(file, "rb") as opened:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise Torn("is no file")
            content = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Torn(f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise Torn("is too long")
    return content


def _written(folder: int, name: str, content: bytes) -> None:
    """A new file, whole and on the disk; what is left of an earlier try goes first, and so does ours if it fails."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(file, "wb", buffering=0) as opened:
            if opened.write(content) != len(content):
                raise OSError("no space was left for all of it")
            os.fsync(file)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
        raise


def _aside(folder: int, name: str, why: str) -> str:
    """Keep a file for whoever wants to know, under a name that is not read; an older one of that name goes."""
    os.rename(name, f"{name}.{why}", src_dir_fd=folder, dst_dir_fd=folder)
    return "moved aside"


def _removed(folder: int, name: str) -> str:
    os.unlink(name, dir_fd=folder)
    return "removed"


def _tried(tidy: Callable[..., str], *what: int | str) -> str:
    """What became of a file that says nothing any more: where it cannot be moved it does no harm."""
    try:
        return tidy(*what)
    except OSError as error:
        return f"stays: {error.strerror}"
