"""Builds the programs of a control plane with the Go toolchain, once, into a cache outside the repository.

All programs come from the one module in `go/`, so that packages that several of them use are compiled once. The cache folder
is named by a digest of what is built; what lies there is complete, and is used as it is, without a toolchain.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from scheduler.adapters.devcluster.manifests import KUEUE_FILE, STAGES, STAGES_FILE, gather
from scheduler.adapters.devcluster.processes import dying_with_us
from scheduler.adapters.devcluster.versions import (
    DEFAULT,
    MAIN,
    MANIFEST_MODULES,
    ROWS,
    Program,
    Row,
    chosen,
    linker_flags,
    programs,
)
from scheduler.domain.errors import Misconfigured, Permanent

MODULE = Path(__file__).parent / "go"
USUAL_PLACES = ("/usr/local/go/bin/go", "/usr/lib/go/bin/go")
GO_NEEDED = "Go 1.26 or newer on the PATH"
KEY_LENGTH = 16
KEPT_BUILDS = 2
SAID_LINES = 15


class GoMissing(Misconfigured):
    """There is no Go toolchain to build with."""


class BuildFailed(Permanent):
    """The toolchain could not build the programs."""


class NotBuilt(Permanent):
    """A program is wanted that has not been built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far a build is: what it does, and how much of it is done when that is known (`total` is an upper limit)."""

    doing: str
    done: int = 0
    total: int = 0


Report = Callable[[Step], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """A cache folder with programs and manifests of a row of the version matrix."""

    folder: Path
    row: Row = ROWS[MAIN]

    @property
    def module(self) -> Path:
        """Folder of the Go module that its programs are built from."""
        return MODULE / self.row.module

    def program(self, name: str) -> Path:
        """Path of a program, built or not."""
        return self.folder / "bin" / name

    @property
    def manifests(self) -> Path:
        """Folder of kwok's stages and Kueue's objects."""
        return self.folder / "manifests"

    def missing(self, names: Iterable[str]) -> tuple[Program, ...]:
        """Programs that have not been built yet."""
        return tuple(program for program in programs(names) if not self.program(program.name).is_file())

    def has_manifests(self) -> bool:
        """Whether the manifests have been gathered."""
        return all((self.manifests / name).is_file() for name in (STAGES_FILE, KUEUE_FILE))


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/heat-dispatch/controlplane`, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "heat-dispatch" / "controlplane"


def digest(row: Row | None = None) -> str:
    """Names what is built: versions, packages, flags, the module's files and the stages taken from it; of the chosen row."""
    row = chosen() if row is None else row
    stated = json.dumps([[asdict(program) for program in row.programs().values()], linker_flags(row), STAGES])
    files = b"".join((MODULE / row.module / name).read_bytes() for name in ("go.mod", "go.sum"))
    return hashlib.sha256(stated.encode() + files).hexdigest()[:KEY_LENGTH]


def toolbox(root: Path | None = None, row: Row | None = None) -> Toolbox:
    """Where the programs of a row, the chosen one, lie or will."""
    row = chosen() if row is None else row
    return Toolbox(folder=(root or cache_root()) / digest(row), row=row)


def find(names: Iterable[str] = DEFAULT, root: Path | None = None) -> Toolbox:
    """The programs, when all of them have been built.

    Raises:
        NotBuilt: when one is missing.
    """
    found = toolbox(root)
    missing = found.missing(names)
    if missing or not found.has_manifests():
        what = ", ".join(program.name for program in missing) or "manifests"
        raise NotBuilt(f"the control plane is not built ({what}): run `heat-dispatch dev cluster build` or `make controlplane`")
    return found


def build(
    names: Iterable[str] = DEFAULT, root: Path | None = None, report: Report = lambda _: None, row: Row | None = None
) -> Toolbox:
    """Build what is missing of a row, the chosen one; two builders wait for each other. Older builds are removed afterwards.

    Raises:
        GoMissing: without a toolchain.
        BuildFailed: with the last lines that the toolchain said.
    """
    target = toolbox(root, row)
    wanted = tuple(names)
    if not target.missing(wanted) and target.has_manifests():
        return target
    go = go_command()
    lent = tuple(name for name in wanted if name not in target.row.programs())
    lender = build(lent, root, report, ROWS[MAIN]) if target.row.module else target
    target.folder.mkdir(parents=True, exist_ok=True)
    with locked(target.folder.with_suffix(".lock"), report):
        lend(lender, target, lent)
        missing = target.missing(wanted)
        if missing:
            compile_programs(go, missing, target, report)
        if not target.has_manifests():
            report(Step(doing="gathering manifests"))
            gather(module_folders(go), target.manifests)
    prune(target.folder.parent)
    return target


