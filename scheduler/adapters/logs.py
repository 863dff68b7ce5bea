"""Logs that tell a cycle as a story: one event per line with key=value facts, as text or JSON, tied by the cycle's id.

House rule: a source's failure is logged once, and its recovery once (`Episode`).
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Any

CYCLE: ContextVar[str] = ContextVar("cycle", default="")
"""Id of the cycle that the present thread or task works on."""

ROOT = "heat_dispatch"
_FACTS = "heat_dispatch_facts"
_SECRET_KEY = re.compile(r"token|password|secret|authorization|credential|private|api_?key", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"(?i)\b(bearer|basic)\s+[\w\-.~+/=]{6,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|://[^/\s:@]+:[^/\s@]+@")
_BARE = re.compile(r"[\w.:/+\-@]+\Z")
HIDDEN = "[hidden]"


class Teller:
    """A logger whose lines are an event in plain words and named facts: `tell.info("plan made", plan="7f3a", held=3)`."""

    def __init__(self, name: str) -> None:
        """Log below the root of ours, e.g. `runtime.reflector`."""
        self._logger = logging.getLogger(f"{ROOT}.{name}")

    def debug(self, event: str, **facts: object) -> None:
        """For whoever looks for a fault."""
        self._tell(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: object) -> None:
        """What happened."""
        self._tell(logging.INFO, event, facts)

    def warning(self, event: str, **facts: object) -> None:
        """What somebody may have to look at."""
        self._tell(logging.WARNING, event, facts)

    def error(self, event: str, *, fault: BaseException | None = None, **facts: object) -> None:
        """What somebody has to look at; `fault` adds the traceback."""
        self._tell(logging.ERROR, event, facts, fault)

    def _tell(self, level: int, event: str, facts: dict[str, object], fault: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", event, exc_info=fault, extra={_FACTS: facts})


class Episode:
    """Tells the first failure of a row and the recovery after it, not the failures between."""

    def __init__(self, tell: Teller, what: str) -> None:
        """`what` names the thing that fails and recovers, e.g. `watch jobs`."""
        self._tell = tell
        self._what = what
        self.failures = 0

    def failed(self, why: object, **facts: object) -> int:
        """Count one failure; returns how many there have been in a row."""
        self.failures += 1
        if self.failures == 1:
            self._tell.warning(f"{self._what} failed", why=why, **facts)
        else:
            self._tell.debug(f"{self._what} still fails", why=why, failures=self.failures, **facts)
        return self.failures

    def worked(self, **facts: object) -> None:
        """End the row."""
        if self.failures:
            self._tell.info(f"{self._what} works again", failures=self.failures, **facts)
        self.failures = 0


@contextmanager
def cycle(cycle_id: str) -> Iterator[None]:
    """Put `cycle=cycle_id` on every line that is logged inside."""
    token = CYCLE.set(cycle_id)
    try:
        yield
    finally:
        CYCLE.reset(token)


class _Formatter(logging.Formatter):
    """Gathers the facts of a record; its heirs write them."""

    def facts(self, record: logging.LogRecord) -> dict[str, object]:
        """Time, level, event and cycle first, then the record's own facts, secrets hidden."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told: dict[str, object] = {"at": at, "level": record.levelname.lower(), "event": _clean(record.getMessage())}
        if CYCLE.get():
            told["cycle"] = CYCLE.get()
        for name, value in getattr(record, _FACTS, {}).items():
            told[name] = HIDDEN if _SECRET_KEY.search(name) else _plain(value)
        told["from"] = record.name.removeprefix(f"{ROOT}.")
        if record.exc_info:
            told["trace"] = _clean(self.formatException(record.exc_info))
        return told


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line."""
        return json.dumps(self.facts(record), ensure_ascii=False, separators=(",", ":"))


class TextFormatter(_Formatter):
    """`2026-11-21T14:00:00.000Z info  plan made  cycle=7f3a held=3  (loop)`: for eyes."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line; a traceback follows on lines of its own."""
        facts = self.facts(record)
        at, level, event, source = (str(facts.pop(name)) for name in ("at", "level", "event", "from"))
        trace = facts.pop("trace", None)
        pairs = " ".join(f"{name}={_quoted(value)}" for name, value in facts.items())
        line = "  ".join(part for part in (f"{at} {level:<7} {_one_line(event)}", pairs, f"({source})") if part)
        return f"{line}\n{trace}" if trace else line


def configure(*, as_json: bool, level: str = "INFO", stream: IO[str] | None = None) -> logging.Handler:
    """Send our log lines to `stream` (standard error by default) in one form; a second call replaces the first."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    with _CONFIGURING:
        for name, least in ((ROOT, level.upper()), *_LIBRARIES):
            logger = logging.getLogger(name)
            logger.handlers[:] = [handler]
            logger.setLevel(least)
            logger.propagate = False
    return handler


_CONFIGURING = threading.Lock()
# Libraries that would speak in forms of their own. What APScheduler warns of, `timers` tells.
_LIBRARIES = (("apscheduler", "ERROR"), ("urllib3", "ERROR"), ("kubernetes", "WARNING"))


def _plain(value: object) -> Any:
    """JSON as it is, everything else as text; secrets inside text are hidden."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 6) if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): HIDDEN if _SECRET_KEY.search(str(name)) else _plain(item) for name, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    return _clean(str(value))


def _clean(text: str) -> str:
    return _SECRET_VALUE.sub(HIDDEN, text)


def _quoted(value: object) -> str:
    if isinstance(value, str):
        return value if _BARE.match(value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")
