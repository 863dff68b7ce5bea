"""link.yaml: what it may say, and that what is wrong in it is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.config.link import load_link
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import Credential, LinkTimes, MeterRegister, TlsFiles

WHOLE = """\
site: town
ledger: sqlite:///l.db
pages: {port: 0}
times: {beat: 5s, alive: 1m, plantSilent: 0s}
rest:
  host: 0.0.0.0
  tls: {certificate: tls.crt, key: tls.key}
  credentials:
    - {name: scada, secretFile: token, offtakes: [north, south]}
webhooks:
  - {name: scada, secretFile: token, offtakes: [north], url: "https://plant.example/hook", timeout: 2s}
modbus:
  units: {1: north, "247": south}
  clients: [192.0.2.0/28]
opcua: {insecureReading: true, certificates: {scada: [north]}}
mqtt:
  - {host: broker, offtakes: [north], passwordFile: token, username: us}
meters:
  - meterPoint: MP-1
    offtake: north
    host: 192.0.2.9
    registers: [{quantity: energyKwh, address: 4, valuePerCount: 0.1}]
meterSenders: [{meterPoint: MP-2, sender: scada}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("token", "tls.crt", "tls.key"):
        (tmp_path / name).write_text("x")
    return tmp_path


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "link.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_that_can_be_said_becomes_options(folder: Path) -> None:
    setup = load_link(written(folder, WHOLE))
    options = setup.options
    assert (setup.ledger, setup.port, options.site_id) == ("sqlite:///l.db", 0, "town")
    assert options.times == LinkTimes(beat_s=5.0, alive_s=60.0, plant_silent_s=0.0)
    assert options.rest is not None
    assert options.rest.tls == TlsFiles(certificate=str(folder / "tls.crt"), key=str(folder / "tls.key"))
    assert options.rest.credentials == (
        Credential(name="scada", secret_file=str(folder / "token"), offtakes=("north", "south")),
    )
    assert options.webhooks[0].timeout_s == 2.0
    assert options.modbus is not None
    assert dict(options.modbus.units) == {1: "north", 247: "south"}
    assert options.opcua is not None
    assert (options.opcua.certificate, options.opcua.insecure_reading) == ("", True)
    assert options.mqtt[0].password_file == str(folder / "token")
    assert options.meters[0].registers == (MeterRegister(quantity="energy_kwh", address=4, value_per_count=0.1),)
    assert options.meter_senders == {("MP-2", "scada")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("site: a\nrest: {prot: 1}\n", "link.yaml:2: rest.prot: unknown field, did you mean 'port'?"),
        ("rest: {}\n", "link.yaml:1: site: the field is missing"),
        ("site: a\n", "no interface is set up"),
        ("site: a\nmodbus:\n  units: {300: x}\n", "'300' is no unit id (expected 1 to 247)"),
        ("site: a\nmodbus:\n  units: {1: x, 2: x}\n", "link.yaml:3: modbus.units.2: 'x' is there twice"),
        (
            "site: a\nmodbus:\n  units: {1: x, 2: z}\n  writable: true\n",
            "link.yaml:4: modbus.writable: every client could reduce the heat of every unit's offtake",
        ),
        ("site: a\nmodbus:\n  units: {1: x}\n  clients: [ten]\n", "write an address or a network"),
        ("site: a\nrest: {}\ntimes: {alive: 5s}\n", "times.alive: 5 s (expected 10s to 5m)"),
        (
            "site: a\nrest:\n  tls:\n    certificate: gone\n    key: tls.key\n",
            "link.yaml:4: rest.tls.certificate: gone: no such file",
        ),
        ("site: a\nwebhooks: [{name: a, secretFile: token, offtakes: [x], url: 'ftp://x'}]\n", "is no http(s) URL"),
        ("site: a\nrest: [\n", "not YAML"),
        ("a: 1\n---\nb: 2\n", "2 documents"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(folder: Path, text: str, said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_link(written(folder, text))
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        load_link(tmp_path / "link.yaml")
