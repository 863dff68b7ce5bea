"""What every command shares: clear errors, `--json`, exit codes (0 ok, 1 failed, 2 wrong use or input)."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar

import typer
from rich.console import Console

from scheduler.domain.errors import HeatDispatchError, Misconfigured

Params = ParamSpec("Params")
Result = TypeVar("Result")

EXIT_FAILED = 1
EXIT_USAGE = 2
STDOUT = "-"

# A line number between colons is no emoji: "jobs.csv:100: gpus".
out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)


class FindingLike(Protocol):
    """What a reader noticed: level "error" or "warning", where, what, and what was expected."""

    @property
    def level(self) -> str:
        """`error` or `warning`."""
        ...

    def __str__(self) -> str:
        """One line."""
        ...


def fail(message: str, code: int = EXIT_USAGE) -> NoReturn:
    """Print one error line and leave with `code`."""
    err.print(f"[bold red]error:[/] {plain(message)}", soft_wrap=True)
    raise typer.Exit(code)


def plain(text: str) -> str:
    """Text as it is: square brackets in a path or message are not markup."""
    return text.replace("[", "\\[")


def friendly(command: Callable[Params, Result]) -> Callable[Params, Result]:
    """Turn the errors we know into one line and an exit code; bugs keep their traceback."""

    @functools.wraps(command)
    def guarded(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except Misconfigured as error:
            fail(str(error))
        except HeatDispatchError as error:
            fail(str(error), EXIT_FAILED)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}")
        except KeyboardInterrupt:
            err.print("stopped")
            raise typer.Exit(130) from None

    return guarded


def report_findings(findings: Iterable[FindingLike]) -> None:
    """Print warnings to standard error; refuse to go on when one of them is an error."""
    errors = 0
    for finding in findings:
        colour = "red" if finding.level == "error" else "yellow"
        err.print(f"[{colour}]{finding.level}:[/] {plain(str(finding))}", soft_wrap=True)
        errors += finding.level == "error"
    if errors:
        raise typer.Exit(EXIT_USAGE)


def write_json(target: str | None, value: Any) -> None:
    """Write JSON to a file, whole or not at all; `-` is standard output, None is nowhere."""
    if target is None:
        return
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    if target == STDOUT:
        sys.stdout.write(text)
    else:
        write_text(Path(target), text)


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step, so that a stopped run leaves no half-written one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def talk(json_target: str | None) -> Console:
    """Where words go: standard error when JSON has standard output."""
    return err if json_target == STDOUT else out
