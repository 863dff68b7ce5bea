"""The Helm chart as Helm renders it: what it makes, what it refuses, and that it grants what the manifests grant."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.config.chart import ChartValues, crd_template, values_schema

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "heat-dispatch"
Object = dict[str, Any]
POD_OWNERS = {"Deployment", "DaemonSet", "Job", "CronJob", "Pod"}
PLENTY = """
operator: {replicas: 2, allowedHosts: [api.example.org], contact: ops@example.org, livePage: {enabled: true, port: 8091},
  extraArgs: [--writes-per-s=10]}
ledger: {postgres: {secretName: database}}
plantLink: {enabled: true, config: {site: hall}, secrets: [plant.tokens], service: {ports: {rest: 8443, modbus: 1502}}}
agent: {dryRun: false, gpus: "GPU-1,GPU-2", deviceListStrategy: volumeMounts, tls: {secretName: t, caConfigMap: c}}
monitoring: {podMonitor: true}
image: {digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000", pullSecrets: [registry]}
extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: "{{ .Release.Name }}-more"}}]
"""


class Chart:
    """Helm on our chart."""

    def __init__(self, helm: Path, folder: Path) -> None:
        self._helm, self._folder = helm, folder

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self._helm, *arguments], capture_output=True, text=True, check=False, timeout=120)

    def template(self, *arguments: str, values: str = "") -> subprocess.CompletedProcess[str]:
        file = self._folder / "values.yaml"
        file.write_text(values, encoding="utf-8")
        given = ("template", "heat-dispatch", str(CHART), "--namespace", "heat-dispatch", "--values", str(file))
        return self.run(*given, *arguments)

    def objects(self, *arguments: str, values: str = "") -> list[Object]:
        done = self.template(*arguments, values=values)
        assert done.returncode == 0, done.stderr
        return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


@pytest.fixture(scope="module")
def chart(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Chart:
    return Chart(toolbox.program("helm"), tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="module")
def usual(chart: Chart) -> list[Object]:
    return chart.objects()


def pod_of(obj: Object) -> Object:
    """The pod's specification of whatever makes pods."""
    spec = obj["spec"]
    if obj["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Object = spec if obj["kind"] == "Pod" else spec["template"]["spec"]
    return found


def by_name(objects: Sequence[Object], kind: str) -> dict[str, Object]:
    return {obj["metadata"]["name"]: obj for obj in objects if obj["kind"] == kind}


def rules(objects: Sequence[Object]) -> dict[tuple[str, str, str], Any]:
    """What is granted by kind, namespace and name of the role."""
    return {
        (obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]): obj["rules"]
        for obj in objects
        if obj["kind"] in {"Role", "ClusterRole"}
    }


def manifest(path: str) -> list[Object]:
    return [obj for obj in yaml.safe_load_all((ROOT / path).read_text("utf-8")) if obj]


def test_values_are_those_of_the_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert ChartValues.model_validate(values).model_dump(by_alias=True, exclude={"global_"}) == values
    assert values_schema()["additionalProperties"] is False


def test_every_value_is_used(chart: Chart) -> None:
    """A value that no template reads would be a promise that nobody keeps."""
    templates = "\n".join(path.read_text("utf-8") for path in (CHART / "templates").rglob("*") if path.is_file())

    def read(path: str, value: Any) -> bool:
        parts = value if isinstance(value, dict) else ()
        return f".Values{path}" in templates and not any(f".Values{path}.{part}" in templates for part in parts)

    def unread(values: Object, before: str) -> list[str]:
        found = []
        for key, value in values.items():
            path = f"{before}.{key}"
            if not read(path, value):
                found += unread(value, path) if isinstance(value, dict) and value else [path]
        return found

    assert unread(yaml.safe_load((CHART / "values.yaml").read_text("utf-8")), "") == []


