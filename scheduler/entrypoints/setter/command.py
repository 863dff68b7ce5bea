"""`heat-dispatch agent-setter`: checks how it is to be set up, then becomes the guardian, in which none of this is loaded."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from scheduler.adapters.gpu.setter_client import SetterAway, SetterClient
from scheduler.adapters.gpu.setter_wire import answer_line
from scheduler.domain.capping import Answer, CapRules, FailMode, GpuStanding
from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.gpu_backends import NVML, TO_SET, to_set
from scheduler.entrypoints.node_console import EXIT_FAILED, STDOUT, flush, write, wrong
from scheduler.entrypoints.setter.setup import Setup, guardian_command

HELP = """Set power limits of this machine's GPUs as leases, for the agent that asks for them over a Unix socket.

It is the only process that needs root with CAP_SYS_ADMIN. A cap is never above the limit that was found nor below the least
that is set here; it ends with its lease, when the agent is silent, when it is not wished any more, on SIGTERM, and at the next
start: then the limit that was found comes back, which is why that is written to `--journal` first. Another setter with the
same journal waits until this one ends, and takes over its caps.

Without `--no-dry-run` it sets nothing and says what it would. Exit code 1: it ended, and a limit could not be given back.

**Examples**

    heat-dispatch agent-setter --gpus all --allow-uid 65532

    heat-dispatch agent-setter --no-dry-run --gpus GPU-8f2c6a1e-0000-0000-0000-000000000001

    heat-dispatch agent-setter --status --json -
"""
ALL = "all"
RULES = CapRules()
GPU = re.compile(r"GPU-[\w-]{1,60}", re.ASCII)
# The kernel's last one says "none".
MOST_UID = 2**32 - 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")

Status = Annotated[bool, typer.Option("--status", help="Ask a setter that runs how the GPUs stand, and end.")]
JsonFile = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="With `--status`: write JSON here; `-` is standard output.")
]
Socket = Annotated[Path, typer.Option(metavar="PATH", help="Where the agent asks.")]
JournalDir = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder for the limits that were found; it must outlive the container.")
]
AllowUid = Annotated[
    list[int] | None,
    typer.Option(min=0, max=MOST_UID, metavar="UID", help="User that may ask; may be repeated [default: this one]."),
]
Named = Annotated[
    str, typer.Option(metavar="all|UUID,...", help="GPUs that may be capped [default: none].", show_default=False)
]
DryRun = Annotated[bool, typer.Option(help="Set nothing, say what would be set.")]
Fails = Annotated[FailMode, typer.Option(help="What becomes of a cap when its lease ends or the agent is silent.")]
Least = Annotated[float, typer.Option(min=0.05, max=1.0, help="Lowest cap, as a fraction of a GPU's default limit.")]
Pause = Annotated[
    float,
    typer.Option(min=0.0, max=3600.0, help="Between two changes of a GPU; emergencies and restores do not wait."),
]
Contact = Annotated[float, typer.Option(min=0.5, max=60.0, help="Silence of the agent after which all limits come back.")]
Jitter = Annotated[
    float,
    typer.Option(min=0.0, max=600.0, help="A new cap waits up to so long: nodes shall not step together."),
]
RiseStep = Annotated[float, typer.Option(min=0.01, max=1.0, help="Largest step of a cap that rises, of the default limit.")]
Fights = Annotated[int, typer.Option(min=0, max=100, help="How often a limit that somebody else changed is set again.")]
Yields = Annotated[float, typer.Option(min=1.0, max=86400.0, help="How long it is left to him after that.")]
Backend = Annotated[str, typer.Option(metavar="NAME", help=f"Who sets the limits: {TO_SET}.")]
Standby = Annotated[
    bool, typer.Option("--standby", help="Stand behind the setter at the same socket and journal, in case its container ends.")
]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log as JSON.")]


@app.command(name="agent-setter", help=HELP)
def agent_setter(  # noqa: PLR0913 - one parameter per option of the command
    status: Status = False,
    json_file: JsonFile = None,
    socket: Socket = Path("/run/heat-dispatch/setter.sock"),
    journal: JournalDir = Path("/var/lib/heat-dispatch/caps"),
    allow_uid: AllowUid = None,
    gpus: Named = "",
    dry_run: DryRun = RULES.dry_run,
    fail_mode: Fails = RULES.fail_mode,
    least_fraction: Least = RULES.least_fraction,
    pause_seconds: Pause = RULES.pause_s,
    contact_seconds: Contact = RULES.contact_s,
    jitter_seconds: Jitter = RULES.jitter_s,
    step_fraction: RiseStep = RULES.step_fraction,
    fights: Fights = RULES.fights,
    yield_seconds: Yields = RULES.yield_s,
    backend: Backend = NVML,
    standby: Standby = False,
    log_json: LogJson = False,
) -> None:
    """Set limits, or say how they stand."""
    if status:
        _status(socket, json_file)
        return
    if json_file is not None:
        wrong("--json: a service writes no file", "--status")
    named, setter_backend = _named(gpus), _backend(backend)
    rules = CapRules(
        dry_run=dry_run,
        fail_mode=fail_mode,
        least_fraction=least_fraction,
        pause_s=pause_seconds,
        contact_s=contact_seconds,
        jitter_s=jitter_seconds,
        step_fraction=step_fraction,
        fights=fights,
        yield_s=yield_seconds,
    )
    setup = Setup(
        socket=str(socket.absolute()),
        journal=str(_folder(journal)),
        allow_uids=tuple(allow_uid or (os.getuid(),)),
        gpus=named,
        rules=rules,
        backend=setter_backend,
        standby=standby,
        log_json=log_json,
    )
    _become_guardian(setup)


def _named(gpus: str) -> tuple[str, ...] | None:
    """GPUs by uuid; None for all."""
    if gpus == ALL:
        return None
    names = tuple(name.strip() for name in gpus.split(",") if name.strip())
    strange = next((name for name in names if not GPU.fullmatch(name)), None)
    if strange is not None:
        wrong(f"--gpus {strange}: no GPU's name", "`all`, or uuids such as GPU-8f2c6a1e-..., parted by commas")
    return names


def _backend(name: str) -> str:
    """A backend that there is."""
    try:
        to_set(name)
    except Misconfigured as error:
        wrong(f"{error.where} {name}", error.expected)
    return name


def _folder(journal: Path) -> Path:
    """The journal's folder, made if it is not there: ours alone, since who can write there says what is given back."""
    try:
        journal.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        wrong(f"--journal {journal}: {error.strerror}", "a folder that this user can make, or read and write")
    return journal.resolve()


