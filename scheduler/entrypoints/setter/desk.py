"""Where orders come in: judged as a whole, then put into the mailbox of each GPU."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import reduce

from scheduler.adapters.clock import MonotonicClock
from scheduler.core.capping.held import Ordered
from scheduler.core.capping.orders import Newest, judged
from scheduler.core.capping.outcome import summed
from scheduler.domain.capping import Answer, Asking, GpuStanding, SetterCounts
from scheduler.entrypoints.setter.crew import Seats

TELL_S = 1.0
# How coarse leases are in answers, for eyes and for an agent: most answers to one are like the one before, and not read twice.
LOOK_LEASE_S, ASK_LEASE_S = 1.0, 5.0
MOST_LINES = 8


class Desk:
    """Takes orders on the server's thread."""

    def __init__(
        self,
        seats: Seats,
        opted_in: Collection[str] | None,
        clock: MonotonicClock,
        *,
        dry_run: bool,
        trouble: Callable[[], str],
        tell: Callable[..., None],
    ) -> None:
        """Take them for `opted_in`, None: every GPU. `trouble` says what is wrong with the whole machine, `tell` warns."""
        self._seats, self._opted_in, self._clock, self._dry_run, self._trouble = seats, opted_in, clock, dry_run, trouble
        self._newest = Newest()
        self._refused: Counter[str] = Counter()
        self._tell, self._told, self._told_s = tell, dict[str, str](), -math.inf
        self._waiting, self._stopping = True, False
        self.heard_s: float | None = None

    def open(self) -> None:
        """We are in charge: orders count from now on."""
        self._waiting = False

    def ask(self, asking: Asking) -> Answer:
        """Take an order for all GPUs, unless another setter is still in charge of them."""
        if self._waiting or self._stopping:
            return self.look()
        seats = {seat.uuid: seat for seat in self._seats.all()}
        verdict = judged(asking, seats, self._opted_in, self._newest)
        self._refused.update(verdict.counted)
        self._tell_refused({uuid: refusal.value for uuid, refusal in verdict.refused.items()})
        if verdict.older:
            return self._answer(
                f"generation {asking.generation} is older than {self._newest.generation}, which was heard before"
            )
        self._newest = self._newest.with_asking(asking)
        now_s = self.heard_s = self._clock.monotonic_s()
        for uuid, seat in seats.items():
            seat.order(verdict.ordered(uuid, now_s))
        return self._answer()

    def _tell_refused(self, refused: dict[str, str]) -> None:
        """One line for each want that is refused from now on, or for another reason; it comes again with every order.

        Few lines, and a second between two looks at what is new: nobody fills the log with nonsense.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._told_s + TELL_S:
            return
        new = [(uuid, why) for uuid, why in refused.items() if self._told.get(uuid) != why]
        for uuid, why in new[:MOST_LINES]:
            self._tell("refused", gpu=uuid, why=why)
        if len(new) > MOST_LINES:
            self._tell("refused, and more", more=len(new) - MOST_LINES)
        self._told, self._told_s = refused, now_s if new else self._told_s

    def look(self) -> Answer:
        """How all GPUs stand."""
        return self._answer(lease_step_s=LOOK_LEASE_S)

    def stop(self) -> None:
        """Ask for all limits back, for good."""
        self._stopping = True
        for seat in self._seats.all():
            seat.order(Ordered(stopping=True))

    def refused(self, word: str) -> None:
        """Count a line, or a peer, that was turned away."""
        self._refused[word] += 1

    def _answer(self, refused: str = "", lease_step_s: float = ASK_LEASE_S) -> Answer:
        seats = sorted(self._seats.all(), key=lambda seat: seat.uuid)
        counts = reduce(summed, (seat.counts for seat in seats), SetterCounts(refused=dict(self._refused)))
        return Answer(
            gpus=tuple(_coarse(seat.standing(), lease_step_s) for seat in seats),
            counts=counts,
            dry_run=self._dry_run,
            waiting=self._waiting,
            trouble=refused or self._trouble(),
        )


def _coarse(standing: GpuStanding, step_s: float) -> GpuStanding:
    """Its lease in whole steps, rounded down."""
    return standing if standing.lease_s is None else replace(standing, lease_s=step_s * math.floor(standing.lease_s / step_s))
