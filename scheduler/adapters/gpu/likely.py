"""Why NVIDIA's library is not there: the likely cause, from what a container can see of how it was started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

VISIBLE, CAPABILITIES = "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"
# Devices asked for as mounts stand here by their names.
MOUNTS = Path("/var/run/nvidia-container-devices")
IN_A_POD = "KUBERNETES_SERVICE_HOST"
IN_A_CONTAINER = (Path("/.dockerenv"), Path("/run/.containerenv"))


def no_library(environment: Mapping[str, str] | None = None, *, mounts: Path = MOUNTS, contained: bool | None = None) -> str:
    """What would bring libnvidia-ml.so.1.

    Args:
        environment: of this process; its own by default.
        mounts: where devices are asked for as mounts.
        contained: whether this is a container; found out by default.
    """
    given = os.environ if environment is None else environment
    if contained is None:
        contained = IN_A_POD in given or any(path.exists() for path in IN_A_CONTAINER)
    if not contained:
        return "an NVIDIA driver on this machine, or in a container its runtime class"
    visible, capabilities = given.get(VISIBLE), given.get(CAPABILITIES)
    if visible in ("", "void", "none"):
        return f"{VISIBLE}=all in place of {visible or 'nothing'}, which keeps GPUs out, and NVIDIA's runtime class"
    if visible is None and not mounts.is_dir():
        return f"NVIDIA's runtime class, and {VISIBLE}=all: nothing asks for GPUs here"
    if capabilities and not {"utility", "all"} & set(capabilities.split(",")):
        return f"utility among {CAPABILITIES}={capabilities}, for NVIDIA's runtime class to bring the library"
    if visible is None:
        return f"NVIDIA's runtime class, and a runtime that takes devices as mounts in {mounts}"
    return (
        f"NVIDIA's runtime class (runtimeClassName: nvidia), which knows {VISIBLE}={visible}; where it takes that of no "
        "container without CAP_SYS_ADMIN, devices as volume mounts or by CDI"
    )
