"""Power of the host: counters of the processors, a management controller good and bad, and the straight line."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.gpu.host_power import HostPower, HostPowerAway
from scheduler.adapters.gpu.intervals import PROCESSORS, WALL, Cut, Intervals
from scheduler.adapters.gpu.rapl import Rapl
from scheduler.adapters.gpu.redfish import Controller, Redfish
from scheduler.core.accounting.gpu_energy import Piece
from scheduler.core.accounting.host_energy import HostModel, counter_rise_j, wall_energy
from scheduler.domain.errors import Misconfigured
from scheduler.domain.telemetry import WallOf

Json = dict[str, Any]
CHASSIS = "/redfish/v1/Chassis"


def told(piece: Piece | None) -> tuple[Any, ...]:
    """A piece, field by field."""
    assert piece is not None
    return piece.uuid, piece.start_s, piece.end_s, piece.joules


# The straight line.


def test_a_wall_is_measured_or_modelled_or_not_known() -> None:
    joules = {"a": 4000.0, "b": 6000.0, PROCESSORS: 2000.0}
    model = HostModel(base_w=1000.0, factor=1.32)

    def wall(of: dict[str, float], line: HostModel | None, inside: tuple[str, ...] = ()) -> Any:
        return wall_energy(of, ("a", "b"), 10.0, line, wall=WALL, inside=inside)

    # 1000 W * 10 s + 1.32 * 10 kJ; with the processors 1.32 * 12 kJ.
    assert wall(joules, model) == (pytest.approx(23_200.0), WallOf.MODELLED)
    assert wall(joules, model, (PROCESSORS,)) == (pytest.approx(25_840.0), WallOf.MODELLED)
    assert wall({**joules, WALL: 30_000.0}, model) == (30_000.0, WallOf.MEASURED)
    assert wall({**joules, WALL: 30_000.0}, None) == (30_000.0, WallOf.MEASURED)
    assert wall(joules, None) is None
    assert wall({"a": 4000.0}, model) is None
    assert wall({"a": 4000.0, "b": 6000.0}, model, (PROCESSORS,)) is None
    assert wall_energy(joules, (), 10.0, model, wall=WALL, inside=()) is None


def test_a_counter_that_came_round_is_read_on() -> None:
    assert counter_rise_j(100.0, 250.0, 1000.0) == 150.0
    assert counter_rise_j(900.0, 50.0, 1000.0) == 150.0


# Processors.


def zone(folder: Path, name: str, called: str, energy_uj: int, range_uj: int = 1_000_000_000) -> Path:
    made = folder / name
    made.mkdir(parents=True, exist_ok=True)
    for file, text in (("name", called), ("energy_uj", str(energy_uj)), ("max_energy_range_uj", str(range_uj))):
        (made / file).write_text(text + "\n", encoding="utf-8")
    return made


def test_packages_and_memory_are_added_and_nothing_twice(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 900_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 5)
    zone(tmp_path, "intel-rapl:0:1", "dram", 100_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 200_000_000)
    zone(tmp_path, "intel-rapl:2", "psys", 7)
    rapl = Rapl(tmp_path)
    assert rapl.look(10.0) is None
    zone(tmp_path, "intel-rapl:0", "package-0", 300_000_000)  # it came round: 100 J + 300 J
    zone(tmp_path, "intel-rapl:0:0", "core", 999_000_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 140_000_000)  # 40 J
    zone(tmp_path, "intel-rapl:1", "package-1", 260_000_000)  # 60 J
    zone(tmp_path, "intel-rapl:2", "psys", 999_000_000)
    assert told(rapl.look(15.0)) == (PROCESSORS, 10.0, 15.0, pytest.approx(500.0))
    # After a long gap a counter may have come round twice: nothing is said of that time.
    assert rapl.look(100.0) is None
    assert told(rapl.look(101.0)) == (PROCESSORS, 100.0, 101.0, 0.0)


def test_counters_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(HostPowerAway, match="no counter of a processor"):
        Rapl(tmp_path).look(0.0)
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    rapl = Rapl(tmp_path)
    rapl.look(0.0)
    (package / "energy_uj").write_text("", encoding="utf-8")
    with pytest.raises(HostPowerAway, match="no number"):
        rapl.look(1.0)
    (package / "energy_uj").unlink()
    with pytest.raises(HostPowerAway, match="No such file") as refusal:
        rapl.look(2.0)
    assert "powercap" in refusal.value.expected


def test_a_counter_for_root_alone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1)

    def refused(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    # Root, as which tests may run, is refused nothing: the kernel's answer to others is played.
    monkeypatch.setattr(Path, "read_text", lambda path, *_: "package-0" if path.name == "name" else refused())
    with pytest.raises(HostPowerAway, match="0400") as refusal:
        Rapl(tmp_path).look(0.0)
    assert "user id 0" in refusal.value.expected


# A management controller.


@dataclass(slots=True)
class Bmc:
    """Resources by path; what was asked, and by whom."""

    resources: dict[str, Json | bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    known: str = ""
    url: str = ""


@contextmanager
def bmc() -> Iterator[Bmc]:
    found = Bmc()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            resource = found.resources.get(self.path)
            wanted = f"Basic {base64.b64encode(found.known.encode()).decode()}"
            code = 401 if found.known and self.headers["Authorization"] != wanted else 404 if resource is None else 200
            self.send_response_only(code)
            self.end_headers()
            if code == 200:
                self.wfile.write(resource if isinstance(resource, bytes) else json.dumps(resource).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def link(path: str) -> Json:
    return {"@odata.id": path}


def members(*paths: str) -> Json:
    return {"Members": [link(path) for path in paths]}


def old_supplies(*watts: float | None, absent: int = 0, control_w: float | None = None) -> Json:
    bays = [{"PowerInputWatts": one, "Status": {"State": "Enabled"}} for one in watts]
    empty = [{"PowerInputWatts": None, "Status": {"State": "Absent"}} for _ in range(absent)]
    control = [] if control_w is None else [{"PowerConsumedWatts": control_w}]
    return {"PowerSupplies": [*bays, *empty], "PowerControl": control}


def test_the_input_of_all_supplies_is_what_counts() -> None:
    with bmc() as peer:
        peer.resources = {
            CHASSIS: members(f"{CHASSIS}/board", f"{CHASSIS}/1"),
            # The board of the GPUs tells of power too: it is inside.
            f"{CHASSIS}/board": {"EnvironmentMetrics": link(f"{CHASSIS}/board/E")},
            f"{CHASSIS}/board/E": {"PowerWatts": {"Reading": 4000.0}},
            f"{CHASSIS}/1": {"Power": link(f"{CHASSIS}/1/Power")},
            f"{CHASSIS}/1/Power": old_supplies(3000.0, 3100.5, absent=2, control_w=5000.0),
        }
        redfish = Redfish(Controller(url=peer.url))
        assert redfish.look(10.0) is None
        peer.resources[f"{CHASSIS}/1/Power"] = old_supplies(3200.0, 3300.5)
        # The mean of 6100.5 W and 6500.5 W for 4 s.
        assert told(redfish.look(14.0)) == (WALL, 10.0, 14.0, pytest.approx(25_202.0))
        assert peer.asked.count(CHASSIS) == 1


def test_supplies_with_metrics_of_their_own_are_found_in_a_power_subsystem() -> None:
    sub = f"{CHASSIS}/1/PowerSubsystem"
    supplies = [f"{sub}/PowerSupplies/{number}" for number in range(3)]
    with bmc() as peer:
        peer.resources = {
            CHASSIS: members(f"{CHASSIS}/1"),
            f"{CHASSIS}/1": {"PowerSubsystem": link(sub), "Power": link(f"{CHASSIS}/1/Power")},
            sub: {"PowerSupplies": link(f"{sub}/PowerSupplies")},
            f"{sub}/PowerSupplies": members(*supplies),
            supplies[0]: {"Metrics": link(f"{supplies[0]}/Metrics")},
            supplies[1]: {"Metrics": link(f"{supplies[1]}/Metrics")},
            supplies[2]: {"Status": {"State": "Absent"}},
            f"{supplies[0]}/Metrics": {"InputPowerWatts": {"Reading": 2500}},
            f"{supplies[1]}/Metrics": {"InputPowerWatts": {"Reading": 2600.5}},
            f"{CHASSIS}/1/Power": old_supplies(1.0),
        }
        redfish = Redfish(Controller(url=peer.url))
        assert redfish.watts() == 5100.5
        # One that fails later is not left out of the sum.
        peer.resources[f"{supplies[1]}/Metrics"] = {"InputPowerWatts": {"Reading": None}}
        with pytest.raises(HostPowerAway, match="tells no power"):
            redfish.look(0.0)
        # Where not every supply tells, the older resource may.
        assert redfish.watts() == 1.0


def test_without_supplies_the_one_chassis_counts_or_the_one_that_is_named() -> None:
    with bmc() as peer:
        peer.resources = {
            CHASSIS: members(f"{CHASSIS}/1", f"{CHASSIS}/2"),
            f"{CHASSIS}/1": {"Power": link(f"{CHASSIS}/1/Power")},
            f"{CHASSIS}/2": {},
            f"{CHASSIS}/1/Power": old_supplies(control_w=5300.0),
        }
        assert Redfish(Controller(url=f"{peer.url}/redfish/v1/")).watts() == 5300.0
        peer.resources[f"{CHASSIS}/2"] = {"EnvironmentMetrics": link(f"{CHASSIS}/2/E")}
        peer.resources[f"{CHASSIS}/2/E"] = {"PowerWatts": {"Reading": 700.0}}
        with pytest.raises(HostPowerAway, match="several chassis") as refusal:
            Redfish(Controller(url=peer.url)).watts()
        assert "--redfish-url" in refusal.value.expected
        assert Redfish(Controller(url=f"{peer.url}{CHASSIS}/2")).watts() == 700.0
        assert Redfish(Controller(url=f"{peer.url}{CHASSIS}/1/Power")).watts() == 5300.0


@pytest.mark.parametrize(
    ("power", "why"),
    [
        (old_supplies(3000.0, None), "tells no power"),
        (old_supplies(60_000.0, 60_000.0), "120000 W cannot be"),
        (old_supplies(-5.0), "tells no power"),
        ({"PowerSupplies": [{"PowerInputWatts": True}, "x"], "PowerControl": ["x"]}, "tells no power"),
        (b"[]", "no object"),
        (b"<html>", "no JSON"),
        (b'{"a": "' + b"a" * (1 << 20) + b'"}', "longer than"),
        ({"PowerSupplies": link("//elsewhere/redfish")}, "tells no power"),
        ({"PowerSupplies": link("http://elsewhere/redfish")}, "tells no power"),
    ],
)
def test_what_cannot_be_is_not_believed(power: Json | bytes, why: str) -> None:
    with bmc() as peer:
        peer.resources = {f"{CHASSIS}/1/Power": power}
        with pytest.raises(HostPowerAway, match=why):
            Redfish(Controller(url=f"{peer.url}{CHASSIS}/1/Power")).watts()


def test_credentials_come_from_a_file_that_may_change(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    with bmc() as peer:
        peer.known = "reader:a secret"
        peer.resources = {"/power": old_supplies(100.0)}
        redfish = Redfish(Controller(url=f"{peer.url}/power", credentials_file=file))
        with pytest.raises(HostPowerAway, match="cannot be read"):
            redfish.watts()
        file.write_text("reader:an old one\n", encoding="utf-8")
        with pytest.raises(HostPowerAway, match="HTTP 401"):
            redfish.watts()
        file.write_text("reader:a secret\n", encoding="utf-8")
        assert redfish.watts() == 100.0


@pytest.mark.parametrize("url", ["bmc", "ftp://bmc", "http://10.0.0.1", "https://", "https://user:secret@bmc"])
def test_an_address_that_is_none_or_tells_the_password_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="--redfish-url"):
        Redfish(Controller(url=url))


def test_a_controller_that_is_gone_is_said_once_and_its_return_too() -> None:
    lines: list[str] = []
    with bmc() as peer:
        peer.resources = {"/power": old_supplies(100.0)}
        clock = SystemClock()
        intervals = Intervals(clock, Cut(slot_s=0.05, grace_s=0.0))
        power = HostPower(Redfish(Controller(url=f"{peer.url}/power")), intervals, clock, lines.append)
        power.look()
        power.look()
        assert power.total_j > 0.0
        peer.resources.clear()
        power.look()
        power.look()
        assert "HTTP 404" in power.trouble
        peer.resources = {"/power": old_supplies(100.0)}
        power.look()
    assert [line.partition(":")[0] for line in lines] == ["power of the wall is not known", "power of the wall is known again"]
    assert power.trouble == ""
