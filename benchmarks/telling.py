"""What every benchmark does with its rows: a table for eyes, JSON and Markdown where they are asked for."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.rows import HEADER, Row, cells, machine
from scheduler.adapters.clock import SystemClock
from scheduler.views.tables import rich_table

SENTENCES = (HEADER[0], HEADER[-1])


def may_be_written(parser: argparse.ArgumentParser) -> None:
    """The options that `tell` heeds."""
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--markdown", metavar="FILE")


def tell(rows: Sequence[Row], title: str, about: str, given: argparse.Namespace, **facts: Any) -> None:
    """Print the rows on standard error, and write them where that is asked for.

    about: what was measured on how much, before the date. facts: more of the report as JSON.
    """
    told = [row.to_json() for row in rows]
    Console(stderr=True, soft_wrap=True).print(rich_table(HEADER, [cells(row) for row in told], title, sentences=SENTENCES))
    where, date = machine(), SystemClock().now_utc().date().isoformat()
    if given.json:
        report = {"date": date, "machine": where, **facts, "rows": told}
        Path(given.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if given.markdown:
        size = ", ".join(part for part in (about, date) if part)
        lines = [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}", *(f"| {' | '.join(cells(row))} |" for row in told)]
        text = "\n".join([f"{size}; {where['processor']}, {where['cores']} cores", "", *lines, ""])
        Path(given.markdown).write_text(text, encoding="utf-8")
