"""What the agent tells Prometheus, made of what is known at that moment; the catalogue says what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family

from scheduler.adapters.gpu.caps import Known
from scheduler.adapters.gpu.sampler import Seen
from scheduler.adapters.metrics.agent import AGENT
from scheduler.adapters.metrics.catalog import Kind, Metric
from scheduler.core.capping.orders import Refusal
from scheduler.domain.capping import GpuStanding, Restored, SetterCounts

Row = tuple[str, tuple[str, ...], float]
"""Name in the catalogue without `agent_`, values of the labels in its order, value."""


def families(rows: Iterable[Row]) -> Iterator[Family]:
    """Every metric of the catalogue that has rows.

    Raises:
        KeyError: when a row has no place in the catalogue, which is a fault of the program.
    """
    made = {one.name.removeprefix("agent_"): _family(one) for one in AGENT}
    for name, labels, value in rows:
        made[name].add_metric(labels, value)
    return (family for family in made.values() if family.samples)


def _family(one: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if one.kind is Kind.COUNTER else GaugeMetricFamily
    return kind(one.full_name, one.help, labels=one.labels)


NOW: Mapping[str, Callable[[Seen], float | None]] = {
    "gpu_power_watts": lambda one: one.reading.draw_w,
    "gpu_temperature_celsius": lambda one: one.reading.temperature_c,
    "gpu_utilization_ratio": lambda one: one.reading.utilization_fraction,
    "gpu_persistence_mode": lambda one: None if one.reading.persistent is None else float(one.reading.persistent),
    "gpu_instances": lambda one: float(len(one.reading.instances)) if one.reading.mig else None,
}
SINCE_START: Mapping[str, Callable[[Seen], float]] = {
    "gpu_energy_joules_total": lambda one: one.energy.total_j,
    "gpu_energy_resets_total": lambda one: float(one.energy.resets),
    "gpu_silent_seconds_total": lambda one: one.energy.silent_s,
    "gpu_capped_seconds_total": lambda one: one.capped_s,
    "sampler_lag_seconds": lambda one: one.lag_s,
    "sampler_missed_looks_total": lambda one: float(one.missed),
}


def of_gpus(seen: Iterable[Seen], fresh: Iterable[Seen]) -> Iterator[Row]:
    """GPUs: what was counted of all that were ever seen, what holds now of those that were read lately."""
    for one in seen:
        for name, counted in SINCE_START.items():
            yield name, (one.reading.uuid,), counted(one)
    for one in fresh:
        uuid, limits = one.reading.uuid, one.reading.limits
        for name, present in NOW.items():
            if (value := present(one)) is not None:
                yield name, (uuid,), value
        kinds = {
            "requested": limits.requested_w,
            "enforced": limits.enforced_w,
            "default": limits.default_w,
            "min": limits.least_w,
            "max": limits.most_w,
        }
        yield from _limits(uuid, kinds)
        for reason in sorted(one.reading.reasons or ()):
            yield "gpu_clocks_held_back", (uuid, reason.value), 1.0


def of_caps(known: Known, now_s: float) -> Iterator[Row]:
    """Caps, where this agent has a setter: how each GPU stands, and what the setter has counted."""
    up = not known.setter.away(now_s)
    yield "setter_up", (), float(up)
    if known.heard.alive_s is not None:
        yield "operator_silent_seconds", (), max(0.0, now_s - known.heard.alive_s)
    answer = known.setter.answer
    if answer is None or not up:
        return
    yield "setter_dry_run", (), float(answer.dry_run)
    for standing in answer.gpus:
        yield from _standing(standing)
    yield from _counts(answer.counts)


def of_occupancy(known: Known, now_s: float) -> Iterator[Row]:
    """How old what the kubelet said is; nothing before it said anything."""
    if known.occupancy.seen_s is not None:
        yield "occupancy_age_seconds", (), max(0.0, now_s - known.occupancy.seen_s)


def _standing(one: GpuStanding) -> Iterator[Row]:
    """One GPU as it stands with the setter."""
    yield "cap_condition", (one.uuid, one.condition.value), 1.0
    yield from _limits(one.uuid, {"original": one.original_w, "cap": one.cap_w})
    if one.lease_s is not None:
        yield "cap_lease_seconds", (one.uuid,), one.lease_s


def _counts(counts: SetterCounts) -> Iterator[Row]:
    """What the setter has counted; reasons that did not occur yet are there as zero, so that the first one shows as a rise."""
    yield "cap_writes_total", (), float(counts.writes)
    yield "cap_read_back_failures_total", (), float(counts.read_back_failures)
    yield "cap_foreign_writes_total", (), float(counts.foreign_writes)
    yield "cap_clamps_total", (), float(counts.clamps)
    yield "cap_journal_failures_total", (), float(counts.journal_failures)
    for restored in Restored:
        yield "cap_restores_total", (restored.value,), float(counts.restores.get(restored, 0))
    for reason in sorted({*(one.value for one in Refusal), *counts.refused}):
        yield "cap_refused_total", (reason,), float(counts.refused.get(reason, 0))


def _limits(uuid: str, kinds: Mapping[str, float | None]) -> Iterator[Row]:
    for kind, value in kinds.items():
        if value is not None:
            yield "gpu_power_limit_watts", (uuid, kind), value
