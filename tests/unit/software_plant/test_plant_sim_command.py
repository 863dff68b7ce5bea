"""`heat-dispatch plant-sim` as its user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from link_broker import free_port
from typer.testing import CliRunner

from scheduler.entrypoints.cli import app
from scheduler.views.plant_sim import PlantScreen, bar


def called(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["plant-sim", *words])
    assert found.exception is None or isinstance(found.exception, SystemExit)
    return found.exit_code, found.output


def test_a_demonstration_needs_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "sums.json"
    where = f"http://127.0.0.1:{free_port()}"
    code, said = called(
        "--demo", "--address", where, "--speed", "600", "--seconds", "300", "--fault", "cut@100+100", "--json", str(target)
    )
    assert code == 0
    assert "schedule 0 (plan" in said
    assert "fault: the network between us is cut" in said
    assert "boiler on: the link's heartbeat is missing" in said
    sums = json.loads(target.read_text())
    assert sums["acknowledged"] == 1
    assert sums["minutesInFallback"] >= 1.0
    assert sums["heatTakenKwh"] > 0.0


def test_a_link_that_is_not_there_is_a_failure() -> None:
    code, said = called("--address", f"http://127.0.0.1:{free_port()}", "--seconds", "0")
    assert code == 1
    assert "nothing was ever heard" in said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "--address: which link?"),
        (["--address", "x", "--speed", "60"], "a link that runs keeps real time"),
        (["--address", "http://127.0.0.1:1", "--fault", "withdrawn@1"], "is a fault of ours"),
        (["--demo", "--fault", "flood@1"], "is no kind of fault"),
        (["--demo", "--address", "http://192.0.2.1:80"], "stays on this machine"),
        (["--demo", "--protocol", "mqtt"], "MQTT needs a broker"),
        (["--demo", "--protocol", "mqtt", "--address", "mqtt://127.0.0.1:1", "--speed", "60"], "two a second"),
        (["--address", "gopher://x"], "is no address"),
        (["--protocol", "mqtt", "--address", "mqtt://x:1", "--site", ""], "site"),
    ],
)
def test_wrong_use_is_told_in_a_line(words: list[str], why: str) -> None:
    code, said = called(*words)
    assert code == 2
    assert why in " ".join(said.split())


def test_the_screen_waits_and_bars_stay_within() -> None:
    assert "waiting" in str(PlantScreen("t").__rich__().renderable)  # type: ignore[union-attr]  # a rich panel
    assert bar(5.0, 10.0, 4) == "██··"
    assert bar(50.0, 10.0, 4) == "████"
    assert bar(1.0, 0.0, 4) == "····"
