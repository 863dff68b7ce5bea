"""The link's tables as one store: each method is one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from scheduler.adapters.ledger.sql import Database, ledger_url
from scheduler.adapters.plantlink.store import letters, life, messages
from scheduler.adapters.plantlink.store.letters import Cleared, Taken
from scheduler.adapters.plantlink.store.life import Heard
from scheduler.adapters.plantlink.store.messages import KeptMessage
from scheduler.adapters.plantlink.store.reading import KeptLetter
from scheduler.core.publishing.binding import Told
from scheduler.domain.errors import Permanent
from scheduler.domain.link_life import OperatorLife
from scheduler.domain.plantlink import Letter, PlantSeen, Refusal
from scheduler.domain.snapshot import Commitment

WATCH_TIMEOUT_S = 5.0
# One writer at a time, as SQLite has it anyway: sequences and rows are then in the order of their transactions.
TABLES = ("message", "commitment", "letter", "standing", "reckoned", "override_clear", "life", "beat", "heard")
LOCK = f"LOCK TABLE {', '.join(f'link_{name}' for name in TABLES)} IN EXCLUSIVE MODE"


class Superseded(Permanent):
    """A later leader speaks with the plants: what an older one would say is not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """How far somebody has read."""

    message: int = 0
    letter: int = 0
    clear: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What has come since some marks; the newest message of each customer that has a new one."""

    marks: Marks
    life: OperatorLife | None
    messages: Mapping[str, KeptMessage]
    letters: Sequence[KeptLetter] = ()
    clears: Sequence[Cleared] = ()
    heard: Mapping[str, Heard] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to be kept: a payload, of which plan, and what became binding with it."""

    payload: Mapping[str, object]
    plan_id: str
    promises: Sequence[Commitment] = ()


# From the newest message of a customer to what follows it; None: nothing has to be said.
Drafting = Callable[[KeptMessage | None], Draft | None]


