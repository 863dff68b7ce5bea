"""Where the console script begins: the commands of a node start without loading the rest of the house."""

from __future__ import annotations

import signal
import sys

AGENT, SETTER = "agent", "agent-setter"


def main() -> None:
    """Entry point of the console script."""
    if sys.argv[1:2] == [AGENT]:
        from scheduler.entrypoints.agent.command import app

        sys.argv[0:2] = [f"{sys.argv[0]} {AGENT}"]
        app(prog_name="heat-dispatch agent")
        return
    if sys.argv[1:2] == [SETTER]:
        if "--status" not in sys.argv:
            # Whoever ends it while it loads is heard by its guardian, once that can give back what an earlier life has left.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        from scheduler.entrypoints.setter.command import app as setter

        sys.argv[0:2] = [f"{sys.argv[0]} {SETTER}"]
        setter(prog_name=f"heat-dispatch {SETTER}")
        return
    from scheduler.entrypoints.cli import app as house

    house()
