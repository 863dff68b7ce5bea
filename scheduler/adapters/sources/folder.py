"""Files that somebody else writes, as answers: a table beside the operator is asked for like one in the web.

A file is as good as an answer of now while it is there: its owner still stands by it. When it was made its last change says.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.web.trouble import Unanswered

SCHEME = "file:"
# A name in the folder itself: no way out of it, and nothing hidden.
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}"
MOST_BYTES = 8 * 1024 * 1024


class Folder:
    """The one folder whose files policies may name; whoever runs the operator has chosen it."""

    def __init__(self, root: Path, clock: Callable[[], datetime]) -> None:
        """Read nothing yet."""
        self._root, self._clock = root, clock

    async def fetch(self, ask: Ask) -> Answer:
        """The content of a file.

        Raises:
            Unanswered: it is not there, is no plain file of the folder, is too long, or is being written.
        """
        return await asyncio.to_thread(self._read, ask)

    def _read(self, ask: Ask) -> Answer:
        """Read it whole, on a thread."""
        name = ask.url.removeprefix(SCHEME)
        if not re.fullmatch(NAME, name):
            raise Unanswered(f"file {name!r}: no plain name", final=True)
        try:
            # Kubernetes mounts files as links within the folder; what leads out of it is not ours.
            path = (self._root / name).resolve(strict=True)
            if not path.is_relative_to(self._root.resolve()) or not path.is_file():
                raise Unanswered(f"file {name}: no plain file of its folder", final=True)
            with path.open("rb") as file:
                before = os.fstat(file.fileno())
                body = file.read(MOST_BYTES + 1)
                after = os.fstat(file.fileno())
        except (OSError, RuntimeError) as error:  # links in a circle
            raise Unanswered(f"file {name}: {getattr(error, 'strerror', None) or type(error).__name__}") from None
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            # Half of what was and half of what will be: nobody has said that.
            raise Unanswered(f"file {name}: it is being written")
        most = min(MOST_BYTES, ask.max_bytes or MOST_BYTES)
        if len(body) > most:
            raise Unanswered(f"file {name}: longer than {most} bytes", final=True)
        return Answer(
            ask=ask,
            body=body,
            media_type=ask.accept[0],
            fetched_utc=self._clock(),
            issued_utc=datetime.fromtimestamp(int(before.st_mtime), tz=UTC),
            status=ask.statuses[0],
        )
