"""What the manifests grant is enough: both processes under the very restrictions of their containers, from a cap to its end.

The arguments are those of the DaemonSet with other paths; wishes come from a file. Capabilities, no_new_privs and the read-only
root are the kernel's own; seccomp and the container runtime are not there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from agent_process import RUN, AgentProcess
from gpu_machine import Machine
from kubelet_peer import KubeletPeer, holding

MANIFEST = Path(__file__).parents[2] / "manifests" / "agent" / "daemonset.yaml"
WAIT_S = 60.0
# A root that cannot be written, but for one folder; $0 is that folder.
ROOT = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'


def contained(folder: Path, capabilities: list[str]) -> list[str]:
    """A command's beginning that takes from root all but some capabilities, and a root file system that can be written."""
    kept = "".join(f",+{name.lower()}" for name in capabilities)
    privileges = [f"--bounding-set=-all{kept}", f"--inh-caps=-all{kept}", "--clear-groups", "--no-new-privs"]
    return ["unshare", "--mount", "sh", "-c", ROOT, str(folder), "setpriv", *privileges]


def possible() -> str:
    """Why this machine cannot restrict processes so; empty when it can."""
    if os.geteuid() != 0:
        return "restricting root takes root"
    if shutil.which("setpriv") is None or shutil.which("unshare") is None:
        return "no setpriv and unshare (util-linux)"
    tried = subprocess.run([*contained(Path.cwd(), ["SYS_ADMIN"]), "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip()


def container(name: str) -> dict[str, Any]:
    """One container of the DaemonSet."""
    found = yaml.safe_load(MANIFEST.read_text("utf-8"))["spec"]["template"]["spec"]["containers"]
    one: dict[str, Any] = next(each for each in found if each["name"] == name)
    return one


def command(name: str, folder: Path, changes: dict[str, str]) -> list[str]:
    """A container's command, restricted as the manifest says, with other paths."""
    one = container(name)
    security = one["securityContext"]
    assert (security["runAsUser"], security["capabilities"]["drop"], security["readOnlyRootFilesystem"]) == (0, ["ALL"], True)
    arguments = [changes.get(each, each) for each in one["args"]]
    for path, place in (("/run/heat-dispatch", "run"), ("/var/lib/heat-dispatch", "lib"), ("/etc/heat-dispatch", "etc")):
        arguments = [each.replace(path, str(folder / place)) for each in arguments]
    arguments = [each.replace("/var/lib/kubelet/pod-resources", str(folder / "kubelet")) for each in arguments]
    shell = contained(folder, security["capabilities"].get("add", []))
    return [*shell, sys.executable, "-c", RUN, one["command"][1], *arguments]


@contextmanager
def running(arguments: list[str], machine: Machine, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run until the end of the block."""
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, env=machine.environment, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_S)


def until(holds: Callable[[], bool], *logs: Path) -> None:
    until_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until_s, "\n".join(log.read_text("utf-8") for log in logs)
        time.sleep(0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the containers' volumes are; the token is root's alone."""
    for name in ("run", "lib/caps", "etc", "kubelet"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc" / "token").write_text("secret", encoding="ascii")
    (tmp_path / "etc" / "token").chmod(0o400)
    (tmp_path / "kubelet").chmod(0o750)
    return tmp_path


def test_both_processes_do_their_work_with_what_their_containers_have(machine: Machine, folder: Path) -> None:
    why = possible()
    if why:
        pytest.skip(why)
    wishes, logs = folder / "wishes.json", [folder / "agent.log", folder / "setter.log"]
    said = {
        "planId": "p", "generation": 1, "leaseSeconds": 120, "lease": "always",
        "gpus": [{"uuid": "GPU-0001", "podUid": "u-1", "capWatts": 400}],
        "pods": [{"namespace": "lab", "name": "train", "uid": "u-1"}],
    }  # fmt: skip
    wishes.write_text(json.dumps(said), encoding="utf-8")
    agent = command(
        "agent", folder, {"--wishes=api": f"--wishes={wishes}", "--port=9464": "--port=0", "--log-format=json": "--node=n0"}
    )
    setter = command("setter", folder, {"--dry-run": "--no-dry-run", "--log-json": "--jitter-seconds=0"})
    setter += ["--contact-seconds=5", "--pause-seconds=0"]
    with ExitStack() as stack:
        peer = stack.enter_context(KubeletPeer(folder / "kubelet"))
        peer.pods = [holding("train", "GPU-0001")]
        setting = stack.enter_context(running(setter, machine, logs[1]))
        measuring = stack.enter_context(running(agent, machine, logs[0]))
        until(lambda: machine[1].limit_milliwatt == 400_000, *logs)
        told = AgentProcess(process=measuring, log=logs[0], token="secret")
        assert '"podUid": "u-1"' in told.wait("/v1/telemetry", '"podUid": "u-1"')
        assert told.ask("/readyz").status_code == 200
        status = Path(f"/proc/{setting.pid}/status").read_text("ascii")
        assert "CapEff:\t0000000000200000\n" in status
        assert "CapEff:\t0000000000000000\n" in Path(f"/proc/{measuring.pid}/status").read_text("ascii")
        # Another pod has the GPU.
        peer.pods = [holding("other", "GPU-0001")]
        until(lambda: machine[1].limit_milliwatt == 700_000, *logs)
        until(lambda: not list((folder / "lib" / "caps").glob("*.json")), *logs)
