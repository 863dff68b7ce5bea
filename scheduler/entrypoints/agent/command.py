"""`heat-dispatch agent`, on its own: the command of the node, without the rest of the house."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from typing import Annotated, NoReturn

import typer

from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.agent.checks import WISHES_NONE, faults
from scheduler.entrypoints.agent.setup import Api, Host, Setup, setup_text
from scheduler.entrypoints.gpu_backends import NVML, TO_READ
from scheduler.entrypoints.node_console import EXIT_FAILED, STDOUT, flush, write, wrong

HELP = """Say what this machine's GPUs draw, which limits hold, and which of them could be capped: once, or as a service.

As a service it reads every GPU once a second and answers `/v1/telemetry` for the operator, `/metrics` for Prometheus, and the
probes `/healthz` and `/readyz`. It can set no limit: with `--wishes` and `--setter` it hears which caps are wished, and asks
`heat-dispatch agent-setter` for those whose pod sits on the GPU and whose lease is alive. Exit code 1: with `--once`, no GPU
can be spoken to or one of them does not answer; as a service, the driver was replaced by another version, or a part has failed.

**Examples**

    heat-dispatch agent --once --json -

    heat-dispatch agent --host 0.0.0.0 --token-file /etc/heat-dispatch/token

    heat-dispatch agent --wishes api --setter /run/heat-dispatch/setter.sock --pod-resources /var/lib/kubelet/pod-resources
"""
LOOPBACK = "127.0.0.1"
LEASE_NAMESPACE = "heat-dispatch"
# One heap for all threads, given back when it is empty: they hold little, and each would keep some MB of its own.
HEAP = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")

Once = Annotated[bool, typer.Option("--once", help="Look once, tell, and end.")]
JsonFile = Annotated[
    str, typer.Option("--json", metavar="FILE", help="With `--once`: write JSON here; `-` is standard output.")
]
Node = Annotated[str, typer.Option(envvar="NODE_NAME", help="Name of this node in the cluster [default: the host's].")]
Address = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
Token = Annotated[
    str, typer.Option(metavar="FILE", help="Bearer token that telemetry and metrics are for; read at every request.")
]
Certificate = Annotated[str, typer.Option(metavar="FILE", help="Certificate, for https.")]
Key = Annotated[str, typer.Option(metavar="FILE", help="Its key.")]
Wishes = Annotated[
    str,
    typer.Option(
        metavar="api|FILE|none", help="Which caps are wished: this node's NodePower, a JSON file, or none; also who pods are."
    ),
]
Setter = Annotated[
    str, typer.Option(metavar="SOCKET", help="Where the setter listens that caps are asked of [default: nobody].")
]
PodResources = Annotated[
    str,
    typer.Option(
        metavar="DIR", help="The kubelet's folder with the socket that says which pod holds which GPU [default: none]."
    ),
]
GpuResource = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A resource of the node that is GPUs, `*` for any text [default: NVIDIA's]. Repeatable."),
]
LeaseNamespace = Annotated[str, typer.Option(metavar="NAME", help="Where the Lease heat-dispatch-caps is.")]
ApiServer = Annotated[str, typer.Option(metavar="URL", help="The API server, outside of a pod [default: as a pod has it].")]
ApiToken = Annotated[str, typer.Option(metavar="FILE", help="Token for `--api-server`; read at every request.")]
ApiAuthority = Annotated[str, typer.Option(metavar="FILE", help="Certificates that are believed of `--api-server`.")]
Redfish = Annotated[
    str,
    typer.Option(
        metavar="URL", help="The machine's management controller, which tells its power; with a resource's path or not."
    ),
]
Credentials = Annotated[str, typer.Option(metavar="FILE", help="`user:password` for `--redfish-url`; read at every look.")]
Authority = Annotated[str, typer.Option(metavar="FILE", help="Certificates that are believed of `--redfish-url`.")]
Rapl = Annotated[
    str,
    typer.Option(
        metavar="DIR", help="The host's powercap tree, /sys/class/powercap: energy of the processors [default: none]."
    ),
]
Model = Annotated[
    str,
    typer.Option(metavar="W,FACTOR", help="Straight line for the whole host where nothing measures it, such as 1000,1.32."),
]
Backend = Annotated[str, typer.Option(metavar="NAME", help=f"Whose GPUs are read: {TO_READ}.")]
LogFormat = Annotated[str, typer.Option(metavar="text|json", help="`text` for eyes, `json` for machines.")]


@app.command(help=HELP)
def agent(  # noqa: PLR0913 - one parameter per option of the command
    once: Once = False,
    json_file: JsonFile = "",
    node: Node = "",
    host: Address = LOOPBACK,
    port: Port = 9464,
    token_file: Token = "",
    tls_certificate: Certificate = "",
    tls_key: Key = "",
    wishes: Wishes = WISHES_NONE,
    setter: Setter = "",
    pod_resources: PodResources = "",
    gpu_resource: GpuResource = None,
    lease_namespace: LeaseNamespace = LEASE_NAMESPACE,
    api_server: ApiServer = "",
    api_token: ApiToken = "",
    api_ca: ApiAuthority = "",
    redfish_url: Redfish = "",
    redfish_credentials: Credentials = "",
    redfish_ca: Authority = "",
    rapl: Rapl = "",
    host_model: Model = "",
    backend: Backend = NVML,
    log_format: LogFormat = "text",
) -> None:
    """Look at this machine's GPUs."""
    setup = Setup(
        node=node or platform.node(),
        host=host,
        port=port,
        token_file=token_file,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        wishes=wishes,
        setter=setter,
        pod_resources=pod_resources,
        gpu_resources=tuple(gpu_resource or ()),
        lease_namespace=lease_namespace,
        log_json=log_format == "json",
        backend=backend,
        api=Api(url=api_server, token_file=api_token, ca_file=api_ca),
        power=Host(
            redfish_url=redfish_url,
            redfish_credentials=redfish_credentials,
            redfish_ca=redfish_ca,
            rapl=rapl,
            model=_model(host_model),
        ),
    )
    if log_format not in ("text", "json"):
        wrong(f"--log-format {log_format}", "text or json")
    if once:
        _once(json_file, setup)
        return
    if json_file:
        wrong("--json: a service writes no file", "--once")
    for what, expected in faults(setup):
        wrong(what, expected)
    _become(setup)


