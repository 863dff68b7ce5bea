"""Pages as dcgm-exporter writes them, in the generations of its labels, and the same series as a Prometheus answers them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

DRAW, ENERGY = "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
LIMIT, ENFORCED = "DCGM_FI_DEV_POWER_MGMT_LIMIT", "DCGM_FI_DEV_ENFORCED_POWER_LIMIT"
TEMPERATURE = "DCGM_FI_DEV_GPU_TEMP"
HELP = {
    DRAW: ("gauge", "Power draw (in W)."),
    ENERGY: ("counter", "Total energy consumption since boot (in mJ)."),
    LIMIT: ("gauge", "Current power limit (in W)."),
    ENFORCED: ("gauge", "Effective power limit (in W)."),
    TEMPERATURE: ("gauge", "GPU temperature (in C)."),
}
# What a field that a GPU does not have is told as.
BLANK = "9223372036854775794"


def labels(index: int, *, host: str = "Hostname=n0", pod: str | None = "", **more: str) -> dict[str, str]:
    """Labels of one GPU; pod: `namespace/name`, "" for none, None where pods are not told."""
    name, _, value = host.partition("=")
    found = {
        "gpu": str(index),
        "UUID": f"GPU-{index}",
        "pci_bus_id": f"00000000:{index:02X}:00.0",
        "device": f"nvidia{index}",
        "modelName": "NVIDIA H100 80GB HBM3",
        **{key: text for key, text in more.items() if key.startswith("GPU_I")},
        name: value,
    }
    if pod is not None:
        namespace, _, pod_name = pod.partition("/")
        found |= {"container": "main" if pod else "", "namespace": namespace, "pod": pod_name}
    return found | {key: text for key, text in more.items() if not key.startswith("GPU_I")}


def page(*series: tuple[str, Mapping[str, str], str | float]) -> bytes:
    """A page with these series, each metric with its HELP and TYPE."""
    lines = []
    for metric in dict.fromkeys(name for name, _, _ in series):
        kind, words = HELP[metric]
        lines += [f"# HELP {metric} {words}", f"# TYPE {metric} {kind}"]
        for name, mine, value in series:
            if name == metric:
                inside = ",".join(f'{key}="{text}"' for key, text in mine.items())
                lines.append(f"{metric}{{{inside}}} {value}")
    return ("\n".join(lines) + "\n").encode()


def matrix(*series: tuple[str, Mapping[str, str], Sequence[tuple[float, str | float]]]) -> bytes:
    """An answer of Prometheus to a question about a range."""
    result = [
        {"metric": {"__name__": metric} | dict(mine), "values": [(at_s, str(value)) for at_s, value in values]}
        for metric, mine, values in series
    ]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


def scraped(of: Mapping[str, str], exporter: str = "dcgm-exporter-x7k2p") -> dict[str, str]:
    """Labels after a scrape with `honorLabels: false`: the target's own win, empty ones are dropped."""
    renamed = {
        f"exported_{name}" if name in ("pod", "namespace", "container") else name: text for name, text in of.items() if text
    }
    return renamed | {"pod": exporter, "namespace": "gpu-operator", "container": "exporter", "instance": "10.0.0.7:9400"}
