"""The operator's side of the plant link: what heat plants are told, what they said, and that the leader lives.

The link itself is another process (`heat-dispatch plant-link`); both meet in the ledger's database. Everything here is of one
leadership: `begin` takes the database's word over from whoever led before, after which nothing of him is written any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.objects import Obj, name_of, text
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.runtime import kinds
from scheduler.adapters.kubernetes.runtime.conditions import Condition
from scheduler.adapters.kubernetes.runtime.fence import Term
from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.plantlink.store.database import LinkStore, Superseded
from scheduler.adapters.plantlink.store.publisher import StoredPublisher
from scheduler.adapters.plantlink.store.reading import KeptLetter
from scheduler.config.contracts import HEADROOM
from scheduler.core.accounting.told import believed, useless
from scheduler.core.accounting.underway import METERED_BACK, metered_kw
from scheduler.core.publishing.binding import binding_by_known
from scheduler.core.reports.archived import readings_of
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.link_life import LinkedOfftake, OperatorLife
from scheduler.domain.observed import SourceReading
from scheduler.domain.plantlink import Acknowledgement, Letter, ManualOverride
from scheduler.domain.settings import Mode
from scheduler.domain.settlement import MeterPlate
from scheduler.domain.site import Offtake, Plug
from scheduler.domain.snapshot import Commitment, PlantState, TakeLimit
from scheduler.domain.time import Series, utc
from scheduler.entrypoints.operator.plant_conditions import conditions_of
from scheduler.loop.letters import forecasts_of, limits_of, states_of

LIFE_S = 5.0
LET_GO = "everything is let go: no decision in time"
# Annotation of a HeatOfftake: overrides that began before this instant are ended.
CLEAR_OVERRIDE = "heatdispatch.io/clear-override"
# Promises of the past bind nothing; a gate's answer is remembered by what it made binding, so the last days are kept in view.
PROMISES_BACK, PROMISES_AHEAD = timedelta(days=2), timedelta(days=14)
ANSWERS_AHEAD = timedelta(days=1)
# So far ahead of ours a clock may be that says until when overrides are cleared.
AHEAD = timedelta(seconds=5)
TOLD_S = 20.0
FORGOTTEN_EVERY, MEASUREMENTS_KEPT = timedelta(days=1), timedelta(days=90)


@dataclass(slots=True, eq=False)
class _Reign:
    """One leadership: its term at each site, once it has been taken over there."""

    terms: dict[str, int] = field(default_factory=dict)
    taking: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who speaks: the replica's name in the Lease, and where it runs, since the link on the same host is the one to say it."""

    identity: str
    host: str


