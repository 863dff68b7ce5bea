"""The REST interface on a real socket, in an event loop of its own thread, and certificates for it."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from link_world import CITY, POOL, World

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.rest.connection import Patience
from scheduler.adapters.plantlink.rest.guests import Room
from scheduler.adapters.plantlink.rest.server import RestInterface
from scheduler.domain.link_options import Credential, RestOptions, TlsFiles

Found = TypeVar("Found")
TOKENS = {"city-plant": "c" * 40, "pool-plant": "p" * 40}
MUCH_ROOM = Room(begin_per_s=1e6, begin_burst=1_000_000)
PLENTY: Mapping[str, Any] = {"requests_per_s": 1e6, "burst": 1_000_000}


def credentials(folder: Path) -> tuple[Credential, ...]:
    """Two plants, each with a token and one offtake."""
    for name, token in TOKENS.items():
        (folder / name).write_text(f"{token}\n", encoding="utf-8")
    offtakes = {"city-plant": (CITY,), "pool-plant": (POOL, "not-built-yet")}
    return tuple(Credential(name=name, secret_file=str(folder / name), offtakes=offtakes[name]) for name in TOKENS)


class Served:
    """A running interface, and the desk behind it."""

    def __init__(self, interface: RestInterface, desk: World, loop: asyncio.AbstractEventLoop) -> None:
        self.interface, self.desk, self._loop = interface, desk, loop
        self.complaints: list[dict[str, Any]] = []

    def do(self, work: Coroutine[Any, Any, Found]) -> Found:
        """Run something where the interface runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20.0)

    def plan(self, sequence: int, offtake_id: str = CITY, **changed: object) -> dict[str, object]:
        """Post a schedule."""
        return self.do(self.desk.plan(sequence, offtake_id, **changed))

    def inside(self) -> int:
        """How many are connected."""
        return self.interface.connections

    def client(self, plant: str = "city-plant", *, tls: ssl.SSLContext | None = None, **more: Any) -> httpx.Client:
        """A peer with a plant's token; without one for an empty name."""
        headers = {"Authorization": f"Bearer {TOKENS[plant]}"} if plant else {}
        url = f"{'https' if tls else 'http'}://127.0.0.1:{self.interface.port}"
        return httpx.Client(base_url=url, headers=headers, verify=tls or True, timeout=20.0, trust_env=False, **more)


@contextmanager
def served(options: RestOptions, patience: Patience | None = None, room: Room | None = None) -> Iterator[Served]:
    """Serve until left. Whatever its event loop complained about fails the test."""
    desk = World()
    interface = RestInterface(options, desk, SystemClock(), patience=patience, room=room or MUCH_ROOM)
    loop = asyncio.new_event_loop()
    found = Served(interface, desk, loop)
    loop.set_exception_handler(lambda _, context: found.complaints.append(context))
    ended: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            ended.append(error)

    task = loop.create_task(interface.run())
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        until_s = time.monotonic() + 20.0
        while interface.trouble() == "is not listening" and thread.is_alive() and time.monotonic() < until_s:
            time.sleep(0.005)
        if thread.is_alive():
            yield found
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
        thread.join(20.0)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    if ended:
        raise ended[0]
    assert not found.complaints


class Authority:
    """Makes certificates, quickly (P-256)."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        made = _builder(self._name, self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._certificate = made.sign(self._key, hashes.SHA256())
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, stem: str | None = None) -> TlsFiles:
        """A certificate of a name, good for 127.0.0.1 too."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        also = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = _builder(subject, self._name, key).add_extension(also, critical=False).sign(self._key, hashes.SHA256())
        files = TlsFiles(certificate=str(self._folder / f"{stem or name}.pem"), key=str(self._folder / f"{stem or name}.key"))
        encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        Path(files.key).write_bytes(encoded)
        Path(files.certificate).write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return files

    def client_context(self, own: TlsFiles | None = None) -> ssl.SSLContext:
        """As a peer that trusts this authority, and perhaps shows a certificate."""
        context = ssl.create_default_context(cafile=str(self.file))
        if own is not None:
            context.load_cert_chain(own.certificate, own.key)
        return context


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now_utc = SystemClock().now_utc()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now_utc - datetime.timedelta(hours=1))
        .not_valid_after(now_utc + datetime.timedelta(days=1))
    )
