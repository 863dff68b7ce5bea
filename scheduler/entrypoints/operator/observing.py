"""The operator's Observer: stores, sources and the kept past as one snapshot; nothing here waits for anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.view import Seen as ClusterSeen
from scheduler.core.accounting.going import caught_up
from scheduler.domain.observed import Past, SourceReading
from scheduler.domain.snapshot import Commitment, PlantState, Snapshot
from scheduler.loop.snapshot import Seen, snapshot_of

Readings = Callable[[datetime], Sequence[SourceReading]]
Plants = Callable[[datetime], Sequence[PlantState]]
Promised = Callable[[datetime], Sequence[Commitment]]


def nobody(_now_utc: datetime) -> tuple[()]:
    """Nothing is known."""
    return ()


class ClusterObserver:
    """Observer of one policy's part of the cluster."""

    def __init__(
        self,
        desk: Callable[[], Desk],
        past: Callable[[], Past],
        readings: Readings,
        *,
        blind_s: Callable[[], float | None],
        plants: Plants = nobody,
        promised: Promised = nobody,
    ) -> None:
        """Observe.

        Args:
            desk: the policy's desk as it is now.
            past: the kept past, and what was learned of the jobs that go on.
            readings: believed readings of all sources.
            blind_s: how long the API server has not spoken about jobs, pods or nodes; None before the first list.
            plants: what heat plants tell of themselves.
            promised: firm heat that binds.
        """
        self._desk, self._past, self._readings = desk, past, readings
        self._blind_s, self._plants, self._promised = blind_s, plants, promised
        self._sequence = 0
        self.seen: ClusterSeen | None = None

    def taken(self) -> Mapping[str, JobView]:
        """The jobs of the last snapshot, once: kept until the next one they would hold on to every object as it was then."""
        seen, self.seen = self.seen, None
        return {} if seen is None else seen.views

    async def snapshot(self, now_utc: datetime) -> Snapshot:
        """Everything that is known at `now_utc`."""
        desk = self._desk()
        self._sequence += 1
        self.seen = desk.reader.seen(now_utc)
        blind_s, past = self._blind_s(), self._past()
        seen = Seen(
            observed_utc=now_utc,
            sequence=self._sequence,
            jobs=caught_up(self.seen.states(), past.going, now_utc),
            jobs_seen_utc=None if blind_s is None else now_utc - timedelta(seconds=blind_s),
            past=past,
            readings=tuple(self._readings(now_utc)),
            plants=tuple(self._plants(now_utc)) or unknown_plants(desk),
            available_gpus=self.seen.available_gpus(),
            commitments=tuple(self._promised(now_utc)),
        )
        return snapshot_of(desk.governance.site, seen)


def unknown_plants(desk: Desk) -> tuple[PlantState, ...]:
    """Plugs of which no plant has told anything: their tanks are not known."""
    return tuple(PlantState(plug_id=plug.plug_id, tank_level_kwh=None) for plug in desk.governance.site.plugs)
