"""Every metric of the operator: name, labels and a help text for somebody who was just woken up by an alert.

Base units: seconds, watts, joules, euros, ratios between 0 and 1. A label has few values: policies, plugs, kinds, reasons;
never jobs, pods or nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "heatdispatch"


class Kind(StrEnum):
    """Kinds of metrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. `name` has no prefix; a counter's ends in `_total`; `buckets` are upper bounds of a histogram."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """The name that Prometheus sees."""
        return f"{PREFIX}_{self.name}"


def counter(name: str, text: str, *labels: str) -> Metric:
    """A counter; rates of it are what matters."""
    return Metric(name=name, kind=Kind.COUNTER, help=text, labels=labels)


def gauge(name: str, text: str, *labels: str) -> Metric:
    """A value that rises and falls."""
    return Metric(name=name, kind=Kind.GAUGE, help=text, labels=labels)


def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    """A distribution."""
    return Metric(name=name, kind=Kind.HISTOGRAM, help=text, labels=labels, buckets=buckets)


SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CYCLE_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0)

CYCLE = (
    histogram(
        "cycle_duration_seconds",
        "Time from the look at the cluster to the last action handed over. Beyond half a cycle plans come late.",
        CYCLE_S,
        "policy",
    ),
    counter(
        "cycles_total",
        "Cycles by the step of their plan: fresh is normal; lastGood, ruleBased and letGo say that something is missing, and "
        "the DispatchPlan's status says what.",
        "policy",
        "status",
    ),
    gauge(
        "last_cycle_timestamp_seconds",
        "Unix time of the last decision. If it stands still the loop is stuck; holds end by themselves.",
        "policy",
    ),
    gauge("cycle_interval_seconds", "Time between plans as the policy states it: a plan may be as old.", "policy"),
    gauge(
        "degraded_step",
        "Step in force: 0 fresh, 1 last good plan, 2 rule-based plan, 3 let go: all holds released.",
        "policy",
    ),
    gauge("mode", "1 for the mode in force (Observe, Advise, Dispatch), 0 for the others.", "policy", "mode"),
    gauge("plan_gap_ratio", "Proven gap of the plan in force: it costs at most this share more than the best one.", "policy"),
    gauge("plan_cost_euros", "Cost of the plan in force over its horizon, by term; revenue is negative.", "policy", "term"),
    gauge("baseline_cost_euros", "Cost of the simplest rule over the same horizon, by term.", "policy", "term"),
    histogram("plan_duration_seconds", "Time the solver took for a plan.", CYCLE_S, "policy"),
)

JOBS = (
    gauge(
        "jobs",
        "Jobs by what is done with them: running, held (by us), waiting (released, no room yet), paused (stopped by us), owner "
        "(suspended by their owner; we never touch these), insulated.",
        "policy",
        "state",
    ),
    gauge(
        "hold_used_ratio_max",
        "Of all held jobs the largest share of its longest hold that has passed; at 1 it is released whatever the plan says.",
        "policy",
    ),
    counter("actions_total", "Actions carried out, by kind and outcome.", "policy", "action", "outcome"),
    counter("actions_refused_total", "Actions that the guard did not let pass, by reason.", "policy", "reason"),
    counter(
        "holds_ended_total",
        "Holds that ended, by reason: planned; HoldOver (its longest time was over); LetGo (all are released, or this one may "
        "not be held any more); owner (took it over); deleted.",
        "policy",
        "reason",
    ),
    histogram("admission_duration_seconds", "Time to price a new job on the last plan and decide about it.", SHORT_S, "policy"),
    histogram(
        "job_decided_seconds",
        "Time from the moment at which the API server told of a new job to the decision about it.",
        REQUEST_S,
        "policy",
    ),
)

