"""What a plant says over a broker: bytes become letters, letters get receipts, and who says too much is not heard."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import datetime, timedelta

from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.plantlink.keeping import PATIENT_S, kept
from scheduler.adapters.plantlink.mqtt.late import BACKLOG_S, SAID_AT, dated
from scheduler.adapters.plantlink.mqtt.session import V5, BoundedClient, Message, said_properties
from scheduler.adapters.plantlink.mqtt.topics import Topics
from scheduler.adapters.plantlink.patience import pause_s
from scheduler.adapters.plantlink.together import until_one_ends
from scheduler.adapters.sources.web.manners import Pace
from scheduler.adapters.sources.web.trouble import one_line
from scheduler.core.publishing.document import document
from scheduler.core.publishing.letters import KINDS, NotALetter, body_of
from scheduler.core.publishing.message import stamp
from scheduler.domain.plantlink import (
    DemandForecast,
    Letter,
    LetterBody,
    MaintenanceNotice,
    MeterReading,
    NetworkState,
    Receipt,
    Refusal,
    Sender,
    TankState,
)
from scheduler.ports import Clock, PlantDesk

# Letters of each kind: one each half second, after twenty at once. One kind does not use up the share of another.
PER_LETTER_S, BURST = 0.5, 20
OTHER = "other"
# A measurement that the broker has retained says nothing about now when it is older.
RETAINED_S = 900.0
RETAINED_FORECAST_S = 86400.0
DIGEST = 16
# For so long a letter that cannot be kept is tried again; then the plant has to say it again.
GIVE_UP_S = 900.0
# Answers to a subscription from here on are refusals.
REFUSED = 0x80


class Ear:
    """Reads the letters of one offtake from one connection."""

    def __init__(
        self, topics: Topics, desk: PlantDesk, offtake_id: str, clock: Clock, *, sender: Sender, tell: Teller, version: int
    ) -> None:
        """Nothing is heard yet. version: of MQTT. `open` is set once the broker has answered our subscription."""
        self.open, self.trouble = asyncio.Event(), ""
        self._topics, self._desk, self._offtake_id, self._clock = topics, desk, offtake_id, clock
        self._sender, self._version = sender, version
        self._pace = Pace(PER_LETTER_S, BURST)
        self._keeping = Episode(tell, f"letters of {offtake_id} over mqtt: keeping them")

    async def listen(self, client: BoundedClient) -> None:
        """Take what comes, until the connection ends; a broker that does not let us is `trouble` and no error.

        Brokers may send what they have retained before they answer the subscription, and wait for its acknowledgement.

        Raises:
            MqttError: the connection has ended.
        """
        await until_one_ends(self._take_all(client), self._subscribed(client))

    async def _subscribed(self, client: BoundedClient) -> None:
        granted = await client.subscribe(self._topics.letters, qos=1)
        code = granted[0] if granted else REFUSED
        if (code if isinstance(code, int) else code.value) >= REFUSED:
            self.trouble = "the broker does not let us hear the plant"
        self.open.set()
        await client.lost()

    async def _take_all(self, client: BoundedClient) -> None:
        began_s, late, idle = self._now_s(), client.resumed, True
        async for message in client.messages:
            # Whatever came behind one that took long may have come long ago.
            late = late and (not idle or self._now_s() - began_s <= BACKLOG_S)
            await self._settle(client, message, late)
            idle = not len(client.messages)

    async def _settle(self, client: BoundedClient, message: Message, late: bool) -> None:
        """Tell what becomes of a message. It is acknowledged only once it is kept or turned away: what we cannot keep we try
        again and again, in its turn, and the broker has it still, should we end meanwhile.
        """
        made = self._made(message, late)
        tried, until_s = 0, self._now_s() + GIVE_UP_S
        receipt = await self._kept(made) if isinstance(made, Letter) else made
        while receipt is not None and receipt.again and isinstance(made, Letter) and self._now_s() < until_s:
            if not tried:
                await self._answer(client, message, receipt)
            tried += 1
            await asyncio.sleep(pause_s(tried))
            receipt = await self._kept(made)
        client.done_with(message)
        if receipt is not None:
            await self._answer(client, message, receipt)

    def _made(self, message: Message, late: bool) -> Letter | Receipt | None:
        """The letter of a message, or what becomes of one that is none; None: nobody is told."""
        payload = message.payload
        if not payload:
            return None
        try:
            body = body_of(self._topics.kind_of(str(message.topic)), document(payload))
        except NotALetter as error:
            self.turned(str(message.topic), str(error))
            return Receipt(accepted=False, reason=str(error))
        now_utc = self._clock.now_utc()
        found = dated(body, now_utc, _user_property(message, SAID_AT), late)
        why = (retained_wrong(body, now_utc) if message.retain else "") or found.wrong
        if why:
            self.turned(str(message.topic), why)
            return Receipt(accepted=False, reason=why)
        return Letter(offtake_id=self._offtake_id, sender=self._sender, received_utc=found.at_utc, body=found.body)

    def door(self, topic: str) -> str:
        """Why a message is not let in now; empty: it is. Each kind has a share of its own."""
        kind = self._topics.kind_of(topic)
        share, now_s = kind if kind in KINDS else OTHER, self._now_s()
        if self._pace.wait_s(share, now_s) > 0.0:
            return "too often"
        self._pace.take(share, now_s)
        return ""

    async def _kept(self, letter: Letter) -> Receipt:
        """Hand a letter in; a desk that fails is ours to mend, and the plant may say it again."""
        try:
            receipt = await kept(self._desk, letter, PATIENT_S)
        except Exception as error:  # whatever fault of ours it is, the plant goes on being told
            self._keeping.failed(type(error).__name__)
            return Receipt(accepted=False, reason="cannot be kept just now; say it again")
        if receipt.again:
            self._keeping.failed(receipt.reason)
        else:
            self._keeping.worked()
        return receipt

    def turned(self, topic: str, why: str) -> None:
        """Note what was turned away."""
        what = one_line(f"{topic[:100]}: {why}")
        at_utc = self._clock.now_utc()
        self._desk.refuse(Refusal(protocol=self._sender.protocol, sender=self._sender.name, at_utc=at_utc, what=what))

    async def _answer(self, client: BoundedClient, message: Message, receipt: Receipt) -> None:
        """Publish a receipt."""
        said = {
            "kind": one_line(self._topics.kind_of(str(message.topic)), 40),
            "digest": digest_of(message.payload),
            "accepted": receipt.accepted,
            "reason": receipt.reason,
            "again": receipt.again,
            "at": stamp(self._clock.now_utc()),
        }
        properties = None
        if self._version == V5:
            asked = getattr(message.properties, "CorrelationData", b"")
            properties = said_properties(correlation=asked if isinstance(asked, bytes) else b"")
        data = json.dumps(said, separators=(",", ":")).encode()
        await client.publish(self._topics.receipts, data, qos=1, properties=properties)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()


def _user_property(message: Message, name: str) -> object:
    """A user property of MQTT 5; None: there is none."""
    found = getattr(message.properties, "UserProperty", ())
    return next((value for key, value in found if key == name), None)


def digest_of(payload: bytes) -> str:
    """What a receipt names a letter by: the first 16 hex digits of the SHA-256 of its payload."""
    return hashlib.sha256(payload).hexdigest()[:DIGEST]


def retained_wrong(body: LetterBody, now_utc: datetime) -> str:
    """Why a letter that the broker had retained is not believed; empty when it says itself from when it is.

    Brokers hand a retained message out again with each new connection. One that does not tell its own time would latch an
    override again that our operator has cleared, bring an answer back that another has ended, or make a dead plant look alive.
    """
    if isinstance(body, MaintenanceNotice | MeterReading):
        return ""
    if isinstance(body, NetworkState | TankState):
        return "" if now_utc - body.at_utc <= timedelta(seconds=RETAINED_S) else "retained, and too old"
    if isinstance(body, DemandForecast) and body.issued_utc is not None:
        return "" if now_utc - body.issued_utc <= timedelta(seconds=RETAINED_FORECAST_S) else "retained, and too old"
    return "retained: publish it without retain, nobody can tell how old it is"
