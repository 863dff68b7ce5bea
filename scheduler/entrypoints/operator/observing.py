"""The operator's Observer: stores, sources and the kept past as one snapshot; nothing here waits for anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.view import Seen as ClusterSeen
from scheduler.core.accounting.going import caught_up
from scheduler.core.accounting.told import MAX_AGE_S
from scheduler.core.accounting.underway import with_delivered
from scheduler.core.planning.problem import plan_grid
from scheduler.domain.observed import DELIVERED_KW, Past, SourceReading, key_of
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Commitment, PlantState, Snapshot, TakeLimit
from scheduler.domain.time import Series
from scheduler.loop.snapshot import Seen, snapshot_of

Readings = Callable[[datetime], Sequence[SourceReading]]
Plants = Callable[[datetime], Sequence[PlantState]]
Ages = Callable[[Sequence[SourceReading]], Mapping[str, float]]
Promised = Callable[[datetime], Sequence[Commitment]]
Limits = Callable[[datetime], Sequence[TakeLimit]]
Metered = Callable[[datetime], Mapping[str, Series]]


def nobody(_now_utc: datetime) -> tuple[()]:
    """Nothing is known."""
    return ()


def nothing_metered(_now_utc: datetime) -> Mapping[str, Series]:
    """No meter is read."""
    return {}


def usual_ages_s(_readings: Sequence[SourceReading]) -> Mapping[str, float]:
    """Nothing is stated of any source."""
    return MAX_AGE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Between us and heat plants: states of plugs, firm heat that binds, what customers take at most and were given, in kW."""

    states: Plants = nobody
    promised: Promised = nobody
    limits: Limits = nobody
    metered: Metered = nothing_metered


class ClusterObserver:
    """Observer of one policy's part of the cluster."""

    def __init__(
        self,
        desk: Callable[[], Desk],
        past: Callable[[], Past],
        readings: Readings,
        *,
        blind_s: Callable[[], float | None],
        said: Said | None = None,
        ages_s: Ages = usual_ages_s,
    ) -> None:
        """Observe.

        Args:
            desk: the policy's desk as it is now.
            past: the kept past, and what was learned of the jobs that go on.
            readings: believed readings of all sources.
            blind_s: how long the API server has not spoken about jobs, pods or nodes; None before the first list.
            said: what heat plants tell of themselves, and what is promised to them.
            ages_s: how old readings may be, by quantity.
        """
        self._desk, self._past, self._readings = desk, past, readings
        self._blind_s, self._said = blind_s, said or Said()
        self._ages_s, self._sequence = ages_s, 0
        self.seen: ClusterSeen | None = None
        # What sources said at the last snapshot.
        self.told: tuple[SourceReading, ...] = ()

    def taken(self) -> Mapping[str, JobView]:
        """The jobs of the last snapshot, once: kept until the next one they would hold on to every object as it was then."""
        seen, self.seen = self.seen, None
        return {} if seen is None else seen.views

    async def snapshot(self, now_utc: datetime) -> Snapshot:
        """Everything that is known at `now_utc`."""
        desk = self._desk()
        self._sequence += 1
        self.seen = desk.reader.seen(now_utc)
        self.told = readings = tuple(self._readings(now_utc))
        blind_s, past = self._blind_s(), self._past()
        limits = tuple(self._said.limits(now_utc))
        seen = Seen(
            observed_utc=now_utc,
            sequence=self._sequence,
            jobs=caught_up(self.seen.states(), past.going, now_utc),
            jobs_seen_utc=None if blind_s is None else now_utc - timedelta(seconds=blind_s),
            past=past,
            readings=readings,
            plants=tuple(self._said.states(now_utc)) or unknown_plants(desk),
            available_gpus=self.seen.available_gpus(),
            commitments=self._promised(desk, past, limits, now_utc),
            take_limits=limits,
        )
        return snapshot_of(desk.governance.site, seen, self._ages_s(readings))

    def _promised(self, desk: Desk, past: Past, limits: Sequence[TakeLimit], now_utc: datetime) -> tuple[Commitment, ...]:
        """What binds, with what has come of the period under way when the next plan begins."""
        promises = tuple(self._said.promised(now_utc))
        if not promises:
            return ()
        site, begins_utc = desk.governance.site, plan_grid(now_utc, desk.governance.settings).start_utc
        measured_kw = {**handed_over_kw(site, past), **self._said.metered(now_utc)}
        return with_delivered(promises, site.offtakes, measured_kw, begins_utc, limits)


def handed_over_kw(site: Site, past: Past) -> dict[str, Series]:
    """Observed heat of the plugs that have one customer alone, by customer: it is all his."""
    plugs = [one.plug_id for one in site.offtakes]
    kept = {one.offtake_id: past.series.get(key_of(DELIVERED_KW, one.plug_id)) for one in site.offtakes}
    return {
        one.offtake_id: series
        for one in site.offtakes
        if plugs.count(one.plug_id) == 1 and (series := kept[one.offtake_id]) is not None
    }


def unknown_plants(desk: Desk) -> tuple[PlantState, ...]:
    """Plugs of which no plant has told anything: their tanks are not known."""
    return tuple(PlantState(plug_id=plug.plug_id, tank_level_kwh=None) for plug in desk.governance.site.plugs)
