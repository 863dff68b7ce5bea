"""Speaks zeusd's HTTP API for the pretended GPUs of a machine, as a process: `python zeusd_peer.py ADDRESS [OPTIONS]`.

Written after the daemon's page "HTTP API reference": status 200; 400 bad input, 401 token, 403 scope or NoPermission, 404 group
that is not enabled; writes answer `{"errors": {"<id>": "<message>"}}` with the worst status of all devices.
"""

from __future__ import annotations

import argparse
import json
import os
import socketserver
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pynvml
from gpu_machine import Machine

READY_S = 30.0
# The daemon's own word, spelled here anew so that a slip on our side shows; milliwatt.
LIMIT = "power_limit_mw"
STATUS_OF = {pynvml.NVML_ERROR_NO_PERMISSION: 403, pynvml.NVML_ERROR_INVALID_ARGUMENT: 400}


class Daemon:
    """What it knows: the order in which it counts GPUs, who may ask, and what it offers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        pynvml.nvmlInit()
        count = options.gpus or pynvml.nvmlDeviceGetCount()
        self.handles = [pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(count)]
        if options.swapped:
            self.handles.reverse()

    def answer(self, method: str, path: str, query: dict[str, str], token: str) -> tuple[int, dict[str, Any]]:
        """One answer."""
        if path == "/discover":
            gpus = [{"id": at, "name": str(pynvml.nvmlDeviceGetName(one))} for at, one in enumerate(self.handles)]
            groups = self.options.groups.split(",")
            return 200, {"gpus": gpus, "cpus": [], "enabled_api_groups": groups, "auth_required": bool(self.options.token)}
        group = "gpu-control" if path.startswith("/gpu/set_") else "gpu-read"
        if group not in self.options.groups.split(","):
            return 404, {"error": f"API group '{group}' is not enabled on this server."}
        if self.options.token and token != self.options.token:
            return 401, {"error": "Invalid token: InvalidSignature"}
        routes = {("POST", "/gpu/set_power_limit"): self._set, ("GET", "/gpu/get_power_limit"): self._get}
        route = routes.get((method, path))
        return (404, {}) if route is None else route(query)

    def _get(self, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        found = {at: pynvml.nvmlDeviceGetPowerManagementLimit(self.handles[int(at)]) for at in query["gpu_ids"].split(",")}
        return 200, {at: {LIMIT: limit} for at, limit in found.items()}

    def _set(self, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if query.get("block") != "true":
            return 400, {"error": "this peer knows only block=true"}
        worst, errors = 200, {}
        for at in query["gpu_ids"].split(","):
            try:
                pynvml.nvmlDeviceSetPowerManagementLimit(self.handles[int(at)], int(query[LIMIT]))
            except pynvml.NVMLError as error:
                errors[at] = f"NVML error: {error}"
                worst = max(worst, STATUS_OF.get(error.value, 500))
        return worst, {"errors": errors} if errors else {}


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True


class _Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def serve(options: argparse.Namespace) -> None:
    """Serve until ended."""
    daemon = Daemon(options)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(asked.query).items()}
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            code, said = daemon.answer(self.command, asked.path, query, token)
            body = json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - http.server asks for this name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    unix = options.address.startswith("unix:")
    if unix:
        Path(options.address.removeprefix("unix:")).unlink(missing_ok=True)
    where: Any = options.address.removeprefix("unix:") if unix else ("127.0.0.1", 0)
    with (_Unix if unix else _Tcp)(where, Handler) as server:
        address = options.address if unix else f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        Path(options.ready).write_text(address, encoding="utf-8")
        server.serve_forever(poll_interval=0.1)


@contextmanager
def running_zeusd(machine: Machine, folder: Path, *more: str, tcp: bool = False) -> Iterator[str]:
    """A daemon beside a machine; gives its address. A later one in the same folder has the same socket."""
    ready = folder / f"zeusd-{time.monotonic_ns()}"
    address = "tcp" if tcp else f"unix:{folder}/zeusd.sock"
    here = Path(__file__).parent
    environment = machine.environment | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    command = [sys.executable, __file__, address, "--ready", str(ready), *more]
    process = subprocess.Popen(command, env=environment)
    try:
        until_s = time.monotonic() + READY_S
        while not (ready.exists() and ready.read_text("utf-8")):
            if process.poll() is not None or time.monotonic() > until_s:
                raise TimeoutError("zeusd's peer does not start")
            time.sleep(0.02)
        yield ready.read_text("utf-8")
    finally:
        process.terminate()
        process.wait(READY_S)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--ready", required=True)
    parser.add_argument("--groups", default="gpu-control,gpu-read")
    parser.add_argument("--token", default="")
    parser.add_argument("--gpus", type=int, default=0, help="sees only the first of them")
    parser.add_argument("--swapped", action="store_true", help="counts them the other way round")
    serve(parser.parse_args())
