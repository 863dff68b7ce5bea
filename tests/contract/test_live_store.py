"""The store of the live page's states, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from live_world import a_state, booked
from small_world import NOW

from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.adapters.live.store import LiveStore
from scheduler.ports import LiveBooks


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file, or a database URL."""
    return str(tmp_path / "books.sqlite") if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


def test_a_page_elsewhere_sees_what_the_operator_keeps(place: str) -> None:
    ledger = SqlLedger(place, inline=True)
    ledger.append_now(booked())
    operator, page = LiveStore(place), LiveStore(place)
    books: LiveBooks = page
    assert books.states() == ()
    operator.keep(a_state())
    (found,) = books.states()
    assert found.plan_id == a_state().plan_id
    operator.keep(replace(a_state(), degraded_reason="later"))
    assert books.states()[0].degraded_reason == "later"
    assert len(books.slots(("offtake:town", "nobody"), NOW.replace(hour=0), NOW)) == 40
    for one in (ledger, operator, page):
        one.close()


def test_of_two_that_write_at_once_one_stays_whole(place: str) -> None:
    stores = [LiveStore(place) for _ in range(2)]
    meet = threading.Barrier(2)
    failed: list[BaseException] = []

    def write(store: LiveStore, name: str) -> None:
        try:
            for index in range(5):
                meet.wait(60)
                store.keep(replace(a_state(), degraded_reason=f"{name}-{index}"))
        except BaseException as error:
            failed.append(error)
            meet.abort()

    threads = [threading.Thread(target=write, args=(store, name)) for store, name in zip(stores, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    (found,) = stores[0].states()
    assert found.degraded_reason in ("a-4", "b-4")
    for one in stores:
        one.close()
