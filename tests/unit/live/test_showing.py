"""How the operator keeps what the live page shows: beside its cycles, and never in their way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from live_world import seen

from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.live.store import LiveStore
from scheduler.domain.decision import CycleRecord
from scheduler.entrypoints.operator.showing import Showing
from scheduler.loop.cycle import cycle_entry


@dataclass
class Rules:
    """As much of a governance as is read."""

    policy: str
    site: Any
    settings: Any


@dataclass
class OneDesk:
    """As much of a desk as is read."""

    governance: Rules


CYCLE = seen()
RECORD = CycleRecord(
    snapshot=CYCLE.snapshot,
    decision=CYCLE.decision,
    outcomes=(),
    receipts=(),
    entry=cycle_entry(CYCLE.snapshot, CYCLE.decision),
)


def desk(policy: str) -> Desk:
    return cast("Desk", OneDesk(Rules(policy=policy, site=CYCLE.site, settings=CYCLE.settings)))


@contextmanager
def showing(path: Path, policies: list[str]) -> Iterator[Showing]:
    found, stopping = Showing(str(path), lambda: policies), threading.Event()
    thread = threading.Thread(target=found.run, args=(stopping,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stopping.set()
        found.wake()
        thread.join(60)
        assert not thread.is_alive()
        found.close()


def until(holds: Any) -> None:
    pause = threading.Event()
    for _ in range(1200):
        if holds():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come to be")


def test_a_cycle_is_on_the_page_soon_after_it(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    page = LiveStore(str(path))
    policies = ["hall", "other"]
    with showing(path, policies) as found:
        found.take(desk("hall"), RECORD)
        found.take(desk("other"), RECORD)
        until(lambda: len(page.states()) == 2)
        assert {one.policy for one in page.states()} == {"hall", "other"}
        assert page.states()[0].plan_id == CYCLE.decision.plan.plan_id
        # A policy that is deleted leaves the page with the next cycle of another one.
        policies.remove("other")
        found.take(desk("hall"), RECORD)
        until(lambda: [one.policy for one in page.states()] == ["hall"])
    page.close()


def test_a_database_that_refuses_costs_the_page_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    page = LiveStore(str(path))
    with showing(path, ["hall"]) as found:
        with page._transaction() as connection:
            connection.exec_driver_sql("ALTER TABLE history_memo RENAME TO away")
        found.take(desk("hall"), RECORD)
        until(lambda: found._episode.failures > 0)
        with page._transaction() as connection:
            connection.exec_driver_sql("ALTER TABLE away RENAME TO history_memo")
        found.take(desk("hall"), RECORD)
        until(lambda: [one.policy for one in page.states()] == ["hall"])
        until(lambda: found._episode.failures == 0)
    page.close()
