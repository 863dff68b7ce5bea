"""What pages tell their readers to type that is no program of ours: Helm, kubectl, curl, openssl. Where each line is typed.

A line of another page, or a changed one, fails `test_every_line_is_typed_somewhere` until it stands here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from docs_calls import PAGES, ROOT, lines_of
from operated import RUN

STRANGERS = re.compile(r"(^|\$\()(helm|kubectl|curl|openssl) (?!heatdispatch)")
# `helm upgrade` in a sentence is the name of a thing; what has more words can be typed.
NAMES = 2
WITHIN_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How a line is made to fit where it is typed, and what it then says. What it replaces must be there."""

    replaced: Mapping[str, str] = field(default_factory=dict)
    added: str = ""
    says: str = ""


def fitting(line: str, made: Made) -> str:
    """The line as it is typed.

    Raises:
        KeyError: the line has not what is to be replaced.
    """
    for word, other in made.replaced.items():
        if word not in line:
            raise KeyError(f"{line}: no {word}")
        line = line.replace(word, other)
    return f"{line.split('  #')[0].rstrip()} {made.added}".rstrip()


def typed(line: str, folder: Path, environment: Mapping[str, str], within_s: float = 300.0) -> str:
    """What a line of a shell prints, errors too.

    Raises:
        AssertionError: it ends with an error.
    """
    command = ["bash", "-euo", "pipefail", "-c", line]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=within_s,
    )
    assert done.returncode == 0, f"{line}: {done.stdout}"
    return done.stdout


def said_within(what: str, ask: Callable[[], str], wanted: Callable[[str], bool]) -> str:
    """What a line prints, once it is what was wanted."""
    until_s = time.monotonic() + WITHIN_S
    while True:
        said = ask()
        if wanted(said):
            return said
        assert time.monotonic() < until_s, f"{what}: {said}"
        time.sleep(0.5)