class Plants:
    """All customers of all policies, for one replica."""

    def __init__(
        self, store: LinkStore, stores: Stores, clock: Clocks, desks: Callable[[], Sequence[Desk]], who: Speaker
    ) -> None:
        """Lead nothing yet.

        Args:
            store: where plant link and operator meet.
            stores: objects of the cluster, for metering points and annotations.
            clock: of this machine.
            desks: policies at work.
            who: this replica.
        """
        self._store, self._stores, self._clock, self._desks = store, stores, clock, desks
        self._who = who
        self._reign: _Reign | None = None
        self._publishers: dict[str, StoredPublisher] = {}
        self._promises: dict[str, tuple[Commitment, ...]] = {}
        self._letters: dict[str, dict[str, tuple[Letter, ...]]] = {}
        self._told: Mapping[str, tuple[Condition, ...]] = {}
        self._told_due_s = self._forget_due_s = 0.0
        self._tell = Teller("operator.plants")
        self._living, self._hearing = Episode(self._tell, "a sign of life to plants"), Episode(self._tell, "hearing plants")

    def close(self) -> None:
        """Give the database back."""
        self._store.close()

    # Leadership.

    def begin(self) -> None:
        """Take over, with the first sign of life or the first message, whichever comes first. Waits for no database."""
        self._reign = _Reign()

    def end(self) -> None:
        """Say nothing any more. Waits for no database."""
        self._reign = None

    def sign(self, site_id: str) -> OperatorLife | None:
        """Who we are to plants now; None while we do not lead, or another one has led since.

        Raises:
            Retryable: the database is away.
        """
        reign = self._reign
        if reign is None:
            return None
        life = OperatorLife(
            site_id=site_id,
            identity=self._who.identity,
            host=self._who.host,
            term=0,
            at_utc=self._clock.now_utc(),
            offtakes=tuple(one for desk in self._of_site(site_id) for one in self.linked(desk)),
        )
        with reign.taking:
            if site_id not in reign.terms and self._reign is reign:
                reign.terms[site_id] = self._store.take_over(life)
                self._tell.info("speaking with plants", site=site_id, term=reign.terms[site_id])
        return replace(life, term=reign.terms[site_id]) if self._reign is reign else None

    def beat(self, term: Term) -> None:
        """Every few seconds: say that we live, take back what nobody stands behind, end overrides that are cleared."""
        if not term.holds(0.0):
            return
        try:
            for site_id in sorted({desk.governance.site.name for desk in self._desks()}):
                sign = self.sign(site_id)
                if sign is not None:
                    self._store.live(sign)
            for desk in self._desks():
                if desk.letting_go:
                    self.publisher(desk).withdraw(LET_GO, partial(self._lets_go, desk.governance.policy))
            self._clear_overrides()
            self._look_when_due()
            self._forget_when_due()
        except Superseded as error:
            self._living.failed(error)
            # One whose term was over may have come between: whoever holds the Lease takes over anew.
            if term.holds(0.0):
                self.begin()
            else:
                self.end()
        except HeatDispatchError as error:
            self._living.failed(error)
        else:
            self._living.worked()

    def _lets_go(self, policy: str) -> bool:
        """Whether everything of a policy is let go at this moment, and we still lead."""
        return self._reign is not None and any(one.letting_go for one in self._desks() if one.governance.policy == policy)

    def _of_site(self, site_id: str) -> list[Desk]:
        return [desk for desk in self._desks() if desk.governance.site.name == site_id]

    # Telling.

    def publisher(self, desk: Desk) -> StoredPublisher:
        """What tells the customers of a policy."""
        policy = desk.governance.policy
        if policy not in self._publishers:

            def present() -> Desk:
                return next((one for one in self._desks() if one.governance.policy == policy), desk)

            self._publishers[policy] = StoredPublisher(
                self._store,
                self._clock,
                lambda: self.sign(present().governance.site.name),
                lambda: self.linked(present()),
                observes=lambda: present().mode is Mode.OBSERVE,
            )
        return self._publishers[policy]

    def linked(self, desk: Desk) -> tuple[LinkedOfftake, ...]:
        """The customers of a policy, with what a letter of theirs may say at most."""
        site, now_utc = desk.governance.site, self._clock.now_utc()
        plugs = {plug.plug_id: plug for plug in site.plugs}
        points = {
            name_of(obj): text(obj, "spec", "metering", "meterPointId") or "" for obj in self._stores.of_policy(kinds.PLUGS)
        }
        found = []
        for offtake in site.offtakes:
            plug = plugs[offtake.plug_id]
            found.append(
                LinkedOfftake(
                    offtake_id=offtake.offtake_id,
                    plug_id=plug.plug_id,
                    max_heat_kw=offtake.max_heat_kw,
                    tank_kwh=None if plug.tank is None else plug.tank.capacity_kwh,
                    meter_point_id=points.get(plug.plug_id, ""),
                    bypass=_shut(plug, now_utc),
                    warning="nothing can be relied on" if desk.letting_go else "",
                )
            )
        return tuple(found)

    # Hearing.

    def forecasts(self, desk: Desk, now_utc: datetime) -> tuple[SourceReading, ...]:
        """What the plants of a policy expect to take, where it can be believed and is not too old."""
        told = (believed(one, now_utc)[0] for one in forecasts_of(self._standing(desk)))
        return tuple(one for one in told if not useless(one, now_utc))

    def states(self, desk: Desk, now_utc: datetime) -> tuple[PlantState, ...]:
        """What they measure at the plugs."""
        return states_of(desk.governance.site, self._standing(desk), now_utc)

    def limits(self, desk: Desk, now_utc: datetime) -> tuple[TakeLimit, ...]:
        """What they take at most."""
        return limits_of(self._standing(desk), now_utc)

    def promised(self, desk: Desk, now_utc: datetime) -> tuple[Commitment, ...]:
        """What binds, as it was written down; while the database is away, as it was read last: a promise goes on binding."""
        policy = desk.governance.policy
        try:
            found = [self._owed(offtake, now_utc) for offtake in desk.governance.site.offtakes if offtake.firm is not None]
        except HeatDispatchError as error:
            self._hearing.failed(error)
        else:
            self._promises[policy] = tuple(promise for owed in found for promise in owed)
        return self._promises.get(policy, ())

    def _owed(self, offtake: Offtake, now_utc: datetime) -> tuple[Commitment, ...]:
        """What one customer is owed after his answers, or his silence."""
        assert offtake.firm is not None
        start_utc, name = now_utc - PROMISES_BACK, offtake.offtake_id
        told = self._store.told(name, start_utc, now_utc + PROMISES_AHEAD)
        # Answers are as old as the gates may be: a promise is told before its delivery begins.
        letters = self._store.letters_between(name, "acknowledgement", start_utc - PROMISES_AHEAD, now_utc + ANSWERS_AHEAD)
        answers = [
            (one.letter.body, one.letter.sender.authenticated)
            for one in letters
            if isinstance(one.letter.body, Acknowledgement)
        ]
        return binding_by_known(told, answers, offtake.firm)

    def metered(self, desk: Desk, now_utc: datetime) -> dict[str, Series]:
        """Heat of the last hours by the meters of plugs with one customer alone, kW; what cannot be read is not known."""
        linked, found = self.linked(desk), dict[str, Series]()
        plugs = {one.plug_id: one for one in desk.governance.site.plugs}
        for one in linked:
            if not one.meter_point_id or sum(other.plug_id == one.plug_id for other in linked) > 1:
                continue
            plate = MeterPlate(meter_point_id=one.meter_point_id, max_kw=HEADROOM * plugs[one.plug_id].max_heat_kw)
            try:
                # A reading from before the first slot bounds it.
                kept = self._store.letters_between(one.offtake_id, "meter", now_utc - 2 * METERED_BACK, now_utc + ANSWERS_AHEAD)
            except HeatDispatchError as error:
                self._hearing.failed(error)
                return {}
            series = metered_kw(readings_of([each.letter for each in kept], one.meter_point_id, ours=True), plate, now_utc)
            if series is not None:
                found[one.offtake_id] = series
        return found

    def _standing(self, desk: Desk) -> dict[str, tuple[Letter, ...]]:
        """The letters that say how things stand; while the database is away, as they were read last: a latch holds."""
        try:
            found = self._store.letters_of([one.offtake_id for one in desk.governance.site.offtakes])
        except HeatDispatchError as error:
            self._hearing.failed(error)
            return self._letters.get(desk.governance.policy, {})
        self._hearing.worked()
        standing = {name: tuple(one.letter for one in letters) for name, letters in found.items()}
        self._letters[desk.governance.policy] = standing
        return standing

    # What our operator and people see.

    def conditions(self, offtake_id: str) -> tuple[Condition, ...]:
        """How one customer stands, as it was looked up last: who asks holds the guard up, and waits for no database."""
        return self._told.get(offtake_id, ())

    def _look_when_due(self) -> None:
        """How all customers stand, at most every twenty seconds."""
        now_s = self._clock.monotonic_s()
        if now_s < self._told_due_s:
            return
        self._told_due_s = now_s + TOLD_S
        names = [one.offtake_id for desk in self._desks() for one in desk.governance.site.offtakes]
        letters, heard, newest = self._store.letters_of(names), self._store.heard(), self._store.newest()
        now_utc = self._clock.now_utc()
        self._told = {
            name: conditions_of([one.letter for one in letters[name]], heard.get(name), newest.get(name), now_utc)
            for name in names
        }

    def _forget_when_due(self) -> None:
        """Once a day: measurements and forecasts of plants that nobody will ask for any more."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._forget_due_s:
            self._forget_due_s = now_s + FORGOTTEN_EVERY.total_seconds()
            self._store.forget(self._clock.now_utc() - MEASUREMENTS_KEPT)

    def _clear_overrides(self) -> None:
        """End overrides as the annotation says; one that began after its instant is a new one."""
        for obj in self._stores.of_policy(kinds.OFFTAKES):
            until_utc = cleared_until(obj)
            # An instant that is yet to come would end overrides that nobody has pressed yet.
            if until_utc is None or until_utc > self._clock.now_utc() + AHEAD:
                continue
            name = name_of(obj)
            pressed = [one for one in self._store.letters_of([name])[name] if isinstance(one.letter.body, ManualOverride)]
            row = ended_row(pressed, until_utc)
            if row is not None:
                self._store.clear_override(name, f"annotation {CLEAR_OVERRIDE}", self._clock.now_utc(), row)
                self._tell.info("manual override ended", offtake=name)


def ended_row(pressed: Sequence[KeptLetter], until_utc: datetime) -> int | None:
    """Up to which letter overrides are ended that began before an instant; None: none is. A later one in between holds."""
    before = [one.row for one in takewhile(lambda one: one.letter.received_utc < until_utc, pressed)]
    return before[-1] if before else None


def cleared_until(obj: Obj) -> datetime | None:
    """The instant of the annotation that ends overrides; None without a readable one."""
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    value = annotations.get(CLEAR_OVERRIDE)
    try:
        return utc(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _shut(plug: Plug, now_utc: datetime) -> bool:
    """Whether a plug gives nothing now."""
    return any(one.available_kw <= 0.0 and one.start_utc <= now_utc < one.end_utc for one in plug.maintenance)
