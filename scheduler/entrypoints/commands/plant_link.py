"""`heat-dispatch plant-link`: the process that speaks with heat plants."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.logs import configure
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.config.link import LinkSetup, load_link
from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.console import friendly, talk, write_json
from scheduler.entrypoints.link.interfaces import Planned, interfaces_of
from scheduler.entrypoints.link.process import LinkPlace, PlantLink
from scheduler.entrypoints.options import JsonFile

HELP = """Speak with heat plants: show them schedules, heartbeat and boiler signal, and hear what they say.

It runs beside the operator, shares nothing with it but the ledger's database, and holds no credential of the cluster. REST,
webhooks, Modbus TCP, OPC UA and MQTT are set up in one file (docs/plant-link.md). When the operator is silent for 40 s it says
"start the boiler"; when it is itself gone, its silence does. `/healthz`, `/readyz` and `/metrics` are on a port of their own.

**Examples**

    heat-dispatch plant-link --config link.yaml --check

    heat-dispatch plant-link --config link.yaml --ledger sqlite:////var/lib/heat-dispatch/heat-dispatch.db
"""
Config = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The link.yaml.")]
Check = Annotated[bool, typer.Option("--check", help="Only check the file and what it names, and end.")]
Ledger = Annotated[str, typer.Option(metavar="URL", help="Database of the operator's ledger [default: that of the file].")]
HostName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        envvar="HEAT_DISPATCH_LINK_HOST",
        help="Speak while the operator on this host leads [default: this host, in a pod the pod's name].",
    ),
]


@friendly
def plant_link(
    config: Config,
    check: Check = False,
    ledger: Ledger = "",
    host_name: HostName = "",
    json_file: JsonFile = None,
    log_format: Annotated[str, typer.Option(help="`text` for eyes, `json` for machines.")] = "text",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the plant link, or check how it is set up."""
    if log_format not in {"text", "json"} or log_level.lower() not in {"debug", "info", "warning", "error"}:
        raise Misconfigured(f"{log_format}, {log_level}", where="--log-format, --log-level", expected="text or json, info ...")
    setup = load_link(config)
    planned = interfaces_of(setup.options)
    if check:
        for one in planned:
            one.check()
        talk(json_file).print(f"{config.name} is in order: {', '.join(one.name for one in planned)}", markup=False)
        write_json(json_file, told(setup, planned))
        return
    configure(as_json=log_format == "json", level=log_level.lower())
    store = LinkStore(ledger or setup.ledger)
    place = LinkPlace(host=host_name or socket.gethostname(), pages_host=setup.host, pages_port=setup.port)
    try:
        asyncio.run(PlantLink(setup.options, planned, store, SystemClock(), place).run())
    finally:
        store.close()


def told(setup: LinkSetup, planned: tuple[Planned, ...]) -> dict[str, Any]:
    """What `--check --json` says."""
    return {
        "site": setup.options.site_id,
        "ledger": setup.ledger.partition("@")[2] or setup.ledger,
        "interfaces": [one.name for one in planned],
        "pages": f"{setup.host}:{setup.port}",
    }