def _become_guardian(setup: Setup) -> NoReturn:
    """Go on as the guardian: the same process, without what read the options."""
    flush()
    command = guardian_command(setup)
    os.execv(command[0], command)


# Asking one that runs.


def _status(socket: Path, json_file: str | None) -> None:
    """How the GPUs stand."""
    client = SetterClient(socket)
    try:
        answer = client.look()
    except SetterAway as error:
        typer.echo(f"error: {error} (expected a setter that runs, and a user that it allows)", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    finally:
        client.close()
    if json_file is not None:
        write(json_file, json.dumps(json.loads(answer_line(answer)), indent=2) + "\n")
    for line in status_text(answer):
        typer.echo(line, err=json_file == STDOUT)


def status_text(answer: Answer) -> list[str]:
    """An answer in lines for eyes."""
    what = (
        "waits for another setter to end" if answer.waiting else "sets nothing (dry run)" if answer.dry_run else "sets limits"
    )
    counts = answer.counts
    restores = ", ".join(f"{why.value} {number}" for why, number in sorted(counts.restores.items()))
    lines = [f"This setter {what}; {counts.writes} writes, limits given back: {restores or 'none'}."]
    if answer.trouble:
        lines.append(f"Trouble: {answer.trouble}")
    if answer.gpus:
        lines.append(f"{'GPU':<42} {'condition':<11} {'limit W':>7} {'found W':>7} {'cap W':>7} {'lease s':>7}  why")
    return lines + [_row(one) for one in answer.gpus]


def _row(one: GpuStanding) -> str:
    """One GPU as a line."""
    numbers = (one.requested_w, one.original_w, one.cap_w, one.lease_s)
    told = " ".join(f"{'-' if number is None else format(number, '.0f'):>7}" for number in numbers)
    return f"{one.uuid:<42} {one.condition.value:<11} {told}  {one.why}".rstrip()
