"""Rules and dashboards on the running system: every query has an answer, every alert that can be caused soon fires.

A real Prometheus reads operator, agent and plant link as the chart's PodMonitors say (`monitored_world`).
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import monitored_causes
import pytest
import yaml
from gpu_machine import built
from monitored_causes import PATIENCE_S, Alerts, bent, capped, dying, hanging, locked, silenced
from monitored_world import NODE, OFFTAKE, SITE, Monitored, chains, end, moment, monitored, replica
from prometheus_server import CHART, RULES, program
from signal_peer import Room
from signal_site import fixed, source

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.metrics.agent import AGENT
from scheduler.adapters.metrics.catalog import CATALOG, Metric
from scheduler.adapters.metrics.link import LINK

DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
RULE_GROUPS = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
ALERTS = {rule["alert"]: rule["expr"] for group in RULE_GROUPS for rule in group["rules"] if "alert" in rule}
RECORDS = {rule["record"]: rule["expr"] for group in RULE_GROUPS for rule in group["rules"] if "record" in rule}
METRICS: dict[str, Metric] = {one.full_name: one for one in (*CATALOG, *AGENT, *LINK)}
# What of an alert's expression would take minutes; what it is of, and by whom, is as it was.
SHORTER = {
    "HeatDispatchPlanStale": {"> 1800": "> -890"},
    "HeatDispatchBlind": {"> 600": "> 5"},
    "HeatDispatchOperatorSilent": {"> 90": "> 25"},
    "HeatDispatchPlantSilent": {"> 300": "> 20"},
    "HeatDispatchCycleSlow": {'le="120.0"': 'le="5.0"', "[1h]": "[1m]"},
}
# By name, why one is not caused here; `tests/chart/test_alert_rules.py` has them all on series that are made up.
NOT_CAUSED: dict[str, str] = {}
# Not told by this system, and why.
NOT_TOLD = {
    "heatdispatch_dcgm_nodes": "no DCGM is set up",
    "heatdispatch_agent_gpu_instances": "no GPU is split",
    "heatdispatch_agent_host_energy_joules_total": "nothing measures the host",
    "heatdispatch_agent_host_power_up": "nothing measures the host",
    "heatdispatch_right_missing": "it has all rights",
    "heatdispatch_heat_metered_watts": "the plant does not say yet what arrives",
    "heatdispatch_heat_residual_watts": "the plant does not say yet what arrives",
    "heatdispatch_queue_retries_total": "no look had to be repeated",
    "heatdispatch_api_writes_fenced_total": "the lease was sure at every write",
}


@pytest.fixture(scope="module")
def system(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Everything, at its work."""
    program("prometheus")
    try:
        library = built(tmp_path_factory.mktemp("nvml"))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with monitored(toolbox, library, tmp_path_factory.mktemp("monitored"), SHORTER) as found:
        yield found


