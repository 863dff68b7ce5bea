"""Reading what strangers send: a place in a document knows its path, and says what it wanted when it is something else.

No other exception than `BadAnswer` leaves these functions, whatever the bytes are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from scheduler.adapters.sources.blueprint import Answer, BadAnswer, NothingYet
from scheduler.domain.signals import Basis, Grade, Told
from scheduler.units import MILLI_PER_UNIT

# A year of quarter hours in the longest of these languages has 6 MiB; nobody here asks for more than some weeks.
MAX_BODY_BYTES = 8 * 1024 * 1024
# A day-ahead price of a month in quarter hours has 2,976 values; ten times that of a year is no answer to what we ask.
MAX_ROWS = 400_000
# A year of quarter hours in XML has 35,000 points of three elements.
MAX_ELEMENTS = 200_000
# What lies outside is no time of a signal: a wrong unit of an epoch, mostly.
FIRST_S, LAST_S = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
SHOWN_CHARACTERS = 60
# One value: from, to (seconds since 1970 in UTC) and how much; NaN where the provider says that it does not know.
Row = tuple[int, int, float]


def shown(value: object) -> str:
    """A found value in words short and tame enough for one line of a log."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = "null" if value is None else repr(value)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def bad(where: str, found: object, expected: str) -> NoReturn:
    """Refuse a place of a document.

    Raises:
        BadAnswer: always.
    """
    raise BadAnswer(f"{where}: found {shown(found)}, expected {expected}")


@dataclass(frozen=True, slots=True)
class Node:
    """A place in a JSON document: its value, and the path to it."""

    value: Any
    where: str

    def field(self, name: str) -> Node:
        """The value of a name that an object must have."""
        found = self.maybe(name)
        if found is None:
            raise BadAnswer(f"{self.where}.{name}: missing")
        return found

    def maybe(self, name: str) -> Node | None:
        """The value of a name that an object may have; null counts as having it."""
        if not isinstance(self.value, dict):
            bad(self.where, self.value, "an object")
        return Node(self.value[name], f"{self.where}.{name}") if name in self.value else None

    def items(self) -> Iterator[Node]:
        """The elements of a list."""
        return (Node(value, f"{self.where}[{place}]") for place, value in enumerate(self.listed()))

    def listed(self) -> list[Any]:
        """A list, not unreasonably long."""
        if not isinstance(self.value, list) or len(self.value) > MAX_ROWS:
            bad(self.where, self.value, f"a list of at most {MAX_ROWS}")
        return self.value

    def text(self) -> str:
        """A text."""
        return self.value if isinstance(self.value, str) else bad(self.where, self.value, "a text")

    def flag(self) -> bool:
        """True or false."""
        return self.value if isinstance(self.value, bool) else bad(self.where, self.value, "true or false")

    def number(self) -> float:
        """A finite number; a text that looks like one is none."""
        return number(self.value, self.where)

    def number_or_nan(self) -> float:
        """A finite number, or NaN for null: the provider says that it does not know."""
        return math.nan if self.value is None else self.number()

    def epoch_s(self) -> int:
        """Seconds since 1970 in UTC."""
        return epoch_s(self.value, self.where)

    def epoch_milliseconds(self, *, whole: bool = True) -> int:
        """Seconds since 1970 in UTC, of milliseconds that are whole seconds unless they need not be."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or (whole and self.value % int(MILLI_PER_UNIT)):
            bad(self.where, self.value, "whole seconds since 1970, in milliseconds")
        return epoch_s(self.value // int(MILLI_PER_UNIT), self.where)

    def instant_s(self, *, naive_is_utc: bool = False) -> int:
        """Seconds since 1970 in UTC of a text as ISO 8601 has it."""
        return instant_s(self.text(), self.where, naive_is_utc=naive_is_utc)


def number(value: object, where: str) -> float:
    """A finite number as JSON has it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        bad(where, value, "a number")
    try:
        found = float(value)
    except OverflowError:
        bad(where, "a number beyond all bounds", "a finite number")
    return found if math.isfinite(found) else bad(where, value, "a finite number")


def epoch_s(value: object, where: str) -> int:
    """Whole seconds since 1970 in UTC, in this or the last century."""
    if isinstance(value, bool) or not isinstance(value, int) or not FIRST_S <= value < LAST_S:
        bad(where, value, "whole seconds since 1970, between 1990 and 2100")
    return value


_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?")


def instant(text: str, where: str, *, naive_is_utc: bool = False) -> datetime:
    """An aware time in UTC; one without an offset only where its provider documents that it means UTC."""
    text = text.strip()
    try:
        found = datetime.fromisoformat(text) if _INSTANT.fullmatch(text) else bad(where, text, "a time as 2026-01-31T23:00Z")
        found = found.replace(tzinfo=UTC) if found.tzinfo is None and naive_is_utc else found
        if found.tzinfo is None:
            bad(where, text, "a time with its offset from UTC")
        found = found.astimezone(UTC)
    except (ValueError, OverflowError):
        bad(where, text, "a time as 2026-01-31T23:00Z")
    epoch_s(int(found.timestamp()), where)
    return found


def instant_s(text: str, where: str, *, naive_is_utc: bool = False) -> int:
    """Whole seconds since 1970 in UTC."""
    found = instant(text, where, naive_is_utc=naive_is_utc)
    return int(found.timestamp()) if not found.microsecond else bad(where, text, "a time in whole seconds")


