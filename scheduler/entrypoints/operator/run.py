"""Puts the operator together and runs it until it is told to stop: threads, callbacks and their order are decided here."""

from __future__ import annotations

import gc
import os
import secrets
import socket
import threading
import time

import numpy as np

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.history.sql import SqlHistory
from scheduler.adapters.kubernetes.objects import count, name_of
from scheduler.adapters.kubernetes.operator.capping import BEAT_S, Capper
from scheduler.adapters.kubernetes.operator.counts import JobKey
from scheduler.adapters.kubernetes.operator.hands import Hands
from scheduler.adapters.kubernetes.operator.looks import Departed
from scheduler.adapters.kubernetes.operator.stores import DECIDED_ON, VITAL, Stores
from scheduler.adapters.kubernetes.runtime.badge import Badge
from scheduler.adapters.kubernetes.runtime.caches import Caches
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.connection import Connection, Timeouts, configuration
from scheduler.adapters.kubernetes.runtime.election import Election
from scheduler.adapters.kubernetes.runtime.events import EventRecorder
from scheduler.adapters.kubernetes.runtime.fence import Term
from scheduler.adapters.kubernetes.runtime.health import (
    HealthLimits,
    HealthServer,
    caches_alive,
    caches_ready,
    moves,
)
from scheduler.adapters.kubernetes.runtime.kinds import LEASES, PLUGS, POLICIES
from scheduler.adapters.kubernetes.runtime.lease import Contest
from scheduler.adapters.kubernetes.runtime.limiter import WriteLimiter
from scheduler.adapters.kubernetes.runtime.queue import WorkQueue
from scheduler.adapters.kubernetes.runtime.reflector import Reflector
from scheduler.adapters.kubernetes.runtime.rights import Rights
from scheduler.adapters.kubernetes.runtime.store import Change, Store
from scheduler.adapters.kubernetes.runtime.timers import Every, Timer, Timers
from scheduler.adapters.kubernetes.runtime.writer import Reach, Writer
from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.adapters.logs import Teller
from scheduler.adapters.metrics.registry import Metrics
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.adapters.sources.file import FileSource
from scheduler.config.contracts import plate_of
from scheduler.config.kinds import ThermalPlug
from scheduler.config.live import readable
from scheduler.entrypoints.ending import told_to_end
from scheduler.entrypoints.heap import few_arenas
from scheduler.entrypoints.operator.booking import BOOK_S, Accounts, Booker
from scheduler.entrypoints.operator.counting import Counting
from scheduler.entrypoints.operator.foreman import Floor, Foreman
from scheduler.entrypoints.operator.governing import Governing
from scheduler.entrypoints.operator.keeping import parse_series, recorder
from scheduler.entrypoints.operator.options import Options
from scheduler.entrypoints.operator.plants import LIFE_S, Plants, Speaker
from scheduler.entrypoints.operator.power import power_of
from scheduler.entrypoints.operator.rooms import Rooms
from scheduler.entrypoints.operator.secrets import Secrets
from scheduler.entrypoints.operator.showing import LivePage, Showing, live_page
from scheduler.entrypoints.operator.signals import Signals
from scheduler.entrypoints.operator.standing import LEASE, Standing, neighbours_of
from scheduler.entrypoints.operator.telling import Telling
from scheduler.entrypoints.operator.watching import LOOK_S, Sight, Watcher
from scheduler.loop.deciders import ChildDecider

SYNC_LIMIT_S = 120.0
FLUSH_LIMIT_S = 2.0
SURE_LIMIT_S = 15.0
END_LOOK_S = 0.2
# One second's worth of writes may come at once; with the other 59 of a minute no minute has more than its sixty.
REFILL = 59.0 / 60.0
RENEWAL = Timeouts(connect_s=1.5, read_s=2.0)


