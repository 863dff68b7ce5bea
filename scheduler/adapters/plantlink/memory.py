"""A desk that keeps everything in memory: for an integrator's machine, for demonstrations, and for tests of interfaces."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from scheduler.core.publishing.heartbeat import LinkState, heartbeat_of, next_counter
from scheduler.core.publishing.letters import LetterLimits, judged
from scheduler.core.publishing.seen import cleared, seen_after
from scheduler.domain.link_options import LinkTimes
from scheduler.domain.plantlink import Board, Heartbeat, Letter, PlantSeen, Receipt, Refusal
from scheduler.ports import Clock

MAX_KEPT = 10_000


def canonical(schedule: Mapping[str, object]) -> bytes:
    """A schedule as it is sent: the same content gives the same bytes."""
    return json.dumps(schedule, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


class MemoryDesk:
    """A full `ports.PlantDesk`. Its owner posts schedules, lets it beat, and reads what came in."""

    def __init__(
        self,
        site_id: str,
        limits: Mapping[str, LetterLimits],
        plug_of: Mapping[str, str],
        clock: Clock,
        times: LinkTimes | None = None,
    ) -> None:
        """No schedule yet, so every boiler is wanted.

        Args:
            site_id: whose site.
            limits: what is plausible, by offtake id; who is not named has no board.
            plug_of: plug of each offtake.
            clock: of heartbeats.
            times: what the link keeps to.
        """
        self._limits, self._clock, self._times = limits, clock, times or LinkTimes()
        self._beats, self._version = 0, 1
        self._waiting = asyncio.Condition()
        self.letters: deque[Letter] = deque(maxlen=MAX_KEPT)
        self.refusals: deque[Refusal] = deque(maxlen=MAX_KEPT)
        self.alive, self.ending = True, False
        self._boards = {
            offtake: Board(
                site_id=site_id, plug_id=plug_of[offtake], offtake_id=offtake, version=1,
                heartbeat=self._beat_of(offtake, None, PlantSeen(), 0),
            )
            for offtake in limits
        }  # fmt: skip

    # What interfaces see.

    def boards(self) -> Mapping[str, Board]:
        """As the port says."""
        return dict(self._boards)

    async def changed(self, version: int, timeout_s: float) -> int:
        """As the port says."""
        return await self._until(lambda: self._version > version, lambda: self._version, timeout_s)

    async def beats(self, counter: int, timeout_s: float) -> int:
        """As the port says."""
        return await self._until(lambda: self._beats > counter, lambda: self._beats, timeout_s)

    async def hand_in(self, letter: Letter) -> Receipt:
        """As the port says."""
        board = self._boards.get(letter.offtake_id)
        if board is None:
            return Receipt(accepted=False, reason="offtake: is not known")
        receipt = judged(letter, board, self._limits[letter.offtake_id])
        if receipt.accepted:
            self.letters.append(letter)
            await self._changes(board, seen=seen_after(board.seen, letter))
        return receipt

    def refuse(self, refusal: Refusal) -> None:
        """As the port says."""
        self.refusals.append(refusal)

    # What its owner does.

    async def post(self, offtake_id: str, schedule: Mapping[str, object] | None) -> None:
        """Show a schedule; None: there is none any more."""
        data = b"" if schedule is None else canonical(schedule)
        await self._changes(self._boards[offtake_id], schedule=schedule, schedule_json=data)

    async def clear_override(self, offtake_id: str) -> None:
        """End a manual override, as our operator may."""
        board = self._boards[offtake_id]
        await self._changes(board, seen=cleared(board.seen))

    async def beat(self) -> None:
        """Say that we live, once, to everybody."""
        for name, board in self._boards.items():
            counter = next_counter(board.heartbeat.counter)
            self._boards[name] = replace(board, heartbeat=self._beat_of(name, board.schedule, board.seen, counter))
        self._beats += 1
        await self._tell()

    def _beat_of(self, offtake_id: str, schedule: Mapping[str, object] | None, seen: PlantSeen, counter: int) -> Heartbeat:
        now_utc = self._clock.now_utc()
        operator_utc = now_utc if self.alive else None
        state = LinkState(
            offtake_id=offtake_id, operator_utc=operator_utc, schedule=schedule, seen=seen, ending=self.ending
        )  # fmt: skip
        return heartbeat_of(state, counter, now_utc, self._times)

    async def _changes(self, board: Board, **changed: Any) -> None:
        """A board with something new; its heartbeat tells it at once, with the counter as it stands."""
        self._version += 1
        new = replace(board, version=self._version, **changed)
        told = self._beat_of(new.offtake_id, new.schedule, new.seen, new.heartbeat.counter)
        self._boards[board.offtake_id] = replace(new, heartbeat=told)
        await self._tell()

    async def _tell(self) -> None:
        async with self._waiting:
            self._waiting.notify_all()

    async def _until(self, ready: Callable[[], bool], value: Callable[[], int], timeout_s: float) -> int:
        async with self._waiting:
            with suppress(TimeoutError):
                # Not by `asyncio.wait_for`, which forgets a cancellation that comes together with news (Python 3.11).
                async with asyncio.timeout(timeout_s):
                    await self._waiting.wait_for(ready)
        return value()
