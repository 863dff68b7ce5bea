"""The planner: from a problem to a plan with a proven bound (docs/formulation.md walks through it).

    prices (of the last plan, or by a bundle) -> columns -> master LP, more columns, better bound -> dive -> small MILP -> plan

Budgets count iterations; the clock is only a brake, and the report says when it bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from scheduler.core.planning.aggregate import Fixed, Prices, base_load_eur
from scheduler.core.planning.branch import Effort, Search
from scheduler.core.planning.bundle import TOLERANCE, BundleResult, maximise
from scheduler.core.planning.columns import Columns, join
from scheduler.core.planning.crowd import Resting
from scheduler.core.planning.crowd_relax import relax_crowd
from scheduler.core.planning.digest import digest_of
from scheduler.core.planning.dive import Dive
from scheduler.core.planning.explain import explain
from scheduler.core.planning.extract import Extractor, Mix
from scheduler.core.planning.incumbent import first_come_columns
from scheduler.core.planning.master import Aside, Master, Skeleton, Solved, early, pruned, skeleton
from scheduler.core.planning.mip import solve_restricted
from scheduler.core.planning.pricing import Bound, Pricing
from scheduler.core.planning.pumps import decide, states_of
from scheduler.core.planning.settle import settled
from scheduler.core.planning.shortlist import Shortlist
from scheduler.core.planning.sizes import HOT_JOBS, sizes
from scheduler.core.planning.warm import handed_on, last_runs, shifted_prices
from scheduler.core.planning.watch import Brake, Seconds, Watch, never
from scheduler.core.planning.wide_dive import WideDive, narrowed, with_fallbacks
from scheduler.core.planning.wide_relax import Steering, relax
from scheduler.domain.plan import Plan, SolveReport, WarmStart
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import SolveBudget
from scheduler.domain.time import BoolArray

# Up to this many jobs columns come from the master's own prices at once; beyond, a bundle finds good prices first.
SMALL = 320
PER_JOB = 6
# Few jobs get a run in every stretch of the horizon: the dive needs somewhere to send those that do not fit.
ALL_BINS = 99
# With few jobs rounds are cheap: this many times the budget's, as long as one gains this share of the target gap.
FEW_STEPS = 30
FEW_ROUNDS, ROUND_GAIN = 3, 0.04
# Their master begins with runs all over the horizon. A run whose reduced cost is more than this share of the target gap then
# leaves until the rounds are over: most do, and a simplex step takes two thirds of the time.
LIKELY = 0.1
# The bound of a job is made exact when it is loose by more than this share of the target gap: up to HOT_JOBS and beyond. Of
# thousands of jobs more are: with 5,000 that raises the bound by another 0.04 % in a second beside the dive.
LOOSE = (0.005, 0.002)
# Gain of the bundle, as a share of its value, below which it ends: where rounds of new runs are cheap, they go on from less.
HOT_TOLERANCE = 12.0 * TOLERANCE
# Rounds of new runs once the pump states are held.
PUMP_ROUNDS = 3
# A restricted master with more columns than this keeps HiGHS's branching busy for longer than a cycle may take.
MIP_COLUMNS = 600
# Rise that a batch of the dive may always cost, as a share of the target gap.
DIVE_STEP = 0.025
# Search over the commit window: solves at least, and per batch of the budget; in target gaps the least gain, a gap that is good
# enough, and the one above which it searches on.
LEAST_SOLVES, SEARCH_SOLVES, SEARCH_STEP, GOOD_ENOUGH, WANTED = 12, 0.25, 0.05, 1.0, 1.25
# Rounds of new runs at the answer of the search, whose prices are not those of the relaxation: what begins later can follow.
LATER_ROUNDS = 2
# Cold start: a GPU-hour costs a few cents (optimisation.md 3).
COLD_EUR_PER_GPU_H = 0.04
WARM_STEPS_FRACTION = 0.2
# A plan below its bound by this share of all money is rounding.
BELOW = 1e-6
METHOD = "bundle, columns, dive"

# Begins work and returns how to wait for its value: at once, or in a thread of the shell.
Beside = Callable[[Callable[[], Bound]], Callable[[], Bound]]


def at_once(work: Callable[[], Bound]) -> Callable[[], Bound]:
    """Nothing beside: the work is done before anything else."""
    found = work()
    return lambda: found


def solve(
    problem: PlanProblem,
    budget: SolveBudget,
    *,
    last: Plan | None = None,
    out_of_time: Brake = never,
    clock_s: Seconds | None = None,
    digest: str | None = None,
    beside: Beside = at_once,
) -> Plan:
    """Plan.

    Args:
        problem: what is to be planned.
        budget: iterations of each stage, target gap.
        last: an earlier plan on the same slots: its prices are the first guess.
        out_of_time: emergency brake, asked between iterations.
        clock_s: a clock for the stage times of the report; without it there are none.
        digest: digest of the problem, if it is known already.
        beside: runs the bound beside the search or the dive where the shell has a second core; the plan is the same.

    Returns:
        A plan; never infeasible: broken wishes are named slacks.
    """
    watch = Watch(clock_s, out_of_time)
    return _Solve(problem, budget, watch, digest or digest_of(problem), beside).run(last)


class _Solve:
    """One solve; stages share what is prepared once."""

    def __init__(self, problem: PlanProblem, budget: SolveBudget, watch: Watch, digest: str, beside: Beside):
        """Prepare jobs, profiles, plant."""
        self.problem, self.budget, self.watch, self.beside = problem, budget, watch, beside
        self.watch.start()
        self.pricing = Pricing(problem)
        self.base_eur = base_load_eur(problem, self.pricing.frame)
        self.extractor = Extractor(problem, self.pricing.oracle, self.pricing.envelope, digest)
        self.bundle_steps = 0
        # What whole pump states of the near horizon cost the relaxation, and by how much they are proven to raise the bound.
        self.pumps_eur = self.whole_eur = 0.0
        # Small ones of thousands of jobs, which are decided on later.
        self.resting: Resting | None = None
        # Waits for the bound, once the relaxation has its prices.
        self.bound: Callable[[], Bound] | None = None
        self.bound_prices: Prices | None = None
        # What the next solve begins with.
        self.warm: WarmStart | None = None

    def run(self, last: Plan | None) -> Plan:
        """All stages."""
        prices = self._first_prices(last)
        master, relaxed = self._relax(prices, last)
        mix, pumps, prices = self._decide(master, relaxed)
        plan = self._best(master, prices, [(mix, pumps), (self._incumbent(), None)])
        plan = replace(plan, jobs=settled(self.problem, plan.jobs, last), warm=self.warm)
        # Before the bound is waited for, which is worked on beside.
        plan = replace(plan, explanations=explain(self.problem, plan))
        self.watch.stage("explain")
        return self._proven(plan)

    # --- prices

    def _first_prices(self, last: Plan | None) -> Prices:
        """Prices of the last plan if it fits, else a flat guess; the bundle improves them for many jobs."""
        pricing, shape = self.pricing, self.pricing.shape
        warm = None if last is None else shifted_prices(last, self.problem, pricing)
        prices = warm or Prices(gpu_eur_per_gpu_h=np.full(shape, COLD_EUR_PER_GPU_H), draw_eur_per_kwh=np.zeros(shape))
        self.watch.stage("prepare")
        steps = int(self.budget.bundle_steps * (1.0 if warm is None else WARM_STEPS_FRACTION))
        if warm is not None and (pricing.table.count <= SMALL or _hands_on(last)):
            steps = 0
        if steps and pricing.table.count:
            steps = min(steps, FEW_STEPS) if pricing.table.count <= SMALL else steps
            found = self._bundle(prices, steps, rough=warm is None)
            self.bundle_steps = found.steps
            prices = pricing.prices(found.y)
        self.watch.stage("bundle")
        return prices

    def _bundle(self, prices: Prices, steps: int, *, rough: bool) -> BundleResult:
        """Better prices: over all starts with few jobs, over a short list of them with many."""
        pricing, brake = self.pricing, self.watch.brake
        start = pricing.vector(prices)
        if pricing.table.count <= SMALL:
            return maximise(pricing.evaluate, start, steps, out_of_time=brake)
        short = Shortlist(pricing, rough=rough)
        tolerance = HOT_TOLERANCE if pricing.table.count <= HOT_JOBS else TOLERANCE
        return maximise(short.evaluate, start, steps, out_of_time=brake, renew=short.renew, tolerance=tolerance)

    # --- relaxation

    def _relax(self, prices: Prices, last: Plan | None) -> tuple[Master, Solved]:
        """Master LP with columns of good prices; more columns and a better bound until they meet."""
        pricing = self.pricing
        many = pricing.table.count > SMALL
        self.incumbent: Columns = first_come_columns(self.problem, pricing.oracle)
        if many:
            master, solved, bound_prices = self._relax_many(prices, last)
        else:
            master = Master(self._skeleton(), join([self.incumbent, pricing.columns(prices, ALL_BINS), *pricing.recent]))
            master, solved = self._likely(master, master.solve())
            self.watch.stage("lp")
            solved = self._grown(master, solved, FEW_ROUNDS * self.budget.master_rounds)
            assert solved.prices is not None
            bound_prices = solved.prices
        self.bound_prices = bound_prices
        plant_eur = pricing.plant.price(bound_prices)[0]
        loose = LOOSE[int(pricing.table.count > HOT_JOBS)]
        loose_eur = loose * self.budget.target_gap * self._size(solved.objective_eur)
        self.bound = self.beside(lambda: pricing.tightened(pricing.bound(bound_prices, plant_eur), loose_eur))
        self.watch.stage("bound")
        return master, solved

    def _relax_many(self, prices: Prices, last: Plan | None) -> tuple[Master, Solved, Prices]:
        """The same for many jobs, the small ones of thousands in a crowd; with prices for the bound."""
        budget, pricing = self.budget, self.pricing
        steering = Steering(
            rounds=budget.master_rounds,
            target_gap=budget.target_gap,
            brake=self.watch.relaxing,
            stage=self.watch.stage,
            handed_on=_hands_on(last),
        )
        known = [self.incumbent] + ([] if last is None else [last_runs(last, self.problem, pricing, prices)])
        if pricing.table.count <= HOT_JOBS:
            master, solved, bound_prices = relax(pricing, self._skeleton(), known, prices, steering)
            used = (solved.weight > 0.0) | master.basic()
            self.warm = handed_on(self.problem, self.extractor.duals(bound_prices), master.columns, used)
            return master, solved, bound_prices
        # Changes help to solve from scratch; simplex goes on faster with loads.
        frames = partial(self._skeleton, by_change=True)
        master, solved, bound_prices, self.resting = relax_crowd(
            pricing, frames, known, prices, steering, warm=last is not None
        )
        return master, solved, bound_prices

    def _skeleton(self, aside: Aside | None = None, *, by_change: bool = False) -> Skeleton:
        """The master without runs."""
        pricing = self.pricing
        return skeleton(self.problem, pricing.frame, pricing.table, pricing.envelope, by_change=by_change, aside=aside)

    def _likely(self, master: Master, solved: Solved) -> tuple[Master, Solved]:
        """The master with the runs that the rounds may well want, and its solution, which is the same."""
        dear_eur = LIKELY * self.budget.target_gap * self._size(solved.objective_eur)
        part = master.part((solved.weight > 0.0) | master.basic() | (master.reduced_eur(solved) < dear_eur), perturbed=True)
        return part, part.solve()

    def _grown(self, master: Master, solved: Solved, rounds: int, later: BoolArray | None = None) -> Solved:
        """Runs at the master's own prices, round by round, until one gains next to nothing.

        With flags of the jobs that begin after the commit window these alone get runs, and none in it.
        """
        for _ in range(rounds):
            if self.watch.relaxing():
                break
            assert solved.prices is not None
            runs = self.pricing.columns(solved.prices, PER_JOB, solved.job_eur, only=later)
            if later is not None:
                runs = runs.take(~early(runs, self.problem.commit_slots))
            if not master.add(runs):
                break
            before = solved.objective_eur
            solved = master.solve(grown=True)
            self.watch.stage("lp")
            if before - solved.objective_eur < ROUND_GAIN * self.budget.target_gap * self._size(before):
                break
        return solved

    # --- decisions

    def _decide(self, master: Master, relaxed: Solved) -> tuple[Mix, Fixed, Prices]:
        """Pump states; a search with few jobs, a dive with many; then a small MILP where the gap is still open."""
        few = self.pricing.table.count <= SMALL
        if few:
            assert relaxed.prices is not None
            master.add(self.pricing.columns(relaxed.prices, ALL_BINS))
            relaxed = master.solve(grown=True)
        held, relaxed = self._pumps(master, relaxed, few=few)
        if few:
            master = pruned(master, relaxed)
            relaxed = master.solve()
        else:
            commit = self.problem.commit_slots
            frame = None if self.resting is None else self._skeleton(self.resting.aside)
            master = with_fallbacks(self.pricing, narrowed(master, relaxed, commit, frame), relaxed, commit)
            relaxed = master.solve(grown=True)
        least_eur = DIVE_STEP * self.budget.target_gap * self._size(relaxed.objective_eur)
        narrow = Dive(master, self.problem.commit_slots, least_eur, held)
        dive = narrow if few else WideDive(master, self.problem, least_eur, held, sizes(self.pricing.table))
        searched = self._searched(dive, relaxed) if few else None
        found = dive.run(relaxed, self.budget.dive_batches, self.watch.brake) if searched is None else searched
        self.watch.stage("dive")
        pumps = dive.pump_states(found)
        small = master.columns.count <= MIP_COLUMNS and self.budget.mip_nodes > 0
        if small and self._open_gap(found) > WANTED * self.budget.target_gap and not self.watch.brake():
            better = solve_restricted(self.problem, master, found, (relaxed, dive.doubtful), self.budget)
            if better is not None and better.objective_eur < found.objective_eur:
                found, pumps = better, dive.pump_states(better)
            self.watch.stage("mip")
        assert relaxed.prices is not None
        return self._mix(master.columns, found), pumps, relaxed.prices

    def _mix(self, columns: Columns, found: Solved) -> Mix:
        """What was found, with the jobs that rest."""
        rest = self.resting
        if rest is None:
            return Mix(columns=columns, weight=found.weight, unplaced=found.unplaced)
        weight = np.concatenate([found.weight, rest.weight])
        return Mix(columns=join([columns, rest.columns]), weight=weight, unplaced=found.unplaced + rest.unplaced)

    def _pumps(self, master: Master, relaxed: Solved, *, few: bool) -> tuple[Fixed | None, Solved]:
        """Whole pump states of the near horizon, and the relaxation with the runs moved to where there is heat."""
        states = states_of(self.problem, master.frame)
        if self.problem.pump_slots <= self.problem.commit_slots or not len(states.columns):
            return None, relaxed
        before = relaxed.objective_eur
        held = decide(master, relaxed, states, with_runs=few)
        relaxed = master.solve(barrier=not few)
        relaxed = self._grown(master, relaxed, PUMP_ROUNDS if few else 0)
        self.pumps_eur = max(0.0, relaxed.objective_eur - before)
        if self.pumps_eur > 0.25 * self.budget.target_gap * self._size(relaxed.objective_eur):
            assert self.bound_prices is not None
            self.whole_eur = self.pricing.plant.whole_gain_eur(self.bound_prices)
        self.watch.stage("pumps")
        return held, relaxed

    def _searched(self, dive: Dive, relaxed: Solved) -> Solved | None:
        """With few jobs a search over the commit window does better than a dive; None when it finds nothing in time."""
        size = self._size(relaxed.objective_eur)
        bound = self.bound
        assert bound is not None
        target = self.budget.target_gap * size
        search = Search(dive.master, self.problem.commit_slots, self.pricing.table.gpus)
        effort = Effort(
            solves=max(LEAST_SOLVES, int(SEARCH_SOLVES * self.budget.dive_batches)),
            least_eur=SEARCH_STEP * target,
            bound_eur=lambda: bound().eur + self.pumps_eur,
            enough_eur=GOOD_ENOUGH * target,
            wanted_eur=WANTED * target,
        )
        found = search.run(dive.begin(relaxed), effort, self.watch.brake)
        dive.doubtful |= search.doubtful
        return None if found is None else self._with_later_runs(search, found)

    def _with_later_runs(self, search: Search, found: Solved) -> Solved:
        """What the search decided, with better runs for all that begins later."""
        later = search.hold(found)
        held = search.master.try_solve()
        if held is not None:
            held = self._grown(search.master, held, LATER_ROUNDS, later)
        search.free()
        return found if held is None else held

    def _open_gap(self, found: Solved) -> float:
        """How far a solution lies above the bound, relative; what whole pump states cost is not for the dive to close."""
        assert self.bound is not None
        return (found.objective_eur - self.pumps_eur - self.bound().eur) / self._size(found.objective_eur)

    def _incumbent(self) -> Mix:
        """The plan of the simplest rule."""
        placed = np.bincount(self.incumbent.job, minlength=self.pricing.table.count)
        return Mix(columns=self.incumbent, weight=np.ones(self.incumbent.count), unplaced=1.0 - np.minimum(placed, 1.0))

    def _size(self, objective_eur: float) -> float:
        """Size that gaps refer to: the objective itself (base load left out), at least 1 EUR."""
        return max(1.0, abs(objective_eur))

    # --- the plan

    def _best(self, master: Master, prices: Prices, mixes: list[tuple[Mix, Fixed | None]]) -> Plan:
        """The cheapest plan, never worse than the simplest rule; without a bound."""
        report = SolveReport(
            method=METHOD,
            objective_eur=0.0,
            bound_eur=-np.inf,
            rolling_gap=0.0,
            bundle_steps=self.bundle_steps,
            columns=master.columns.count,
            base_eur=self.base_eur,
        )
        plans = [self.extractor.plan(mix, prices, report, pumps) for mix, pumps in mixes]
        self.watch.stage("extract")
        return min(plans, key=lambda one: one.report.objective_eur)

    def _proven(self, plan: Plan) -> Plan:
        """Add bound, gap and times.

        Raises:
            ArithmeticError: when the plan costs less than its bound by more than rounding: one of the two is wrong.
        """
        assert self.bound is not None
        found = plan.report
        bound_eur = self.bound().eur + self.base_eur
        self.watch.stage("bound")
        size = max(1.0, abs(found.objective_eur - found.base_eur))
        if bound_eur > found.objective_eur + BELOW * (size + abs(found.base_eur)):
            raise ArithmeticError(f"a plan of {found.objective_eur:.6f} EUR lies below its bound of {bound_eur:.6f} EUR")
        if bound_eur + self.whole_eur <= found.objective_eur:
            # Below it lies only a plan that had to let pump states after the commit window go: the relaxed bound holds for it.
            bound_eur += self.whole_eur
        bound_eur = min(bound_eur, found.objective_eur)
        gap = (found.objective_eur - bound_eur) / size
        report = replace(found, bound_eur=bound_eur, rolling_gap=gap, stage_s=self.watch.stage_s, clock_bit=self.watch.bit)
        return replace(plan, report=report)


def _hands_on(last: Plan | None) -> bool:
    """Whether there is a last plan with the runs and prices of its relaxation: a bundle would gain next to nothing."""
    return last is not None and last.warm is not None
