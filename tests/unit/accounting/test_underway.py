"""What has come of a promise in the middle of its period, by hand, and what the operator's next plan still asks for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from kube_world import CLASSES, POOLS
from link_offers import NOON, PLC, STRANGER, HandClock, letter, promise
from small_world import ACTING, small_site
from watched_cluster import put

from scheduler.adapters.kubernetes.operator.book import Book
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.operator.view import Governance, Reader
from scheduler.adapters.kubernetes.runtime import kinds
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.core.accounting.underway import delivered_kwh, metered_kw, with_delivered
from scheduler.core.planning.plant_rows import plan_commitments
from scheduler.core.planning.problem import plan_grid
from scheduler.core.publishing.taking import taken, told
from scheduler.core.reports.firm_heat import firm_slots
from scheduler.domain.ledger import Quality
from scheduler.domain.observed import DELIVERED_KW, Past, key_of
from scheduler.domain.plantlink import LinkProtocol, MeterReading, Sender
from scheduler.domain.settlement import HeatSlot, MeterPlate, Promise, Relief, ReliefKind
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot, TakeLimit
from scheduler.domain.time import Series, TimeGrid
from scheduler.entrypoints.operator.observing import ClusterObserver, Said
from scheduler.entrypoints.operator.plants import Plants, Speaker

NAN = float("nan")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SITE = small_site(gpus=200)
PLATE = MeterPlate(meter_point_id="MP-1", max_kw=240.0)
# 100 kW from noon to one o'clock; 5 % of it is tolerated.
READER = Sender(name="meter", protocol=LinkProtocol.METER, authenticated=True)
OWED = promise(0, 100.0)


def quarters(*values_kw: float) -> Series:
    """Quarter hours from noon."""
    grid = TimeGrid(start_utc=NOON, slot_s=900, slots=len(values_kw))
    return Series(grid=grid, values=np.asarray(values_kw), unit="kW", source="test")


def test_unmeasured_time_counts_as_what_was_owed_of_it() -> None:
    # 95 kW * 0.75 h.
    assert delivered_kwh(95.0, NOON, NOON + 45 * MINUTE, None) == pytest.approx(71.25)


def test_measured_time_counts_as_measured() -> None:
    # (120 + 40 + 80) kW * 0.25 h.
    assert delivered_kwh(95.0, NOON, NOON + 45 * MINUTE, quarters(120.0, 40.0, 80.0, 999.0)) == pytest.approx(60.0)
    # 120 * 0.25 h, a quarter unknown: 95 * 0.25 h, and ten minutes of the third: 60 kW * 1/6 h.
    assert delivered_kwh(95.0, NOON, NOON + 40 * MINUTE, quarters(120.0, NAN, 60.0)) == pytest.approx(30.0 + 23.75 + 10.0)
    # What lies before the period is none of it: from 12:15 on 40 kW * 0.25 h, then nobody measured, 95 kW * 0.25 h.
    assert delivered_kwh(95.0, NOON + 15 * MINUTE, NOON + 45 * MINUTE, quarters(120.0, 40.0)) == pytest.approx(33.75)


def test_only_the_period_under_way_has_come_in_part() -> None:
    found = with_delivered([OWED, promise(1), replace(OWED, offtake_id="gone")], SITE.offtakes, {}, NOON + 30 * MINUTE)
    assert [one.delivered_kwh for one in found] == pytest.approx([47.5, 0.0, 0.0])
    assert with_delivered([OWED], SITE.offtakes, {}, NOON) == (OWED,)
    assert with_delivered([OWED], SITE.offtakes, {}, NOON + HOUR) == (OWED,)


def test_a_register_becomes_heat_by_the_minute() -> None:
    def at(minute: int, energy_kwh: float) -> MeterReading:
        return MeterReading(meter_point_id="MP-1", at_utc=NOON + minute * MINUTE, energy_kwh=energy_kwh)

    # 5 kWh in 10 minutes are 30 kW, 10 kWh in 5 minutes 120 kW; before the first reading and after the last nobody knows.
    found = metered_kw([at(0, 1000.0), at(10, 1005.0), at(15, 1015.0)], PLATE, NOON + 16.5 * MINUTE)
    assert found is not None
    assert found.grid.end_utc == NOON + 16 * MINUTE
    assert found.values[-16:] == pytest.approx([30.0] * 10 + [120.0] * 5 + [NAN], abs=0.07, nan_ok=True)
    assert np.isnan(found.values[:-16]).all()
    # 15 kWh, and 95 kW for the last minute and a half.
    assert delivered_kwh(95.0, NOON, NOON + 16.5 * MINUTE, found) == pytest.approx(15.0 + 95.0 * 1.5 / 60.0)
    assert metered_kw([at(0, 1000.0)], PLATE, NOON + 16 * MINUTE) is None


def desk_of(stores: Stores, site: Site = SITE) -> Desk:
    rules = Governance(policy="p", site=replace(site, classes=tuple(CLASSES.values())), settings=ACTING, pools=POOLS)
    return Desk(governance=rules, reader=Reader(stores, rules), book=Book(), rooms=tuple)


def seen(said: Said, past: Past | None = None, *, minutes: float = 45.0, site: Site = SITE) -> Snapshot:
    """The operator's snapshot so long after noon."""
    desk, known = desk_of(Stores(), site), past or Past()
    observer = ClusterObserver(lambda: desk, lambda: known, lambda _now_utc: (), blind_s=lambda: 0.0, said=said)
    return asyncio.run(observer.snapshot(NOON + minutes * MINUTE))


