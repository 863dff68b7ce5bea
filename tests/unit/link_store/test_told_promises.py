"""Promises as the operator reads them back: by the schedule in which they were told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from link_offers import NOON, offer, promise, sign

from scheduler.adapters.plantlink.store.database import Draft, LinkStore
from scheduler.adapters.plantlink.store.messages import KeptMessage
from scheduler.core.publishing.binding import Told, binding
from scheduler.core.publishing.issuing import Issue, issued
from scheduler.domain.contract import FirmRule
from scheduler.domain.plan import Offer
from scheduler.domain.plantlink import Acknowledgement, AckVerdict


def issue(store: LinkStore, one: Offer, *hours: int) -> int:
    """Tell an offer with promises for some hours; returns its sequence."""

    def draft(last: KeptMessage | None) -> Draft | None:
        promises = [promise(hour) for hour in hours]
        payload = issued(
            one, Issue(site_id="s", meter_point_id="m", last=None if last is None else last.payload, promises=promises)
        )
        return None if payload is None else Draft(payload=payload, plan_id=one.plan_id)

    return store.issue(sign(), {"town": draft}, [promise(hour) for hour in hours])[0].sequence


def test_promises_come_back_by_the_schedule_that_told_them(tmp_path: Path) -> None:
    store = LinkStore(str(tmp_path / "l.sqlite"))
    try:
        first, second = issue(store, offer(100.0), 1, 2), issue(store, offer(120.0), 3)
        told = store.told("town", NOON, NOON + timedelta(days=1))
        assert told == (
            Told(sequence=first, commitments=(promise(1), promise(2))),
            Told(sequence=second, commitments=(promise(3),)),
        )
        assert store.told("pool", NOON, NOON + timedelta(days=1)) == ()
        refused = [Acknowledgement(sequence=first, verdict=AckVerdict.REJECTED)]
        owed = binding(told, refused, FirmRule())
        assert [one.firm_kw for one in owed] == [0.0, 0.0, promise(3).firm_kw]
    finally:
        store.close()
