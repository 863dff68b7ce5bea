"""Which programs make a control plane, and at which versions. The versions in `go/go.mod` are the same (a test holds them)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scheduler.domain.errors import Misconfigured

KUBERNETES = "1.36.3"
# What Kubernetes 1.36.3 itself is tested with.
ETCD = "3.6.8"
# Both are made for the same minor version of Kubernetes; lift the three together.
KWOK = "0.8.0"
KUEUE = "0.19.2"
HELM = "4.2.4"


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


def linker_flags() -> str:
    """`-ldflags`: no symbols, and the versions that programs report of themselves (without them the server says v0.0.0)."""
    major, minor, _ = KUBERNETES.split(".")
    stated = {
        "k8s.io/component-base/version.gitVersion": f"v{KUBERNETES}",
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/component-base/version.gitTreeState": "clean",
        "sigs.k8s.io/kwok/pkg/consts.Version": f"v{KWOK}",
        "sigs.k8s.io/kueue/pkg/version.GitVersion": f"v{KUEUE}",
        "helm.sh/helm/v4/internal/version.version": f"v{HELM}",
    }
    return " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in stated.items())])
