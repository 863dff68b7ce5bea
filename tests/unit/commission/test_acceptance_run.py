"""Acceptance runs over a desk in memory: one that is well, and ones where each check has something to find."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantside.desk import DeskPlantClient
from scheduler.config.commission import CommissionFile
from scheduler.core.reports.commission import PARTS, Check, Result
from scheduler.domain.plantlink import Heartbeat, Receipt
from scheduler.entrypoints.commissioning.hands import Nobody, run
from scheduler.entrypoints.commissioning.run import AcceptanceRun
from scheduler.entrypoints.plantsim.sender import DemoSender
from scheduler.simulate.plant.sender import MadeUp
from scheduler.simulate.plant.spec import sized_for

BEAT_S = 0.05


class Link:
    """A link that beats until it is stopped."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.clock, self.beating = clock, True
        self.sender = DemoSender(MadeUp(site_id="lab", plug_id="loop", plant=sized_for("town", 400.0)), clock.now_utc(), clock)
        self.client = DeskPlantClient(self.sender.desk, "town", clock)

    async def live(self) -> None:
        desk = self.sender.desk
        await desk.post("town", self.sender.made_up.schedule(self.clock.now_utc(), 7, morning_boiler=False))
        while True:
            if self.beating:
                await desk.beat()
            await asyncio.sleep(BEAT_S)


class Helper:
    """Somebody who does what is asked."""

    def __init__(self, link: Link, numbers: Sequence[float | None] = ()) -> None:
        self.link, self.numbers = link, list(numbers)
        self.asked: list[str] = []

    async def do(self, what: str, command: Sequence[str] | None) -> str:
        self.asked.append(what)
        desk = self.link.sender.desk
        if what == "Stop the plant link":
            self.link.beating = False
        elif what == "Start the plant link again":
            self.link.beating = True
        elif "clear" in what:
            await desk.clear_override("town")
        else:
            desk.alive = "Start" in what
        return ""

    async def number(self, what: str) -> float | None:
        self.asked.append(what)
        return self.numbers.pop(0) if self.numbers else None


def file(**changed: Any) -> CommissionFile:
    usual = {
        "site": "lab", "offtake": "town", "engineer": "tester", "protocol": "rest", "address": "http://127.0.0.1:1",
        "beatSeconds": 0.5, "watchSeconds": 0.4, "watchdogSeconds": 0.3, "withinSeconds": 1.0, "patienceSeconds": 2.0,
        "override": True,
    }  # fmt: skip
    return CommissionFile.model_validate(usual | changed)


async def accepted(link: Link, hands: Any, **changed: Any) -> dict[str, Check]:
    """All checks of a run, by id."""
    living = asyncio.create_task(link.live())
    try:
        await asyncio.sleep(0)
        runner = AcceptanceRun(file=file(**changed), client=link.client, hands=hands, clock=link.clock)
        return {check.check_id: check async for check in runner.checks()}
    finally:
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living


async def well() -> tuple[dict[str, Check], Helper]:
    link = Link()
    helper = Helper(link, [1000.0, 0.0, 1500.0, 498.0, 75.0, 45.0])
    return await accepted(link, helper), helper


def test_a_link_that_is_well_passes_every_check() -> None:
    checks, helper = asyncio.run(well())
    assert list(checks) == [one.check_id for part in PARTS.values() for one in part]
    assert {key: check.reason for key, check in checks.items() if check.result is not Result.PASSED} == {}
    assert helper.asked[:2] == ["Have the operator clear the manual override", "Stop the operator, leave the link"]
    assert "sequence 7" in checks["transfer.schedule"].measured


def test_nobody_there_leaves_out_what_needs_a_person() -> None:
    async def alone() -> dict[str, Check]:
        return await accepted(Link(), Nobody(say=lambda _: None), override=False)

    checks = asyncio.run(alone())
    left_out = {key for key, check in checks.items() if check.result is Result.NOT_DONE}
    assert left_out == {"alarms.override", "alarms.operator", "failover.stopped", "failover.back", "metering.accuracy"}
    assert all(check.reason for key, check in checks.items() if key in left_out)
    assert not [check for check in checks.values() if check.result is Result.FAILED]


class Liar(DeskPlantClient):
    """A link that believes everything, in sequences that fall."""

    sequence = 100

    async def say(self, kind: str, payload: Mapping[str, object]) -> Receipt:
        return Receipt(accepted=True)

    async def schedule(self) -> Mapping[str, object] | None:
        found = await super().schedule()
        self.sequence -= 1
        return None if found is None else {**found, "sequence": self.sequence, "validUntil": "2020-01-01T00:00:00Z"}


def test_a_link_that_believes_everything_and_goes_back_in_time_fails() -> None:
    async def lied() -> dict[str, Check]:
        link = Link()
        link.client = Liar(link.sender.desk, "town", link.clock)
        return await accepted(link, Nobody(say=lambda _: None), parts=["transfer", "heartbeat", "integration"])

    checks = asyncio.run(lied())
    failed = {key: check.reason for key, check in checks.items() if check.result is Result.FAILED}
    assert set(failed) == {"transfer.schedule", "transfer.repeat", "heartbeat.sequence", "integration.nonsense"}
    assert "validUntil" in failed["transfer.schedule"]
    assert failed["transfer.repeat"] == "the sequence fell"


class Slow(DeskPlantClient):
    """A link whose heartbeat is a minute old, and stands."""

    async def heartbeat(self) -> Heartbeat | None:
        found = await super().heartbeat()
        if found is None:
            return None
        from dataclasses import replace
        from datetime import timedelta

        at_utc: datetime = found.at_utc - timedelta(minutes=1)
        return replace(found, counter=1, at_utc=at_utc)


def test_a_counter_that_stands_and_a_clock_that_is_wrong_fail() -> None:
    async def stood() -> dict[str, Check]:
        link = Link()
        link.client = Slow(link.sender.desk, "town", link.clock)
        return await accepted(link, Nobody(say=lambda _: None), parts=["heartbeat"])

    checks = asyncio.run(stood())
    assert checks["heartbeat.counter"].result is Result.FAILED
    assert checks["heartbeat.clocks"].result is Result.FAILED
    assert checks["heartbeat.sequence"].result is Result.NOT_DONE


class Deaf(DeskPlantClient):
    """A link that nobody can read."""

    async def heartbeat(self) -> Heartbeat | None:
        return None

    def trouble(self) -> str:
        return "connection refused"


def test_a_link_that_cannot_be_read_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.entrypoints.commissioning.run.FIRST_WITHIN_S", 0.1)

    async def refused() -> dict[str, Check]:
        link = Link()
        link.client = Deaf(link.sender.desk, "town", link.clock)
        return await accepted(link, Helper(link, [1000.0, 0.0, 1500.0, 498.0, 75.0, 45.0]))

    checks = asyncio.run(refused())
    assert checks["transfer.schedule"].reason == "the link cannot be read: connection refused"
    assert checks["metering.accuracy"].result is Result.PASSED
    assert {check.result for key, check in checks.items() if key.startswith("failover")} == {Result.NOT_DONE}


def test_commands_are_run_without_a_shell() -> None:
    assert asyncio.run(run(["true"])) == ""
    assert asyncio.run(run(["false"])) == "false: exit code 1"
    assert "No such file" in asyncio.run(run(["no-such-command-here"]))
