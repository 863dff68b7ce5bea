"""A setter that is told to end while it still loads gives back what its earlier life, killed as a whole, has left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from agent_deeds import kill_setter
from agent_world import NodeWorld, Pace

SOON_S = 60.0
TERMINATION = 1 << (signal.SIGTERM - 1)


def blocks_termination(pid: int) -> bool:
    """Whether SIGTERM would wait."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return any(bool(int(line.split()[1], 16) & TERMINATION) for line in lines if line.startswith("SigBlk:"))


def test_a_setter_that_is_ended_while_it_loads_leaves_no_cap(library: Path, tmp_path: Path) -> None:
    with NodeWorld(tmp_path, library, 1, Pace(gpus=2)) as world:
        assert world.pass_s(SOON_S, world.all_capped)
        # The setter first: it would give back by itself what an agent that takes long to end does not ask for any more.
        world.setter.stays_down = True
        kill_setter(world)
        assert world.pass_s(SOON_S, lambda: world.setter.pid == 0)
        world.agent.end(SOON_S)
        assert not world.none_capped()
        world.setter.start()
        assert world.pass_s(SOON_S, lambda: blocks_termination(world.setter.pid))
        os.kill(world.setter.pid, signal.SIGTERM)
        # Not yet at its work, so it has loaded all the rest with the signal waiting.
        assert not world.setter.has_said("in charge")
        until_s = time.monotonic() + SOON_S
        while world.setter.pid and time.monotonic() < until_s:
            time.sleep(0.01)
        assert world.setter.process is not None
        assert world.setter.process.poll() == 0
        assert world.none_capped()
        assert [path.name for path in world.journal.iterdir() if path.suffix == ".json"] == []
