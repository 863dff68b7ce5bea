"""CSV as a table of text cells that remember their lines, and columns of them as numbers, counts and instants."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import numpy as np

from scheduler.config.findings import Finding, did_you_mean, error, warning
from scheduler.domain.errors import Misconfigured
from scheduler.domain.time import FloatArray, utc

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
MISSING = {"", "nan", "na", "null", "none", "-"}
MAX_BYTES = 1_000_000_000
MIN_YEAR, MAX_YEAR = 1970, 2200

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns of stripped text cells; `lines[i]` is the line of row i in the file, `name` the file's name."""

    name: str
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def where(self, row: int) -> str:
        """`jobs.csv:17` of a row."""
        return f"{self.name}:{self.lines[row]}"


def read_text(path: Path) -> str:
    """Text of a UTF-8 file, with or without a byte-order mark.

    Raises:
        Misconfigured: no such file, a folder, not readable, not UTF-8, too large.
    """
    where = path.name or str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Misconfigured("the file is too large", where=where, expected=f"at most {MAX_BYTES} bytes")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        raise Misconfigured(f"byte {bad.start} is not UTF-8", where=where, expected="a text file in UTF-8") from None
    except FileNotFoundError:
        raise Misconfigured("no such file", where=str(path), expected="a file") from None
    except IsADirectoryError:
        raise Misconfigured("this is a folder", where=str(path), expected="a file") from None
    except (OSError, ValueError) as bad:
        raise Misconfigured(f"cannot be read: {getattr(bad, 'strerror', None) or bad}", where=str(path)) from None


def read_table(path: Path) -> Table:
    """Read a comma-separated file whose first line names the columns; blank lines are skipped.

    Raises:
        Misconfigured: empty file, no commas, a column named twice or not at all, a row with more or fewer cells than columns.
    """
    text = read_text(path)
    if not text.strip():
        raise Misconfigured("the file is empty", where=path.name, expected="a header line and rows")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = _header(next(reader), path.name)
        rows, lines = _rows(reader, len(header), path.name)
    except csv.Error as bad:
        raise Misconfigured(f"not readable as CSV: {bad}", where=f"{path.name}:{reader.line_num}") from None
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    columns = {name: [cell.strip() for cell in column] for name, column in zip(header, cells, strict=True)}
    return Table(name=path.name, columns=columns, lines=lines)


def _header(cells: Sequence[str], name: str) -> list[str]:
    """Column names, checked."""
    names = [cell.strip() for cell in cells]
    where = f"{name}:1"
    for mark, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in names[0]:
            raise Misconfigured(f"columns are separated by {word}", where=where, expected="commas, and a point in decimals")
    for position, column in enumerate(names):
        if not column:
            raise Misconfigured(f"column {position + 1} has no name", where=where, expected="a name for every column")
        if column in names[:position]:
            raise Misconfigured("the column is named twice", where=f"{where}: {column}", expected="each column once")
    return names


def _rows(reader: Iterable[list[str]], width: int, name: str) -> tuple[list[list[str]], list[int]]:
    """All rows that are not blank, with the line each ends on."""
    rows: list[list[str]] = []
    lines: list[int] = []
    for cells in reader:
        line: int = reader.line_num  # type: ignore[attr-defined]  # csv readers have it, Iterable does not say so
        if not any(cells):
            continue
        if len(cells) != width:
            hint = "; a decimal comma?" if len(cells) > width else "; a line cut short?"
            raise Misconfigured(
                f"{len(cells)} cells under {width} columns{hint}", where=f"{name}:{line}", expected=f"{width} cells"
            )
        rows.append(cells)
        lines.append(line)
    return rows, lines


