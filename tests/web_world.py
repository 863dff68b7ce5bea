"""What tests of the web client share: a clock that only waits move, and a client whose web is a function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx

from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.web.client import Unanswered, WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.adapters.sources.web.manners import Limits, Times

NOW_UTC = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
URL = "https://api.example.org/prices"
JSON = {"Content-Type": "application/json"}
Said = TypeVar("Said")
Handle = Callable[[httpx.Request], httpx.Response]


@dataclass(slots=True, eq=False)
class Ticking:
    """A clock that waiting moves, and nothing else."""

    passed_s: float = 0.0
    waits: list[float] = field(default_factory=list)

    def now_utc(self) -> datetime:
        return NOW_UTC + timedelta(seconds=self.passed_s)

    def monotonic_s(self) -> float:
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.passed_s += seconds

    def times(self) -> Times:
        return Times(clock=self, sleep=self.sleep, jitter=lambda: 1.0)


class Told(httpx.AsyncBaseTransport):
    """A web that is a function; its bodies are still to be read, as those of a connection are."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        made = self.handle(request)
        return httpx.Response(made.status_code, headers=made.headers, stream=made.stream)


def client(handle: Handle, rules: HostRules | None = None, clock: Ticking | None = None, **limits: Any) -> WebClient:
    """A client whose web is a function."""
    return WebClient(
        rules or HostRules(["api.example.org", "*.example.net"]),
        limits=Limits(**limits),
        transport=Told(handle),
        times=(clock or Ticking()).times(),
    )


def outcome(web: WebClient, ask: Ask, credentials: Mapping[str, str] | None = None) -> Answer | Unanswered:
    """What comes of an ask."""

    async def fetched() -> Answer | Unanswered:
        async with web:
            try:
                return await web.fetch(ask, credentials or {})
            except Unanswered as error:
                return error

    return asyncio.run(fetched())


def why(web: WebClient, ask: Ask, credentials: Mapping[str, str] | None = None) -> Unanswered:
    """Why nothing comes of an ask."""
    found = outcome(web, ask, credentials)
    assert isinstance(found, Unanswered), found
    return found


def answer(web: WebClient, ask: Ask, credentials: Mapping[str, str] | None = None) -> Answer:
    """What is answered to an ask."""
    found = outcome(web, ask, credentials)
    assert isinstance(found, Answer), found
    return found


def run(deed: Coroutine[Any, Any, Said]) -> Said:
    """Run to the end."""
    return asyncio.run(deed)


def told(body: bytes = b'{"price": 1}', status: int = 200, **headers: str) -> httpx.Response:
    """An answer, in JSON unless a header says otherwise."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers={**JSON, **named}, content=body)