@contextmanager
def begun(arguments: Sequence[str]) -> Iterator[None]:
    """A command that runs meanwhile, from when it has said its first line on."""
    with subprocess.Popen([sys.executable, "-u", "-c", RUN, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield
        finally:
            process.terminate()
            process.communicate(timeout=60)


def shell_lines() -> dict[str, str]:
    """All lines for other programs by page and line."""
    found = {}
    for page in PAGES:
        for _, line, in_block in lines_of(page):
            if STRANGERS.search(line) and (in_block or len(line.split()) > NAMES):
                found[f"{page.relative_to(ROOT)}: {line}"] = line
    return found


LINES = shell_lines()

HOME, AGENTS = "heat-dispatch", "heat-dispatch-agents"
# What a page calls NODE, POD and NAMESPACE is there under other names; what is done already is done again, or only tried.
# An `exec` knows nothing of the driver's library that is pretended there, and the image has no `env`.
KNOWING = "python3 -c \"import os, sys; os.environ['FAKE_NVML_STATE'] = '/gpus.state'; os.execvp(sys.argv[1], sys.argv[1:])\""
NODE, POD = {"NODE": "127.0.0.1"}, {"POD": "$AGENT"}
TRIED = "--dry-run=server"
CREATED = Made(added=TRIED, says="created (server dry run)")
PLANS = Made(says="quickstart")
SETTER = Made(replaced=POD, added=f"-n {AGENTS}", says="setter")
# Typed on a real node, where the chart is installed: tests/realnode/test_real_chart.py.
ON_CHART: Mapping[str, Made] = {
    "CONTRIBUTING.md: helm package helm/heat-dispatch -d tests/data": Made(
        replaced={"tests/data": "packed"}, says="Successfully packaged"
    ),
    "docs/agent-install.md: kubectl apply -f manifests/crds": Made(added=TRIED, says="sites.heatdispatch.io"),
    "docs/agent-install.md: kubectl apply -k manifests/agent": Made(added=TRIED, says="daemonset.apps/"),
    "docs/agent-install.md: kubectl delete -k manifests/agent": Made(added=f"{TRIED} --ignore-not-found", says="deleted"),
    "docs/agent-install.md: kubectl -n heat-dispatch-agents create secret generic heat-dispatch-agent "
    '--from-literal=token="$(openssl rand -hex 32)"': Made(
        replaced={"generic heat-dispatch-agent": "generic another"}, added=TRIED, says="created"
    ),
    "docs/agent-install.md: kubectl label node NODE heatdispatch.io/agent=enabled": Made(replaced=NODE, says="not labeled"),
    "docs/agent-install.md: kubectl -n heat-dispatch-agents get pods -o wide": Made(says="Running"),
    "docs/agent-install.md: kubectl -n heat-dispatch-agents exec POD -c agent -- heat-dispatch agent --once": Made(
        replaced={**POD, "-- ": f"-- {KNOWING} "}, says="4 GPUs"
    ),
    "docs/agent-install.md: kubectl get nodepower NODE -o yaml": Made(replaced=NODE, says="uuid: GPU-0000"),
    "docs/agent-install.md: kubectl logs POD -c setter": SETTER,
    "docs/agent.md: kubectl logs POD -c setter": SETTER,
    "docs/install.md: kubectl label node NODE heatdispatch.io/agent=enabled": Made(replaced=NODE, says="not labeled"),
    "docs/install.md: kubectl get plans": PLANS,
    "docs/install.md: kubectl label namespace NAMESPACE heatdispatch.io/dispatch=enabled": Made(
        replaced={"NAMESPACE": "lab"}, says="not labeled"
    ),
    # As the log names a right that is missing.
    "docs/operator.md: kubectl auth can-i": Made(added="patch jobs.batch", says="yes"),
    "docs/operator.md: kubectl get plans": PLANS,
    'docs/plant-link.md: kubectl annotate heatofftake district-north heatdispatch.io/clear-override="$(date -u +%FT%TZ)" '
    "--overwrite": Made(replaced={"district-north": "neighbour"}, says="annotated"),
    "docs/reference/kinds.md: kubectl get thermalplugs": Made(says="loop"),
    "docs/reference/kinds.md: kubectl get heatofftakes": Made(says="neighbour"),
    "docs/reference/kinds.md: kubectl get workloadclasses": Made(says="modest"),
    "docs/reference/kinds.md: kubectl get dispatchpolicies": Made(says="quickstart"),
    "docs/reference/kinds.md: kubectl get dispatchplans": PLANS,
    "docs/reference/kinds.md: kubectl get nodepowers": Made(says="127.0.0.1"),
    "docs/reference/kinds.md: kubectl get sites": Made(says="quickstart"),
    "docs/runbook.md: kubectl -n heat-dispatch logs deploy/heat-dispatch-operator --since=1h | grep -v info": Made(
        replaced={"grep -v info": "grep info"}, says="plan"
    ),
    "docs/runbook.md: kubectl describe pod": Made(added=f"-n {HOME}", says="heat-dispatch-operator"),
    "docs/runbook.md: kubectl get plans": PLANS,
    "docs/runbook.md: kubectl describe dispatchpolicy": Made(says="Conditions"),
    "docs/runbook.md: kubectl -n heat-dispatch get pods": Made(says="heat-dispatch-operator"),
    "docs/runbook.md: kubectl -n kube-system get lease heat-dispatch-operator -o yaml": Made(says="holderIdentity"),
    "docs/runbook.md: helm list -A": Made(says="deployed"),
    "docs/runbook.md: kubectl -n heat-dispatch-agents get pods -o wide": Made(says="Running"),
    "docs/signals.md: kubectl -n heat-dispatch create secret generic heat-dispatch-signals --from-literal securityToken=...": (
        CREATED
    ),
}
# The steps of that story itself.
INSTALL = (
    "docs/install.md: helm install heat-dispatch helm/heat-dispatch --namespace heat-dispatch --create-namespace "
    "--set image.repository=registry.example.org/heat-dispatch"
)
UPGRADE = "docs/install.md: helm upgrade heat-dispatch helm/heat-dispatch --namespace heat-dispatch --values values.yaml"
ROLLBACK = "docs/install.md: helm rollback heat-dispatch 1 --namespace heat-dispatch"
FORWARD = "docs/live-page.md: kubectl port-forward -n heat-dispatch deploy/heat-dispatch-operator 8090"
ASKED = "docs/install.md: helm test heat-dispatch --namespace heat-dispatch"
GOING = "docs/install.md: kubectl logs job/heat-dispatch-uninstall"
STEPS = {INSTALL, ASKED, UPGRADE, ROLLBACK, FORWARD, GOING}
# Typed on a real node of `dev cluster up`: tests/realnode/test_real_node_command.py.
HELLO = (
    "docs/devcluster.md: kubectl run hello --image=localhost/heat-dispatch/busybox:1 --image-pull-policy=Never -- "
    "'echo hello; sleep 600'"
)
# Typed in the order of the page: tests/controlplane/test_readme_quickstart.py.
QUICKSTART = [name for name in LINES if name.startswith("README.md: kubectl ")]
# Typed against the demonstration, or alone: tests/integration/test_docs_shell_typed.py.
DEMO = [name for name in LINES if name.startswith("docs/plant-sim.md: curl ")]
ALONE = [name for name in LINES if ": openssl " in name]
# The same by other means, or no line to be typed.
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "examples/": ("tests/controlplane/test_examples_on_api_server.py", "typed there"),
    "docs/plant-rest.md: curl": ("tests/contract/test_link_rest_curl.py", "typed there, against a link"),
    "docs/plant-rest.md: E=$(curl": ("tests/contract/test_link_rest_curl.py", "typed there, against a link"),
    "docs/reference/kinds.md: kubectl apply -f": (
        "tests/controlplane/test_kinds_on_api_server.py",
        "files of the reader's",
    ),
}
TYPED = {*ON_CHART, *STEPS, HELLO, *QUICKSTART, *DEMO, *ALONE}
