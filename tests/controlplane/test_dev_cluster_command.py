"""`heat-dispatch dev cluster` as its user meets it: up, status, kubectl, down, and nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from typer.testing import CliRunner, Result

from scheduler.adapters.devcluster import record
from scheduler.entrypoints.cli import app

UP_S = 240.0
# Whoever runs tests in the background may have SIGINT ignored; a terminal has not.
SCRIPT = """
import signal
from scheduler.entrypoints.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
COMMAND = [sys.executable, "-c", SCRIPT, "dev", "cluster"]


def said(*arguments: str) -> Result:
    """A finished command, in this process."""
    return CliRunner().invoke(app, ["dev", "cluster", *arguments])


@contextmanager
def up(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A cluster that somebody started in a terminal, and what it wrote as JSON."""
    told = folder.with_suffix(".json")
    command = [*COMMAND, "up", "--dir", str(folder), "--json", str(told), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            until_s = time.monotonic() + UP_S
            while not told.exists() and process.poll() is None and time.monotonic() < until_s:
                time.sleep(0.1)
            assert told.exists(), process.communicate()
            yield process, json.loads(told.read_text("utf-8"))
        finally:
            process.kill()


@pytest.mark.usefixtures("toolbox")
def test_up_status_kubectl_down(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    with up(folder, "--nodes", "3", "--gpus-per-node", "4") as (process, told):
        asked = said("status", "--dir", str(folder), "--json", "-")
        assert asked.exit_code == 0
        status = json.loads(asked.stdout)
        assert status["running"] is True
        assert set(status["programs"]) == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}
        environment = {"KUBECONFIG": told["kubeconfig"], "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        listed = subprocess.run(
            [told["kubectl"], "get", "nodes,sites", "--output=name"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert listed.stdout.split() == ["node/gpu-0", "node/gpu-1", "node/gpu-2"]
        again = said("up", "--dir", str(folder))
        assert again.exit_code == 2
        assert "a cluster runs here already" in again.stderr
        programs = record.programs(record.read(folder))
        stopped = said("down", "--dir", str(folder), "--json", "-")
        assert json.loads(stopped.stdout) == {"folder": str(folder), "stopped": True}
        out, _ = process.communicate(timeout=UP_S)
        assert process.returncode == 0
    assert f"export KUBECONFIG={told['kubeconfig']}" in out
    assert not [name for name, one in programs.items() if one.alive()]
    assert said("status", "--dir", str(folder)).exit_code == 1
    assert (folder / "audit.log").stat().st_size > 0


@pytest.mark.usefixtures("toolbox")
def test_ctrl_c_ends_it_well(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    with up(folder, "--nodes", "1", "--node-label", "heatdispatch.io/plug=north", "--node-label", "rack=7") as (process, told):
        # The client's typing stops at its configuration.
        config: Any = kubernetes.config
        (node,) = kubernetes.client.CoreV1Api(config.new_client_from_config(told["kubeconfig"])).list_node().items
        found = node.to_dict()
        assert found["metadata"]["labels"]["heatdispatch.io/plug"] == "north"
        assert found["metadata"]["labels"]["rack"] == "7"
        assert found["status"]["capacity"]["nvidia.com/gpu"] == "8"
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=UP_S)
        assert process.returncode == 0
    assert complaint.splitlines()[-1] == "stopped"
    assert not record.is_running(folder)