def pick_columns(
    table: Table, known: dict[str, tuple[str, ...]], needed: Sequence[str]
) -> tuple[dict[str, str], list[Finding]]:
    """Find the wanted columns under their own names or a documented alias; `known` maps a column to its aliases.

    Returns:
        Wanted name -> name in the file, and findings: a missing or doubled column stops, an unknown one is only named.
    """
    found: dict[str, str] = {}
    findings: list[Finding] = []
    where = f"{table.name}:1"
    for wanted, aliases in known.items():
        present = [name for name in (wanted, *aliases) if name in table.columns]
        if len(present) > 1:
            findings.append(error(where, wanted, f"columns {' and '.join(present)} mean the same", "one of them"))
        if present:
            found[wanted] = present[0]
        elif wanted in needed:
            hint = did_you_mean(wanted, table.columns)
            also = f" (or {', '.join(aliases)})" if aliases else ""
            findings.append(error(where, wanted, f"the column is missing{hint}", f"a column {wanted}{also}"))
    used = set(found.values())
    for name in table.columns:
        if name not in used:
            findings.append(warning(where, name[:80], f"the column is not used{did_you_mean(name, set(known) - set(found))}"))
    return found, findings


def convert(
    table: Table, column: str, parse: Callable[[str], Value], expected: str, *, required: bool = True
) -> tuple[list[Value | None], list[Finding]]:
    """Parse every cell of a column; a cell that does not parse (ValueError) is an error at its line.

    Returns:
        One value per row, None where the cell is empty or wrong, and the errors; an empty cell is one when `required`.
    """
    values: list[Value | None] = []
    findings: list[Finding] = []
    for row, cell in enumerate(table.columns[column]):
        value: Value | None = None
        if cell.lower() not in MISSING:
            try:
                value = parse(cell)
            except (ValueError, OverflowError) as bad:
                findings.append(error(table.where(row), column, str(bad), expected))
        elif required:
            findings.append(error(table.where(row), column, "the cell is empty", expected))
        values.append(value)
    return values, findings


def present(values: Iterable[Value | None]) -> list[Value]:
    """The values that are there: all of them once a required column was read without error."""
    return [value for value in values if value is not None]


def number(cell: str) -> float:
    """A finite decimal number with a point.

    Raises:
        ValueError: text, a decimal comma, infinity; the message says which.
    """
    if NUMBER.fullmatch(cell) is None:
        shown = repr(cell[:40])
        if NUMBER.fullmatch(cell.replace(",", ".", 1)):
            raise ValueError(f"{shown} has a decimal comma")
        raise ValueError(f"{shown} is not a number")
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{cell[:40]!r} is not finite")
    return value


def positive(cell: str) -> float:
    """A number above zero; ValueError otherwise."""
    value = number(cell)
    if value <= 0.0:
        raise ValueError(f"{cell} is not above zero")
    return value


def count(cell: str) -> int:
    """A whole number of at least one; ValueError otherwise."""
    value = positive(cell)
    if value != int(value):
        raise ValueError(f"{cell} is not a whole number")
    return int(value)


def instant(cell: str) -> datetime:
    """An ISO 8601 instant with its offset, in UTC; ValueError otherwise."""
    try:
        at = utc(cell)
    except (ValueError, OverflowError):
        shown = repr(cell[:40])
        try:
            datetime.fromisoformat(cell)
        except ValueError:
            raise ValueError(f"{shown} is not an ISO 8601 time") from None
        raise ValueError(f"{shown} has no UTC offset") from None
    if not MIN_YEAR <= at.year <= MAX_YEAR:
        raise ValueError(f"the year {at.year} is outside {MIN_YEAR} to {MAX_YEAR}")
    return at


def numbers(table: Table, column: str, expected: str = "a number with a decimal point") -> tuple[FloatArray, list[Finding]]:
    """A column of numbers, NaN where the cell is empty."""
    values, findings = convert(table, column, number, expected, required=False)
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64), findings


def member(known: Iterable[str]) -> Callable[[str], str]:
    """A parser of names out of a known set; ValueError names the nearest one."""
    names = frozenset(known)

    def parse(cell: str) -> str:
        if cell not in names:
            raise ValueError(f"{cell[:80]!r} is not known{did_you_mean(cell, names)}")
        return cell

    return parse
