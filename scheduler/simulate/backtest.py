"""The backtest: every strategy on the same scenario to its end, all extended to one common end, scored by one rule.

Arrivals stop at the end of the period; each run goes on until its jobs have ended. Then all worlds go on, by their own
strategy, to the end of the hour in which the last one drained: everybody pays for idle power alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from multiprocessing import get_context
from typing import Any

from scheduler.core.planning.bound.foresight import bound_for
from scheduler.core.planning.bound.problem import BoundBudget, BoundResult
from scheduler.domain.errors import Misconfigured
from scheduler.domain.settings import Settings
from scheduler.domain.world import Scenario
from scheduler.loop.child import end_with_parent
from scheduler.ports import Ledger
from scheduler.simulate.faults import Disturbances
from scheduler.simulate.foretold import foretold
from scheduler.simulate.invariants import InvariantLog
from scheduler.simulate.knowledge import ALL_KNOWN, Knowledge
from scheduler.simulate.outage_scripts import OutageScript
from scheduler.simulate.planned import Planned
from scheduler.simulate.score import Score, score
from scheduler.simulate.strategies import FAR_DAYS, LEVERS, STRATEGIES, RunSpec, Stage, build, candidates, without
from scheduler.simulate.truth import Truth
from scheduler.simulate.watch import cycle_numbers
from scheduler.simulate.world import Clockwork, Steering, World
from scheduler.units import S_PER_DAY

Seconds = Callable[[], float]
SWITCHES: dict[str, Knowledge] = {
    "true_prices": Knowledge(true_prices=True),
    "true_heat_and_weather": Knowledge(true_heat_and_weather=True),
    "true_durations": Knowledge(true_durations=True),
    "known_arrivals": Knowledge(known_arrivals=True),
    "all_known": ALL_KNOWN,
}
BEST_KNOWN = "best_all_known_plan"
FORESIGHT_PLAN = "foresight_plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a backtest runs.

    strategies: names out of `STRATEGIES`. ablation: also run ours without each lever. bound: also prove what no policy can
    beat. decomposition: also run ours with each truth told in advance and, beside a bound, the foresight plan. outages: also
    run ours with each of these scripts. workers: processes; ours runs in this one, so that it can be watched: on_step is given
    its world after each cycle, on_cycle the plain numbers of it (and of its other runs in this process). on_done is
    told the name of each finished run and how many are done of how many, on_bound the piece of how many that the bound is at,
    on_foresight when the search for the foresight plan begins.
    clock_s: a monotonic clock that can be pickled, for reported times.
    """

    cycle_s: int = 3600
    slot_s: int = 900
    strategies: tuple[str, ...] = STRATEGIES
    ablation: bool = True
    bound: bool = True
    bound_budget: BoundBudget | None = None
    decomposition: bool = False
    outages: tuple[OutageScript, ...] = ()
    workers: int = 1
    settings: Settings = field(default_factory=Settings)
    disturbances: Disturbances = field(default_factory=Disturbances)
    clock_s: Seconds | None = None
    on_done: Callable[[str, int, int], None] | None = None
    on_bound: Callable[[int, int], None] | None = None
    on_foresight: Callable[[], None] | None = None
    on_cycle: Callable[[Mapping[str, Any]], None] | None = None
    on_step: Callable[[World, Planned], None] | None = None
    ledger: Ledger | None = None


@dataclass(slots=True)
class Run:
    """One run and what came of it; `score` is set once all runs have reached the common end."""

    key: str
    spec: RunSpec
    world: World
    steering: Steering
    score: Score | None = None

    @property
    def total_eur(self) -> float:
        """Total cost; only after scoring."""
        assert self.score is not None
        return self.score.total_eur


@dataclass(slots=True)
class BacktestResult:
    """All runs by key (strategy names; `without_<lever>`; switches of knowledge), the bound, and what the times were."""

    scenario: Scenario
    options: Options
    end_utc: datetime
    runs: dict[str, Run]
    bound: BoundResult | None
    wall_s: float
    log: InvariantLog
    reference: Mapping[str, Any]
    candidates_eur: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def bound_eur(self) -> float | None:
        """The proven bound in EUR, None when it was not asked for."""
        return None if self.bound is None else self.bound.cost_eur

    def to_json(self) -> dict[str, Any]:
        """Everything as plain numbers, under the names of `docs/backtest.md`."""
        from scheduler.simulate.result import result_json

        return result_json(self)


