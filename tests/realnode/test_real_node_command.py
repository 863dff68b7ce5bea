"""`heat-dispatch dev cluster up --real-node` as its user meets it, and what is left when it is killed: nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from docs_shell import HELLO, LINES, typed
from machine import settled, traces

from scheduler.adapters.devcluster import record
from scheduler.adapters.devcluster.realnode import remains

UP_S = 240.0
COMMAND = [sys.executable, "-c", "from scheduler.entrypoints.cli import main; main()", "dev", "cluster"]


@pytest.mark.usefixtures("node_toolbox")
def test_a_pod_runs_answers_and_is_gone_with_the_command_even_if_that_is_killed(tmp_path: Path) -> None:
    before, told, folder = traces(), tmp_path / "told.json", tmp_path / "cluster"
    up = [*COMMAND, "up", "--dir", str(folder), "--json", str(told), "--nodes", "0", "--gpus-per-node", "2", "--real-node"]
    with subprocess.Popen(up, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            until_s = time.monotonic() + UP_S
            while not told.exists() and process.poll() is None and time.monotonic() < until_s:
                time.sleep(0.1)
            assert told.exists(), process.communicate()
            found = json.loads(told.read_text("utf-8"))
            assert {"containerd", "kubelet"} < record.programs(record.read(folder)).keys()
            assert asked(found, "get", "nodes", "--output=name") == "node/127.0.0.1\n"
            places = f"{Path(found['kubectl']).parent}:{os.environ['PATH']}"
            typed(LINES[HELLO], tmp_path, {"KUBECONFIG": found["kubeconfig"], "PATH": places})
            asked(found, "wait", "--for=condition=Ready", "pod/hello", "--timeout=60s")
            assert asked(found, "logs", "hello") == "hello\n"
            assert asked(found, "exec", "hello", "--", "nproc") == f"{len(os.sched_getaffinity(0))}\n"
            assert asked(found, "exec", "hello", "--", "hostname") == "hello\n"
        finally:
            process.kill()
    # All that a kill leaves are empty control groups, which the next start takes away, as here.
    remains.clear_stale()
    assert settled(before) == []


def asked(found: Mapping[str, Any], *arguments: str) -> str:
    """What kubectl answers."""
    command = [found["kubectl"], "--kubeconfig", found["kubeconfig"], *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
