"""One world of the kills, in a process of its own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

# The processes and the plant lie with the tests, which share them.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What came of the kills of one operator, link and plant; times_s: until the boiler ran."""

    kills: tuple[str, ...]
    times_s: tuple[float, ...]
    sequences: int
    broken: tuple[str, ...]


def world(folder: Path, kills: int, seed: int, real: bool) -> World:
    """One operator, link and plant of their own, killed so many times."""
    from link_kills import REAL, SHORT, FaultRun

    folder.mkdir()
    run = FaultRun(folder, seed, REAL if real else SHORT)
    run.run(kills)
    return World(
        kills=tuple(one.whom for one in run.kills),
        times_s=tuple(one.boiler_s for one in run.kills),
        sequences=len(run.plc.contents),
        broken=tuple(run.broken()),
    )
