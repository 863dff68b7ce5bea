"""Every strategy of a backtest by name: how its jobs queue, who steers the plant, and the parameters tried in hindsight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from scheduler.domain.settings import Levers, Mode, Settings
from scheduler.domain.world import Scenario
from scheduler.ports import Ledger
from scheduler.simulate.faults import Disturbances
from scheduler.simulate.hanging import HangingDecider
from scheduler.simulate.knowledge import Knowledge
from scheduler.simulate.outages import SourceOutage
from scheduler.simulate.planned import PlanGate, Planned
from scheduler.simulate.queueing import Discipline, OpenGate, Queue
from scheduler.simulate.rules import ByRule, FixedCapGate, HeatGate, PriceGate
from scheduler.simulate.truth import truth_of
from scheduler.simulate.world import Clockwork, Steering, World
from scheduler.units import S_PER_DAY, s_from_h

PERCENTILES = (30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0)
STRATEGIES = ("fifo", "easy_backfill", "price_threshold", "heat_greedy", "easy_fixed_cap", "plant_only", "ours")
PLANNING = ("plant_only", "ours")
LEVERS = ("plant", "shifting", "pausing", "capping")
# The farthest plan: seconds between plans, hours behind the last arrival, days at most.
FAR_CYCLE_S, FAR_DRAIN_H, FAR_DAYS = int(s_from_h(4.0)), 48.0, 14
PLANT_ALONE = Levers(plant=True, shifting=False, pausing=False, capping=False)

Seconds = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One run: a strategy, the parameter it tries (percentile or cap level), levers, what it is told in advance, or not at all.

    far: every plan reaches to the end of the window, in hourly steps with whole pump states, and there are four hours between
    plans: with everything told in advance that is the best plan we can make, carried out.
    """

    strategy: str
    parameter: float | None = None
    levers: Levers = field(default_factory=Levers)
    knowledge: Knowledge = field(default_factory=Knowledge)
    far: bool = False
    outages: tuple[SourceOutage, ...] = ()

    @property
    def planning(self) -> bool:
        """True when it runs the planner."""
        return self.strategy in PLANNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What all runs of a backtest share."""

    scenario: Scenario
    settings: Settings
    clockwork: Clockwork
    disturbances: Disturbances = field(default_factory=Disturbances)
    clock_s: Seconds | None = None


def candidates(strategy: str, scenario: Scenario) -> tuple[RunSpec, ...]:
    """Runs of a strategy; more than one when its parameter is chosen in hindsight."""
    if strategy == "price_threshold":
        return tuple(RunSpec(strategy=strategy, parameter=value) for value in PERCENTILES)
    if strategy == "easy_fixed_cap":
        return tuple(RunSpec(strategy=strategy, parameter=level) for level in scenario.site.caps.levels)
    if strategy == "plant_only":
        return (RunSpec(strategy=strategy, levers=PLANT_ALONE),)
    return (RunSpec(strategy=strategy),)


def without(lever: str) -> RunSpec:
    """Our strategy with one lever switched off."""
    return RunSpec(strategy="ours", levers=replace(Levers(), **{lever: False}))


def build(spec: RunSpec, stage: Stage, ledger: Ledger | None = None) -> tuple[World, Steering]:
    """Set up the world of one run and who steers it."""
    if spec.planning:
        return build_planned(spec, stage, ledger)
    queue = Queue(gate_of(spec, stage), Discipline.STRICT if spec.strategy == "fifo" else discipline_of(spec))
    return World(stage.scenario, queue, stage.clockwork, Knowledge(), stage.disturbances), ByRule()


def discipline_of(spec: RunSpec) -> Discipline:
    """EASY where jobs are released as they come; first fit where a gate releases them in bursts."""
    return Discipline.FIRST_FIT if spec.strategy in ("price_threshold", "heat_greedy") else Discipline.EASY


def gate_of(spec: RunSpec, stage: Stage) -> OpenGate | FixedCapGate | PriceGate | HeatGate:
    """What releases the jobs of a rule."""
    scenario = stage.scenario
    match spec.strategy:
        case "fifo" | "easy_backfill":
            return OpenGate()
        case "price_threshold":
            return PriceGate(scenario, spec.parameter or 0.0)
        case "heat_greedy":
            return HeatGate(scenario, truth_of(scenario, stage.clockwork.slot_s))
        case "easy_fixed_cap":
            return FixedCapGate(scenario.site, spec.parameter or 1.0)
    raise KeyError(spec.strategy)


def build_planned(spec: RunSpec, stage: Stage, ledger: Ledger | None) -> tuple[World, Steering]:
    """A strategy that plans: ours with the levers of the policy and its seasons, `plant_only` with the plant alone."""
    acts = spec.strategy == "ours"
    given = stage.settings.limited_to(spec.levers) if acts else replace(stage.settings, levers=spec.levers, seasons=())
    settings = replace(
        given,
        mode=Mode.DISPATCH,
        slot_s=stage.clockwork.slot_s,
        cycle_s=stage.clockwork.cycle_s,
        arrival_weight=0.0 if spec.knowledge.known_arrivals else stage.settings.arrival_weight,
    )
    clockwork = stage.clockwork
    if spec.far:
        settings, clockwork = far_sighted(settings, stage.scenario.days), replace(clockwork, cycle_s=FAR_CYCLE_S)
    steering = Planned(settings, acts=acts, clock_s=stage.clock_s, ledger=ledger)
    if stage.disturbances.hangs:
        start_s = stage.scenario.start_utc.timestamp()
        steering.decider = HangingDecider(steering.decider, stage.disturbances.hangs, start_s)
    gate = PlanGate(steering) if acts else OpenGate()
    horizon = timedelta(seconds=settings.horizon_slots * settings.slot_s)
    told = replace(spec.knowledge, horizon=horizon)
    disturbances = replace(stage.disturbances, sources=(*stage.disturbances.sources, *spec.outages))
    world = World(stage.scenario, Queue(gate, Discipline.EASY), clockwork, told, disturbances)
    if isinstance(gate, PlanGate):
        gate.world = world
    return world, steering


def far_sighted(settings: Settings, days: int) -> Settings:
    """Plans to the end of the window; nothing is unsure, so a stop needs no margin."""
    slots = int(min(days, FAR_DAYS) * S_PER_DAY + s_from_h(FAR_DRAIN_H)) // settings.slot_s
    return replace(
        settings,
        horizon_slots=slots,
        hourly_slots=slots,
        pump_slots=slots,
        cycle_s=FAR_CYCLE_S,
        stop_margin_fraction=0.0,
    )
