"""A kubelet's pod-resources socket as the agent meets it: a real gRPC server that says what a test wants, as well or as badly.

with KubeletPeer(folder) as peer:              # in threads of this process
    peer.pods = [holding("train", "GPU-0000")]

python tests/kubelet_peer.py FOLDER STATE      # as a process; STATE is JSON, read anew at every call:
[{"namespace": "lab", "name": "train", "gpus": ["GPU-0000"]}]
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

SOCKET = "kubelet.sock"
SERVICE = "v1.PodResourcesLister"
GPU = "nvidia.com/gpu"
# Other pods of a node, and what a container has besides GPUs.
CPU_IDS = bytes([3, 0, 1, 2])


def varint(number: int) -> bytes:
    """A number as Protocol Buffers write it."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def part(number: int, value: str | bytes) -> bytes:
    """A field that is a text or a message."""
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def devices(*ids: str, resource: str = GPU) -> bytes:
    """A ContainerDevices, with a topology, which nobody asks for."""
    return part(1, resource) + b"".join(part(2, one) for one in ids) + part(3, part(1, b"\x08\x01"))


def claim(device: str, pool: str = "n0", driver: str = "gpu.nvidia.com") -> bytes:
    """A DynamicResource with one device."""
    cdi = part(1, part(1, f"k8s.{driver}/claim=7f0c-{device}"))
    return part(2, "a-claim") + part(3, "lab") + part(4, cdi + part(2, driver) + part(3, pool) + part(4, device))


def container(*held: bytes, name: str = "main", claims: tuple[bytes, ...] = ()) -> bytes:
    """A ContainerResources of ContainerDevices and DynamicResources."""
    plugins = b"".join(part(2, one) for one in held)
    return part(1, name) + plugins + part(3, CPU_IDS) + b"".join(part(5, one) for one in claims)


def pod(name: str, *containers: bytes, namespace: str = "lab") -> bytes:
    """A PodResources."""
    return part(1, name) + part(2, namespace) + b"".join(part(3, one) for one in containers)


def holding(name: str, *gpus: str, namespace: str = "lab", resource: str = GPU) -> bytes:
    """A PodResources of one container with some GPUs."""
    return pod(name, container(devices(*gpus, resource=resource)), namespace=namespace)


def listed(pods: list[bytes]) -> bytes:
    """A ListPodResourcesResponse."""
    return b"".join(part(1, one) for one in pods)


@dataclass(slots=True, eq=False)
class KubeletPeer:
    """Serves `pods`, or `raw` bytes; after `hang_s`, or with an error of `code`. `state`: a file to read the pods from instead.

    As a kubelet that ends: `stop` takes the socket away, `vanish` leaves its file with nobody behind; `start` makes a new one.
    """

    folder: Path
    pods: list[bytes] = field(default_factory=list)
    raw: bytes | None = None
    hang_s: float = 0.0
    code: grpc.StatusCode | None = None
    state: Path | None = None
    asked: int = 0
    _server: Any = None
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> KubeletPeer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def path(self) -> Path:
        """The socket."""
        return self.folder / SOCKET

    def start(self) -> None:
        """Listen."""
        self._over.clear()
        # One that hangs keeps a thread; a client that has given up must find another one.
        self._server = grpc.server(ThreadPoolExecutor(8))
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._list)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"List": handler}),))
        self.path.unlink(missing_ok=True)
        self._server.add_insecure_port(f"unix:{self.path}")
        self._server.start()

    def stop(self) -> None:
        """End; who is being answered is cut off."""
        if self._server is not None:
            self._over.set()
            self._server.stop(grace=None).wait()
            self._server = None
        self.path.unlink(missing_ok=True)

    def vanish(self) -> None:
        """End as a killed kubelet does: the file stays, and nobody listens."""
        self.stop()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(self.path))

    def _list(self, request: bytes, context: Any) -> bytes:
        """One call."""
        self.asked += 1
        if self.hang_s:
            self._over.wait(self.hang_s)
        if self.code is not None:
            context.abort(self.code, "as the test wants it")
        if self.raw is not None:
            return self.raw
        return listed(self.pods if self.state is None else told(self.state))


def told(state: Path) -> list[bytes]:
    """Pods as a file tells them."""
    found = json.loads(state.read_text("utf-8"))
    return [holding(one["name"], *one["gpus"], namespace=one.get("namespace", "lab")) for one in found]


@dataclass(slots=True, eq=False)
class RudePeer:
    """Listens where a kubelet would, says some bytes to whoever comes, and hangs up or not: no gRPC at all."""

    folder: Path
    words: bytes
    hang_up: bool = True
    _listening: socket.socket = field(init=False)

    def __enter__(self) -> RudePeer:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.folder / SOCKET))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        (self.folder / SOCKET).unlink()

    def _serve(self) -> None:
        """Be rude until closed."""
        kept = []
        with suppress(OSError):
            while True:
                met, _ = self._listening.accept()
                met.sendall(self.words)
                if self.hang_up:
                    met.close()
                else:
                    kept.append(met)
        for met in kept:
            met.close()


if __name__ == "__main__":
    with KubeletPeer(Path(sys.argv[1]), state=Path(sys.argv[2])):
        threading.Event().wait()
