"""Carries the rules of `lease` out: one thread that reads, takes, renews and releases one Lease object."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.runtime.backoff import Uniform
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.errors import ApiError, Conflict, NotFound
from scheduler.adapters.kubernetes.runtime.fence import Term
from scheduler.adapters.kubernetes.runtime.frozen import Key, Obj, version_of
from scheduler.adapters.kubernetes.runtime.kinds import LEASES
from scheduler.adapters.kubernetes.runtime.lease import Bid, Contest, LeaseRecord
from scheduler.adapters.logs import Episode, Teller

INSTALLATION = "heatdispatch.io/installation"
"""Annotation of the Lease: the namespace of the operator that it serves."""

STOPPED = "stopped"

OnStarted = Callable[[Term], None]
OnStopped = Callable[[Term], None]


def micro_time(at_utc: datetime) -> str:
    """`metav1.MicroTime`: RFC 3339 with six decimals."""
    return at_utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def record_of(lease: Obj) -> LeaseRecord:
    """Read a Lease object; what is missing or nonsense is taken as not said."""
    spec = lease.get("spec") or {}
    lease_s, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    return LeaseRecord(
        version=version_of(lease),
        holder=str(spec.get("holderIdentity") or ""),
        lease_s=float(lease_s) if isinstance(lease_s, int) and lease_s > 0 else None,
        transitions=transitions if isinstance(transitions, int) else 0,
        installation=str(((lease.get("metadata") or {}).get("annotations") or {}).get(INSTALLATION) or ""),
    )


class Election:
    """Runs for leadership until stopped. Callbacks run on its thread and must return quickly: they hold up renewals.

    A refused or unanswered request is a failed try, and too many of them in a row end the term; **any other exception ends
    it at once**. A term ends before anybody is told, so that no write can slip out between.
    """

    def __init__(
        self,
        client: KubeClient,
        clock: Clocks,
        uniform: Uniform,
        *,
        lease: Key,
        contest: Contest,
        on_started: OnStarted | None = None,
        on_stopped: OnStopped | None = None,
    ) -> None:
        """Run for the Lease `(namespace, name)`; give `client` timeouts well below the renew deadline."""
        self._client = client
        self._clock = clock
        self._uniform = uniform
        self._namespace, self._name = lease
        self._contest = contest
        self._on_started = on_started
        self._on_stopped = on_stopped
        self._tell = Teller("runtime.election")
        self._episode = Episode(self._tell, "lease")
        self._stopping = threading.Event()
        self._ending = threading.Lock()
        self._thread: threading.Thread | None = None
        self._term: Term | None = None
        self._terms = 0
        self._seen: dict[str, Any] | None = None
        self._last_turn_s = clock.monotonic_s()

    @property
    def term(self) -> Term | None:
        """The present term, or None for a standby; hold on to it for a cycle and write with it."""
        term = self._term
        return term if term is not None and term.holds(0.0) else None

    @property
    def leader(self) -> str:
        """Who led when the Lease was last seen."""
        return self._contest.holder

    @property
    def stranger(self) -> str:
        """The other installation that leads, as the Lease was last seen; empty when there is none."""
        return self._contest.stranger

    def age_of_last_turn_s(self) -> float:
        """Seconds since this thread last did anything: whether it lives."""
        return self._clock.monotonic_s() - self._last_turn_s

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="election", daemon=True)
        self._thread.start()

    def stop(self, drain_s: float = 10.0) -> None:
        """End the term, wait for writes under way, hand the lease on.

        A write that is still under way after `drain_s` keeps the lease from being released: it runs out by itself then.
        """
        self._stopping.set()
        term = self._term
        if term is not None:
            term.end(STOPPED)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(drain_s)
        self._end(STOPPED)
        if (self._thread is None or not self._thread.is_alive()) and (term is None or term.drained(drain_s)):
            self._release()

    def run(self) -> None:
        """Take turns until stopped."""
        while not self._stopping.is_set():
            self._stopping.wait(self.turn())

    def turn(self) -> float:
        """Read, take or renew once; returns how many seconds to wait before the next turn."""
        failed = True
        try:
            self._end_if_overdue()
            self._run_once()
            failed = False
            self._episode.worked()
        except ApiError as error:
            self._episode.failed(error, leading=self._contest.leading)
        except Exception as error:  # whatever it is: a leader who does not know what happened does not lead
            self._tell.error("election fault", fault=error)
            self._end(f"fault: {type(error).__name__}")
        self._end_if_overdue()
        self._last_turn_s = self._clock.monotonic_s()
        return self._contest.wait_s(self._last_turn_s, failed, self._uniform())

    def _run_once(self) -> None:
        if not self._contest.leading:
            self._read()
        bid = self._contest.bid(self._clock.monotonic_s())
        if bid is None:
            return
        try:
            self._write(bid)
        except (Conflict, NotFound):
            # Somebody touched the Lease: if it was only an annotation we still hold it and bid again, else we do not.
            self._read()
            again = self._contest.bid(self._clock.monotonic_s()) if self._contest.leading else None
            if again is None:
                self._end("the lease is held by another, or gone")
                return
            self._write(again)

    def _read(self) -> None:
        try:
            self._seen = self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            self._seen = None
        self._contest.saw(None if self._seen is None else record_of(self._seen), self._clock.monotonic_s())

    def _write(self, bid: Bid) -> None:
        body = self._body(bid)
        sent_s = self._clock.monotonic_s()
        if bid.version:
            self._seen = self._client.replace(LEASES, body, self._name, self._namespace)
        else:
            self._seen = self._client.create(LEASES, body, self._namespace)
        leads = self._contest.accepted(bid, version_of(self._seen), sent_s, self._clock.monotonic_s())
        if not leads:
            self._end("the renewal came too late")
        elif self._term is None:
            self._begin()
        else:
            self._term.extend(self._contest.valid_until_s)

    def _body(self, bid: Bid) -> dict[str, Any]:
        """The whole Lease: other people's labels and annotations stay as they were seen."""
        now = micro_time(self._clock.now_utc())
        old = (self._seen or {}).get("spec") or {}
        metadata = dict((self._seen or {}).get("metadata") or {"name": self._name, "namespace": self._namespace})
        metadata.pop("managedFields", None)
        if self._contest.installation:
            metadata["annotations"] = {**(metadata.get("annotations") or {}), INSTALLATION: self._contest.installation}
        if bid.version:
            metadata["resourceVersion"] = bid.version
        spec = {
            **old,
            "holderIdentity": bid.holder,
            "leaseDurationSeconds": bid.lease_s,
            "leaseTransitions": bid.transitions,
            "renewTime": now,
            "acquireTime": old.get("acquireTime") or now if bid.renewal else now,
        }
        return {"metadata": metadata, "spec": spec}

    def _begin(self) -> None:
        if self._stopping.is_set():
            return
        self._terms += 1
        self._term = Term(self._terms, self._clock, self._contest.valid_until_s)
        self._tell.info("leading", identity=self._contest.identity, term=self._terms)
        if self._on_started is not None:
            self._on_started(self._term)

    def _end_if_overdue(self) -> None:
        if self._contest.overdue(self._clock.monotonic_s()):
            self._end("the lease was not renewed in time")

    def _end(self, why: str) -> None:
        """End the term first, tell afterwards; a callback that fails changes nothing about it."""
        self._contest.end()
        with self._ending:
            term, self._term = self._term, None
        if term is None:
            return
        term.end(why)
        tell = self._tell.info if term.over == STOPPED else self._tell.warning
        tell("no longer leading", why=term.over, term=term.number)
        if self._on_stopped is not None:
            try:
                self._on_stopped(term)
            except Exception as error:  # the term is over all the same
                self._tell.error("fault while standing down", fault=error)

    def _release(self) -> None:
        bid = self._contest.release()
        if bid is None:
            return
        try:
            self._client.replace(LEASES, self._body(bid), self._name, self._namespace)
        except ApiError as error:
            self._tell.warning("lease not released, it will run out", why=error)
        else:
            self._tell.info("lease released", identity=self._contest.identity)