def _become(setup: Setup) -> NoReturn:
    """Be the process that stays: a new program in this one's place, without what reading options has loaded."""
    flush()
    arguments = [sys.executable, "-P", "-X", "no_debug_ranges", "-m", "scheduler.entrypoints.agent.main", setup_text(setup)]
    os.execve(sys.executable, arguments, HEAP | os.environ)


def _model(text: str) -> tuple[float, float] | None:
    """The straight line of a host."""
    if not text:
        return None
    try:
        base_w, factor = (float(part) for part in text.split(","))
    except ValueError:
        wrong(f"--host-model {text}", "two numbers, such as 1000,1.32")
    if not (math.isfinite(base_w) and base_w >= 0.0 and math.isfinite(factor) and factor >= 1.0):
        wrong(f"--host-model {text}", "W of 0 or more, and a factor of 1 or more: a host takes no less than its GPUs")
    return base_w, factor


def _once(json_file: str, setup: Setup) -> None:
    """Look once."""
    from scheduler.adapters.gpu.permission import may_set
    from scheduler.entrypoints.agent.once import held, surveyed, to_json, to_text

    try:
        survey, spoken = surveyed(setup.backend)
    except Misconfigured as error:
        wrong(f"{error.where} {setup.backend}", error.expected)
    allowed, holders = may_set(), held(setup)
    if json_file:
        write(json_file, json.dumps(to_json(survey, allowed, holders), indent=2) + "\n")
    for line in to_text(survey, allowed, holders):
        typer.echo(line, err=json_file == STDOUT)
    if not spoken or survey.troubles:
        raise typer.Exit(EXIT_FAILED)