class LinkStore(Database):
    """What operator and plant link share. Opening it brings the schema up to date; methods may be called from any thread."""

    def __init__(self, url_text: str) -> None:
        """Open or create; errors as of `Database`."""
        super().__init__("plant link", url_text, inline=True)
        url = ledger_url(url_text)
        self._watch = None if self._postgres else sqlite3.connect(url.database or "", WATCH_TIMEOUT_S, check_same_thread=False)

    def close(self) -> None:
        """Give connections back."""
        if self._watch is not None:
            self._watch.close()
        super().close()

    @property
    def shared(self) -> bool:
        """Whether links on other hosts may speak by it too: a server's database may be theirs as well, a file is not."""
        return self._postgres

    def pulse(self) -> int | None:
        """A number that is another one once somebody has written; None where the database has none. No transaction."""
        if self._watch is None:
            return None
        try:
            return int(self._watch.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction beside which nobody else writes into the link's tables."""
        try:
            with self._transaction() as connection:
                if self._postgres:
                    connection.execute(text(LOCK))
                yield connection
        except IntegrityError as error:
            raise Permanent(f"plant link: refused by the database: {error.orig}") from error

    # What the link reads.

    def standing(self, site_id: str) -> News:
        """How things stand: for whoever has read nothing yet."""
        with self._reading() as connection:
            kept = messages.newest_messages(connection)
            marks = Marks(
                message=max((one.row for one in kept.values()), default=0),
                letter=letters.last_letter_row(connection),
                clear=letters.last_clear_row(connection),
            )
            found = life.life_of(connection, site_id)
            names = {one.offtake_id for one in found.offtakes} if found is not None else set()
            standing = [one for name in sorted(names | set(kept)) for one in letters.standing_letters(connection, name)]
            # Whoever reads anew may hold what was cleared since he read last: what stands says nothing of that.
            cleared = letters.clears_after(connection, 0)
            heard = life.heard_of(connection)
            return News(marks=marks, life=found, messages=kept, letters=tuple(standing), clears=cleared, heard=heard)

    def news(self, site_id: str, since: Marks) -> News:
        """What has come since."""
        with self._reading() as connection:
            kept = messages.newest_messages(connection, since.message)
            said = letters.letters_after(connection, since.letter)
            clears = letters.clears_after(connection, since.clear)
            marks = Marks(
                message=max((one.row for one in kept.values()), default=since.message),
                letter=max((one.row for one in said), default=since.letter),
                clear=max((one.row for one in clears), default=since.clear),
            )
            return News(marks=marks, life=life.life_of(connection, site_id), messages=kept, letters=said, clears=clears)

    # What the link writes.

    def keep_letters(self, batch: Sequence[Letter]) -> list[Taken]:
        """Write letters down, in order, as many as may stand."""
        with self._writing() as connection:
            return letters.keep_letters(connection, batch)

    def reserve_beats(self, offtake_ids: Sequence[str]) -> dict[str, int]:
        """Reserve a block of counters for each customer; the one before its first."""
        with self._writing() as connection:
            return life.reserve_beats(connection, offtake_ids)

    def keep_heard(self, seen: Mapping[str, PlantSeen], refusals: Sequence[tuple[Refusal, int]] = ()) -> None:
        """Write down when plants were last heard, and what was turned away."""
        with self._writing() as connection:
            life.keep_heard(connection, seen)
            life.keep_refusals(connection, refusals)

    def forget(self, before_utc: datetime) -> int:
        """Forget measurements of plants that are older; returns how many."""
        with self._writing() as connection:
            return letters.forget_letters(connection, before_utc)

    # What the operator writes.

    def take_over(self, sign: OperatorLife) -> int:
        """Begin to lead: what any leader before writes from now on is refused. Returns the term, for all later signs."""
        with self._writing() as connection:
            before = life.life_of(connection, sign.site_id)
            term = 1 if before is None else before.term + 1
            life.keep_life(connection, replace(sign, term=term))
            return term

    def live(self, sign: OperatorLife) -> None:
        """Say that the leader lives.

        Raises:
            Superseded: a later leader has spoken.
        """
        with self._writing() as connection:
            if not life.keep_life(connection, sign):
                raise Superseded(_superseded(sign))

    def issue(
        self, sign: OperatorLife, drafts: Mapping[str, Drafting], promises: Sequence[Commitment] = ()
    ) -> list[KeptMessage]:
        """Draw sequences and keep messages and promises, all in one transaction.

        Args:
            sign: who says it.
            drafts: by customer, what follows his newest message.
            promises: what became binding; each is kept whether or not a message is needed for it.

        Raises:
            Superseded: a later leader has spoken; nothing was written.
            ValueError: a draft's sequence does not follow the last one.
        """
        done: list[KeptMessage] = []
        with self._writing() as connection:
            if life.outdated(connection, sign.site_id, sign.term, sign.identity):
                raise Superseded(_superseded(sign))
            newest = messages.newest_messages(connection)
            for name, drafting in drafts.items():
                last = newest.get(name)
                draft = drafting(last)
                if draft is not None:
                    _keep_draft(connection, name, last, draft, sign.at_utc)
            said = messages.newest_messages(connection, max((one.row for one in newest.values()), default=0))
            for promise in promises:
                carried = said.get(promise.offtake_id) or newest.get(promise.offtake_id)
                sequence = -1 if carried is None else carried.sequence
                messages.keep_commitments(connection, [promise], sequence, sign.at_utc)
            done = [said[name] for name in drafts if name in said]
        return done

    def clear_override(self, offtake_id: str, who: str, now_utc: datetime, up_to_row: int | None = None) -> bool:
        """End the override in force, as our operator may, but none that came after `up_to_row`; False when there is none."""
        with self._writing() as connection:
            return letters.clear_override(connection, offtake_id, who, now_utc, up_to_row)

    # What the operator and reports read.

    def letters_of(self, offtake_ids: Sequence[str]) -> dict[str, tuple[KeptLetter, ...]]:
        """The letters that say how things stand with each customer, in order."""
        with self._reading() as connection:
            return {name: letters.standing_letters(connection, name) for name in offtake_ids}

    def heard(self) -> dict[str, Heard]:
        """When each plant was last heard."""
        with self._reading() as connection:
            return life.heard_of(connection)

    def newest(self) -> dict[str, KeptMessage]:
        """The newest message of each customer."""
        with self._reading() as connection:
            return messages.newest_messages(connection)

    def commitments(self, offtake_ids: Sequence[str], start_utc: datetime, end_utc: datetime) -> tuple[Commitment, ...]:
        """Promises of some customers whose delivery overlaps [start, end), in time order."""
        with self._reading() as connection:
            return messages.commitments_between(connection, offtake_ids, start_utc, end_utc)

    def told(self, offtake_id: str, start_utc: datetime, end_utc: datetime) -> tuple[Told, ...]:
        """Promises of one customer whose delivery overlaps [start, end), by the schedule in which they were told."""
        with self._reading() as connection:
            return messages.told_between(connection, offtake_id, start_utc, end_utc)

    def messages_between(self, offtake_id: str, start_utc: datetime, end_utc: datetime) -> tuple[KeptMessage, ...]:
        """Messages that were kept in [start, end), by sequence."""
        with self._reading() as connection:
            return tuple(messages.messages_between(connection, offtake_id, start_utc, end_utc))

    def letters_between(self, offtake_id: str, kind: str, start_utc: datetime, end_utc: datetime) -> tuple[KeptLetter, ...]:
        """Letters of one kind that were received in [start, end), in order."""
        with self._reading() as connection:
            return letters.letters_between(connection, offtake_id, kind, start_utc, end_utc)


def _superseded(sign: OperatorLife) -> str:
    return f"plant link: another operator leads since; {sign.identity} is not heard"


def _keep_draft(connection: Connection, name: str, last: KeptMessage | None, draft: Draft, now_utc: datetime) -> None:
    """Keep one message; its sequence must follow."""
    wanted = 1 if last is None else last.sequence + 1
    if draft.payload.get("sequence") != wanted or draft.payload.get("offtakeId") != name:
        raise ValueError(f"sequence {draft.payload.get('sequence')} of {name} does not follow {wanted - 1}")
    messages.keep_message(connection, draft.payload, draft.plan_id, now_utc)
