"""Gates of any contract in any zone: each once, over clock changes and absences; what is bound is never lowered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.publishing.firm import answer, answered_utc, in_force
from scheduler.core.tariffs.gates import delivery_periods, gates_between, gates_due, gates_of_day
from scheduler.domain.contract import FirmProduct, FirmRule, Revise
from scheduler.domain.snapshot import Commitment

ZONES = ("Europe/Copenhagen", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "UTC")
HALF_HOURS = st.integers(0, 47).map(lambda half: f"{half // 2:02d}:{half % 2 * 30:02d}")
PRODUCTS = st.builds(
    FirmProduct,
    gate_local=HALF_HOURS,
    start_local=HALF_HOURS,
    start_day=st.integers(1, 2),
    hours=st.integers(1, 48),
    resolution_s=st.sampled_from([900, 1800]),
    revise=st.sampled_from(Revise),
)
RULES = st.lists(PRODUCTS, min_size=1, max_size=4).map(
    lambda products: FirmRule(products=tuple(replace(one, resolution_s=products[0].resolution_s) for one in products))
)
INSTANTS = st.integers(0, 20 * 365 * 24 * 60).map(lambda minutes: datetime(2015, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes))


@settings(max_examples=40, deadline=None)
@given(
    rule=RULES, zone=st.sampled_from(ZONES), start=INSTANTS, steps_min=st.lists(st.integers(1, 900), min_size=1, max_size=40)
)
def test_windows_that_follow_each_other_have_every_gate_once(
    rule: FirmRule, zone: str, start: datetime, steps_min: list[int]
) -> None:
    edges = [start]
    for step in steps_min:
        edges.append(edges[-1] + timedelta(minutes=step))
    parts = [gate for a, b in zip(edges, edges[1:], strict=False) for gate in gates_between(rule, zone, a, b)]
    assert parts == list(gates_between(rule, zone, edges[0], edges[-1]))


@settings(max_examples=60, deadline=None)
@given(rule=RULES, zone=st.sampled_from(ZONES), day=st.dates(date(2015, 1, 1), date(2036, 1, 1)))
def test_every_local_day_has_each_gate_once_also_when_clocks_change(rule: FirmRule, zone: str, day: date) -> None:
    tz = ZoneInfo(zone)
    gates = gates_of_day(rule, zone, day)
    assert len(gates) == len(rule.products)
    assert list(gates) == sorted(gates, key=lambda gate: gate.at_utc)
    for gate in gates:
        # Skipped times come up to an hour later on the clock, never on another day but for the last hour of it.
        assert abs((gate.at_utc.astimezone(tz).date() - day).days) <= 1
        assert all(gate.at_utc < start for start, _ in gate.hours)


@settings(max_examples=60, deadline=None)
@given(product=PRODUCTS, zone=st.sampled_from(ZONES), day=st.dates(date(2015, 1, 1), date(2036, 1, 1)))
def test_periods_are_equally_long_and_leave_no_gap(product: FirmProduct, zone: str, day: date) -> None:
    periods = delivery_periods(day, product, ZoneInfo(zone))
    step = timedelta(seconds=product.resolution_s)
    assert all(end - start == step for start, end in periods)
    assert all(a[1] == b[0] for a, b in zip(periods, periods[1:], strict=False))
    # A clock change makes the delivery an hour longer or shorter at most.
    assert abs(len(periods) * step - timedelta(hours=product.hours)) <= timedelta(hours=1)


def test_whole_days_have_23_24_and_25_hours_and_gates_in_skipped_and_doubled_hours_come_once() -> None:
    zone, hours = "Europe/Copenhagen", [23, 24, 25]
    days = [date(2021, 3, 28), date(2021, 6, 1), date(2021, 10, 31)]
    assert [len(delivery_periods(day, FirmProduct(), ZoneInfo(zone))) for day in days] == hours
    quarters = FirmProduct(resolution_s=900)
    assert [len(delivery_periods(day, quarters, ZoneInfo(zone))) for day in days] == [92, 96, 100]
    rule = FirmRule(gate_local="02:30")
    # 28 March: 02:30 is skipped and comes at 01:30 UTC, 03:30 on the clock. 31 October: the first 02:30, in summer time.
    assert gates_of_day(rule, zone, days[0])[0].at_utc == datetime(2021, 3, 28, 1, 30, tzinfo=UTC)
    assert gates_of_day(rule, zone, days[2])[0].at_utc == datetime(2021, 10, 31, 0, 30, tzinfo=UTC)


def test_an_intraday_delivery_ends_at_its_local_time_however_long_the_day_is() -> None:
    rest_of_day = FirmProduct(gate_local="00:30", start_local="01:00", start_day=0, hours=23)
    zone = ZoneInfo("Europe/Copenhagen")
    ends = [delivery_periods(date(2021, *day), rest_of_day, zone)[-1][1].astimezone(zone).hour for day in ((3, 28), (10, 31))]
    assert ends == [0, 0]


def offered(gate_utc: datetime, kw: float, hours: tuple[tuple[datetime, datetime], ...]) -> list[Commitment]:
    return [Commitment(offtake_id="town", start_utc=a, end_utc=b, firm_kw=kw, gate_utc=gate_utc) for a, b in hours]


@settings(max_examples=40, deadline=None)
@given(rule=RULES, start=INSTANTS, looks_min=st.lists(st.integers(1, 1500), min_size=1, max_size=20), data=st.data())
def test_over_any_absence_a_gate_is_answered_once_and_nothing_bound_is_lowered(
    rule: FirmRule, start: datetime, looks_min: list[int], data: st.DataObject
) -> None:
    zone, now = "Europe/Copenhagen", start
    bound: list[Commitment] = []
    done: set[datetime] = set()
    for wait in looks_min:
        now += timedelta(minutes=wait)
        before = {(one.start_utc, one.end_utc): one.firm_kw for one in in_force(bound)}
        due = [gate for gate in gates_due(rule, zone, answered_utc(bound, "town"), now) if gate.hours]
        assert done.isdisjoint(gate.at_utc for gate in due)
        for gate in due:
            assert gate.at_utc <= now <= gate.at_utc + timedelta(seconds=rule.late_s)
            assert all(begin >= now for begin, _ in gate.hours)
            kw = data.draw(st.sampled_from([0.0, 10.0, 20.0, 30.0]))
            bound += answer(gate, offered(gate.at_utc, kw, gate.hours), bound)
            done.add(gate.at_utc)
        after = {(one.start_utc, one.end_utc): one.firm_kw for one in in_force(bound)}
        assert all(after[period] >= kw for period, kw in before.items())
        spans = sorted(after)
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


def test_a_gate_raises_only_where_it_may_and_leaves_out_what_overlaps_in_part() -> None:
    at = datetime(2021, 2, 1, 9, 30, tzinfo=UTC)
    hour = timedelta(hours=1)
    periods = tuple((at.replace(hour=12) + i * hour, at.replace(hour=13) + i * hour) for i in range(2))
    gate = gates_of_day(FirmRule(), "Europe/Copenhagen", date(2021, 2, 1))[0]
    bound = offered(at - hour, 20.0, periods[:1])
    kept = answer(replace(gate, hours=periods), offered(at, 30.0, periods), bound)
    assert [one.firm_kw for one in kept] == [20.0, 30.0]
    raised = answer(replace(gate, hours=periods, revise=Revise.UP), offered(at, 30.0, periods), bound)
    assert [one.firm_kw for one in raised] == [30.0, 30.0]
    lower = answer(replace(gate, hours=periods, revise=Revise.UP), offered(at, 10.0, periods), bound)
    assert [one.firm_kw for one in lower] == [20.0, 10.0]
    shifted = ((periods[0][0] + hour / 2, periods[0][1] + hour / 2),)
    assert answer(replace(gate, hours=shifted), offered(at, 30.0, shifted), bound) == ()


def test_a_gate_that_was_missed_is_answered_late_for_what_has_not_begun_and_then_no_more() -> None:
    rule = FirmRule(products=(FirmProduct(gate_local="07:45", start_local="08:00", start_day=0, hours=16),))
    seven = datetime(2021, 2, 1, 6, 0, tzinfo=UTC)
    late = gates_due(rule, "Europe/Copenhagen", seven, datetime(2021, 2, 1, 8, 20, tzinfo=UTC))
    # 09:20 on the clock, 95 minutes late: from 10:00 on, 14 of 16 hours.
    assert [len(gate.hours) for gate in late] == [14]
    # 09:50 is more than two hours late.
    assert gates_due(rule, "Europe/Copenhagen", seven, datetime(2021, 2, 1, 8, 50, tzinfo=UTC)) == ()
