"""Each new schedule and each change of the boiler signal to a receiver of the plant's, at once, until it has taken it.

The newest wins: a schedule that was not taken is dropped when there is a newer one. The heartbeat comes again every twenty
seconds, so that a receiver which hears none for a minute knows that it must start its boiler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.plantlink.patience import pause_s
from scheduler.adapters.plantlink.together import until_one_ends
from scheduler.adapters.plantlink.webhook.delivery import Door, Undelivered
from scheduler.adapters.plantlink.webhook.news import News, heartbeat_news, schedule_news
from scheduler.adapters.sources.web.trouble import place_of
from scheduler.core.publishing.shown import shown_of
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import WebhookOptions
from scheduler.domain.plantlink import Heartbeat
from scheduler.ports import Clock, PlantDesk

REPEAT_S = 20.0
LOOK_S = 1.0
BEAT_WAIT_S = 60.0


class WebhookInterface:
    """One receiver, told of each of its customers; a `ports.PlantInterface`."""

    def __init__(self, options: WebhookOptions, desk: PlantDesk, clock: Clock, tell: Teller | None = None) -> None:
        """Connect to nothing yet."""
        self._options, self._desk, self._clock = options, desk, clock
        self._tell = tell or Teller("plantlink.webhook")
        self._couriers: list[Courier] = []

    async def run(self) -> None:
        """As the port says.

        Raises:
            Misconfigured: an address that may not be asked, or a file that cannot be used.
        """
        if not self._options.credential.offtakes:
            raise Misconfigured("nobody to tell of", where="webhook", expected="at least one offtake")
        door = await asyncio.to_thread(Door, self._options)
        try:
            await until_one_ends(*self._jobs(door))
        finally:
            await door.aclose()

    def trouble(self) -> str:
        """As the port says."""
        return "; ".join(dict.fromkeys(one.trouble for one in self._couriers if one.trouble))

    def _jobs(self, door: Door) -> list[Coroutine[Any, Any, None]]:
        """Of each customer: two couriers, so that a schedule does not hold the boiler signal up, and two watches."""
        jobs: list[Coroutine[Any, Any, None]] = []
        self._couriers = []
        for offtake_id in self._options.credential.offtakes:
            place = place_of(self._options.url)
            schedules, beats = (
                Courier(door, self._clock, f"webhook {place}: {what} of {offtake_id}", self._options.give_up_s, self._tell)
                for what in ("schedule", "heartbeat")
            )
            watch = Watch(offtake_id, self._desk, self._clock, schedules, beats)
            self._couriers += [schedules, beats]
            jobs += [schedules.run(), beats.run(), watch.follow_changes(), watch.follow_beats()]
        return jobs


class Courier:
    """Carries one kind of news of one customer, one at a time, the newest alone."""

    def __init__(self, door: Door, clock: Clock, what: str, give_up_s: float, tell: Teller) -> None:
        """There is nothing to carry yet."""
        self._door, self._clock, self._what, self._give_up_s = door, clock, what, give_up_s
        self._episode = Episode(tell, what)
        self._news: tuple[News, float] | None = None
        self._fresh = asyncio.Event()
        self.trouble = ""

    def put(self, news: News | None) -> None:
        """Carry this from now on, and nothing else; None: nothing at all."""
        self._news = None if news is None else (news, _now_s())
        self.trouble = self.trouble if news is not None else ""
        self._fresh.set()

    async def run(self) -> None:
        """Carry, until cancelled; a receiver that failed is not asked sooner because something is new."""
        tried = 0
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            while (held := self._held()) is not None:
                try:
                    await self._door.post(held[0], self._clock.now_utc())
                except Undelivered as error:
                    tried += 1
                    self._failed(error.reason)
                    await asyncio.sleep(max(pause_s(tried), error.retry_after_s or 0.0))
                else:
                    tried = 0
                    self._delivered(held)

    def _held(self) -> tuple[News, float] | None:
        """What is to be carried now; what has run out, or was tried for too long, is dropped."""
        if self._news is not None:
            news, since_s = self._news
            if self._clock.now_utc() >= news.expires_utc or _now_s() - since_s > self._give_up_s:
                self._news = None
        return self._news

    def _delivered(self, held: tuple[News, float]) -> None:
        if self._news is held:
            self._news = None
        self.trouble = ""
        self._episode.worked()

    def _failed(self, why: str) -> None:
        self.trouble = f"{self._what}: {why}"
        self._episode.failed(why)


class Watch:
    """Sees what is new on one customer's board."""

    def __init__(self, offtake_id: str, desk: PlantDesk, clock: Clock, schedules: Courier, beats: Courier) -> None:
        """Nothing is seen yet."""
        self._offtake_id, self._desk, self._clock = offtake_id, desk, clock
        self._schedules, self._beats = schedules, beats
        self._schedule: bytes | None = None
        self._boiler: tuple[object, ...] | None = None
        self._told_s = float("-inf")

    async def follow_changes(self) -> None:
        """Look whenever something is new, until cancelled."""
        seen = 0
        while True:
            self._look()
            seen = await self._desk.changed(seen, LOOK_S)

    async def follow_beats(self) -> None:
        """Look with each heartbeat, until cancelled."""
        count = 0
        while True:
            count = await self._desk.beats(count, BEAT_WAIT_S)
            self._look(beat=True)

    def _look(self, *, beat: bool = False) -> None:
        """Hand on what is new; when we may not speak any more, forget what was not taken."""
        board = self._desk.boards().get(self._offtake_id)
        if board is None:
            if self._boiler is not None:
                self._schedule, self._boiler = None, None
                self._schedules.put(None)
                self._beats.put(None)
            return
        shown = shown_of(board, self._clock.now_utc())
        self._look_at_boiler(shown.heartbeat, beat)
        if shown.schedule_json != self._schedule:
            is_first, self._schedule = self._schedule is None, shown.schedule_json
            if shown.schedule_json or not is_first:
                self._schedules.put(schedule_news(shown, self._clock.now_utc()))

    def _look_at_boiler(self, heartbeat: Heartbeat, beat: bool) -> None:
        """A heartbeat: when what matters of it has changed, and every twenty seconds."""
        boiler, now_s = _matters(heartbeat), _now_s()
        if boiler != self._boiler or (beat and now_s - self._told_s >= REPEAT_S):
            self._boiler, self._told_s = boiler, now_s
            self._beats.put(heartbeat_news(heartbeat, self._clock.now_utc()))


def _matters(beat: Heartbeat) -> tuple[object, ...]:
    """What of a heartbeat a plant acts on."""
    return (beat.boiler_on, beat.boiler_kw, beat.mode, beat.bypass, beat.alarm, beat.state)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
