"""DispatchPolicy: how far the operator may go, and what it aims at."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from scheduler.config.kinds.base import DurationText, MonthDay, Name, Part, Resource, Status, about, fraction

Preset = Literal["compute-first", "balanced", "heat-first"]


class Objective(Part):
    """What the plan aims at."""

    preset: Preset = about(
        "compute-first: only the plant and caps follow heat and price, jobs start at once; balanced: jobs may also start "
        "later; heat-first: preemptible jobs may also be stopped. Levers stated below win over the preset.",
        default="heat-first",
    )
    carbon_price_eur_per_tonne: float = about(
        "Shadow price of CO2; the spot price already holds the emission allowance. 50 EUR/t at 100 g/kWh weighs 5 EUR/MWh.",
        "EUR/t",
        default=0.0,
        ge=0.0,
        le=10000.0,
    )


class LeverSwitches(Part):
    """Which levers a plan may use; not given: as the preset says."""

    plant: bool | None = about("Dispatch heat pump and tank by the plan.", default=None)
    shifting: bool | None = about("Start deferrable jobs later.", default=None)
    pausing: bool | None = about("Stop and resume preemptible jobs.", default=None)


class SecretRef(Part):
    """A Secret by its name."""

    name: Name = about("Name of a Secret in the operator's own namespace; its keys are the provider's credentials by name.")


class Source(Part):
    """One provider of a fallback chain."""

    provider: Annotated[str, Field(min_length=1, max_length=64)] = about(
        "Name of the provider; `heat-dispatch signals providers` lists them."
    )
    name: Name | None = about("What logs, metrics and conditions call it; not given: the provider's name.", default=None)
    max_age: DurationText | None = about(
        "Older data count as missing; not given: 24h for price and heat demand, 6h for carbon and weather.",
        "duration",
        default=None,
    )
    options: dict[str, str] = about("Options of the provider.", default_factory=dict)
    secret_ref: SecretRef | None = about("Where its credentials are; not given: it needs none.", default=None)

    @property
    def called(self) -> str:
        """Its own name, else the provider's."""
        return self.name or self.provider


class Sources(Part):
    """Ordered fallback chains: the first source that has something usable wins, later ones fill what it does not reach."""

    price: list[Source] = about("Electricity price.", default_factory=list, max_length=8)
    carbon: list[Source] = about("Carbon intensity, average or marginal throughout.", default_factory=list, max_length=8)
    weather: list[Source] = about("Outdoor temperature.", default_factory=list, max_length=8)
    heat_demand: list[Source] = about("Heat demand.", default_factory=list, max_length=8)


class Season(Part):
    """Part of the year with its own preset; local days, both ends included, may wrap the year."""

    name: Name = about("Name of the season.")
    first_day: MonthDay = about("First day, month-day.")
    last_day: MonthDay = about("Last day, month-day.")
    preset: Preset = about("Preset of the season.")


class Queue(Part):
    """Limits on what may be held."""

    max_held_jobs: int = about("Never more jobs held at a time.", "count", default=100000, ge=0)
    max_held_fraction: float = fraction("Never a larger share of the waiting jobs held; not read in this version.", default=1.0)
    max_hold: DurationText = about("Longest hold of one job.", "duration", default="72h")


class SpeedPoint(Part):
    """A point of the throughput curve."""

    draw_ratio: float = fraction("Capped draw over natural draw.")
    speed: float = fraction("Throughput over uncapped throughput.")


DEFAULT_CURVE = ((1.0, 1.0), (0.9, 0.98), (0.8, 0.95), (0.7, 0.91), (0.6, 0.84), (0.5, 0.72))


