"""Where the console script begins: the agent starts without loading the rest of the house."""

from __future__ import annotations

import sys

AGENT = "agent"


def main() -> None:
    """Entry point of the console script."""
    if sys.argv[1:2] == [AGENT]:
        from scheduler.entrypoints.agent.command import app

        sys.argv[0:2] = [f"{sys.argv[0]} {AGENT}"]
        app(prog_name="heat-dispatch agent")
        return
    from scheduler.entrypoints.cli import app as house

    house()
