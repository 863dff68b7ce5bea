"""One fault run: caps on every GPU of a pretended node, one or two faults at random instants, and the end of all caps."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from agent_deeds import DEEDS, ENDS, Deed, Undo
from agent_judge import Ending
from agent_world import NodeWorld, Pace

READY_S, RESTORED_S, QUIET_S, ENDED_S = 60.0, 40.0, 0.7, 30.0
SECOND_DEED = 0.5
"""Share of runs with two faults."""
NO_ENTRY = frozenset({"next.lock", "end.lock", "agent.heard"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFound:
    """How a run went: its faults by name, how its caps ended, complaints, how long each ending took; logs if there is one.

    loads_s: from the start of a setter's container, after it had ended, until it was in charge.
    """

    seed: int
    deeds: tuple[str, ...]
    end: str
    complaints: tuple[str, ...]
    endings: tuple[Ending, ...]
    seconds: float
    loads_s: tuple[float, ...] = ()
    logs: str = field(default="", repr=False)


def fault_run(library: Path, seed: int, deeds: Sequence[Deed] | None = None, pace: Pace | None = None) -> RunFound:
    """One run in a folder of its own; the same seed makes the same faults, at the same instants but for what processes take."""
    folder, began_s = Path(tempfile.mkdtemp(prefix="hd-")), time.monotonic()
    try:
        with NodeWorld(folder, library, seed, pace) as world:
            chosen = chosen_deeds(world) if deeds is None else list(deeds)
            end = str(world.random.choice(list(ENDS)))
            complaints = _lived(world, chosen, end)
            verdict = world.verdict()
            complaints += verdict.complaints
            return RunFound(
                seed=seed,
                deeds=tuple(deed.name for deed in chosen),
                end=end,
                complaints=tuple(complaints),
                endings=verdict.endings,
                seconds=time.monotonic() - began_s,
                loads_s=tuple(world.loads_s),
                logs=_logs(world) if complaints else "",
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def chosen_deeds(world: NodeWorld) -> list[Deed]:
    """One or two faults that do not get into each other's way."""
    first = DEEDS[int(world.random.integers(len(DEEDS)))]
    others = [deed for deed in DEEDS if deed.group != first.group]
    two = world.random.random() < SECOND_DEED
    return [first, others[int(world.random.integers(len(others)))]] if two else [first]


def _lived(world: NodeWorld, deeds: Sequence[Deed], end: str) -> list[str]:
    """Caps, faults, the end, and what the processes leave."""
    if not world.pass_s(READY_S, world.all_capped):
        return ["the caps were never all in force"]
    world.pass_s(float(world.random.uniform(0.0, 1.0)))
    _plan(world, deeds, end)
    world.pass_s(RESTORED_S, world.none_capped)
    world.pass_s(QUIET_S)
    # Who is still loading has no way yet to end well.
    world.pass_s(READY_S, world.both_up)
    # Setters all at once, as when their pod is deleted.
    codes = [world.agent.end(ENDED_S)]
    for each in world.containers:
        each.tell_to_end()
    codes += [each.end(ENDED_S) for each in world.containers[1:]]
    complaints = [f"{each.name} ended with {code}" for each, code in zip(world.containers, codes, strict=True) if code != 0]
    complaints += [f"{each.name} told of an error of its own" for each in world.containers if "Traceback" in each.told()]
    left = sorted(path.name for path in world.journal.iterdir() if path.name not in NO_ENTRY)
    return complaints + ([f"the journal still has {', '.join(left)}"] if left else [])


def _plan(world: NodeWorld, deeds: Sequence[Deed], end: str) -> None:
    """Faults begin and end, and so do the caps, in an order that chance makes."""
    random, now_s = world.random, time.monotonic()
    begins = [now_s + float(random.uniform(0.0, 2.0)) for _ in deeds]
    agenda = [
        _Item(at_s=at_s, act=partial(deed.do, world), lasts_s=float(random.uniform(deed.least_s, deed.most_s)))
        for at_s, deed in zip(begins, deeds, strict=True)
    ]
    agenda.append(_Item(at_s=max(begins) + float(random.uniform(0.0, 3.0)), act=partial(ENDS[end], world)))
    while agenda:
        item = min(agenda, key=lambda each: each.at_s)
        agenda.remove(item)
        world.pass_s(max(0.0, item.at_s - time.monotonic()))
        undo = item.act()
        if undo is not None:
            agenda.append(_Item(at_s=time.monotonic() + item.lasts_s, act=undo))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Item:
    """Something to do at an instant; what it returns undoes it, so long after that."""

    at_s: float
    act: Callable[[], Undo | None]
    lasts_s: float = 0.0


def _logs(world: NodeWorld) -> str:
    """What both have said at last."""
    writes = "\n".join(f"{one.at_s:.3f} {one}" for one in world.machine.writes()[-200:])
    return "\n".join([*(f"--- {each.name}\n{each.told()[-8000:]}" for each in world.containers), "--- writes", writes])
