"""We at a broker of the plant's: one connection per customer, each with its own last will.

A connection stands only while we may speak. It ends by hanging up, whatever the reason: the broker then says `offline` for us.
"""

from __future__ import annotations

import asyncio

from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.plantlink.mqtt.hearing import Ear
from scheduler.adapters.plantlink.mqtt.publishing import Publisher
from scheduler.adapters.plantlink.mqtt.session import (
    MqttError,
    SessionPlan,
    TooLarge,
    checked,
    connected,
    trusted,
)
from scheduler.adapters.plantlink.mqtt.topics import OFFLINE, Topics, topics_of
from scheduler.adapters.plantlink.patience import pause_s
from scheduler.adapters.plantlink.together import until_one_ends
from scheduler.adapters.sources.web.trouble import one_line
from scheduler.core.publishing.document import MAX_LETTER_BYTES
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import MqttOptions
from scheduler.domain.plantlink import LinkProtocol, Sender
from scheduler.ports import Clock, PlantDesk

LOOK_S = 1.0
# Somebody lets the broker send what is far too long: for so long we only tell.
DEAF_S = 600.0
# A connection that stood for so long was a good one: the next try after it comes at once.
GOOD_S = 30.0


class MqttInterface:
    """The board of each customer at one broker; a `ports.PlantInterface`."""

    def __init__(self, options: MqttOptions, desk: PlantDesk, clock: Clock, tell: Teller | None = None) -> None:
        """Connect to nothing yet."""
        self._options = options
        teller = tell or Teller("plantlink.mqtt")
        self._lines = [Line(options, offtake_id, desk, clock, teller) for offtake_id in options.offtakes]

    async def run(self) -> None:
        """As the port says.

        Raises:
            Misconfigured: options that cannot work, a file that cannot be used.
        """
        await asyncio.to_thread(checked, self._options)
        await until_one_ends(*(line.run() for line in self._lines))

    def trouble(self) -> str:
        """As the port says."""
        return "; ".join(line.trouble for line in self._lines if line.trouble)


class Line:
    """One customer's connection, made anew whenever it breaks."""

    def __init__(self, options: MqttOptions, offtake_id: str, desk: PlantDesk, clock: Clock, tell: Teller) -> None:
        """Connect to nothing yet."""
        self._options, self._offtake_id, self._desk, self._clock, self._tell = options, offtake_id, desk, clock, tell
        self._place = f"{options.host}:{options.port}"
        self._connecting = Episode(tell, f"mqtt {self._place} for {offtake_id}")
        self._deaf_until_s = 0.0
        self.trouble = ""

    async def run(self) -> None:
        """Connect whenever we may speak, until cancelled.

        Raises:
            Misconfigured: a site or customer whose name cannot stand in a topic.
        """
        tried = 0
        while True:
            site_id = self._site_id()
            if not site_id:
                await asyncio.sleep(LOOK_S)
                continue
            topics = topics_of(self._options.prefix, site_id, self._offtake_id)
            began_s = self._now_s()
            try:
                await self._session(topics, site_id)
                tried = 0
            except (MqttError, Misconfigured, OSError, ValueError, RuntimeError) as error:
                tried = 0 if self._now_s() - began_s > GOOD_S else tried + 1
                self._failed(one_line(str(error) or type(error).__name__))
                await asyncio.sleep(pause_s(tried))

    def _site_id(self) -> str:
        """Our site, if we may speak of this customer now; empty: we may not."""
        boards = self._desk.boards()
        board = boards.get(self._offtake_id)
        if board is not None:
            return board.site_id
        self.trouble = f"{self._offtake_id}: no such customer" if boards else ""
        return ""

    async def _session(self, topics: Topics, site_id: str) -> None:
        """One connection, until we may not speak any more.

        Raises:
            MqttError: it could not be made, or broke.
        """
        ear = Ear(
            topics, self._desk, self._offtake_id, self._clock,
            sender=self._sender(), tell=self._tell, version=self._options.version,
        )  # fmt: skip
        listens = self._options.listens and self._now_s() >= self._deaf_until_s
        plan = SessionPlan(
            client_id=f"{self._options.client_id or f'heat-dispatch-{site_id}'}-{self._offtake_id}",
            will_topic=topics.status,
            will=OFFLINE,
            keeps=listens,
            max_payload_bytes=MAX_LETTER_BYTES,
            door=ear.door,
            turned=ear.turned,
        )
        try:
            async with connected(self._options, plan) as client:
                publisher = Publisher(client, topics, self._desk, self._offtake_id, self._clock, version=self._options.version)
                jobs = [self._speak(publisher, ear if listens else None), client.lost()]
                if listens:
                    jobs.append(ear.listen(client))
                await until_one_ends(*jobs)
        except TooLarge:
            self._deaf_until_s = self._now_s() + DEAF_S
            ear.turned(topics.letters, "a message far longer than a letter may be; for ten minutes none is heard")
            raise

    async def _speak(self, publisher: Publisher, ear: Ear | None) -> None:
        """Tell, once we hear too: `online` means both."""
        if ear is not None:
            await ear.open.wait()
        if await publisher.stand():
            self._works(ear)
            await until_one_ends(publisher.follow_changes(), publisher.follow_beats())

    def _sender(self) -> Sender:
        """Whoever publishes at this broker: it promises to let nobody but the plant, but an open wire promises nothing."""
        return Sender(name=f"broker {self._place}", protocol=LinkProtocol.MQTT, authenticated=trusted(self._options))

    def _works(self, ear: Ear | None) -> None:
        why = "" if ear is None else ear.trouble
        if ear is None and self._options.listens:
            why = "the plant is not heard for a while: it sent a message that was far too long"
        self.trouble = why and f"{self._offtake_id}: {why}"
        self._connecting.worked()

    def _failed(self, why: str) -> None:
        self.trouble = f"{self._offtake_id}: {why}"
        self._connecting.failed(why)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()
