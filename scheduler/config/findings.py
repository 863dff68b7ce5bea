"""What a reader noticed, as data: warnings travel beside the result, errors become one Misconfigured that names them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from scheduler.domain.errors import Misconfigured

MAX_LISTED = 20


class Level(StrEnum):
    """An error stops, a warning is shown."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to tell the user: `where` is file and line (or kind and name), `field` the column or field path."""

    level: Level
    where: str
    field: str
    message: str
    expected: str = ""

    @property
    def place(self) -> str:
        """`jobs.csv:17: duration_s`."""
        return ": ".join(part for part in (self.where, self.field) if part)

    def __str__(self) -> str:
        """Place, message and what was expected, in one line."""
        text = ": ".join(part for part in (self.place, self.message) if part)
        return f"{text} (expected {self.expected})" if self.expected else text


def error(where: str, field: str, message: str, expected: str = "") -> Finding:
    """A finding that stops."""
    return Finding(level=Level.ERROR, where=where, field=field, message=message, expected=expected)


def warning(where: str, field: str, message: str, expected: str = "") -> Finding:
    """A finding that is shown while work goes on."""
    return Finding(level=Level.WARNING, where=where, field=field, message=message, expected=expected)


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that stop."""
    return [finding for finding in findings if finding.level is Level.ERROR]


def refuse(findings: Sequence[Finding]) -> None:
    """Raise when anything stops: the first error in full, the others one per line.

    Raises:
        Misconfigured: with the place and the expectation of the first error.
    """
    stops = errors_of(findings)
    if not stops:
        return
    first, others = stops[0], stops[1 : MAX_LISTED + 1]
    more = len(stops) - 1 - len(others)
    lines = [str(other) for other in others] + ([f"... and {more} more"] if more else [])
    expected = first.expected if not lines else ""
    message = first.message
    if lines:
        message += f" (expected {first.expected})" if first.expected else ""
        message += f"\n{len(stops) - 1} more:\n" + "\n".join(f"  {line}" for line in lines)
    raise Misconfigured(message, where=first.place, expected=expected)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, ignoring case and separators; empty when none is near."""
    plain = {_plain(candidate): candidate for candidate in sorted(known)}
    found = get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`, did you mean X?` when a known name is near, else nothing."""
    found = nearest(name, known)
    return f", did you mean {found!r}?" if found else ""


def one_of(known: Iterable[str], limit: int = 12) -> str:
    """`one of a, b, c`, cut after `limit` names."""
    names = sorted(known)
    rest = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return f"one of {', '.join(names[:limit])}{rest}" if names else "none: none is defined"


def _plain(name: str) -> str:
    """Lower case without separators; long garbage is cut, since matching is quadratic."""
    return name.lower().replace("_", "").replace("-", "").replace(".", "")[:80]
