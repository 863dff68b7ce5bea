"""Snapshot and settings become a decision: pure, so that a recorded cycle replays and a backtest tells the truth.

outlook -> problem -> plan (checked by a second opinion, degraded step by step) -> actions -> guard -> offers, setpoints,
promises
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scheduler.core.acting.diff import actions_of, release_all
from scheduler.core.acting.guard import guard
from scheduler.core.forecast.durations import learn_durations
from scheduler.core.forecast.outlook import outlook
from scheduler.core.planning.checker import check_plan
from scheduler.core.planning.digest import digest_of
from scheduler.core.planning.expected import is_expected
from scheduler.core.planning.fallback import rule_plan
from scheduler.core.planning.problem import build_problem, plan_grid
from scheduler.core.planning.solve import solve
from scheduler.core.planning.watch import Brake, Seconds, never
from scheduler.core.planning.work import Work, works
from scheduler.core.publishing.firm import in_force
from scheduler.core.publishing.offers import offers_of
from scheduler.core.publishing.promises import promises_of
from scheduler.core.publishing.setpoints import setpoints_of
from scheduler.core.publishing.taking import limited_outlook, taken, told
from scheduler.domain.decision import Decision
from scheduler.domain.outlook import Outlook
from scheduler.domain.plan import Plan, PlanStatus
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import Mode, Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.loop.beside import in_thread
from scheduler.loop.degrade import Faults, empty_plan, faults_of, good_until, last_good
from scheduler.loop.keep import basis_of, may_keep


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """What every step of one decision looks at; `outlook` and `problem` are None when they could not be made."""

    site: Site
    snapshot: Snapshot
    settings: Settings
    works: tuple[Work, ...]
    last: Plan | None
    outlook: Outlook | None = None
    problem: PlanProblem | None = None


def decide(
    site: Site,
    snapshot: Snapshot,
    settings: Settings,
    *,
    last: Plan | None = None,
    out_of_time: Brake = never,
    clock_s: Seconds | None = None,
) -> Decision:
    """Decide one cycle.

    Args:
        site: what does not change.
        snapshot: what was seen; grid and all times follow from its instant.
        settings: mode, horizon, levers, weights, budgets.
        last: the plan of an earlier cycle: its duals warm the solver, and it is what "last good" falls back on.
        out_of_time: emergency brake of the solver; iteration budgets end it normally.
        clock_s: clock for the stage times in the plan's report.
    """
    view = _view(site, snapshot, settings, last)
    faults = _faults(view)
    if faults.vital:
        return _decision(view, empty_plan(site, plan_grid(snapshot.observed_utc, settings), faults.text))
    if faults.market:
        return _decision(view, _descend(view, faults.text))
    plan, violations = _fresh(view, faults, out_of_time, clock_s)
    return _decision(view, plan, violations)


def decide_by_rule(
    site: Site,
    snapshot: Snapshot,
    settings: Settings,
    *,
    last: Plan | None = None,
    out_of_time: Brake = never,
    clock_s: Seconds | None = None,
) -> Decision:
    """Decide without the optimiser: what a fresh child does after the solver failed and no good plan is left."""
    del last, out_of_time, clock_s
    view = _view(site, snapshot, settings, None)
    faults = _faults(view)
    grid = plan_grid(snapshot.observed_utc, settings)
    return _decision(view, empty_plan(site, grid, faults.text) if faults.vital else _descend(view, "by rule"))


def decide_degraded(site: Site, snapshot: Snapshot, settings: Settings, *, last: Plan | None, reason: str) -> Decision:
    """Decide without forecasting or planning anything: follow the last good plan, else let go.

    Used by the parent when `decide` itself failed, so it relies on little: if even the durations cannot be learned, the
    prior stands.
    """
    view = View(site=site, snapshot=snapshot, settings=settings, works=_works_anyhow(site, snapshot, settings), last=last)
    if last is not None and good_until(last, snapshot.observed_utc, settings):
        return _decision(view, last_good(last, reason))
    return _decision(view, empty_plan(site, plan_grid(snapshot.observed_utc, settings), reason))


def _works_anyhow(site: Site, snapshot: Snapshot, settings: Settings) -> tuple[Work, ...]:
    """Flexible jobs, with learned durations if these can be had."""
    try:
        durations = learn_durations(snapshot.history.finished, snapshot.jobs)
        return works(site, snapshot.jobs, durations, {}, settings)
    except (ValueError, ArithmeticError, LookupError):
        return works(site, snapshot.jobs, learn_durations((), ()), {}, settings)


def _view(site: Site, snapshot: Snapshot, settings: Settings, last: Plan | None) -> View:
    """Forecast, and write the problem."""
    ahead = outlook(site, snapshot, settings, plan_grid(snapshot.observed_utc, settings))
    ahead = limited_outlook(ahead, snapshot.take_limits)
    return View(
        site=site,
        snapshot=snapshot,
        settings=settings,
        works=works(site, snapshot.jobs, ahead.durations, ahead.arrival_draw_w, settings),
        last=last,
        outlook=ahead,
        problem=build_problem(site, taken(snapshot), ahead, settings),
    )


def _faults(view: View) -> Faults:
    """What is wrong with the inputs."""
    return Faults() if view.outlook is None else faults_of(view.site, view.snapshot, view.outlook, view.settings)


def _fresh(view: View, faults: Faults, out_of_time: Brake, clock_s: Seconds | None) -> tuple[Plan, tuple[str, ...]]:
    """A kept or newly solved plan that the checker found nothing wrong with; else one step down, with what it found."""
    problem, last = view.problem, view.last
    assert problem is not None
    if last is not None and may_keep(last, problem, view.works, view.settings):
        return replace(last, degraded_reason="kept: inputs changed less than the tolerance"), ()
    try:
        plan = solve(problem, view.settings.budget, last=last, out_of_time=out_of_time, clock_s=clock_s, beside=in_thread)
    except Exception as error:  # a solver that fails costs a degraded step, never the cycle
        return _descend(view, f"solver failed: {type(error).__name__}: {error}"), ()
    violations = check_plan(problem, plan)
    if violations:
        return _descend(view, f"plan refused by the checker: {violations[0]}"), violations
    return replace(plan, basis=basis_of(problem), degraded_reason=faults.text), ()


def _descend(view: View, reason: str) -> Plan:
    """Last good plan while young enough, else the rule-based one if it holds up, else let go."""
    now, last, problem = view.snapshot.observed_utc, view.last, view.problem
    if last is not None and good_until(last, now, view.settings):
        return last_good(last, reason)
    if problem is not None:
        plan = rule_plan(problem, digest=digest_of(problem), reason=reason)
        wrong = check_plan(problem, plan)
        if not wrong:
            return plan
        reason = f"{reason}; rule-based plan refused: {wrong[0]}"
    return empty_plan(view.site, plan_grid(now, view.settings), reason)


def _decision(view: View, plan: Plan, violations: tuple[str, ...] = ()) -> Decision:
    """Plan to actions through the guard; offers, setpoints and promises unless everything is let go.

    Only Dispatch promises: before it nothing binds, so no gate is answered.
    """
    now, settings = view.snapshot.observed_utc, view.settings
    let_go = plan.status is PlanStatus.LET_GO
    wanted = release_all(view.site, view.works, now) if let_go else actions_of(view.site, plan, view.works, settings, now)
    actions, refused = guard(view.site, view.snapshot, settings, view.works, wanted, let_go=let_go)
    ahead = view.outlook if settings.mode is not Mode.OBSERVE else None
    binds = settings.mode is Mode.DISPATCH and not let_go
    promises = () if ahead is None or not binds else promises_of(view.site, view.snapshot, ahead, plan, settings)
    bound = replace(view.snapshot, commitments=in_force((*view.snapshot.commitments, *promises)))
    return Decision(
        at_utc=now,
        plan=_without_expected(plan),
        actions=actions,
        refused=refused,
        offers=() if ahead is None else offers_of(view.site, told(bound, plan.grid.slot_s), ahead, plan, settings),
        setpoints=() if let_go or not _steers(settings) else setpoints_of(view.site, plan, settings, now),
        commitments=promises,
        violations=violations,
    )


def _steers(settings: Settings) -> bool:
    """True when our own side of the plant follows the plan."""
    return settings.levers.plant and settings.mode is not Mode.OBSERVE


def _without_expected(plan: Plan) -> Plan:
    """Drop explanations of work that nobody has submitted: there is nobody to explain it to."""
    told = tuple(explanation for explanation in plan.explanations if not is_expected(explanation.job_id))
    return plan if len(told) == len(plan.explanations) else replace(plan, explanations=told)
