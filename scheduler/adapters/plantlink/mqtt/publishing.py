"""What one offtake is told over one connection: the schedule, then that we are there, then a heartbeat; then what is new."""

from __future__ import annotations

import json

from scheduler.adapters.plantlink.mqtt.session import V5, BoundedClient, MqttError, said_properties
from scheduler.adapters.plantlink.mqtt.topics import ONLINE, Topics
from scheduler.core.publishing.heartbeat_payload import heartbeat_payload
from scheduler.core.publishing.message import SCHEMA_VERSION, parsed
from scheduler.core.publishing.shown import shown_of
from scheduler.domain.plantlink import Heartbeat
from scheduler.ports import Clock, PlantDesk

# A heartbeat that lay at the broker for longer is no sign of life.
HEARTBEAT_EXPIRES_S = 30
# So often we look whether we still may speak.
LOOK_S = 1.0
BEAT_WAIT_S = 60.0


class Publisher:
    """Keeps what stands at the broker as it stands on the board."""

    def __init__(
        self, client: BoundedClient, topics: Topics, desk: PlantDesk, offtake_id: str, clock: Clock, *, version: int
    ) -> None:
        """Nothing is told yet. version: of MQTT."""
        self._client, self._topics, self._desk, self._clock = client, topics, desk, clock
        self._offtake_id, self._version = offtake_id, version
        self._schedule: bytes | None = None
        self._beat: Heartbeat | None = None

    async def stand(self) -> bool:
        """Tell everything: that we are `online` only once the schedule stands; False when we may not speak any more."""
        if not await self._tell_schedule():
            return False
        await self._client.publish(self._topics.status, ONLINE, qos=1, retain=True)
        return await self.tell()

    async def follow_changes(self) -> None:
        """Tell what is new as soon as it is on the board, until we may not speak any more."""
        seen = 0
        while await self.tell():
            seen = await self._desk.changed(seen, LOOK_S)

    async def follow_beats(self) -> None:
        """Tell each heartbeat, until we may not speak any more."""
        count = 0
        while await self.tell():
            count = await self._desk.beats(count, BEAT_WAIT_S)

    async def tell(self) -> bool:
        """Tell what was not told yet; False when we may not speak any more."""
        if not await self._tell_schedule():
            return False
        board = self._desk.boards().get(self._offtake_id)
        if board is None:
            return False
        beat = shown_of(board, self._clock.now_utc()).heartbeat
        if beat != self._beat:
            self._beat = beat
            payload = json.dumps(heartbeat_payload(beat), separators=(",", ":")).encode()
            await self._publish(self._topics.heartbeat, payload, retain=False, expires_s=HEARTBEAT_EXPIRES_S)
        return True

    async def _tell_schedule(self) -> bool:
        """The schedule, retained, when another one stands at the broker; an empty message clears it."""
        board = self._desk.boards().get(self._offtake_id)
        if board is None:
            return False
        now_utc = self._clock.now_utc()
        shown = shown_of(board, now_utc)
        data = shown.schedule_json
        if self._schedule == data:
            return True
        self._schedule = data
        until_utc = None if shown.schedule is None else parsed(shown.schedule.get("validUntil"))
        expires_s = None if until_utc is None else max(1, int((until_utc - now_utc).total_seconds()))
        await self._publish(self._topics.schedule, data, retain=True, expires_s=expires_s)
        return True

    async def _publish(self, topic: str, payload: bytes, *, retain: bool, expires_s: int | None) -> None:
        """Publish, and wait until the broker has it.

        Raises:
            MqttError: it has not.
        """
        properties = None
        if self._version == V5 and payload:
            properties = said_properties(expires_s=expires_s, schema_version=SCHEMA_VERSION)
        await self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        if self._client.denied:
            raise MqttError(f"the broker does not let us publish: {self._client.denied}")
