"""A device plugin that offers GPUs in name: it registers with a real kubelet, and anew with every one that follows it.

with DevicePlugin(node.kubelet_folder / "device-plugins", ("GPU-0000", "GPU-0001")): ...
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from kubelet_peer import GPU, part

from scheduler.adapters.devcluster.processes import Upright
from scheduler.adapters.gpu.wire_proto import chunks, text

VERSION = "v1beta1"
ENDPOINT = "heat-dispatch.sock"
KUBELET = "kubelet.sock"
EVERY_S = 0.1
# A kubelet takes a registration only when it can connect to the plugin itself.
REGISTER_S = 10.0
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
Call: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"


@dataclass(slots=True, eq=False)
class DevicePlugin(Upright):
    """Offers devices by these ids; `given`: the ids that were given out, in order."""

    folder: Path
    ids: tuple[str, ...]
    resource: str = GPU
    given: list[str] = field(default_factory=list)
    _server: Any = None
    _over: threading.Event = field(default_factory=threading.Event)
    _watching: threading.Thread | None = None

    def start(self) -> None:
        """Look for a kubelet from now on."""
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def stop(self) -> None:
        """Withdraw."""
        self._over.set()
        if self._watching is not None:
            self._watching.join()
        self._leave()

    def _watch(self) -> None:
        """Register with each kubelet; a new one has removed our socket, and made one of its own."""
        known: tuple[int, int] | None = None
        while not self._over.wait(EVERY_S):
            try:
                found = (self.folder / KUBELET).stat()
                if (found.st_ino, found.st_ctime_ns) != known:
                    self._leave()
                    self._serve()
                    self._register()
                    known = (found.st_ino, found.st_ctime_ns)
            except (OSError, grpc.RpcError):
                known = None

    def _serve(self) -> None:
        """Listen where the kubelet looks."""
        methods: dict[str, Handler] = {
            "GetDevicePluginOptions": grpc.unary_unary_rpc_method_handler(lambda _request, _context: b""),
            "ListAndWatch": grpc.unary_stream_rpc_method_handler(self._list),
            "Allocate": grpc.unary_unary_rpc_method_handler(self._allocate),
        }
        self._server = grpc.server(ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"{VERSION}.DevicePlugin", methods),))
        self._server.add_insecure_port(f"unix:{self.folder / ENDPOINT}")
        self._server.start()

    def _leave(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None

    def _register(self) -> None:
        """Tell the kubelet of us."""
        with grpc.insecure_channel(f"unix:{self.folder / KUBELET}") as channel:
            register: Call = channel.unary_unary(f"/{VERSION}.Registration/Register", None, None)
            register(part(1, VERSION) + part(2, ENDPOINT) + part(3, self.resource), timeout=REGISTER_S)

    def _list(self, request: bytes, context: Any) -> Iterator[bytes]:
        """All devices at once, which stay healthy."""
        yield b"".join(part(1, part(1, one) + part(2, "Healthy")) for one in self.ids)
        while context.is_active() and not self._over.wait(EVERY_S):
            """Nothing changes."""

    def _allocate(self, request: bytes, context: Any) -> bytes:
        """Give devices to containers; they see their names and nothing more."""
        asked = [[text(one) for one in chunks(container, 1)] for container in chunks(request, 1)]
        self.given += [one for container in asked for one in container]
        seen = (part(1, "NVIDIA_VISIBLE_DEVICES") + part(2, ",".join(container)) for container in asked)
        return b"".join(part(1, part(1, one)) for one in seen)
