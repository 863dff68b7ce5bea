"""Building the control plane once: what is keyed, what is locked, what is said when it fails. The toolchain here is a script
that makes empty programs; the real one takes a quarter of an hour."""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from pathlib import Path

import pytest

from scheduler.adapters.devcluster import build as subject
from scheduler.adapters.devcluster.build import BuildFailed, GoMissing, NotBuilt, Step, build, digest, find, toolbox
from scheduler.adapters.devcluster.manifests import KUEUE_SOURCES, STAGES
from scheduler.adapters.devcluster.versions import (
    DEFAULT,
    ENVIRONMENT,
    MAIN,
    OPTIONAL,
    PROGRAMS,
    ROWS,
    Row,
    linker_flags,
    programs,
)
from scheduler.domain.errors import Misconfigured

MODULES = ("k8s.io/kubernetes", "go.etcd.io/etcd/server/v3", "sigs.k8s.io/kwok", "sigs.k8s.io/kueue", "helm.sh/helm/v4")
STAGE = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: some}
spec:
  resourceRef: {kind: Pod}
  delay: {durationMilliseconds: 1000, jitterDurationMilliseconds: 5000}
"""
# Answers what the builder asks a toolchain: where modules are, which packages there are, and `build -v -o OUT/ PACKAGE...`.
TOOLCHAIN = """#!{python}
import json, pathlib, sys
words = sys.argv[1:]
modules = pathlib.Path({modules!r})
with open(modules / "asked", "a") as asked:
    asked.write(" ".join(words[:2]) + "\\n")
if words[:3] == ["mod", "download", "-json"]:
    print(json.dumps({{"Dir": str(modules / words[3])}}))
elif words[0] == "list":
    print("one/package\\nanother/package\\n" * 2)
