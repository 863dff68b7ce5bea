"""The `kubectl heatdispatch` plugin: what a job's owner and an engineer on call ask most."""

from __future__ import annotations

import typer

from scheduler.entrypoints.commands import explain, release, why

app = typer.Typer(
    name="kubectl heatdispatch",
    help="Ask what heat-dispatch does with jobs, and let them go.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="why", help=why.WHY_HELP)(why.why)
app.command(name="status", help=why.STATUS_HELP)(why.status)
app.add_typer(explain.app)
app.command(name="release", help=release.HELP)(release.release)


def main() -> None:
    """Entry point of `kubectl-heatdispatch`, which kubectl finds on the PATH."""
    app()
