"""Pictures of the live page for its documentation, taken by a real Chromium of a made-up site that is served on loopback.

python scripts/live_page_pictures.py                       # docs/pictures/live-page-*.png
python scripts/live_page_pictures.py --output DIR --all     # every width, light and dark, to look at
python scripts/live_page_pictures.py --database FILE ...    # of a database that is there
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import Browser, browser  # noqa: E402 - the script runs from a checkout

from scheduler.adapters.clock import SystemClock  # noqa: E402 - as above
from scheduler.entrypoints.web.demo import FAST_S, DemoSite  # noqa: E402 - as above
from scheduler.entrypoints.web.opened import OpenBooks  # noqa: E402 - as above
from scheduler.entrypoints.web.options import LiveOptions  # noqa: E402 - as above
from scheduler.entrypoints.web.server import LiveServer  # noqa: E402 - as above

# name: width, height, scheme; what is committed stays under MOST_BYTES.
DOCUMENTED = {"desk": (1080, 900, "light"), "phone": (400, 900, "dark")}
MOST_BYTES = 150_000
ALL = {f"{width}-{scheme}": (width, 2600, scheme) for width in (400, 1280, 2560) for scheme in ("light", "dark")}


def main() -> int:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--database", metavar="FILE")
    parser.add_argument("--all", action="store_true")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with served(given.database) as url, browser() as window:
        for name, look in (ALL if given.all else DOCUMENTED).items():
            print(take(window, url, look, given.output / f"live-page-{name}.png"))
    large = [] if given.all else [one for one in given.output.glob("live-page-*.png") if one.stat().st_size > MOST_BYTES]
    return 1 if large else 0


@contextmanager
def served(database: str | None) -> Iterator[str]:
    """Address of the page."""
    with ExitStack() as stack:
        if database is None:
            database = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "demo.db")
            site = DemoSite(database, 0.0)
            stack.callback(site.stop)
            site.begin(FAST_S)
        books = OpenBooks(database, SystemClock())
        stack.callback(books.close)
        books.desk.refresh()
        server = LiveServer(books.desk, LiveOptions(port=0))
        stack.callback(server.stop)
        server.start()
        yield f"http://127.0.0.1:{server.port}/"


def take(window: Browser, url: str, look: tuple[int, int, str], path: Path) -> str:
    """One picture."""
    width, height, scheme = look
    window.see(width, height, scheme)
    window.open(url)
    path.write_bytes(window.picture())
    return f"{path.name}: {path.stat().st_size // 1024} KiB"


if __name__ == "__main__":
    sys.exit(main())
