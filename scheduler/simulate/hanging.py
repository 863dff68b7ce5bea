"""A solver that hangs when it is told to, and what the loop makes of it."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.domain.decision import Decision
from scheduler.domain.plan import Plan
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.loop.decide import decide_degraded
from scheduler.ports import Decider
from scheduler.simulate.faults import Hang


class HangingDecider:
    """A decider that hangs in stated windows: what comes back then is what the loop makes of a killed solver."""

    def __init__(self, inner: Decider, hangs: Iterable[Hang], start_timestamp_s: float) -> None:
        """Wrap a decider; `start_timestamp_s` is the start of the scenario since 1970."""
        self.inner, self.hangs, self.start_timestamp_s = inner, tuple(hangs), start_timestamp_s

    async def decide(self, site: Site, snapshot: Snapshot, settings: Settings, last: Plan | None) -> Decision:
        """Decide, or be ended."""
        now_s = snapshot.observed_utc.timestamp() - self.start_timestamp_s
        if any(hang.start_s <= now_s < hang.end_s for hang in self.hangs):
            reason = f"solver overran {settings.budget.guard_s:g} s and was ended"
            return decide_degraded(site, snapshot, settings, last=last, reason=reason)
        return await self.inner.decide(site, snapshot, settings, last)
