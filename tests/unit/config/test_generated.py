"""What the kinds generate: committed files are fresh, CRDs are structural, JSON Schemas accept what the models accept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from scheduler.config.cel import holds
from scheduler.config.kinds import KINDS
from scheduler.config.schemas import custom_resource_definition, generated

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "generate.py"


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


def test_generated_files_are_fresh() -> None:
    done = generate("--check")
    assert (done.returncode, done.stdout) == (0, "")


def test_stale_missing_and_left_over_files_are_listed_and_then_mended(tmp_path: Path) -> None:
    assert generate("--root", str(tmp_path)).returncode == 0
    (tmp_path / "manifests/crds/sites.yaml").write_text("old", encoding="utf-8")
    (tmp_path / "docs/reference/kinds.md").unlink()
    (tmp_path / "manifests/crds/boilers.yaml").write_text("kind that is gone", encoding="utf-8")
    wrong = ["stale: docs/reference/kinds.md", "stale: manifests/crds/boilers.yaml", "stale: manifests/crds/sites.yaml"]
    done = generate("--check", "--root", str(tmp_path))
    assert (done.returncode, done.stdout.splitlines()) == (1, wrong)
    assert generate("--root", str(tmp_path)).returncode == 0
    assert generate("--check", "--root", str(tmp_path)).returncode == 0


def test_one_crd_and_one_schema_per_kind_and_one_page() -> None:
    names = {str(path) for path in generated()}
    crds = {f"manifests/crds/{kind.plural}.yaml" for kind in KINDS.values()}
    assert names == crds | {f"manifests/schemas/{name}.json" for name in KINDS} | {"docs/reference/kinds.md"}


def schemas_below(schema: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    """Every schema in a structural schema, with its path."""
    found = [(path, schema)]
    for name, inner in schema.get("properties", {}).items():
        found += schemas_below(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            found += schemas_below(schema[key], f"{path}[]")
    return found


@pytest.mark.parametrize("name", KINDS)
def test_crd_is_structural(name: str) -> None:
    """apiextensions v1: every node has a type; no references, unions, `const`; bounds are numbers with a flag beside."""
    crd = custom_resource_definition(KINDS[name])
    version = crd["spec"]["versions"][0]
    whole = version["schema"]["openAPIV3Schema"]
    known = {
        "type", "description", "default", "enum", "format", "pattern", "minimum", "maximum", "exclusiveMinimum",
        "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "required", "properties", "items",
        "additionalProperties", "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    }  # fmt: skip
    for path, schema in schemas_below(whole, name):
        assert "type" in schema, path
        assert set(schema) <= known, path
        assert not ("properties" in schema and "additionalProperties" in schema), path
        assert set(schema.get("required", [])) <= set(schema.get("properties", {})), path
        assert isinstance(schema.get("exclusiveMinimum", True), bool), path
    assert version["subresources"] == {"status": {}}
    assert crd["spec"]["scope"] == "Cluster"
    assert crd["metadata"]["name"] == f"{KINDS[name].plural}.heatdispatch.io"


def test_defaults_and_units_reach_the_crd() -> None:
    policy = custom_resource_definition(KINDS["DispatchPolicy"])
    spec = policy["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert spec["capping"]["default"]["levels"] == [1.0, 0.85, 0.7, 0.57]
    assert spec["capping"]["properties"]["levels"]["default"] == [1.0, 0.85, 0.7, 0.57]
    assert spec["mode"]["default"] == "Observe"
    assert spec["limits"]["properties"]["siteMaxKw"]["description"].endswith("In kW.")
    assert spec["capping"]["x-kubernetes-validations"][0]["rule"].startswith("self.levels.exists")


@pytest.mark.parametrize("name", KINDS)
def test_defaults_obey_the_rules_as_they_stand(name: str) -> None:
    """The API server does not fill a default's own fields before it checks it: a default of {} would be refused."""
    whole = custom_resource_definition(KINDS[name])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for path, schema in schemas_below(whole, name):
        for rule in schema.get("x-kubernetes-validations", []) if "default" in schema else []:
            named = [field for field in schema["properties"] if f"self.{field}" in rule["rule"]]
            asked = [field for field in named if f"has(self.{field})" not in rule["rule"]]
            assert set(asked) <= set(schema["default"]), path
            assert holds(rule["rule"], schema["default"]), path


def test_a_lone_n_is_quoted() -> None:
    text = generated()[PurePosixPath("manifests/crds/thermalplugs.yaml")]
    assert "default: 'N'" in text
    assert re.search(r"(- |: )[yYnN]$", text, flags=re.MULTILINE) is None


def test_yaml_has_no_anchors_and_reads_back() -> None:
    for path, text in generated().items():
        if path.suffix == ".yaml":
            assert "&id" not in text
            assert yaml.safe_load(text)["kind"] == "CustomResourceDefinition"
        if path.suffix == ".json":
            assert json.loads(text)["additionalProperties"] is False


def test_every_field_stands_on_the_page() -> None:
    page = (ROOT / "docs/reference/kinds.md").read_text(encoding="utf-8")
    for field in ("`heatPump.cop.sinkOutC`", "`requirement.annualMwh`", "`firm.products[].gate`", "`nodePools[].idleNodeKw`"):
        assert f"| {field} |" in page
    assert "| `metering.calibrationDue` | day | **required** |" in page