def page(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def filled(expr: str, variables: dict[str, list[str]]) -> str:
    """A query with its variables as Grafana fills them in where all values are chosen one by one."""
    for name, values in variables.items():
        # Grafana escapes what regular expressions mean, and quotes that once more for Prometheus.
        chosen = "|".join(re.sub(r"([.\\|()\[\]{}^$*+?])", r"\\\\\1", value) for value in values)
        expr = expr.replace(f"${name}", f"({chosen})")
    assert "$" not in expr, expr
    return expr


def asked(system: Monitored, path: Path) -> dict[str, str]:
    """The queries of a dashboard by panel and legend, with the variables that it asks for itself."""
    board, variables = page(path), {}
    for one in board["templating"]["list"]:
        if one["type"] == "query":
            query = one["query"] if isinstance(one["query"], str) else one["query"]["query"]
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
            assert found, query
            metric, label = found.groups()
            variables[one["name"]] = system.prometheus.label_values(metric, label)
            assert variables[one["name"]], f"{path.stem}: nothing to choose from for {one['name']}"
    return {
        f"{panel['title']}: {target['legendFormat']}": filled(target["expr"], variables)
        for panel in board["panels"]
        if panel["type"] != "row"
        for target in panel["targets"]
    }


def test_everything_is_read_as_the_chart_says(system: Monitored) -> None:
    prometheus = system.prometheus
    prometheus.wait("no trouble", lambda: not prometheus.problems(), PATIENCE_S)
    found = {(one.labels["job"], one.labels["container"], one.labels["endpoint"]): one.value for one in prometheus.ask("up")}
    assert found == {
        ("heat-dispatch/heat-dispatch-operator", "operator", "http"): 1.0,
        ("heat-dispatch/heat-dispatch-operator", "plant-link", "link-pages"): 1.0,
        ("heat-dispatch-agents/heat-dispatch-agent", "agent", "telemetry"): 1.0,
    }
    assert system.agent.ask("/metrics").status_code == 200
    system.agent.token, token = "", system.agent.token
    assert system.agent.ask("/metrics").status_code == 401
    system.agent.token = token


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_has_an_answer(system: Monitored, path: Path) -> None:
    """A number for each, none that is not one; what is still to come is waited for."""
    left = asked(system, path)

    def unanswered() -> dict[str, str]:
        for name in [name for name, expr in left.items() if system.prometheus.known(expr)]:
            del left[name]
        return left

    try:
        system.prometheus.wait("an answer to all", lambda: not unanswered(), PATIENCE_S)
    except TimeoutError as error:
        raise AssertionError(f"without an answer: {left}") from error


def test_every_recording_rule_has_an_answer(system: Monitored) -> None:
    assert {name for name in RECORDS if not system.prometheus.known(name)} == set()


def test_numbers_are_what_they_are_called(system: Monitored) -> None:
    """Units and sums, against what the world was built of."""

    def one(expr: str) -> float:
        (found,) = system.prometheus.wait(expr, lambda: system.prometheus.known(expr))
        return float(found.value)

    # 12 kW were promised, the neighbour wants 9; power is dear: 0.90 + 0.03 EUR/kWh.
    assert one('heatdispatch_heat_offer_watts{quantile="firm"}') == pytest.approx(12_000.0)
    assert one("heatdispatch_heat_demand_watts") == pytest.approx(9_000.0)
    assert one("heatdispatch_electricity_price_euros_per_joule * 3.6e9") == pytest.approx(930.0)
    # The plant has told of 12 kWh, which is no more than minutes ago.
    assert one("heatdispatch_tank_joules") == pytest.approx(12.0 * 3.6e6, rel=0.05)
    # Eight GPUs at work, one of them under a cap.
    draw_w = one("sum(heatdispatch_agent_gpu_power_watts)")
    assert 7 * 600.0 < draw_w < 8 * 700.0
    assert one("heatdispatch_cycle_interval_seconds") == 900.0
    assert one('heatdispatch_holds_ended_total{reason="deleted"}') == 1.0


def names_in(expr: str) -> set[str]:
    return set(re.findall(r"\bheatdispatch_\w+", expr))


def every_expression() -> list[str]:
    boards = [target["expr"] for path in DASHBOARDS for panel in page(path)["panels"] for target in panel.get("targets", ())]
    return [*ALERTS.values(), *RECORDS.values(), *boards]


def test_every_metric_of_the_catalogue_is_told_with_its_labels(system: Monitored) -> None:
    missing, others = set(), {}
    for name, metric in METRICS.items():
        series = name + ("_count" if metric.buckets else "")
        found = system.prometheus.ask(series)
        added = {"__name__", "instance", "job", "namespace", "container", "pod", "endpoint"}
        if not found:
            missing.add(name)
        elif any(set(one.labels) - added != set(metric.labels) for one in found):
            others[name] = found[0].labels
    assert missing <= set(NOT_TOLD)
    assert others == {}


def test_every_label_and_value_that_is_asked_for_is_there(system: Monitored) -> None:
    """Of rules and dashboards: `kind="capped"` must be a kind that somebody tells, `le="120.0"` a bucket."""
    wanted = set()
    for expr in every_expression():
        for name, matchers in re.findall(r"\b(heatdispatch_\w+)\{([^}]*)\}", expr):
            for label, how, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', matchers):
                values = value.split("|") if how == "=~" else [value]
                wanted |= {f'{name}{{{label}="{each}"}}' for each in values if "$" not in each}

    def absent() -> set[str]:
        wanted.difference_update([one for one in wanted if system.prometheus.ask(one)])
        return wanted

    system.prometheus.wait("all of them", lambda: not absent(), PATIENCE_S)


# Alerts.


@pytest.fixture
def alerts(system: Monitored) -> Alerts:
    """From now on."""
    return Alerts(system, time.monotonic())


def test_each_alert_is_caused_or_said_why_not() -> None:
    text = "".join(Path(one).read_text("utf-8") for one in (__file__, monitored_causes.__file__))
    caused = {name for name in ALERTS if re.search(rf'alerts\.fires\("{name}"', text)}
    assert caused | set(NOT_CAUSED) >= set(ALERTS)
    assert not caused & set(NOT_CAUSED)


def test_what_is_wrong_from_the_start(alerts: Alerts) -> None:
    """More was promised than there is; one agent does not exist; a source has no pages; Modbus has no port.

    And time passes: the last two are asked by their names and labels alone.
    """
    assert alerts.fires("HeatDispatchShortfallExpected")["plug"] == "loop"
    assert alerts.fires("HeatDispatchBoilerSignal")["offtake"] == OFFTAKE
    alerts.fires("HeatDispatchAgentSilent")
    assert alerts.fires("HeatDispatchSourceFallback")["quantity"] == "carbon"
    assert alerts.fires("HeatDispatchInterfaceDown")["interface"] == "modbus"
    assert alerts.fires("HeatDispatchPlanStale")["policy"] == "quickstart"
    assert alerts.fires("HeatDispatchBlind")["kind"]


def test_a_hold_that_is_nearly_over(system: Monitored, alerts: Alerts) -> None:
    """A job for which there is no room waits until its hold is over."""
    path, names = system.world.jobs, (f"brief-{number}" for number in range(1000))
    waiting = [next(names)]
    system.world.submit(waiting[0], "brief", gpus=8)

    def another() -> None:
        if not system.world.job(waiting[0])["spec"].get("suspend"):
            system.cluster.admin.delete(f"{path}/{waiting[0]}")
            waiting[0] = next(names)
            system.world.submit(waiting[0], "brief", gpus=8)

    assert alerts.fires("HeatDispatchHoldLong", do=another)["policy"] == "quickstart"
    over = 'heatdispatch_holds_ended_total{reason="HoldOver"} > 0'
    system.prometheus.wait("a hold that is over", lambda: system.prometheus.ask(over), PATIENCE_S)
    system.cluster.admin.delete(f"{path}/{waiting[0]}")


def test_sources_that_tell_nothing_or_nonsense(system: Monitored, alerts: Alerts) -> None:
    peer = system.peer
    peer.rooms["mad"] = Room(routes={"/co2eq": bent(peer.routes["/co2eq"])})
    told = {
        "weather": [source("open_meteo", "outdoor", f"{peer.url}/nobody")],
        "carbon": [source("energy_charts", "carbon", f"{peer.url}/mad"), fixed(300.0)],
    }
    system.world.policy(sources=told)
    assert alerts.fires("HeatDispatchSourceGone")["quantity"] == "outdoor"
    assert alerts.fires("HeatDispatchSourceRejected")["source"]
    system.world.policy(sources=chains(peer))


def test_a_right_that_is_taken_away(system: Monitored, alerts: Alerts) -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/heat-dispatch-operator"
    role = system.cluster.admin.get(path)
    rules = [rule for rule in role["rules"] if "cronjobs" not in rule["resources"]]
    system.cluster.admin.patch(path, {"rules": rules})
    assert alerts.fires("HeatDispatchRightMissing")["resource"].startswith("cronjobs")
    system.cluster.admin.patch(path, {"rules": role["rules"]})


def test_another_installation_and_two_that_lead(system: Monitored, alerts: Alerts) -> None:
    """One more looks for the same Lease and waits; another one looks for it elsewhere, and leads too."""
    other = replica(system.world, system.folder, namespace="elsewhere", ledger=f"sqlite:///{system.folder}/other.db")
    away = {"lease_namespace": "heat-dispatch", "kubeconfig": str(system.cluster.kubeconfig())}
    second = replica(system.world, system.folder, ledger=f"sqlite:///{system.folder}/second.db", **away)
    system.cluster.wait("it listens", second.port, PATIENCE_S)
    job = json.loads(json.dumps(system.scrapes[0]))
    job["job_name"], job["static_configs"][0]["targets"] = "second", [f"127.0.0.1:{second.port()}"]
    job["static_configs"][0]["labels"]["pod"] = "heat-dispatch-operator-1"
    system.prometheus.reads([*system.scrapes, job])
    alerts.fires("HeatDispatchTwoLeaders")
    alerts.fires("HeatDispatchOtherInstallation")
    end(second.process)
    end(other.process)
    # One that is asked no more, while it still answers, would be remembered for five minutes.
    down = 'up{pod="heat-dispatch-operator-1"} == 0'
    system.prometheus.wait("it is gone", lambda: system.prometheus.ask(down), PATIENCE_S)
    system.prometheus.reads(system.scrapes)


def test_a_ledger_that_somebody_locks(system: Monitored, alerts: Alerts) -> None:
    """A job that has ended is to be written down: the next look, of one a minute, waits half a minute for that and gives up."""
    with locked(system.folder / "ledger.db"):
        system.world.submit("over", class_name=None, gpus=1)
        system.cluster.wait("its end", lambda: system.world.job("over").get("status", {}).get("succeeded"), PATIENCE_S)
        alerts.fires("HeatDispatchPastNotKept", patience_s=2 * PATIENCE_S)


def test_heat_that_does_not_arrive(system: Monitored, alerts: Alerts) -> None:
    """The tank is empty, all servers work, and the plant measures next to nothing."""
    end(system.plant.process)
    assert system.letter("tank", {"at": moment(), "levelKwh": 0.0}) < 300
    assert system.letter("network", {"at": moment(), "heatKw": 0.1}) < 300
    system.replan()
    assert alerts.fires("HeatDispatchHeatMissing")["plug"] == "loop"


def test_a_plant_that_takes_over_and_one_that_falls_silent_and_strangers(system: Monitored, alerts: Alerts) -> None:
    end(system.plant.process)
    assert system.letter("override", {"limitKw": 0.0, "reason": "leak"}) < 300
    assert alerts.fires("HeatDispatchOverridden")["offtake"] == OFFTAKE
    for _ in range(150):
        assert system.letter("heartbeat", {"counter": 1}, token="x" * 40) == 401
    assert alerts.fires("HeatDispatchLinkRefuses")["protocol"] == "rest"
    assert alerts.fires("HeatDispatchPlantSilent")["offtake"] == OFFTAKE


def test_gpus_that_are_lost_and_a_driver_that_is_away(system: Monitored, alerts: Alerts) -> None:
    system.machine[7].lost = 1
    assert alerts.fires("HeatDispatchGpuLost")["instance"] == NODE
    system.machine[7].lost = 0
    system.machine.state.init_error = 9
    system.machine.state.driver_generation += 1
    alerts.fires("HeatDispatchDriverDown")
    system.machine.state.init_error = 0


def test_caps_that_come_back_by_themselves_and_limits_that_others_set(system: Monitored, alerts: Alerts) -> None:
    """The agent stops, the journal is gone, the GPU lies, somebody else sets its limit."""
    journal = system.setter.journal
    assert silenced(system, journal, alerts) == "silent"
    alerts.fires("HeatDispatchJournalFailed")
    system.machine[0].lies = 1
    journal.mkdir(mode=0o700)
    alerts.fires("HeatDispatchCapNotTaken")
    system.machine[0].lies = 0
    system.cluster.wait("a cap again", lambda: capped(system), PATIENCE_S)
    system.machine.set_by_another(0, 650.0)
    alerts.fires("HeatDispatchForeignWriter")


def test_a_demand_that_nobody_knows(system: Monitored, alerts: Alerts) -> None:
    path = f"/apis/heatdispatch.io/v1alpha1/heatofftakes/{OFFTAKE}"
    system.cluster.admin.patch(path, {"spec": {"demand": {"source": "plant", "constantKw": None}}})
    alerts.fires("HeatDispatchDegraded")
    system.cluster.admin.patch(path, {"spec": {"demand": {"source": "constant", "constantKw": 9}}})


def test_a_solver_that_hangs(system: Monitored, alerts: Alerts) -> None:
    with hanging(system) as again:
        assert alerts.fires("HeatDispatchCycleSlow", do=again)["policy"] == "quickstart"


def test_a_solver_that_dies_whenever_it_starts(system: Monitored, alerts: Alerts) -> None:
    """With no plan to go on by, and nobody who could make one, all is let go; with a solver it is taken up again."""
    path = f"/apis/heatdispatch.io/v1alpha1/dispatchpolicies/{SITE}"
    policy = system.cluster.admin.get(path)
    with dying(system.operator.pid):
        system.cluster.admin.delete(path)
        system.cluster.wait("it is forgotten", lambda: "degraded_step{" not in system.operator.page("/metrics"), PATIENCE_S)
        system.cluster.admin.apply(path, {**policy, "metadata": {"name": SITE}})
        assert alerts.fires("HeatDispatchLetGo")["policy"] == SITE
    system.replan()
    system.prometheus.wait("a plan", lambda: system.prometheus.ask("heatdispatch_degraded_step == 0"), PATIENCE_S)


def test_a_setter_that_is_gone(system: Monitored, alerts: Alerts) -> None:
    system.setter.end()
    alerts.fires("HeatDispatchSetterAway")


def test_an_api_server_that_hangs_and_a_link_that_is_gone(system: Monitored, alerts: Alerts) -> None:
    """The last: nobody leads any more, the agent hears nothing, and plants hear silence."""
    system.cluster.signal("kube-apiserver", signal.SIGSTOP)
    try:
        end(system.link.process)
        alerts.fires("HeatDispatchLinkAway")
        alerts.fires("HeatDispatchNoLeader")
        alerts.fires("HeatDispatchOperatorSilent")
        # One that does not lead any more says nothing of policies and plugs: what it said last would stand for ever.
        of_leader = "heatdispatch_degraded_step or heatdispatch_heat_offer_watts or heatdispatch_jobs"
        system.prometheus.wait("silence", lambda: not system.prometheus.ask(of_leader), PATIENCE_S)
        assert system.prometheus.ask('up{endpoint="http"} == 1')
    finally:
        system.cluster.signal("kube-apiserver", signal.SIGCONT)