def backtest(
    scenario: Scenario,
    options: Options | None = None,
    *,
    reference: Mapping[str, Any] | None = None,
) -> BacktestResult:
    """Run a backtest.

    Args:
        scenario: site, series and jobs.
        options: strategies, pace, extra runs, processes.
        reference: resolved parameters of the site, echoed in the result.

    Raises:
        Misconfigured: for an unknown strategy, or series that end before the jobs do.
    """
    chosen = options or Options()
    unknown = sorted(set(chosen.strategies) - set(STRATEGIES))
    if unknown:
        raise Misconfigured(f"unknown strategy {unknown[0]}", where="backtest", expected=", ".join(STRATEGIES))
    if chosen.outages and "ours" not in chosen.strategies:
        raise Misconfigured("outages of what?", where="backtest", expected="ours among the strategies: rules hear no source")
    began = chosen.clock_s() if chosen.clock_s is not None else 0.0
    stage = Stage(
        scenario=scenario,
        settings=chosen.settings,
        clockwork=Clockwork(slot_s=chosen.slot_s, cycle_s=chosen.cycle_s),
        disturbances=chosen.disturbances,
        clock_s=chosen.clock_s,
    )
    runs = run_all(specs_of(scenario, chosen), stage, chosen)
    end_s = max(run.world.clock.now_s for run in runs)
    for run in runs:
        run.world.run_until(run.steering, end_s)
        run.score = score(run.world)
    end_utc = scenario.start_utc + timedelta(seconds=end_s)
    truth, bound = runs[0].world.truth, None
    if chosen.bound:
        bound = bound_for(scenario, truth, end_utc, chosen.bound_budget, chosen.on_bound)
        if chosen.decomposition and scenario.days <= FAR_DAYS:
            if chosen.on_foresight is not None:
                chosen.on_foresight()
            runs += run_foretold(stage, truth, end_utc, bound)
    log = InvariantLog()
    for run in runs:
        log.add(run.world.log)
    check_bound(log, runs, None if bound is None else bound.cost_eur)
    return BacktestResult(
        scenario=scenario,
        options=chosen,
        end_utc=end_utc,
        runs=best_by_key(runs),
        bound=bound,
        wall_s=0.0 if chosen.clock_s is None else chosen.clock_s() - began,
        log=log,
        reference=reference or {},
        candidates_eur=candidate_costs(runs),
    )


def run_foretold(stage: Stage, truth: Truth, end_utc: datetime, bound: BoundResult) -> list[Run]:
    """The best plan found with everything known, carried out to the common end; none where it does not end all jobs by then."""
    if stage.disturbances != Disturbances():
        return []
    found = foretold(stage.scenario, truth, end_utc, bound, stage.clockwork)
    if found is None:
        return []
    world, steering = found
    world.run_until(steering, (end_utc - stage.scenario.start_utc).total_seconds())
    if not world.cluster.drained:
        return []
    spec = RunSpec(strategy=FORESIGHT_PLAN, knowledge=ALL_KNOWN)
    return [Run(key=FORESIGHT_PLAN, spec=spec, world=world, steering=steering, score=score(world))]


def specs_of(scenario: Scenario, options: Options) -> list[tuple[str, RunSpec]]:
    """Every run by key, the longest first, so that processes end together."""
    specs: list[tuple[str, RunSpec]] = []
    if "ours" in options.strategies:
        specs.append(("ours", RunSpec(strategy="ours")))
        if options.ablation:
            specs += [(f"without_{lever}", without(lever)) for lever in LEVERS]
        if options.decomposition:
            specs += [(name, RunSpec(strategy="ours", knowledge=told)) for name, told in SWITCHES.items()]
            specs.append((BEST_KNOWN, RunSpec(strategy="ours", knowledge=ALL_KNOWN, far=True)))
        specs += [(script.key, RunSpec(strategy="ours", outages=script.outages)) for script in options.outages]
    order = ("plant_only", "heat_greedy", "price_threshold", "easy_fixed_cap", "easy_backfill", "fifo")
    for name in order:
        if name in options.strategies:
            specs += [(name, spec) for spec in candidates(name, scenario)]
    return specs


