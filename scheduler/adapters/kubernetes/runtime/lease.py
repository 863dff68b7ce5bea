"""Who leads: the rules of the Lease, without clock, network or thread.

The lease is a promise in time. Its holder may rely on it until `sent + lease_s * (1 - drift)`, counted from just *before* it
sent the renewal that was accepted; everybody else may take it `lease_s` after they *last saw it change*. Whoever takes it
saw the change after it was made, and it was made after it was sent, so the two times never overlap as long as two clocks
differ in speed by less than `drift_fraction`. Wall clocks play no part, only how fast monotonic clocks run.

Every write carries the resourceVersion that was seen, so of two who reach for a free lease the API server lets one have it,
and a renewal that was stuck in the network cannot undo a take-over.

There is one Lease in a cluster. It also says which installation (namespace) it serves, and replicas of another one stand by for
`foreign_s` instead of its length: two operators installed by mistake must not take turns, and when the first one is uninstalled
the second goes on. They only ever wait longer, so nothing of the above changes.

A Lease that is not there is made *without a holder* and taken when it has stood still for its length: it may have been
deleted under a leader who still relies on it, and "not there" has no version that would tell a second deletion.
"""

from __future__ import annotations

from dataclasses import dataclass

RELEASED_S = 1
"""Duration that a holder writes when it lets go: others wait this long and no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """How long things take; the defaults bridge an API server's restart (4 s) and hand over in 12 to 16 s after a kill.

    `foreign_s`: how long another installation's Lease must have stood still, longer than any restart or upgrade of it takes.
    `drift_fraction` 0.02 covers two clocks each running 1 % wrong, in opposite directions.
    """

    lease_s: int = 12
    renew_every_s: float = 2.0
    retry_s: float = 0.5
    renew_deadline_s: float = 8.0
    drift_fraction: float = 0.02
    jitter_fraction: float = 0.2
    foreign_s: float = 300.0

    def __post_init__(self) -> None:
        """Refuse times under which a leader could outlive its lease."""
        if not 0.0 < self.renew_every_s < self.renew_deadline_s < self.sure_s:
            raise ValueError("LeaseTimes needs 0 < renew_every_s < renew_deadline_s < lease_s * (1 - drift_fraction)")
        if self.lease_s < RELEASED_S or not 0.0 <= self.jitter_fraction < 1.0 or self.retry_s <= 0.0:
            raise ValueError("LeaseTimes needs lease_s >= 1, 0 <= jitter_fraction < 1 and retry_s > 0")

    @property
    def sure_s(self) -> float:
        """How long after sending a renewal its sender may rely on it."""
        return self.lease_s * (1.0 - self.drift_fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """What the Lease object says; `lease_s` None when it says nothing usable, `installation` empty when it names none."""

    version: str
    holder: str = ""
    lease_s: float | None = None
    transitions: int = 0
    installation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    """A write to attempt: create the Lease, free (`version` empty), or replace it as it was seen at `version`."""

    version: str
    holder: str
    lease_s: int
    transitions: int
    renewal: bool = False


class Contest:
    """One candidate's view. Told what it saw and what became of its bids; says what to bid and how long it may rely on it."""

    def __init__(self, identity: str, times: LeaseTimes, installation: str = "") -> None:
        """`identity` names this process; should two have one name, only what a process wrote itself counts as its own.

        `installation` is what replicas that may replace each other at once have in common: their namespace.
        """
        self.identity = identity
        self.times = times
        self.installation = installation
        self.leading = False
        self.valid_until_s = 0.0
        self._renewed_s = 0.0
        self._seen: LeaseRecord | None = None
        self._seen_since_s: float | None = None
        self._own_version = ""

    @property
    def holder(self) -> str:
        """Who held the lease when it was last seen; empty for nobody."""
        return self._seen.holder if self._seen is not None else ""

    @property
    def stranger(self) -> str:
        """The other installation whose Lease this is; empty when it is ours, nobody's or not known."""
        found = self._seen.installation if self._seen is not None else ""
        return "" if found == self.installation else found

    def saw(self, record: LeaseRecord | None, now_s: float) -> None:
        """Take note of the Lease as just read; None when there is none. `now_s` is a time after the answer came."""
        unchanged = self._seen_since_s is not None and (
            record is None if self._seen is None else record is not None and record.version == self._seen.version
        )
        if not unchanged:
            self._seen, self._seen_since_s = record, now_s
        if self.leading and (record is None or record.holder != self.identity):
            self.end()

    def bid(self, now_s: float) -> Bid | None:
        """Return what to write now, or None while the lease is (or may be) somebody else's."""
        if self._seen_since_s is None:
            return None
        if self._seen is None:
            return Bid(version="", holder="", lease_s=self.times.lease_s, transitions=0)
        if self.leading or (self._seen.version == self._own_version and self._seen.holder == self.identity):
            return self._bid(self._seen, self._seen.transitions, renewal=self.leading)
        return None if now_s < self.free_at_s() else self._bid(self._seen, self._seen.transitions + 1, renewal=False)

    def free_at_s(self) -> float:
        """When the lease as last seen may be taken; never while it was not seen."""
        if self._seen_since_s is None or self._seen is None:
            return float("inf")
        length_s = self.times.lease_s if self._seen.lease_s is None else self._seen.lease_s
        return self._seen_since_s + (max(length_s, self.times.foreign_s) if self.stranger else length_s)

    def accepted(self, bid: Bid, version: str, sent_s: float, now_s: float) -> bool:
        """The API server took a bid that was sent at `sent_s`; returns whether it leaves us leading now.

        An answer that came after the lease's end is no leadership: others may already be reaching for it.
        """
        self._seen = LeaseRecord(
            version=version,
            holder=bid.holder,
            lease_s=bid.lease_s,
            transitions=bid.transitions,
            installation=self.installation,
        )
        self._seen_since_s = now_s
        if bid.holder != self.identity:
            self.end()
            return False
        if self.overdue(now_s):
            self.end()
        elif self.leading or not bid.renewal:
            self.leading = now_s < sent_s + self.times.sure_s
            self.valid_until_s = sent_s + self.times.sure_s if self.leading else self.valid_until_s
            self._renewed_s = sent_s
        # A write that came too late may have fallen into a namesake's term: it proves nothing and is waited out.
        self._own_version = version if self.leading else ""
        return self.leading

    def overdue(self, now_s: float) -> bool:
        """True for a leader who has not managed to renew for too long, be it that the server, or he himself, was away."""
        return self.leading and (now_s - self._renewed_s >= self.times.renew_deadline_s or now_s >= self.valid_until_s)

    def end(self) -> None:
        """No longer lead; nothing is relied on from here."""
        self.leading = False
        self.valid_until_s = 0.0

    def release(self) -> Bid | None:
        """Return the write that lets others in at once, or None when the lease is not ours to release."""
        if self._seen is None or self._seen.holder != self.identity:
            return None
        return Bid(version=self._seen.version, holder="", lease_s=RELEASED_S, transitions=self._seen.transitions)

    def wait_s(self, now_s: float, failed: bool, uniform: float) -> float:
        """Seconds until the next turn; `uniform` in [0, 1) spreads candidates (it only ever makes the wait shorter)."""
        pace_s = self.times.retry_s if failed else self.times.renew_every_s
        if not self.leading and not failed:
            pace_s = max(min(pace_s, self.free_at_s() - now_s), 0.05)
        return pace_s * (1.0 - self.times.jitter_fraction * uniform)

    def _bid(self, seen: LeaseRecord, transitions: int, *, renewal: bool) -> Bid:
        return Bid(
            version=seen.version,
            holder=self.identity,
            lease_s=self.times.lease_s,
            transitions=transitions,
            renewal=renewal,
        )
