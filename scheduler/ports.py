"""What we need from outside, without how. `async` starts here; below it everything is plain `def`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scheduler.domain.action import Action, Outcome
from scheduler.domain.decision import Decision, PlantSetpoint
from scheduler.domain.ledger import CycleEntry, LedgerEntry
from scheduler.domain.live import LiveState
from scheduler.domain.observed import Past, SourceReading
from scheduler.domain.plan import Offer, Plan
from scheduler.domain.plantlink import Board, Heartbeat, Letter, Receipt, Refusal
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Commitment, Snapshot


class Clock(Protocol):
    """Where time comes from."""

    def now_utc(self) -> datetime:
        """Return the present instant, aware and in UTC."""
        ...


class Observer(Protocol):
    """Reads the world once per cycle."""

    async def snapshot(self, now_utc: datetime) -> Snapshot:
        """Return everything that is known at `now_utc`; never waits for the internet."""
        ...


class Decider(Protocol):
    """Runs `decide` somewhere: in this process, or in a child with a hard time limit."""

    async def decide(self, site: Site, snapshot: Snapshot, settings: Settings, last: Plan | None) -> Decision:
        """Return a decision, always; a degraded one says why."""
        ...


class Actuator(Protocol):
    """Carries actions out."""

    async def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        """Apply in order; one outcome per action, in the same order; never raises for the world's fault."""
        ...


class HeatPublisher(Protocol):
    """Tells the heat plant what to expect."""

    async def publish(
        self, offers: Sequence[Offer], setpoints: Sequence[PlantSetpoint], promises: Sequence[Commitment] = ()
    ) -> tuple[str, ...]:
        """Publish offers, and keep the promises that became binding with them; returns receipts (message ids)."""
        ...


class Ledger(Protocol):
    """Append-only memory."""

    async def append(self, entries: Sequence[LedgerEntry]) -> int:
        """Append entries that are not there yet (by entry_id) in one transaction; returns how many were new."""
        ...

    async def append_cycle(self, entry: CycleEntry) -> None:
        """Append one cycle; a repeat of the same cycle_id changes nothing."""
        ...

    async def entries(self, plug_id: str, start_utc: datetime, end_utc: datetime) -> tuple[LedgerEntry, ...]:
        """Latest revision of each slot in [start, end), in time order."""
        ...


class HistoryStore(Protocol):
    """Keeps the measured past over restarts: what forecasts are made of."""

    async def append(self, past: Past, memos: Mapping[str, str] | None = None) -> int:
        """Append slots and ended jobs that are not there yet, and replace memos, all in one transaction.

        A slot that is not known (NaN) is not written. One that is there stays, unless another value of it comes with a later
        `issued_utc`: then its source has revised it. Returns how many slots and jobs were written.
        """
        ...

    async def past(self, since_utc: datetime, *, max_ended: int = 3000) -> Past:
        """Slots from `since_utc` on, each series from its first known slot to its last, and jobs that ended since then.

        Of more than `max_ended` jobs the latest. Slots more than three years after `since_utc` come from a wrong clock and are
        left out.
        """
        ...

    async def memo(self, name: str) -> str | None:
        """A text that was kept with an `append`; None when there is none."""
        ...

    async def prune(self, before_utc: datetime) -> int:
        """Forget slots and ended jobs before an instant; returns how many. Memos stay."""
        ...


class LiveBooks(Protocol):
    """Where a live page takes its facts from, and the only thing it needs."""

    def states(self) -> tuple[LiveState, ...]:
        """The newest state of every policy, by name.

        Raises:
            Retryable: when they cannot be read now.
        """
        ...

    def slots(self, accounts: Sequence[str], start_utc: datetime, end_utc: datetime) -> tuple[LedgerEntry, ...]:
        """What is booked in some accounts in [start, end), latest revisions, account by account in time order.

        Raises:
            Retryable: when it cannot be read now.
        """
        ...


class SeriesSource(Protocol):
    """One source of prices, carbon, weather or heat demand. Whoever polls it waits; whoever reads it never does."""

    @property
    def name(self) -> str:
        """What its owner calls it."""
        ...

    async def poll(self, now_utc: datetime) -> None:
        """Ask the source; a failure becomes `trouble` and is never raised."""
        ...

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        """What is known of it now, at once: at most one reading per quantity."""
        ...

    def trouble(self) -> str:
        """Why the last poll brought nothing new or less than it should; empty when it went well."""
        ...


class PlantDesk(Protocol):
    """What every interface to a heat plant shows, and where it hands in what a plant says; one desk behind all of them."""

    def boards(self) -> Mapping[str, Board]:
        """What may be seen now, by offtake id, at once. Empty while another replica is in charge: then nothing is said."""
        ...

    async def changed(self, version: int, timeout_s: float) -> int:
        """Wait until the desk's version is above `version`, or for so long; returns it. It rises with any board's version."""
        ...

    async def beats(self, counter: int, timeout_s: float) -> int:
        """Wait for a heartbeat after the `counter`-th of this process, or for so long; returns its number."""
        ...

    async def hand_in(self, letter: Letter) -> Receipt:
        """Judge and keep a letter; it is on disk when this returns. One that was accepted before is accepted again."""
        ...

    def refuse(self, refusal: Refusal) -> None:
        """Note something that was turned away before it was a letter; at once, and never more than can be kept."""
        ...


class PlantInterface(Protocol):
    """One way to speak with plants: a server, or a client of a broker."""

    async def run(self) -> None:
        """Serve until cancelled; what goes wrong with one peer ends neither this nor another peer.

        Raises:
            Misconfigured: when it cannot begin as it was set up (port taken, certificate unreadable).
        """
        ...

    def trouble(self) -> str:
        """Why it does not work now; empty when it does."""
        ...


class PlantClient(Protocol):
    """The other end of a `PlantInterface`: how a plant reaches us about one offtake, over one protocol.

    Nothing here raises for the world's fault: what cannot be read is None, what cannot be said is a receipt that was not
    accepted, and `trouble` says why.
    """

    async def run(self) -> None:
        """Hold the connection, and make it anew when it breaks, until cancelled; where none is held, only wait.

        Raises:
            Misconfigured: when it cannot begin as it was set up (address, certificate, secret).
        """
        ...

    async def schedule(self) -> Mapping[str, object] | None:
        """The newest HeatSchedule that came whole (`core/publishing/message.py`); None: there is none, or it cannot be read."""
        ...

    async def heartbeat(self) -> Heartbeat | None:
        """The newest sign of life as it came; None: none can be read. Whether its counter moves is the caller's to see."""
        ...

    async def say(self, kind: str, payload: Mapping[str, object]) -> Receipt:
        """Say one thing.

        Args:
            kind: one of `letters.KINDS` (`core/publishing/letters.py`).
            payload: its JSON, as REST and MQTT carry it; a protocol without a place for the kind does not accept it, saying so.
        """
        ...

    def trouble(self) -> str:
        """Why we cannot be reached now; empty when we can."""
        ...
