"""What the operator says of itself: DispatchPlan, statuses, Events, metrics, log lines. Nothing here decides anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import isfinite

from scheduler.adapters.kubernetes.admission_check import our_checks
from scheduler.adapters.kubernetes.guard import Drop
from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.objects import NOTHING, Obj, name_of
from scheduler.adapters.kubernetes.operator.counts import ENDS
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.operator.view import elsewhere
from scheduler.adapters.kubernetes.plan_object import plan_status, signals
from scheduler.adapters.kubernetes.runtime import kinds
from scheduler.adapters.kubernetes.runtime.conditions import Condition, Truth, holds, merged
from scheduler.adapters.kubernetes.runtime.errors import ApiError, NotFound
from scheduler.adapters.kubernetes.runtime.events import WARNING, EventRecorder
from scheduler.adapters.kubernetes.runtime.fence import Fenced
from scheduler.adapters.kubernetes.runtime.writer import Congested, OutOfReach, Writer
from scheduler.adapters.kubernetes.stale import end_utc
from scheduler.adapters.kubernetes.why import ADVICE, with_plan, would
from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.metrics.catalog import CATALOG, Kind
from scheduler.adapters.metrics.registry import Metrics
from scheduler.domain.action import Action, HoldJob, StartJob, StopJob
from scheduler.domain.decision import CycleRecord
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.observed import SourceReading
from scheduler.domain.plan import Plan, PlanStatus
from scheduler.domain.settings import Mode
from scheduler.entrypoints.operator.governing import Governed, status_of, told_state
from scheduler.entrypoints.operator.numbers import InForce, Numbers
from scheduler.loop.runner import EPOCH, Watch

STEPS = (PlanStatus.FRESH, PlanStatus.LAST_GOOD, PlanStatus.RULE_BASED, PlanStatus.LET_GO)
COUNTED_OF_POLICY = tuple(one.name for one in CATALOG if one.kind is Kind.HISTOGRAM and one.labels == ("policy",))
OF_POLICY = tuple(one.name for one in CATALOG if one.kind is Kind.GAUGE and "policy" in one.labels)
DEGRADED = "Degraded"
PLAN_CURRENT = "PlanCurrent"
# Kueue's condition on an AdmissionCheck.
ACTIVE = "Active"


def no_conditions(_policy: str) -> tuple[()]:
    """Nothing more is known of a policy."""
    return ()


def no_more_conditions(_kind: str, _name: str) -> tuple[()]:
    """Nothing more is known of an object."""
    return ()


class Telling:
    """Tells people and Prometheus."""

    def __init__(self, stores: Stores, events: EventRecorder, metrics: Metrics) -> None:
        """Tell by these."""
        self._stores, self._events, self._metrics = stores, events, metrics
        self.numbers, self._policies = Numbers(metrics), set[str]()
        self._tell = Teller("operator.cycle")
        self._plans, self._statuses = Episode(self._tell, "writing plans"), Episode(self._tell, "writing statuses")

    def cycle(self, desk: Desk, record: CycleRecord, took_s: float, views: Mapping[str, JobView]) -> None:
        """One cycle: a line, numbers, advice in Advise, and what owners of insulated jobs could mend."""
        decision, policy = record.decision, desk.governance.policy
        plan, report, metrics = decision.plan, decision.plan.report, self._metrics
        self._policies.add(policy)
        metrics.observe("cycle_duration_seconds", took_s, policy=policy)
        metrics.observe("plan_duration_seconds", sum(report.stage_s.values()), policy=policy)
        metrics.add("cycles_total", policy=policy, status=plan.status.value)
        metrics.set("last_cycle_timestamp_seconds", decision.at_utc.timestamp(), policy=policy)
        metrics.set("degraded_step", float(STEPS.index(plan.status)), policy=policy)
        self._gap(policy, report.rolling_gap)
        self._costs("plan_cost_euros", policy, plan.cost_eur)
        rests_on = None if desk.counter is None else desk.counter.problem
        self.numbers.keep(policy, InForce(offers=decision.offers, plants=record.snapshot.plants, problem=rests_on))
        self.numbers.show(decision.at_utc)
        entry = record.entry
        self._tell.info(
            "cycle",
            policy=policy,
            plan=plan.plan_id,
            status=plan.status.value,
            jobs=len(views),
            held=entry.held,
            started=entry.started,
            stopped=entry.stopped,
            capped=entry.capped,
            refused=len(decision.refused),
            gap=round(report.rolling_gap, 4),
            seconds=round(took_s, 2),
            **({"why": plan.degraded_reason} if plan.degraded_reason else {}),
        )
        if plan.status is not PlanStatus.FRESH:
            self.degraded(desk, f"{plan.status.value}: {plan.degraded_reason}")
        if desk.mode is Mode.ADVISE:
            self._advise([action for action, _ in decision.refused], decision.plan, views)
        for view in views.values():
            for problem in () if elsewhere(view) and self._several() else view.problems:
                self._events.say(view.job or view.workload, problem.reason, problem.text, kind=WARNING)

    def degraded(self, desk: Desk, why: str) -> None:
        """Say on the policy why the plan is not a fresh one."""
        self._events.say(self._policy(desk.governance.policy), DEGRADED, why[0].upper() + why[1:], kind=WARNING)

    def plan(
        self,
        desk: Desk,
        record: CycleRecord,
        writer: Writer,
        baseline_eur: Mapping[str, float],
        told: Sequence[SourceReading] = (),
    ) -> None:
        """Replace the policy's DispatchPlan; told: what sources said when it was made."""
        policy, decision = desk.governance.policy, record.decision
        seen = self._stores.plans.get(policy)
        self._costs("baseline_cost_euros", policy, baseline_eur)
        fresh = decision.plan.status is PlanStatus.FRESH
        current = Condition(
            type=PLAN_CURRENT,
            status=Truth.TRUE if fresh else Truth.FALSE,
            reason=decision.plan.status.value[0].upper() + decision.plan.status.value[1:],
            message=decision.plan.degraded_reason,
        )
        try:
            if seen is None:
                writer.apply(kinds.PLANS, {"metadata": {"name": policy}, "spec": {"policyRef": policy}}, policy)
            counter = desk.counter
            problem = None if counter is None else counter.problem
            status = plan_status(decision, desk.governance.settings, baseline_eur, problem)
            status["signals"] = signals(told)
            status["conditions"] = list(merged(seen or NOTHING, (current,), decision.at_utc))
            writer.apply(kinds.PLANS, {"metadata": {"name": policy}, "status": status}, policy, "status", seen)
        except (Fenced, OutOfReach):
            return
        except HeatDispatchError as error:
            self._plans.failed(error, policy=policy)
        else:
            self._plans.worked(policy=policy)

    def statuses(
        self,
        governed: Governed,
        watches: Mapping[str, Watch],
        writer: Writer,
        now_utc: datetime,
        standing: Callable[[str, str], Sequence[Condition]] = no_more_conditions,
    ) -> None:
        """Conditions on every object of ours, and on AdmissionChecks that we answer, written when they change.

        `standing`: by kind and name, those that others know of: sources of a policy, plants of an offtake.
        """
        failed = self._checks(writer, now_utc)
        for obj in self._stores.own_objects():
            kind, name = str(obj.get("kind")), name_of(obj)
            conditions = governed.conditions.get(f"{kind}/{name}")
            if conditions is None:
                continue
            of_policy = kind == kinds.POLICIES.kind
            status = status_of(obj, (*conditions, *standing(kind, name)), now_utc)
            if of_policy:
                status |= self._policy_status(name, governed, watches)
            try:
                writer.apply(_kind(kind), {"metadata": {"name": name}, "status": status}, name, "status", obj)
            except (Fenced, OutOfReach):
                return
            except NotFound:
                # It was deleted a moment ago.
                continue
            except (ApiError, Congested) as error:
                failed = True
                self._statuses.failed(error, object=f"{kind}/{name}")
        if not failed:
            self._statuses.worked()

    def _checks(self, writer: Writer, now_utc: datetime) -> bool:
        """Our AdmissionChecks are active whatever becomes of the plan: a queue whose check is not admits nobody at all.

        Returns whether one could not be written.
        """
        failed = False
        for check in our_checks(self._stores.checks.all()):
            seen = self._stores.checks.get(check)
            if seen is None or holds(seen, ACTIVE):
                continue
            told = Condition(type=ACTIVE, status=Truth.TRUE, reason="Answered", message="heat-dispatch answers every workload")
            status = {"conditions": list(merged(seen, (told,), now_utc))}
            try:
                writer.apply_part(kinds.ADMISSION_CHECKS, seen, {"status": status}, subresource="status", lets_go=True)
            except (Fenced, OutOfReach):
                return True
            except (ApiError, Congested) as error:
                failed = True
                self._statuses.failed(error, object=f"AdmissionCheck/{check}")
        return failed

    def gauges(self, desks: Sequence[Desk], now_utc: datetime) -> None:
        """Jobs by what is done with them, how far the longest hold has come, and what decisions say of this hour."""
        self._keep_only({desk.governance.policy for desk in desks})
        self.numbers.show(now_utc)
        for desk in desks:
            policy = desk.governance.policy
            self._begin(policy)
            self._metrics.set("cycle_interval_seconds", desk.governance.settings.cycle_s, policy=policy)
            if desk.letting_go:
                self._metrics.set("degraded_step", float(STEPS.index(PlanStatus.LET_GO)), policy=policy)
            counts = dict.fromkeys(("running", "held", "waiting", "paused", "owner", "insulated"), 0)
            used = 0.0
            for view in desk.reader.seen(now_utc).views.values():
                counts[told_state(view)] += 1
                if view.held and view.marks.held_since_utc is not None:
                    whole_s = (end_utc(view) - view.marks.held_since_utc).total_seconds()
                    passed_s = (now_utc - view.marks.held_since_utc).total_seconds()
                    used = max(used, passed_s / whole_s if whole_s > 0.0 else 1.0)
            for state, number in counts.items():
                self._metrics.set("jobs", float(number), policy=policy, state=state)
            self._metrics.set("hold_used_ratio_max", used, policy=policy)
            for mode in Mode:
                self._metrics.set("mode", float(desk.mode is mode), policy=policy, mode=mode.value)
        for store in self._stores.all():
            self._metrics.set("store_objects", float(store.count()), kind=store.kind.plural)

    def _begin(self, policy: str) -> None:
        """Have what is counted of a policy start at zero."""
        for name in COUNTED_OF_POLICY:
            self._metrics.begin(name, policy=policy)
        for step in STEPS:
            self._metrics.begin("cycles_total", policy=policy, status=step.value)
        for reason in ENDS:
            self._metrics.begin("holds_ended_total", policy=policy, reason=reason)
        for drop in Drop:
            self._metrics.begin("actions_refused_total", policy=policy, reason=drop.value)

    def silent(self) -> None:
        """Say nothing of any policy any more: another replica does, or nobody."""
        self._keep_only(set())
        self.numbers.show(EPOCH)

    def _keep_only(self, policies: set[str]) -> None:
        """Drop what was said of policies that are gone: an alert on it would never end."""
        for policy in self._policies - policies:
            for name in OF_POLICY:
                self._metrics.forget(name, policy=policy)
        self._policies = policies
        self.numbers.keep_only(policies)

    def _gap(self, policy: str, gap: float) -> None:
        """The proven gap; a plan that proves nothing has none."""
        if isfinite(gap):
            self._metrics.set("plan_gap_ratio", gap, policy=policy)
        else:
            self._metrics.forget("plan_gap_ratio", policy=policy)

    def _costs(self, name: str, policy: str, cost_eur: Mapping[str, float]) -> None:
        """Costs by term, and none of a term that is not there any more."""
        self._metrics.forget(name, policy=policy)
        for term, value_eur in cost_eur.items():
            self._metrics.set(name, value_eur, policy=policy, term=term)

    def _several(self) -> bool:
        """Whether a job that fits none of a policy's pools may belong to another policy."""
        return len(self._stores.of_policy(kinds.POLICIES)) > 1

    def _policy_status(self, policy: str, governed: Governed, watches: Mapping[str, Watch]) -> dict[str, object]:
        """What a policy does now."""
        desk = next((one for one in governed.desks if one.governance.policy == policy), None)
        watch = watches.get(policy)
        chapter = None if desk is None else desk.book.chapter
        held = 0 if chapter is None else sum(intent.hold is not None for intent in chapter.intents.values())
        found: dict[str, object] = {"mode": Mode.OBSERVE.value if desk is None else desk.mode.value, "heldJobs": held}
        if watch is not None and watch.last is not None:
            found["planId"] = watch.last.plan_id
        return found

    def _advise(self, actions: Sequence[Action], plan: Plan, views: Mapping[str, JobView]) -> None:
        """Recommendations as Events on the jobs, in the plan's own words where it has some."""
        told = {one.job_id: one.text for one in plan.explanations}
        for action in actions:
            view = views.get(action.job_id)
            if view is None:
                continue
            match action:
                case HoldJob() if view.opted_in or view.held:
                    text = would(action.text or told.get(action.job_id, "Held"))
                case StopJob():
                    paused = f"Paused, at the latest until {action.resume_by_utc:%H:%M} UTC: power is dear"
                    text = would(told.get(action.job_id, paused))
                case StartJob() if view.held:
                    text = f"Would be released on {action.pool_id}"
                case _:
                    continue
            self._events.say(view.job or view.workload, ADVICE, with_plan(text, plan.plan_id))

    def _policy(self, name: str) -> Obj:
        """The policy's object, to hang an Event on."""
        found = next((obj for obj in self._stores.of_policy(kinds.POLICIES) if name_of(obj) == name), None)
        return found or {"apiVersion": kinds.POLICIES.api_version, "kind": kinds.POLICIES.kind, "metadata": {"name": name}}


def _kind(name: str) -> kinds.Kind:
    """A kind of ours by its name."""
    own = (kinds.SITES, kinds.PLUGS, kinds.OFFTAKES, kinds.CLASSES, kinds.POLICIES)
    return next(one for one in own if one.kind == name)
