"""A winter day as Prometheus would have read it, for the pictures of the dashboards.

Heat, prices, plans, jobs and the power of GPUs are those of a simulated day: the demonstration's site of 64 GPUs, planned every
quarter of an hour by the operator's own loop, told by the operator's own code where that needs no cluster. What a simulation
does not have (requests to an API server, the conversation with a plant, sources, leases) is made up in `made_up`, with a source
that fails at noon, somebody who sets a limit at 15:00 and a plant that takes over from 18:00 to 18:40 (of local time).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isfinite, sin
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402 - the script runs from a checkout

from scheduler.adapters.metrics.registry import Metrics  # noqa: E402 - as above
from scheduler.core.planning.fallback import rule_plan  # noqa: E402 - as above
from scheduler.domain.job import Flexibility, JobPhase  # noqa: E402 - as above
from scheduler.domain.settings import Settings  # noqa: E402 - as above
from scheduler.entrypoints.commands.demo import DEMO_BUDGET  # noqa: E402 - as above
from scheduler.entrypoints.operator.numbers import InForce, Numbers  # noqa: E402 - as above
from scheduler.simulate.faults import Disturbances  # noqa: E402 - as above
from scheduler.simulate.generate import demo_scenario  # noqa: E402 - as above
from scheduler.simulate.planned import Planned  # noqa: E402 - as above
from scheduler.simulate.strategies import RunSpec, Stage, build  # noqa: E402 - as above
from scheduler.simulate.virtual_job import VirtualJob  # noqa: E402 - as above
from scheduler.simulate.world import Clockwork, World  # noqa: E402 - as above
from scheduler.units import w_from_kw  # noqa: E402 - as above

GPUS, GPUS_A_NODE = 64, 8
# A Wednesday in January, after two days in which jobs came.
BEGIN_UTC = datetime.fromisoformat("2026-01-11T23:00:00+00:00")
FIRST_UTC = datetime.fromisoformat("2026-01-13T23:00:00+00:00")
SLOT_S, STEP_S, SLOTS = 900, 120, 96
POLICY, PLUG, TOWN = "winter", "cooling-loop", "town-network"
IDLE_W, FULL_W = 70.0, 700.0

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Kept:
    """Samples by metric and series."""

    samples: dict[str, dict[Labels, list[tuple[float, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def put(self, at_s: float, name: str, value: float, **labels: str) -> None:
        """One value."""
        self.samples[f"heatdispatch_{name}"][tuple(sorted(labels.items()))].append((at_s, value))

    def told(self, at_s: float, metrics: Metrics) -> None:
        """All values of a registry that are not those of a process without news."""
        for family in text_string_to_metric_families(metrics.exposition()[0].decode()):
            for one in family.samples:
                if one.labels and not one.name.endswith("_created"):
                    self.samples[one.name][tuple(sorted(one.labels.items()))].append((at_s, one.value))

    def text(self) -> str:
        """OpenMetrics; of unknown type, which nobody asks for here."""
        lines = []
        for name in sorted(self.samples):
            lines.append(f"# TYPE {name} unknown")
            for labels, values in self.samples[name].items():
                shown = ",".join(f'{key}="{value}"' for key, value in labels)
                lines += [f"{name}{{{shown}}} {value:.10g} {at_s:.0f}" for at_s, value in values]
        return "\n".join([*lines, "# EOF", ""])


def day() -> Kept:
    """The whole day."""
    scenario = demo_scenario(4, BEGIN_UTC, 4, GPUS)
    stage = Stage(
        scenario=scenario,
        settings=Settings(budget=DEMO_BUDGET, commit_slots=1),
        clockwork=Clockwork(slot_s=SLOT_S, cycle_s=SLOT_S),
        disturbances=Disturbances(),
        clock_s=None,
    )
    world, steering = build(RunSpec(strategy="ours"), stage)
    assert isinstance(steering, Planned)
    watched = Watched(world, steering)
    while world.now_utc < FIRST_UTC:
        world.run_slot(steering)
    for _ in range(SLOTS):
        watched.slot()
    made_up(watched.kept)
    return watched.kept


class Watched:
    """What would be told of the simulated world, slot by slot."""

    def __init__(self, world: World, steering: Planned) -> None:
        """Nothing was told yet."""
        self.world, self.steering, self.kept, self.metrics = world, steering, Kept(), Metrics()
        self.numbers = Numbers(self.metrics)
        self.places: dict[str, list[int]] = {}
        self.capped_s = [0.0] * GPUS
        self.held: set[str] = set()
        self.decided: set[str] = set()
        for name in ("cycle_duration_seconds", "plan_duration_seconds", "admission_duration_seconds", "job_decided_seconds"):
            self.metrics.begin(name, policy=POLICY)
        for reason in ("planned", "HoldOver", "LetGo", "owner", "deleted"):
            self.metrics.begin("holds_ended_total", policy=POLICY, reason=reason)
        self.metrics.begin("actions_refused_total", policy=POLICY, reason="NoFit")

    def slot(self) -> None:
        """Let a quarter of an hour pass, and tell what was so in it."""
        begin_utc = self.world.now_utc
        self.world.run_slot(self.steering)
        self._planned(begin_utc)
        self._counted()
        for at_utc in (begin_utc + timedelta(seconds=step) for step in range(0, SLOT_S, STEP_S)):
            self.numbers.show(at_utc)
            self.metrics.replace("heat_captured_watts", {(PLUG,): w_from_kw(self._last("captured_kw"))})
            self.metrics.replace("tank_joules", {(PLUG,): self._last("tank_kwh") * 3.6e6})
            self.kept.told(at_utc.timestamp(), self.metrics)
            self._gpus(at_utc.timestamp())

    def _last(self, name: str) -> float:
        return float(getattr(self.world.record.plugs[PLUG], name)[-1])

    def _planned(self, at_utc: datetime) -> None:
        """What the operator tells after a cycle (`Telling.cycle`)."""
        decision, counter, metrics = self.steering.decision, self.steering.memory.counter, self.metrics
        assert decision is not None
        report = decision.plan.report
        problem = None if counter is None else counter.problem
        self.numbers.keep(POLICY, InForce(offers=decision.offers, plants=(), problem=problem))
        metrics.set("last_cycle_timestamp_seconds", at_utc.timestamp(), policy=POLICY)
        metrics.set("cycle_interval_seconds", float(SLOT_S), policy=POLICY)
        metrics.set("degraded_step", 0.0, policy=POLICY)
        metrics.add("cycles_total", policy=POLICY, status=decision.plan.status.value)
        if isfinite(report.rolling_gap):
            metrics.set("plan_gap_ratio", report.rolling_gap, policy=POLICY)
        for name, costs_eur in (
            ("plan_cost_euros", decision.plan.cost_eur),
            ("baseline_cost_euros", {} if problem is None else rule_plan(problem, digest="baseline").cost_eur),
        ):
            metrics.forget(name, policy=POLICY)
            for term, value_eur in costs_eur.items():
                metrics.set(name, value_eur, policy=POLICY, term=term)
        solve_s = 0.02 * len(decision.plan.jobs) + 0.4
        metrics.observe("plan_duration_seconds", solve_s, policy=POLICY)
        metrics.observe("cycle_duration_seconds", solve_s + 0.3, policy=POLICY)
        for mode in ("Observe", "Advise", "Dispatch"):
            metrics.set("mode", float(mode == "Dispatch"), policy=POLICY, mode=mode)

    def _counted(self) -> None:
        """Jobs by what is done with them, new ones, and holds that ended."""
        jobs, now_s, metrics = list(self.world.cluster.jobs.values()), self.world.clock.now_s, self.metrics
        there = [job for job in jobs if job.submit_s <= now_s and job.phase is not JobPhase.DONE]
        counts = dict.fromkeys(("running", "held", "waiting", "paused", "owner", "insulated"), 0)
        held, used = set[str](), 0.0
        for job in there:
            state = _state(job)
            counts[state] += 1
            if state in ("held", "paused"):
                held.add(job.job_id)
                end_s = job.hold_until_s or now_s + 1.0
                used = max(used, min(1.0, (now_s - job.submit_s) / max(1.0, end_s - job.submit_s)))
            if job.job_id not in self.decided:
                self.decided.add(job.job_id)
                metrics.observe("job_decided_seconds", 0.03 + 0.001 * (len(self.decided) % 50), policy=POLICY)
                metrics.observe("admission_duration_seconds", 0.002, policy=POLICY)
                metrics.add("actions_total", policy=POLICY, action="hold", outcome="done")
        for _ in self.held - held:
            metrics.add("holds_ended_total", policy=POLICY, reason="planned")
            metrics.add("actions_total", policy=POLICY, action="release", outcome="done")
        self.held = held
        for state, number in counts.items():
            metrics.set("jobs", float(number), policy=POLICY, state=state)
        metrics.set("hold_used_ratio_max", used, policy=POLICY)
        busy = {kind: sum(job.gpus for job in there if job.running and job.insulated is kind) for kind in (True, False)}
        uses = {"insulated": busy[True], "flexible": busy[False], "free": GPUS - sum(busy.values()), "gone": 0}
        metrics.replace("gpus", {("hall-a", use): float(gpus) for use, gpus in uses.items()})

    def _gpus(self, at_s: float) -> None:
        """Every GPU as the agent of its node tells it; jobs take the first that are free."""
        running = {job.job_id: job for job in self.world.cluster.running.values()}
        self.places = {name: gpus for name, gpus in self.places.items() if name in running}
        taken = {number for numbers in self.places.values() for number in numbers}
        for name, job in running.items():
            if name not in self.places:
                free = [number for number in range(GPUS) if number not in taken][: job.gpus]
                self.places[name] = free
                taken |= set(free)
        of = {number: running[name] for name, numbers in self.places.items() for number in numbers}
        total_w = 0.0
        for number in range(GPUS):
            job = of.get(number)
            draw_w = IDLE_W if job is None else job.draw_w
            total_w += draw_w
            cap_w = None if job is None or job.cap_w is None or job.cap_w >= job.natural_w else job.cap_w
            self.capped_s[number] += 0.0 if cap_w is None else STEP_S * 0.8
            self._gpu(at_s, number, draw_w, cap_w)
        self.kept.put(at_s, "gpu_power_watts", total_w, pool="hall-a")

    def _gpu(self, at_s: float, number: int, draw_w: float, cap_w: float | None) -> None:
        own = {"gpu": f"GPU-{number:04d}", "instance": f"gpu-{number // GPUS_A_NODE}"}
        put = self.kept.put
        put(at_s, "agent_gpu_power_watts", draw_w * (1.0 + 0.01 * sin(at_s / 400.0 + number)), **own)
        put(at_s, "agent_gpu_power_limit_watts", cap_w or FULL_W, kind="enforced", **own)
        put(at_s, "agent_gpu_temperature_celsius", 31.0 + 0.045 * draw_w + number % 5, **own)
        put(at_s, "agent_gpu_utilization_ratio", 0.0 if draw_w <= IDLE_W else 0.97, **own)
        put(at_s, "agent_gpu_capped_seconds_total", self.capped_s[number], **own)
        put(at_s, "agent_cap_condition", 1.0, kind="free" if cap_w is None else "capped", **own)
        put(at_s, "agent_sampler_lag_seconds", 0.01, **own)
        if cap_w is not None:
            put(at_s, "agent_cap_lease_seconds", 120.0 - at_s % 10.0, **own)
            put(at_s, "agent_gpu_clocks_held_back", 1.0, reason="power_cap", **own)


def _state(job: VirtualJob) -> str:
    """What is done with a job, in the words of the operator."""
    if job.job_class.flexibility is Flexibility.INSULATED:
        return "insulated"
    if job.phase is JobPhase.PAUSED:
        return "paused"
    if job.running:
        return "running"
    return "waiting" if job.released else "held"


def instants() -> Iterator[tuple[float, float]]:
    """Instants of the day with their hour."""
    for step in range(SLOTS * SLOT_S // STEP_S):
        yield FIRST_UTC.timestamp() + step * STEP_S, step * STEP_S / 3600.0


def made_up(kept: Kept) -> None:
    """Everything that the simulation does not have; every number is invented."""
    for at_s, hour in instants():
        since_s = at_s - FIRST_UTC.timestamp()
        _cluster(kept, at_s, hour, since_s)
        _sources(kept, at_s, hour, since_s)
        _link(kept, at_s, hour, since_s)
        _nodes(kept, at_s, hour)


def _cluster(kept: Kept, at_s: float, hour: float, since_s: float) -> None:
    put = kept.put
    put(at_s, "leader", 1.0, pod="operator-0")
    put(at_s, "leader_changes_total", 1.0, pod="operator-0", change="began")
    put(at_s, "other_installation", 0.0, pod="operator-0")
    put(at_s, "queue_depth", max(0.0, round(2.0 * sin(since_s / 900.0))))
    for code, each_s in (("200", 1.9), ("201", 0.05), ("409", 0.004)):
        put(at_s, "api_requests_total", each_s * (since_s + 900.0 * sin(hour)), verb="patch", code=code)
    for verb, share in (("get", 0.7), ("patch", 0.5), ("put", 0.6)):
        for bucket, part in (("0.01", share), ("0.025", 0.93), ("0.05", 0.98), ("0.1", 1.0), ("+Inf", 1.0)):
            put(at_s, "api_request_duration_seconds_bucket", since_s * part, verb=verb, le=bucket)
    for kind, each_s in (("jobs", 0.02), ("events", 0.03), ("dispatchplans", 1 / 900), ("nodepowers", 0.01), ("leases", 0.1)):
        put(at_s, "api_writes_total", each_s * since_s, kind=kind, verb="patch")
    for kind, count in (("jobs", 40.0), ("pods", 60.0), ("nodes", 8.0), ("nodepowers", 8.0)):
        put(at_s, "store_objects", count + round(6.0 * sin(hour / 3.0)) * (kind in ("jobs", "pods")), kind=kind)
        put(at_s, "store_last_event_timestamp_seconds", at_s - (since_s * (3 if kind == "nodes" else 7)) % 61.0, kind=kind)
        put(at_s, "store_relists_total", 0.0, kind=kind, reason="fault")
    put(at_s, "agents", 8.0, state="answering")
    put(at_s, "agents", float(5.0 <= hour < 5.5), state="silent")


def _sources(kept: Kept, at_s: float, hour: float, since_s: float) -> None:
    gone = 12.0 <= hour < 14.0
    kept.put(at_s, "source_usable", 1.0, source="history")
    for quantity, every_s in (("price", 3600.0), ("carbon", 900.0), ("outdoor", 3600.0)):
        failed = quantity == "carbon" and gone
        age_s = since_s % every_s if not failed else (hour - 12.0) * 3600.0
        kept.put(at_s, "source_age_seconds", age_s, quantity=quantity, source=f"{quantity}-first")
        kept.put(at_s, "source_fallback_depth", float(failed), quantity=quantity)
        for reason in ("implausible", "conflict"):
            value = 3.0 * (quantity == "outdoor" and reason == "implausible" and hour >= 9.0)
            kept.put(at_s, "source_rejected_values_total", value, source=f"{quantity}-first", reason=reason)
    unanswered = min(max(0.0, hour - 12.0), 2.0) * 4.0
    kept.put(at_s, "source_polls_total", hour * 6.0 - unanswered, source="all", outcome="good")
    kept.put(at_s, "source_polls_total", unanswered, source="all", outcome="unanswered")


def _link(kept: Kept, at_s: float, hour: float, since_s: float) -> None:
    put, own = kept.put, {"instance": "10.0.7.4:9465"}
    taken_over = 18.0 <= hour < 18.67
    sequence = 400.0 + hour // 1.25
    put(at_s, "link_speaks", 1.0, **own)
    put(at_s, "link_operator_silent_seconds", since_s % 5.0, **own)
    put(at_s, "link_beats_total", since_s / 10.0, **own)
    for interface in ("rest", "modbus"):
        put(at_s, "link_interface_up", 1.0, interface=interface, **own)
        put(at_s, "link_interface_failures_total", 0.0, interface=interface, **own)
        put(at_s, "link_refusals_total", 4.0 * (hour >= 7.0) * (interface == "modbus"), protocol=interface, **own)
    to = {"offtake": TOWN, **own}
    put(at_s, "link_schedule_sequence", sequence, **to)
    put(at_s, "link_acknowledged_sequence", sequence - float(since_s % 4500.0 < STEP_S), **to)
    put(at_s, "link_schedule_valid_seconds", 10800.0 - since_s % 4500.0, **to)
    put(at_s, "link_boiler_signal", float(taken_over), **to)
    put(at_s, "link_alarm", float(taken_over), **to)
    put(at_s, "link_override", float(taken_over), **to)
    put(at_s, "link_plant_heartbeat_age_seconds", since_s % 30.0, **to)
    put(at_s, "link_plant_heard_age_seconds", since_s % 10.0, **to)
    for kind, each_h in (("heartbeat", 120.0), ("acknowledgement", 0.8), ("demand", 1.0)):
        put(at_s, "link_letters_total", each_h * hour, kind=kind, verdict="accepted", **own)


def _nodes(kept: Kept, at_s: float, hour: float) -> None:
    for node in range(GPUS // GPUS_A_NODE):
        own = {"instance": f"gpu-{node}"}
        put = kept.put
        for name, value in (("driver_up", 1.0), ("setter_up", 1.0), ("gpus", float(GPUS_A_NODE)), ("gpus_lost", 0.0)):
            put(at_s, f"agent_{name}", value, **own)
        put(at_s, "agent_operator_silent_seconds", (at_s + 3.0 * node) % 10.0, **own)
        put(at_s, "agent_occupancy_age_seconds", 0.5, **own)
        put(at_s, "agent_cap_foreign_writes_total", float(node == 2 and hour >= 15.0), **own)
        put(at_s, "agent_cap_read_back_failures_total", 0.0, **own)
        put(at_s, "agent_cap_journal_failures_total", 0.0, **own)
        put(at_s, "agent_cap_clamps_total", 0.0, **own)
        for reason in ("expired", "silent", "released", "occupant"):
            put(at_s, "agent_cap_restores_total", (hour // 2.0 + node % 3) * (reason == "released"), reason=reason, **own)
        put(at_s, "agent_cap_refused_total", float(node == 5 and hour >= 11.0), reason="occupant unknown", **own)
