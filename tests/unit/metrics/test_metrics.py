"""The catalogue keeps Prometheus' rules, and every metric is there from the first scrape on."""

from __future__ import annotations

import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from scheduler.adapters.metrics.catalog import CATALOG, Kind, Metric
from scheduler.adapters.metrics.page import SECTIONS, metrics_page
from scheduler.adapters.metrics.registry import Metrics

BASE_UNITS = ("seconds", "watts", "joules", "euros", "ratio", "total", "euros_per_joule", "ratio_max")
COUNTS_AND_STATES = {
    "agents", "dcgm_nodes",
    "degraded_step", "mode", "jobs", "gpus", "source_usable", "leader", "store_objects", "queue_depth", "other_installation",
    "source_fallback_depth",
    "right_missing",
}  # fmt: skip


@pytest.mark.parametrize("metric", CATALOG, ids=lambda one: one.name)
def test_names_labels_and_help_keep_the_rules(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert metric.name.endswith(BASE_UNITS) or metric.name in COUNTS_AND_STATES
    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
    assert not {"job", "pod", "node", "name", "namespace", "le"} & set(metric.labels)
    assert metric.help.endswith(".")
    assert len(metric.help) > 30
    assert list(metric.buckets) == sorted(metric.buckets)
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)


def test_every_metric_is_in_one_section_of_the_page() -> None:
    listed = [metric for _, metrics in SECTIONS for metric in metrics]
    assert sorted(one.name for one in listed) == sorted(one.name for one in CATALOG)
    ((_, text),) = metrics_page().items()
    assert all(f"`{one.full_name}`" in text for one in CATALOG)


def test_what_is_set_is_what_is_read() -> None:
    metrics = Metrics()
    metrics.set("leader", 1.0)
    metrics.add("api_requests_total", verb="get", code="200")
    metrics.add("api_requests_total", 2.0, verb="get", code="200")
    metrics.observe("admission_duration_seconds", 0.02, policy="p")
    text, kind = metrics.exposition()
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in plain(text.decode()) for s in f.samples}
    assert kind.startswith("text/plain")
    assert samples["heatdispatch_leader", ()] == 1.0
    assert samples["heatdispatch_api_requests_total", (("code", "200"), ("verb", "get"))] == 3.0
    assert samples["heatdispatch_admission_duration_seconds_bucket", (("le", "0.025"), ("policy", "p"))] == 1.0
    assert samples["heatdispatch_admission_duration_seconds_bucket", (("le", "0.01"), ("policy", "p"))] == 0.0


def test_all_families_are_there_at_once_in_both_formats() -> None:
    metrics = Metrics()
    text, _ = metrics.exposition()
    names = {family.name for family in plain(text.decode())}
    wanted = {one.full_name.removesuffix("_total") for one in CATALOG}
    assert wanted <= {name.removesuffix("_total") for name in names}
    text, kind = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert "openmetrics" in kind
    families = openmetrics(text.decode())  # type: ignore[no-untyped-call] # the package types it not
    assert wanted <= {family.name for family in families}


def test_a_gauge_forgets_what_is_not_named_any_more() -> None:
    metrics = Metrics()
    metrics.replace("heat_offer_watts", {("loop-a", "p50"): 1.0, ("loop-b", "p50"): 2.0})
    metrics.replace("heat_offer_watts", {("loop-b", "p50"): 3.0})
    text = metrics.exposition()[0].decode()
    assert "loop-a" not in text
    assert 'plug="loop-b",quantile="p50"} 3.0' in text


def test_an_unknown_name_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        Metrics().add("nonsense_total")
