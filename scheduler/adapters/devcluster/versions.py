"""Which programs make a control plane, and at which versions. Those in the Go modules under `go/` are the same (a test)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from scheduler.domain.errors import Misconfigured

KUBERNETES = "1.36.3"
# What Kubernetes 1.36.3 itself is tested with.
ETCD = "3.6.8"
# Both are made for the same minor version of Kubernetes; lift the three together.
KWOK = "0.8.0"
KUEUE = "0.19.2"
HELM = "4.2.4"
# Names a row of the matrix below; without it the main one is used.
ENVIRONMENT = "HEAT_DISPATCH_KUBERNETES"
MAIN = "1.36"


KUBERNETES_MODULE = "k8s.io/kubernetes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program: the Go package that holds its `main`, and the file name `go build` gives it where that is another."""

    name: str
    package: str
    version: str
    built_as: str
    by_default: bool = True


def _program(name: str, package: str, version: str, *, built_as: str = "", by_default: bool = True) -> Program:
    return Program(name=name, package=package, version=version, built_as=built_as or name, by_default=by_default)


PROGRAMS = {
    program.name: program
    for program in (
        _program("etcd", "go.etcd.io/etcd/server/v3", ETCD, built_as="server"),
        _program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", KUBERNETES),
        _program("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", KUBERNETES),
        _program("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", KUBERNETES),
        _program("kubectl", "k8s.io/kubernetes/cmd/kubectl", KUBERNETES),
        _program("kwok", "sigs.k8s.io/kwok/cmd/kwok", KWOK),
        _program("kueue", "sigs.k8s.io/kueue/cmd/kueue", KUEUE),
        _program("kubelet", "k8s.io/kubernetes/cmd/kubelet", KUBERNETES, by_default=False),
        _program("helm", "helm.sh/helm/v4/cmd/helm", HELM, by_default=False),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the matrix: a minor version of Kubernetes, the etcd it is tested with, and the Go module that pins both.

    module: folder in `go/`. Programs of others (kwok, Kueue, helm) come from the main row's module and run beside every row.
    """

    kubernetes: str
    etcd: str
    module: str = ""

    def programs(self) -> dict[str, Program]:
        """Programs of the row's own module, at its versions."""
        versions = {PROGRAMS["etcd"].package: self.etcd}
        of_kubernetes = {one.package: self.kubernetes for one in PROGRAMS.values() if one.package.startswith(KUBERNETES_MODULE)}
        versions |= of_kubernetes
        own = {name: one for name, one in PROGRAMS.items() if not self.module or one.package in versions}
        return {name: replace(one, version=versions.get(one.package, one.version)) for name, one in own.items()}


ROWS = {
    MAIN: Row(kubernetes=KUBERNETES, etcd=ETCD),
    "1.37": Row(kubernetes="1.37.1", etcd="3.7.0", module="kubernetes-1.37"),
}
DEFAULT = tuple(name for name, program in PROGRAMS.items() if program.by_default)
OPTIONAL = tuple(name for name, program in PROGRAMS.items() if not program.by_default)
# Modules whose manifests (stages, CRDs, webhooks, roles) a cluster needs beside the programs.
MANIFEST_MODULES = ("sigs.k8s.io/kwok", "sigs.k8s.io/kueue")


def programs(names: Iterable[str]) -> tuple[Program, ...]:
    """Programs by name, each once, in the order of `PROGRAMS`.

    Raises:
        Misconfigured: for a name that is none.
    """
    wanted = set(names)
    unknown = sorted(wanted - set(PROGRAMS))
    if unknown:
        raise Misconfigured(f"no program {unknown[0]!r}", where="programs", expected=f"one of {', '.join(PROGRAMS)}")
    return tuple(program for name, program in PROGRAMS.items() if name in wanted)


def chosen() -> Row:
    """The row that the environment names, else the main one.

    Raises:
        Misconfigured: for a name that is none.
    """
    name = os.environ.get(ENVIRONMENT) or MAIN
    if name not in ROWS:
        raise Misconfigured(f"no Kubernetes {name!r}", where=ENVIRONMENT, expected=f"one of {', '.join(ROWS)}")
    return ROWS[name]


def linker_flags(row: Row = ROWS[MAIN]) -> str:
    """`-ldflags`: no symbols, and the versions that programs report of themselves (without them the server says v0.0.0)."""
    major, minor, _ = row.kubernetes.split(".")
    stated = {
        "k8s.io/component-base/version.gitVersion": f"v{row.kubernetes}",
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/component-base/version.gitTreeState": "clean",
        "sigs.k8s.io/kwok/pkg/consts.Version": f"v{KWOK}",
        "sigs.k8s.io/kueue/pkg/version.GitVersion": f"v{KUEUE}",
        "helm.sh/helm/v4/internal/version.version": f"v{HELM}",
    }
    return " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in stated.items())])
