"""Images of one static busybox, as an archive that containerd takes: nothing is pulled, and nothing else is needed."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scheduler.adapters.devcluster.build import cache_root

# Raise it when what is written below changes.
VERSION = "1"
PREFIX = "localhost/heat-dispatch"
# Holds the namespaces of a pod.
PAUSE = f"{PREFIX}/pause:{VERSION}"
# A shell and small tools: `sh -c SCRIPT` with a container's `args: [SCRIPT]`.
BUSYBOX = f"{PREFIX}/busybox:{VERSION}"
ENTRYPOINTS: Mapping[str, Sequence[str]] = {
    PAUSE: ("/bin/busybox", "sleep", "2147483647"),
    BUSYBOX: ("/bin/sh", "-c"),
}
FOLDERS = ("bin", "dev", "etc", "proc", "sys", "tmp")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
KEY_LENGTH = 16


def archive(busybox: str) -> Path:
    """The archive for a busybox, from the cache or made now (two megabytes, a moment)."""
    program = Path(busybox).read_bytes()
    key = hashlib.sha256(VERSION.encode() + program).hexdigest()[:KEY_LENGTH]
    path = cache_root().parent / "images" / f"{key}.tar"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(packed(layer_of(program, applets(busybox))))
        part.replace(path)
    return path


def applets(busybox: str) -> list[str]:
    """Names by which it can be called."""
    return subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()


def layer_of(program: bytes, names: Sequence[str]) -> bytes:
    """A root file system with busybox and a link for each of its names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        _add(tar, "bin/busybox", program, mode=0o755)
        for name in names:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            if name != "busybox":
                tar.addfile(link)
    return buffer.getvalue()


def packed(layer: bytes) -> bytes:
    """All images on one layer, in the format of `docker save`."""
    buffer = io.BytesIO()
    manifest: list[dict[str, Any]] = []
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, "layer.tar", layer)
        for number, (reference, entrypoint) in enumerate(ENTRYPOINTS.items()):
            _add(tar, f"config-{number}.json", json.dumps(image(layer, entrypoint)).encode())
            manifest.append({"Config": f"config-{number}.json", "RepoTags": [reference], "Layers": ["layer.tar"]})
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return buffer.getvalue()


def image(layer: bytes, entrypoint: Sequence[str]) -> dict[str, Any]:
    """An image of one layer, as the OCI image configuration has it."""
    return {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """One file, of root and without a time, so that the same content makes the same image."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
