"""Lines of the pages for curl and openssl, typed: against the demonstration in software, or alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from docs_calls import CALLS
from docs_shell import ALONE, DEMO, LINES, Made, begun, fitting, said_within, typed
from link_broker import free_port

# It may say its first line before it listens, and listen before it has a schedule.
PATIENT = "curl -s --fail-with-body --retry 30 --retry-delay 1 --retry-connrefused"
SHOWN = "docs/plant-sim.md: heat-dispatch plant-sim --demo --files demo"
DEFAULT = "127.0.0.1:18443"


def test_the_demonstration_answers_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its button is pressed by the last line: from then on it is manual, and the boiler is asked for."""
    monkeypatch.chdir(tmp_path)
    (demo,) = [call.words[1:] for call in CALLS if call.in_block and call.name == SHOWN]
    here = f"127.0.0.1:{free_port()}"

    def told(name: str) -> dict[str, object]:
        line = fitting(LINES[name], Made(replaced={DEFAULT: here}))
        said = said_within(line, lambda: typed(line.replace("curl -s", PATIENT), tmp_path, {}), bool)
        found: dict[str, object] = json.loads(said)
        return found

    heartbeat, schedule, plant, press = DEMO
    with begun([*demo, "--address", f"http://{here}"]):
        assert told(heartbeat)["mode"] == "auto"
        assert told(schedule)["intervals"]
        assert told(plant)["acknowledgement"]
        assert told(press)["accepted"] is True
        after = told(heartbeat)
        assert (after["mode"], after["boilerOn"]) == ("manual", True)


@pytest.mark.parametrize("name", ALONE)
def test_keys_are_made_as_the_pages_say(name: str, tmp_path: Path) -> None:
    line = LINES[name]
    said = typed(line, tmp_path, {})
    if "req -x509" in line:
        made = x509.load_pem_x509_certificate((tmp_path / "link.pem").read_bytes())
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:heat-dispatch:plant-link"]
        assert "PRIVATE KEY" in (tmp_path / "link.key").read_text("ascii")
        return
    text = (tmp_path / line.split("> ")[1]).read_text("ascii") if ">" in line else said
    assert len(bytes.fromhex(text.strip())) == 32