class Capping(Part):
    """Power caps: fast, reversible modulation."""

    rules: ClassVar = (("self.levels.exists(l, l == 1.0)", "levels must hold 1.0: no cap"),)

    enabled: bool = about("Jobs whose class allows it may be capped.", default=True)
    min_fraction: float = fraction("Never below this share of the GPU's largest limit.", default=0.5)
    levels: list[Annotated[float, Field(gt=0.0, le=1.0)]] = about(
        "Cap levels, as shares of the GPU's largest limit, falling.",
        "1",
        default_factory=lambda: [1.0, 0.85, 0.7, 0.57],
        min_length=1,
        max_length=8,
    )
    max_step_fraction: float = fraction("Largest change of a cap in one slot; not read in this version.", default=1.0)
    binding_draw_fraction: float = about("Mean draw under a cap that binds, over the cap.", "1", default=0.95, gt=0.0, le=1.0)
    speed_curve: list[SpeedPoint] = about(
        "What less power does to throughput, falling, linear in between.",
        default_factory=lambda: [SpeedPoint(draw_ratio=ratio, speed=speed) for ratio, speed in DEFAULT_CURVE],
        min_length=2,
        max_length=32,
    )


class Limits(Part):
    """Limits of the whole site."""

    site_max_kw: float | None = about("Largest electric import; none: no limit.", "kW", default=None, gt=0.0)


class Cycle(Part):
    """Rhythm and budget of planning."""

    slot: Literal["15m"] = about("Length of a slot.", "duration", default="15m")
    every: Literal["15m", "30m", "1h"] = about("Time between plans.", "duration", default="1h")
    horizon: DurationText = about("How far a plan looks ahead.", "duration", default="48h")
    solve_budget_seconds: float = about(
        "After this the best plan so far is taken; a minute later the solver is ended and a degraded plan takes over.",
        "s",
        default=25.0,
        gt=0.0,
        le=900.0,
    )
    gap: float = about("A plan proven this close to the best is good enough.", "1", default=0.004, ge=0.0, le=0.5)


class DispatchPolicySpec(Part):
    """Mode, aim, levers, limits."""

    mode: Literal["Observe", "Advise", "Dispatch"] = about(
        "Observe: look and report; Advise: also recommend; Dispatch: act.", default="Observe"
    )
    pools: list[Name] = about("Pools of this policy; none: all.", default_factory=list, max_length=256)
    objective: Objective = about("Aim.", default_factory=Objective)
    levers: LeverSwitches = about("Levers that differ from the preset.", default_factory=LeverSwitches)
    sources: Sources = about(
        "Where data come from; read by operator and `signals check`, not by plan and backtest.", default_factory=Sources
    )
    seasons: list[Season] = about(
        "Presets by season, by the local day of each planning cycle; outside them the objective's holds.",
        default_factory=list,
        max_length=12,
    )
    queue: Queue = about("Limits on holds.", default_factory=Queue)
    capping: Capping = about("Power caps.", default_factory=Capping)
    limits: Limits = about("Limits of the site.", default_factory=Limits)
    cycle: Cycle = about("Rhythm and budget.", default_factory=Cycle)


class DispatchPolicyStatus(Status):
    """What the policy does now."""

    mode: str | None = about("Mode in force.", default=None)
    plan_id: str | None = about("Plan in force.", default=None)
    held_jobs: int | None = about("Jobs held now.", "count", default=None, ge=0)


class DispatchPolicy(Resource):
    """How far the operator may go on which pools, and what it aims at."""

    plural: ClassVar = "dispatchpolicies"
    short_names: ClassVar = ("dpolicy",)
    columns: ClassVar = (
        ("Mode", "string", ".spec.mode"),
        ("Preset", "string", ".spec.objective.preset"),
        ("Held", "integer", ".status.heldJobs"),
        ("Sources", "string", ".status.conditions[?(@.type=='SourcesReady')].reason"),
        ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
    )

    kind: Literal["DispatchPolicy"] = about("DispatchPolicy.")
    spec: DispatchPolicySpec = about("Mode, aim, levers, limits.")
    status: DispatchPolicyStatus | None = about("Written by the operator.", default=None)
