"""The Grafana dashboards as code: what is asked of Prometheus, in which unit it is shown, and why one looks at it.

`scripts/generate.py` writes them as JSON into the chart. Energy and power are asked for in the base units in which metrics are
told (joules, watts) and shown by Grafana in what suits their size.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import PurePosixPath
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders.common import StackingConfig, VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TimeZoneBrowser,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

FOLDER = PurePosixPath("helm/heat-dispatch/dashboards")
TAG = "heat-dispatch"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
EUR_PER_MWH = "* 3.6e9"
WIDE, HALF, THIRD, QUARTER = 24, 12, 8, 6
GOOD, WARN, BAD = "green", "orange", "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One query and how its series are called."""

    expr: str
    legend: str = "__auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One panel. `warn`, `bad`: from there on it is orange, red; falling: below. one: a single number instead of a graph."""

    title: str
    why: str
    asks: tuple[Ask, ...]
    unit: str
    span: int = HALF
    one: bool = False
    stacked: bool = False
    warn: float | None = None
    bad: float | None = None
    falling: bool = False
    least: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One dashboard: rows of panels. `asked`: variables of the page, name -> query of label values."""

    uid: str
    title: str
    why: str
    rows: tuple[tuple[str, tuple[Look, ...]], ...]
    asked: dict[str, str] = field(default_factory=dict)


def one(title: str, why: str, expr: str, unit: str, **more: Any) -> Look:
    """A single number."""
    return Look(title=title, why=why, asks=(Ask(expr=expr, legend=title),), unit=unit, one=True, **{"span": QUARTER, **more})


def many(title: str, why: str, unit: str, *asks: tuple[str, str], **more: Any) -> Look:
    """Lines over time, each as (query, legend)."""
    return Look(title=title, why=why, asks=tuple(Ask(expr=expr, legend=legend) for expr, legend in asks), unit=unit, **more)


def offer(quantile: str) -> str:
    """The heat offered at one quantile, of all plugs that are looked at."""
    return f'sum(max by (plug) (heatdispatch_heat_offer_watts{{quantile="{quantile}",plug=~"$plug"}}))'


SITE = Board(
    uid="heat-dispatch-site",
    title="Heat dispatch / Site",
    why="Heat against demand, what it costs and what the plan saves. For whoever is responsible for energy.",
    asked={"plug": "label_values(heatdispatch_heat_offer_watts, plug)"},
    rows=(
        (
            "Now",
            (
                one("Heat expected", "Median of the offer for this hour.", offer("p50"), "watt"),
                one("Heat promised", "Firm heat of this hour.", offer("firm"), "watt"),
                one("Electricity, per MWh", "All-in price now.",
                    f"max(heatdispatch_electricity_price_euros_per_joule) {EUR_PER_MWH}", "currencyEUR"),
                one("Plan saves", "Cost of the simplest rule minus that of the plan, over the plan's horizon.",
                    "sum(heatdispatch:plan_saving_euros)", "currencyEUR"),
            ),
        ),
        (
            "Heat",
            (
                many("Heat against demand", "Where demand is above what is offered, somebody's boiler runs.", "watt",
                     (offer("p10"), "offered, p10"), (offer("p50"), "offered, median"), (offer("p90"), "offered, p90"),
                     (offer("firm"), "firm"), ("sum(max by (offtake) (heatdispatch_heat_demand_watts))", "demand forecast"),
                     span=WIDE),
                many("Heat captured", "What the loops catch now.", "watt",
                     ('max by (plug) (heatdispatch_heat_captured_watts{plug=~"$plug"})', "{{plug}}")),
                many("Tanks", "Heat above the return temperature.", "joule",
                     ('max by (plug) (heatdispatch_tank_joules{plug=~"$plug"})', "{{plug}}"), least=0.0),
            ),
        ),
        (
            "Money and power",
            (
                many("Electricity price, per MWh", "All-in: energy, network, taxes.", "currencyEUR",
                     (f"max(heatdispatch_electricity_price_euros_per_joule) {EUR_PER_MWH}", "all-in")),
                many("Cost of the plan by term", "Over the plan's horizon; revenue is negative.", "currencyEUR",
                     ("sum by (term) (max by (policy, term) (heatdispatch_plan_cost_euros)) != 0", "{{term}}"), stacked=True),
                many("Draw of GPUs", "By pool.", "watt", ("max by (pool) (heatdispatch_gpu_power_watts)", "{{pool}}"),
                     stacked=True, span=WIDE),
            ),
        ),
    ),
)  # fmt: skip

JOBS = Board(
    uid="heat-dispatch-jobs",
    title="Heat dispatch / Plan and jobs",
    why="What waits, for how long it may, and how good the plan is. For whoever runs the cluster.",
    asked={"policy": "label_values(heatdispatch_degraded_step, policy)"},
    rows=(
        (
            "Now",
            (
                one("Plan overdue", "Beyond the time between plans that the policy states.",
                    'clamp_min(max(heatdispatch:plan_overdue_seconds{policy=~"$policy"}), 0)', "s", warn=300.0, bad=1800.0),
                one("Step in force", "0 fresh plan, 1 last good plan, 2 by rule, 3 let go.",
                    'max(heatdispatch_degraded_step{policy=~"$policy"})', "none", warn=1.0, bad=3.0),
                one("Held jobs", "Kept from starting by us.",
                    'sum(max by (policy) (heatdispatch_jobs{policy=~"$policy",state="held"}))', "none"),
                one("Longest hold used", "Of all held jobs; at 100 % it is let go whatever the plan says.",
                    'max(heatdispatch_hold_used_ratio_max{policy=~"$policy"})', "percentunit", warn=0.8, bad=0.95),
            ),
        ),
        (
            "Jobs",
            (
                many("Jobs by what is done with them", "Owner: suspended by their owner, never touched by us.", "none",
                     ('sum by (state) (max by (policy, state) (heatdispatch_jobs{policy=~"$policy"}))', "{{state}}"),
                     stacked=True),
                many("GPUs by use", "Gone: on nodes that are away.", "none",
                     ("sum by (use) (max by (pool, use) (heatdispatch_gpus))", "{{use}}"), stacked=True),
                many("Actions an hour", "Carried out, by kind.", "none",
                     ('sum by (action) (increase(heatdispatch_actions_total{policy=~"$policy"}[1h]))', "{{action}}")),
                many("Holds that ended, an hour", "HoldOver: the longest hold was reached.", "none",
                     ('sum by (reason) (increase(heatdispatch_holds_ended_total{policy=~"$policy"}[1h]))', "{{reason}}")),
                many("Refused by the guard, an hour", "The last word before any write; above zero deserves a look.", "none",
                     ('sum by (reason) (increase(heatdispatch_actions_refused_total{policy=~"$policy"}[1h]))', "{{reason}}")),
                many("New job until its decision", "From the API server's word on; pricing is a part of it.", "s",
                     ("histogram_quantile(0.95, sum by (le) (rate("
                      'heatdispatch_admission_duration_seconds_bucket{policy=~"$policy"}[1h])))', "pricing, p95"),
                     *((f"histogram_quantile({share}, sum by (le) (rate("
                        'heatdispatch_job_decided_seconds_bucket{policy=~"$policy"}[1h])))', f"p{round(100 * share)}")
                       for share in (0.5, 0.95)), bad=2.0),
            ),
        ),
        (
            "Plan",
            (
                many("Cycles by their step, an hour", "Anything but fresh says that an input is missing.", "none",
                     ('sum by (status) (increase(heatdispatch_cycles_total{policy=~"$policy"}[1h]))', "{{status}}"),
                     stacked=True),
                many("Proven gap", "The plan costs at most this share more than the best one.", "percentunit",
                     ('max by (policy) (heatdispatch_plan_gap_ratio{policy=~"$policy"})', "{{policy}}"), warn=0.005),
                many("Duration of cycles and solves", "p95 over an hour.", "s",
                     ("histogram_quantile(0.95, sum by (le) (rate("
                      'heatdispatch_cycle_duration_seconds_bucket{policy=~"$policy"}[1h])))', "cycle"),
                     ("histogram_quantile(0.95, sum by (le) (rate("
                      'heatdispatch_plan_duration_seconds_bucket{policy=~"$policy"}[1h])))', "solve")),
                many("Plan against the simplest rule", "Over the plan's horizon.", "currencyEUR",
                     ('sum(max by (policy, term) (heatdispatch_plan_cost_euros{policy=~"$policy"}))', "plan"),
                     ('sum(max by (policy, term) (heatdispatch_baseline_cost_euros{policy=~"$policy"}))', "baseline")),
                many("Age of the plan", "Since the last decision.", "s",
                     ('heatdispatch:plan_age_seconds{policy=~"$policy"}', "{{policy}}")),
                many("Mode in force", "Only Dispatch writes to jobs.", "none",
                     ('max by (policy, mode) (heatdispatch_mode{policy=~"$policy"}) > 0', "{{policy}}: {{mode}}"),
                     stacked=True),
            ),
        ),
    ),
)  # fmt: skip

GPUS = Board(
    uid="heat-dispatch-gpus",
    title="Heat dispatch / GPU power",
    why="Draw, caps and leases of every node, and whether anybody else sets limits. For whoever answers for the GPUs.",
    asked={"instance": "label_values(heatdispatch_agent_driver_up, instance)"},
    rows=(
        (
            "Now",
            (
                one("Draw", "Of all GPUs whose agents are looked at.",
                    'sum(heatdispatch_agent_gpu_power_watts{instance=~"$instance"})', "watt"),
                one("GPUs capped", "A limit of ours is in force.",
                    'sum(heatdispatch_agent_cap_condition{instance=~"$instance",kind="capped"}) or vector(0)', "none"),
                one("GPUs lost", "They do not answer.", 'sum(heatdispatch_agent_gpus_lost{instance=~"$instance"})', "none",
                    bad=1.0),
                one("Setters away", "Their GPUs are not capped for long.",
                    'count(heatdispatch_agent_setter_up{instance=~"$instance"} == 0) or vector(0)', "none", bad=1.0),
            ),
        ),
        (
            "Power",
            (
                many("Draw by node", "Mean of a second on most GPUs.", "watt",
                     ('sum by (instance) (heatdispatch_agent_gpu_power_watts{instance=~"$instance"})', "{{instance}}"),
                     stacked=True),
                many("Enforced limits", "Lowest and highest of each node.", "watt",
                     ('min by (instance) (heatdispatch_agent_gpu_power_limit_watts{instance=~"$instance",kind="enforced"})',
                      "{{instance}} lowest"),
                     ('max by (instance) (heatdispatch_agent_gpu_power_limit_watts{instance=~"$instance",kind="enforced"})',
                      "{{instance}} highest")),
                many("Time held back by a limit", "Share of the time, mean of a node's GPUs.", "percentunit",
                     ('avg by (instance) (rate(heatdispatch_agent_gpu_capped_seconds_total{instance=~"$instance"}[15m]))',
                      "{{instance}}")),
                many("Temperature", "Hottest GPU of each node.", "celsius",
                     ('max by (instance) (heatdispatch_agent_gpu_temperature_celsius{instance=~"$instance"})', "{{instance}}"),
                     warn=83.0, bad=90.0),
                many("Utilisation", "Share of time in which a node's GPUs compute.", "percentunit",
                     ('avg by (instance) (heatdispatch_agent_gpu_utilization_ratio{instance=~"$instance"})', "{{instance}}")),
                many("What holds clocks back", "GPUs, by reason; thermal and power_brake: look at the machine.", "none",
                     ('sum by (reason) (heatdispatch_agent_gpu_clocks_held_back{instance=~"$instance"}) '
                      'or sum by (reason) (0 * heatdispatch_agent_gpus{instance=~"$instance"})', "{{reason}}"), stacked=True),
            ),
        ),
        (
            "Caps",
            (
                many("GPUs by how they stand", "Yielded: somebody else sets their limit.", "none",
                     ('sum by (kind) (heatdispatch_agent_cap_condition{instance=~"$instance"})', "{{kind}}"), stacked=True),
                many("Lease left", "Shortest of each node; at zero limits come back by themselves.", "s",
                     ('min by (instance) (heatdispatch_agent_cap_lease_seconds{instance=~"$instance"})', "{{instance}}")),
                many("Limits given back, an hour", "Expired and silent are the leases at work.", "none",
                     ('sum by (reason) (increase(heatdispatch_agent_cap_restores_total{instance=~"$instance"}[1h]))',
                      "{{reason}}")),
                many("What went wrong, an hour", "Foreign writers, limits not taken, journals that cannot be written.",
                     "none",
                     ('sum(increase(heatdispatch_agent_cap_foreign_writes_total{instance=~"$instance"}[1h]))', "foreign"),
                     ('sum(increase(heatdispatch_agent_cap_read_back_failures_total{instance=~"$instance"}[1h]))', "not taken"),
                     ('sum(increase(heatdispatch_agent_cap_journal_failures_total{instance=~"$instance"}[1h]))', "journal")),
                many("Wishes not followed, an hour", "Refused, by reason; raised: lower than what may be.", "none",
                     ('sum by (reason) (increase(heatdispatch_agent_cap_refused_total{instance=~"$instance"}[1h]))',
                      "{{reason}}"),
                     ('sum(increase(heatdispatch_agent_cap_clamps_total{instance=~"$instance"}[1h]))', "raised")),
                many("How old what caps rest on is", "The operator's sign of life, the kubelet's word, readings.", "s",
                     ('max(heatdispatch_agent_operator_silent_seconds{instance=~"$instance"})', "operator"),
                     ('max(heatdispatch_agent_occupancy_age_seconds{instance=~"$instance"})', "kubelet"),
                     ('max(heatdispatch_agent_sampler_lag_seconds{instance=~"$instance"})', "reading late by")),
            ),
        ),
    ),
)  # fmt: skip

OPERATOR = Board(
    uid="heat-dispatch-operator",
    title="Heat dispatch / Operator health",
    why="Whether the operator sees, decides and writes, and what its sources tell. For whoever is on call.",
    rows=(
        (
            "Now",
            (
                one("Leaders", "Exactly one.", "sum(heatdispatch_leader)", "none", falling=True, bad=1.0),
                one("Rights missing", "What needs them does not happen.",
                    "sum(max by (verb, resource) (heatdispatch_right_missing)) or vector(0)", "none", bad=1.0),
                one("Quantities without a source", "Of their chains nobody is usable.",
                    "count(max by (quantity) (heatdispatch_source_fallback_depth) < 0) or vector(0)", "none", warn=1.0),
                one("Agents silent", "Not heard for three minutes.",
                    'max(heatdispatch_agents{state="silent"}) or vector(0)', "none", warn=1.0),
                one("Past kept", "0: its database is away.", 'min(heatdispatch_source_usable{source="history"})', "none",
                    falling=True, bad=1.0),
                one("Other installations", "One acts, the other only looks.", "max(heatdispatch_other_installation)", "none",
                    bad=1.0),
            ),
        ),
        (
            "Sources",
            (
                many("Age of what sources told", "By quantity, the youngest of each.", "s",
                     ("min by (quantity) (heatdispatch_source_age_seconds)", "{{quantity}}")),
                many("Place in the chain", "0 the first source; -1 none is usable.", "none",
                     ("max by (quantity) (heatdispatch_source_fallback_depth)", "{{quantity}}")),
                many("Polls an hour", "By outcome.", "none",
                     ("sum by (outcome) (increase(heatdispatch_source_polls_total[1h]))", "{{outcome}}"), stacked=True),
                many("Values not taken, an hour", "They cannot be, or contradict each other.", "none",
                     ("sum by (source, reason) (increase(heatdispatch_source_rejected_values_total[1h]))",
                      "{{source}}: {{reason}}")),
            ),
        ),
        (
            "API server",
            (
                many("Requests a second", "By status code; 0: no answer.", "reqps",
                     ("sum by (code) (rate(heatdispatch_api_requests_total[5m]))", "{{code}}"), stacked=True),
                many("Duration of requests", "p95, by verb.", "s",
                     ("histogram_quantile(0.95, sum by (le, verb) (rate("
                      "heatdispatch_api_request_duration_seconds_bucket[5m])))", "{{verb}}")),
                many("Writes a minute", "By kind.", "none",
                     ("sum by (kind) (rate(heatdispatch_api_writes_total[5m])) * 60", "{{kind}}"), stacked=True),
                many("Not heard of", "Time since the API server spoke of a kind.", "s",
                     ("time() - max by (kind) (heatdispatch_store_last_event_timestamp_seconds)", "{{kind}}"), bad=600.0),
                many("Objects known", "By kind.", "none", ("max by (kind) (heatdispatch_store_objects)", "{{kind}}")),
                many("Looks that wait", "A queue that grows says that decisions come late.", "none",
                     ("max(heatdispatch_queue_depth)", "waiting")),
                many("Done again or not at all, an hour", "Looks, writes without a sure lease, kinds listed after a fault.",
                     "none",
                     ("sum(increase(heatdispatch_queue_retries_total[1h])) or vector(0)", "looks repeated"),
                     ("sum(increase(heatdispatch_api_writes_fenced_total[1h])) or vector(0)", "writes not sent"),
                     ('sum(increase(heatdispatch_store_relists_total{reason="fault"}[1h])) or vector(0)', "kinds listed anew")),
                many("Changes of leadership, a day", "By replica.", "none",
                     ("sum by (pod, change) (increase(heatdispatch_leader_changes_total[1d]))", "{{pod}} {{change}}")),
            ),
        ),
    ),
)  # fmt: skip

SPEAKS = "and on (instance) heatdispatch_link_speaks == 1"


def link(metric: str) -> str:
    """A number of the link that speaks with the plants, by customer."""
    return f'max by (offtake) (heatdispatch_link_{metric}{{offtake=~"$offtake"}} {SPEAKS})'


CONTRACT = Board(
    uid="heat-dispatch-contract",
    title="Heat dispatch / Heat contract",
    why="What was promised, what the plant was told and what it said. For whoever answers to the heat customer.",
    asked={"offtake": "label_values(heatdispatch_link_boiler_signal, offtake)"},
    rows=(
        (
            "Now",
            (
                one("Boiler signal", "1: it is told to start its boiler.", f"max({link('boiler_signal')})", "none", bad=1.0),
                one("Worst alarm", "0 none, 1 warning, 2 critical.", f"max({link('alarm')})", "none", warn=1.0, bad=2.0),
                one("Overridden", "A person at the plant has taken over.", f"max({link('override')})", "none", warn=1.0),
                one("Schedule valid for", "Of the newest schedule; below 0 it has run out.",
                    f"min({link('schedule_valid_seconds')})", "s", falling=True, bad=600.0),
            ),
        ),
        (
            "Heat",
            (
                many("Promised and expected", "Firm heat is owed; expected heat is what the plan delivers.", "watt",
                     ('sum(max by (plug) (heatdispatch_heat_offer_watts{quantile="firm"}))', "firm"),
                     ('sum(max by (plug) (heatdispatch_heat_offer_watts{quantile="p50"}))', "expected"),
                     ('sum(max by (plug) (heatdispatch_heat_offer_watts{quantile="p10"}))', "p10")),
                many("Demand forecast", "By customer.", "watt",
                     ('max by (offtake) (heatdispatch_heat_demand_watts{offtake=~"$offtake"})', "{{offtake}}")),
            ),
        ),
        (
            "Conversation",
            (
                many("Sequence sent and answered", "The plant answers below what was sent last.", "none",
                     (link("schedule_sequence"), "{{offtake}} sent"), (link("acknowledged_sequence"), "{{offtake}} answered")),
                many("Plant's heartbeat", "Since when its counter stands still.", "s",
                     (link("plant_heartbeat_age_seconds"), "{{offtake}}"), warn=60.0, bad=300.0),
                many("Letters an hour", "What plants said, by kind and by whether it was believed.", "none",
                     ("sum by (kind, verdict) (increase(heatdispatch_link_letters_total[1h]))", "{{kind}}: {{verdict}}")),
                many("Turned away, an hour", "Before it was a letter: no credential, malformed, too often.", "none",
                     ("sum by (protocol) (increase(heatdispatch_link_refusals_total[1h]))", "{{protocol}}")),
                many("Interfaces", "1 works, 0 its plants hear nothing.", "none",
                     (f"max by (interface) (heatdispatch_link_interface_up {SPEAKS})", "{{interface}}"), least=0.0),
                many("How long nothing was heard", "Of the operator by the link (40 s: boilers start), of plants by us.", "s",
                     ("min(heatdispatch_link_operator_silent_seconds)", "operator"),
                     (link("plant_heard_age_seconds"), "{{offtake}}"), bad=60.0),
                many("Heartbeats and new starts of interfaces, an hour", "360 beats are usual.", "none",
                     ("max(increase(heatdispatch_link_beats_total[1h]))", "beats"),
                     ("sum by (interface) (increase(heatdispatch_link_interface_failures_total[1h]))", "{{interface}}")),
                many("Boiler signal and alarm", "Over time.", "none",
                     (link("boiler_signal"), "{{offtake}} boiler"), (link("alarm"), "{{offtake}} alarm")),
            ),
        ),
    ),
)  # fmt: skip

BOARDS = (SITE, CONTRACT, JOBS, GPUS, OPERATOR)


def generated() -> dict[PurePosixPath, str]:
    """Every dashboard as JSON: path from the root of the repository -> text."""
    return {FOLDER / f"{board.uid}.json": _text(board) for board in BOARDS}


def _text(board: Board) -> str:
    """One dashboard as Grafana imports it; the source of data is chosen on the page."""
    built = json.loads(JSONEncoder(sort_keys=True).encode(_dashboard(board).build()))
    built.pop("id", None)
    return json.dumps(built, indent=1, sort_keys=True) + "\n"


def _dashboard(board: Board) -> Dashboard:
    page = (
        Dashboard(board.title)
        .uid(board.uid)
        .description(board.why)
        .tags([TAG])
        .timezone(TimeZoneBrowser)
        .time("now-24h", "now")
        .refresh("1m")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .link(DashboardLink("Heat dispatch").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True).keep_time(True))
    )
    for name, query in board.asked.items():
        page = page.with_variable(
            QueryVariable(name)
            .label(name)
            .datasource(SOURCE)
            .query(query)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    numbers = count(1)
    for title, looks in board.rows:
        page = page.with_row(Row(title).id(next(numbers)))
        for look in looks:
            page = page.with_panel(_panel(look).id(next(numbers)))
    return page


def _panel(look: Look) -> stat.Panel | timeseries.Panel:
    panel: Any = stat.Panel() if look.one else timeseries.Panel()
    panel = (
        panel.title(look.title)
        .description(look.why)
        .datasource(SOURCE)
        .unit(look.unit)
        .height(5 if look.one else 8)
        .span(look.span)
        .thresholds(_thresholds(look))
    )
    if look.least is not None:
        panel = panel.min(look.least)
    for name, ask in zip(ascii_uppercase, look.asks, strict=False):
        panel = panel.with_target(Dataquery().datasource(SOURCE).ref_id(name).expr(ask.expr).legend_format(ask.legend))
    if not look.one:
        legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
        panel = panel.legend(legend).fill_opacity(20 if look.stacked else 0).line_width(1)
        if look.stacked:
            panel = panel.stacking(StackingConfig().mode(StackingMode.NORMAL))
    return panel  # type: ignore[no-any-return]  # one of the two, whose builders share no type


def _thresholds(look: Look) -> ThresholdsConfig:
    """Green, and from a limit on orange or red; for what must not fall the other way round."""
    if look.falling:
        steps = [Threshold(color=BAD, value=None), Threshold(color=GOOD, value=look.bad)]
    else:
        limits: Sequence[tuple[str, float | None]] = ((WARN, look.warn), (BAD, look.bad))
        known = [Threshold(color=color, value=value) for color, value in limits if value is not None]
        steps = [Threshold(color=GOOD, value=None), *known]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