def lend(lender: Toolbox, target: Toolbox, names: Iterable[str]) -> None:
    """Give a toolbox programs of another one, as links that stay when the other goes."""
    for program in target.missing(names):
        target.program("").mkdir(exist_ok=True)
        os.link(lender.program(program.name), target.program(program.name))


def prune(root: Path) -> tuple[Path, ...]:
    """Remove builds of earlier versions but the newest two builds of all; one that is being built is left alone."""
    built = sorted(root.glob("*/bin"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    current = {digest(row) for row in ROWS.values()}
    removed = []
    for folder in (one.parent for one in built[KEPT_BUILDS:] if one.parent.name not in current):
        lock = folder.with_suffix(".lock")
        with suppress(BlockingIOError), lock.open("a", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
            removed.append(folder)
    return tuple(removed)


def go_command() -> str:
    """Path of the Go toolchain.

    Raises:
        GoMissing: when there is none.
    """
    found = shutil.which("go") or next((place for place in USUAL_PLACES if Path(place).is_file()), None)
    if found is None:
        raise GoMissing("no Go toolchain to build the control plane with", expected=GO_NEEDED)
    return found


@contextmanager
def locked(path: Path, report: Report) -> Iterator[None]:
    """Hold a lock file; says so when another builder has it. The lock goes with the process that holds it."""
    with path.open("a", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(Step(doing="waiting for another build"))
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def compile_programs(go: str, wanted: Sequence[Program], target: Toolbox, report: Report) -> None:
    """One `go build` for all; each program moves to its place whole."""
    packages = [program.package for program in wanted]
    report(Step(doing="fetching modules"))
    run_go(go, ["mod", "download"], target.module)
    report(Step(doing="counting packages"))
    total = len(run_go(go, ["list", "-mod=readonly", "-deps", *packages], target.module).split())
    for left in target.folder.glob("building-*"):
        shutil.rmtree(left, ignore_errors=True)
    out = target.folder / f"building-{os.getpid()}"
    out.mkdir()
    try:
        flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", f"-ldflags={linker_flags(target.row)}"]
        watch_go(go, ["build", "-v", *flags, "-o", f"{out}/", *packages], total, target, report)
        target.program("").mkdir(exist_ok=True)
        for program in wanted:
            (out / program.built_as).rename(target.program(program.name))
    finally:
        shutil.rmtree(out, ignore_errors=True)


def module_folders(go: str) -> dict[str, Path]:
    """Folders of the modules that bring manifests; fetched when they are not there."""
    answers = {name: json.loads(run_go(go, ["mod", "download", "-json", name])) for name in MANIFEST_MODULES}
    return {name: Path(answer["Dir"]) for name, answer in answers.items()}


def go_process(go: str, arguments: Sequence[str], module: Path, *, answers: bool) -> subprocess.Popen[str]:
    """The toolchain at work on a module of ours, whatever workspace the user is in; it ends with us. It complains to us."""
    environment = os.environ | {"GOWORK": "off", "CGO_ENABLED": "0"}
    return subprocess.Popen(
        dying_with_us([go, *arguments]),
        cwd=module,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if answers else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_go(go: str, arguments: Sequence[str], module: Path = MODULE) -> str:
    """What a short command of the toolchain answers.

    Raises:
        BuildFailed: when it fails.
    """
    with ended(go_process(go, arguments, module, answers=True)) as child:
        answer, complaint = child.communicate()
    if child.returncode:
        raise BuildFailed(f"go {' '.join(arguments[:2])} failed:\n{last_lines(complaint.splitlines())}")
    return answer


def watch_go(go: str, arguments: Sequence[str], total: int, target: Toolbox, report: Report) -> None:
    """Run a `go build -v`, which names each package that it compiles; all it says goes to a log file beside the programs.

    Raises:
        BuildFailed: when it fails.
    """
    doing, lines = "compiling and linking", deque[str](maxlen=SAID_LINES)
    log = target.folder / "build.log"
    report(Step(doing=doing, total=total))
    with log.open("w", encoding="utf-8") as file, ended(go_process(go, arguments, target.module, answers=False)) as child:
        assert child.stderr is not None
        for done, line in enumerate(child.stderr, start=1):
            file.write(line)
            lines.append(line.rstrip())
            report(Step(doing=doing, done=min(done, total), total=total))
        code = child.wait()
    if code:
        raise BuildFailed(f"go build failed (all of it: {log}):\n{last_lines(lines)}")


@contextmanager
def ended(child: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A child process that is over, with all it started, when the block is left."""
    with child:
        try:
            yield child
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            raise


def last_lines(lines: Iterable[str]) -> str:
    """The end of what a program said, indented."""
    return "\n".join(f"  {line}" for line in deque(lines, maxlen=SAID_LINES))
