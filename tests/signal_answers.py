"""What a provider's asks are answered with by made-up pages, without a connection: for tests of reading alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from types import ModuleType
from urllib.parse import urlsplit

from signal_peer import Routes

from scheduler.adapters.sources.blueprint import Answer, Ask, Provider
from scheduler.adapters.sources.providers.catalogue import PROVIDERS

HOST = "https://feed.example"


def pages_of(name: str) -> ModuleType:
    """The pages of a provider."""
    return import_module(f"signal_pages.{name}")


def made(name: str, quantity: str, **options: str) -> Provider:
    """A provider with the options of its pages, and some others."""
    known: Mapping[str, str] = pages_of(name).OPTIONS[quantity]
    return PROVIDERS[name].make(quantity, {**known, "url": HOST, **options})


def answer(ask: Ask, body: bytes, now_utc: datetime, *, status: int = 200, media_type: str = "") -> Answer:
    """A body as the client hands it on."""
    return Answer(ask=ask, body=body, media_type=media_type or ask.accept[0], fetched_utc=now_utc, status=status)


def answers_of(
    provider: Provider, routes: Routes, now_utc: datetime, credentials: Mapping[str, str] | None = None
) -> list[Answer]:
    """All answers of one poll, what follows included; credentials: those that go into parameters."""
    found: list[Answer] = []
    asks = provider.asks(now_utc)
    while asks:
        for ask in asks:
            secrets = {name: (credentials or {})[credential] for name, credential in ask.secret_params.items()}
            status, headers, body = routes[urlsplit(ask.url).path or "/"]({**ask.params, **secrets})
            assert status in ask.statuses
            found.append(answer(ask, body, now_utc, status=status, media_type=headers["Content-Type"].partition(";")[0]))
        asks = provider.follow(found, now_utc)
    return found
