"""Whatever stands in a file, the readers answer with a result, findings or Misconfigured: never otherwise, never a hang."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.config.findings import errors_of, refuse
from scheduler.config.jobs import read_jobs
from scheduler.config.lines import read_documents
from scheduler.config.load import load_manifests
from scheduler.config.reference import reference_site
from scheduler.config.scenario import load_scenario
from scheduler.config.series import read_series
from scheduler.config.to_domain import settings_from, site_from
from scheduler.config.validate import validate_manifests
from scheduler.domain.errors import Misconfigured

EXAMPLES = Path(__file__).parents[2] / "examples" / "reference"
SITE = reference_site(gpus=16, gpus_per_node=8, heat_peak_kw=10.0)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
TEXTS = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.yaml"))]
OBJECTS = [document.value for text in TEXTS for document in read_documents(text, "example")[0]]
STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.floats(0.0, 100.0),
    st.integers(0, 10),
    st.text(max_size=12),
    st.sampled_from(["1e400", "0", "-1", "nan", ".inf", "N+1", "loop", "10:30", "24h", "9" * 400, "0.0000001h", "é", "${x}"]),
    st.sampled_from(["2026-01-01T00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00+14:00", "2026-02-30", "Europe/../x"]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
CELLS = st.one_of(
    st.text(max_size=8),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["", "nan", "-5", "1e300", "2026-01-05T00:00Z", "2026-01-05T01:00Z", "2199-12-31T00:00Z", "insulated"]),
    st.datetimes(datetime(1960, 1, 1), datetime(2210, 1, 1)).map(lambda at: f"{at:%Y-%m-%dT%H:%M}Z"),  # noqa: DTZ001 - made UTC
)
MANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def answered(work: Callable[[], Any]) -> None:
    """Done, or refused in the one way that is ours; any other exception fails the test."""
    with suppress(Misconfigured):
        work()


def worked(folder: Path) -> None:
    """Everything that is done with manifests."""
    manifests, findings = load_manifests(folder)
    told = [*findings, *validate_manifests(manifests, NOW)]
    assert all(str(finding) and "\n" not in finding.where for finding in told)
    if not errors_of(told):
        # What validates can be planned with, unless there is no site or no pool in it.
        answered(lambda: site_from(manifests))
        settings_from(manifests)
    refuse(told)


def written(objects: list[Any]) -> str:
    """Objects as documents; JSON is YAML, and leaves no doubt what is text."""
    return "\n---\n".join(json.dumps(each) for each in objects)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path in a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in paths_of(item, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The example site with a few values replaced, removed or renamed."""
    objects: list[Any] = [deepcopy(each) for each in OBJECTS]
    for _ in range(draw(st.integers(1, 4))):
        target = draw(st.integers(0, len(objects) - 1))
        path = draw(st.sampled_from(paths_of(objects[target])))
        if not path:
            objects[target] = draw(STRANGE)
            continue
        holder = objects[target]
        for step in path[:-1]:
            holder = holder[step]
        change = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
        if change == "replace":
            holder[path[-1]] = draw(STRANGE)
        elif change == "remove":
            del holder[path[-1]]
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=9))] = holder.pop(path[-1])
    return written(objects)


def test_the_unchanged_example_passes_every_stage(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(written(OBJECTS), encoding="utf-8")
    worked(tmp_path)
    assert load_manifests(tmp_path)[1] == ()


@MANY
@given(text=mutated())
def test_mutated_manifests(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "site.yaml").write_text(text, encoding="utf-8")
        answered(lambda: worked(Path(folder)))


@MANY
@given(text=st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"#% \t\n,?<", max_size=60))
def test_any_text_as_manifest(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "any.yaml").write_text(text, encoding="utf-8", errors="replace")
        answered(lambda: worked(Path(folder)))


@MANY
@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("any.yaml", "series.csv", "jobs.csv", "scenario.json"):
            Path(folder, name).write_bytes(data)
        answered(lambda: worked(Path(folder)))
        answered(lambda: read_series(Path(folder, "series.csv")))
        answered(lambda: read_jobs(Path(folder, "jobs.csv"), SITE))
        answered(lambda: load_scenario(Path(folder)))


@MANY
@given(rows=st.lists(st.lists(CELLS, min_size=5, max_size=5), max_size=6))
def test_any_cells_in_series(rows: list[list[str]]) -> None:
    header = "start_utc,price_eur_per_mwh,carbon_g_per_kwh,outdoor_c,heat_demand_kw"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "series.csv")
        path.write_text("\n".join([header, *(",".join(row) for row in rows)]), encoding="utf-8", errors="replace")
        answered(lambda: read_series(path))


@MANY
@given(rows=st.lists(st.lists(CELLS, min_size=9, max_size=9), max_size=6))
def test_any_cells_in_jobs(rows: list[list[str]]) -> None:
    columns = "job_id,submit_utc,duration_s,gpus,class,deadline_utc,expected_duration_s,natural_power_w_per_gpu,pool"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "jobs.csv")
        path.write_text("\n".join([columns, *(",".join(row) for row in rows)]), encoding="utf-8", errors="replace")
        answered(lambda: read_jobs(path, SITE))


@MANY
@given(
    value=st.dictionaries(
        st.sampled_from(["name", "start_utc", "days", "time_zone", "gpus", "gpus_per_node", "heat_peak_kw", "x"]), STRANGE
    )
)
def test_any_scenario_file(value: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("series.csv", "jobs.csv"):
            Path(folder, name).write_text("start_utc\n", encoding="utf-8")
        Path(folder, "scenario.json").write_text(json.dumps(value), encoding="utf-8")
        with pytest.raises(Misconfigured):
            load_scenario(Path(folder))
