"""`heat-dispatch agent`, on its own: the command of the node, without the rest of the house."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from scheduler.adapters.gpu.serving import Wired
from scheduler.entrypoints.agent.once import may_set, surveyed, to_json, to_text
from scheduler.entrypoints.agent.service import serve

HELP = """Say what this machine's GPUs draw, which limits hold, and which of them could be capped: once, or as a service.

As a service it reads every GPU once a second and answers `/v1/telemetry` for the operator, `/metrics` for Prometheus, and the
probes `/healthz` and `/readyz`. It reads only; it needs access to the GPUs and nothing more. Exit code 1: with `--once`, no GPU
can be spoken to or one of them does not answer; as a service, the driver was replaced by another version.

**Examples**

    heat-dispatch agent --once --json -

    heat-dispatch agent --host 0.0.0.0 --token-file /etc/heat-dispatch/token
"""
STDOUT, LOOPBACK = "-", "127.0.0.1"
EXIT_FAILED, EXIT_USAGE = 1, 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


@app.command(help=HELP)
def agent(  # noqa: PLR0913 - one parameter per option of the command
    once: Annotated[bool, typer.Option("--once", help="Look once, tell, and end.")] = False,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="With `--once`: write JSON here; `-` is standard output.")
    ] = None,
    node: Annotated[str, typer.Option(envvar="NODE_NAME", help="Name of this node in the cluster [default: the host's].")] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 9464,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Bearer token that telemetry and metrics are for; read at every request."),
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate, for https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key.")] = None,
) -> None:
    """Look at this machine's GPUs."""
    if once:
        _once(json_file)
        return
    if json_file is not None:
        _wrong("--json: a service writes no file", "--once")
    if host not in (LOOPBACK, "::1", "localhost") and token_file is None:
        _wrong(f"--host {host}: others could read what jobs draw", "--token-file FILE")
    wired = Wired(host=host, port=port, token_file=token_file, certificate=tls_certificate, key=tls_key)
    try:
        code = serve(wired, node or platform.node())
    except OSError as error:
        _wrong(f"{error.filename or f'{host}:{port}'}: {error.strerror or error}", "a free address, and files that can be read")
    raise typer.Exit(code)


def _wrong(what: str, expected: str) -> NoReturn:
    """One line about a wrong use, and the exit code for it."""
    typer.echo(f"error: {what} (expected {expected})", err=True)
    raise typer.Exit(EXIT_USAGE)


def _once(json_file: str | None) -> None:
    """Look once."""
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
        _wrong(f"{target}: {error.strerror}", "a file that can be written")
