"""`heat-dispatch operator`: the controller that runs in the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scheduler.adapters.kubernetes.runtime.connection import own_namespace
from scheduler.adapters.kubernetes.runtime.logs import configure
from scheduler.adapters.telemetry.agents import Trust
from scheduler.entrypoints.console import friendly
from scheduler.entrypoints.operator.agents import NAMESPACE as AGENTS_NAMESPACE
from scheduler.entrypoints.operator.agents import PORT as AGENTS_PORT
from scheduler.entrypoints.operator.agents import AgentOptions, named_targets
from scheduler.entrypoints.operator.run import Operator, Options
from scheduler.entrypoints.operator.standing import LEASE_NAMESPACE, NAMESPACE

HELP = """Run the operator: watch Jobs, Nodes and our kinds, plan every cycle; hold, release, stop and cap as policies allow.

What it may do stands in each DispatchPolicy: `Observe` (the default) looks, `Advise` recommends in Events, `Dispatch` acts.
Several replicas may run; one of them leads. Probes are on `/livez` and `/readyz`, numbers for Prometheus on `/metrics`.

**Example**, outside the cluster, with prices and heat demand from a file

    heat-dispatch operator --kubeconfig ~/.kube/config --series series.csv --port 8080
"""

AgentUrls = Annotated[
    list[str] | None,
    typer.Option(metavar="NODE=URL", help="A node agent that is no pod; may be given more than once [default: their pods]."),
]
AgentsNamespace = Annotated[str, typer.Option(help="Only pods of this namespace are believed to be node agents.")]
AgentsPort = Annotated[int, typer.Option(min=1, max=65535, help="Port of the agents' telemetry.")]
AgentsToken = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File with the bearer token for the agents, read anew every minute.")
]
AgentsCa = Annotated[
    Path | None, typer.Option(metavar="FILE", help="CA certificates of the agents; with it they are asked by https.")
]


@friendly
def operator(  # noqa: PLR0913 - one parameter per option of the command
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Kubeconfig [default: the pod's service account, else the usual one].")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    namespace: Annotated[
        str, typer.Option(help="The installation it belongs to [default: the pod's own namespace, else heat-dispatch].")
    ] = "",
    lease_namespace: Annotated[
        str, typer.Option(help="Where the one Lease is by which all operators of a cluster agree who leads.")
    ] = LEASE_NAMESPACE,
    identity: Annotated[str, typer.Option(help="Unique name of this replica [default: host and process].")] = "",
    series: Annotated[
        Path | None, typer.Option(metavar="FILE", help="series.csv with prices, weather and heat demand, read when it changes.")
    ] = None,
    ledger: Annotated[
        str,
        typer.Option(metavar="URL", help="Database of the ledger: sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE."),
    ] = "sqlite:///heat-dispatch.db",
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the last cycles here, for `plan --snapshot`.")
    ] = None,
    agent: AgentUrls = None,
    agents_namespace: AgentsNamespace = AGENTS_NAMESPACE,
    agents_port: AgentsPort = AGENTS_PORT,
    agents_token: AgentsToken = None,
    agents_ca: AgentsCa = None,
    host: Annotated[str, typer.Option(help="Address of probes and metrics [default: every one].")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of probes and metrics; 0 takes a free one.")] = 8080,
    writes_per_s: Annotated[float, typer.Option(min=0.1, help="Writes to the API server per second, at most.")] = 20.0,
    log_format: Annotated[str, typer.Option(help="`text` for eyes, `json` for machines.")] = "text",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the operator."""
    form = _one_of("--log-format", log_format, ("text", "json"))
    level = _one_of("--log-level", log_level.lower(), ("debug", "info", "warning", "error"))
    configure(as_json=form == "json", level=level)
    options = Options(
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace or own_namespace() or NAMESPACE,
        lease_namespace=lease_namespace,
        identity=identity,
        series=series,
        ledger=ledger,
        record=record,
        agents=AgentOptions(
            namespace=agents_namespace,
            port=agents_port,
            secure=agents_ca is not None,
            trust=Trust(token_file=agents_token, ca_file=agents_ca),
            named=named_targets(agent or ()),
        ),
        host=host,
        port=port,
        writes_per_s=writes_per_s,
    )
    Operator(options).run()


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """A value that is among the allowed ones.

    Raises:
        typer.BadParameter: when it is not.
    """
    if value not in allowed:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(allowed)}", param_hint=option)
    return value
