"""What kube-proxy would do for the one Service that every pod needs: brings the API server into a pod's network.

A CNI plugin that comes after `ptp`: `python -I services.py`, called as the CNI specification has it. In the pod's own network
there is then the address of the Service `kubernetes`, and what comes to it goes on to the API server on the machine's loopback.
Packets of this pod may go to other pods of the node too, which is said of its own interface alone. All of it goes with the pod:
no firewall, address or setting of the machine is touched. Standard library only, imported by nothing.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000
SIOCSIFADDR, SIOCSIFNETMASK = 0x8916, 0x891C
SERVICE, PORT, ALONE = "10.0.0.1", 443, "255.255.255.255"
VERSIONS = {"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0"]}
CHUNK = 1 << 16


def main(config: Mapping[str, Any]) -> None:
    """What the runtime asks for."""
    asked = os.environ["CNI_COMMAND"]
    if asked == "VERSION":
        print(json.dumps(VERSIONS))
        return
    place = Path(config["folder"], os.environ["CNI_CONTAINERID"])
    if asked == "ADD":
        add(config, place)
        print(json.dumps(config["prevResult"]))
    elif asked == "DEL":
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(place.read_text("utf-8")), signal.SIGTERM)
        place.unlink(missing_ok=True)


def add(config: Mapping[str, Any], place: Path) -> None:
    """Let the pod's packets through to other pods, and leave a process behind that is the API server for it."""
    for interface in config["prevResult"]["interfaces"]:
        if not interface.get("sandbox"):
            Path("/proc/sys/net/ipv4/conf", interface["name"], "forwarding").write_text("1", encoding="ascii")
    server = listening(os.environ["CNI_NETNS"])
    if pid := os.fork():
        place.write_text(str(pid), encoding="utf-8")
        return
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    asyncio.run(serve(server, int(config["port"])))


def listening(network: str) -> socket.socket:
    """A socket of the pod's network, at the Service's address there; this process is in the machine's again afterwards."""
    with Path("/proc/self/ns/net").open("rb") as own, Path(network).open("rb") as pods:
        enter(pods.fileno())
        try:
            server = socket.socket()
            for what, address in ((SIOCSIFADDR, SERVICE), (SIOCSIFNETMASK, ALONE)):
                named = struct.pack("16sHH4s8x", b"lo:0", socket.AF_INET, 0, socket.inet_aton(address))
                fcntl.ioctl(server, what, named)
            server.bind((SERVICE, PORT))
            server.listen(128)
        finally:
            enter(own.fileno())
    return server


def enter(network: int) -> None:
    """Be in another network from now on, as far as new sockets go."""
    if ctypes.CDLL(None, use_errno=True).setns(network, CLONE_NEWNET) != 0:
        sys.exit(f"cannot enter a network: {os.strerror(ctypes.get_errno())}")


async def serve(server: socket.socket, port: int) -> None:
    """Pass on what comes, until this process is ended."""

    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(one_way(reader, inner_writer), one_way(inner_reader, writer))
        writer.close()

    async with await asyncio.start_server(through, sock=server) as door:
        await door.serve_forever()


async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything from one to the other, and the end of it."""
    with suppress(OSError):
        while said := await reader.read(CHUNK):
            writer.write(said)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    main(json.loads(sys.stdin.read() or "{}"))
