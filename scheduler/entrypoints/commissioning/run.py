"""The acceptance run: each part's checks, in order, over a link that is alive."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.config.commission import CommissionFile
from scheduler.core.publishing.message import RESOLUTION_S, number, parsed, problems, stamp
from scheduler.core.reports import commission as asked
from scheduler.core.reports.commission import Check, MeterPair
from scheduler.domain.plantlink import AlarmLevel, Heartbeat, LinkMode
from scheduler.entrypoints.commissioning.hands import Hands
from scheduler.entrypoints.commissioning.watching import Watcher, now_s
from scheduler.ports import Clock, PlantClient
from scheduler.units import S_PER_H

FIRST_WITHIN_S = 30.0
# Modbus knows no credentials: it carries a sign of life, and answers that reduce.
CARRIED = {"modbus": ("heartbeat",)}
USUAL = ("heartbeat", "network", "demand", "request", "acknowledgement")
ABSURD_KWH, NEVER_SENT = 1e11, 2**63


@dataclass(slots=True, kw_only=True)
class AcceptanceRun:
    """One run. Nothing in it raises for the link's fault: that it is there to tell. last: quarter hour of the schedule."""

    file: CommissionFile
    client: PlantClient
    hands: Hands
    clock: Clock
    sequence: int | None = None
    last: Mapping[str, object] | None = None

    @property
    def watcher(self) -> Watcher:
        """Our eyes."""
        return Watcher(client=self.client, beat_s=self.file.beat_seconds)

    async def checks(self) -> AsyncIterator[Check]:
        """Every check of the wanted parts, as it is done; where the link cannot be read at all, the rest is not done."""
        parts = {
            "transfer": self._transfer,
            "heartbeat": self._heartbeat,
            "integration": self._integration,
            "alarms": self._alarms,
            "failover": self._failover,
            "metering": self._metering,
        }
        first, _ = await self.watcher.until(lambda _: True, FIRST_WITHIN_S)
        for name in (one for one in parts if one in self.file.parts):
            if first is None and name != "metering":
                reason = f"the link cannot be read: {self.client.trouble() or 'no heartbeat'}"
                for one in asked.PARTS[name]:
                    yield one.done("nothing", reason) if one is asked.SCHEDULE else one.not_done(reason)
                continue
            for check in await parts[name]():
                yield check

    # Transfer.

    async def _transfer(self) -> list[Check]:
        first = await self.client.schedule()
        if first is None:
            wrong = f"no schedule can be read{_because(self.client)}"
            return [asked.SCHEDULE.done("nothing", wrong), asked.REPEAT.not_done("there is no schedule")]
        self.sequence = _whole(first.get("sequence"))
        self.last = next(reversed(_rows(first)), None)
        again = await self.client.schedule()
        return [self._whole_schedule(first), _repeat(first, again)]

    def _whole_schedule(self, payload: Mapping[str, object]) -> Check:
        wrong, now_utc = list(problems(payload)), self.clock.now_utc()
        rows, until = payload.get("intervals"), payload.get("validUntil")
        until_utc = parsed(until)
        if payload.get("offtakeId") != self.file.offtake:
            wrong.append(f"offtakeId: {payload.get('offtakeId')!r} is not {self.file.offtake!r}")
        if until_utc is not None and until_utc <= now_utc:
            wrong.append("validUntil: is past")
        count = len(rows) if isinstance(rows, Sequence) else 0
        measured = f"sequence {payload.get('sequence')}, {payload.get('kind')}, {count} quarter hours, valid until {until}"
        if payload.get("mode") == "advisory":
            measured += ", advisory: nobody has promised this heat yet"
        return asked.SCHEDULE.done(measured, "; ".join(wrong[:3]))

    # Heartbeat.

    async def _heartbeat(self) -> list[Check]:
        file, watcher = self.file, self.watcher
        looks = await watcher.looks(file.watch_seconds)
        checks = [asked.beats_check(looks, file.beat_seconds, watcher.look_s)]
        last = await self.client.heartbeat()
        if last is None:
            reason = f"no heartbeat can be read{_because(self.client)}"
            return [*checks, asked.NAMED.not_done(reason), asked.CLOCKS.not_done(reason)]
        checks.append(self._named(last))
        return [*checks, asked.clocks_check(last.at_utc, self.clock.now_utc(), file.beat_seconds)]

    def _named(self, heartbeat: Heartbeat) -> Check:
        if self.sequence is None:
            return asked.NAMED.not_done("no schedule was read")
        last = heartbeat.last_sequence
        measured = f"heartbeat {last}, schedule {self.sequence}"
        return asked.NAMED.done(
            measured, "" if last is not None and last >= self.sequence else "the heartbeat names an older one"
        )

    # Integration.

    async def _integration(self) -> list[Check]:
        now_utc = self.clock.now_utc()
        carried = CARRIED.get(self.file.protocol, USUAL)
        told, wrong = [], []
        for kind, payload in self._letters(now_utc).items():
            if kind not in carried:
                continue
            receipt = await self.client.say(kind, payload)
            told.append(f"{kind} {'accepted' if receipt.accepted else 'refused'}")
            if not receipt.accepted:
                wrong.append(f"{kind}: {receipt.reason}")
        believed = []
        for what, kind, payload in _nonsense(now_utc):
            if (await self.client.say(kind, payload)).accepted:
                believed.append(what)
        measured = "all turned away" if not believed else f"accepted: {', '.join(believed)}"
        return [
            asked.LETTERS.done(", ".join(told) or "nothing", "; ".join(wrong) if told else "nothing could be said"),
            asked.NONSENSE.done(measured, "it was believed" if believed else ""),
        ]

    def _letters(self, now_utc: datetime) -> dict[str, Mapping[str, object]]:
        """One letter of each kind that changes nothing: a forecast that says nothing, a wish for the heat that is planned."""
        hour_utc = now_utc.replace(minute=0, second=0, microsecond=0)
        said: dict[str, Mapping[str, object]] = {
            "heartbeat": {"counter": int(now_utc.timestamp()) % 2**32},
            "network": {"at": stamp(now_utc)},
            "demand": {"start": stamp(hour_utc), "stepSeconds": int(S_PER_H), "heatKw": [None, None]},
        }
        if self.sequence is not None:
            said["acknowledgement"] = {"sequence": self.sequence, "verdict": "accepted", "reason": "acceptance run"}
        start_utc = None if self.last is None else parsed(self.last.get("start"))
        if self.last is not None and start_utc is not None:
            end_utc = start_utc + timedelta(seconds=RESOLUTION_S)
            said["request"] = {"heatKw": self.last.get("heatKw"), "start": stamp(start_utc), "end": stamp(end_utc)}
        return said

    # Alarms.

    async def _alarms(self) -> list[Check]:
        return [await self._override(), await self._operator()]

    async def _override(self) -> Check:
        if not self.file.override:
            return asked.OVERRIDE.not_done("override is not allowed in commission.yaml")
        receipt = await self.client.say("override", {"limitKw": 0.0, "reason": "acceptance run"})
        if not receipt.accepted:
            return asked.OVERRIDE.done("refused", receipt.reason)
        within_s = self.file.within_seconds
        found, took_s = await self.watcher.until(lambda one: one.mode is LinkMode.MANUAL and _alarmed(one), within_s)
        if found is None:
            return asked.OVERRIDE.done("", f"no such heartbeat within {within_s:g} s")
        measured = f"manual with boiler signal after {took_s:.1f} s"
        await self.hands.do("Have the operator clear the manual override", self.file.operator.start)
        cleared, took_s = await self.watcher.until(lambda one: one.mode is not LinkMode.MANUAL, self.file.patience_seconds)
        wrong = "" if cleared is not None else "it was not cleared; it still stands"
        return asked.OVERRIDE.done(f"{measured}, cleared {took_s:.1f} s later" if cleared else measured, wrong)

    async def _operator(self) -> Check:
        why = await self.hands.do("Stop the operator, leave the link", self.file.operator.stop)
        if why:
            return asked.OPERATOR.not_done(why)
        found, took_s = await self.watcher.until(_alarmed, self.file.within_seconds)
        await self.hands.do("Start the operator again", self.file.operator.start)
        wrong = "" if found is not None else f"no alarm with boiler signal within {self.file.within_seconds:g} s"
        measured = "" if found is None else f"after {took_s:.1f} s: {found.alarm_text}"
        await self.watcher.until(lambda one: one.alarm is not AlarmLevel.CRITICAL, self.file.patience_seconds)
        return asked.OPERATOR.done(measured, wrong)

    # Failover.

    async def _failover(self) -> list[Check]:
        before = await self.client.heartbeat()
        why = await self.hands.do("Stop the plant link", self.file.link.stop)
        if why:
            return [one.not_done(why) for one in asked.PARTS["failover"]]
        watcher, file = self.watcher, self.file
        wait_s = max(2.0 * file.within_seconds, 2.0 * file.watchdog_seconds)
        moved_s, noticed_s = await watcher.until_silent(file.watchdog_seconds, wait_s)
        stopped = asked.stopped_check(moved_s, noticed_s, file.watchdog_seconds, watcher.look_s, file.within_seconds)
        why = await self.hands.do("Start the plant link again", file.link.start)
        if why:
            return [stopped, asked.BACK.not_done(why)]
        return [stopped, await self._back(None if before is None else before.counter)]

    async def _back(self, counter: int | None) -> Check:
        found, took_s = await self.watcher.until(lambda one: one.counter != counter, self.file.patience_seconds)
        if found is None:
            return asked.BACK.done("", f"the counter does not move{_because(self.client)}")
        again = None
        until_s = now_s() + self.file.patience_seconds
        while again is None and now_s() < until_s:
            again = await self.client.schedule()
            await asyncio.sleep(0.0 if again is not None else self.watcher.look_s)
        sequence = None if again is None else _whole(again.get("sequence"))
        measured = f"counter moved after {took_s:.1f} s, schedule {sequence}"
        if sequence is None:
            return asked.BACK.done(measured, "no schedule can be read")
        lower = self.sequence is not None and sequence < self.sequence
        return asked.BACK.done(measured, f"schedule {self.sequence} was read before" if lower else "")

    # Metering.

    async def _metering(self) -> list[Check]:
        told = self.file.metering
        if told is not None:
            pair = MeterPair(
                ours_before_kwh=told.before.ours,
                ours_after_kwh=told.after.ours,
                reference_before_kwh=told.before.reference,
                reference_after_kwh=told.after.reference,
                supply_c=told.supply_c,
                return_c=told.return_c,
                meter_class=told.meter_class,
                reference_error_fraction=told.reference_error_fraction,
            )
            return [asked.meter_check(pair)]
        read = []
        for what in ("before, our meter", "before, the reference", "after, our meter", "after, the reference"):
            value = await self.hands.number(f"Register {what}, kWh")
            if value is None:
                return [asked.METER.not_done("no readings in commission.yaml, and nobody read the meters")]
            read.append(value)
        warm = [await self.hands.number(f"Mean {what} temperature, C") for what in ("supply", "return")]
        if None in warm:
            return [asked.METER.not_done("nobody read the temperatures")]
        supply_c, return_c = (math.nan if one is None else one for one in warm)
        pair = MeterPair(
            ours_before_kwh=read[0], reference_before_kwh=read[1], ours_after_kwh=read[2], reference_after_kwh=read[3],
            supply_c=supply_c, return_c=return_c,
        )  # fmt: skip
        return [asked.meter_check(pair)]


