"""Runs the cycle and the guard while this replica leads: what is remembered between them, and what is told of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.operator.book import Carrier
from scheduler.adapters.kubernetes.operator.capping import Capper
from scheduler.adapters.kubernetes.operator.hands import Hands
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.runtime.conditions import Condition
from scheduler.adapters.kubernetes.runtime.events import EventRecorder
from scheduler.adapters.kubernetes.runtime.fence import Fenced, Term
from scheduler.adapters.kubernetes.runtime.kinds import OFFTAKES, POLICIES
from scheduler.adapters.kubernetes.runtime.writer import Reach, Writer
from scheduler.adapters.logs import Teller
from scheduler.adapters.logs import cycle as told_cycle
from scheduler.adapters.metrics.registry import Metrics
from scheduler.core.acting.newcomer import counter_for
from scheduler.core.planning.fallback import rule_plan
from scheduler.domain.decision import CycleRecord
from scheduler.domain.observed import Past, SourceReading
from scheduler.domain.plan import Plan, PlanStatus
from scheduler.domain.settings import Mode
from scheduler.entrypoints.heap import give_back
from scheduler.entrypoints.operator.governing import Governing
from scheduler.entrypoints.operator.observing import ClusterObserver, Said
from scheduler.entrypoints.operator.plants import Plants
from scheduler.entrypoints.operator.telling import Telling, no_conditions
from scheduler.loop.cycle import Ports, run_cycle
from scheduler.loop.runner import Watch, after_cycle, guard_step, overdue_s
from scheduler.ports import Decider, Ledger

Recorder = Callable[[Desk, Plan | None, CycleRecord], None]

# By so much the wall clock may differ from what the monotonic one says before a decision counts as made by another clock.
CLOCK_SET = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Floor:
    """What the foreman works with.

    readings: by policy and instant; max_age_s: how old they may be. standing: conditions of a policy that others know of.
    plants: what heat plants are told, and what they said. show: takes each cycle for the live page, and never waits.
    """

    stores: Stores
    hands: Hands
    capper: Capper
    governing: Governing
    events: EventRecorder
    metrics: Metrics
    clock: Clocks
    decider: Decider
    ledger: Ledger
    plants: Plants
    past: Callable[[], Past]
    readings: Callable[[str, datetime], Sequence[SourceReading]]
    max_age_s: Callable[[str, Sequence[SourceReading]], Mapping[str, float]]
    blind_s: Callable[[], float | None]
    record: Recorder | None = None
    standing: Callable[[str], Sequence[Condition]] = no_conditions
    make_sure: Callable[[], None] = lambda: None
    show: Callable[[Desk, CycleRecord], None] = lambda desk, record: None


@dataclass(slots=True, eq=False)
class _Post:
    """One policy's memory: what was decided and when by the monotonic clock, who observes for it."""

    observer: ClusterObserver
    watch: Watch = field(default_factory=Watch)
    decided_s: float = 0.0
    baseline_eur: Mapping[str, float] = field(default_factory=dict)
    changed: bool = False


