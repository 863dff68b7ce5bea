"""`heat-dispatch validate`: exit codes, what is printed where, and the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from scheduler.entrypoints.commands import validate as command

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "examples" / "reference"
PLUG = (REFERENCE / "plug.yaml").read_text(encoding="utf-8")

app = typer.Typer()
app.command(name="validate", help=command.HELP)(command.validate)


def run(*arguments: str | Path) -> Result:
    """The command alone, as the command line calls it."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The reference site with one change in its plug."""
    for path in REFERENCE.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(text.replace(old, new) if path.name == "plug.yaml" else text, encoding="utf-8")
    assert old in PLUG
    return tmp_path


def line(word: str) -> int:
    """Line of a word in the plug's file."""
    return next(i for i, text in enumerate(PLUG.splitlines(), start=1) if word in text)


def test_a_good_site() -> None:
    result = run(REFERENCE, "--at", "2026-11-21")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout == f"{REFERENCE}: 7 objects, nothing to complain about\n"


def test_a_warning_does_not_stop(tmp_path: Path) -> None:
    result = run(changed(tmp_path, "position: return", "position: flow"), "--at", "2026-11-21")
    assert result.exit_code == 0
    assert result.stderr.startswith(
        f"warning: plug.yaml:{line('position')}: loop: spec.metering.position: the flow sensor sits in the flow"
    )
    assert result.stdout.endswith(": 7 objects, 1 warning\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("capture:", "captur:", ": spec.captur: unknown field, did you mean 'capture'?"),
        ("maxHeatKw: 204.8", "maxHeatKw: -1", ": spec.capacity.maxHeatKw: -1 is not above 0"),
        ("2030-12-31", "2026-01-31", ": loop: spec.metering.calibrationDue: the meter's calibration ran out"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(tmp_path: Path, old: str, new: str, message: str) -> None:
    result = run(changed(tmp_path, old, new), "--at", "2026-11-21")
    assert result.exit_code == 2
    assert result.stdout == ""
    place = f"error: plug.yaml:{line(old)}{message}"
    assert any(told.startswith(place) for told in result.stderr.splitlines()), result.stderr
    assert "Traceback" not in result.stderr


def test_a_customer_whose_temperature_is_not_reached(tmp_path: Path) -> None:
    result = run(changed(tmp_path, "supplyMaxC: 70", "supplyMaxC: 65"), "--at", "2026-11-21")
    assert result.exit_code == 2
    assert "heat-network: spec.requirement.supplyC: 70 degC is not reached through the heat pump" in result.stderr


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    for folder, message in ((tmp_path / "none", "no such folder"), (tmp_path, "no YAML file in this folder")):
        result = run(folder)
        assert result.exit_code == 2
        assert message in result.stderr


def test_json_holds_every_finding_and_leaves_standard_output_alone(tmp_path: Path) -> None:
    folder = changed(tmp_path, "position: return", "position: flow")
    result = run(folder, "--at", "2026-11-21", "--json", "-")
    told = json.loads(result.stdout)
    assert told["valid"] is True
    assert {each["kind"] for each in told["objects"]} == {
        "Site", "ThermalPlug", "HeatOfftake", "WorkloadClass", "DispatchPolicy",
    }  # fmt: skip
    (finding,) = told["findings"]
    assert (finding["level"], finding["where"]) == ("warning", f"plug.yaml:{line('position')}")
    assert finding["field"] == "loop: spec.metering.position"


def test_json_is_written_for_an_invalid_site_too(tmp_path: Path) -> None:
    folder = changed(tmp_path, "2030-12-31", "2020-12-31")
    target = tmp_path / "out" / "findings.json"
    assert run(folder, "--at", "2026-11-21", "--json", target).exit_code == 2
    told = json.loads(target.read_text(encoding="utf-8"))
    assert told["valid"] is False
    assert told["findings"][0]["expected"] == "a day after 2026-11-21"


@pytest.mark.parametrize("name", ["compute-first", "balanced", "heat-first", "seasonal", "carbon-aware", "no-caps"])
def test_presets_are_valid(name: str) -> None:
    result = run(ROOT / "policies" / f"{name}.yaml")
    assert result.exit_code == 0
    assert "1 object, nothing to complain about" in result.stdout


def test_help_has_an_example() -> None:
    assert "heat-dispatch validate examples/reference" in run("--help").stdout
