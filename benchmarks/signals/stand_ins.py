"""Ten providers' servers on loopback: prints their addresses by feed as one line of JSON, and ends with its standard input."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from scheduler.adapters.clock import SystemClock

# The stand-ins lie with the tests, which share them.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

FEEDS = (
    ("entsoe", "price"),
    ("energy_charts", "price"),
    ("energi_data_service", "price"),
    ("awattar", "price"),
    ("smard", "price"),
    ("octopus", "price"),
    ("energy_charts", "carbon"),
    ("electricity_maps", "carbon"),
    ("open_meteo", "outdoor"),
    ("met_norway", "outdoor"),
)


def main() -> None:
    from signal_peer import signal_peer

    urls = {}
    with ExitStack() as stack:
        for name, quantity in FEEDS:
            page = import_module(f"signal_pages.{name}")
            peer = stack.enter_context(signal_peer(page.routes(SystemClock().now_utc())))
            urls[f"{name} {quantity}"] = peer.url
        print(json.dumps(urls), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
