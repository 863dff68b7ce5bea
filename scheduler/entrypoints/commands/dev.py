"""`heat-dispatch dev cluster`: a real Kubernetes control plane on loopback, for trying things out and for tests."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from scheduler.adapters.devcluster import kueue, record
from scheduler.adapters.devcluster.build import Report, Step, Toolbox, build, digest
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.devcluster.processes import interruptible, resident_mb
from scheduler.adapters.devcluster.realnode import images, needs
from scheduler.adapters.devcluster.realnode.node import NAME, RealNode
from scheduler.adapters.devcluster.versions import DEFAULT, KUEUE, OPTIONAL, PROGRAMS, programs
from scheduler.config.kinds import KINDS
from scheduler.config.schemas import custom_resource_definition
from scheduler.domain.errors import HeatDispatchError, Misconfigured
from scheduler.entrypoints.console import EXIT_FAILED, err, friendly, plain, talk, write_json
from scheduler.entrypoints.options import JsonFile
from scheduler.views.tables import rich_table

SAY_EVERY_S = 30.0
LOOK_EVERY_S = 1.0
LABEL = "heatdispatch.io/plug=loop"
KUBELET = "kubelet"
# What `status` repeats of what `up` said.
TOLD: tuple[str, ...] = ("server", "kubeconfig", "kubectl", "auditLog", "nodes", "gpusPerNode", "kueue", "realNode")

UP_HELP = """Start a Kubernetes control plane on this machine, without containers, and keep it until Ctrl-C.

etcd, API server, controllers, scheduler and kwok (nodes that only pretend to run pods) listen on 127.0.0.1 with RBAC on; our
kinds are applied. The first time the programs are built with the Go toolchain: 11 to 15 minutes on two cores, 6 GB of disk.
After that a start takes about five seconds. Nothing is kept from one start to the next but the logs of the last one.

With `--real-node` there is one more node, of containerd and a kubelet, on which processes really run; it needs root and
packages of Debian (`scripts/real-node-setup`), and leaves nothing on the machine.

**Examples**

    heat-dispatch dev cluster up

    heat-dispatch dev cluster up --kueue --nodes 8 --gpus-per-node 4 --json cluster.json

    heat-dispatch dev cluster up --nodes 0 --real-node
"""
DOWN_HELP = """End the cluster of a folder, also one whose terminal is gone.

**Example**

    heat-dispatch dev cluster down
"""
STATUS_HELP = """Say whether a cluster runs, where, and how much memory its programs take. Exit code 1: it does not.

**Example**

    heat-dispatch dev cluster status --json -
"""
BUILD_HELP = """Build the programs of a cluster into the cache, or say where they are. What is there already is not built again.

**Examples**

    heat-dispatch dev cluster build

    heat-dispatch dev cluster build --with kubelet --with helm
"""

Folder = Annotated[
    Path | None, typer.Option("--dir", metavar="DIR", help="Folder of the cluster [default: one for this user, in ~/.cache].")
]
With = Annotated[list[str] | None, typer.Option("--with", metavar="NAME", help=f"Build this too: {', '.join(OPTIONAL)}.")]

app = typer.Typer(no_args_is_help=True, help="Tools for development and for trying things out.", rich_markup_mode="markdown")
cluster_app = typer.Typer(no_args_is_help=True, help="A Kubernetes control plane on this machine.", rich_markup_mode="markdown")
app.add_typer(cluster_app, name="cluster")


@app.callback()
def dev() -> None:
    """Tools for development and for trying things out."""


@cluster_app.command(name="up", help=UP_HELP)
@friendly
def up(
    directory: Folder = None,
    with_kueue: Annotated[bool, typer.Option("--kueue", help=f"Run Kueue {KUEUE} too.")] = False,
    nodes: Annotated[int, typer.Option(min=0, max=5000, help="Nodes that pretend to run pods.")] = 4,
    gpus_per_node: Annotated[int, typer.Option(min=0, max=64, help="GPUs of each.")] = 8,
    real_node: Annotated[
        bool, typer.Option("--real-node", help="One more node, on which processes really run, with as many GPUs in name.")
    ] = False,
    node_label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help=f"Label of the nodes; again for more [default: {LABEL}].")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Start a cluster and keep it until Ctrl-C."""
    labels, folder = labels_from(node_label or [LABEL]), folder_of(directory)
    console = talk(json_file)
    if real_node:
        needs.means()
    with interrupts():
        toolbox = built((*DEFAULT, KUBELET) if real_node else DEFAULT)
        record.claim(folder)
        err.print(f"starting Kubernetes {toolbox.row.kubernetes} in {folder}", markup=False, soft_wrap=True)
        with DevCluster(toolbox, folder) as cluster, ExitStack() as more:
            cluster.apply_crds(custom_resource_definition(kind) for kind in KINDS.values())
            cluster.add_nodes(nodes, gpus_per_node, labels)
            if with_kueue:
                err.print(f"starting Kueue {KUEUE}", markup=False)
                kueue.start(cluster)
            pids: dict[str, int] = {}
            if real_node:
                err.print("starting a real node", markup=False)
                pids = more.enter_context(RealNode(cluster, gpus_per_node, labels)).pids()
            described = {**cluster.to_json(), "nodes": nodes, "gpusPerNode": gpus_per_node, "kueue": with_kueue}
            described |= {"kubernetes": toolbox.row.kubernetes, "realNode": NAME if real_node else None}
            record.write(folder, described, {**cluster.processes.pids(), **pids})
            write_json(json_file, described)
            show_up(console, described)
            keep(cluster)
        err.print("stopped")


