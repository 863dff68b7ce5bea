"""Our CustomResourceDefinitions on a real API server: served, defaulted as we default, guarded by their rules."""

from __future__ import annotations

import copy
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kube_objects import HEAT

from scheduler.adapters.devcluster.client import ApiRefused, Object, condition
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.config.kinds import KINDS
from scheduler.config.lines import read_documents

ROOT = Path(__file__).parents[2]
REFERENCE, QUICKSTART = (ROOT / "examples" / name for name in ("reference", "quickstart"))
UNPROCESSABLE = 422
RULES_S = 20.0


def kubectl(cluster: DevCluster, *arguments: str) -> str:
    """What kubectl prints, as its user would call it."""
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig()), "HOME": str(cluster.folder)}
    command = [str(cluster.toolbox.program("kubectl")), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ours(folder: Path) -> list[Object]:
    """Objects of our kinds in a folder, read as the API server reads: `10:30` is a text and no number of minutes."""
    files = sorted(folder.glob("*.yaml"))
    found = [document.value for path in files for document in read_documents(path.read_text("utf-8"), path.name)[0]]
    return [one for one in found if one["kind"] in KINDS]


EXAMPLES = ours(REFERENCE)


def path_of(found: Object) -> str:
    """Path of an object's collection."""
    return f"{HEAT}/{KINDS[found['kind']].plural}"


def example(kind: str) -> Object:
    """An object of the reference site."""
    return copy.deepcopy(next(found for found in EXAMPLES if found["kind"] == kind))


def with_spec(kind: str, dotted: str, value: Any) -> Object:
    """The reference object with one field of its spec changed; None takes it away."""
    found = example(kind)
    *parents, last = dotted.split(".")
    place = found["spec"]
    for name in parents:
        place = place.setdefault(name, {})
    if value is None:
        place.pop(last)
    else:
        place[last] = value
    return found


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_is_served_with_its_columns(cluster: DevCluster, name: str) -> None:
    kind = KINDS[name]
    shown = kubectl(cluster, "get", kind.plural, "--ignore-not-found", "--output=wide")
    resources = cluster.admin.get(HEAT)["resources"]
    served = next(one for one in resources if one["name"] == kind.plural)
    assert (served["kind"], served["namespaced"], served["categories"]) == (name, False, ["heatdispatch"])
    assert tuple(served.get("shortNames", ())) == tuple(kind.short_names)
    assert f"{kind.plural}/status" in {one["name"] for one in resources}
    header = shown.splitlines()[0].split() if shown else []
    assert not header or header[0] == "NAME"


def test_the_reference_site_is_applied_with_kubectl(cluster: DevCluster) -> None:
    said = kubectl(cluster, "apply", "--server-side", "-f", str(REFERENCE))
    assert len(said.splitlines()) == len(EXAMPLES)
    assert all(line.endswith("serverside-applied") for line in said.splitlines())
    shown = kubectl(cluster, "get", "heatdispatch", "--output=name").split()
    assert {f"{one['kind'].lower()}.heatdispatch.io/{one['metadata']['name']}" for one in EXAMPLES} <= set(shown)


@pytest.mark.parametrize(
    "found", [*EXAMPLES, *ours(QUICKSTART)], ids=lambda found: f"{found['kind']}-{found['metadata']['name']}"
)
def test_the_server_fills_in_what_our_reader_fills_in(cluster: DevCluster, found: Object) -> None:
    kind, given = KINDS[found["kind"]], {**found, "metadata": {"name": "defaulted"}}
    stored = cluster.admin.create(f"{path_of(found)}?dryRun=All&fieldValidation=Strict", given)
    theirs, ours = kind.model_validate({**stored, "metadata": given["metadata"]}), kind.model_validate(given)
    assert theirs.model_dump() == ours.model_dump()


@pytest.mark.parametrize(
    ("kind", "field", "value", "message"),
    [
        ("WorkloadClass", "flexibility", "whenever", 'Unsupported value: "whenever"'),
        ("WorkloadClass", "maxSlowdown", 7, "should be less than or equal to"),
        ("ThermalPlug", "temperature.supplyMinC", 95, "supplyMinC must not be above supplyMaxC"),
        ("ThermalPlug", "capture.cpu", 0.5, "cpu and cpuShareOfRest go together"),
        ("ThermalPlug", "heatPump.cop.sinkOutC", 20, "a heat pump lifts: sinkOutC must be above sourceOutC"),
        ("ThermalPlug", "capacity", None, "spec.capacity: Required value"),
        ("HeatOfftake", "requirement.supplyC", None, "give supplyC or supplyCurve, one of them"),
        ("HeatOfftake", "tariff.scaleEurPerKwh", None, "kind temperatureIndexed needs scaleEurPerKwh"),
        ("DispatchPolicy", "capping.levels", [0.85, 0.7], "levels must hold 1.0: no cap"),
        ("DispatchPolicy", "mode", "Enforce", 'supported values: "Observe", "Advise", "Dispatch"'),
        ("Site", "electricity.kind", "fixed", "kind fixed needs fixedEurPerKwh"),
    ],
)
def test_a_wrong_object_is_refused_with_what_would_be_right(
    cluster: DevCluster, kind: str, field: str, value: Any, message: str
) -> None:
    wrong = {**with_spec(kind, field, value), "metadata": {"name": "wrong"}}

    def refused() -> ApiRefused | None:
        """Rules come into force a second or two after a kind is served."""
        try:
            cluster.admin.create(f"{path_of(wrong)}?dryRun=All", wrong)
        except ApiRefused as error:
            return error
        return None

    error = cluster.wait(f"{field} refused", refused, RULES_S)
    assert error is not None
    assert error.code == UNPROCESSABLE
    assert message in error.message


def test_the_class_named_insulated_cannot_become_another(cluster: DevCluster) -> None:
    wrong = example("WorkloadClass")
    wrong["spec"]["flexibility"] = "deferrable"
    wrong["spec"]["maxPreemptions"] = 0
    with pytest.raises(ApiRefused, match="the class of jobs without a class, insulated, cannot be flexible"):
        cluster.admin.create(f"{path_of(wrong)}?dryRun=All", {**wrong, "metadata": {"name": "insulated"}})


def test_an_insulated_class_may_allow_nothing(cluster: DevCluster) -> None:
    wrong = example("WorkloadClass")
    wrong["spec"] |= {"flexibility": "insulated", "maxPreemptions": 1}
    with pytest.raises(ApiRefused, match="an insulated class is never slowed, stopped or moved"):
        cluster.admin.create(f"{path_of(wrong)}?dryRun=All", {**wrong, "metadata": {"name": "wrong"}})


def test_status_is_written_by_server_side_apply_alone(cluster: DevCluster) -> None:
    site = {**example("Site"), "metadata": {"name": "with-status"}, "status": {"conditions": []}}
    created = cluster.admin.create(path_of(site), site)
    assert "status" not in created
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Valid",
        "message": "all is well",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }
    head = {"apiVersion": site["apiVersion"], "kind": "Site", "metadata": {"name": "with-status"}}
    where = f"{path_of(site)}/with-status"
    applied = cluster.admin.apply(f"{where}/status", {**head, "status": {"conditions": [ready]}}, manager="heat-dispatch")
    assert condition(applied, "Ready") == "True"
    assert applied["metadata"]["generation"] == created["metadata"]["generation"]
    assert applied["spec"] == created["spec"]
    assert {one["manager"] for one in applied["metadata"]["managedFields"] if one.get("subresource") == "status"} == {
        "heat-dispatch"
    }
    # Conditions are a map by type: another manager may add its own and leave ours.
    other = {**ready, "type": "Noticed"}
    both = cluster.admin.apply(f"{where}/status", {**head, "status": {"conditions": [other]}}, manager="somebody", force=False)
    assert {one["type"] for one in both["status"]["conditions"]} == {"Ready", "Noticed"}
    changed = {**ready, "status": "False"}
    with pytest.raises(ApiRefused, match='conflict with "heat-dispatch"'):
        cluster.admin.apply(f"{where}/status", {**head, "status": {"conditions": [changed]}}, manager="somebody", force=False)


def test_an_unknown_field_is_refused_when_asked_to_be_strict(cluster: DevCluster) -> None:
    wrong = with_spec("Site", "timezone", "Europe/Oslo")
    with pytest.raises(ApiRefused, match='unknown field "spec.timezone"'):
        cluster.admin.create(f"{path_of(wrong)}?dryRun=All&fieldValidation=Strict", {**wrong, "metadata": {"name": "wrong"}})
