"""Grafana dashboards: every panel asks for metrics that are told, by labels that they have, in words of Prometheus."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.adapters.metrics.agent import AGENT
from scheduler.adapters.metrics.catalog import CATALOG
from scheduler.adapters.metrics.link import LINK

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "heat-dispatch" / "files" / "rules.yaml"
FILES = sorted((ROOT / "helm" / "heat-dispatch" / "dashboards").glob("*.json"))
METRICS = {one.full_name: one for one in (*CATALOG, *AGENT, *LINK)}
# Given by Prometheus to whatever it scrapes, and to the buckets of histograms.
EVERYWHERE = {"instance", "job", "pod", "le"}


def board(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in board(path)["panels"] if panel["type"] != "row"]


def asked() -> Iterator[tuple[str, str]]:
    """Title of the panel and expression, of every query of every dashboard."""
    for path in FILES:
        for panel in panels(path):
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


def recorded() -> set[str]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def plain(name: str) -> str:
    """A metric's name without what a histogram's series have more."""
    return next((name.removesuffix(end) for end in ("_bucket", "_count", "_sum") if name.removesuffix(end) in METRICS), name)


def test_there_are_some() -> None:
    assert len(FILES) >= 4
    assert len(list(asked())) >= 60


@pytest.mark.parametrize(("where", "expr"), list(asked()))
def test_what_is_asked_for_is_told(where: str, expr: str) -> None:
    found = re.findall(r"\b(heatdispatch[a-z0-9_:]*)(?:\{([^}]*)\})?", expr)
    assert found
    for name, matchers in found:
        if ":" in name:
            assert name in recorded(), where
            continue
        metric = METRICS[plain(name)]
        assert set(re.findall(r"(\w+)(?==~?\")", matchers)) <= set(metric.labels) | EVERYWHERE, where
    known = {label for name, _ in found if ":" not in name for label in METRICS[plain(name)].labels} | EVERYWHERE | {"policy"}
    for labels in re.findall(r"\bby \(([^)]*)\)", expr):
        assert {label.strip() for label in labels.split(",")} <= known, where


def test_prometheus_understands_every_query(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": re.sub(r"\$\w+", ".*", expr)} for number, (_, expr) in enumerate(asked())]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_page_is_whole(path: Path) -> None:
    page = board(path)
    names = {variable["name"] for variable in page["templating"]["list"]}
    assert page["uid"] == path.stem
    assert "datasource" in names
    assert [link["tags"] for link in page["links"]] == [["heat-dispatch"]]
    ids = [panel["id"] for panel in page["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert sorted(set(refs)) == refs
        assert set(re.findall(r"\$(\w+)", " ".join(target["expr"] for target in panel["targets"]))) <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_panel_lies_on_another(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board(path)["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
