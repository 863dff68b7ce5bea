"""What pages show in blocks is typed here, made small where it would take long; what is not says where it is tried, or why not.

A command of another page, or a changed one, fails `test_every_command_is_typed_or_said_why_not` until it stands here.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_files import jobs_csv, run, scenario_folder, series_csv
from docs_calls import CALLS, ROOT, unsaid
from docs_commands import changed
from docs_shell import begun
from kubelet_peer import KubeletPeer, holding
from link_broker import free_port
from operated import RUN
from rest_world import Authority
from typer.testing import Result

START = "2026-01-11T23:00Z"
# A day, every four hours, without the bound: what is asked here is that it runs and adds up.
DAY = ("--cycle-minutes", "240", "--bound-rounds", "0", "--workers", "1", "--json", "small.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    """How a command is made small, and what it then says; an option of the page that is not there any more is an error."""

    values: Mapping[str, str]
    added: Sequence[str] = ()
    says: str = ""


REPLAYED = "0 violated"
PRETENDED = ("--backend", "simulated")
TYPED: Mapping[str, Small] = {
    "README.md: heat-dispatch backtest --series year.csv --generate-jobs 1 --gpus 256 --time-zone Europe/Copenhagen "
    "--quick --html year.html": Small(values={"--gpus": "16"}, added=("--start", START, "--days", "1", *DAY), says=REPLAYED),
    "README.md: heat-dispatch backtest --scenario weeks/winter --json winter.json --html winter.html": Small(
        values={}, added=("--quick", *DAY[:-2]), says=REPLAYED
    ),
    "README.md: heat-dispatch backtest -f examples/reference --series series.csv --jobs jobs.csv --start 2026-01-05T00:00Z "
    "--days 7": Small(values={"--start": START, "--days": "1"}, added=("--quick", *DAY), says=REPLAYED),
    "README.md: heat-dispatch plan --scenario weeks/winter --at 2026-01-14T10:00Z --html plan.html": Small(
        values={"--at": "2026-01-12T10:00Z"}, says="fresh"
    ),
    "examples/reference/README.md: heat-dispatch backtest --site examples/reference --series series.csv --jobs jobs.csv": Small(
        values={}, added=("--start", START, "--days", "1", "--quick", *DAY), says=REPLAYED
    ),
    "examples/reference/README.md: heat-dispatch validate examples/reference": Small(
        values={}, says="nothing to complain about"
    ),
    "docs/get-started.md: heat-dispatch validate examples/reference": Small(values={}, says="nothing to complain about"),
    "docs/forecasts.md: heat-dispatch forecast evaluate --series year.csv --time-zone Europe/Copenhagen --country DK "
    "--json year.json --html year.html": Small(
        values={}, added=("--every", "11", "--from", "2026-01-13T00:00Z"), says="Heat demand, weather told"
    ),
    "docs/signals.md: heat-dispatch signals providers": Small(values={}, says="entsoe"),
    "docs/signals.md: heat-dispatch signals providers entsoe": Small(values={}, says="ENTSO-E Transparency Platform"),
    # On a machine without a GPU; with the driver's own library: tests/unit/agent/test_agent_once.py.
    "docs/agent.md: heat-dispatch agent --once": Small(values={}, added=PRETENDED, says="8 GPUs"),
    "docs/agent.md: heat-dispatch agent --once --json -": Small(values={}, added=PRETENDED, says="GPU-simulated-0"),
    "docs/agent.md: heat-dispatch agent --once --pod-resources /var/lib/kubelet/pod-resources": Small(
        values={"--pod-resources": "pods"}, added=PRETENDED, says="lab/train"
    ),
    "docs/gpu-backends.md: heat-dispatch agent --once --backend simulated": Small(values={}, says="8 GPUs"),
}
PLANT = {
    "docs/plant-sim.md: heat-dispatch plant-sim --demo --speed 60 --seconds 3600": ("boiler off: the schedule is counted on",),
    "docs/plant-sim.md: heat-dispatch plant-sim --demo --speed 120 --seconds 3600 --fault cut@2000+300 "
    "--fault operator-gone@2800+300": (
        "boiler on: the link's heartbeat is missing",
        "the operator behind the plant link is gone",
    ),
    "docs/plant-sim.md: heat-dispatch plant-sim --demo --protocol modbus --speed 120 --seconds 1800 --fault override@900+60": (
        "manual",
    ),
}
ACCEPTED = {
    "docs/plant-sim.md: heat-dispatch plant-sim --demo --files demo",
    "docs/commissioning.md: heat-dispatch commission --config commission.yaml --key commission.key --html acceptance.html "
    "--json acceptance.json",
    "docs/commissioning.md: heat-dispatch commission --verify acceptance.html --key commission.key",
}
CHECKED = "docs/plant-link.md: heat-dispatch plant-link --config link.yaml --check"
# Where the same is done by other means: what a page's command takes is not there, or it never ends.
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "docs/get-started.md: heat-dispatch backtest": ("tests/integration/test_docs_typed.py", "the README's, word for word"),
    "docs/settlement.md: ": ("tests/integration/test_cli_report.py", "typed there on a database that it has"),
    "examples/": ("tests/integration/test_examples.py", "typed there, a day instead of a week"),
    "docs/signals.md: heat-dispatch signals check": ("tests/integration/test_signals_cli.py", "asks the internet"),
    "README.md: heat-dispatch dev cluster up": ("tests/controlplane/test_dev_cluster_command.py", "runs until it is ended"),
    "docs/devcluster.md: heat-dispatch dev cluster build": ("tests/unit/devcluster/test_dev_command.py", "builds for minutes"),
    "docs/devcluster.md: heat-dispatch dev cluster": ("tests/controlplane/test_dev_cluster_command.py", "one cluster a page"),
    "README.md: heat-dispatch operator": ("tests/controlplane/test_operator_native.py", "needs a cluster"),
    "README.md: kubectl heatdispatch explain plan": ("tests/controlplane/test_operator_native.py", "needs a cluster"),
    "docs/plant-link.md: heat-dispatch release --override": ("tests/controlplane/test_operator_native.py", "needs a cluster"),
    "docs/gpu-backends.md: heat-dispatch operator": ("tests/unit/gpu_backends/test_operator_power.py", "needs a cluster"),
    "docs/gpu-backends.md: heat-dispatch agent-setter --backend zeusd": ("tests/contract/test_gpu_backends.py", "needs zeusd"),
    "docs/gpu-backends.md: heat-dispatch agent": ("tests/unit/gpu_backends/test_backends_together.py", "two that never end"),
    "docs/agent.md: heat-dispatch agent --host": ("tests/unit/agent/test_agent_http.py", "runs until it is ended"),
    "docs/agent.md: heat-dispatch agent --wishes": ("tests/controlplane/test_agent_wishes.py", "needs a cluster"),
    "docs/live-page.md: heat-dispatch serve": ("tests/integration/test_serve_cli.py", "runs until it is ended"),
    "docs/live-page.md: heat-dispatch operator": ("tests/controlplane/test_operator_live_page.py", "needs a cluster"),
    "docs/plant-link.md: heat-dispatch plant-link --config link.yaml": ("tests/contract/test_plant_week.py", "never ends"),
    "docs/plant-sim.md: heat-dispatch plant-sim --protocol rest": ("tests/contract/test_plant_week.py", "needs a link"),
}
SHOWN = {call.name: call for call in CALLS if call.in_block and call.words[0] != "make"}
DONE = {*TYPED, *PLANT, *ACCEPTED, CHECKED}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the repository to a reader of its pages, with the files that they speak of."""
    for name in ("examples", "policies"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("series.csv", "year.csv"):
        (tmp_path / name).write_text(series_csv(22 * 24), encoding="utf-8")
    (tmp_path / "jobs.csv").write_text(jobs_csv(), encoding="utf-8")
    scenario_folder(tmp_path / "weeks" / "winter")
    (tmp_path / "pods").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words_of(name: str) -> tuple[str, ...]:
    """What follows the program."""
    return SHOWN[name].words[1:]


def test_every_command_is_typed_or_said_why_not() -> None:
    assert unsaid(SHOWN, DONE, ELSEWHERE) == []
    year = "heat-dispatch backtest --series year.csv --generate-jobs 1"
    (one, other) = [call.words for name, call in SHOWN.items() if year in name and name.startswith(("README", "docs/get-"))]
    assert one == other


@pytest.mark.parametrize("name", TYPED)
def test_what_a_page_shows_works(desk: Path, name: str) -> None:
    small = TYPED[name]
    with KubeletPeer(desk / "pods") as kubelet:
        kubelet.pods = [holding("train", "GPU-simulated-0", namespace="lab")]
        done: Result = run(*changed(words_of(name), small.values, small.added))
    assert done.exit_code == 0, done.output
    assert small.says in done.output
    for file in re.findall(r"--html (\S+)", name):
        assert "<html" in (desk / file).read_text("utf-8").lower()


def ended(*arguments: str) -> str:
    """What a command of ours says until it ends by itself."""
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PLANT)
def test_the_plant_in_software_does_what_the_page_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faster than there, on a port that nobody else has."""
    monkeypatch.chdir(tmp_path)
    where = f"{'' if 'modbus' in name else 'http://'}127.0.0.1:{free_port()}"
    said = ended(*changed(words_of(name), {"--speed": "300"}, ("--address", where)))
    assert all(words in said for words in PLANT[name]), said


def yaml_of(page: str, start: str) -> str:
    """A block of a page that begins so, without its indent."""
    text = (ROOT / page).read_text("utf-8")
    block = re.search(rf"^(?P<indent> *){re.escape(start)}.*?(?=\n\n|\n```)", text, re.MULTILINE | re.DOTALL)
    assert block, f"{page} has no block that begins with {start}"
    return "".join(f"{line.removeprefix(block['indent'])}\n" for line in block[0].splitlines())


def test_a_link_is_accepted_at_ones_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demonstration of one page, the file and the lines of the other; the counter is watched for two beats."""
    monkeypatch.chdir(tmp_path)
    (demo, commission, verify) = [
        next(name for name in ACCEPTED if part in name) for part in (" --demo", "--config", "--verify")
    ]
    port = free_port()
    config = yaml_of("docs/commissioning.md", "site: demo-site").replace("18443", str(port))
    (tmp_path / "commission.yaml").write_text(f"{config}watchSeconds: 25\n", encoding="utf-8")
    (tmp_path / "commission.key").write_text("0123456789abcdef" * 4, encoding="ascii")
    with begun([*words_of(demo), "--address", f"http://127.0.0.1:{port}"]):
        said = run(*words_of(commission), "--yes")
    report = json.loads((tmp_path / "acceptance.json").read_text("utf-8"))
    assert report["counts"] == {"passed": 7, "failed": 0, "notDone": 5}, said.output
    assert run(*words_of(verify)).exit_code == 0


def test_the_setup_of_a_link_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the page itself, with files where it says that they are."""
    monkeypatch.chdir(tmp_path)
    for folder in ("tls", "secrets"):
        (tmp_path / folder).mkdir()
    Authority(tmp_path / "tls").issue("link.example", "tls")
    (tmp_path / "tls" / "tls.pem").rename(tmp_path / "tls" / "tls.crt")
    (tmp_path / "secrets" / "utility").write_text("0123456789abcdef" * 4, encoding="ascii")
    text = yaml_of("docs/plant-link.md", "site: town").replace("sqlite:////var/lib/heat-dispatch/", f"sqlite:///{tmp_path}/")
    (tmp_path / "link.yaml").write_text(text, encoding="utf-8")
    done = run(*words_of(CHECKED))
    assert done.exit_code == 0, done.output
    (tmp_path / "secrets" / "utility").write_text("weak", encoding="ascii")
    assert run(*words_of(CHECKED)).exit_code == 2
