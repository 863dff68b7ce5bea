"""The README's way to a cluster, typed line by line by somebody who has none: three Jobs, held, started, explained, let go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from docs_calls import CALLS, ROOT
from docs_shell import LINES, QUICKSTART, Made, fitting, said_within, typed
from operated import RUN
from test_dev_cluster_command import up


@contextmanager
def operator(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """The README's operator, on ports that nobody else has; whatever happens, it ends."""
    (words,) = [call.words for call in CALLS if call.name == "README.md: heat-dispatch operator" and call.in_block]
    command = [sys.executable, "-c", RUN, *words[1:], "--host", "127.0.0.1", "--port", "0"]
    with (folder / "operator.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=log, stderr=log)
        try:
            yield
            assert process.poll() is None, (folder / "operator.log").read_text("utf-8")
        finally:
            process.terminate()
            process.wait(60.0)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder that looks like the repository to whoever types there."""
    for name in ("examples", "policies"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.usefixtures("toolbox")
def test_three_jobs_as_the_readme_says(desk: Path) -> None:
    apply, jobs, seen, events, plans, observe = QUICKSTART
    with up(desk / "cluster") as (_, told):
        places = f"{Path(told['kubectl']).parent}:{Path(sys.executable).parent}"
        environment = {"KUBECONFIG": told["kubeconfig"], "HOME": str(desk), "PATH": f"{places}:{os.environ['PATH']}"}

        def line(name: str) -> str:
            return typed(fitting(LINES[name], Made()), desk, environment)

        def suspended() -> set[str]:
            listed = json.loads(typed(fitting(LINES[seen], Made(added="-o json")), desk, environment))
            return {one["metadata"]["name"] for one in listed["items"] if one["spec"].get("suspend")}

        assert "thermalplug.heatdispatch.io/loop created" in line(apply)
        with operator(desk, environment):
            said_within("a plan", lambda: line(plans), lambda said: "quickstart" in said)
            assert line(jobs).count("created") == 3
            said_within("an Event", lambda: line(events), lambda said: "job/training" in said)
            assert "report" not in suspended()
            said_within("the one in a hurry", lambda: str(suspended()), lambda said: "sweep" not in said)
            why = typed("kubectl heatdispatch explain plan", desk, environment)
            assert "loop" in why
            assert "patched" in line(observe)
            said_within("all are let go", lambda: str(suspended()), lambda said: said == "set()")
