"""Two candidates, one Lease, a network that delays and loses, processes that stop and go on: in real seconds."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from scheduler.adapters.kubernetes.runtime.lease import Bid, Contest, LeaseRecord, LeaseTimes


@dataclass(frozen=True)
class Trip:
    """One request's fate: seconds to the server, seconds back, whether each way gets lost, a pause before the next step."""

    there_s: float = 0.0
    back_s: float = 0.0
    lost_there: bool = False
    lost_back: bool = False
    pause_s: float = 0.0


@dataclass
class Server:
    """Holds the Lease; every write needs the version that it replaces."""

    record: LeaseRecord | None = None
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def write(self, bid: Bid) -> str | None:
        """Take a bid if it is made on what is there; returns the new version, or None."""
        if bid.version != ("" if self.record is None else self.record.version):
            return None
        version = str(next(self.versions))
        self.record = LeaseRecord(version=version, holder=bid.holder, lease_s=bid.lease_s, transitions=bid.transitions)
        return version


@dataclass
class Candidate:
    """A process with its own clock, which runs `rate` times as fast as real time from an arbitrary start."""

    name: str
    offset_s: float
    rate: float
    trips: list[Trip]
    times: LeaseTimes
    relied: list[tuple[float, float]] = field(default_factory=list)
    """Real times in which this process may have written."""

    def __post_init__(self) -> None:
        self.contest = Contest(self.name, self.times)
        self._trips = itertools.cycle(self.trips or [Trip()])

    def clock_s(self, real_s: float) -> float:
        return self.offset_s + self.rate * real_s

    def real_s(self, clock_s: float) -> float:
        return (clock_s - self.offset_s) / self.rate

    def trip(self) -> Trip:
        return next(self._trips)

    def relies(self, from_s: float) -> None:
        """Leadership is relied on from now until its end as promised, also by threads that nothing can reach any more."""
        self.relied.append((from_s, self.real_s(self.contest.valid_until_s)))


class World:
    """Plays turns as `Election.turn` takes them, but with every step of a turn at its own moment."""

    def __init__(self, candidates: list[Candidate], deletions_s: list[float], end_s: float) -> None:
        self.server = Server()
        self.end_s = end_s
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        for candidate in candidates:
            self.at(0.0, partial(self.turn, who=candidate))
        for moment in deletions_s:
            self.at(moment, self.delete)

    def at(self, moment_s: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (moment_s, next(self._order), what))

    def run(self) -> None:
        while self._events and self._events[0][0] <= self.end_s:
            moment_s, _, what = heapq.heappop(self._events)
            what(moment_s)

    def delete(self, _now_s: float) -> None:
        """An administrator deletes the Lease."""
        self.server.record = None

    def turn(self, now_s: float, who: Candidate) -> None:
        contest = who.contest
        if contest.overdue(who.clock_s(now_s)):
            contest.end()
        if contest.leading:
            self.bid(now_s, who)
        else:
            self.read(now_s, who, self.bid)

    def read(self, now_s: float, who: Candidate, then: Callable[[float, Candidate], None]) -> None:
        trip = who.trip()

        def back(at_s: float, record: LeaseRecord | None) -> None:
            who.contest.saw(record, who.clock_s(at_s))
            self.at(at_s + trip.pause_s, lambda later_s: then(later_s, who))

        def there(at_s: float) -> None:
            record = self.server.record
            if trip.lost_there or trip.lost_back:
                self.at(at_s + trip.back_s, lambda later_s: self.rest(later_s, who, failed=True))
            else:
                self.at(at_s + trip.back_s, lambda later_s: back(later_s, record))

        self.at(now_s + trip.there_s, there)

    def bid(self, now_s: float, who: Candidate) -> None:
        bid = who.contest.bid(who.clock_s(now_s))
        if bid is None:
            self.rest(now_s, who, failed=False)
            return
        trip, sent_s = who.trip(), who.clock_s(now_s)

        def back(at_s: float, version: str | None) -> None:
            if version is None:
                self.read(at_s, who, self.again)
                return
            if who.contest.accepted(bid, version, sent_s, who.clock_s(at_s)):
                who.relies(at_s)
            self.at(at_s + trip.pause_s, lambda later_s: self.rest(later_s, who, failed=False))

        def there(at_s: float) -> None:
            version = None if trip.lost_there else self.server.write(bid)
            if trip.lost_there or trip.lost_back:
                self.at(at_s + trip.back_s, lambda later_s: self.rest(later_s, who, failed=True))
            else:
                self.at(at_s + trip.back_s, lambda later_s: back(later_s, version))

        self.at(now_s + trip.there_s + trip.pause_s, there)

    def again(self, now_s: float, who: Candidate) -> None:
        """After a conflict: a leader who still holds the Lease bids once more, anybody else rests."""
        if who.contest.leading:
            self.bid(now_s, who)
        else:
            self.rest(now_s, who, failed=False)

    def rest(self, now_s: float, who: Candidate, *, failed: bool) -> None:
        if who.contest.overdue(who.clock_s(now_s)):
            who.contest.end()
        wait_s = who.contest.wait_s(who.clock_s(now_s), failed, 0.5) / who.rate
        self.at(now_s + wait_s, lambda later_s: self.turn(later_s, who))


def overlaps(one: Candidate, other: Candidate) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Pairs of times in which both may have written."""
    return [
        (mine, theirs)
        for mine in one.relied
        for theirs in other.relied
        if max(mine[0], theirs[0]) < min(mine[1], theirs[1]) - 1e-9
    ]
