"""The operator's side of the plant link: offers become messages, signs of life are written, overrides are cleared."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from scheduler.adapters.clock import Clocks
from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.plantlink.store.database import Draft, Drafting, LinkStore
from scheduler.adapters.plantlink.store.messages import KeptMessage
from scheduler.core.publishing.issuing import Issue, cancelled, issued
from scheduler.domain.decision import PlantSetpoint
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.link_life import LinkedOfftake, OperatorLife
from scheduler.domain.plan import Offer
from scheduler.domain.snapshot import Commitment

# A cycle tells that it has ended a letting go once it is over; what it has offered before that stands.
SETTLED_S = 60.0
NOTHING_OFFERED = "nothing is offered any more: we only look on"


class StoredPublisher:
    """`ports.HeatPublisher` of one policy's customers, into the database that the plant link reads.

    A cycle publishes and a timer withdraws, each on its own thread: one at a time, so that what follows is judged by what was
    said. A cycle that offers heat has ended any letting go before it, also where nobody has told the timer so yet.
    """

    def __init__(
        self,
        store: LinkStore,
        clock: Clocks,
        sign: Callable[[], OperatorLife | None],
        linked: Callable[[], Sequence[LinkedOfftake]],
        observes: Callable[[], bool] = lambda: False,
    ) -> None:
        """Publish nothing yet.

        Args:
            store: where plant link and operator meet.
            clock: of this machine.
            sign: who speaks; None while this replica does not lead.
            linked: the policy's customers.
            observes: whether the policy only looks on, so that nothing may stand.
        """
        self._store, self._clock, self._sign, self._linked = store, clock, sign, linked
        self._observes = observes
        tell = Teller("operator.plants")
        self._keeping = Episode(tell, "telling heat plants")
        self._saying = threading.Lock()
        self._offered_s: float | None = None

    async def publish(
        self, offers: Sequence[Offer], setpoints: Sequence[PlantSetpoint], promises: Sequence[Commitment] = ()
    ) -> tuple[str, ...]:
        """Tell what changed; returns the ids of the messages that were made.

        A policy that has begun to observe takes everything back. A cycle without an outlook has no offers either: then what
        was said last stands until it runs out, as the last plan does.
        """
        del setpoints
        with self._saying:
            sign = self._who()
            if sign is None:
                return ()
            by_name = {offer.offtake_id: offer for offer in offers}
            drafts: dict[str, Drafting] = {}
            for linked in self._linked():
                offer = by_name.get(linked.offtake_id)
                if offer is not None:
                    drafts[linked.offtake_id] = self._offering(sign.site_id, linked, offer, promises)
                elif self._observes():
                    drafts[linked.offtake_id] = self._cancelling(NOTHING_OFFERED)
            heat = any(not offer.withdrawn for offer in offers)
            self._offered_s = self._clock.monotonic_s() if heat else None
            return self._issue(sign, drafts, promises)

    def withdraw(self, reason: str, still: Callable[[], bool]) -> tuple[str, ...]:
        """Take everything back that is in force.

        Args:
            reason: told to the plants.
            still: whether everything is let go, asked while nothing else can be said.
        """
        with self._saying:
            sign = self._who()
            if sign is None or self._settling() or not still():
                return ()
            return self._issue(sign, {linked.offtake_id: self._cancelling(reason) for linked in self._linked()})

    def _settling(self) -> bool:
        """Whether heat was offered so lately that who says "let go" may mean what was before it."""
        return self._offered_s is not None and self._clock.monotonic_s() - self._offered_s < SETTLED_S

    def _who(self) -> OperatorLife | None:
        """Who speaks; None: nobody, or it cannot be known now."""
        try:
            return self._sign()
        except HeatDispatchError as error:
            self._keeping.failed(error)
            return None

    def _offering(self, site_id: str, linked: LinkedOfftake, offer: Offer, promises: Sequence[Commitment]) -> Drafting:
        """What follows the newest message when this is offered."""
        mine = [one for one in promises if one.offtake_id == offer.offtake_id]
        issue = Issue(
            site_id=site_id,
            meter_point_id=linked.meter_point_id,
            last=None,
            promises=mine,
        )

        def draft(last: KeptMessage | None) -> Draft | None:
            payload = issued(offer, replace(issue, last=None if last is None else last.payload))
            return None if payload is None else Draft(payload=payload, plan_id=offer.plan_id)

        return draft

    def _cancelling(self, reason: str) -> Drafting:
        """What follows the newest message when nothing is offered."""

        def draft(last: KeptMessage | None) -> Draft | None:
            payload = None if last is None else cancelled(last.payload, self._clock.now_utc(), reason)
            return None if payload is None else Draft(payload=payload, plan_id="")

        return draft

    def _issue(
        self, sign: OperatorLife, drafts: Mapping[str, Drafting], promises: Sequence[Commitment] = ()
    ) -> tuple[str, ...]:
        """Write it down, promises with what tells of them. What cannot be written was never said: its gate is answered anew.

        Whether a later leader has spoken is asked in the same transaction (`LinkStore.issue`).
        """
        try:
            kept = self._store.issue(replace(sign, at_utc=self._clock.now_utc()), drafts, promises)
        except HeatDispatchError as error:
            self._keeping.failed(error)
            return ()
        self._keeping.worked()
        return tuple(str(one.payload["messageId"]) for one in kept)
