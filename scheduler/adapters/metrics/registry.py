"""The catalogue as live metrics in a registry of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from scheduler.adapters.metrics.catalog import CATALOG, PREFIX, Kind, Metric

PLAIN_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Sets values by the catalogue's names; a name or label that is not in it is a programming error and raises KeyError."""

    def __init__(self, catalog: Iterable[Metric] = CATALOG) -> None:
        """Register every metric, so that each is there from the first scrape on."""
        self.registry = CollectorRegistry()
        self._of: Mapping[str, MetricWrapperBase] = {one.name: _made(one, self.registry) for one in catalog}

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Count."""
        one = self._labelled(name, labels)
        assert isinstance(one, Counter), f"{name} is not a counter"
        one.inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        one = self._labelled(name, labels)
        assert isinstance(one, Gauge), f"{name} is not a gauge"
        one.set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a value to a distribution."""
        one = self._labelled(name, labels)
        assert isinstance(one, Histogram), f"{name} is not a histogram"
        one.observe(value)

    def replace(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """Set all values of a gauge by their labels, in the catalogue's order; labels that are not named any more vanish."""
        one = self._of[name]
        assert isinstance(one, Gauge), f"{name} is not a gauge"
        one.clear()
        for labels, value in values.items():
            (one.labels(*labels) if labels else one).set(value)

    def begin(self, name: str, **labels: str) -> None:
        """Have a counter or a distribution start at zero: of one that is first seen above it the first rise is never known."""
        self._labelled(name, labels)

    def forget(self, name: str, **labels: str) -> None:
        """Drop all values of a metric that have these labels."""
        self._of[name].remove_by_labels(labels)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Everything as text with its content type, in the format that the reader asks for."""
        if "application/openmetrics-text" in accept:
            text: bytes = generate_openmetrics(self.registry)  # type: ignore[no-untyped-call] # the package types it not
            return text, CONTENT_TYPE_LATEST
        return generate_latest(self.registry), PLAIN_TEXT

    def _labelled(self, name: str, labels: Mapping[str, str]) -> MetricWrapperBase:
        """The metric, or its child for some labels."""
        one = self._of[name]
        return one.labels(**labels) if labels else one


def _made(metric: Metric, registry: CollectorRegistry) -> MetricWrapperBase:
    """A live metric; one without labels starts at zero, so that its rate is known from the first event on."""
    match metric.kind:
        case Kind.COUNTER:
            return Counter(metric.name, metric.help, metric.labels, namespace=PREFIX, registry=registry)
        case Kind.GAUGE:
            return Gauge(metric.name, metric.help, metric.labels, namespace=PREFIX, registry=registry)
        case Kind.HISTOGRAM:
            return Histogram(
                metric.name, metric.help, metric.labels, namespace=PREFIX, registry=registry, buckets=metric.buckets
            )
