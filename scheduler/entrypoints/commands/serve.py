"""`heat-dispatch serve`: the live page."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.ledger.sql import ledger_url
from scheduler.adapters.logs import configure
from scheduler.core.reports.verdict import verdict
from scheduler.domain.errors import Misconfigured
from scheduler.domain.live import LiveState
from scheduler.entrypoints.commands.demo import LEDGER_FILE
from scheduler.entrypoints.console import friendly, talk, write_json
from scheduler.entrypoints.ending import told_to_end
from scheduler.entrypoints.options import JsonFile
from scheduler.entrypoints.web.demo import DemoSite
from scheduler.entrypoints.web.opened import OpenBooks
from scheduler.entrypoints.web.options import PORT, LiveOptions
from scheduler.entrypoints.web.server import LiveServer

HELP = """Serve the live page: whether all is well, heat now and planned, price, tank and GPUs, who waits and why, what is owed.

It reads the operator's database and needs no cluster; nothing can be changed by it. It listens on this machine alone, unless
`--host` says otherwise and `--token-file` says to whom it may be shown.

**Examples**

    heat-dispatch serve --demo

    heat-dispatch serve --run demo-output

    heat-dispatch serve --database postgresql+psycopg://USER@HOST/DATABASE --host 0.0.0.0 --token-file token \\
        --allow-host heat.example.org
"""
WAIT_S = 0.2
Database = Annotated[
    str | None, typer.Option("--database", metavar="URL", help="The operator's database: a file, or postgresql://...")
]
Run = Annotated[Path | None, typer.Option("--run", metavar="DIR", help="What `heat-dispatch demo` has left, or is writing.")]
Demo = Annotated[bool, typer.Option("--demo", help="A made-up site whose hours pass in seconds.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Whoever looks must say this token (as a browser's password, or a bearer token)."),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="Name by which the page may be asked for; may be given more than once."),
]
DemoSeconds = Annotated[float, typer.Option(min=0.5, max=600.0, help="Seconds per hour of the made-up site.")]


@friendly
def serve(  # noqa: PLR0913 - one parameter per option of the command
    database: Database = None,
    run: Run = None,
    demo: Demo = False,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    token_file: TokenFile = None,
    allow_host: AllowHost = None,
    demo_seconds: DemoSeconds = 5.0,
    json_file: JsonFile = None,
) -> None:
    """Serve the live page until Ctrl-C; with --json write what it shows now, and stop."""
    if sum((database is not None, run is not None, demo)) != 1:
        raise Misconfigured("what should be shown?", where="options", expected="one of --database, --run and --demo")
    configure(as_json=False, level="warning")
    console = talk(json_file)
    with ExitStack() as stack:
        if demo:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="heat-dispatch-")))
            site = DemoSite(str(folder / LEDGER_FILE), demo_seconds)
            site.begin()
            if json_file is None:
                site.start()
            stack.callback(site.stop)
            url = str(folder / LEDGER_FILE)
        else:
            url = database or str(_ledger_in(run or Path()))
        books = OpenBooks(url, SystemClock())
        stack.callback(books.close)
        books.desk.refresh()
        if json_file is not None:
            write_json(json_file, {"policies": [told(one, books) for one in books.store.states()]})
            return
        options = LiveOptions(host=host, port=port, token_file=token_file, allowed_hosts=tuple(allow_host or ()))
        ended = told_to_end()
        server = LiveServer(books.desk, options)
        server.start()
        stack.callback(server.stop)
        shown = f"[{host}]" if ":" in host else host
        console.print(f"The live page is on http://{shown}:{server.port}/ (Ctrl-C ends it).", markup=False, soft_wrap=True)
        while not ended() and server.alive(WAIT_S):
            pass


def _ledger_in(folder: Path) -> Path:
    """The ledger of a demonstration.

    Raises:
        Misconfigured: there is none.
    """
    found = folder / LEDGER_FILE
    if not found.is_file():
        expected = "what `heat-dispatch demo --output DIR` makes"
        raise Misconfigured(f"there is no {LEDGER_FILE}", where=str(folder), expected=expected)
    ledger_url(str(found))
    return found


def told(state: LiveState, books: OpenBooks) -> dict[str, Any]:
    """What the page says of a policy, in plain values."""
    found, counts = verdict(state, books.desk.now_utc(state)), state.counts
    return {
        "policy": state.policy,
        "site": state.site_name,
        "level": found.level.value,
        "findings": [{"level": one.level.value, "what": one.what, "means": one.means} for one in found.findings],
        "mode": state.mode.value,
        "status": state.status,
        "atUtc": f"{state.at_utc:%Y-%m-%dT%H:%M:%SZ}",
        "jobs": {"waiting": counts.waiting, "paused": counts.paused, "running": counts.running, "capped": counts.capped},
        "gpus": {"busy": counts.gpus_busy, "there": counts.gpus_there},
        "customers": [
            {
                "offtake": one.offtake.offtake_id,
                "demandKw": one.demand_kw,
                "plannedKw": one.planned_kw,
                "firmKw": one.firm_kw,
                "boilerRequestKw": one.boiler_request_kw,
            }
            for one in state.customers
        ],
    }
