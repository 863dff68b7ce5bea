"""Stages of kwok and objects of Kueue, taken from the modules that the build fetches anyway; nothing of theirs is kept here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

KWOK_MODULE = "sigs.k8s.io/kwok"
KUEUE_MODULE = "sigs.k8s.io/kueue"
STAGES_FILE = "kwok.yaml"
KUEUE_FILE = "kueue.json"
# Nodes come up at once and keep a lease; pods take the "general" way, which knows grace periods and delays by annotation.
STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/general/pod-create.yaml",
    "pod/general/pod-init-container-running.yaml",
    "pod/general/pod-init-container-completed.yaml",
    "pod/general/pod-ready.yaml",
    "pod/general/pod-complete.yaml",
    "pod/general/pod-delete.yaml",
)
KUEUE_SOURCES = {
    "crds": "config/components/crd/bases/*.yaml",
    "webhooks": "config/components/webhook/manifests.yaml",
    "roles": "config/components/rbac/role.yaml",
}
# The one written in C reads Kueue's schemas (1.4 MB) forty times as fast; wheels have it.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def gather(modules: Mapping[str, Path], target: Path) -> None:
    """Write `kwok.yaml` and `kueue.json` into a folder, from the folders of the two modules."""
    target.mkdir(parents=True, exist_ok=True)
    stages = prompt(documents(modules[KWOK_MODULE] / "kustomize" / "stage" / name for name in STAGES))
    (target / STAGES_FILE).write_text(yaml.safe_dump_all(stages, sort_keys=False), encoding="utf-8")
    kueue = {part: documents(sorted(modules[KUEUE_MODULE].glob(pattern))) for part, pattern in KUEUE_SOURCES.items()}
    (target / KUEUE_FILE).write_text(json.dumps(kueue), encoding="utf-8")


def documents(paths: Iterable[Path]) -> list[Object]:
    """All objects of some YAML files."""
    found: list[Object] = []
    for path in paths:
        # The loader is a safe one.
        with path.open(encoding="utf-8") as stream:
            found += [document for document in yaml.load_all(stream, Loader=_LOADER) if document]
    return found


def prompt(stages: Iterable[Object]) -> list[Object]:
    """The same stages without the second to six that pods wait by default; delays by annotation and grace periods stay."""
    changed = []
    for stage in stages:
        delay = {key: value for key, value in stage["spec"].get("delay", {}).items() if key != "jitterDurationMilliseconds"}
        if stage["spec"]["resourceRef"]["kind"] == "Pod":
            stage = {**stage, "spec": {**stage["spec"], "delay": {**delay, "durationMilliseconds": 0}}}
        changed.append(stage)
    return changed