class Operator:
    """One replica: caches are warm and probes answer from the start; cycle, guard and writes only while it leads."""

    _live: LivePage | None = None

    def __init__(self, options: Options) -> None:
        """Build everything; nothing runs and nothing is written yet.

        Raises:
            Misconfigured: when there is no cluster to connect to.
            OSError: when the port is taken.
        """
        self.options = options
        # A container's process id is always 1: the random part tells a restarted one from its predecessor.
        self._made_identity = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._clock, self._chance = SystemClock(), np.random.default_rng()
        self._tell = Teller("operator")
        self._stopping = threading.Event()
        self.metrics = Metrics()
        self._rights = Rights(self._clock, lambda: self._timers.soon("guard"))
        self._counting = Counting(self.metrics, self._clock)
        self._client = KubeClient(self._connected(), hear=self._rights.heard, count=self._counting.request)
        self._stores = Stores()
        self._caches = Caches(self._reflecting(one) for one in self._stores.all())
        self._limiter = WriteLimiter(
            self._clock, self._wait, rate_per_s=options.writes_per_s * REFILL, burst=options.writes_per_s
        )
        self._term_writer: Writer | None = None
        self._candidate = False
        self._events = EventRecorder(lambda: self._term_writer, self._clock, instance=self.identity)
        self._queue: WorkQueue[JobKey] = WorkQueue(self._clock, self._chance.random, group=lambda key: key[1])
        self._hands = Hands(
            self._stores, self._queue, lambda desk: self.foreman.writer_of(desk), self._events, self._clock, self.metrics
        )
        self._signals = self._signals_of(options)
        self._decider = ChildDecider(clock_s=time.monotonic)
        self._ledger, self._history = SqlLedger(options.ledger), SqlHistory(options.ledger, inline=True)
        self._power = power_of(options.agents, options.dcgm, self._stores, self._clock)
        who = Speaker(identity=self.identity, host=options.link_host)
        self._plants = Plants(LinkStore(options.ledger), self._stores, self._clock, lambda: self.foreman.desks, who)
        self._booker = Booker(options.ledger, self._clock, self._accounts)
        self._watcher, self._showing = Watcher(self._sight()), Showing(options.ledger, self._policies)
        self.foreman = Foreman(self._floor())
        self._timers = self._timers_of(options)
        # A client of its own with short limits: a renewal that hangs must fail long before the lease is over.
        leases = KubeClient(self._connected(), RENEWAL, hear=self._rights.heard, count=self._counting.request)
        self._election = Election(
            leases,
            self._clock,
            self._chance.random,
            lease=(options.lease_namespace, LEASE),
            contest=Contest(self.identity, options.lease, options.namespace),
            on_started=self._began,
            on_stopped=self._ended,
        )
        self._standing = Standing(
            rights=self._rights,
            neighbours=neighbours_of(leases, self._clock, options, lambda: self._timers.soon("guard")),
            election=self._election,
            leads=lambda: self._term_writer is not None,
            metrics=self.metrics,
        )
        for store in (*self._stores.policy, self._stores.checks):
            store.subscribe(self._asked_anew)
        self._health, self._threads = self._server(), list[threading.Thread]()

    @property
    def identity(self) -> str:
        """Who we are in the Lease: unique to this process."""
        return self.options.identity or self._made_identity

    @property
    def port(self) -> int:
        """Port of probes and metrics."""
        return self._health.port

    # Life.

    def start(self) -> None:
        """Warm the caches, answer probes, run for leadership.

        Raises:
            Misconfigured: when the live page cannot be served as it should.
        """
        few_arenas()
        if self.options.live is not None:
            self._live = live_page(self.options.ledger, self._clock, self.options.live)
            self._live.start()
            self._tell.info("serving the live page", page=self._live.port)
        self._health.start()
        self._caches.start()
        self._spawn("sources", lambda: self._signals.run(self._stopping))
        self._spawn("power", lambda: self._power.run(self._stopping))
        self._spawn("events", lambda: self._events.run(self._stopping))
        self._hands.doubting(lambda: self._caches.doubtful(VITAL))
        for number in range(self.options.workers):
            self._spawn(f"hands-{number}", lambda: self._hands.run(self._stopping))
        self._spawn("hands-slow", lambda: self._hands.run(self._stopping, slow=True))
        self._spawn("showing", lambda: self._showing.run(self._stopping))
        self._spawn("candidate", self._run_when_warm)
        if self.options.pod:
            badge = Badge(self._client, self.options.namespace, self.options.pod, lambda: self._term_writer is not None)
            self._spawn("badge", lambda: badge.run(self._stopping))
        self._tell.info("started", identity=self.identity, port=self.port)

    def stop(self) -> None:
        """Write the past down, hand the lease on, then end everything."""
        self._stopping.set()
        self._watcher.flush(FLUSH_LIMIT_S)
        self._election.stop()
        self._timers.stop()
        self._queue.close()
        self._showing.wake()
        if self._live is not None:
            self._live.stop()
        for thread in self._threads:
            thread.join(5.0)
        self._caches.stop()
        self._health.stop()
        self._decider.close()
        self._ledger.close()
        self._history.close()
        self._plants.close()
        self._showing.close()
        self._tell.info("stopped", identity=self.identity)

    def run(self) -> None:
        """Start, wait for SIGTERM or SIGINT, stop."""
        told = told_to_end()
        self.start()
        while not told() and not self._stopping.wait(END_LOOK_S):
            pass
        self.stop()

    def _run_when_warm(self) -> None:
        """Run for leadership once everything has been listed: who leads must know what is there."""
        while not self._stopping.is_set():
            missing = self._caches.wait_synced(SYNC_LIMIT_S, self._clock, self._wait)
            if not missing:
                break
            self._tell.warning("still reading the cluster", missing=list(missing))
        if not self._stopping.is_set():
            # What is there now stays: the collector need not walk it again and again.
            gc.freeze()
            self._candidate = True
            # While the lease is waited for, not when the first plan is.
            self._spawn("solver", self._decider.warm)
            self._election.start()
            self._spawn("neighbours", lambda: self._standing.look_around(self._wait))

    def _spawn(self, name: str, work: object) -> None:
        """Run something in a thread of its own."""
        assert callable(work)
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _wait(self, seconds: float) -> object:
        """Sleep, or less when we are to stop."""
        return self._stopping.wait(seconds)

    def _connected(self) -> Connection:
        """A connection that says who we are."""
        return Connection(configuration(self.options.kubeconfig, self.options.context), self.identity)

    # Leadership.

    def _began(self, term: Term) -> None:
        """We lead: a writer for this term, then the timers."""
        counts = self._counting.writes
        self._term_writer = Writer(self._client, term, self._limiter, self._wait, reach=lambda: Reach.FULL, counts=counts)
        self._watcher.begin()
        self._plants.begin()
        self.foreman.begin(self._term_writer)
        self._timers.start(term)

    def _ended(self, term: Term) -> None:
        """We do not lead any more."""
        self._timers.stop(term)
        self._term_writer = None
        self._watcher.end()
        self._plants.end()
        self.foreman.end()
        # What is being solved would be dropped, and keep the next term's first plan waiting.
        self._decider.abandon()

    def _asked_anew(self, change: Change) -> None:
        """Somebody states something else in one of our kinds: the guard need not wait for its tick to see it."""
        seen = [count(obj, "metadata", "generation") for obj in (change.old, change.new) if obj is not None]
        if len(seen) == 1 or seen[0] != seen[1]:
            self._timers.soon("guard")

    # Parts.

    def _reflecting(self, store: Store) -> Reflector:
        """What keeps a store true."""
        return Reflector(self._client, store, self._clock, self._chance.random, options=self.options.reflector)

    def _floor(self) -> Floor:
        """What the foreman works with."""
        rooms = Rooms(self._stores, self._clock)
        return Floor(
            stores=self._stores,
            hands=self._hands,
            capper=Capper(
                self._stores,
                self._clock,
                lambda key: self._client.get(LEASES, key[1], key[0]),
                namespace=self.options.namespace,
                identity=self.identity,
            ),
            governing=Governing(self._stores, rooms),
            events=self._events,
            metrics=self.metrics,
            clock=self._clock,
            decider=self._decider,
            ledger=self._ledger,
            plants=self._plants,
            past=self._watcher.past,
            readings=self._signals.readings,
            max_age_s=self._signals.max_age_s,
            blind_s=self._blind_s,
            show=self._showing.take,
            record=None if self.options.record is None else recorder(self.options.record, self.options.record_keep),
            standing=lambda policy: (*self._standing.conditions(), *self._signals.conditions(policy)),
            # Where reading failed, what was seen last may be long past: a cycle waits a moment for it to be read anew.
            make_sure=lambda: self._caches.wait_sure(DECIDED_ON, SURE_LIMIT_S, self._clock, self._wait),
        )

    def _sight(self) -> Sight:
        """What the watcher looks at, and where it writes."""
        telling = Telling(self._stores, self._events, self.metrics)

        def note(why: str) -> None:
            for desk in self.foreman.desks if why else ():
                telling.degraded(desk, why)

        return Sight(
            desks=lambda: self.foreman.desks,
            departed=Departed(self._stores.jobs).take,
            blind_s=self._blind_s,
            readings=self._signals.of_all,
            store=self._history,
            metrics=self.metrics,
            clock=self._clock,
            note=note,
            draws=self._power.draws,
        )

    def _cycle(self, term: Term) -> None:
        """Look, so that the slot that has just ended is known, then run the cycle; it waits for no database."""
        self._watcher.look_within()
        self.foreman.cycle(term)

    def _policies(self) -> list[str]:
        """Names of all policies that there are."""
        return [name_of(one) for one in self._stores.of_policy(POLICIES)]

    def _accounts(self) -> list[Accounts]:
        """Whose metered heat is booked: that of every policy."""
        plates = {plug.name: plate_of(plug) for plug in readable(self._stores.of_policy(PLUGS), ThermalPlug)}
        return [Accounts(site=desk.governance.site, plates=plates) for desk in self.foreman.desks]

    def _blind_s(self) -> float | None:
        """How long the API server has not spoken about what decisions rest on; None before the first whole list."""
        heard_s = max(age.event_s for age in self._caches.ages() if age.name in VITAL)
        return heard_s if self._stores.synced else None

    def _timers_of(self, options: Options) -> Timers:
        """What is done again and again while we lead."""
        guard = Timer(name="guard", when=Every(seconds=options.guard_s, at_once=True), job=self.foreman.guard)
        cycle = Timer(name="cycle", when=Every(seconds=options.cycle_s, at_once=True), job=self._cycle)
        watch = Timer(name="watch", when=Every(seconds=LOOK_S, at_once=True), job=self._watcher.tick)
        caps = Timer(name="caps", when=Every(seconds=BEAT_S), job=self.foreman.beat)
        life = Timer(name="plants", when=Every(seconds=LIFE_S, at_once=True), job=self._plants.beat)
        books = Timer(name="books", when=Every(seconds=BOOK_S), job=self._booker.tick)
        return Timers((cycle, guard, watch, caps, life, books), self._clock)

    def _signals_of(self, options: Options) -> Signals:
        """The sources of the policies; a file of series, if one is given, comes before them."""
        series = options.series
        return Signals(
            options.signals,
            self._stores,
            Secrets(self._client, options.namespace, self._clock),
            files=[] if series is None else [FileSource(series.name, series, parse_series)],
            clock=self._clock,
            metrics=self.metrics,
            on_news=self._heard,
        )

    def _heard(self, policy: str) -> None:
        """A source tells what a policy's plan had to do without: it need not wait for its hour."""
        self.foreman.replan(policy)
        self._timers.soon("guard")

    def _server(self) -> HealthServer:
        """Probes and metrics."""
        limits = HealthLimits()
        return HealthServer(
            alive=[caches_alive(self._caches, limits), moves("election", self._election_age_s, limits.election_s)],
            ready=[caches_ready(self._caches, limits), self._standing.told],
            pages={"/metrics": self._metrics_page},
            host=self.options.host,
            port=self.options.port,
        )

    def _election_age_s(self) -> float:
        """Since when the election has not moved; it begins when the caches are warm."""
        return self._election.age_of_last_turn_s() if self._candidate else 0.0

    def _metrics_page(self) -> tuple[str, bytes]:
        """Everything for Prometheus."""
        self._counting.gauges(self._caches.ages())
        self._power.gauges(self.metrics)
        self._signals.gauges()
        self.metrics.set("queue_depth", float(self._queue.count()))
        self._standing.gauges()
        text, kind = self.metrics.exposition()
        return kind, text
