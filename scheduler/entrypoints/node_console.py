"""What the two commands of a node have in common on a terminal: `console.py` without rich, since they are to be light."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import typer

STDOUT = "-"
EXIT_FAILED, EXIT_USAGE = 1, 2


def wrong(what: str, expected: str) -> NoReturn:
    """One line about a wrong use, and the exit code for it."""
    typer.echo(f"error: {what} (expected {expected})", err=True)
    raise typer.Exit(EXIT_USAGE)


def write(target: str, text: str) -> None:
    """Write text to a file, or to standard output."""
    if target == STDOUT:
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        wrong(f"{target}: {error.strerror}", "a file that can be written")


def flush() -> None:
    """Before this process becomes another program, which would lose what was not written yet."""
    sys.stdout.flush()
    sys.stderr.flush()
