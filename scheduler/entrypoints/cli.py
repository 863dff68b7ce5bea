"""The `heat-dispatch` command."""

from __future__ import annotations

from typing import Annotated

import typer

import scheduler
from scheduler.entrypoints.agent import command as agent
from scheduler.entrypoints.commands import (
    backtest,
    bench,
    commission,
    demo,
    dev,
    forecast,
    operator,
    plan,
    plant_link,
    plant_sim,
    release,
    report,
    serve,
    signals,
    validate,
)
from scheduler.entrypoints.setter import command as setter

app = typer.Typer(
    name="heat-dispatch",
    help="Run a GPU cluster as a dispatchable heat plant.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"heat-dispatch {scheduler.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Run a GPU cluster as a dispatchable heat plant: plan jobs, power caps and heat sales with one model."""


app.command(name="demo", help=demo.HELP)(demo.demo)
app.command(name="plan", help=plan.HELP)(plan.plan)
app.command(name="backtest", help=backtest.HELP)(backtest.backtest)
app.command(name="validate", help=validate.HELP)(validate.validate)
app.command(name="operator", help=operator.HELP)(operator.operator)
app.command(name="agent", help=agent.HELP)(agent.agent)
app.command(name="agent-setter", help=setter.HELP)(setter.agent_setter)
app.command(name="commission", help=commission.HELP)(commission.commission)
app.command(name="plant-sim", help=plant_sim.HELP)(plant_sim.plant_sim)
app.command(name="plant-link", help=plant_link.HELP)(plant_link.plant_link)
app.command(name="serve", help=serve.HELP)(serve.serve)
app.command(name="release", help=release.HELP)(release.release)
app.add_typer(bench.app, name="bench")
app.add_typer(dev.app, name="dev")
app.add_typer(signals.app, name="signals")
app.add_typer(forecast.app, name="forecast")
app.add_typer(report.app, name="report")


def main() -> None:
    """Entry point of the console script."""
    app()
