"""Asks many at once for measured power, and none for long: whom, in what rhythm, and how much of an answer is read."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import httpx

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.logs import Teller
from scheduler.adapters.telemetry.wire import Unbelievable
from scheduler.domain.telemetry import NodeDraw

# Names that a log line holds.
MOST_NAMED = 5

State = TypeVar("State")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where something about a node is told, for example `http://10.0.0.7:9464`."""

    node: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How others are asked.

    every_s: time between two turns. stale_s: what is older says nothing any more; three turns. at_once: requests under way at
    the same time. timeout_s: for one whole answer. max_bytes: no answer is longer.
    """

    every_s: float = 60.0
    stale_s: float = 180.0
    at_once: int = 32
    timeout_s: float = 3.0
    max_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Who we are and whom we believe: a file with the bearer token, read anew every turn, and one with CA certificates."""

    token_file: Path | None = None
    ca_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """What is sent along; a token file may be written anew at any time.

        Raises:
            OSError: when it cannot be read.
        """
        path = self.token_file
        return {} if path is None else {"Authorization": f"Bearer {path.read_text('utf-8').strip()}"}


class Wire(Protocol[State]):
    """What is said on one kind of connection. A state is what an earlier answer left behind."""

    @property
    def path(self) -> str:
        """What is asked for, below the address of a target."""
        ...

    def query(self, before: State | None) -> dict[str, str]:
        """Parameters of the question."""
        ...

    def read(self, body: bytes, node: str, before: State | None) -> tuple[NodeDraw, State]:
        """What an answer says; raises Unbelievable."""
        ...


@dataclass(slots=True, eq=False)
class _Known(Generic[State]):
    """One target: what it said last, when that came, and why the last turn brought nothing."""

    draw: NodeDraw | None = None
    state: State | None = None
    heard_s: float = 0.0
    trouble: str = ""


@dataclass(slots=True, eq=False)
class _Turn:
    """Parts of one turn."""

    client: httpx.AsyncClient
    gate: asyncio.Semaphore
    headers: dict[str, str] = field(default_factory=dict)


def client_of(manners: Manners, trust: Trust) -> httpx.AsyncClient:
    """One client for all turns: its connections stay open."""
    verify: str | bool = True if trust.ca_file is None else str(trust.ca_file)
    limits = httpx.Limits(max_connections=manners.at_once, max_keepalive_connections=manners.at_once)
    return httpx.AsyncClient(timeout=manners.timeout_s, limits=limits, verify=verify, trust_env=False)


async def answered(
    client: httpx.AsyncClient, url: str, query: Mapping[str, str], headers: Mapping[str, str], manners: Manners
) -> bytes:
    """A whole answer, within the limits of time and size.

    Raises:
        Unbelievable: when there is none, with the reason in a line.
    """

    async def body() -> bytes:
        found = bytearray()
        async with client.stream("GET", url, params=query, headers=headers) as response:
            async for piece in response.aiter_bytes():
                found += piece
                if len(found) > manners.max_bytes:
                    raise Unbelievable(f"not believed: longer than {manners.max_bytes} bytes")
        if not response.is_success:
            raise Unbelievable(f"HTTP {response.status_code}{_said(bytes(found))}")
        return bytes(found)

    try:
        # All of it within the limit, not only its next byte.
        return await asyncio.wait_for(body(), manners.timeout_s)
    except TimeoutError as error:
        raise Unbelievable(f"no answer within {manners.timeout_s:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unbelievable(str(error).partition("\n")[0][:200] or type(error).__name__) from error


def _said(body: bytes) -> str:
    """What an answer with an error says in its `error`, as Prometheus does; empty for any other."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = said.get("error") if isinstance(said, dict) else None
    return f": {error.partition(chr(10))[0][:200]}" if isinstance(error, str) and error else ""


class Rounds(Generic[State]):
    """Asks all targets turn after turn; one thread runs `run`, any other reads. What was said goes stale by itself."""

    def __init__(
        self,
        targets: Callable[[], Sequence[Target]],
        wire: Wire[State],
        clock: MonotonicClock,
        manners: Manners | None = None,
        trust: Trust | None = None,
        *,
        who: str = "agents",
    ) -> None:
        """Ask whoever `targets` names at that moment; the log calls them `who`."""
        self._targets, self._wire, self._clock, self._who = targets, wire, clock, who
        self._manners, self._trust = manners or Manners(), trust or Trust()
        self._known: dict[str, _Known[State]] = {}
        self._tell = Teller(f"telemetry.{who}")
        self._told = ""

    # Reading.

    def draws(self) -> dict[str, NodeDraw]:
        """By node what was said of it, where that is not stale."""
        now_s, stale_s = self._clock.monotonic_s(), self._manners.stale_s
        known = dict(self._known)
        return {node: one.draw for node, one in known.items() if one.draw is not None and now_s - one.heard_s <= stale_s}

    def silent(self) -> Mapping[str, str]:
        """By node why nothing is said that could be used."""
        fresh = self.draws()
        return {node: one.trouble or "not asked yet" for node, one in sorted(self._known.items()) if node not in fresh}

    # Asking.

    def run(self, stopping: threading.Event) -> None:
        """Ask turn after turn until stopped: the target of a thread."""
        asyncio.run(self._run(stopping))

    async def _run(self, stopping: threading.Event) -> None:
        async with self.client() as client:
            while not stopping.is_set():
                began_s = self._clock.monotonic_s()
                await self.turn(client)
                left_s = self._manners.every_s - (self._clock.monotonic_s() - began_s)
                await asyncio.to_thread(stopping.wait, max(0.1, left_s))

    def client(self) -> httpx.AsyncClient:
        """One client for all turns."""
        return client_of(self._manners, self._trust)

    async def turn(self, client: httpx.AsyncClient) -> None:
        """Ask every target once."""
        targets = {target.node: target for target in self._targets()}
        self._known = {node: self._known.get(node, _Known()) for node in targets}
        try:
            turn = _Turn(client=client, gate=asyncio.Semaphore(self._manners.at_once), headers=self._trust.headers())
        except OSError as error:
            for known in self._known.values():
                known.trouble = f"the token could not be read: {error.strerror}"
        else:
            await asyncio.gather(*(self._ask(turn, target) for target in targets.values()))
        self._say()

    async def _ask(self, turn: _Turn, target: Target) -> None:
        """Ask one; whatever it does, the others are asked."""
        known, wire = self._known[target.node], self._wire
        async with turn.gate:
            try:
                url = target.url.rstrip("/") + wire.path
                body = await answered(turn.client, url, wire.query(known.state), turn.headers, self._manners)
            except Unbelievable as error:
                known.trouble = str(error)
                return
        try:
            known.draw, known.state = wire.read(body, target.node, known.state)
        except Unbelievable as error:
            known.trouble = f"not believed: {error}"
        else:
            known.heard_s, known.trouble = self._clock.monotonic_s(), ""

    def _say(self) -> None:
        """Tell who is silent, and why, when that changes."""
        silent = self.silent()
        reasons = "; ".join(f"{why}: {number}" for why, number in Counter(silent.values()).most_common(3))
        if reasons == self._told:
            return
        if silent:
            self._tell.warning(f"{self._who} are silent", nodes=list(silent)[:MOST_NAMED], count=len(silent), why=reasons)
        else:
            self._tell.info(f"all {self._who} answer", count=len(self._known))
        self._told = reasons
