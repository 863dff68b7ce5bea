"""What was answered before, kept in memory so that nobody has to send it again; no key and no value of it tells a secret."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from scheduler.adapters.sources.blueprint import Answer, Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer, what to ask by whether it has changed, and until when (monotonic) it holds without asking."""

    answer: Answer
    etag: str = ""
    last_modified: str = ""
    fresh_until_s: float = 0.0

    def conditions(self) -> dict[str, str]:
        """Headers that ask for it only if it has changed."""
        named = (("If-None-Match", self.etag), ("If-Modified-Since", self.last_modified))
        return {name: value for name, value in named if value}

    def again(self, response: httpx.Response, fetched_utc: datetime, fresh_until_s: float) -> Kept:
        """The same after its server has said that it holds."""
        return replace(
            self,
            answer=replace(self.answer, fetched_utc=fetched_utc),
            etag=response.headers.get("etag", self.etag),
            fresh_until_s=fresh_until_s,
        )


class Memory:
    """The answers used last, up to a sum of bytes."""

    def __init__(self, max_bytes: int) -> None:
        """Keep nothing yet."""
        self._max_bytes, self._bytes = max_bytes, 0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def get(self, key: bytes) -> Kept | None:
        """What was answered last; it counts as used."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: bytes, kept: Kept) -> None:
        """Keep an answer, and forget those used longest ago as far as needed; one that is too long by itself is not kept."""
        self.drop(key)
        if len(kept.answer.body) > self._max_bytes:
            return
        self._kept[key] = kept
        self._bytes += len(kept.answer.body)
        while self._bytes > self._max_bytes:
            self.drop(next(iter(self._kept)))

    def drop(self, key: bytes) -> None:
        """Forget one."""
        gone = self._kept.pop(key, None)
        self._bytes -= 0 if gone is None else len(gone.answer.body)


def key_of(ask: Ask, secrets: Sequence[str], salt: bytes) -> bytes:
    """Key of an ask's answer. Others' credentials may be told something else, so they count, but cannot be read from it."""
    said = (ask.url, sorted(ask.params.items()), sorted(ask.headers.items()), ask.accept, ask.statuses, tuple(secrets))
    return hashlib.blake2b(repr(said).encode("utf-8", "backslashreplace"), key=salt, digest_size=16).digest()


def directives(response: httpx.Response) -> dict[str, str]:
    """`Cache-Control` by directive."""
    parts = str(response.headers.get("cache-control", "")).lower().split(",")
    return {
        name.strip(): value.strip().strip('"') for name, _, value in (part.partition("=") for part in parts) if name.strip()
    }


def fresh_s(response: httpx.Response, now_utc: datetime, most_s: float) -> float:
    """Seconds for which an answer holds by its own word (`max-age`, else `Expires`), at most `most_s` (RFC 9111, 4.2)."""
    said = directives(response)
    if "no-cache" in said or "no-store" in said:
        return 0.0
    if said.get("max-age", "").isdecimal():
        age = response.headers.get("age", "").strip()
        holds_s = float(said["max-age"][:9]) - (float(age[:9]) if age.isdecimal() else 0.0)
    else:
        expires = dated(response.headers.get("expires"))
        holds_s = 0.0 if expires is None else (expires - (dated(response.headers.get("date")) or now_utc)).total_seconds()
    return min(most_s, max(0.0, holds_s))


def may_be_kept(response: httpx.Response) -> bool:
    """Whether its sender lets us keep it."""
    return response.status_code == httpx.codes.OK and "no-store" not in directives(response)


def issued(response: httpx.Response, fetched_utc: datetime) -> datetime | None:
    """When an answer was made: its Last-Modified, else its Date; a clock that is ahead of ours does not make it newer."""
    said = dated(response.headers.get("last-modified")) or dated(response.headers.get("date"))
    return None if said is None else min(said, fetched_utc)


def dated(text: str | None) -> datetime | None:
    """A date of HTTP; None for anything else."""
    if not text:
        return None
    try:
        found = parsedate_to_datetime(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        return None
