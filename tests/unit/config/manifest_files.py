"""Small sites as manifests, changed in one place by each test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent, indent

from scheduler.config.findings import refuse
from scheduler.config.load import Manifests, load_manifests

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "examples" / "reference"
PLUG = """
temperature: {supplyMinC: 30, supplyMaxC: 60, returnMaxC: 45}
capacity: {maxHeatKw: 60}
capture: {gpu: 0.9, other: 0.3}
metering: {meterPointId: m1, position: return, calibrationDue: 2030-01-01}
"""
OFFTAKE = """
plugRef: loop
sink: building
requirement: {supplyC: 50, maxHeatKw: 40, annualMwh: 100, availability: 0.9}
tariff: {kind: fixed, fixedEurPerKwh: 0.04}
"""


def document(kind: str, name: str, spec: str) -> str:
    head = f"apiVersion: heatdispatch.io/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n"
    return head + indent(dedent(spec).strip(), "  ") + "\n"


def minimal(
    *,
    plug: str = PLUG,
    offtake: str = OFFTAKE,
    policy: str | None = None,
    classes: Mapping[str, str] | None = None,
    idle_node_kw: float | None = None,
    extra_site: str = "",
) -> dict[str, str]:
    """Files of a site with 64 GPUs on one plug with one customer."""
    idle = "" if idle_node_kw is None else f", idleNodeKw: {idle_node_kw}"
    pools = f"timeZone: UTC\nnodePools:\n  - {{pool: gpu, plug: loop, nodes: 8, gpusPerNode: 8, gpuModel: H100{idle}}}\n"
    files = {
        "site.yaml": document("Site", "small", pools + dedent(extra_site)),
        "plug.yaml": document("ThermalPlug", "loop", plug),
        "offtake.yaml": document("HeatOfftake", "house", offtake),
    }
    if policy is not None:
        files["policy.yaml"] = document("DispatchPolicy", "min", policy)
    if classes:
        files["classes.yaml"] = "---\n".join(document("WorkloadClass", name, spec) for name, spec in classes.items())
    return files


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def manifests_of(folder: Path, files: Mapping[str, str]) -> Manifests:
    manifests, findings = load_manifests(write_files(folder, files))
    refuse(findings)
    return manifests
