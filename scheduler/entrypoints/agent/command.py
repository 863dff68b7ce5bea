"""`heat-dispatch agent`, on its own: the command of the node, without the rest of the house."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from scheduler.entrypoints.agent.once import may_set, surveyed, to_json, to_text

HELP = """Say what this machine's GPUs draw, which limits hold, and which of them could be capped.

Reads only; needs access to the GPUs and nothing more. Exit code 1: no GPU can be spoken to, or one of them does not answer.

**Example**

    heat-dispatch agent --once --json -
"""
STDOUT = "-"
EXIT_FAILED, EXIT_USAGE = 1, 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


@app.command(help=HELP)
def agent(
    once: Annotated[bool, typer.Option("--once", help="Look once, tell, and end.")] = False,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write JSON here; `-` is standard output.")
    ] = None,
) -> None:
    """Look at this machine's GPUs."""
    if not once:
        typer.echo("error: how often? (expected --once: telemetry as a service is not in this version)", err=True)
        raise typer.Exit(EXIT_USAGE)
    survey, spoken = surveyed()
    allowed = may_set()
    if json_file is not None:
        _write(json_file, json.dumps(to_json(survey, allowed), indent=2) + "\n")
    for line in to_text(survey, allowed):
        typer.echo(line, err=json_file == STDOUT)
    if not spoken or survey.troubles:
        raise typer.Exit(EXIT_FAILED)


def _write(target: str, text: str) -> None:
    """Write text to a file, or to standard output."""
    if target == STDOUT:
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        typer.echo(f"error: {target}: {error.strerror} (expected a file that can be written)", err=True)
        raise typer.Exit(EXIT_USAGE) from error
