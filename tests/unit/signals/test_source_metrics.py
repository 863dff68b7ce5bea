"""What Prometheus hears of sources: ages, last successes, and how deep each chain has fallen."""

from __future__ import annotations

import pytest
from feed_world import NOW, Scripted, World, later, run, told

from scheduler.adapters.metrics.catalog import SOURCES
from scheduler.adapters.metrics.registry import Metrics
from scheduler.adapters.metrics.sources import Outcome, SourceMetrics
from scheduler.adapters.sources.blueprint import BadAnswer
from scheduler.adapters.sources.chain import Chain
from scheduler.adapters.sources.fixed import FixedSource, constant
from scheduler.core.signals.refusals import Reject
from scheduler.domain.observed import OUTDOOR, PRICE


def test_ages_grow_and_chains_fall() -> None:
    world = World(Scripted([told([50.0] * 48), told([3.0] * 3, quantity=OUTDOOR, unit="degC")]))
    feed, gauges = world.feed("spot"), SourceMetrics(world.metrics)
    chain = Chain("price", [feed, FixedSource("rule", PRICE, constant(0.2))])
    run(feed.poll(NOW))

    def told_at(hours: float) -> None:
        depths = {quantity: [choice.depth] for quantity, choice in chain.choices(later(hours)).items()}
        gauges.gauges(feed.readings(later(hours)), depths, later(hours))

    told_at(0.5)
    assert world.count("source_age_seconds", source="spot", quantity=PRICE) == 1800.0
    assert world.count("source_last_success_timestamp_seconds", source="spot", quantity=OUTDOOR) == NOW.timestamp()
    assert world.count("source_fallback_depth", quantity=PRICE) == 0.0
    told_at(25.0)
    assert world.count("source_age_seconds", source="spot", quantity=PRICE) == 25 * 3600.0
    assert world.count("source_fallback_depth", quantity=PRICE) == 1.0
    assert world.count("source_fallback_depth", quantity=OUTDOOR) == -1.0
    world.provider.said = BadAnswer("<html>")
    run(feed.poll(later(1)))
    assert world.count("source_last_success_timestamp_seconds", source="spot", quantity=PRICE) == NOW.timestamp()


@pytest.mark.parametrize(("depths", "shown"), [([0, 0], 0.0), ([0, 2], 2.0), ([0, None], -1.0)])
def test_of_several_chains_the_worst_is_shown(depths: list[int | None], shown: float) -> None:
    metrics = Metrics()
    SourceMetrics(metrics).gauges((), {PRICE: depths}, NOW)
    assert metrics.registry.get_sample_value("heatdispatch_source_fallback_depth", {"quantity": PRICE}) == shown
    SourceMetrics(metrics).gauges((), {}, NOW)
    assert metrics.registry.get_sample_value("heatdispatch_source_fallback_depth", {"quantity": PRICE}) is None


def test_the_catalogue_names_every_outcome_and_every_reason() -> None:
    help_of = {one.name: one.help for one in SOURCES}
    assert [one for one in Outcome if one.value not in help_of["source_polls_total"]] == []
    assert [one for one in Reject if one.value not in help_of["source_rejected_values_total"]] == []
