"""Loading manifests: each family of mistakes gets a line that says file, line, field, what is wrong and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from manifest_files import OFFTAKE, PLUG, document, manifests_of, minimal, write_files

from scheduler.config.cel import holds
from scheduler.config.findings import Level, errors_of, refuse
from scheduler.config.kinds import KINDS, HeatOfftake, Site, ThermalPlug
from scheduler.config.lines import MAX_NODES, read_documents
from scheduler.config.load import load_manifests, parts_of
from scheduler.config.schemas import all_parts
from scheduler.domain.errors import Misconfigured


def told(folder: Path, text: str, name: str = "x.yaml") -> list[str]:
    """Findings of one file, as lines."""
    _, findings = load_manifests(write_files(folder, {name: text}))
    return [str(finding) for finding in findings]


def plug_with(old: str, new: str) -> str:
    assert old in PLUG
    return document("ThermalPlug", "loop", PLUG.replace(old, new))


def test_a_directory_of_several_files_and_documents(tmp_path: Path) -> None:
    files = minimal(classes={"calm": "{flexibility: deferrable, maxDelay: 1h}", "loud": "{flexibility: insulated}"})
    manifests = manifests_of(tmp_path, {**files, "notes.txt": "no manifest"})
    assert [entry.resource.name for entry in manifests.entries] == ["calm", "loud", "house", "loop", "small"]
    (plug,) = manifests.of(ThermalPlug)
    assert plug.spec.capacity.max_heat_kw == 60.0
    # Line 7 of plug.yaml: apiVersion, kind, metadata, name, spec, temperature, capacity.
    assert manifests.where(plug, "spec", "capacity", "maxHeatKw") == "plug.yaml:7"
    # A default has no line of its own: the nearest line above it is shown.
    assert manifests.where(plug, "spec", "hydraulics", "pipeLossKw") == "plug.yaml:5"
    assert manifests.of(Site)[0].spec.node_pools[0].power.gpu_max_w == 700.0


def test_a_single_file_can_be_given(tmp_path: Path) -> None:
    path = write_files(tmp_path, {"house.yaml": document("HeatOfftake", "house", OFFTAKE)}) / "house.yaml"
    manifests, findings = load_manifests(path)
    assert findings == ()
    assert manifests.of(HeatOfftake)[0].spec.firm is None


CAPTURE = "{gpu: 0.9, other: 0.3}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("temperature:", "temprature:", "6: spec.temprature: unknown field, did you mean 'temperature'?"),
        ("{maxHeatKw", "{maxHeatKW: 1, maxHeatKw", "7: spec.capacity.maxHeatKW: unknown field, did you mean 'maxHeatKw'?"),
        ("{maxHeatKw: 60}", "{}", "7: spec.capacity.maxHeatKw: the field is missing (expected maxHeatKw in kW: Largest"),
        ("maxHeatKw: 60", 'maxHeatKw: "60"', "7: spec.capacity.maxHeatKw: '60' is not a number (in quotes it is text)"),
        ("maxHeatKw: 60", "maxHeatKw: -60", "7: spec.capacity.maxHeatKw: -60 is not above 0 (expected a number above 0)"),
        ("maxHeatKw: 60", "maxHeatKw: .nan", "7: spec.capacity.maxHeatKw: nan"),
        ("gpu: 0.9", "gpu: 90", "8: spec.capture.gpu: 90 is not at most 1 (expected a number at most 1)"),
        ("return,", "retrun,", "9: spec.metering.position: 'retrun' is not allowed here, did you mean 'return'? (expected one"),
        ("m1,", "m1, meterClass: 2,", "9: spec.metering.meterClass: 2 is not allowed here; write it in quotes: '2' (expected"),
        ("2030-01-01", "2030-02-30", "9: spec.metering.calibrationDue: '2030-02-30' is not a day such as 2027-12-31"),
        (
            CAPTURE,
            CAPTURE + "\nredundancyClass: N",
            "9: spec.redundancyClass: False is not allowed here; yes, no, on, off, y and n",
        ),
        (
            CAPTURE,
            CAPTURE + "\nmaintenance: [{start: 2026-02-01 00:00, end: 2026-02-30T00:00Z, kw: 1}]",
            "9: spec.maintenance[0].start: '2026-02-01 00:00' cannot be read (expected a time with its offset, such as 2026-01",
        ),
        (CAPTURE, "[0.9]", "8: spec.capture: a list is not a mapping of fields"),
        (CAPTURE, "{gpu: 0.9, other: 0.3, cpu: 0.5}", "8: spec.capture: cpu and cpuShareOfRest go together"),
        (CAPTURE, "{gpu: 0.9, gpu: 0.8, other: 0.3}", "8: spec.capture.gpu: the field is there twice, first in line 8"),
        (CAPTURE, "{gpu: 0.9, other:", "9: not YAML:"),
        (CAPTURE, "!!python/name:os.system x", "8: spec.capture: the tag"),
    ],
)
def test_one_mistake_in_a_plug(tmp_path: Path, old: str, new: str, expected: str) -> None:
    lines = told(tmp_path, plug_with(old, new))
    assert any(line.startswith(f"x.yaml:{expected}") for line in lines), lines


def test_the_class_named_insulated_cannot_become_another(tmp_path: Path) -> None:
    lines = told(tmp_path, document("WorkloadClass", "insulated", "flexibility: deferrable"))
    assert any("the class of jobs without a class, insulated, cannot be flexible" in line for line in lines), lines


def test_all_mistakes_of_all_files_are_told_in_order(tmp_path: Path) -> None:
    broken = plug_with("gpu: 0.9", "gpu: 9").replace("maxHeatKw: 60", "maxHeatKw: 0")
    files = {"b.yaml": document("HeatOfftake", "h", "{sink: pond}"), "a.yaml": broken}
    _, findings = load_manifests(write_files(tmp_path, files))
    places = [finding.place for finding in findings]
    assert places[:2] == ["a.yaml:7: spec.capacity.maxHeatKw", "a.yaml:8: spec.capture.gpu"]
    missing = [f"b.yaml:5: spec.{name}" for name in ("plugRef", "requirement", "tariff")]
    assert places[2:] == [*missing, "b.yaml:6: spec.sink"]
    with pytest.raises(Misconfigured, match=r"a\.yaml:7: spec\.capacity\.maxHeatKw: 0 is not above 0(.|\n)*5 more:"):
        refuse(findings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "x.yaml: the file is empty"),
        ("# only a comment\n---\n", "x.yaml: the file is empty"),
        ("just words", "x.yaml:1: not an object"),
        ("- 1\n- 2", "x.yaml:1: not an object"),
        ("spec: {}", "x.yaml:1: kind: the field is missing (expected one of DispatchPlan,"),
        ("kind: Site", "x.yaml:1: apiVersion: the field is missing (expected heatdispatch.io/v1alpha1)"),
        ("apiVersion: heatdispatch.io/v1\nkind: Site", "x.yaml:1: apiVersion: 'heatdispatch.io/v1' is not a version we know"),
        ("apiVersion: heatdispach.io/v1alpha1\nkind: Site", "x.yaml:1: apiVersion: 'heatdispach.io/v1alpha1' is not a version"),
        ("apiVersion: heatdispatch.io/v1alpha1\nkind: Plug", "x.yaml:2: kind: 'Plug' is not a kind of heatdispatch.io"),
        (
            "apiVersion: x/v1\nkind: ThermalPlugs",
            "'ThermalPlugs' is not a kind of heatdispatch.io, did you mean 'ThermalPlug'?",
        ),
        ("a: [1\nb: 2", "x.yaml:2: not YAML: expected ',' or ']'"),
        ("a:\n\t- b", "x.yaml:2: not YAML: found character '\\t' that cannot start any token; tabs cannot indent"),
        ("a: \x07", "x.yaml: not YAML"),
        ("[" * 5000, "x.yaml: nested too deeply"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, text: str, expected: str) -> None:
    _, findings = load_manifests(write_files(tmp_path, {"x.yaml": text}))
    assert any(expected in str(finding) for finding in errors_of(findings)), findings


def test_objects_of_others_are_left_out_with_a_warning(tmp_path: Path) -> None:
    _, findings = load_manifests(write_files(tmp_path, {"x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}"}))
    assert [(finding.level, finding.place) for finding in findings] == [(Level.WARNING, "x.yaml:2: kind")]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"kind: \xff\xfe")
    _, findings = load_manifests(tmp_path)
    assert str(findings[0]) == "x.yaml: byte 6 is not UTF-8 (expected a text file in UTF-8)"


def test_no_folder_and_no_files(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no such folder"):
        load_manifests(tmp_path / "nowhere")
    with pytest.raises(Misconfigured, match="no YAML file in this folder"):
        load_manifests(tmp_path)


def test_one_name_twice(tmp_path: Path) -> None:
    plug = document("ThermalPlug", "loop", PLUG)
    lines = told(tmp_path, f"{plug}---\n{plug}")
    assert lines == ["x.yaml:14: metadata.name: ThermalPlug 'loop' is there twice, first in x.yaml:1 (expected each name once)"]


def test_an_empty_value_counts_as_not_given_and_is_said(tmp_path: Path) -> None:
    text = document("ThermalPlug", "loop", PLUG + "rampKwPerMinute:\n")
    assert told(tmp_path, text) == ["x.yaml:10: spec.rampKwPerMinute: the field has no value and counts as not given"]


def test_scalars_are_read_as_the_api_server_reads_them() -> None:
    (read,), findings = read_documents(
        "{a: 10:30, b: 2027-06-30, c: yes, N: 'N', d: 1e3, e: 0o7, f: true, g: -2, h: '1', i: 010, j: 5., k: 1234567890123456}",
        "x",
    )
    assert findings == []
    assert read.value == {
        "a": "10:30", "b": "2027-06-30", "c": True, "N": "N", "d": 1000.0, "e": "0o7", "f": True, "g": -2, "h": "1",
        "i": "010", "j": 5.0, "k": 1234567890123456.0,
    }  # fmt: skip


def test_aliases_that_multiply_are_stopped() -> None:
    # Ten aliases on each of nine levels would be a billion values.
    levels = ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10))]
    _, findings = read_documents("\n".join(levels), "bomb.yaml")
    assert f"more than {MAX_NODES} values" in str(findings[-1])


def test_a_value_that_holds_itself_is_stopped() -> None:
    _, findings = read_documents("a: &a [*a]", "loop.yaml")
    assert "nested too deeply" in str(findings[-1])


def test_every_rule_of_every_kind_is_understood() -> None:
    rules = {rule for kind in KINDS.values() for part in all_parts(kind) for rule, _ in part.rules}
    assert len(rules) > 15
    whole = {"metadata": {"name": "insulated"}, "spec": {"flexibility": "insulated"}}
    sample = {name: 1.0 for name in ("supplyMinC", "supplyMaxC", "sinkOutC", "sourceOutC", "minC", "maxC", "maxSlowdown")}
    for rule in rules:
        assert holds(rule, {**sample, "levels": [1.0], "maxPreemptions": 0, **whole}) in (True, False)


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ("self.a <= self.b", {"a": 1, "b": 1.0}, True),
        ("has(self.a) != has(self.b)", {"a": 1}, True),
        ("has(self.a) != has(self.b)", {"a": 1, "b": 0}, False),
        ("self.kind != 'x' || has(self.a)", {"kind": "x"}, False),
        ("self.kind != 'x' || (self.n == 0 && !self.on)", {"kind": "x", "n": 0, "on": False}, True),
        ("self.levels.exists(l, l == 1.0)", {"levels": [0.7, 1]}, True),
        ("self.bands.exists(b, true)", {"bands": []}, False),
    ],
)
def test_rules_mean_what_cel_says(rule: str, value: dict[str, object], expected: bool) -> None:
    assert holds(rule, value) is expected


@pytest.mark.parametrize("rule", ["self.a +", "size(self.a) > 1", "self.a in [1]", "self.a + 1 == 2"])
def test_a_rule_that_says_more_is_not_guessed(rule: str) -> None:
    with pytest.raises(ValueError, match="not understood"):
        holds(rule, {"a": 1})


def test_parts_know_their_paths(tmp_path: Path) -> None:
    (site,) = manifests_of(tmp_path, minimal()).of(Site)
    assert ("spec", "nodePools", 0, "power") in dict(parts_of(site))
