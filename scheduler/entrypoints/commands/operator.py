"""`heat-dispatch operator`: the controller that runs in the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scheduler.adapters.kubernetes.runtime.connection import own_namespace
from scheduler.adapters.logs import configure
from scheduler.adapters.telemetry.asking import Trust
from scheduler.entrypoints.console import friendly
from scheduler.entrypoints.operator.agents import NAMESPACE as AGENTS_NAMESPACE
from scheduler.entrypoints.operator.agents import PORT as AGENTS_PORT
from scheduler.entrypoints.operator.agents import AgentOptions, named_targets
from scheduler.entrypoints.operator.options import Options
from scheduler.entrypoints.operator.power import EXPORTER_PORT, DcgmOptions
from scheduler.entrypoints.operator.run import Operator
from scheduler.entrypoints.operator.signals import SignalOptions
from scheduler.entrypoints.operator.standing import LEASE_NAMESPACE, NAMESPACE
from scheduler.entrypoints.options import AllowedHosts, Contact, InsideHosts, Rates, SignalFiles
from scheduler.entrypoints.web.options import LiveOptions

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
Kubeconfig = Annotated[Path | None, typer.Option(help="Kubeconfig [default: the pod's service account, else the usual one].")]
Namespace = Annotated[
    str, typer.Option(help="The installation it belongs to [default: the pod's own namespace, else heat-dispatch].")
]
LeaseNamespace = Annotated[
    str, typer.Option(help="Where the one Lease is by which all operators of a cluster agree who leads.")
]
Pod = Annotated[
    str,
    typer.Option(
        help="Our own pod, labelled heatdispatch.io/leads while we lead, for the Service of heat plants.", metavar="NAME"
    ),
]
Series = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="series.csv with prices, weather and heat demand, before all sources of policies; read when it changes.",
    ),
]
SignalCache = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="HEAT_DISPATCH_SIGNAL_CACHE",
        help="Keep here what sources told, over restarts [default: in memory alone].",
    ),
]
Ledger = Annotated[
    str, typer.Option(metavar="URL", help="Database of the ledger: sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE.")
]
DcgmNamespace = Annotated[
    str, typer.Option(help="Where no agent runs, ask the dcgm-exporter pods of this namespace for power [default: nobody].")
]
DcgmPort = Annotated[int, typer.Option(min=1, max=65535, help="Port of the exporters.")]
PrometheusUrl = Annotated[
    str, typer.Option(metavar="URL", help="Where neither runs, ask a Prometheus that scrapes dcgm-exporter [default: none].")
]
PrometheusMatch = Annotated[
    str, typer.Option(metavar="MATCHERS", help='Which series are of this cluster, where it has others: `cluster="heat-1"`.')
]
PrometheusToken = Annotated[Path | None, typer.Option(metavar="FILE", help="File with the bearer token for the Prometheus.")]
PrometheusCa = Annotated[Path | None, typer.Option(metavar="FILE", help="CA certificates of the Prometheus.")]
Record = Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the last cycles here, for `plan --snapshot`.")]
LivePort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Serve the live page on this port, as `heat-dispatch serve` does [default: not]."),
]
LiveHost = Annotated[str, typer.Option(help="Address of the live page; beyond this machine it takes --live-token-file.")]
LiveToken = Annotated[Path | None, typer.Option(metavar="FILE", help="Whoever looks at the live page must say this token.")]
LiveNames = Annotated[
    list[str] | None,
    typer.Option("--live-allow-host", metavar="NAME", help="Name by which the live page may be asked for; may be repeated."),
]


@friendly
def operator(  # noqa: PLR0913 - one parameter per option of the command
    kubeconfig: Kubeconfig = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    namespace: Namespace = "",
    lease_namespace: LeaseNamespace = LEASE_NAMESPACE,
    identity: Annotated[str, typer.Option(help="Unique name of this replica [default: host and process].")] = "",
    pod: Pod = "",
    series: Series = None,
    allowed_host: AllowedHosts = None,
    inside_host: InsideHosts = None,
    signal_cache: SignalCache = None,
    signal_files: SignalFiles = None,
    contact: Contact = "",
    rates: Rates = None,
    ledger: Ledger = "sqlite:///heat-dispatch.db",
    record: Record = None,
    agent: AgentUrls = None,
    agents_namespace: AgentsNamespace = AGENTS_NAMESPACE,
    agents_port: AgentsPort = AGENTS_PORT,
    agents_token: AgentsToken = None,
    agents_ca: AgentsCa = None,
    dcgm_namespace: DcgmNamespace = "",
    dcgm_port: DcgmPort = EXPORTER_PORT,
    prometheus_url: PrometheusUrl = "",
    prometheus_match: PrometheusMatch = "",
    prometheus_token: PrometheusToken = None,
    prometheus_ca: PrometheusCa = None,
    host: Annotated[str, typer.Option(help="Address of probes and metrics [default: every one].")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of probes and metrics; 0 takes a free one.")] = 8080,
    live_port: LivePort = None,
    live_host: LiveHost = "127.0.0.1",
    live_token_file: LiveToken = None,
    live_allow_host: LiveNames = None,
    writes_per_s: Annotated[float, typer.Option(min=0.1, help="Writes to the API server per second, at most.")] = 20.0,
    log_format: Annotated[str, typer.Option(help="`text` for eyes, `json` for machines.")] = "text",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the operator."""
    _log(log_format, log_level)
    trust = Trust(token_file=prometheus_token, ca_file=prometheus_ca)
    options = Options(
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace or own_namespace() or NAMESPACE,
        lease_namespace=lease_namespace,
        identity=identity,
        pod=pod,
        series=series,
        signals=_signals(allowed_host, inside_host, signal_cache, signal_files, rates, contact),
        ledger=ledger,
        record=record,
        agents=_agents(agents_namespace, agents_port, agents_token, agents_ca, agent),
        dcgm=_dcgm(dcgm_namespace, dcgm_port, prometheus_url, prometheus_match, trust),
        host=host,
        port=port,
        live=_live(live_host, live_port, live_token_file, live_allow_host),
        writes_per_s=writes_per_s,
    )
    Operator(options).run()


