"""The rules that a plan must beat: what jobs do under each; the plant runs by the stated rule under all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from scheduler.core.thermal.host import power_points
from scheduler.core.thermal.plant import margin_eur_per_kwh, plant_model
from scheduler.domain.decision import PlantSetpoint
from scheduler.domain.plan import Plan
from scheduler.domain.site import Site
from scheduler.domain.world import Scenario
from scheduler.simulate.knowledge import prices_known_until
from scheduler.simulate.truth import Truth, on_slots
from scheduler.simulate.virtual_cluster import VirtualCluster
from scheduler.simulate.virtual_job import VirtualJob
from scheduler.simulate.virtual_plant import heat_of_pools
from scheduler.units import kw_from_w

if TYPE_CHECKING:
    from scheduler.simulate.world import World

# Latest start of a rule: the deadline less this many declared durations, since some jobs outrun what they declare.
SAFE_DURATIONS = 1.5


class ByRule:
    """Steering without a plan: no setpoints, so every plug runs by the stated rule."""

    def cycle(self, world: World) -> None:
        """Decide nothing."""

    def setpoints(self, world: World) -> Mapping[str, PlantSetpoint]:
        """No wishes."""
        return {}

    def plan(self) -> Plan | None:
        """No plan."""
        return None


def latest_start_s(job: VirtualJob) -> float:
    """Instant at which a waiting rule must let a job go: its longest delay, or its deadline with room for overrunning."""
    ends = [job.submit_s + job.job_class.max_delay_s]
    if job.due_s is not None:
        ends.append(job.due_s - SAFE_DURATIONS * job.declared_s)
    return min(ends)


class FixedCapGate:
    """Releases at once, with one cap level for every job whose class allows it (the next faster level where it does not)."""

    def __init__(self, site: Site, level: float) -> None:
        """Keep the level."""
        self.site, self.level = site, level

    def submitted(self, cluster: VirtualCluster, job: VirtualJob) -> None:
        """Cap and release."""
        power = cluster.pools[job.pools[0]].power
        declared_w = job.truth.job.natural_power_w_per_gpu or job.natural_w
        points = power_points(self.site.caps, power, declared_w, job.job_class.max_slowdown_fraction)
        allowed = [point for point in points if point.level >= self.level - 1e-9]
        if allowed[-1].level < 1.0:
            cluster.set_cap(job, allowed[-1].cap_w)
        cluster.release(job)

    def opens(self, cluster: VirtualCluster, job: VirtualJob) -> bool:
        """Always."""
        return True


class PriceGate:
    """Opens while the price is at most a percentile of the published prices still to come, the present one included."""

    def __init__(self, scenario: Scenario, percentile: float) -> None:
        """Keep the prices; `percentile` in [0, 100]."""
        self.scenario, self.percentile = scenario, percentile
        series = scenario.series.price_eur_per_kwh
        self.grid, self.values = series.grid, on_slots(series, series.grid)[0]
        self._cheap: tuple[int, bool] = (-1, False)

    def submitted(self, cluster: VirtualCluster, job: VirtualJob) -> None:
        """Wait for a low price."""
        cluster.hold(job, max(cluster.now_s, latest_start_s(job)))

    def opens(self, cluster: VirtualCluster, job: VirtualJob) -> bool:
        """Open for all while the price is low."""
        now_utc = cluster.clock.now_utc()
        slot = self.grid.slot_of(now_utc)
        if self._cheap[0] != slot:
            until = prices_known_until(now_utc, self.scenario.site.time_zone)
            known = self.values[slot : max(slot + 1, self.grid.slot_of(until))]
            self._cheap = slot, bool(self.values[slot] <= np.percentile(known, self.percentile))
        return self._cheap[1]


class HeatGate:
    """Opens for a job whose heat the customers would take in full, on top of what the cluster gives already.

    The demand of the next two hours is taken to be the last one measured; a price at which delivering does not pay closes the
    gate.
    """

    def __init__(self, scenario: Scenario, truth: Truth) -> None:
        """Keep what is measured; only its past is read."""
        self.truth = truth
        self.pools = scenario.site.pools
        self.models = {plug.plug_id: plant_model(plug, scenario.site.offtakes) for plug in scenario.site.plugs}
        self.lag_slots = max(1, scenario.series.heat_demand_kw.grid.slot_s // truth.grid.slot_s)

    def submitted(self, cluster: VirtualCluster, job: VirtualJob) -> None:
        """Wait for demand."""
        cluster.hold(job, max(cluster.now_s, latest_start_s(job)))

    def opens(self, cluster: VirtualCluster, job: VirtualJob) -> bool:
        """Compare the heat of the cluster with this job in it against the demand last measured."""
        pool_id = cluster.fitting_pool(job)
        if pool_id is None:
            return False
        model = self.models[cluster.pools[pool_id].plug_id]
        slot = min(self.truth.grid.slots - 1, int(cluster.now_s // self.truth.grid.slot_s))
        electricity = float(self.truth.energy_eur_per_kwh[slot]) + self.truth.adder_eur_per_kwh
        tariff = max((float(self.truth.heat_eur_per_kwh[one.offtake_id][slot]) for one in model.offtakes), default=0.0)
        if margin_eur_per_kwh(model, tariff, electricity) <= 0.0:
            return False
        pools = [pool for pool in self.pools if pool.plug_id == model.plug.plug_id]
        extra_kw = {pool.pool_id: extra_draw_kw(cluster, pool.pool_id) for pool in pools}
        extra_kw[pool_id] += job.gpus * kw_from_w(job.natural_w - cluster.pools[pool_id].power.gpu_idle_w)
        heat_kw = heat_of_pools(model.plug, pools, extra_kw)[1] / model.recovered_share
        measured = max(0, slot // self.lag_slots * self.lag_slots - 1)
        demand_kw = sum(float(self.truth.demand_kw[one.offtake_id][measured]) for one in model.offtakes)
        return heat_kw <= min(demand_kw, model.rated_heat_kw)


def extra_draw_kw(cluster: VirtualCluster, pool_id: str) -> float:
    """GPU draw of running jobs above idle in a pool, kW."""
    idle_w = cluster.pools[pool_id].power.gpu_idle_w
    return sum(job.gpus * kw_from_w(job.draw_w - idle_w) for job in cluster.running.values() if job.pool_id == pool_id)
