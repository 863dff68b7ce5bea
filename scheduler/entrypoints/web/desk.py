"""What the live page shows now: read in the background, drawn once per state and minute, so that viewers cost little."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from scheduler.adapters.clock import Clocks
from scheduler.adapters.logs import Episode, Teller
from scheduler.core.reports.months import month_span
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.ledger import LedgerEntry
from scheduler.domain.live import LiveAccount, LiveState
from scheduler.entrypoints.web.accounts import account_names
from scheduler.ports import LiveBooks
from scheduler.units import S_PER_MIN
from scheduler.views.live_page import Shown, fragment, whole_page

Accounts = Callable[[LiveState, datetime], tuple[LiveAccount, ...]]
# The ledger is booked by the quarter hour at most.
ACCOUNTS_S = 2 * S_PER_MIN
# Drawings that are kept: two of each policy, and those of the minute before.
MOST_DRAWN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A drawn page or fragment: its bytes, the same compressed, and its ETag."""

    body: bytes
    packed: bytes
    etag: str


class LiveDesk:
    """Keeps what is shown; `refresh` is for one thread of its own, everything else answers at once."""

    def __init__(self, books: LiveBooks, accounts: Accounts, clock: Clocks) -> None:
        """Nothing is read yet.

        Args:
            books: where facts come from.
            accounts: where customers' accounts stand; errors of ours are told on the page.
            clock: for ages; a made-up site lives by its own.
        """
        self._books, self._accounts, self._clock = books, accounts, clock
        self._states: tuple[LiveState, ...] = ()
        self._found: dict[str, tuple[LiveAccount, ...]] = {}
        self._asked_s: dict[str, float] = {}
        self._trouble, self._version = "", 0
        self._drawn: dict[tuple[str, bool, int, int], Drawn] = {}
        self._reading = threading.Lock()
        self._episode = Episode(Teller("live"), "reading what the live page shows")

    def refresh(self) -> None:
        """Read anew; a failure is told on the page and once in the log, and what was read last stays."""
        with self._reading:
            try:
                states = self._books.states()
                for one in states:
                    self._ask_accounts(one)
            except HeatDispatchError as error:
                self._episode.failed(error)
                self._set(self._states, f"The books cannot be read now: {error}.")
                return
            self._episode.worked()
            self._set(states, "")

    def _ask_accounts(self, state: LiveState) -> None:
        """Accounts, where the state or enough time has changed."""
        now_s, name = self._clock.monotonic_s(), state.policy
        same = any(one is state for one in self._states)
        if same and name in self._found and now_s - self._asked_s[name] < ACCOUNTS_S:
            return
        found = self._accounts(state, self.now_utc(state))
        if found != self._found.get(name):
            self._version += 1
        self._found[name], self._asked_s[name] = found, now_s

    def _set(self, states: tuple[LiveState, ...], trouble: str) -> None:
        if (
            trouble != self._trouble
            or len(states) != len(self._states)
            or any(one is not other for one, other in zip(states, self._states, strict=True))
        ):
            self._version += 1
        self._states, self._trouble = states, trouble

    def now_utc(self, state: LiveState) -> datetime:
        """Now, by the clock of the world that a state is of."""
        return state.at_utc if state.simulated else self._clock.now_utc()

    def state(self, policy: str | None) -> LiveState | None:
        """The state of a policy, of the first where none is named; None where there is none such."""
        return next((one for one in self._states if policy in (None, one.policy)), None)

    def drawn(self, policy: str | None, *, whole: bool) -> Drawn | None:
        """The page, or what changes of it; None for a policy that does not exist."""
        state = self.state(policy)
        if state is None and policy is not None:
            return None
        now_utc = self._clock.now_utc() if state is None else self.now_utc(state)
        key = ("" if state is None else state.policy, whole, self._version, int(now_utc.timestamp() // S_PER_MIN))
        found = self._drawn.get(key)
        if found is None:
            found = _drawing(self._shown(state, now_utc), whole)
            if len(self._drawn) >= MOST_DRAWN:
                self._drawn.clear()
            self._drawn[key] = found
        return found

    def _shown(self, state: LiveState | None, now_utc: datetime) -> Shown:
        return Shown(
            state=state,
            policies=tuple(one.policy for one in self._states),
            accounts=() if state is None else self._found.get(state.policy, ()),
            now_utc=now_utc,
            trouble=self._trouble,
        )

    def ledger(self, policy: str | None, month: str | None) -> tuple[str, tuple[LedgerEntry, ...]] | None:
        """A local month of the ledger, by default the present one: its name and its slots; None for no such policy.

        Raises:
            Misconfigured: when it is no month.
            Retryable: when the ledger cannot be read now.
        """
        state = self.state(policy)
        if state is None:
            return None
        name = month or f"{self.now_utc(state).astimezone(ZoneInfo(state.time_zone)):%Y-%m}"
        return name, self._books.slots(account_names(state), *month_span(name, state.time_zone))


def _drawing(shown: Shown, whole: bool) -> Drawn:
    body = (whole_page(shown) if whole else fragment(shown)).encode()
    # mtime 0: the same page gives the same bytes.
    return Drawn(body=body, packed=gzip.compress(body, 6, mtime=0), etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"')