def _signals(
    allowed: list[str] | None,
    inside: list[str] | None,
    cache: Path | None,
    files: Path | None,
    rates: Path | None,
    contact: str,
) -> SignalOptions:
    """How sources are asked."""
    hosts, own = tuple(allowed or ()), tuple(inside or ())
    return SignalOptions(allowed=hosts, inside=own, cache=cache, files=files, rates=rates, contact=contact)


def _agents(namespace: str, port: int, token: Path | None, ca: Path | None, named: list[str] | None) -> AgentOptions:
    """How agents are found and asked."""
    trust = Trust(token_file=token, ca_file=ca)
    return AgentOptions(namespace=namespace, port=port, secure=ca is not None, trust=trust, named=named_targets(named or ()))


def _dcgm(namespace: str, port: int, url: str, match: str, trust: Trust) -> DcgmOptions:
    """Who is asked for power where no agent runs."""
    return DcgmOptions(namespace=namespace, port=port, prometheus=url, match=match, trust=trust)


def _live(host: str, port: int | None, token: Path | None, names: list[str] | None) -> LiveOptions | None:
    """How the live page is served; None without a port."""
    if port is None:
        return None
    return LiveOptions(host=host, port=port, token_file=token, allowed_hosts=tuple(names or ()))


def _log(form: str, level: str) -> None:
    """Log as asked for."""
    chosen = _one_of("--log-format", form, ("text", "json"))
    lowest = _one_of("--log-level", level.lower(), ("debug", "info", "warning", "error"))
    configure(as_json=chosen == "json", level=lowest)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """A value that is among the allowed ones.

    Raises:
        typer.BadParameter: when it is not.
    """
    if value not in allowed:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(allowed)}", param_hint=option)
    return value
