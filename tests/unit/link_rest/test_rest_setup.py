"""What the interface refuses to begin with, and how it says so."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scheduler.adapters.addresses import is_loopback
from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantlink.rest.server import RestInterface, may_listen
from scheduler.core.publishing.letters import LetterLimits
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import Credential, RestOptions, TlsFiles
from scheduler.entrypoints.cli import app

HERE = RestOptions(port=0)


def run(options: RestOptions) -> None:
    """Serve until something is wrong, or for a moment."""
    clock = SystemClock()
    desk = MemoryDesk("site", {"city": LetterLimits(max_heat_kw=1.0, tank_kwh=None)}, {"city": "plug"}, clock)

    async def serve() -> None:
        async with asyncio.timeout(5.0):
            await RestInterface(options, desk, clock).run()

    asyncio.run(serve())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "plant-link.example"])
def test_beyond_this_machine_no_token_goes_in_clear(host: str) -> None:
    with pytest.raises(Misconfigured, match="tls with certificate and key"):
        may_listen(replace(HERE, host=host))
    may_listen(replace(HERE, host=host, plain=True))
    may_listen(replace(HERE, host=host, tls=TlsFiles(certificate="c", key="k")))


@pytest.mark.parametrize(("host", "is_so"), [("127.0.0.9", True), ("::1", True), ("localhost", True), ("10.0.0.1", False)])
def test_which_addresses_are_this_machines_own(host: str, is_so: bool) -> None:
    assert is_loopback(host) == is_so


@pytest.mark.parametrize(
    "wrong", [{"requests_per_s": 0.0}, {"requests_per_s": float("nan")}, {"burst": 0}, {"max_body_bytes": 0}]
)
def test_numbers_with_which_nobody_could_ask(wrong: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match="nobody could ask"):
        may_listen(replace(HERE, **wrong))


def test_without_credentials_nothing_is_served() -> None:
    with pytest.raises(Misconfigured, match="nobody may ask"):
        run(HERE)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 32, encoding="utf-8")
    one = Credential(name="plant", secret_file=str(tmp_path / "token"), offtakes=("city",))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"127.0.0.1:{port}: cannot listen"):
            run(replace(HERE, port=port, credentials=(one,)))
    with pytest.raises(Misconfigured, match="cannot listen"):
        run(replace(HERE, port=99999, credentials=(one,)))


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("nothing of the kind", encoding="utf-8")
    with pytest.raises(Misconfigured, match="c.pem"):
        run(replace(HERE, tls=TlsFiles(certificate=str(tmp_path / "c.pem"), key=str(tmp_path / "k.pem"))))


def test_the_check_of_the_command_finds_a_token_that_is_too_short(tmp_path: Path) -> None:
    (tmp_path / "city.token").write_text("hunter2", encoding="utf-8")
    text = "site: north\nrest:\n  credentials: [{name: city-plant, secretFile: city.token, offtakes: [city]}]\n"
    (tmp_path / "link.yaml").write_text(text, encoding="utf-8")
    short = CliRunner().invoke(app, ["plant-link", "--config", str(tmp_path / "link.yaml"), "--check"])
    assert short.exit_code == 2
    assert "city.token" in short.output
    assert "hunter2" not in short.output
    (tmp_path / "city.token").write_text("t" * 32, encoding="utf-8")
    good = CliRunner().invoke(app, ["plant-link", "--config", str(tmp_path / "link.yaml"), "--check"])
    assert (good.exit_code, "in order: rest" in good.output) == (0, True)
