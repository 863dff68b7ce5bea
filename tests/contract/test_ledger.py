"""What every ledger promises, asked of each: in memory, in an SQLite file, in PostgreSQL."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from scheduler.adapters.ledger.sql import SqlLedger, engine_for, ledger_url
from scheduler.core.accounting.slots import gaps
from scheduler.domain.errors import Misconfigured, Permanent, Retryable
from scheduler.domain.ledger import CycleEntry, LedgerEntry, Quality
from scheduler.domain.time import utc
from scheduler.ports import Ledger
from scheduler.simulate.memory_ledger import MemoryLedger

T = TypeVar("T")
START = utc("2026-01-14T10:00:00+00:00")
SLOT_S = 900


class Full(Ledger, Protocol):
    """The port, and the cycles that reports read."""

    async def cycles(self, start_utc: datetime, end_utc: datetime) -> tuple[CycleEntry, ...]:
        """Cycles in [start, end), in time order."""
        ...


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def entry(slot: int = 0, revision: int = 0, plug_id: str = "plug", **changes: Any) -> LedgerEntry:
    whole = LedgerEntry(
        entry_id=f"{plug_id}/{slot}/{revision}",
        plug_id=plug_id,
        start_utc=START + timedelta(seconds=SLOT_S * slot),
        duration_s=SLOT_S,
        revision=revision,
        plan_id="plan-1",
        quality=Quality.METERED,
        it_energy_kwh=12.5,
        facility_energy_kwh=14.0,
        heat_captured_kwh=9.1,
        heat_recovered_kwh=8.1,
        heat_sold_kwh=0.1 + 0.2,
        heat_rejected_kwh=1.0,
        heat_planned_kwh=None,
        heat_firm_kwh=0.0,
        tank_level_kwh=20.0,
        emissions_g=1e-300,
        eur={"electricity": 1.1, "heat_revenue": -0.1 - 0.2},
    )
    return replace(whole, **changes)


def cycle(number: int = 0, **changes: Any) -> CycleEntry:
    whole = CycleEntry(
        cycle_id=f"cycle-{number}",
        at_utc=START + timedelta(hours=number),
        plan_id="plan-1",
        input_digest="d" * 64,
        status="fresh",
        objective_eur=-12.3,
        bound_eur=-12.4,
        rolling_gap=0.004,
        solve_s=0.7,
        started=1,
        held=2,
        stopped=3,
        capped=4,
    )
    return replace(whole, **changes)


def booked(ledger: Ledger, plug_id: str = "plug", slots: int = 1000) -> tuple[LedgerEntry, ...]:
    return run(ledger.entries(plug_id, START, START + timedelta(seconds=SLOT_S * slots)))


@pytest.fixture
def ledger(place: str) -> Iterator[Full]:
    if not place:
        yield MemoryLedger()
        return
    found = SqlLedger(place)
    yield found
    found.close()


def test_what_was_appended_is_there_to_the_last_bit(ledger: Full) -> None:
    entries = (entry(0), entry(1, quality=Quality.MISSING, it_energy_kwh=None, eur={}), entry(2, plan_id="ü 2"))
    assert run(ledger.append(entries)) == 3
    assert booked(ledger) == entries
    assert booked(ledger)[0].start_utc.utcoffset() == timedelta(0)


def test_an_empty_batch_and_an_empty_ledger(ledger: Full) -> None:
    assert run(ledger.append(())) == 0
    assert booked(ledger) == ()
    assert run(ledger.cycles(START, START + timedelta(days=1))) == ()


def test_a_repeat_adds_nothing_and_changes_nothing(ledger: Full) -> None:
    batch = (entry(0), entry(1))
    assert run(ledger.append(batch)) == 2
    assert run(ledger.append((entry(1), entry(2)))) == 1
    assert run(ledger.append((entry(1, heat_sold_kwh=99.0),))) == 0
    assert booked(ledger) == (entry(0), entry(1), entry(2))


def test_of_equal_ids_in_one_batch_the_first_counts(ledger: Full) -> None:
    assert run(ledger.append((entry(0), entry(0, heat_sold_kwh=99.0)))) == 1
    assert booked(ledger) == (entry(0),)


def test_a_correction_is_a_new_entry_and_the_last_revision_is_read(ledger: Full) -> None:
    first, second, third = entry(0), entry(0, 1, heat_sold_kwh=0.5), entry(0, 2, heat_sold_kwh=0.6)
    run(ledger.append((first,)))
    assert run(ledger.append((third,))) == 1
    assert booked(ledger) == (third,)
    # An earlier revision that comes late is kept, and does not win.
    assert run(ledger.append((second,))) == 1
    assert booked(ledger) == (third,)


def test_two_ids_cannot_claim_one_revision_of_a_slot(ledger: Full) -> None:
    run(ledger.append((entry(0),)))
    with pytest.raises(Permanent, match="there as plug/0/0, not as other"):
        run(ledger.append((entry(1), entry(0, entry_id="other"))))
    assert booked(ledger) == (entry(0),)


@pytest.mark.parametrize(
    ("shift_s", "duration_s"),
    [(450, 900), (-450, 900), (300, 300), (0, 1800), (-86_399, 86_400)],
    ids=["later", "earlier", "inside", "longer", "a day"],
)
def test_slots_of_a_plug_do_not_overlap(ledger: Full, shift_s: int, duration_s: int) -> None:
    run(ledger.append((entry(0),)))
    wrong = entry(0, entry_id="wrong", start_utc=START + timedelta(seconds=shift_s), duration_s=duration_s)
    if shift_s == 0:  # the same start with another length: a correction may not stretch its slot
        wrong = replace(wrong, revision=1)
    with pytest.raises(Permanent, match="overlap"):
        run(ledger.append((entry(5), wrong)))
    assert booked(ledger) == (entry(0),)
    assert run(ledger.append((replace(wrong, plug_id="other plug"),))) == 1


def test_plugs_and_times_are_kept_apart(ledger: Full) -> None:
    run(ledger.append([entry(slot, plug_id=plug) for plug in ("a", "b") for slot in range(4)]))
    found = run(ledger.entries("b", START + timedelta(seconds=SLOT_S), START + timedelta(seconds=3 * SLOT_S)))
    assert found == (entry(1, plug_id="b"), entry(2, plug_id="b"))


def test_an_instant_is_an_instant_in_any_zone(ledger: Full) -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    run(ledger.append((entry(0, start_utc=START.astimezone(there)),)))
    run(ledger.append_cycle(cycle(0, at_utc=START.astimezone(there))))
    assert booked(ledger) == (entry(0),)
    assert run(ledger.entries("plug", START.astimezone(there), (START + timedelta(hours=1)).astimezone(there))) == (entry(0),)
    assert run(ledger.cycles(START.astimezone(there), START + timedelta(hours=1))) == (cycle(0),)


def test_when_the_clocks_change_no_slot_is_lost_or_doubled(ledger: Full) -> None:
    # 2025-10-26 has 25 local hours in Copenhagen: 100 slots between the two local midnights.
    midnight = utc("2025-10-26T00:00:00+02:00")
    day = [entry(slot, start_utc=midnight + timedelta(seconds=SLOT_S * slot)) for slot in range(100)]
    assert run(ledger.append(day)) == 100
    found = run(ledger.entries("plug", midnight, utc("2025-10-27T00:00:00+01:00")))
    assert len(found) == 100
    assert gaps(found, midnight, utc("2025-10-27T00:00:00+01:00")) == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"heat_sold_kwh": math.nan}, "heat_sold_kwh is nan"),
        ({"tank_level_kwh": math.inf}, "tank_level_kwh is inf"),
        ({"eur": {"electricity": math.nan}}, "eur electricity is nan"),
        ({"duration_s": 0}, "a slot of 0 s"),
        ({"duration_s": 86_401}, "a slot of 86401 s"),
        ({"revision": -1}, "revision -1"),
        ({"start_utc": START.replace(tzinfo=None)}, "no time zone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_entry_is_refused_with_its_whole_batch(ledger: Full, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Permanent, match=why):
        run(ledger.append((entry(0), entry(1, **changes))))
    assert booked(ledger) == ()


def test_cycles_are_kept_once_and_in_order(ledger: Full) -> None:
    by_rule = cycle(1, bound_eur=-math.inf, rolling_gap=math.inf, degraded_reason="price: stale; " * 40)
    for one in (by_rule, cycle(0), replace(by_rule, held=99)):
        run(ledger.append_cycle(one))
    assert run(ledger.cycles(START, START + timedelta(hours=2))) == (cycle(0), by_rule)
    assert run(ledger.cycles(START, START + timedelta(hours=1))) == (cycle(0),)
    with pytest.raises(Permanent, match="objective_eur is NaN"):
        run(ledger.append_cycle(cycle(2, objective_eur=math.nan)))


BATCHES = st.lists(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2), st.sampled_from(["a", "b"])), max_size=6), max_size=6
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BATCHES)
def test_any_batches_in_any_order_give_the_last_word_on_every_slot(batches: list[list[tuple[int, int, str]]]) -> None:
    ledger = MemoryLedger()
    seen: dict[tuple[str, int], int] = {}
    for batch in batches:
        new = {one for one in batch if one[1] > seen.get((one[2], one[0]), -1)}
        run(ledger.append([entry(slot, revision, plug) for slot, revision, plug in batch]))
        for slot, revision, plug in new:
            seen[plug, slot] = max(revision, seen.get((plug, slot), -1))
    for plug in ("a", "b"):
        expected = [entry(slot, revision, plug) for (name, slot), revision in sorted(seen.items()) if name == plug]
        assert booked(ledger, plug) == tuple(expected)


# What only a database has to answer for.


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "ledger.sqlite")
    return str(request.getfixturevalue("postgres_url"))


def test_a_ledger_is_there_when_it_is_opened_again(url: str) -> None:
    first = SqlLedger(url)
    run(first.append((entry(0),)))
    first.close()
    second = SqlLedger(url)
    assert booked(second) == (entry(0),)
    second.close()


def raw(url: str, statement: str) -> None:
    engine = engine_for(ledger_url(url))
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


@pytest.mark.parametrize("table", ["ledger_entry", "ledger_cycle"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET plan_id = 'forged'", "TRUNCATE TABLE {}"])
def test_the_database_refuses_to_change_or_forget(url: str, table: str, change: str) -> None:
    ledger = SqlLedger(url)
    run(ledger.append((entry(0),)))
    run(ledger.append_cycle(cycle(0)))
    # SQLite has no TRUNCATE: a syntax error refuses as well.
    with pytest.raises(DBAPIError, match=r"append-only|syntax error"):
        raw(url, change.format(table))
    assert booked(ledger) == (entry(0),)
    assert run(ledger.cycles(START, START + timedelta(hours=1))) == (cycle(0),)
    ledger.close()


def test_sqlite_cannot_replace_a_row_either(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "ledger.sqlite"
    ledger = SqlLedger(str(path))
    run(ledger.append((entry(0),)))
    with sqlite3.connect(path) as other:  # a foreign program, with none of our settings
        columns = "plug_id, start_utc, duration_s, revision, plan_id, quality, eur_json"
        same = f"SELECT {columns} FROM ledger_entry"
        other.execute(f"INSERT OR REPLACE INTO ledger_entry (entry_id, {columns}) SELECT 'plug/0/0', * FROM ({same})")
        with pytest.raises(sqlite3.IntegrityError, match="there under another id"):
            other.execute(f"INSERT OR REPLACE INTO ledger_entry (entry_id, {columns}) SELECT 'other', * FROM ({same})")
    other.close()
    assert booked(ledger) == (entry(0),)
    ledger.close()


def all_at_once(works: Sequence[Callable[[], object]]) -> list[BaseException]:
    """Run on as many threads, begun together; gives what they raised."""
    failed: list[BaseException] = []
    barrier = threading.Barrier(len(works))

    def go(work: Callable[[], object]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:  # handed to the test
            failed.append(error)

    threads = [threading.Thread(target=go, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def test_two_that_open_a_new_ledger_at_once_both_succeed(url: str) -> None:
    opened: list[SqlLedger] = []
    assert all_at_once([lambda: opened.append(SqlLedger(url))] * 4) == []
    assert run(opened[0].append((entry(0),))) == 1
    assert booked(opened[3]) == (entry(0),)
    for one in opened:
        one.close()


def test_writers_that_race_neither_double_nor_overlap(url: str) -> None:
    ledgers = [SqlLedger(url) for _ in range(4)]
    counts: list[int] = []
    batches = [[entry(slot) for slot in range(start, start + 6)] for start in (0, 3, 0, 5)]
    works = [
        lambda ledger=ledger, batch=batch: counts.append(ledger.append_now(batch))
        for ledger, batch in zip(ledgers, batches, strict=True)
    ]
    assert all_at_once(works) == []
    assert sum(counts) == 11
    assert booked(ledgers[0]) == tuple(entry(slot) for slot in range(11))
    crossing = [entry(0, entry_id=f"x{i}", start_utc=START + timedelta(seconds=90_000 + 300 * i)) for i in range(4)]
    works = [
        lambda ledger=ledger, one=one: counts.append(ledger.append_now([one]))
        for ledger, one in zip(ledgers, crossing, strict=True)
    ]
    # Of slots at 0, 300, 600 and 900 s, 900 s long, one or two fit together: the first and the last.
    refused = all_at_once(works)
    assert all(isinstance(error, Permanent) for error in refused)
    assert len(refused) in (2, 3)
    assert len(booked(ledgers[0])) == 11 + 4 - len(refused)
    for one in ledgers:
        one.close()


def test_in_the_calling_thread_nothing_waits(tmp_path: Path) -> None:
    ledger = SqlLedger(str(tmp_path / "ledger.sqlite"), inline=True)
    work = ledger.append((entry(0),))
    with pytest.raises(StopIteration) as done:
        work.send(None)
    assert done.value.value == 1
    ledger.close()


def test_a_locked_database_is_worth_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.adapters.ledger.sql.BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "ledger.sqlite"
    ledger = SqlLedger(str(path))
    engine = engine_for(ledger_url(str(path)))
    with engine.begin(), pytest.raises(Retryable, match="locked"):
        ledger.append_now((entry(0),))
    assert ledger.append_now((entry(0),)) == 1
    ledger.close()


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("mysql://root@localhost/x", "mysql is not supported"),
        ("sqlite://", "would be forgotten"),
        ("://", "not a database URL"),
        ("nowhere/at/all/ledger.sqlite", "is not a directory"),
        ("postgresql://heat@127.0.0.1:1/none", "refused"),
    ],
)
def test_a_place_that_is_none_is_named(where: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        SqlLedger(where)


def test_another_file_is_not_taken_for_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, and long enough to have a header of one" * 20, encoding="utf-8")
    with pytest.raises(Misconfigured, match="not a database"):
        SqlLedger(str(path))
    assert path.read_text(encoding="utf-8").startswith("not a database")


def test_a_server_that_has_become_a_standby_is_worth_another_try(postgres_url: str) -> None:
    """It answers as a primary does, and takes no writes: after a failover a client may hold the old one for a while."""
    ledger = SqlLedger(postgres_url)
    try:
        with ledger._engine.connect() as connection:
            connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
            connection.commit()
        with pytest.raises(Retryable, match="read-only"):
            run(ledger.append([entry()]))
    finally:
        ledger.close()