class Foreman:
    """Cycle and guard, each on its timer's thread; `begin` and `end` bracket one term of leadership."""

    def __init__(self, floor: Floor) -> None:
        """Lead nothing yet."""
        self.floor = floor
        self._writer: Writer | None = None
        self._writers: dict[str, Writer] = {}
        self._posts: dict[str, _Post] = {}
        # One cycle at a time, whoever asks for it.
        self._cycling = threading.Lock()
        self._tell = Teller("operator.foreman")
        self._telling = Telling(floor.stores, floor.events, floor.metrics)

    # Leadership.

    def begin(self, writer: Writer) -> None:
        """Take over: read what is there, and look at every job; plan at once, since what was wanted before is forgotten."""
        # Once more: a look or a cycle that was under way when the last term ended may have written into them since.
        self._forget()
        self._writer, self._writers = writer, {}
        for post in self._posts.values():
            post.changed = True
        self.floor.metrics.set("leader", 1.0)
        self.floor.metrics.add("leader_changes_total", change="began")
        self.floor.governing.refresh(self.floor.clock.now_utc())
        self.floor.hands.seat(self.desks)

    def end(self) -> None:
        """Stand down: nothing is wanted any more, and nothing can be written."""
        self._writer, self._writers = None, {}
        self.floor.metrics.set("leader", 0.0)
        self.floor.metrics.add("leader_changes_total", change="ended")
        self._telling.silent()
        self._forget()

    def _forget(self) -> None:
        """Nothing is wanted of any job, and no new one can be priced."""
        for book in self.floor.governing.books.values():
            book.close()
        for desk in self.desks:
            desk.counter = None

    @property
    def desks(self) -> tuple[Desk, ...]:
        """Policies at work."""
        return self.floor.governing.current.desks

    def writer_of(self, desk: Desk | None) -> Writer | None:
        """What may write for a policy now: everything in Dispatch, only what lets go otherwise; None for a standby."""
        writer, policy = self._writer, "" if desk is None else desk.governance.policy
        if writer is None:
            return None
        if policy not in self._writers:
            self._writers[policy] = writer.within(lambda: self._reach(policy))
        return self._writers[policy]

    def _reach(self, policy: str) -> Reach:
        """How far writes of a policy may go at this moment."""
        desk = next((one for one in self.desks if one.governance.policy == policy), None)
        acts = desk is not None and desk.mode is Mode.DISPATCH and not desk.letting_go
        return Reach.FULL if acts else Reach.LETTING_GO

    # The cycle.

    def cycle(self, term: Term) -> None:
        """One cycle of every policy whose time has come; a decision that outlives its term is dropped."""
        with self._cycling:
            self.floor.make_sure()
            self._refresh()
            for desk in self.desks:
                if term.holds(0.0) and self._due(desk):
                    self._post(desk).changed = False
                    try:
                        self._cycle_of(desk, term)
                    except Fenced as error:
                        self._tell.warning("decision dropped", policy=desk.governance.policy, why=error)
                    give_back()

    def replan(self, policy: str) -> None:
        """A plan is due at the guard's next turn: something is known now that was not when the last one was made."""
        post = self._posts.get(policy)
        if post is not None and post.watch.decided_utc is not None:
            post.changed = True

    def _due(self, desk: Desk) -> bool:
        """The timer ticks every quarter of an hour; a policy may want less. At once when what it rests on has changed.

        A plan made by a clock that was set since speaks of other hours than those that come.
        """
        post, settings = self._post(desk), desk.governance.settings
        watch, now_utc, aged_utc = post.watch, self.floor.clock.now_utc(), self._aged_utc(post)
        if post.changed or watch.decided_utc is None or watch.step is not PlanStatus.FRESH:
            return True
        if abs(now_utc - aged_utc) > CLOCK_SET or overdue_s(watch, now_utc, settings) > 0.0:
            return True
        return (now_utc - watch.decided_utc).total_seconds() >= settings.cycle_s

    def _aged_utc(self, post: _Post) -> datetime:
        """Now by the clock that the last decision was made by: how old that is, however the wall clock was set since."""
        floor = self.floor
        if post.watch.decided_utc is None:
            return floor.clock.now_utc()
        return post.watch.decided_utc + timedelta(seconds=floor.clock.monotonic_s() - post.decided_s)

    def _cycle_of(self, desk: Desk, term: Term) -> None:
        """Observe, decide, put into force, publish, account, tell."""
        floor, post, rules = self.floor, self._post(desk), desk.governance
        began_s = floor.clock.monotonic_s()
        carrier = Carrier(floor.decider, desk.book, floor.hands.wake, lambda: term.holds(0.0))
        ports = Ports(
            clock=floor.clock,
            observer=post.observer,
            decider=carrier,
            actuator=carrier,
            publisher=floor.plants.publisher(desk),
            ledger=floor.ledger,
        )
        now_utc = floor.clock.now_utc()
        with told_cycle(f"{now_utc:%Y%m%dT%H%M%SZ}"):
            last = post.watch.warm
            record = asyncio.run(run_cycle(ports, rules.site, rules.settings, last))
            post.watch, post.decided_s = after_cycle(post.watch, record.decision), began_s
            desk.letting_go = record.decision.plan.status is PlanStatus.LET_GO
            self._price_newcomers(desk, post, record)
            took_s = floor.clock.monotonic_s() - began_s
            self._telling.cycle(desk, record, took_s, post.observer.taken())
            floor.show(desk, record)
            if floor.record is not None:
                floor.record(desk, last, record)
            writer = self._writer
            if writer is not None:
                self._telling.plan(desk, record, writer, post.baseline_eur, post.observer.told)

    def _price_newcomers(self, desk: Desk, post: _Post, record: CycleRecord) -> None:
        """Write the plan's problem once more: new jobs are priced on it, and the simplest rule's cost is its baseline."""
        rules = desk.governance
        settings = rules.settings.in_force(record.snapshot.observed_utc, rules.site.time_zone)
        counter = counter_for(rules.site, record.snapshot, settings, record.decision.plan)
        desk.counter = counter
        post.baseline_eur = {} if counter is None else rule_plan(counter.problem, digest="baseline").cost_eur

    def _post(self, desk: Desk) -> _Post:
        """The memory of a policy; its observer asks for the desk of that moment."""
        policy, floor = desk.governance.policy, self.floor
        if policy not in self._posts:

            def present() -> Desk:
                return next((one for one in self.desks if one.governance.policy == policy), desk)

            def told(now_utc: datetime) -> Sequence[SourceReading]:
                found = floor.readings(policy, now_utc)
                names = {one.quantity for one in found}
                return (*found, *(one for one in floor.plants.forecasts(present(), now_utc) if one.quantity not in names))

            observer = ClusterObserver(
                present,
                floor.past,
                told,
                blind_s=floor.blind_s,
                said=Said(
                    states=lambda now_utc: floor.plants.states(present(), now_utc),
                    promised=lambda now_utc: floor.plants.promised(present(), now_utc),
                    limits=lambda now_utc: floor.plants.limits(present(), now_utc),
                    metered=lambda now_utc: floor.plants.metered(present(), now_utc),
                ),
                ages_s=partial(floor.max_age_s, policy),
            )
            self._posts[policy] = _Post(observer=observer)
        return self._posts[policy]

    # The guard.

    def guard(self, term: Term) -> None:
        """Every half minute: what changed in our kinds, what grew too old, caps, statuses, Events."""
        self._refresh()
        if any(self._post(desk).changed for desk in self.desks) and not self._cycling.locked():
            # Not on this thread: a plan takes a minute at worst, and the guard has holds to watch over.
            threading.Thread(target=self._changed_cycle, args=(term,), name="cycle-changed", daemon=True).start()
        now_utc = self.floor.clock.now_utc()
        for desk in self.desks:
            self._watch_over(desk)
        if not term.holds(0.0):
            return
        writer = self._writer
        if writer is not None:
            self.floor.capper.cap(self.desks, writer)
            self._telling.statuses(self.floor.governing.current, self._plans(), writer, now_utc, self._standing)
        self._telling.gauges(self.desks, now_utc)

    def beat(self, term: Term) -> None:
        """Every ten seconds: caps live on while somebody wants them."""
        writer = self._writer
        if writer is not None and term.holds(0.0):
            self.floor.capper.beat(self.desks, writer)

    def _refresh(self) -> None:
        """Take changed policies, plugs, classes and nodes up; jobs are looked at anew under them."""
        before = {desk.governance.policy: desk for desk in self.desks}
        if self.floor.governing.refresh(self.floor.clock.now_utc()):
            desks = self.desks
            self._writers = {}
            self._posts = {desk.governance.policy: self._post(desk) for desk in desks}
            for desk in desks:
                self._taken_over(before.get(desk.governance.policy), desk)
            self.floor.hands.seat(desks)
            self._tell.info("policies read", policies=[desk.governance.policy for desk in desks])

    def _taken_over(self, old: Desk | None, new: Desk) -> None:
        """What stands goes on while the policy's site and settings are the same; else, or for a new one, a plan is due."""
        post = self._post(new)
        if old is not None and (old.governance.site, old.governance.settings) == (new.governance.site, new.governance.settings):
            new.counter, new.letting_go = old.counter, old.letting_go
        else:
            post.changed = True

    def _changed_cycle(self, term: Term) -> None:
        """A cycle out of turn; its faults are told and end here."""
        try:
            self.cycle(term)
        except Exception as error:  # the timer's cycle is another chance
            self._tell.error("cycle failed", fault=error)

    def _watch_over(self, desk: Desk) -> None:
        """Let go when everything known grew too old; go on when it did not. A clock that is set makes nothing older."""
        post = self._post(desk)
        watch = post.watch
        if watch.last is None:
            return
        step = guard_step(watch, self._aged_utc(post), desk.governance.settings)
        letting_go = step is PlanStatus.LET_GO
        if letting_go and not desk.letting_go:
            self._tell.warning("letting go", policy=desk.governance.policy, last_decision=watch.decided_utc)
            self._telling.degraded(desk, "every hold is released: no decision in time")
        if letting_go != desk.letting_go:
            desk.letting_go = letting_go
            self.floor.hands.look_at_all()

    def _standing(self, kind: str, name: str) -> Sequence[Condition]:
        """What is told of one object beside whether it is used."""
        if kind == POLICIES.kind:
            return self.floor.standing(name)
        return self.floor.plants.conditions(name) if kind == OFFTAKES.kind else ()

    def _plans(self) -> Mapping[str, Watch]:
        """What each policy remembers."""
        return {policy: post.watch for policy, post in self._posts.items()}
