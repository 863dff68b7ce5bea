"""What the agent's manifests promise, read from the files: who may what, why, and that code and manifest agree on names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from scheduler.adapters.kubernetes.runtime.trim import AGENT_NAME, NAME_LABELS
from scheduler.entrypoints.agent.command import LEASE_NAMESPACE
from scheduler.entrypoints.agent.command import app as agent_app
from scheduler.entrypoints.operator.agents import NAMESPACE, PORT
from scheduler.entrypoints.setter.command import app as setter_app

AGENT = Path(__file__).parents[3] / "manifests" / "agent"
COMMANDS = {"agent": agent_app, "agent-setter": setter_app}
GRANTS = re.compile(
    r"^\s*(add: \[|runAsUser: 0|- operator: Exists|priorityClassName|shareProcessNamespace: true|runtimeClassName|"
    r"pod-security|- --host=0|- --allow-uid|- name: (token|account|socket|journal|machine|pod-resources)$)"
)


def spec() -> dict[str, Any]:
    """The pod of the DaemonSet."""
    found = yaml.safe_load((AGENT / "daemonset.yaml").read_text("utf-8"))
    template: dict[str, Any] = found["spec"]["template"]["spec"]
    return template


def containers(path: Path) -> list[dict[str, Any]]:
    """The containers of a file."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))["spec"]["template"]["spec"]["containers"]
    return found


def test_who_sets_has_one_capability_and_the_agent_none() -> None:
    agent, setter, standby = spec()["containers"]
    assert agent["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert setter["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    for one in (agent, setter, standby):
        assert (one["securityContext"]["allowPrivilegeEscalation"], one["securityContext"]["readOnlyRootFilesystem"]) == (
            False,
            True,
        )
        assert not one["securityContext"].get("privileged")
    assert "ports" not in setter
    # The one that stands behind the setter is that, and nothing else.
    assert standby["args"] == ["--standby", *setter["args"]]
    differs = {"name", "args", "livenessProbe", "resources"}
    assert {key: value for key, value in standby.items() if key not in differs} == {
        key: value for key, value in setter.items() if key not in differs
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec())


def test_only_the_agent_has_a_token_and_only_the_setter_the_journal() -> None:
    agent, setter, standby = (
        {mount["name"]: mount.get("readOnly", False) for mount in one["volumeMounts"]} for one in spec()["containers"]
    )
    assert agent == {"token": True, "account": True, "socket": False, "pod-resources": True}
    assert setter == standby == {"socket": False, "journal": False, "machine": True}
    assert spec()["automountServiceAccountToken"] is False


def test_a_comment_stands_above_each_grant() -> None:
    for name in ("daemonset", "namespace"):
        lines = (AGENT / f"{name}.yaml").read_text("utf-8").splitlines()
        in_volumes = next((at for at, line in enumerate(lines) if line.startswith("      volumes:")), len(lines))
        granted = [at for at, line in enumerate(lines) if GRANTS.match(line) and (at > in_volumes or "- name:" not in line)]
        assert granted
        for at in granted:
            above = lines[at - 1].strip()
            above_tolerations = lines[at - 2].strip() if above.endswith(":") else above
            assert above_tolerations.startswith("#"), f"{name}.yaml:{at + 1}: {lines[at].strip()}"


@pytest.mark.parametrize(
    "path", sorted([AGENT / "daemonset.yaml", *(AGENT / "variants").glob("*.yaml")]), ids=lambda path: path.stem
)
def test_the_commands_know_their_arguments(path: Path) -> None:
    for one in containers(path):
        name = {"agent": "agent", "setter": "agent-setter", "standby": "agent-setter"}[one["name"]]
        command = typer.main.get_command(COMMANDS[name])
        context = command.make_context(name, list(one.get("args", [])))
        assert set(context.params) >= {"backend"}
    # A dry run until somebody says otherwise.
    if path.stem == "daemonset":
        assert all("--dry-run" in one["args"] for one in containers(path)[1:])


def test_code_and_manifest_agree_on_names() -> None:
    daemon_set = yaml.safe_load((AGENT / "daemonset.yaml").read_text("utf-8"))
    assert daemon_set["metadata"]["namespace"] == NAMESPACE
    assert daemon_set["spec"]["template"]["metadata"]["labels"][NAME_LABELS[0]] == AGENT_NAME
    assert spec()["containers"][0]["ports"][0]["containerPort"] == PORT
    assert f"--lease-namespace={LEASE_NAMESPACE}" in spec()["containers"][0]["args"]
    listed = yaml.safe_load((AGENT / "kustomization.yaml").read_text("utf-8"))["resources"]
    assert all((AGENT / name).is_file() for name in listed)
    for name in listed:
        for found in yaml.safe_load_all((AGENT / name).read_text("utf-8")):
            subjects = found.get("subjects", [])
            assert all(one["namespace"] == NAMESPACE for one in subjects if one["kind"] == "ServiceAccount"), name
