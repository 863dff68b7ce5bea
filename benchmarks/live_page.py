"""The live page, measured: `python -m benchmarks.live_page [--seconds 30] [--viewers 200] [--json FILE] [--markdown FILE]`.

`heat-dispatch serve` runs in a process of its own on the database of a made-up site. *size*: bytes of page, style and script.
*unchanged* and *whole*: viewers, each on a connection of its own, ask once a second for what changes, with the ETag as the
page's script does, or for the whole page as browsers without scripts do; the processor is that of the server's process alone.
*paint*: how soon a real Chromium shows something; left out where there is none.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.rows import Row, quantile
from benchmarks.telling import may_be_written, tell
from scheduler.entrypoints.commands.demo import LEDGER_FILE
from scheduler.entrypoints.web.demo import FAST_S, DemoSite

# The browser lies with the tests, which share it.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

RUN = "import sys; from scheduler.entrypoints.cli import main; sys.exit(main())"
MS_PER_S = 1e3
TARGET_BYTES, TARGET_CORES, TARGET_PAINT_MS = 100_000, 1.0, 1000.0
PAINTS = 5
PARTS = ("/", "/live.css", "/live.js", "/live.svg")


@dataclass(slots=True)
class Watched:
    """What viewers saw: how long each answer took, s, by its status."""

    took_s: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--viewers", type=int, default=200)
    may_be_written(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (url, pid):
        rows = [size(url), *watch(url, pid, given), *paints(url)]
    about = f"{given.viewers} viewers at 1 Hz for {given.seconds} s"
    tell(rows, "the live page", about, given, viewers=given.viewers, seconds=given.seconds)
    return 0


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """The page of a made-up site in a process of its own: its address, and who serves it."""
    site = DemoSite(str(folder / LEDGER_FILE), 0.0)
    site.begin(FAST_S)
    site.stop()
    arguments = [sys.executable, "-c", RUN, "serve", "--run", str(folder), "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://(\S+)/", process.stdout.readline())
            assert found is not None
            yield found.group().rstrip("/"), process.pid
        finally:
            process.terminate()


def size(url: str) -> Row:
    """Bytes of all that a browser fetches, as they are and as they are sent."""
    with httpx.Client(base_url=url, headers={"Accept-Encoding": "identity"}) as client:
        found = {path: len(client.get(path).content) for path in PARTS}
        packed = int(client.get("/", headers={"Accept-Encoding": "gzip"}).headers["content-length"])
    behind = {**found, "page compressed": packed}
    return Row(key="size", what="page, style, script", value=sum(found.values()), unit="B", at_most=TARGET_BYTES, behind=behind)


def watch(url: str, pid: int, given: argparse.Namespace) -> Iterator[Row]:
    """Processor time of the server under viewers."""
    for key, path, tagged in (("unchanged", "/fragment", True), ("whole", "/", False)):
        before_s, began_s = cpu_s(pid), time.monotonic()
        seen = asyncio.run(viewers(url, path, tagged, given.viewers, given.seconds))
        cores = (cpu_s(pid) - before_s) / (time.monotonic() - began_s)
        behind = {
            "answers": len(seen.took_s),
            "p50 ms": quantile(seen.took_s, 0.5) * MS_PER_S,
            "p99 ms": quantile(seen.took_s, 0.99) * MS_PER_S,
            "statuses": seen.statuses,
        }
        yield Row(key=key, what=f"{path}, {key}", value=cores, unit="cores", at_most=TARGET_CORES, behind=behind)


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def viewers(url: str, path: str, tagged: bool, count: int, seconds: int) -> Watched:
    """All viewers at once, their first questions spread over a second."""
    seen, host = Watched(), url.removeprefix("http://")
    await asyncio.gather(*(viewer(host, path, tagged, index / count, seconds, seen) for index in range(count)))
    return seen


async def viewer(host: str, path: str, tagged: bool, after_s: float, seconds: int, seen: Watched) -> None:
    """One viewer on a connection that is kept."""
    await asyncio.sleep(after_s)
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    etag, next_s = "", time.monotonic()
    for _ in range(seconds):
        known = f"If-None-Match: {etag}\r\n" if tagged and etag else ""
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n{known}\r\n".encode())
        began_s = time.monotonic()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length.group(1)) if length else 0)
        seen.took_s.append(time.monotonic() - began_s)
        status = head.split(" ", 2)[1]
        seen.statuses[status] = seen.statuses.get(status, 0) + 1
        found = re.search(r"etag: (\S+)", head, re.IGNORECASE)
        etag = found.group(1) if found else ""
        next_s += 1.0
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
    writer.close()


def paints(url: str) -> Iterator[Row]:
    """First contentful paint, the median of a few; nothing without a browser."""
    try:
        from browser import browser, missing
    except ImportError:
        return
    if missing():
        return
    script = "return performance.getEntriesByName('first-contentful-paint').map(one => one.startTime)[0] || null"
    with browser() as window:
        window.see(1280, 1000)
        found: list[float] = []
        for _ in range(PAINTS):
            window.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
            window.open(url)
            window.until(lambda: window.run(script) is not None)
            found.append(float(window.run(script)))
    behind = {"least": min(found), "most": max(found)}
    yield Row(
        key="paint",
        what="first paint, cold cache",
        value=quantile(found, 0.5),
        unit="ms",
        at_most=TARGET_PAINT_MS,
        behind=behind,
    )


if __name__ == "__main__":
    sys.exit(main())
