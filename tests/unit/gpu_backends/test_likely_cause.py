"""The likely cause of a missing library, by how a container was started."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.adapters.gpu.likely import no_library

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
ALL = {**POD, "NVIDIA_VISIBLE_DEVICES": "all"}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (POD, "nothing asks for GPUs here"),
        ({**POD, "NVIDIA_VISIBLE_DEVICES": "void"}, "NVIDIA_VISIBLE_DEVICES=all in place of void"),
        ({**POD, "NVIDIA_VISIBLE_DEVICES": ""}, "NVIDIA_VISIBLE_DEVICES=all in place of nothing"),
        (
            {**ALL, "NVIDIA_DRIVER_CAPABILITIES": "compute,graphics"},
            "utility among NVIDIA_DRIVER_CAPABILITIES=compute,graphics",
        ),
        ({**ALL, "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}, "devices as volume mounts or by CDI"),
        ({**ALL, "NVIDIA_DRIVER_CAPABILITIES": "all"}, "runtimeClassName: nvidia"),
        (ALL, "which knows NVIDIA_VISIBLE_DEVICES=all"),
    ],
)
def test_a_container_is_told_what_it_lacks(environment: dict[str, str], words: str, tmp_path: Path) -> None:
    assert words in no_library(environment, mounts=tmp_path / "none")


def test_mounts_that_nobody_took_are_named(tmp_path: Path) -> None:
    assert no_library(POD, mounts=tmp_path).endswith(f"takes devices as mounts in {tmp_path}")


def test_outside_of_a_container_it_is_the_driver() -> None:
    assert no_library({}, contained=False).startswith("an NVIDIA driver on this machine")
