"""Settings read by the core; every weight is sized against real prices in its comment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from scheduler.domain.problem import Penalties


class Mode(StrEnum):
    """What a policy may do: look, advise, act."""

    OBSERVE = "Observe"
    ADVISE = "Advise"
    DISPATCH = "Dispatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveBudget:
    """Iteration budgets: they, not the clock, end a solve, so that a plan is reproducible. `guard_s` is the emergency brake."""

    bundle_steps: int = 150
    master_rounds: int = 4
    mip_nodes: int = 200
    dive_batches: int = 150
    target_gap: float = 0.004
    guard_s: float = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Levers:
    """Which levers the plan may use; the ablation switches them off one by one."""

    plant: bool = True
    shifting: bool = True
    pausing: bool = True
    capping: bool = True

    def __and__(self, other: Levers) -> Levers:
        """The levers that both allow."""
        return Levers(
            plant=self.plant and other.plant,
            shifting=self.shifting and other.shifting,
            pausing=self.pausing and other.pausing,
            capping=self.capping and other.capping,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonLevers:
    """Levers of a part of the year: local days as "MM-DD", both of them included; it may wrap the year."""

    first_day: str
    last_day: str
    levers: Levers

    def holds_on(self, local_day: date) -> bool:
        """Whether a local day lies in the season."""
        day = f"{local_day:%m-%d}"
        if self.first_day <= self.last_day:
            return self.first_day <= day <= self.last_day
        return day >= self.first_day or day <= self.last_day


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `decide` needs besides site and snapshot.

    fine_slots: slots that are steps of their own; hourly_slots: slots after them in steps of an hour, before longer ones.
    pump_slots: heat pumps are on or off, not a little on, in steps that begin in so many first slots, at least in the commit
    window. More costs time and, with forecasts as they are, gained nothing on two weeks; an all-knowing plan needs it.
    stop_margin_fraction: a stop on a forecast must gain this much more than it costs (value.md: unsure stops lose).
    capacity_quantile: quantile of a job's duration used to reserve GPUs. arrival_weight: share of the expected arrivals that
    is planned as load: what comes is lumpy where the forecast is smooth, so some work in hand is kept (docs/forecasts.md).
    weather_error_c: standard deviation of a told outdoor temperature a day ahead; heat demand's band is widened by it.
    replan_tolerance: relative input change under which a cycle may keep its plan (0: never).
    seasons: parts of the year with levers of their own; `levers` holds outside them. `in_force` takes the one of an instant.
    """

    mode: Mode = Mode.OBSERVE
    slot_s: int = 900
    horizon_slots: int = 192
    fine_slots: int = 24
    commit_slots: int = 4
    pump_slots: int = 0
    hourly_slots: int = 192
    cycle_s: int = 3600
    lease_s: float = 120.0
    max_hold_s: float = 259200.0
    max_held_jobs: int = 100000
    stop_margin_fraction: float = 1.2
    capacity_quantile: float = 0.7
    arrival_weight: float = 0.6
    replan_tolerance: float = 0.0
    plan_max_age_s: float = 10800.0
    max_fill_s: float = 10800.0
    weather_error_c: float = 1.0
    levers: Levers = field(default_factory=Levers)
    seasons: tuple[SeasonLevers, ...] = ()
    budget: SolveBudget = field(default_factory=SolveBudget)
    penalties: Penalties = field(default_factory=Penalties)
    seed: int = 0

    def in_force(self, at_utc: datetime, time_zone: str) -> Settings:
        """The settings of a cycle at an instant: the levers of the season of that local day, for the whole plan."""
        if not self.seasons:
            return self
        today = at_utc.astimezone(ZoneInfo(time_zone)).date()
        levers = next((season.levers for season in self.seasons if season.holds_on(today)), self.levers)
        return replace(self, levers=levers, seasons=())

    def limited_to(self, levers: Levers) -> Settings:
        """The same with no lever, in any season, that `levers` switches off."""
        seasons = tuple(replace(season, levers=season.levers & levers) for season in self.seasons)
        return replace(self, levers=self.levers & levers, seasons=seasons)
