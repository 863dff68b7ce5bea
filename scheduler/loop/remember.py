"""Keeps the past of a running operator: what looks tell goes to the store, and a restart goes on from there.

A store that is away costs nothing but time: what could not be written waits here and goes with the next append. Slots and the
memory that goes on from them are written in one transaction, so they agree after any crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from scheduler.core.accounting.observing import Look, LookRules, Memory, observe
from scheduler.core.accounting.past import KEPT, extended, told_past
from scheduler.domain.errors import Permanent, Retryable
from scheduler.domain.job import JobState
from scheduler.domain.observed import Past, SourceReading
from scheduler.domain.site import Site
from scheduler.ports import HistoryStore

MEMO = "observing"
# What sources say of the last days may still be revised; older values stand.
REVISED = timedelta(days=3)
PRUNE_EVERY = timedelta(days=1)
NOTHING = Past()


class Remembering:
    """The past and the memory of one policy's part of a cluster; looks come one after the other."""

    def __init__(
        self,
        store: HistoryStore,
        rules: LookRules,
        *,
        write: Callable[[Memory], str],
        read: Callable[[str], Memory],
        memo: str = MEMO,
        memo_every_s: float = 120.0,
    ) -> None:
        """Remember nothing yet.

        Args:
            store: where the past is kept.
            rules: how looks are read.
            write: a memory as text.
            read: the text as an equal memory; a ValueError means that it is of another version, and a new memory begins.
            memo: name of the memory in the store, one for each that remembers.
            memo_every_s: how often the memory is written when nothing was told: what was seen since is lost with a crash.
        """
        self._store, self._rules, self._write, self._read = store, rules, write, read
        self._memo, self._memo_every = memo, timedelta(seconds=memo_every_s)
        self._memory: Memory | None = None
        self._loaded = False
        self._past, self._fresh, self._waiting = NOTHING, NOTHING, NOTHING
        self._looked_utc: datetime | None = None
        self._written_utc: datetime | None = None
        self._pruned_utc: datetime | None = None
        self.trouble = ""

    def past(self) -> Past:
        """What is known now, with the slot that is over and not settled yet; at once."""
        if self._looked_utc is None or not self._fresh.series:
            return self._past
        return extended(self._past, self._fresh, since_utc=self._looked_utc - KEPT)

    async def look(self, site: Site, look: Look, readings: Iterable[SourceReading] = ()) -> tuple[JobState, ...]:
        """Take a look; returns the jobs that have not ended, with what was learned of them (none without a whole list).

        readings: believed ones; what they say of the past is kept as it passes. What went wrong with the store is `trouble`.
        """
        self._looked_utc = now_utc = look.now_utc
        lost = "" if self._loaded else await self._load(now_utc)
        self._memory, told = observe(site, self._memory or Memory(), look, self._rules)
        self._fresh = told.fresh
        for more in (told.past, told_past(readings, now_utc, since_utc=now_utc - REVISED)):
            self._past = extended(self._past, more, since_utc=now_utc - KEPT)
            self._waiting = extended(self._waiting, more, since_utc=now_utc - KEPT)
        if lost:
            self.trouble = lost
        elif told.past.series or told.past.ended or self._due(now_utc):
            await self.flush(now_utc)
        return told.jobs

    def _due(self, now_utc: datetime) -> bool:
        """True when the memory was not written for a while, or by a clock that was ahead."""
        return self._written_utc is None or not timedelta(0) <= now_utc - self._written_utc < self._memo_every

    async def flush(self, now_utc: datetime) -> None:
        """Write what waits, and the memory; call it once more before the end."""
        if not self._loaded:
            return
        memos = {} if self._memory is None else {self._memo: self._write(self._memory)}
        try:
            await self._store.append(self._waiting, memos)
            self._waiting, self._written_utc, self.trouble = NOTHING, now_utc, ""
            await self._prune(now_utc)
        except Retryable as away:
            self.trouble = str(away)
        except Permanent as refused:
            # It would be refused again and again: what is remembered here goes on without it.
            self._waiting, self.trouble = NOTHING, str(refused)

    async def _prune(self, now_utc: datetime) -> None:
        """Forget once a day; a clock that has jumped is given a day to be put right before anything is forgotten by it."""
        last = self._pruned_utc or now_utc
        self._pruned_utc = last
        if not timedelta(0) <= now_utc - last < 2 * PRUNE_EVERY:
            self._pruned_utc = now_utc
        elif now_utc - last >= PRUNE_EVERY:
            self._pruned_utc = now_utc
            await self._store.prune(now_utc - KEPT)

    async def _load(self, now_utc: datetime) -> str:
        """Take up what was kept; what was seen meanwhile goes on. Returns why it could not."""
        try:
            kept, text = await self._store.past(now_utc - KEPT), await self._store.memo(self._memo)
        except Retryable as away:
            return str(away)
        self._loaded, self._past = True, extended(kept, self._past, since_utc=now_utc - KEPT)
        if self._memory is None and text is not None:
            try:
                self._memory = self._read(text)
            except ValueError as other:
                return f"what was remembered cannot be read and begins anew: {other}"
        return ""
