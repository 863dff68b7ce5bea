"""A broker of MQTT as a process of its own: amqtt (MQTT 3.1.1), or Debian's mosquitto (also 5) where it is installed.

    with link_broker(folder) as broker:
        ... connect to broker.port ...
        broker.kill()          # as the power fails: everything that it had retained is gone
        broker.start()         # on the same port

As a program, `python link_broker.py SETTINGS.json` is amqtt with these settings.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
STARTS_S = 30.0
USER = "heat"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFiles:
    """PEM files of a broker with TLS; client_ca: whoever connects must show a certificate of it."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(slots=True, kw_only=True)
class LinkBroker:
    """A broker on loopback. password: of `USER`, whom alone it then lets in. acl: mosquitto's access list, of whose users each
    has that password.
    """

    kind: str
    folder: Path
    password: str = ""
    tls: BrokerFiles | None = None
    acl: str = ""
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self._mosquitto() if self.kind == "mosquitto" else self._amqtt()
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until_s = time.monotonic() + STARTS_S
        while time.monotonic() < until_s:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError((self.folder / "broker.log").read_text(errors="replace")[-2000:])

    def kill(self) -> None:
        """End without a word."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _mosquitto(self) -> list[str]:
        assert MOSQUITTO is not None
        lines = [f"listener {self.port} 127.0.0.1", "user root", f"allow_anonymous {str(not self.password).lower()}"]
        if self.password:
            file = self.folder / "passwords"
            users = [USER, *(line.split()[1] for line in self.acl.splitlines() if line.startswith("user "))]
            file.write_text("".join(f"{user}:{self.password}\n" for user in users))
            subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True, capture_output=True)
            lines.append(f"password_file {file}")
        if self.acl:
            file = self.folder / "acl"
            file.write_text(self.acl)
            lines.append(f"acl_file {file}")
        if self.tls is not None:
            lines += [f"certfile {self.tls.certificate}", f"keyfile {self.tls.key}"]
            if self.tls.client_ca is not None:
                lines += [f"cafile {self.tls.client_ca}", "require_certificate true"]
        settings = self.folder / "mosquitto.conf"
        settings.write_text("\n".join(lines) + "\n")
        return [MOSQUITTO, "-c", str(settings)]

    def _amqtt(self) -> list[str]:
        listener: dict[str, object] = {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}
        if self.tls is not None:
            listener |= {"ssl": True, "certfile": str(self.tls.certificate), "keyfile": str(self.tls.key)}
        settings = self.folder / "amqtt.json"
        plugins: dict[str, object] = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        if self.password:
            from pwdlib import PasswordHash
            from pwdlib.hashers.argon2 import Argon2Hasher

            file = self.folder / "passwords"
            file.write_text(f"{USER}:{PasswordHash((Argon2Hasher(),)).hash(self.password)}\n")
            plugins = {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(file)}}
        settings.write_text(json.dumps({"listeners": {"default": listener}, "plugins": plugins}))
        return [sys.executable, str(Path(__file__)), str(settings)]


@contextmanager
def link_broker(
    folder: Path, kind: str = "amqtt", *, password: str = "", tls: BrokerFiles | None = None, acl: str = ""
) -> Iterator[LinkBroker]:
    """A running broker, ended in the end."""
    broker = LinkBroker(kind=kind, folder=folder, password=password, tls=tls, acl=acl)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _serve(settings: str) -> None:
    """amqtt until killed."""
    from amqtt.broker import Broker  # type: ignore[import-untyped]  # amqtt tells no types

    broker = Broker(json.loads(settings))
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]).read_text()))
