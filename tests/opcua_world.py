"""An OPC UA server on a real port with a desk in memory, certificates of real keys, and clients of an independent library."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantlink.opcua.limits import Limits
from scheduler.adapters.plantlink.opcua.server import OpcuaInterface
from scheduler.core.publishing.letters import LetterLimits
from scheduler.core.publishing.message import RESOLUTION_S, stamp
from scheduler.domain.link_options import OpcuaOptions
from scheduler.domain.plantlink import Board

T = TypeVar("T")
WAIT_S = 30.0
URI = "urn:test:plant"


class AdjustedClock:
    """The machine's clock, and so much later."""

    def __init__(self) -> None:
        self.later = timedelta()

    def now_utc(self) -> datetime:
        return SystemClock().now_utc() + self.later


class SwitchedDesk(MemoryDesk):
    """A desk that can be told that another replica is in charge."""

    in_charge = True

    def boards(self) -> dict[str, Board]:
        return dict(super().boards()) if self.in_charge else {}


class Keys:
    """One key, and certificates of it: making keys is what takes long."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key = folder / "key.pem"
        self.key.write_bytes(self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def certificate(self, name: str, path: Path, *, days: int = 30, uri: str = URI) -> Path:
        """A certificate of its own, valid from yesterday for so many days, in the format of its suffix."""
        now_utc = datetime.now(UTC)  # noqa: TID251 - certificates hold by the machine's clock
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now_utc - timedelta(days=60))
            .not_valid_after(now_utc + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
            .sign(self._key, SHA256())
        )
        path.write_bytes(made.public_bytes(Encoding.PEM if path.suffix == ".pem" else Encoding.DER))
        return path


@dataclass
class OpcuaWorld:
    """All of it. What the desk's owner does runs in the server's loop: `world.do(world.desk.beat())`."""

    desk: SwitchedDesk
    clock: AdjustedClock
    keys: Keys
    trusted: Path
    server_certificate: Path
    options: OpcuaOptions
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    interface: OpcuaInterface = field(init=False)
    index: int = 2

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something beside the server."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.interface.port}"

    def node_id(self, name: str) -> ua.NodeId:
        return ua.NodeId(ua.String(name), ua.Int16(self.index))

    async def client(self, certificate: Path, *, key: Path | None = None) -> Client:
        """A client of asyncua, secured, not connected."""
        client = Client(self.url, timeout=WAIT_S)
        client.application_uri = URI
        await client.set_security(
            SecurityPolicyBasic256Sha256, certificate, key or self.keys.key, server_certificate=str(self.server_certificate)
        )
        return client


def schedule(
    now_utc: datetime, sequence: int, *, heat_kw: float = 40.0, intervals: int = 4, **changes: object
) -> dict[str, object]:
    """A HeatSchedule that begins with the quarter hour of an instant."""
    start_s = int(now_utc.timestamp()) // RESOLUTION_S * RESOLUTION_S
    starts = [datetime.fromtimestamp(start_s + i * RESOLUTION_S, UTC) for i in range(intervals)]
    rows = [
        {
            "start": stamp(start), "heatKw": heat_kw, "p10": heat_kw - 10.0, "p90": heat_kw + 5.0, "firmKw": 20.0,
            "maxKw": 150.0, "minKw": 0.0, "supplyC": 70.0, "returnMaxC": 50.0, "flowM3h": None, "probShortfall": 0.01,
            "gco2PerKwhHeat": 31.5,
        }
        for start in starts
    ]  # fmt: skip
    return {
        "schemaVersion": "1.0", "siteId": "site", "plugId": "plug", "offtakeId": "town", "meterPointId": "m-7",
        "messageId": f"{sequence:032d}", "sequence": sequence, "supersedes": sequence - 1, "issuedAt": stamp(now_utc),
        "validFrom": stamp(starts[0]), "validUntil": stamp(now_utc + timedelta(hours=1)), "resolution": "PT15M", "kind": "plan",
        "mode": "dispatch", "intervals": rows, "boilerRequestKw": 0.0, "reason": "", **changes,
    }  # fmt: skip


@contextmanager
def serving(world: OpcuaWorld, limits: Limits | None = None) -> Iterator[OpcuaWorld]:
    """The server in a thread, until the end."""
    world.interface = OpcuaInterface(world.options, world.desk, world.clock, limits=limits)
    thread = threading.Thread(target=world.loop.run_forever, daemon=True)
    thread.start()
    running = asyncio.run_coroutine_threadsafe(world.interface.run(), world.loop)
    try:
        world.do(asyncio.wait_for(world.interface.listening.wait(), WAIT_S))
        yield world
    finally:
        running.cancel()
        world.do(_ended(world))
        world.loop.call_soon_threadsafe(world.loop.stop)
        thread.join(WAIT_S)
        world.loop.close()


async def _ended(world: OpcuaWorld) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), WAIT_S)


def world_in(folder: Path, **changes: Any) -> OpcuaWorld:
    """Two offtakes, town and school, and a plant of each whose certificate is trusted."""
    trusted = folder / "trusted"
    trusted.mkdir(parents=True)
    keys, clock = Keys(folder), AdjustedClock()
    for name in ("town-plant.der", "school-plant.pem"):
        keys.certificate(name, trusted / name)
    ours = keys.certificate("ours", folder / "server.der", uri="urn:test:heat-dispatch")
    kw = LetterLimits(max_heat_kw=200.0, tank_kwh=500.0)
    desk = SwitchedDesk("site", {"town": kw, "school": kw}, {"town": "plug", "school": "plug"}, clock)
    options = OpcuaOptions(
        **{
            "port": 0, "certificate": str(ours), "key": str(keys.key), "trusted": str(trusted),
            "certificates": {"town-plant": ("town",), "school-plant": ("school",)}, **changes,
        }
    )  # fmt: skip
    return OpcuaWorld(desk, clock, keys, trusted, ours, options)
