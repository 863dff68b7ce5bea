"""The table: every number with its target, the machine's load while it was measured, and what stands behind it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import scheduler
from scheduler.adapters.devcluster import versions

LIBRARIES = ("kubernetes", "numpy", "highspy", "pulp")
KIB_PER_GIB = 1024.0 * 1024.0
HEADER = ("what", "measured", "target", "", "load", "behind it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number. at_most: the target, None when there is none; load: load average of the last minute when it was taken."""

    key: str
    what: str
    value: float
    unit: str
    at_most: float | None = None
    behind: Mapping[str, Any] = field(default_factory=dict)
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    @property
    def held(self) -> bool | None:
        """Whether the target is held; None without one."""
        return None if self.at_most is None else self.value <= self.at_most

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "held": self.held}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def machine() -> dict[str, Any]:
    """What it ran on."""
    info = Path("/proc/cpuinfo").read_text("utf-8")
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "")
    total = Path("/proc/meminfo").read_text("utf-8").splitlines()[0]
    return {
        "processor": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memoryGiB": round(int(total.split()[1]) / KIB_PER_GIB, 1),
        "kernel": platform.release(),
    }


def used_versions() -> dict[str, str]:
    """Of what."""
    return {
        "heat-dispatch": scheduler.__version__,
        "python": platform.python_version(),
        "Kubernetes": versions.KUBERNETES,
        **{name: version(name) for name in LIBRARIES},
    }


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a Markdown table."""
    lines = [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
    lines += [f"| {' | '.join(cells(row))} |" for row in report["rows"]]
    where, made_of = report["machine"], report["versions"]
    size = f"{report['nodes']:,} nodes, {report['jobs']:,} Jobs, {report['date']}"
    machine_ = f"{where['processor']}, {where['cores']} cores, {where['memoryGiB']} GiB"
    programs = ", ".join(f"{name} {number}" for name, number in made_of.items())
    return "\n".join([f"{size}; {machine_}; {programs}", "", *lines, ""])


def cells(row: Mapping[str, Any]) -> list[str]:
    """One line of the table."""
    target = "–" if row["at_most"] is None else f"<= {row['at_most']:g} {row['unit']}".strip()
    verdict = {None: "", True: "holds", False: "missed"}[row["held"]]
    behind = ", ".join(f"{name} {shown(value)}" for name, value in row["behind"].items())
    return [row["what"], f"{shown(row['value'])} {row['unit']}".strip(), target, verdict, f"{row['load']:.1f}", behind]


def shown(value: Any) -> str:
    """A number as one reads it."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {shown(one)}" for name, one in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
