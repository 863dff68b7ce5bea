"""`heat-dispatch commission` over a real REST link, from its file to the signed page."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from link_broker import free_port
from typer.testing import CliRunner

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantside.options import PlantsideOptions
from scheduler.domain.plantlink import LinkProtocol
from scheduler.entrypoints.cli import app
from scheduler.entrypoints.plantsim.interfaces import DemoLink, demo_link
from scheduler.entrypoints.plantsim.sender import DemoSender
from scheduler.entrypoints.plantsim.session import background, begun
from scheduler.simulate.plant.sender import MadeUp
from scheduler.simulate.plant.spec import sized_for

BEAT_S = 0.1


async def served(sender: DemoSender, link: DemoLink, ready: threading.Event, over: threading.Event) -> None:
    """A link that beats until it is over."""
    async with background(link.interface.run()) as task:
        await begun(link.interface, task)
        await sender.desk.post("town", sender.made_up.schedule(SystemClock().now_utc(), 3, morning_boiler=False))
        ready.set()
        while not over.is_set():
            await sender.desk.beat()
            await asyncio.sleep(BEAT_S)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    clock = SystemClock()
    sender = DemoSender(MadeUp(site_id="lab", plug_id="loop", plant=sized_for("town", 400.0)), clock.now_utc(), clock)
    where = f"http://127.0.0.1:{free_port()}"
    wanted = PlantsideOptions(protocol=LinkProtocol.REST, address=where, offtake_id="town", site_id="lab")
    link, ready, over = demo_link(wanted, sender.desk, clock, tmp_path), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(served(sender, link, ready, over)))
    thread.start()
    try:
        assert ready.wait(60.0)
        yield where
    finally:
        over.set()
        thread.join()


def test_a_link_is_accepted_as_far_as_nobody_is_needed(address: str, tmp_path: Path) -> None:
    (tmp_path / "commission.yaml").write_text(
        f"site: lab\nofftake: town\nengineer: tester\nprotocol: rest\naddress: {address}\nsecretFile: token\n"
        "beatSeconds: 1.0\nparts: [transfer, integration, metering]\n"
        "metering:\n  before: {ours: 0.0, reference: 0.0}\n  after: {ours: 100.0, reference: 101.0}\n"
        "  supplyC: 70.0\n  returnC: 40.0\n"
    )
    (tmp_path / "key").write_text("0123456789abcdef")
    page, data = tmp_path / "a.html", tmp_path / "a.json"
    words = ["--config", str(tmp_path / "commission.yaml"), "--key", str(tmp_path / "key"), "--yes"]
    found = CliRunner().invoke(app, ["commission", *words, "--json", str(data), "--html", str(page)])
    assert found.exit_code == 0, found.output
    report = json.loads(data.read_text())
    assert {one["id"]: one["result"] for one in report["checks"]} == dict.fromkeys(
        (
            "transfer.schedule", "transfer.repeat", "integration.letters", "integration.nonsense", "metering.accuracy",
        ),
        "passed",
    )  # fmt: skip
    assert report["accepted"] is True
    assert report["about"]["unattended"] is True
    verify = CliRunner().invoke(app, ["commission", "--verify", str(page), "--key", str(tmp_path / "key")])
    assert verify.exit_code == 0, verify.output


def test_a_token_that_is_not_known_fails_the_run(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.entrypoints.commissioning.run.FIRST_WITHIN_S", 0.3)
    (tmp_path / "other").write_text("a-token-that-nobody-knows-0123456789")
    (tmp_path / "commission.yaml").write_text(
        f"site: lab\nofftake: town\nengineer: tester\nprotocol: rest\naddress: {address}\nsecretFile: other\nbeatSeconds: 1.0\n"
    )
    found = CliRunner().invoke(app, ["commission", "--config", str(tmp_path / "commission.yaml"), "--yes"])
    assert found.exit_code == 1
    assert "HTTP 401" in found.output
    assert "nobody-knows" not in found.output