def required_kwh(snapshot: Snapshot, site: Site = SITE) -> float:
    """What the next plan is asked to deliver of all promises."""
    grid = plan_grid(snapshot.observed_utc, ACTING)
    return sum(one.required_kwh for one in plan_commitments(site, snapshot, grid))


def least_wh(*limits: TakeLimit) -> int:
    """What has to come in the hour, as it is settled in the end: 95 % of what was owed in its four quarters."""
    slots = [HeatSlot(start_utc=NOON + i * 15 * MINUTE, duration_s=900, heat_wh=0, quality=Quality.METERED) for i in range(4)]
    reliefs = [
        Relief(kind=ReliefKind.OVERRIDE, start_utc=one.start_utc, end_utc=one.end_utc or NOON + HOUR, limit_w=60_000)
        for one in limits
    ]
    owed = firm_slots(slots, [Promise(start_utc=NOON, end_utc=NOON + HOUR, firm_w=100_000)], reliefs)
    return sum(950 * one.owed_w // 4 for one in owed) // 1000


@pytest.mark.parametrize(
    ("since", "measured", "settled_kwh", "asked_kwh"),
    [
        # Half of the hour came as it was owed, unseen: 95 % of 50 kWh. Of the other half he takes 60 kW: 95 % of 30 kWh.
        (30, None, 76.0, 28.5),
        # The second quarter is his as a whole: owed 25 + 15 + 15 + 15 kWh, of which 95 % of 40 came unseen.
        (20, None, 66.5, 28.5),
        # All the hour: 95 % of 60 kWh, half of it to come.
        (0, None, 57.0, 28.5),
        # 40 kW * 0.5 h were measured; 95 % of 80 kWh are settled, so 56 are to come.
        (30, (40.0, 40.0), 76.0, 56.0),
        # 120 kW * 0.5 h: 60 kWh; 16 are to come.
        (30, (120.0, 120.0), 76.0, 16.0),
    ],
)
def test_what_a_customer_does_not_take_is_neither_owed_nor_counted_as_come(
    since: int, measured: tuple[float, ...] | None, settled_kwh: float, asked_kwh: float
) -> None:
    """A limit of 60 kW on a promise of 100 kW for an hour, looked at in its middle: what is asked is what will be settled."""
    limit = TakeLimit(offtake_id="town", start_utc=NOON + since * MINUTE, end_utc=None, heat_kw=60.0, reason="")
    said = Said(
        promised=lambda _now_utc: (OWED,),
        limits=lambda _now_utc: (limit,),
        metered=lambda _now_utc: {} if measured is None else {"town": quarters(*measured)},
    )
    snapshot = taken(seen(said, minutes=30.0))
    came_kwh = snapshot.commitments[0].delivered_kwh
    assert least_wh(limit) == round(1000 * settled_kwh)
    assert required_kwh(snapshot) == pytest.approx(asked_kwh)
    assert required_kwh(snapshot) + came_kwh == pytest.approx(settled_kwh)


def test_a_schedule_tells_each_quarter_hour_with_what_is_taken_of_it() -> None:
    limit = TakeLimit(offtake_id="town", start_utc=NOON + 20 * MINUTE, end_utc=NOON + 40 * MINUTE, heat_kw=60.0, reason="")
    seen_then = replace(seen(Said(promised=lambda _now_utc: (OWED,)), minutes=0.0), take_limits=(limit,))
    parts = told(seen_then, 900).commitments
    assert [((one.start_utc - NOON) // MINUTE, (one.end_utc - NOON) // MINUTE, one.firm_kw) for one in parts] == [
        (0, 15, 100.0),
        (15, 45, 60.0),
        (45, 60, 100.0),
    ]
    assert [one.firm_kw for one in told(seen_then, 3600).commitments] == [60.0]


def test_the_operator_asks_for_the_rest_of_a_period_only() -> None:
    said = Said(promised=lambda _now_utc: (OWED,))
    assert required_kwh(seen(said, minutes=0.0)) == pytest.approx(95.0)
    # Nobody measures: 95 - 0.75 * 95.
    assert required_kwh(seen(said)) == pytest.approx(23.75)
    # The plan's first slot counts as a whole, so until the next one begins its share is asked for still.
    assert required_kwh(seen(said, minutes=44.0)) == pytest.approx(47.5)
    # Observed at the plug: 95 - (100 + 100 + 60) * 0.25.
    past = Past(series={key_of(DELIVERED_KW, "plug"): quarters(100.0, 100.0, 60.0)})
    assert required_kwh(seen(said, past)) == pytest.approx(30.0)
    # More than was owed came: nothing is left.
    assert required_kwh(seen(said, Past(series={key_of(DELIVERED_KW, "plug"): quarters(160.0, 160.0, 160.0)}))) == 0.0


def test_heat_of_a_shared_plug_is_not_counted_for_each() -> None:
    both = replace(SITE, offtakes=(SITE.offtakes[0], replace(SITE.offtakes[0], offtake_id="pool")))
    past = Past(series={key_of(DELIVERED_KW, "plug"): quarters(100.0, 100.0, 100.0)})
    said = Said(promised=lambda _now_utc: (OWED, replace(OWED, offtake_id="pool")))
    assert required_kwh(seen(said, past, site=both), both) == pytest.approx(2 * 23.75)


def test_the_operator_reads_the_meter_of_the_plug(tmp_path: Path) -> None:
    stores, store = Stores(), LinkStore(str(tmp_path / "l.sqlite"))
    plug = {"metadata": {"name": "plug", "uid": "u"}, "spec": {"metering": {"meterPointId": "MP-1"}}}
    put(next(one for one in stores.policy if one.kind == kinds.PLUGS), [plug])
    desk, clock = desk_of(stores), HandClock(NOON + 45 * MINUTE)
    plants = Plants(store, stores, clock, lambda: (desk,), Speaker(identity="a", host="here"))
    try:
        assert plants.metered(desk, clock.now_utc()) == {}
        for minute in range(-5, 46, 5):
            # 80 kW all the time.
            body = MeterReading(meter_point_id="MP-1", at_utc=NOON + minute * MINUTE, energy_kwh=5000.0 + 80.0 * minute / 60.0)
            store.keep_letters([letter(body, at_utc=NOON + minute * MINUTE, sender=READER)])
        # What somebody without a credential says of it, or the customer himself, changes nothing.
        for other in (STRANGER, PLC):
            store.keep_letters([letter(replace(body, energy_kwh=5100.0), at_utc=NOON + 45 * MINUTE, sender=other)])
        said = Said(promised=lambda _now_utc: (OWED,), metered=lambda now_utc: plants.metered(desk, now_utc))
        # 95 - 80 * 0.75.
        assert required_kwh(seen(said)) == pytest.approx(35.0, abs=0.01)
    finally:
        plants.close()
