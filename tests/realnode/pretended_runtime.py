"""NVIDIA's container runtime, played: runc, but for containers that ask for GPUs, which get the pretended driver's library.

    pretended_runtime.py RUNC LIBRARY STATE [what runc is told]

Who asks is seen by the container's environment, as that one does it: who does not, in a pod of this runtime class, gets none.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

from scheduler.adapters.devcluster.realnode import needs

ASKS = "NVIDIA_VISIBLE_DEVICES=all"
# Where the loader of the image looks by itself.
LIBRARY = "/usr/lib/libnvidia-ml.so.1"
STATE = "/gpus.state"


def written(folder: Path, library: Path, state: Path) -> Path:
    """A program that containerd may call in the place of runc."""
    program = folder / "nvidia-runtime"
    command = [sys.executable, __file__, needs.means().programs["runc"], str(library), str(state)]
    environment = shlex.quote(f"PYTHONPATH={Path(__file__).parents[2]}")
    program.write_text(f'#!/bin/sh\nexec env {environment} {shlex.join(command)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def equip(bundle: Path, library: str, state: str) -> None:
    """Change what runc is going to make, if it asks."""
    file = bundle / "config.json"
    config = json.loads(file.read_text("utf-8"))
    if ASKS not in config["process"].get("env", []):
        return
    config["mounts"] += [
        {"destination": LIBRARY, "type": "bind", "source": library, "options": ["bind", "ro"]},
        {"destination": STATE, "type": "bind", "source": state, "options": ["bind", "rw"]},
    ]
    config["process"]["env"].append(f"FAKE_NVML_STATE={STATE}")
    file.write_text(json.dumps(config), encoding="utf-8")


if __name__ == "__main__":
    runc, given_library, given_state, *told = sys.argv[1:]
    if "create" in told:
        equip(Path(told[told.index("--bundle") + 1]), given_library, given_state)
    os.execv(runc, [runc, *told])
