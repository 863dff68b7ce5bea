"""All reflectors of a process: started together, asked together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.kubernetes.runtime.limiter import Sleep
from scheduler.adapters.kubernetes.runtime.reflector import Reflector


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheAge:
    """One cache as health, readiness and metrics see it."""

    name: str
    objects: int
    synced: bool
    missing: bool
    event_s: float
    turn_s: float
    relists: int
    lists: Mapping[str, int]


class Caches:
    """The reflectors of a process; the standby keeps them warm too."""

    def __init__(self, reflectors: Iterable[Reflector]) -> None:
        """Take reflectors over, not yet started."""
        self.reflectors = tuple(reflectors)
        for reflector in self.reflectors:
            # Whatever is wrong, it is told once for all kinds.
            reflector.outage = self.reflectors[0].outage
            reflector.outage.on_recovery.append(reflector.hurry)

    def start(self) -> None:
        """Start every reflector."""
        for reflector in self.reflectors:
            reflector.start()

    def stop(self) -> None:
        """End every watch first, then wait for the threads."""
        for reflector in self.reflectors:
            reflector.stop(timeout_s=0.0)
        for reflector in self.reflectors:
            reflector.stop()

    def unsynced(self) -> tuple[str, ...]:
        """Kinds of which no whole list has been seen."""
        return tuple(reflector.name for reflector in self.reflectors if not reflector.store.synced)

    def wait_synced(self, within_s: float, clock: MonotonicClock, sleep: Sleep) -> tuple[str, ...]:
        """Wait until every cache has seen a whole list, or the process is to stop; returns those that have not by then."""
        end_s = clock.monotonic_s() + within_s
        while (missing := self.unsynced()) and clock.monotonic_s() < end_s and not sleep(0.05):
            pass
        return missing

    def wait_sure(self, names: Collection[str], within_s: float, clock: MonotonicClock, sleep: Sleep) -> None:
        """Wait until all of these kinds are listed anew after a fault, so long at most, or until the process is to stop."""
        end_s = clock.monotonic_s() + within_s
        while self.doubtful(names) and clock.monotonic_s() < end_s and not sleep(0.05):
            pass

    def ages(self) -> tuple[CacheAge, ...]:
        """Every cache's age now."""
        return tuple(
            CacheAge(
                name=reflector.name,
                objects=reflector.store.count(),
                synced=reflector.store.synced,
                missing=reflector.missing,
                event_s=reflector.age_of_last_event_s(),
                turn_s=reflector.age_of_last_turn_s(),
                relists=reflector.relists,
                lists=reflector.lists,
            )
            for reflector in self.reflectors
        )

    def doubtful(self, names: Collection[str]) -> bool:
        """True while one of these kinds was not listed anew after a fault."""
        return any(reflector.doubtful for reflector in self.reflectors if reflector.name in names)

    def stale(self, limit_s: float) -> tuple[str, ...]:
        """Kinds of which the API server has said nothing for longer than `limit_s`; a kind it does not have is not stale."""
        return tuple(age.name for age in self.ages() if age.event_s > limit_s and not age.missing)
