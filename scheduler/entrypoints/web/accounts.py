"""Where each customer's account stands this month, from the books that a settlement is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler.config.contracts import Contract
from scheduler.core.accounting.booking import account_of
from scheduler.core.accounting.meter_series import MeterSlots
from scheduler.core.reports.months import Span
from scheduler.core.reports.settlement import settled
from scheduler.core.reports.terms import terms_of
from scheduler.domain.live import LiveAccount, LiveState
from scheduler.domain.settlement import HeatSlot, MeterPlate, SettlementCase
from scheduler.domain.site import Offtake
from scheduler.entrypoints.commands.settlement_inputs import Asked, Books, Way

NO_METER = MeterPlate(meter_point_id="-", max_kw=0.0)


class Booked(Books):
    """The books without the letters of meters: what they said is booked, and of a month they are many.

    So the price of hotter water, for which temperatures are needed, is not in what is owed to date.
    """

    def metered(self, contract: Contract, plate: MeterPlate, span: Span, *, ours: bool = False) -> MeterSlots:
        """Nothing is asked."""
        del contract, plate, span, ours
        return MeterSlots(slots=())


def accounts_of(books: Books, state: LiveState, now_utc: datetime) -> tuple[LiveAccount, ...]:
    """Accounts of all customers of a policy in the local month of an instant.

    Raises:
        HeatDispatchError: the database is away, or a contract cannot be settled.
    """
    month = f"{now_utc.astimezone(ZoneInfo(state.time_zone)):%Y-%m}"
    return tuple(_account(books, state, one.offtake, month, now_utc) for one in state.customers)


def _account(books: Books, state: LiveState, offtake: Offtake, month: str, now_utc: datetime) -> LiveAccount:
    """One account to date: what is still to come counts for nothing, and the year's minimum is a matter of the year's end."""
    terms = terms_of(offtake.tariff, offtake.firm, state.time_zone, state.currency)
    alone = sum(one.offtake.plug_id == offtake.plug_id for one in state.customers) == 1
    contract = Contract(
        offtake=offtake,
        terms=replace(terms, take_or_pay_wh_per_year=0),
        plate=NO_METER,
        check_fraction=0.0,
        alone=alone,
    )
    asked = Asked(month=month, meter_point=NO_METER.meter_point_id)
    case = _to_date(books.case(contract, asked, Way.LEDGER, whole_year=False), now_utc)
    statement = settled(case, month)
    return LiveAccount(
        offtake_id=offtake.offtake_id,
        month=month,
        booked=any(one.heat_wh is not None for one in case.slots),
        promised_wh=sum(one.promised_wh for one in statement.periods),
        delivered_wh=sum(one.heat_wh or 0 for one in case.slots),
        shortfall_wh=sum(one.shortfall_wh for one in statement.periods),
        owed_cents=statement.cents,
        unknown_slots=sum(one.heat_wh is None for one in case.slots),
    )


def _to_date(case: SettlementCase, now_utc: datetime) -> SettlementCase:
    """The case without slots that are not over, and without those before the first that was booked."""
    over = [one for one in case.slots if _end(one) <= now_utc]
    first = next((index for index, one in enumerate(over) if one.heat_wh is not None), len(over))
    return replace(case, slots=tuple(over[first:]))


def _end(slot: HeatSlot) -> datetime:
    return slot.start_utc + timedelta(seconds=slot.duration_s)


def account_names(state: LiveState) -> tuple[str, ...]:
    """Accounts of the ledger that belong to a policy: those of its plugs, then those of its customers."""
    return (*state.plug_ids, *(account_of(one.offtake.offtake_id) for one in state.customers))
