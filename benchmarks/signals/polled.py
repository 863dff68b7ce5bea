"""A process that polls ten feeds many times: prints what it held with its modules, after the first polls and at the end."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.feed import Feed
from scheduler.adapters.sources.polling import Polling
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.adapters.sources.web.client import WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.adapters.sources.web.manners import Limits
from scheduler.core.signals.conversion import ExchangeRates

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

RATES = ExchangeRates(per_eur={"GBP": 0.85, "DKK": 7.46})
# Longer than any provider's round, so that each turn polls all of them.
ROUND = timedelta(hours=13)


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def fetch(client: WebClient, credentials: Mapping[str, str], ask: Ask) -> Answer:
    """An answer with a provider's credentials."""
    return await client.fetch(ask, credentials)


def feeds_of(client: WebClient, urls: Mapping[str, str]) -> list[Feed]:
    """A feed for each address."""
    found = []
    for key, url in urls.items():
        name, quantity = key.split(" ")
        page = import_module(f"signal_pages.{name}")
        provider = PROVIDERS[name].make(quantity, {**page.OPTIONS[quantity], "url": url})
        found.append(Feed(key, provider, fetch=partial(fetch, client, page.CREDENTIALS), rates=RATES))
    return found


async def measured(urls: Mapping[str, str], polls: int, now_utc: datetime) -> dict[str, int]:
    """Bytes held before, after the first polls and after all of them."""
    rules = HostRules(["127.0.0.1"], allow_loopback=True)
    async with WebClient(rules, limits=Limits(per_host_s=0.0)) as client:
        feeds = feeds_of(client, urls)
        polling = Polling(feeds)
        before, first = resident(), 0
        for count in range(polls):
            await polling.turn(now_utc - ROUND * (polls - 1 - count))
            first = first or resident()
        gc.collect()
        for feed in feeds:
            if feed.trouble():
                print(f"{feed.name}: {feed.trouble()}", file=sys.stderr)
        readings = [one for feed in feeds for one in feed.readings(now_utc)]
        slots = sum(one.series.grid.slots for one in readings)
        return {"modules": before, "first": first, "after": resident(), "feeds": len(readings), "slots": slots}


def main() -> None:
    urls, polls = json.loads(sys.argv[1]), int(sys.argv[2])
    print(json.dumps(asyncio.run(measured(urls, polls, SystemClock().now_utc()))))


if __name__ == "__main__":
    main()
