"""The desk of a plant link: what the operator wrote into the database as boards, and what plants say back into it.

It speaks only while the operator that leads is the one beside it (same host name), and says "start the boiler" once that one
was silent for too long. On a database that other hosts share it falls silent once it could not read it for longer than that.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from scheduler.adapters.clock import Clocks
from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.plantlink.store.database import LinkStore, Marks, News
from scheduler.adapters.plantlink.store.letters import Taken
from scheduler.adapters.plantlink.store.lines import Lines
from scheduler.adapters.sources.web.trouble import one_line
from scheduler.core.publishing.letters import judged
from scheduler.core.publishing.own_meters import as_our_own
from scheduler.core.publishing.payloads import kind_of
from scheduler.core.publishing.seen import seen_after
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.link_options import LinkTimes
from scheduler.domain.plantlink import Board, Letter, PlantHeartbeat, Receipt, Refusal

T = TypeVar("T")
LOOK_S = 0.25
NOTE_S = 10.0
# Whoever ends does not wait longer for a database that is away.
PARTING_S = 5.0
# Letters that wait for the disk; who comes later is told to come again.
MOST_WAITING = 2000
BATCH = 500
# Different things that were turned away between two notes; more of them are counted as one.
MOST_REFUSED = 500
AWAY = Receipt(accepted=False, reason="cannot be kept just now; say it again", again=True)
Asked = tuple[Letter, "asyncio.Future[Receipt]"]


@dataclass(slots=True)
class Counts:
    """What has come and gone since the start: beats, letters by kind and verdict, refusals by protocol."""

    beats: int = 0
    letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)


class StoredDesk:
    """`ports.PlantDesk` on the database; `run` has to run for it to see, beat and keep anything."""

    def __init__(
        self,
        store: LinkStore,
        site_id: str,
        host: str,
        clock: Clocks,
        times: LinkTimes | None = None,
        meter_senders: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        """Know nothing yet, so say nothing.

        Args:
            store: of the operator's ledger.
            site_id: whose site.
            host: where this link runs; it speaks while the operator in charge says that it runs there too.
            clock: of this machine.
            times: what the link keeps to.
            meter_senders: metering points, and whose readings of them are kept as our own.
        """
        self._meter_senders = meter_senders
        self.times = times or LinkTimes()
        self.counts = Counts()
        self._store, self._site_id, self._host, self._clock = store, site_id, host, clock
        self._lines = Lines(site_id, host, clock, self.times, shared=store.shared)
        self._marks: Marks | None = None
        self._pulse: int | None = None
        self._beats, self._shown, self._beat_due_s = 0, 0, 0.0
        self._waiting = asyncio.Condition()
        self._letters: asyncio.Queue[Asked] = asyncio.Queue(MOST_WAITING)
        self._refused: dict[tuple[str, str, str], tuple[Refusal, int]] = {}
        # Who reads does not wait for who writes: a database that somebody locks makes us neither blind nor silent.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="plant-link-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="plant-link-write")
        self._tell = Teller("plantlink.desk")
        self._reading = Episode(self._tell, "reading the database")
        self._writing = Episode(self._tell, "writing the database")

    # What interfaces see.

    def boards(self) -> Mapping[str, Board]:
        """As the port says."""
        return self._lines.boards

    async def changed(self, version: int, timeout_s: float) -> int:
        """As the port says."""
        return await self._until(lambda: self._shown > version, lambda: self._shown, timeout_s)

    async def beats(self, counter: int, timeout_s: float) -> int:
        """As the port says."""
        return await self._until(lambda: self._beats > counter, lambda: self._beats, timeout_s)

    async def hand_in(self, letter: Letter) -> Receipt:
        """As the port says; a plant's heartbeat alone is written down only every ten seconds."""
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        letter = as_our_own(letter, self._meter_senders)
        try:
            self._letters.put_nowait((letter, answer))
            receipt = await answer
        except asyncio.QueueFull:
            receipt = AWAY
        self.counts.letters[(kind_of(letter.body), "accepted" if receipt.accepted else "refused")] += 1
        return receipt

    def refuse(self, refusal: Refusal) -> None:
        """As the port says."""
        self.counts.refusals[refusal.protocol.value] += 1
        self._remember(refusal)

    def _remember(self, refusal: Refusal) -> None:
        """Keep it until the next note, in words that every log and database takes."""
        key = (refusal.protocol.value, one_line(refusal.sender, 100), one_line(refusal.what, 200))
        if key not in self._refused and len(self._refused) >= MOST_REFUSED:
            key = (refusal.protocol.value, "", "more than could be noted one by one")
        times = self._refused[key][1] if key in self._refused else 0
        self._refused[key] = (replace(refusal, sender=key[1], what=key[2]), times + 1)

    # What its process asks.

    def trouble(self) -> str:
        """Why nothing is said now; empty when something is."""
        life = self._lines.life
        if self._marks is None:
            return "the database was not read yet"
        if life is None:
            return f"no operator of site {self._site_id!r} has led yet"
        if self._lines.blind:
            return "the database cannot be read: another link may speak"
        return "" if self._lines.speaks else f"the operator on {life.host} leads, not the one beside us on {self._host}"

    def silent_s(self) -> float | None:
        """For how long the operator in charge was not heard; None: it never was."""
        return self._lines.silent_s()

    # Its life.

    async def run(self) -> None:
        """Look, beat and keep until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (self._looking, self._beating, self._keeping, self._noting):
                    tasks.create_task(work())
        finally:
            while not self._letters.empty():
                _answer(self._letters.get_nowait()[1], AWAY)
            with suppress(TimeoutError):
                async with asyncio.timeout(PARTING_S):
                    await self._note()
            self._reader.shutdown(wait=False)
            self._writer.shutdown(wait=False)

    async def end(self) -> None:
        """Say once that we end, and that boilers must start; interfaces need a moment to carry it."""
        self._lines.ending = True
        await self._beat()

    # Looking.

    async def _looking(self) -> None:
        """Read what is new; where the database is away, what is known grows older by itself."""
        while True:
            began_s = self._clock.monotonic_s()
            try:
                news = await self._on(self._reader, self._read)
            except HeatDispatchError as error:
                self._reading.failed(error)
            else:
                self._reading.worked()
                if news is not None:
                    first, self._marks = self._marks is None, news.marks
                    if self._lines.take(news, began_s) and not first:
                        self._marks = None
                    await self._retell()
            await asyncio.sleep(LOOK_S)

    def _read(self) -> News | None:
        """On the reader's thread: everything at first, then what has come; None while nobody has written."""
        pulse = self._store.pulse()
        if self._marks is None:
            news = self._store.standing(self._site_id)
        elif pulse is None or pulse != self._pulse:
            news = self._store.news(self._site_id, self._marks)
        else:
            return None
        self._pulse = pulse
        return news

    # Beating.

    async def _beating(self) -> None:
        """A heartbeat when it is due, or when it says something else than the last one."""
        reserving: asyncio.Task[None] | None = None
        while True:
            if (reserving is None or reserving.done()) and self._lines.speaks and self._lines.short():
                reserving = asyncio.create_task(self._reserve())
            if self._clock.monotonic_s() >= self._beat_due_s:
                await self._beat()
            else:
                await self._retell()
            await asyncio.sleep(LOOK_S)

    async def _reserve(self) -> None:
        """Reserve counters long before they are needed; who has none yet is shown from then on."""
        names, era = self._lines.short(), self._lines.era
        try:
            first = await self._on(self._writer, lambda: self._store.reserve_beats(names))
        except HeatDispatchError as error:
            self._writing.failed(error)
            return
        self._lines.reserved(first, era)
        await self._retell()

    async def _beat(self) -> None:
        """Count on, once, for everybody."""
        self._beat_due_s = self._clock.monotonic_s() + self.times.beat_s
        self._lines.beat()
        if self._lines.boards:
            self._beats += 1
            self.counts.beats += 1
        await self._notify()

    async def _retell(self) -> None:
        """Show what is new at once; a signal that changed is a heartbeat of its own."""
        before = self._lines.boards.keys()
        if self._lines.show():
            await self._beat()
        elif self._lines.version != self._shown or before != self._lines.boards.keys():
            await self._notify()

    async def _notify(self) -> None:
        self._shown = self._lines.version
        async with self._waiting:
            self._waiting.notify_all()

    async def _until(self, ready: Callable[[], bool], value: Callable[[], int], timeout_s: float) -> int:
        async with self._waiting:
            with suppress(TimeoutError):
                # Not by `asyncio.wait_for`, which forgets a cancellation that comes together with news (Python 3.11).
                async with asyncio.timeout(timeout_s):
                    await self._waiting.wait_for(ready)
        return value()

    # Keeping.

    async def _keeping(self) -> None:
        """Judge letters in their order and write them down, as many in one transaction as wait."""
        while True:
            batch = [await self._letters.get()]
            while len(batch) < BATCH and not self._letters.empty():
                batch.append(self._letters.get_nowait())
            try:
                await self._keep(batch)
            except Exception as fault:  # one letter that we fail over must not end what says "start the boiler" to all
                self._tell.error("letters could not be kept", fault=fault, letters=len(batch))
            finally:
                for _, answer in batch:
                    _answer(answer, AWAY)

    async def _keep(self, batch: Sequence[Asked]) -> None:
        """Each letter is judged by what those before it said; nothing is shown or accepted before it is on disk."""
        believed = self._believed(batch)
        to_keep = [letter for letter, _ in believed if not isinstance(letter.body, PlantHeartbeat)]
        became: dict[int, Taken] = {}
        if to_keep:
            try:
                found = await self._on(self._writer, lambda: self._store.keep_letters(to_keep))
            except HeatDispatchError as error:
                self._writing.failed(error)
                return
            self._writing.worked()
            became = {id(letter): taken for letter, taken in zip(to_keep, found, strict=True)}
        for letter, answer in believed:
            taken = became.get(id(letter), Taken())
            if taken.refused:
                self._turn_away(letter, answer, Receipt(accepted=False, reason=taken.refused))
                continue
            self._lines.heed_own(letter, taken.row)
            _answer(answer, Receipt(accepted=True))
        if believed:
            await self._retell()

    def _believed(self, batch: Sequence[Asked]) -> list[Asked]:
        """The letters that are believed; the others are answered."""
        ahead, believed = dict(self._lines.boards), list[Asked]()
        for letter, answer in batch:
            board = ahead.get(letter.offtake_id)
            if board is None or letter.offtake_id not in self._lines.of:
                _answer(answer, Receipt(accepted=False, reason="offtake: is not known"))
                continue
            receipt = self._judged(letter, board)
            if not receipt.accepted:
                self._turn_away(letter, answer, receipt)
                continue
            ahead[letter.offtake_id] = replace(board, seen=seen_after(board.seen, letter))
            believed.append((letter, answer))
        return believed

    def _turn_away(self, letter: Letter, answer: asyncio.Future[Receipt], receipt: Receipt) -> None:
        """Tell the sender why, and keep that it was so."""
        what = f"{kind_of(letter.body)}: {receipt.reason}"
        sender, at_utc = letter.sender, letter.received_utc
        self._remember(Refusal(protocol=sender.protocol, sender=sender.name, at_utc=at_utc, what=what))
        _answer(answer, receipt)

    def _judged(self, letter: Letter, board: Board) -> Receipt:
        try:
            return judged(letter, board, self._lines.limits(letter.offtake_id))
        except Exception as fault:  # whatever a plant has found to say: the others are to be heard
            self._tell.error("a letter could not be judged", sender=letter.sender.name, fault=fault)
            return Receipt(accepted=False, reason="cannot be judged")

    async def _noting(self) -> None:
        while True:
            await asyncio.sleep(NOTE_S)
            await self._note()

    async def _note(self) -> None:
        """Write down when plants were last heard, and what was turned away."""
        seen = {name: line.seen for name, line in self._lines.of.items() if line.seen is not line.noted}
        refused, self._refused = self._refused, {}
        for refusal, times in refused.values():
            self._tell.warning("turned away", protocol=refusal.protocol, sender=refusal.sender, what=refusal.what, times=times)
        if not seen and not refused:
            return
        try:
            await self._on(self._writer, lambda: self._store.keep_heard(seen, list(refused.values())))
        except HeatDispatchError as error:
            self._writing.failed(error)
            return
        except Exception as fault:  # what cannot be noted was told above, and ends nothing
            self._tell.error("could not be noted", fault=fault)
            return
        for name, one in seen.items():
            if name in self._lines.of:
                self._lines.of[name].noted = one

    async def _on(self, hand: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(hand, work)


def _answer(answer: asyncio.Future[Receipt], receipt: Receipt) -> None:
    """Give an answer, unless there is one or whoever asked has gone."""
    if not answer.done():
        answer.set_result(receipt)
