"""Our side of a demonstration before anybody has read it."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from scheduler.domain.time import utc
from scheduler.entrypoints.plantsim.sender import DemoSender
from scheduler.simulate.plant.faults import Fault, FaultKind
from scheduler.simulate.plant.sender import MadeUp
from scheduler.simulate.plant.spec import PlantSpec

NOW_UTC = utc("2026-01-12T10:00:00+00:00")


class Standing:
    """A clock that stands."""

    def now_utc(self) -> datetime:
        """Always the same instant."""
        return NOW_UTC


@pytest.mark.parametrize(
    ("script", "sequences"), [((), [0]), ((FaultKind.SENDER_STOPPED,), []), ((FaultKind.OPERATOR_GONE,), [])]
)
def test_whoever_connects_first_finds_a_schedule(script: tuple[FaultKind, ...], sequences: list[int]) -> None:
    faults = tuple(Fault(kind=kind, start_s=0.0, length_s=60.0) for kind in script)
    made_up = MadeUp(site_id="demo-site", plug_id="demo-loop", plant=PlantSpec(offtake_id="town"))
    sender = DemoSender(made_up, NOW_UTC, Standing(), faults)
    asyncio.run(sender.begin(NOW_UTC))
    shown = [board.schedule for board in sender.desk.boards().values() if board.schedule is not None]
    assert [one["sequence"] for one in shown] == sequences
