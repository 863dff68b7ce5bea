"""Connections to PostgreSQL that give up: a database that hangs becomes one that is away, and whoever asks goes on.

The server's own time-outs end what it still works on; they cannot end a wait for a server that is stopped, or behind a network
that swallows packets. So the client counts as well: where nothing comes for `answer_s`, the connection is thrown away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event

T = TypeVar("T")
MS_PER_S = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in s; 0: the server waits without end.

    connect_s: for a connection. lock_s: for others' locks. statement_s: for one statement. idle_s: the server ends a
    transaction in which we say nothing for so long, and with it our locks. answer_s: for any sign of the server, on our clock.
    """

    connect_s: int = 5
    lock_s: int = 10
    statement_s: int = 20
    idle_s: int = 300
    answer_s: float = 25.0

    def options(self) -> str:
        """As the server's settings."""
        wanted = {
            "lock_timeout": self.lock_s,
            "statement_timeout": self.statement_s,
            "idle_in_transaction_session_timeout": self.idle_s,
        }
        return " ".join(f"-c {name}={MS_PER_S * value}" for name, value in wanted.items())


# Whoever brings the schema up to date waits for who does so already, and for tables that are rewritten.
WORKING, MIGRATING = Patience(), Patience(lock_s=60, statement_s=0, answer_s=600.0)


def be_patient(engine: Engine, patience: Patience) -> None:
    """Connections of this engine wait so long; what its URL says of the same wins."""

    def connect(_dialect: object, _record: object, arguments: list[Any], said: dict[str, Any]) -> psycopg.Connection[Any]:
        options = " ".join([patience.options(), *([str(said["options"])] if said.get("options") else [])])
        wanted = {"connect_timeout": patience.connect_s, "keepalives_idle": 15, **said, "options": options}
        made = GivingUp.connect(*arguments, **wanted)
        made.answer_s = patience.answer_s
        return made

    event.listen(engine, "do_connect", connect)


class GivingUp(psycopg.Connection[Any]):
    """A connection that ends itself where the server is silent for `answer_s`."""

    answer_s = WORKING.answer_s

    def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
        """As the class above, which looks every tenth of a second whether anything has come."""
        return super().wait(_while_heard(gen, self.answer_s, self._give_up), *arguments, **named)

    def _give_up(self) -> None:
        self.pgconn.finish()


def _while_heard(work: Generator[T, int, Any], answer_s: float, give_up: Callable[[], None]) -> Generator[T, int, Any]:
    """The same steps; each is told whether anything has come, 0: nothing has.

    Raises:
        psycopg.OperationalError: nothing came for `answer_s`.
    """
    heard_s = time.monotonic()
    try:
        wanted = next(work)
        while True:
            ready = yield wanted
            now_s = time.monotonic()
            if ready:
                heard_s = now_s
            elif now_s - heard_s > answer_s:
                give_up()
                raise psycopg.OperationalError(f"the server was silent for {answer_s:g} s")
            wanted = work.send(ready)
    except StopIteration as end:
        return end.value
