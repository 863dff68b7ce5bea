"""What the operator reads from files and keeps in them: series, and the last cycles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.record.store import stored, write_cycle
from scheduler.adapters.sources.file import by_quantity
from scheduler.config.series import read_series
from scheduler.domain.decision import CycleRecord
from scheduler.domain.plan import Plan
from scheduler.domain.time import Series
from scheduler.entrypoints.operator.foreman import Recorder


def parse_series(path: Path) -> Mapping[str, Series]:
    """A series.csv by quantity."""
    series, _ = read_series(path)
    return by_quantity(series)


def recorder(folder: Path, keep: int) -> Recorder:
    """Keeps the last `keep` cycles of every policy in a folder, for `plan --snapshot`."""

    def record(desk: Desk, last: Plan | None, cycle: CycleRecord) -> None:
        rules = desk.governance
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{rules.policy}-{cycle.snapshot.observed_utc:%Y%m%dT%H%M%SZ}.json.gz"
        settings = rules.settings.in_force(cycle.snapshot.observed_utc, rules.site.time_zone)
        write_cycle(folder / name, stored(rules.site, settings, last, cycle))
        for old in sorted(folder.glob(f"{rules.policy}-*.json.gz"))[:-keep]:
            old.unlink(missing_ok=True)

    return record