def json_of(answer: Answer, name: str = "$") -> Node:
    """The document of an answer, standard JSON in UTF-8 without NaN, Infinity or a name that stands twice."""
    _fits(answer, name)
    try:
        value = json.loads(
            answer.body.decode("utf-8-sig"),
            parse_constant=lambda word: bad(name, word, "numbers that JSON knows"),
            object_pairs_hook=_once,
        )
    except RecursionError:
        bad(name, "values within values without end", "a document of the documented depth")
    except UnicodeDecodeError:
        bad(name, "bytes that are no UTF-8", "JSON in UTF-8")
    except ValueError as error:
        raise BadAnswer(f"{name}: no JSON: {str(error)[:120]}") from None
    return Node(value, name)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; one that has a name twice says two things at once."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        bad("$", next(name for name in names if names.count(name) > 1), "each name of an object once")
    return found


def _fits(answer: Answer, name: str) -> None:
    """Refuse what is too long to be read."""
    if len(answer.body) > MAX_BODY_BYTES:
        bad(name, f"{len(answer.body)} bytes", f"at most {MAX_BODY_BYTES}")


@dataclass(frozen=True, slots=True)
class Tag:
    """A place in an XML document: its element, and the path to it; namespaces do not count."""

    element: Element
    where: str

    @property
    def name(self) -> str:
        """Its name without namespace."""
        return _local(self.element)

    def all(self, name: str) -> list[Tag]:
        """The children of a name, in order."""
        found = [child for child in self.element if _local(child) == name]
        return [Tag(child, f"{self.where}/{name}[{place}]") for place, child in enumerate(found, start=1)]

    def one(self, name: str) -> Tag:
        """The only child of a name."""
        found = self.all(name)
        return found[0] if len(found) == 1 else bad(f"{self.where}/{name}", f"{len(found)} of them", "one")

    def maybe(self, name: str) -> Tag | None:
        """The child of a name, if there is one."""
        return self.one(name) if self.all(name) else None

    def text(self) -> str:
        """Its text without spaces around."""
        return (self.element.text or "").strip()

    def number(self) -> float:
        """A finite decimal number."""
        text = self.text()
        if not re.fullmatch(r"[+-]?\d{1,15}(\.\d{1,15})?", text):
            bad(self.where, text, "a decimal number")
        return float(text)

    def count(self) -> int:
        """A whole number from one."""
        text = self.text()
        return int(text) if re.fullmatch(r"[1-9]\d{0,8}", text) else bad(self.where, text, "a whole number from 1")

    def instant(self) -> datetime:
        """An aware time in UTC."""
        return instant(self.text(), self.where)

    def instant_s(self) -> int:
        """Whole seconds since 1970 in UTC."""
        return instant_s(self.text(), self.where)


def _local(element: Element) -> str:
    """Name of an element without its namespace; comments and instructions have none."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def xml_of(answer: Answer, name: str = "") -> Tag:
    """The root of an answer's document, without a document type, hence without entities of its own."""
    _fits(answer, name or "document")
    try:
        root = fromstring(answer.body, forbid_dtd=True)
    except DefusedXmlException as error:
        raise BadAnswer(f"no plain XML: {type(error).__name__}: a document type or an entity") from None
    except ParseError as error:
        raise BadAnswer(f"no XML: {str(error)[:120]}") from None
    except (ValueError, LookupError, RecursionError) as error:
        raise BadAnswer(f"no XML that can be read: {type(error).__name__}: {str(error)[:80]}") from None
    if sum(1 for _ in root.iter()) > MAX_ELEMENTS:
        bad(f"{name}/{_local(root)}", "more elements than that", f"at most {MAX_ELEMENTS}")
    return Tag(root, f"{name}/{_local(root)}")


def told(
    quantity: str,
    rows: Sequence[Row],
    unit: str,
    grade: Grade,
    *,
    issued_utc: datetime | None = None,
    basis: Basis | None = None,
    mean_over: bool = True,
) -> Told:
    """The rows of an answer in order of their start.

    Raises:
        NothingYet: there are none, or all say that nothing is known. BadAnswer: one ends before it starts, or too many.
    """
    if not any(math.isfinite(value) for _, _, value in rows):
        raise NothingYet(f"{quantity}: " + (f"none of {len(rows)} values is known" if rows else "the answer has no values"))
    if len(rows) > MAX_ROWS:
        bad(quantity, f"{len(rows)} values", f"at most {MAX_ROWS}")
    for start_s, end_s, _ in rows:
        if end_s <= start_s:
            start = f"{datetime.fromtimestamp(start_s, tz=UTC):%Y-%m-%dT%H:%MZ}"
            bad(f"{quantity}, interval from {start}", f"{end_s - start_s} s", "an end after its start")
    ordered = sorted(rows, key=lambda row: row[0])
    return Told(
        quantity=quantity,
        starts_s=np.array([row[0] for row in ordered], dtype=np.int64),
        ends_s=np.array([row[1] for row in ordered], dtype=np.int64),
        values=np.array([row[2] for row in ordered], dtype=np.float64),
        unit=unit,
        grade=grade,
        issued_utc=issued_utc,
        basis=basis,
        mean_over=mean_over,
    )
