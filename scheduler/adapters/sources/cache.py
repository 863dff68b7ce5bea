"""What feeds know, on disk: a restart without a network goes on with it, as old as it is.

One file a feed: a line that says what it is, with a digest of the rest, then the values. Written beside and moved into place,
so a crash leaves the old one or the new one. What is broken, foreign or too large is moved aside, and never believed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from scheduler.adapters.logs import Episode, Teller
from scheduler.core.signals.intervals import GRADES, Intervals
from scheduler.core.signals.knowledge import MOST_INTERVALS, MOST_QUANTITIES, Knowledge
from scheduler.domain.observed import unit_of
from scheduler.domain.signals import Basis
from scheduler.units import S_PER_DAY

VERSION = 1
MAX_BYTES = 16 << 20
KEPT, ASIDE, BESIDE = ".signals", ".broken", ".new"
# Files of feeds that nobody has written for so long are of feeds that nobody has any more.
FORGOTTEN_S = 30.0 * S_PER_DAY
_UNSAFE = re.compile(r"[^a-z0-9]+")
_NAME_CHARACTERS = 40


class NotOurs(Exception):
    """A file is not what was written here; the text says why."""


class SignalCache:
    """A folder of what feeds know; one process writes there."""

    def __init__(self, folder: Path) -> None:
        """Name a folder; it is made when something is written."""
        self._folder, self._tell = folder, Teller("sources")
        self._writing, self._swept = Episode(self._tell, "keeping signals"), False

    def path(self, name: str) -> Path:
        """Where a feed's file lies: its name made safe, and a digest of it, since two names may look alike."""
        plain = _UNSAFE.sub("-", name.lower()).strip("-")[:_NAME_CHARACTERS]
        return self._folder / f"{plain or 'feed'}-{_digest(name.encode())[:12]}{KEPT}"

    def load(self, name: str, identity: str) -> dict[str, Knowledge]:
        """What was kept of a feed that asked for the same; nothing, where there is nothing that can be believed."""
        path = self.path(name)
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
            return _read(raw, identity)
        except FileNotFoundError:
            return {}
        except OSError as error:
            self._tell.warning("kept signals cannot be read", source=name, why=error.strerror or str(error))
        except NotOurs as wrong:
            self._aside(path, name, str(wrong))
        return {}

    def save(self, name: str, identity: str, known: Mapping[str, Knowledge]) -> bool:
        """Keep what a feed knows; False, and one line in the log, where that cannot be done."""
        path = self.path(name)
        beside = path.with_suffix(BESIDE)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(_written(identity, known))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            self._sweep(path.stat().st_mtime)
        except OSError as error:
            self._writing.failed(error.strerror or str(error), folder=str(self._folder))
            return False
        self._writing.worked()
        return True

    def _sweep(self, written_s: float) -> None:
        """Once a process, remove what was written so much earlier than a file of now that nobody asks for it any more."""
        if self._swept:
            return
        self._swept = True
        for suffix in (KEPT, ASIDE, BESIDE):
            for other in self._folder.glob(f"*{suffix}"):
                if other.stat().st_mtime < written_s - FORGOTTEN_S:
                    other.unlink(missing_ok=True)

    def _aside(self, path: Path, name: str, why: str) -> None:
        """Move a file out of the way, over one that was moved before."""
        try:
            path.replace(path.with_suffix(ASIDE))
        except OSError as error:
            why = f"{why}; and it cannot be moved aside: {error.strerror or error}"
        self._tell.warning("kept signals are not believed", source=name, file=path.name, why=why)


def _digest(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _written(identity: str, known: Mapping[str, Knowledge]) -> bytes:
    """The text of a file."""
    body = json.dumps({quantity: _row(quantity, one) for quantity, one in known.items()}, allow_nan=False).encode()
    head = {"heatDispatchSignals": VERSION, "identity": _digest(identity.encode()), "digest": _digest(body)}
    return json.dumps(head).encode() + b"\n" + body + b"\n"


def _row(quantity: str, one: Knowledge) -> dict[str, Any]:
    """One quantity as plain data; floats survive as they are."""
    found = one.intervals
    return {
        "unit": unit_of(quantity),
        "fetched": one.fetched_utc.isoformat(),
        "issued": None if one.issued_utc is None else one.issued_utc.isoformat(),
        "basis": None if one.basis is None else one.basis.value,
        "starts_s": found.starts_s.tolist(),
        "ends_s": found.ends_s.tolist(),
        "values": found.values.tolist(),
        "issued_s": found.issued_s.tolist(),
        "rank": found.rank.tolist(),
        "instant": found.instant.tolist(),
    }


def _read(raw: bytes, identity: str) -> dict[str, Knowledge]:
    """What a file says.

    Raises:
        NotOurs: it is not whole, not of this version, or of a feed that asked for something else.
    """
    if len(raw) > MAX_BYTES:
        raise NotOurs(f"longer than {MAX_BYTES} bytes")
    line, _, rest = raw.partition(b"\n")
    body = rest.removesuffix(b"\n")
    try:
        head = json.loads(line)
        version = head["heatDispatchSignals"]
        digest, said = head["digest"], head["identity"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise NotOurs("it does not begin as a file of ours") from None
    if version != VERSION:
        raise NotOurs(f"of version {str(version)[:20]}, this is {VERSION}")
    if digest != _digest(body):
        raise NotOurs("its digest is another one: it was cut off or changed")
    if said != _digest(identity.encode()):
        raise NotOurs("of a feed that asked for something else")
    try:
        return {quantity: _knowledge(quantity, row) for quantity, row in list(json.loads(body).items())[:MOST_QUANTITIES]}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise NotOurs(f"its digest is right, its content is not: {type(error).__name__}") from None


def _knowledge(quantity: str, row: Mapping[str, Any]) -> Knowledge:
    """One quantity of a file.

    Raises:
        ValueError: lengths, order, grades or units that nobody here writes.
    """
    found = Intervals(
        starts_s=np.asarray(row["starts_s"], dtype=np.int64),
        ends_s=np.asarray(row["ends_s"], dtype=np.int64),
        values=np.asarray(row["values"], dtype=np.float64),
        issued_s=np.asarray(row["issued_s"], dtype=np.float64),
        rank=np.asarray(row["rank"], dtype=np.int64),
        instant=np.asarray(row["instant"], dtype=np.bool_),
    )
    count = len(row["values"])
    if {getattr(found, one.name).shape for one in fields(found)} != {(count,)} or count > MOST_INTERVALS:
        raise ValueError("lengths")
    if row["unit"] != unit_of(quantity) or not np.isfinite(found.values).all() or not np.isfinite(found.issued_s).all():
        raise ValueError("values")
    if count and ((found.rank < 0).any() or (found.rank >= len(GRADES)).any() or (found.ends_s <= found.starts_s).any()):
        raise ValueError("intervals")
    if (found.starts_s[1:] < found.starts_s[:-1]).any():
        raise ValueError("order")
    return Knowledge(
        intervals=found,
        fetched_utc=_instant(row["fetched"]),
        issued_utc=None if row["issued"] is None else _instant(row["issued"]),
        basis=None if row["basis"] is None else Basis(row["basis"]),
    )


def _instant(text: str) -> datetime:
    """An instant in UTC."""
    at = datetime.fromisoformat(text)
    if at.utcoffset() is None:
        raise ValueError("no zone")
    return at.astimezone(UTC)