@cluster_app.command(name="down", help=DOWN_HELP)
@friendly
def down(directory: Folder = None, json_file: JsonFile = None) -> None:
    """End a cluster."""
    folder = folder_of(directory)
    stopped = record.stop(folder)
    write_json(json_file, {"folder": str(folder), "stopped": stopped})
    words = f"stopped the cluster in {folder}" if stopped else f"no cluster runs in {folder}"
    talk(json_file).print(words, markup=False, soft_wrap=True)


@cluster_app.command(name="status", help=STATUS_HELP)
@friendly
def status(directory: Folder = None, json_file: JsonFile = None) -> None:
    """Say whether a cluster runs."""
    folder = folder_of(directory)
    found = status_of(folder)
    write_json(json_file, found)
    show_status(talk(json_file), found)
    if not found["running"]:
        raise typer.Exit(EXIT_FAILED)


@cluster_app.command(name="build", help=BUILD_HELP)
@friendly
def build_programs(
    more: With = None,
    optional: Annotated[
        bool, typer.Option("--optional", help="Exit with 0, saying so, where it cannot be built; tests are skipped then.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Build the programs."""
    names = tuple(program.name for program in programs((*DEFAULT, *(more or ()))))
    begun_s = time.monotonic()
    try:
        with interrupts():
            toolbox = built(names)
    except HeatDispatchError as error:
        if not optional:
            raise
        err.print(f"[yellow]warning:[/] {plain(str(error))}; tests on a real control plane are skipped", soft_wrap=True)
        return
    write_json(json_file, toolbox_json(toolbox, names, time.monotonic() - begun_s))
    words = f"control plane {digest(toolbox.row)} of Kubernetes {toolbox.row.kubernetes} is built: {toolbox.program('')}"
    talk(json_file).print(words, markup=False, soft_wrap=True)


# --- options


def folder_of(directory: Path | None) -> Path:
    """The folder that is asked for, or the usual one."""
    return (directory or record.default_folder()).resolve()


def labels_from(given: Sequence[str]) -> dict[str, str]:
    """Labels from KEY=VALUE.

    Raises:
        Misconfigured: when one has no key.
    """
    pairs = [text.partition("=") for text in given]
    wrong = [text for text, (key, sign, _) in zip(given, pairs, strict=True) if not key or not sign]
    if wrong:
        raise Misconfigured(f"{wrong[0]!r} is no label", where="--node-label", expected="KEY=VALUE")
    return {key: value for key, _, value in pairs}


# --- building


def built(names: Sequence[str]) -> Toolbox:
    """The programs; built, with progress, when they are not there."""
    with BuildWatch.started() as watch:
        return build(names, report=watch)


@dataclass(slots=True)
class BuildWatch:
    """A bar on a terminal; elsewhere a line for each stage and every half minute."""

    bars: Progress
    console: Console
    task: TaskID
    begun_s: float
    said_s: float = 0.0
    doing: str = ""

    @classmethod
    @contextmanager
    def started(cls, console: Console = err) -> Iterator[Report]:
        """Show progress while the block runs."""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
        bars = Progress(SpinnerColumn(), *columns, console=console, transient=True, disable=not console.is_terminal)
        with bars:
            task = bars.add_task("building", total=None, said="", visible=False)
            watch = cls(bars=bars, console=console, task=task, begun_s=time.monotonic())
            yield watch.step

    def step(self, step: Step) -> None:
        """Something was done."""
        said = f"{step.done:,} of at most {step.total:,} packages" if step.total else ""
        self.bars.update(
            self.task, description=step.doing, completed=step.done, total=step.total or None, said=said, visible=True
        )
        elapsed_s = time.monotonic() - self.begun_s
        if self.console.is_terminal or (step.doing == self.doing and elapsed_s - self.said_s < SAY_EVERY_S):
            return
        self.doing, self.said_s = step.doing, elapsed_s
        words = f"{timedelta(seconds=round(elapsed_s))}  control plane: {step.doing}"
        self.console.print(f"{words}, {said}" if said else words, markup=False, soft_wrap=True)


def toolbox_json(toolbox: Toolbox, names: Sequence[str], elapsed_s: float) -> dict[str, Any]:
    """What has been built, as plain data."""
    versions = {**PROGRAMS, **toolbox.row.programs()}
    return {
        "key": digest(toolbox.row),
        "folder": str(toolbox.folder),
        "seconds": round(elapsed_s, 1),
        "programs": {name: {"version": versions[name].version, "path": str(toolbox.program(name))} for name in names},
    }


# --- a running cluster


@contextmanager
def interrupts() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does; afterwards things are as they were before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    interruptible()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def keep(cluster: DevCluster) -> None:
    """Return when told to stop.

    Raises:
        ProcessDied: when a program of the cluster ends by itself.
    """
    try:
        while True:
            cluster.processes.check()
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        return


def show_up(console: Console, described: dict[str, Any]) -> None:
    """Where the cluster is and how to use it."""
    count, gpus = described["nodes"], described["gpusPerNode"]
    parts = [
        f"{len(KINDS)} kinds of heatdispatch.io",
        f"{count} nodes of {gpus} GPUs",
        *([f"Kueue {KUEUE}"] if described["kueue"] else []),
    ]
    real = described["realNode"]
    parts += [f"a real node {real} of {gpus} GPUs in name (image {images.BUSYBOX})"] if real else []
    tools = Path(described["kubectl"]).parent
    lines = (
        f"Kubernetes {described['kubernetes']} is up at {described['server']}: {', '.join(parts)}",
        "",
        "In another terminal:",
        "",
        f"  export KUBECONFIG={described['kubeconfig']}",
        f'  export PATH="{tools}:$PATH"',
        "  kubectl get nodes",
        "",
        f"Logs and audit log: {described['folder']}",
        "Ctrl-C here, or `heat-dispatch dev cluster down` elsewhere, ends it; nothing but the logs is kept.",
    )
    console.print(*lines, sep="\n", markup=False, soft_wrap=True)


def status_of(folder: Path) -> dict[str, Any]:
    """What is known of a cluster, and which of its programs run."""
    noted = record.read(folder)
    alive = {name: one for name, one in record.programs(noted).items() if one.alive()}
    known = {key: noted[key] for key in TOLD if key in noted}
    return {
        "folder": str(folder),
        "running": record.is_running(folder) and bool(alive),
        **known,
        "programs": {name: {"pid": one.pid, "residentMb": round(resident_mb(one.pid), 1)} for name, one in alive.items()},
    }


def show_status(console: Console, found: dict[str, Any]) -> None:
    """The programs in a table."""
    if not found["running"]:
        console.print(f"no cluster runs in {found['folder']}", markup=False, soft_wrap=True)
        return
    rows = [(name, str(one["pid"]), f"{one['residentMb']:.0f}") for name, one in found["programs"].items()]
    total = sum(one["residentMb"] for one in found["programs"].values())
    console.print(rich_table(("program", "pid", "MiB"), [*rows, ("together", "", f"{total:.0f}")], found["server"]))
    console.print(f"export KUBECONFIG={found['kubeconfig']}", markup=False, soft_wrap=True)