def test_helm_finds_no_fault(chart: Chart) -> None:
    done = chart.run("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("values", ["", PLENTY])
def test_every_pod_but_the_agents_is_restricted(chart: Chart, values: str) -> None:
    makers = [obj for obj in chart.objects(values=values) if obj["kind"] in POD_OWNERS]
    assert {obj["kind"] for obj in makers} == POD_OWNERS
    for obj in makers:
        pod = pod_of(obj)
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"]["drop"] == ["ALL"]
            assert ("add" in security["capabilities"]) == (container["name"] in {"setter", "standby"})
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (pod["securityContext"].get("runAsNonRoot") is True) == (obj["kind"] != "DaemonSet")


def test_it_grants_what_the_manifests_grant_and_nothing_more(usual: list[Object]) -> None:
    wanted = rules([*manifest("manifests/rbac/operator.yaml"), *manifest("manifests/agent/rbac.yaml")])
    hooks = ("-release", "-uninstall", "-leases", "-leases-caps", "-test")
    granted = {key: found for key, found in rules(usual).items() if not key[2].endswith(hooks)}
    assert granted == wanted


def test_the_agent_is_that_of_the_manifests(usual: list[Object]) -> None:
    (wanted,) = manifest("manifests/agent/daemonset.yaml")
    found = by_name(usual, "DaemonSet")["heat-dispatch-agent"]
    for obj in (wanted, found):
        del obj["metadata"]["labels"], obj["spec"]["template"]["metadata"]["labels"]
        for container in pod_of(obj)["containers"]:
            container.pop("imagePullPolicy", None)
            container["image"] = "heat-dispatch"
    assert found == wanted


def test_admission_policies_are_those_of_the_files(chart: Chart, usual: list[Object]) -> None:
    """Without the kind in the cluster new Jobs are not held; with it they are."""
    assert by_name(usual, "MutatingAdmissionPolicy") == {}
    found = chart.objects("--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy")
    for kind in ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"):
        assert by_name(found, kind) == by_name(manifest("policies/admission/hold-new-jobs.yaml"), kind)
    assert by_name(found, "ValidatingAdmissionPolicy") == by_name(
        manifest("manifests/agent/admission.yaml"), "ValidatingAdmissionPolicy"
    )


@pytest.mark.parametrize("keep", [True, False])
def test_kinds_are_installed_and_kept_where_that_is_wished(chart: Chart, keep: bool) -> None:
    found = by_name(chart.objects("--set", f"crds.keep={str(keep).lower()}"), "CustomResourceDefinition")
    wanted = {
        obj["metadata"]["name"]: obj for path in (ROOT / "manifests" / "crds").glob("*.yaml") for obj in manifest(str(path))
    }
    kept = {
        name: (obj["metadata"].pop("annotations", None) or {}).get("helm.sh/resource-policy") for name, obj in found.items()
    }
    assert set(kept.values()) == {"keep" if keep else None}
    assert found == wanted
    assert by_name(chart.objects("--set", "crds.enabled=false"), "CustomResourceDefinition") == {}


def test_a_kind_that_looks_like_a_template_is_refused() -> None:
    with pytest.raises(ValueError, match="braces"):
        crd_template("a: b\nmetadata:\n  name: {{ x }}\n")


def test_whatever_is_asked_for_is_there(chart: Chart) -> None:
    found = chart.objects(values=PLENTY)
    deployment = by_name(found, "Deployment")["heat-dispatch-operator"]
    operator, link = pod_of(deployment)["containers"]
    assert deployment["spec"]["replicas"] == 2
    assert {"--ledger=$(LEDGER_URL)", "--contact=ops@example.org", "--writes-per-s=10"} <= set(operator["args"])
    # The live page is on the pod's loopback: no port of it is told to anybody.
    assert "--live-port=8091" in operator["args"]
    assert not [one for one in operator["args"] if one.startswith("--live-host")]
    assert 8091 not in [port["containerPort"] for port in operator["ports"]]
    assert link["command"] == ["heat-dispatch", "plant-link"]
    # It has no token of the cluster: neither its own mount nor the pod's.
    assert pod_of(deployment)["automountServiceAccountToken"] is False
    assert "account" not in {mount["name"] for mount in link["volumeMounts"]}
    assert {container["image"] for container in pod_of(deployment)["containers"]} == {f"heat-dispatch@sha256:{'0' * 64}"}
    service = by_name(found, "Service")["heat-dispatch-plant"]
    assert service["spec"]["selector"]["heatdispatch.io/leads"] == "true"
    assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == {"rest": 8443, "modbus": 1502}
    assert yaml.safe_load(by_name(found, "ConfigMap")["heat-dispatch-plant-link"]["data"]["link.yaml"])["site"] == "hall"
    assert "heat-dispatch-more" in by_name(found, "ConfigMap")
    assert set(by_name(found, "PodMonitor")) == {"heat-dispatch-operator", "heat-dispatch-agent"}
    assert set(by_name(found, "PodDisruptionBudget")) == {"heat-dispatch-operator"}
    assert by_name(found, "PersistentVolumeClaim") == {}
    agent, setter, standby = pod_of(by_name(found, "DaemonSet")["heat-dispatch-agent"])["containers"]
    assert "--tls-key=/etc/heat-dispatch-tls/tls.key" in agent["args"]
    assert agent["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    for one in (setter, standby):
        assert {"--no-dry-run", "--gpus=GPU-1,GPU-2"} <= set(one["args"])
        assert "/var/run/nvidia-container-devices/all" in {mount["mountPath"] for mount in one["volumeMounts"]}


def test_both_namespaces_have_one_token(usual: list[Object]) -> None:
    secrets = [obj for obj in usual if obj["kind"] == "Secret"]
    assert {obj["metadata"]["namespace"] for obj in secrets} == {"heat-dispatch", "heat-dispatch-agents"}
    assert len({obj["data"]["token"] for obj in secrets}) == 1


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--set", "operatr.replicas=1"), "operatr"),
        (("--set", "operator.replica=1"), "replica"),
        (("--set", "operator.replicas=2"), "/operator/replicas"),
        (("--set", "operator.replicas=0"), "/operator/replicas"),
        (("--set", "operator.resources.limit=1"), "limit"),
        (("--set", "agent.backend=amd"), "/agent/backend"),
        (("--set", "image.digest=latest"), "/image/digest"),
        (("--set", "ledger.persistence.size=much"), "/ledger/persistence/size"),
        (("--set", "staleHolds.schedule=often"), "/staleHolds/schedule"),
        (("--set", "agent.tls.secretName=t"), "agent.tls.caConfigMap"),
        (("--set", "plantLink.service.ports.rest=0"), "/plantLink/service/ports/rest"),
    ],
)
def test_what_cannot_be_is_refused_by_name(chart: Chart, given: tuple[str, ...], named: str) -> None:
    done = chart.template(*given)
    assert done.returncode != 0
    assert named in done.stderr