def _nonsense(now_utc: datetime) -> tuple[tuple[str, str, Mapping[str, object]], ...]:
    """What nobody may believe: what it is, its kind, its payload."""
    hour_ahead = stamp(now_utc + timedelta(seconds=S_PER_H))
    return (
        ("an answer to a schedule that was never sent", "acknowledgement", {"sequence": NEVER_SENT, "verdict": "accepted"}),
        ("a measurement of the future", "network", {"at": hour_ahead, "supplyC": 70.0}),
        ("a tank of 100 TWh", "tank", {"at": stamp(now_utc), "levelKwh": ABSURD_KWH}),
    )


def _alarmed(heartbeat: Heartbeat) -> bool:
    """Whether a heartbeat says that the boiler must start, with an alarm."""
    return heartbeat.boiler_on and heartbeat.alarm is AlarmLevel.CRITICAL


def _repeat(first: Mapping[str, object], again: Mapping[str, object] | None) -> Check:
    """Whether what was read twice is the same, or newer."""
    if again is None:
        return asked.REPEAT.done("nothing", "it could not be read a second time")
    before, after = _whole(first.get("sequence")), _whole(again.get("sequence"))
    measured = f"{before}, then {after}"
    if before is None or after is None or after < before:
        return asked.REPEAT.done(measured, "the sequence fell")
    same = [(number(row.get("heatKw")), row.get("start")) for row in _rows(first)] == [
        (number(row.get("heatKw")), row.get("start")) for row in _rows(again)
    ]
    return asked.REPEAT.done(measured, "" if after > before or same else "the same sequence with another content")


def _rows(payload: Mapping[str, object]) -> list[Mapping[str, object]]:
    rows = payload.get("intervals")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _because(client: PlantClient) -> str:
    return f": {client.trouble()}" if client.trouble() else ""
