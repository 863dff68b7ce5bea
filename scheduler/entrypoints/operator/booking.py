"""Once a day the leader books in each customer's account what his heat meter has counted: `report book` by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.runtime.fence import Term
from scheduler.adapters.logs import Episode, Teller
from scheduler.config.contracts import Contract
from scheduler.core.accounting.booking import account_of, to_book
from scheduler.core.reports.months import month_span
from scheduler.core.reports.terms import terms_of
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.settlement import MeterPlate
from scheduler.domain.site import Site
from scheduler.entrypoints.commands.settlement_inputs import Asked, Books
from scheduler.units import S_PER_DAY

BOOK_S = S_PER_DAY
# A month is booked again on the first days of the next: readings may come late.
BACK = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Whose heat is booked: a site, and the billing meter of each of its plugs."""

    site: Site
    plates: Mapping[str, MeterPlate]


class Booker:
    """Keeps accounts up to date; what it cannot do today it does tomorrow, since a booking covers the whole month."""

    def __init__(self, ledger: str, clock: Clocks, accounts: Callable[[], Sequence[Accounts]]) -> None:
        """Open nothing yet.

        Args:
            ledger: URL of the operator's database.
            clock: of this machine.
            accounts: of all policies at work.
        """
        self._url, self._clock, self._accounts = ledger, clock, accounts
        self._tell = Teller("operator.booking")
        self._booking = Episode(self._tell, "booking metered heat")

    def tick(self, term: Term) -> None:
        """Book every customer; one whose books cannot be kept keeps nobody else's from it."""
        for one in self._accounts():
            for contract in metered_contracts(one):
                if not term.holds(0.0):
                    return
                try:
                    self.book(contract, self._clock.now_utc())
                except HeatDispatchError as error:
                    self._booking.failed(error, offtake=contract.offtake.offtake_id)
                else:
                    self._booking.worked()

    def book(self, contract: Contract, now_utc: datetime) -> int:
        """Book this month, and the last one in the first days of this; returns how many entries were new.

        Raises:
            HeatDispatchError: the database is away, or refuses.
        """
        zone, name, new = ZoneInfo(contract.terms.time_zone), contract.offtake.offtake_id, 0
        with Books(self._url) as books:
            for month in sorted({f"{at.astimezone(zone):%Y-%m}" for at in (now_utc - BACK, now_utc)}):
                booked = books.ledger.entries_now(account_of(name), *month_span(month, contract.terms.time_zone))
                fresh = books.fresh(contract, Asked(month=month), now_utc)
                # Before the first reading of all there is nothing to keep an account of.
                if booked or any(one.heat_sold_kwh is not None for one in fresh):
                    new += books.ledger.append_now(to_book(booked, fresh))
        if new:
            self._tell.info("booked metered heat", offtake=name, slots=new)
        return new


def metered_contracts(accounts: Accounts) -> tuple[Contract, ...]:
    """Customers with a meter of their own: those who share a plug are booked by hand, `report book --meter-point`."""
    site, found = accounts.site, []
    for offtake in site.offtakes:
        plate = accounts.plates.get(offtake.plug_id)
        alone = sum(one.plug_id == offtake.plug_id for one in site.offtakes) == 1
        if plate is not None and alone:
            terms = terms_of(offtake.tariff, offtake.firm, site.time_zone, site.currency)
            found.append(Contract(offtake=offtake, terms=terms, plate=plate, check_fraction=0.0, alone=True))
    return tuple(found)
