"""A table of text: one column of times, one of values, from an address or a file beside the operator."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from scheduler.adapters.sources.blueprint import Answer, BadAnswer, Card, Option
from scheduler.adapters.sources.providers import generic, times
from scheduler.adapters.sources.providers.options import chosen, whole
from scheduler.adapters.sources.providers.parsing import MAX_BODY_BYTES, MAX_ROWS, bad, shown
from scheduler.domain.errors import Misconfigured
from scheduler.domain.signals import Told

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
MARKS = {"point": ".", "comma": ","}
# What tables write where they do not know.
UNKNOWN = frozenset({"", "-", "nan", "null", "na", "n/a", "n/e"})

CARD = Card(
    name="csv_feed",
    title="CSV file or address",
    quantities=generic.QUANTITIES,
    options=(
        generic.ANYWHERE,
        generic.FILE,
        Option(name="query", meaning="parameters of the address, as zone=DK1&days=2", default=""),
        Option(name="timeColumn", meaning="heading of the column of times", default="time"),
        Option(name="valueColumn", meaning="heading of the column of values"),
        *times.OPTIONS,
        Option(name="separator", meaning="between columns", default="comma", choices=tuple(SEPARATORS)),
        Option(name="decimal", meaning="mark of decimals", default="point", choices=tuple(MARKS)),
        Option(name="encoding", meaning="of the text", default="utf-8", choices=("utf-8", "latin-1", "utf-16")),
        Option(name="skipLines", meaning="lines above the headings, 0 to 50", default="0"),
        *generic.COMMON,
    ),
    optional_credentials=generic.CREDENTIALS,
    licence="of whoever wrote the table",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a table is written."""

    time_column: str
    value_column: str
    separator: str
    decimal: str
    encoding: str
    skip_lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFeed(generic.OneAnswer):
    """One table."""

    layout: Layout
    timing: times.Timing

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """Lines under headings; empty lines do not count."""
        return tuple(self._told(answer) for answer in answers)

    def _told(self, answer: Answer) -> Told:
        """One table's values."""
        time, value = self.layout.time_column, self.layout.value_column
        found = [
            ((at, f"line {line}, {time}"), _value(text, self.layout.decimal, f"line {line}, {value}"))
            for line, at, text in _cells(answer, self.layout)
        ]
        return self.subject.told(self.timing.rows(found, "table"))


def make(quantity: str, options: Mapping[str, str]) -> CsvFeed:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know, or marks that cannot be told apart.
    """
    known = generic.place_of(CARD, chosen(CARD, quantity, options))
    layout = Layout(
        time_column=known["timeColumn"],
        value_column=known["valueColumn"],
        separator=SEPARATORS[known["separator"]],
        decimal=MARKS[known["decimal"]],
        encoding=known["encoding"],
        skip_lines=whole(CARD, "skipLines", known["skipLines"], 0, 50),
    )
    if layout.separator == layout.decimal:
        raise Misconfigured("'comma'", where=f"{CARD.name}, option decimal", expected="another mark than the separator")
    return CsvFeed(
        ask=generic.ask_of(CARD, known, generic.query_of(CARD, known["query"]), ("text/csv", "text/plain", "application/csv")),
        subject=generic.subject_of(CARD, quantity, known),
        layout=layout,
        timing=times.timing_of(CARD, known),
    )


def _cells(answer: Answer, layout: Layout) -> Iterator[tuple[int, str, str]]:
    """Line number, time and value of each line under the headings.

    A last line without an end may have been cut in the middle of a number: it does not count.
    """
    if len(answer.body) > MAX_BODY_BYTES:
        bad("table", f"{len(answer.body)} bytes", f"at most {MAX_BODY_BYTES}")
    try:
        text = answer.body.decode("utf-8-sig" if layout.encoding == "utf-8" else layout.encoding)
    except UnicodeError:
        bad("table", f"bytes that are no {layout.encoding}", f"a text in {layout.encoding}")
    text = text if text.endswith(("\n", "\r")) else text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=layout.separator, strict=True)
    try:
        for _ in range(layout.skip_lines):
            next(lines, None)
        heads = [head.strip() for head in next(lines, [])]
        time, value = (_place(heads, column) for column in (layout.time_column, layout.value_column))
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) <= max(time, value) or lines.line_num > MAX_ROWS:
                bad(f"line {lines.line_num}", f"{len(cells)} cells", f"{len(heads)}, in at most {MAX_ROWS} lines")
            yield lines.line_num, cells[time], cells[value]
    except csv.Error as error:
        raise BadAnswer(f"line {lines.line_num}: no table: {error}") from None


def _place(heads: Sequence[str], column: str) -> int:
    """Where the column of a heading is."""
    if heads.count(column) != 1:
        bad("headings", ", ".join(heads[:20]), f"{shown(column)} once")
    return heads.index(column)


def _value(text: str, decimal: str, where: str) -> float:
    """A decimal number; NaN where the table does not know. Groups of thousands are refused: they look like decimals."""
    text = text.strip()
    if text.lower() in UNKNOWN:
        return math.nan
    if not re.fullmatch(rf"[+-]?\d{{1,15}}({re.escape(decimal)}\d{{1,15}})?([eE][+-]?\d{{1,2}})?", text, re.ASCII):
        bad(where, text, f"a number with a decimal {'comma' if decimal == ',' else 'point'}, or nothing")
    return float(text.replace(",", "."))
