"""A source that asks a real Prometheus: what it holds is told to the last digit, what it refuses is said in its own words."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

from scheduler.adapters.sources.feed import Feed
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.adapters.sources.web.client import WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.domain.observed import HEAT_DEMAND

NOW = datetime(2026, 1, 14, 10, 7, tzinfo=UTC)
FIRST = datetime(2026, 1, 14, 6, tzinfo=UTC)
QUARTERS, MISSING = 16, 5
REQUIRED = "HEAT_DISPATCH_REQUIRE_CONTROLPLANE"
MEAN = 'avg_over_time(plant_heat_watts{plant="north"}[15m])'


def kilowatts(quarter: int) -> float:
    return 4000.0 + 125.0 * quarter


def history() -> str:
    """Two plants, a value every minute at half past; north says nothing in one quarter hour."""
    lines = ["# TYPE plant_heat_watts gauge"]
    for plant in ("north", "south"):
        for minute in range(15 * QUARTERS):
            if plant == "north" and minute // 15 == MISSING:
                continue
            at_s = FIRST.timestamp() + 60 * minute + 30
            lines.append(f'plant_heat_watts{{plant="{plant}"}} {kilowatts(minute // 15) * 1000.0} {at_s:.0f}')
    return "\n".join([*lines, "# EOF", ""])


def tool(name: str) -> str:
    """A program of Prometheus."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        words = f"no {name} on this machine (`make promtool`)"
        if os.environ.get(REQUIRED) and shutil.which("apt-get"):
            pytest.fail(f"{words} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(words)
    return found


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that holds the history and scrapes nothing."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "history.txt").write_text(history())
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    blocks = [tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", "history.txt", "data"]
    subprocess.run(blocks, cwd=folder, check=True, capture_output=True, timeout=120)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([tool("prometheus"), *options], cwd=folder, stdout=log, stderr=log)
    try:
        awaited(f"http://{address}/-/ready", folder / "log")
        yield f"http://{address}"
    finally:
        running.kill()
        running.wait(60)


def awaited(url: str, log: Path) -> None:
    """Wait until it is ready."""
    until_s = time.monotonic() + 120.0
    while True:
        try:
            with urlopen(url, timeout=5) as page:
                assert page.status == 200
                return
        except (URLError, OSError):
            if time.monotonic() > until_s:
                pytest.fail(f"Prometheus is not ready: {log.read_text()[-2000:]}")
            time.sleep(0.1)


def polled(url: str, expression: str = MEAN, **options: str) -> Feed:
    """A feed after one poll."""
    known = {"url": url, "expression": expression, "unit": "W", "grade": "measured", "hoursBack": "6", **options}
    provider = PROVIDERS["prometheus_query"].make(HEAT_DEMAND, known)

    async def ask() -> Feed:
        async with WebClient(HostRules(["127.0.0.1"], allow_loopback=True)) as client:
            feed = Feed("plant", provider, fetch=lambda ask: client.fetch(ask, {}))
            await feed.poll(NOW)
            return feed

    return asyncio.run(ask())


def test_means_of_quarter_hours_are_told_where_they_belong(prometheus: str) -> None:
    feed = polled(prometheus)
    (reading,) = feed.readings(NOW)
    series = reading.series
    assert (series.unit, series.grid.slot_s, series.grid.start_utc) == ("kW", 900, FIRST)
    expected = [kilowatts(quarter) for quarter in range(QUARTERS)]
    expected[MISSING] = np.nan
    np.testing.assert_allclose(series.values, expected, rtol=1e-12)
    assert series.grid.end_utc == FIRST + timedelta(hours=4)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("plant_heat_watts", "2 series, expected one: {__name__='plant_heat_watts', plant='north'}, {__name__="),
        ("sum(", "Prometheus refuses: 1:5: parse error: unclosed left parenthesis"),
        ("plant_heat_watts + on() plant_heat_watts", "Prometheus refuses: found duplicate series for the match group {}"),
        ("plant_cold_watts", "no series for 'plant_cold_watts'"),
        ("sum(plant_heat_watts) / 0", "none of 16 values is known"),
    ],
)
def test_what_is_no_answer_is_said_in_its_own_words(prometheus: str, expression: str, words: str) -> None:
    feed = polled(prometheus, expression)
    assert feed.readings(NOW) == ()
    assert words in feed.trouble()
