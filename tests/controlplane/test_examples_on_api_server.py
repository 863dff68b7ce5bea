"""The examples on a real API server, by the very commands of their pages, and the presets of policies/."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from docs_commands import commands_in

from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.config.lines import read_documents

ROOT = Path(__file__).parents[2]
SITES = ("digester", "district-heating", "greenhouse", "swimming-pool")
CAMPUS = "campus"
PRESETS = sorted((ROOT / "policies").glob("*.yaml"))


@pytest.fixture
def typed(cluster: DevCluster) -> Iterator[list[str]]:
    """What `kubectl apply` was given: taken away after the test, so that no other test of this cluster meets it."""
    given: list[str] = []
    yield given
    for path in reversed(given):
        # Not waiting: what Kueue keeps alive for a while is not this test's.
        said(cluster, ["kubectl", "delete", "--ignore-not-found", "--wait=false", "-f", path])


def said(cluster: DevCluster, words: Sequence[str]) -> str:
    """What a command prints, typed in the repository by the cluster's owner."""
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig()), "HOME": str(cluster.folder)}
    command = [str(cluster.toolbox.program(words[0])), *words[1:]]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def by_the_page(cluster: DevCluster, site: str, typed: list[str]) -> str:
    """Type every kubectl command of an example's page; what the last one printed."""
    printed = ""
    for command in commands_in(ROOT / "examples" / site / "README.md"):
        if command.program == "kubectl":
            typed += [word for before, word in zip(command.words, command.words[1:], strict=False) if before == "-f"]
            printed = said(cluster, command.words)
    return printed


def names_in(folder: Path) -> set[str]:
    """Names of all objects in the manifests of a folder."""
    documents = (one for path in folder.glob("*.yaml") for one in read_documents(path.read_text("utf-8"), path.name)[0])
    return {document.value["metadata"]["name"] for document in documents}


@pytest.mark.parametrize("site", SITES)
def test_an_example_is_applied_as_its_page_says(cluster: DevCluster, typed: list[str], site: str) -> None:
    shown = by_the_page(cluster, site, typed)
    assert typed == [f"examples/{site}"]
    plugs = {line.split()[0].rpartition("/")[2] for line in shown.splitlines() if line}
    assert plugs & names_in(ROOT / "examples" / site)


def test_the_campus_is_applied_with_its_queues_and_a_job(kueue: DevCluster, typed: list[str]) -> None:
    by_the_page(kueue, CAMPUS, typed)
    assert typed == [f"examples/{CAMPUS}", f"examples/{CAMPUS}/kueue/queues.yaml", f"examples/{CAMPUS}/kueue/job.yaml"]
    workloads = "/apis/kueue.x-k8s.io/v1beta2/namespaces/research/workloads"
    kueue.wait("the job's Workload", lambda: kueue.admin.items(workloads) or None, 60.0)
    found = kueue.admin.items(workloads)
    assert found[0]["spec"]["queueName"] == "research"
    job = kueue.admin.get("/apis/batch/v1/namespaces/research/jobs/train")
    # Nobody answers the check here, so that it waits.
    assert job["spec"]["suspend"] is True


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: str(path.stem))
def test_a_preset_is_taken_by_the_api_server(cluster: DevCluster, path: Path) -> None:
    printed = said(cluster, ["kubectl", "apply", "--dry-run=server", "-f", str(path)])
    assert printed.startswith(f"dispatchpolicy.heatdispatch.io/{path.stem} created (server dry run)")
