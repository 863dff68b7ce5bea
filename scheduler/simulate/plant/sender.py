"""Schedules out of thin air: what a demonstration shows to a plant where no cluster plans. Their reason says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from scheduler.core.publishing.message import RESOLUTION_S, Envelope, Kind, heat_schedule
from scheduler.domain.plan import Offer
from scheduler.domain.time import TimeGrid
from scheduler.simulate.plant.network import standard_noise
from scheduler.simulate.plant.spec import PlantSpec

SLOTS = 96
GATE_HOUR = 10
SENDER_NOISE = 7
# Shares of the network's peak: what a cluster half its size gives, and how far the plan of an hour strays from it.
HEAT_FRACTION, STRAY_FRACTION, MORE_FRACTION = 0.45, 0.06, 0.65
FIRM_OF_P10 = 0.9
SHORTFALL = 0.1
VALID = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUp:
    """Who sends, to which plant."""

    site_id: str
    plug_id: str
    plant: PlantSpec

    def schedule(
        self, now_utc: datetime, sequence: int, *, withdrawn: bool = False, morning_boiler: bool = True
    ) -> dict[str, object]:
        """The HeatSchedule that is sent at `now_utc`: a day of quarter hours from the one that runs.

        Args:
            now_utc: when.
            sequence: its number; 0 is the first.
            withdrawn: a cancel.
            morning_boiler: ask for a boiler from 5 to 8 UTC, when the houses draw more than there is.
        """
        place = int(now_utc.timestamp()) // RESOLUTION_S * RESOLUTION_S
        grid = TimeGrid(start_utc=datetime.fromtimestamp(place, now_utc.tzinfo), slot_s=RESOLUTION_S, slots=SLOTS)
        peak_kw = self.plant.network.peak_kw
        stray = [standard_noise(self.plant.seed, SENDER_NOISE, grid.time_of(slot)) for slot in range(SLOTS)]
        share = np.clip(HEAT_FRACTION + STRAY_FRACTION * np.array(stray), 0.1, MORE_FRACTION)
        heat_kw = share * peak_kw * (0.0 if withdrawn else 1.0)
        firm = now_utc.hour >= GATE_HOUR and not withdrawn
        boiler_kw = 0.25 * peak_kw if morning_boiler and 5 <= now_utc.hour < 8 else 0.0
        offer = Offer(
            offtake_id=self.plant.offtake_id,
            plug_id=self.plug_id,
            plan_id=f"made-up-{sequence}",
            issued_utc=now_utc,
            valid_until_utc=now_utc + VALID,
            grid=grid,
            p50_kw=heat_kw,
            p10_kw=heat_kw * 0.85,
            p90_kw=heat_kw * 1.1,
            firm_kw=heat_kw * 0.85 * FIRM_OF_P10 * (1.0 if firm else 0.0),
            min_kw=np.zeros(SLOTS),
            max_kw=heat_kw * 1.2,
            supply_c=np.full(SLOTS, self.plant.network.supply_mild_c),
            return_max_c=self.plant.network.return_c + 3.0,
            shortfall_probability=np.full(SLOTS, SHORTFALL),
            boiler_request_kw=boiler_kw,
            advisory=False,
        )
        first, kind = sequence == 0, Kind.FIRM if firm else Kind.UPDATE
        envelope = Envelope(
            site_id=self.site_id,
            meter_point_id=self.plant.meter_point_id,
            sequence=sequence,
            supersedes=None if first else sequence - 1,
            kind=Kind.CANCEL if withdrawn else Kind.PLAN if first else kind,
            reason="made up for a demonstration: no cluster stands behind it",
        )
        return heat_schedule(offer, envelope)