@dataclass(slots=True)
class Teller:
    """Tells of every run that has ended, once, and how many have."""

    on_done: Callable[[str, int, int], None] | None
    total: int
    told: set[int] = field(default_factory=set)

    def ended(self, number: int, key: str) -> None:
        """Run `number` has ended."""
        if number in self.told:
            return
        self.told.add(number)
        if self.on_done is not None:
            self.on_done(key, len(self.told), self.total)


def run_all(specs: Sequence[tuple[str, RunSpec]], stage: Stage, options: Options) -> list[Run]:
    """Run everything to its drain; with more than one worker ours stays here and the rest goes to other processes."""
    teller = Teller(on_done=options.on_done, total=len(specs))
    if options.workers > 1:
        return run_in_processes(specs, stage, options, teller)
    runs = []
    for number, (key, spec) in enumerate(specs):
        runs.append(run_here(key, spec, stage, options))
        teller.ended(number, key)
    return runs


def run_in_processes(specs: Sequence[tuple[str, RunSpec]], stage: Stage, options: Options, teller: Teller) -> list[Run]:
    """Ours here, where it can be watched; the others are told of as they end and kept in the order of `specs`."""
    # A run that is killed takes its workers with it.
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        waiting: dict[Future[Run], int] = {
            pool.submit(run_to_drain, key, spec, stage): number for number, (key, spec) in enumerate(specs) if key != "ours"
        }

        def look(world: World, steering: Planned) -> None:
            for future, number in waiting.items():
                if future.done() and future.exception() is None:
                    teller.ended(number, specs[number][0])
            if options.on_step is not None:
                options.on_step(world, steering)

        runs: dict[int, Run] = {}
        for number, (key, spec) in enumerate(specs):
            if key == "ours":
                runs[number] = run_here(key, spec, stage, replace(options, on_step=look))
                teller.ended(number, key)
        for future in as_completed(waiting):
            runs[waiting[future]] = future.result()
            teller.ended(waiting[future], specs[waiting[future]][0])
    return [runs[number] for number in range(len(specs))]


def run_to_drain(key: str, spec: RunSpec, stage: Stage) -> Run:
    """One run until its jobs have ended; works in any process."""
    world, steering = build(spec, stage)
    world.run_to_drain(steering, stage.scenario.days * S_PER_DAY)
    return Run(key=key, spec=spec, world=world, steering=steering)


def run_here(key: str, spec: RunSpec, stage: Stage, options: Options) -> Run:
    """One run in this process; ours can be watched and written to a ledger, with a lever less or a truth more it is told of."""
    world, steering = build(spec, stage, options.ledger if key == "ours" else None)
    if key != "ours":
        options = replace(options, on_step=None, on_cycle=options.on_cycle if spec.strategy == "ours" else None)
    watched = options.on_cycle is not None or options.on_step is not None
    if watched and isinstance(steering, Planned):
        watch(key, world, steering, stage, options)
    else:
        world.run_to_drain(steering, stage.scenario.days * S_PER_DAY)
    return Run(key=key, spec=spec, world=world, steering=steering)


def watch(key: str, world: World, steering: Planned, stage: Stage, options: Options) -> None:
    """Run cycle by cycle and tell what happened in each."""
    period_s = stage.scenario.days * S_PER_DAY
    while world.clock.now_s < period_s or not world.cluster.drained:
        world.run_until(steering, world.clock.now_s + stage.clockwork.cycle_s)
        if options.on_step is not None:
            options.on_step(world, steering)
        if options.on_cycle is not None:
            options.on_cycle({"run": key} | cycle_numbers(world, steering, period_s))


def best_by_key(runs: Sequence[Run]) -> dict[str, Run]:
    """The cheapest run of every key: parameters are chosen in hindsight."""
    best: dict[str, Run] = {}
    for run in runs:
        if run.key not in best or run.total_eur < best[run.key].total_eur:
            best[run.key] = run
    return best


def candidate_costs(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Total by parameter for the strategies that try several."""
    tried: dict[str, dict[str, float]] = {}
    for run in runs:
        if run.spec.parameter is not None:
            tried.setdefault(run.key, {})[f"{run.spec.parameter:g}"] = run.total_eur
    return tried


def check_bound(log: InvariantLog, runs: Sequence[Run], bound_eur: float | None) -> None:
    """No run may be cheaper than the bound."""
    if bound_eur is None:
        return
    for run in runs:
        log.at_most(bound_eur, run.total_eur, f"{run.key}: below the proven bound", 1e-6)
