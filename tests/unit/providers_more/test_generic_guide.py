"""What docs/signals.md says of reading anything: its examples make providers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import yaml

from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.domain.observed import HEAT_DEMAND, PRICE

GUIDE = (Path(__file__).parents[3] / "docs" / "signals.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 21, 12, 7, tzinfo=UTC)


def test_the_examples_of_the_guide_ask_where_they_say() -> None:
    section = GUIDE.partition("\n## Anything else\n")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```yaml\n(.*?)```", section, flags=re.DOTALL)
    chains = yaml.safe_load(example)
    asked = {
        entry["provider"]: [ask.url for ask in PROVIDERS[entry["provider"]].make(quantity, entry["options"]).asks(NOW)]
        for field, quantity in (("price", PRICE), ("heatDemand", HEAT_DEMAND))
        for entry in chains[field]
    }
    assert asked == {
        "csv_feed": ["file:prices.csv"],
        "json_feed": ["https://prices.example.org/v1/day"],
        "prometheus_query": ["http://prometheus.monitoring.svc:9090/api/v1/query_range"],
    }
