"""`heat-dispatch release`: let held jobs go, without an operator, without our kinds, as often as one likes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.admission_check import our_checks
from scheduler.adapters.kubernetes.operator.reconcile import send
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.connection import Connection, configuration
from scheduler.adapters.kubernetes.runtime.errors import Conflict, NotFound
from scheduler.adapters.kubernetes.runtime.frozen import Obj
from scheduler.adapters.kubernetes.runtime.kinds import ADMISSION_CHECKS, JOBS, WORKLOADS
from scheduler.adapters.kubernetes.runtime.writer import Reach, Writer
from scheduler.adapters.kubernetes.stale import stale_writes
from scheduler.adapters.kubernetes.writes import Write
from scheduler.domain.errors import HeatDispatchError, Misconfigured
from scheduler.entrypoints.by_hand import written_by_hand
from scheduler.entrypoints.console import EXIT_FAILED, friendly, talk, write_json
from scheduler.entrypoints.leaving import Leaving
from scheduler.entrypoints.operator.standing import LEASE_NAMESPACE, NAMESPACE
from scheduler.entrypoints.options import JsonFile
from scheduler.entrypoints.overrides import end_override

HELP = """Let held jobs go: those whose hold is over (`--stale`), or all (`--all`).

`--uninstall` is `--all` between what else has to end before an installation goes: first no new Job is held and every policy
only observes; in the end no cap is wished any more, and agents have given theirs back. `--leases` comes after it, once the
operator's pods are gone too: the Leases go that nobody holds any more. `--override` ends a heat plant's manual
override, once whoever took over there says that he has left: the operator does so within seconds.

Needs no operator and none of our kinds: it reads Jobs (and Kueue's Workloads, where there are any) and their annotations. A job
that somebody changes in the same moment is looked at again. Exit code 1: some could not be let go.

**Examples**

    heat-dispatch release --stale

    heat-dispatch release --all --dry-run

    heat-dispatch release --uninstall

    heat-dispatch release --leases --caps-namespace heat-dispatch

    heat-dispatch release --override district-north
"""
TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What became of one hold."""

    namespace: str
    name: str
    kind: str
    why: str
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"namespace": self.namespace, "name": self.name, "kind": self.kind, "why": self.why, "error": self.error}


@friendly
def release(  # noqa: PLR0913 - each is an option of the command
    stale: Annotated[bool, typer.Option("--stale", help="Let go what is held beyond its end, or by nobody.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Let every held job go.")] = False,
    uninstall: Annotated[
        bool, typer.Option("--uninstall", help="End every hold and every cap, and what makes new ones.")
    ] = False,
    leases: Annotated[
        bool, typer.Option("--leases", help="Remove the Leases that nobody holds, after everything else.")
    ] = False,
    override: Annotated[
        str, typer.Option("--override", metavar="OFFTAKE", help="End a heat plant's manual override of this HeatOfftake.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be let go.")] = False,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Kubeconfig [default: the pod's service account, else the usual one].")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    lease_namespace: Annotated[
        str, typer.Option(help="Where the operators' Leases are (--uninstall, --leases).")
    ] = LEASE_NAMESPACE,
    caps_namespace: Annotated[str, typer.Option(help="Where the Lease of the caps is (--leases).")] = NAMESPACE,
    json_file: JsonFile = None,
) -> None:
    """Let held jobs go."""
    ways = {"stale": stale, "all": everything, "uninstall": uninstall, "leases": leases, "override": bool(override)}
    one_way(ways, dry_run=dry_run)
    client = KubeClient(Connection(configuration(kubeconfig, context)))
    console = talk(json_file)
    told: list[str] = []
    if override:
        before_utc = end_override(client, override, SystemClock().now_utc())
        console.print(f"overrides of {override} that began before {before_utc.isoformat()} are ended", markup=False)
        write_json(json_file, {"override": override})
        return

    def tell(text: str) -> None:
        told.append(text)
        console.print(text, markup=False)

    leaving = Leaving(client, lease_namespace, tell, threading.Event().wait)
    if leases:
        leaving.remove_leases(caps_namespace)
        write_json(json_file, {"told": told})
        return
    if uninstall:
        leaving.stop_holding()
    found = let_go(client, everything=not stale, dry_run=dry_run)
    for one in found:
        verb = "not let go" if one.error else "would let go" if dry_run else "let go"
        console.print(f"{verb}: {one.kind} {one.namespace}/{one.name}: {one.error or one.why}", markup=False)
    failed = [one for one in found if one.error]
    if not found:
        console.print("no hold is over" if stale else "nothing is held")
    if uninstall:
        leaving.stop_capping()
    write_json(json_file, {"released": [one.to_json() for one in found], "dryRun": dry_run, "told": told})
    if failed:
        raise typer.Exit(EXIT_FAILED)


def one_way(ways: Mapping[str, bool], *, dry_run: bool) -> None:
    """Exactly one thing is asked for, and only what can be tried is tried.

    Raises:
        Misconfigured: otherwise.
    """
    names = [name for name, asked in ways.items() if asked]
    if len(names) != 1:
        expected = f"{', '.join(f'--{name}' for name in list(ways)[:-1])} or --{list(ways)[-1]}, one of them"
        raise Misconfigured("which holds?", where="options", expected=expected)
    if dry_run and names[0] not in {"stale", "all"}:
        expected = "--all --dry-run, which tells the holds" if names[0] == "uninstall" else "one of them"
        raise Misconfigured("cannot be tried", where=f"--{names[0]} --dry-run", expected=expected)


def let_go(client: KubeClient, *, everything: bool, dry_run: bool = False) -> tuple[Released, ...]:
    """Let holds go. Read again, a few times: what was changed meanwhile, and what was held in two ways."""
    clock, done = SystemClock(), dict[tuple[str, str, str], Released]()
    writer = written_by_hand(client, Reach.LETTING_GO)
    checks = our_checks(_all(client, ADMISSION_CHECKS))
    for _ in range(TRIES):
        jobs, workloads = _all(client, JOBS), _all(client, WORKLOADS)
        writes = stale_writes(jobs, workloads, clock.now_utc(), checks=checks, everything=everything)
        for write in writes:
            key = (write.kind.kind, write.namespace, write.name)
            done[key] = _told(write, "") if dry_run else _released(write, writer)
        if dry_run or not writes:
            break
    return tuple(done[key] for key in sorted(done))


def _released(write: Write, writer: Writer) -> Released:
    """Send one release."""
    try:
        send(write, writer)
    except Conflict:
        return _told(write, "somebody changed it in the same moment")
    except NotFound:
        return _told(write, "")
    except HeatDispatchError as error:
        return _told(write, str(error))
    return _told(write, "")


def _told(write: Write, error: str) -> Released:
    """One result."""
    return Released(namespace=write.namespace, name=write.name, kind=write.kind.kind, why=write.text, error=error)


def _all(client: KubeClient, kind: Any) -> Sequence[Obj]:
    """All objects of a kind; none where it is not installed."""
    try:
        return [obj | {"apiVersion": kind.api_version, "kind": kind.kind} for obj in client.list(kind)]
    except NotFound:
        return []