HEAT = (
    gauge(
        "heat_offer_watts",
        "Heat offered for this hour, by plug and quantile (p10, p50, p90, firm); none in mode Observe.",
        "plug",
        "quantile",
    ),
    gauge("heat_demand_watts", "Heat demand forecast for the present hour, by customer.", "offtake"),
    gauge("heat_captured_watts", "Heat caught by a plug's loop now, measured or from the model.", "plug"),
    gauge("heat_metered_watts", "Heat at a plug's hand-off as its customers measured it, as of the last plan.", "plug"),
    gauge(
        "heat_residual_watts",
        "Heat that the last plan reckoned to hand over as it began, less what its customers measured; none in Advise. A pump "
        "that fails shows here while the servers' power is as ever.",
        "plug",
    ),
    gauge("tank_joules", "Heat in the tank above the return temperature, as of the last plan.", "plug"),
    gauge("electricity_price_euros_per_joule", "All-in price of electricity now (times 3.6e9: EUR/MWh).", "policy"),
    gauge("gpu_power_watts", "Draw of all GPUs of a pool now.", "pool"),
    gauge("gpus", "GPUs of a pool by use: insulated, flexible, free, gone.", "pool", "use"),
)

SOURCES = (
    gauge("source_age_seconds", "Time since a source last told of a quantity.", "source", "quantity"),
    gauge(
        "source_last_success_timestamp_seconds", "Unix time at which a source last told of a quantity.", "source", "quantity"
    ),
    gauge(
        "source_fallback_depth",
        "Place of the source in use in the chain of a quantity: 0 the first; -1: none of the chain is usable, and what was "
        "heard last, a model or the last plan is used.",
        "quantity",
    ),
    counter(
        "source_rejected_values_total",
        "Values that a source told and that were not taken, by reason: implausible, conflict (told twice, differently), unit, "
        "currency (no rate), basis (average or marginal), far, infinite, quantity, surplus.",
        "source",
        "reason",
    ),
    counter(
        "source_polls_total",
        "Polls by outcome: good; partial (values with gaps or rejected ones); nothing (not published yet); unanswered; "
        "malformed; unusable (no value that could be taken).",
        "source",
        "outcome",
    ),
    gauge("agents", "Node agents that measure power (answering), and those not heard for three minutes (silent).", "state"),
    gauge(
        "dcgm_nodes",
        "Nodes of whose power DCGM tells (answering), by way (exporter, prometheus); silent: those asked that are not heard.",
        "way",
        "state",
    ),
    gauge("source_usable", "1 while the past is kept (source history), 0 while its database is away.", "source"),
)

CLUSTER = (
    gauge("leader", "1 on the replica that acts. The sum over replicas must never be above 1."),
    counter("leader_changes_total", "Times this replica became leader or lost it.", "change"),
    gauge(
        "other_installation",
        "1 while an operator of another installation (namespace) is in this cluster. One acts, the other only observes: "
        "uninstall one. The log and the policies' condition OnlyOperator say which.",
    ),
    gauge(
        "right_missing",
        "1 for each right that the API server refuses to the operator now; what needs it does not happen, the rest goes on.",
        "verb",
        "resource",
    ),
    counter(
        "api_requests_total",
        "Requests to the API server by verb (get, patch, post, put, delete, watch) and status code (0: no answer).",
        "verb",
        "code",
    ),
    histogram(
        "api_request_duration_seconds",
        "Time until the answer of the API server to a request began, watches aside.",
        REQUEST_S,
        "verb",
    ),
    counter("api_writes_total", "Objects written, by kind and what was done.", "kind", "verb"),
    counter("api_writes_fenced_total", "Writes that were not sent because the lease was not surely ours.", "kind"),
    gauge("store_objects", "Objects that the operator knows of, by kind.", "kind"),
    gauge(
        "store_last_event_timestamp_seconds",
        "Unix time at which the API server last spoke about a kind, bookmarks included. If it stands still we are blind to it.",
        "kind",
    ),
    counter(
        "store_relists_total",
        "Times a kind was listed, by reason: start; gone (a version is no longer known) and silence (no word of a kind without "
        "objects) are usual; fault.",
        "kind",
        "reason",
    ),
    gauge("queue_depth", "Keys that wait to be looked at."),
    counter("queue_retries_total", "Looks that had to be repeated, by reason.", "reason"),
)

CATALOG: tuple[Metric, ...] = (*CYCLE, *JOBS, *HEAT, *SOURCES, *CLUSTER)
