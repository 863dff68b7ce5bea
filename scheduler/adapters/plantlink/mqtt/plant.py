"""The plant's side at its broker: the newest schedule and heartbeat, and letters that are answered by receipts.

What an integrator may write anew in the language of his PLC: everything that it does stands in `docs/plant-mqtt.md`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from scheduler.adapters.plantlink.mqtt.hearing import digest_of
from scheduler.adapters.plantlink.mqtt.session import (
    V5,
    BoundedClient,
    MqttError,
    SessionPlan,
    checked,
    connected,
    said_properties,
)
from scheduler.adapters.plantlink.mqtt.topics import ONLINE, topics_of
from scheduler.adapters.plantlink.patience import pause_s
from scheduler.adapters.plantlink.together import until_one_ends
from scheduler.adapters.sources.web.trouble import one_line
from scheduler.core.publishing.document import document
from scheduler.core.publishing.heartbeat_payload import heartbeat_from
from scheduler.core.publishing.letters import KINDS, NotALetter
from scheduler.core.publishing.message import Verdict, problems, verdict
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import MqttOptions
from scheduler.domain.plantlink import Heartbeat, Receipt

MAX_SCHEDULE_BYTES = 256 * 1024
RECEIPT_S = 5.0
# The heartbeat of ours comes every ten seconds; one that is older says nothing.
HEARTBEAT_OLD_S = 60.0


class MqttPlantClient:
    """One customer at the broker; a `ports.PlantClient`. For one event loop."""

    def __init__(self, options: MqttOptions, site_id: str, offtake_id: str) -> None:
        """Connect to nothing yet.

        Args:
            options: the plant's way to the broker; `listens` means nothing here.
            site_id: whose heat.
            offtake_id: which contract.

        Raises:
            Misconfigured: a name that cannot stand in a topic.
        """
        self._options = options
        self._topics = topics_of(options.prefix, site_id, offtake_id)
        self._client_id = f"{options.client_id or f'plant-{site_id}'}-{offtake_id}"
        self._client: BoundedClient | None = None
        self._online = False
        self._schedule: Mapping[str, object] | None = None
        self._sequence: int | None = None
        self._beat: tuple[Heartbeat, float] | None = None
        self._waiting: dict[str, list[asyncio.Future[Receipt]]] = {}
        self._trouble = "not connected yet"
        self._wrong = ""

    async def run(self) -> None:
        """As the port says."""
        await asyncio.to_thread(checked, self._options)
        tried = 0
        while True:
            try:
                await self._session()
                tried = 0
            except (MqttError, Misconfigured, OSError, ValueError, RuntimeError) as error:
                tried = 0 if self._client is not None else tried + 1
                self._trouble = one_line(str(error) or type(error).__name__)
            finally:
                self._client, self._online, self._beat = None, False, None
            await asyncio.sleep(pause_s(tried))

    async def schedule(self) -> Mapping[str, object] | None:
        """As the port says."""
        return self._schedule if self._client is not None else None

    async def heartbeat(self) -> Heartbeat | None:
        """As the port says; also None while the broker says that nobody is there."""
        if self._client is None or not self._online or self._beat is None:
            return None
        beat, heard_s = self._beat
        return beat if asyncio.get_running_loop().time() - heard_s <= HEARTBEAT_OLD_S else None

    async def say(self, kind: str, payload: Mapping[str, object]) -> Receipt:
        """As the port says; waits for the receipt."""
        if kind not in KINDS:
            return Receipt(accepted=False, reason=f"kind: must be one of {', '.join(KINDS)}")
        client = self._client
        if client is None:
            return Receipt(accepted=False, reason=self._trouble or "not connected")
        data = json.dumps(payload, separators=(",", ":")).encode()
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(digest_of(data), [])
        waiting.append(answer)
        try:
            async with asyncio.timeout(RECEIPT_S):
                properties = said_properties() if self._options.version == V5 else None
                await client.publish(self._topics.letter(kind), data, qos=1, properties=properties)
                return await answer
        except (TimeoutError, MqttError, ValueError) as error:
            return Receipt(accepted=False, reason=one_line(str(error)) or f"no receipt within {RECEIPT_S:g} s")
        finally:
            self._forget(digest_of(data), answer)

    def trouble(self) -> str:
        """As the port says."""
        if self._client is not None and not self._online:
            return "the broker says that nobody is there"
        return self._trouble or self._wrong

    async def _session(self) -> None:
        """One connection.

        Raises:
            MqttError: it could not be made, or broke.
        """
        plan = SessionPlan(
            client_id=self._client_id, max_payload_bytes=MAX_SCHEDULE_BYTES, door=_open_to_all, turned=self._turned
        )
        async with connected(self._options, plan) as client:
            await until_one_ends(self._hear(client), self._subscribed(client))

    async def _subscribed(self, client: BoundedClient) -> None:
        """Subscribe, while what is retained comes already; then wait for the connection's end.

        Raises:
            MqttError: it has come.
        """
        for topic in (self._topics.schedule, self._topics.heartbeat, self._topics.status, self._topics.receipts):
            await client.subscribe(topic, qos=1)
        self._client, self._trouble = client, ""
        await client.lost()

    async def _hear(self, client: BoundedClient) -> None:
        """Take what comes."""
        async for message in client.messages:
            self._take(str(message.topic), message.payload)
            client.done_with(message)

    def _take(self, topic: str, payload: bytes) -> None:
        """One message; what is malformed changes nothing but `trouble`."""
        if topic == self._topics.status:
            self._online = payload == ONLINE
            self._beat = self._beat if self._online else None
            return
        try:
            found = document(payload, MAX_SCHEDULE_BYTES) if payload else None
        except NotALetter as error:
            self._turned(topic, str(error))
            return
        if topic == self._topics.schedule:
            self._take_schedule(found)
        elif topic == self._topics.heartbeat:
            beat = heartbeat_from(found)
            self._beat = None if beat is None else (beat, asyncio.get_running_loop().time())
        elif isinstance(found, Mapping):
            self._take_receipt(found)

    def _take_schedule(self, found: object) -> None:
        """A schedule, by the rules of sequence; nothing: it was cleared."""
        if found is None:
            self._schedule = None
            return
        wrong = problems(found) if isinstance(found, Mapping) else ("must be an object",)
        if wrong or not isinstance(found, Mapping):
            self._turned(self._topics.schedule, wrong[0])
            return
        sequence = int(str(found["sequence"]))
        if verdict(self._sequence, sequence) is Verdict.OLD:
            self._turned(self._topics.schedule, f"sequence {sequence} is older than {self._sequence}")
            return
        self._schedule, self._sequence, self._wrong = found, sequence, ""

    def _take_receipt(self, found: Mapping[str, object]) -> None:
        """Answer whoever waits for it."""
        receipt = Receipt(
            accepted=found.get("accepted") is True,
            reason=one_line(str(found.get("reason", ""))),
            again=found.get("again") is True,
        )
        for answer in self._waiting.pop(str(found.get("digest")), []):
            if not answer.done():
                answer.set_result(receipt)

    def _forget(self, digest: str, answer: asyncio.Future[Receipt]) -> None:
        waiting = self._waiting.get(digest)
        if waiting is not None and answer in waiting:
            waiting.remove(answer)
            if not waiting:
                del self._waiting[digest]

    def _turned(self, topic: str, why: str) -> None:
        self._wrong = one_line(f"{topic}: {why}")


def _open_to_all(topic: str) -> str:
    """Whoever publishes below our topics is believed to be the link; the broker keeps others away."""
    del topic
    return ""
