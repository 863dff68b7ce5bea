"""The agents of all nodes, asked for power."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.telemetry.asking import Manners, Rounds, Target, Trust
from scheduler.adapters.telemetry.wire import Heard, Unbelievable, node_draw
from scheduler.domain.telemetry import PATH, NodeDraw


class AgentWire:
    """What is said between operator and agent; it remembers how far an agent was heard."""

    path = PATH

    def query(self, before: Heard | None) -> dict[str, str]:
        """What came since."""
        return {} if before is None else {"since": str(before.sequence), "boot": before.boot}

    def read(self, body: bytes, node: str, before: Heard | None) -> tuple[NodeDraw, Heard]:
        """What an answer says.

        Raises:
            Unbelievable: when anything in it is not as it should be.
        """
        try:
            said = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Unbelievable("it is no JSON") from error
        return node_draw(said, node, before)


class Agents(Rounds[Heard]):
    """All agents; one thread runs `run`, any other reads."""

    def __init__(
        self,
        targets: Callable[[], Sequence[Target]],
        clock: MonotonicClock,
        manners: Manners | None = None,
        trust: Trust | None = None,
    ) -> None:
        """Ask whoever `targets` names at that moment."""
        super().__init__(targets, AgentWire(), clock, manners, trust)