elif words[0] == "build":
    print("one/package", file=sys.stderr)
    if (modules / "broken").exists():
        sys.exit("# k8s.io/kubernetes\\nno such package")
    out = pathlib.Path(words[words.index("-o") + 1])
    names = {{"go.etcd.io/etcd/server/v3": "server"}}
    for package in words[words.index("-o") + 2:]:
        (out / names.get(package, package.rsplit("/", 1)[1])).write_text(package)
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules, and a toolchain on the PATH that knows them."""
    folder = tmp_path / "modules"
    for name in STAGES:
        path = folder / "sigs.k8s.io/kwok/kustomize/stage" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STAGE, encoding="utf-8")
    for pattern in KUEUE_SOURCES.values():
        path = folder / "sigs.k8s.io/kueue" / pattern.replace("*", "one")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kind: One\n---\nkind: Two\n", encoding="utf-8")
    go = tmp_path / "tools" / "go"
    go.parent.mkdir()
    go.write_text(TOOLCHAIN.format(python=sys.executable, modules=str(folder)), encoding="utf-8")
    go.chmod(go.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(go.parent))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    return folder


def asked(modules: Path) -> list[str]:
    """What the toolchain was asked for."""
    return (modules / "asked").read_text("utf-8").splitlines()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_versions_are_those_of_the_module(row: Row) -> None:
    text = (subject.MODULE / row.module / "go.mod").read_text("utf-8")
    for name, program in row.programs().items():
        module = next(part for part in MODULES if program.package.startswith(part))
        assert re.search(rf"^\s+{re.escape(module)} v{re.escape(program.version)}\b", text, re.MULTILINE), name
        assert f"\t{program.package}\n" in text, f"{name} is no tool of the module"
    staging = re.findall(r"^replace (k8s\.io/\S+) => \1 v(\S+)$", text, re.MULTILINE)
    assert {version for _, version in staging} == {row.kubernetes.replace("1.", "0.", 1)}
    assert "://" not in text
    assert f"gitVersion=v{row.kubernetes}" in linker_flags(row)


def test_the_main_row_has_every_program_and_others_what_is_of_kubernetes() -> None:
    assert ROWS[MAIN].programs() == PROGRAMS
    assert set(PROGRAMS) - set(ROWS["1.37"].programs()) == {"kwok", "kueue", "helm"}


def test_names_of_programs() -> None:
    assert [program.name for program in programs(["kwok", "etcd", "kwok"])] == ["etcd", "kwok"]
    assert set(DEFAULT) | set(OPTIONAL) == set(PROGRAMS)
    with pytest.raises(Misconfigured, match="no program 'docker'"):
        programs(["docker"])


def test_a_build_is_made_once_and_found_without_a_toolchain(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotBuilt, match="run `heat-dispatch dev cluster build`"):
        find(root=tmp_path)
    steps: list[Step] = []
    made = build(root=tmp_path, report=steps.append)
    assert made.folder == tmp_path / digest()
    assert made.program("etcd").read_text("utf-8") == "go.etcd.io/etcd/server/v3"
    assert sorted(path.name for path in (made.folder / "bin").iterdir()) == sorted(DEFAULT)
    assert [step.doing for step in steps] == [
        "fetching modules", "counting packages", "compiling and linking", "compiling and linking", "gathering manifests"
    ]  # fmt: skip
    assert (steps[3].done, steps[3].total) == (1, 4)
    before = asked(modules)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(subject, "USUAL_PLACES", ())
    assert build(root=tmp_path) == find(root=tmp_path) == made
    assert asked(modules) == before
    with pytest.raises(GoMissing, match="no Go toolchain"):
        build(["helm"], root=tmp_path)


def test_one_program_more_is_built_alone(modules: Path, tmp_path: Path) -> None:
    build(root=tmp_path)
    count = len(asked(modules))
    made = build([*DEFAULT, "helm"], root=tmp_path)
    assert made.program("helm").is_file()
    assert asked(modules)[count:] == ["mod download", "list -mod=readonly", "build -v"]


def test_a_failing_build_says_why_and_leaves_nothing(modules: Path, tmp_path: Path) -> None:
    (modules / "broken").touch()
    with pytest.raises(BuildFailed, match="(?s)go build failed .*build.log.*no such package"):
        build(root=tmp_path)
    folder = toolbox(tmp_path).folder
    assert [path.name for path in folder.iterdir()] == ["build.log"]
    (modules / "broken").unlink()
    assert build(root=tmp_path).missing(DEFAULT) == ()


def test_a_second_builder_waits_and_finds_the_work_done(modules: Path, tmp_path: Path) -> None:
    waiting = threading.Event()

    def noticed(step: Step) -> None:
        if step.doing == "waiting for another build":
            waiting.set()

    folder = toolbox(tmp_path).folder
    folder.mkdir(parents=True)
    second = threading.Thread(target=build, kwargs={"root": tmp_path, "report": noticed})
    with subject.locked(folder.with_suffix(".lock"), lambda _: None):
        second.start()
        assert waiting.wait(30.0)
        subject.compile_programs(subject.go_command(), programs(DEFAULT), toolbox(tmp_path), lambda _: None)
    second.join(30.0)
    assert not second.is_alive()
    assert asked(modules).count("build -v") == 1


def test_the_key_changes_with_what_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest()
    monkeypatch.setattr(subject, "linker_flags", lambda _: "-X other=v2")
    assert digest() != before
    assert re.fullmatch(r"[0-9a-f]{16}", before)


def test_another_row_is_built_from_its_own_module_beside_programs_of_the_main_one(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, "1.37")
    made = build(root=tmp_path)
    assert (made.row.kubernetes, made.module) == (ROWS["1.37"].kubernetes, subject.MODULE / "kubernetes-1.37")
    assert made == find(root=tmp_path)
    assert made.missing(DEFAULT) == ()
    main = toolbox(tmp_path, ROWS[MAIN])
    assert made.folder != main.folder
    assert sorted(path.name for path in (main.folder / "bin").iterdir()) == ["kueue", "kwok"]
    assert made.program("kwok").samefile(main.program("kwok"))
    assert asked(modules).count("build -v") == 2
    monkeypatch.setenv(ENVIRONMENT, "1.12")
    with pytest.raises(Misconfigured, match="HEAT_DISPATCH_KUBERNETES: no Kubernetes '1.12' .expected one of 1.36, 1.37."):
        find(root=tmp_path)


def test_old_builds_go_when_a_new_one_is_made(modules: Path, tmp_path: Path) -> None:
    """The new one and the newest of the old ones stay, and one that is being built."""
    del modules
    old = [tmp_path / (name * 8) for name in ("a1", "b2", "c3")]
    for age, folder in enumerate(old):
        (folder / "bin").mkdir(parents=True)
        os.utime(folder / "bin", (1000.0 - age, 1000.0 - age))
    with subject.locked(old[2].with_suffix(".lock"), lambda _: None):
        made = build(root=tmp_path)
    assert [folder for folder in (made.folder, *old) if folder.exists()] == [made.folder, old[0], old[2]]
    assert not old[1].with_suffix(".lock").exists()


def test_the_cache_follows_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert subject.cache_root() == tmp_path / "heat-dispatch" / "controlplane"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert subject.cache_root() == tmp_path / "home" / ".cache" / "heat-dispatch" / "controlplane"
