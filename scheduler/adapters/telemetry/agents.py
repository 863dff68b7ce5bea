"""Asks the agents of all nodes for power, many at once and none for long; what it hears goes stale by itself."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.kubernetes.runtime.logs import Teller
from scheduler.adapters.telemetry.wire import Heard, Unbelievable, node_draw
from scheduler.domain.telemetry import NodeDraw

PATH = "/v1/telemetry"
# Names that a log line holds.
MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the agent of a node listens, for example `http://10.0.0.7:9464`."""

    node: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How agents are asked.

    every_s: time between two turns. stale_s: what is older says nothing any more; three turns. at_once: requests under way at
    the same time. timeout_s: for one answer. max_bytes: no answer of an agent is longer.
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


@dataclass(slots=True, eq=False)
class _Known:
    """One agent: what it said last, when that came, and why the last turn brought nothing."""

    draw: NodeDraw | None = None
    heard: Heard | None = None
    heard_s: float = 0.0
    trouble: str = ""


@dataclass(slots=True, eq=False)
class _Turn:
    """Parts of one turn."""

    client: httpx.AsyncClient
    gate: asyncio.Semaphore
    headers: dict[str, str] = field(default_factory=dict)


class Agents:
    """All agents; one thread runs `run`, any other reads."""

    def __init__(
        self,
        targets: Callable[[], Sequence[Target]],
        clock: MonotonicClock,
        manners: Manners | None = None,
        trust: Trust | None = None,
    ) -> None:
        """Ask whoever `targets` names at that moment."""
        self._targets, self._clock = targets, clock
        self._manners, self._trust = manners or Manners(), trust or Trust()
        self._known: dict[str, _Known] = {}
        self._tell = Teller("telemetry.agents")
        self._told = ""

    # Reading.

    def draws(self) -> dict[str, NodeDraw]:
        """By node what its agent said, where that is not stale."""
        now_s, stale_s = self._clock.monotonic_s(), self._manners.stale_s
        known = dict(self._known)
        return {node: one.draw for node, one in known.items() if one.draw is not None and now_s - one.heard_s <= stale_s}

    def silent(self) -> Mapping[str, str]:
        """By node why its agent says nothing that could be used."""
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
        """One client for all turns: its connections stay open."""
        manners = self._manners
        verify: str | bool = True if self._trust.ca_file is None else str(self._trust.ca_file)
        limits = httpx.Limits(max_connections=manners.at_once, max_keepalive_connections=manners.at_once)
        return httpx.AsyncClient(timeout=manners.timeout_s, limits=limits, verify=verify, trust_env=False)

    async def turn(self, client: httpx.AsyncClient) -> None:
        """Ask every agent once."""
        targets = {target.node: target for target in self._targets()}
        self._known = {node: self._known.get(node, _Known()) for node in targets}
        try:
            headers = self._headers()
        except OSError as error:
            for known in self._known.values():
                known.trouble = f"the token could not be read: {error.strerror}"
            headers = None
        if headers is not None:
            turn = _Turn(client=client, gate=asyncio.Semaphore(self._manners.at_once), headers=headers)
            await asyncio.gather(*(self._ask(turn, target) for target in targets.values()))
        self._say()

    def _headers(self) -> dict[str, str]:
        """What is sent along; a token file may be written anew at any time."""
        path = self._trust.token_file
        return {} if path is None else {"Authorization": f"Bearer {path.read_text('utf-8').strip()}"}

    async def _ask(self, turn: _Turn, target: Target) -> None:
        """Ask one agent; whatever it does, the others are asked."""
        known = self._known[target.node]
        async with turn.gate:
            try:
                # A whole answer within the limit, not only its next byte.
                body = await asyncio.wait_for(self._answer(turn, target, known.heard), self._manners.timeout_s)
                known.draw, known.heard = node_draw(json.loads(body), target.node, known.heard)
            except TimeoutError:
                known.trouble = f"no answer within {self._manners.timeout_s:g} s"
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                known.trouble = _in_short(error)
            except ValueError:
                known.trouble = "the answer is no JSON"
            except Unbelievable as error:
                known.trouble = f"not believed: {error}"
            else:
                known.heard_s, known.trouble = self._clock.monotonic_s(), ""

    async def _answer(self, turn: _Turn, target: Target, heard: Heard | None) -> bytes:
        """The body of one answer.

        Raises:
            httpx.HTTPError: when there is none that could be read.
            Unbelievable: when it is longer than any agent's.
        """
        query = {} if heard is None else {"since": str(heard.sequence), "boot": heard.boot}
        body = bytearray()
        async with turn.client.stream("GET", target.url.rstrip("/") + PATH, params=query, headers=turn.headers) as response:
            response.raise_for_status()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > self._manners.max_bytes:
                    raise Unbelievable(f"longer than {self._manners.max_bytes} bytes")
        return bytes(body)

    def _say(self) -> None:
        """Tell who is silent, and why, when that changes."""
        silent = self.silent()
        reasons = "; ".join(f"{why}: {number}" for why, number in Counter(silent.values()).most_common(3))
        if reasons == self._told:
            return
        if silent:
            self._tell.warning("agents are silent", nodes=list(silent)[:MOST_NAMED], count=len(silent), why=reasons)
        else:
            self._tell.info("all agents answer", count=len(self._known))
        self._told = reasons


def _in_short(error: Exception) -> str:
    """One line for what went wrong."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return str(error).partition("\n")[0][:200] or type(error).__name__
