"""The operator on a real API server with native Jobs: held, explained, released, let go; everything read from the audit log."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest
from audit_laws import broken_laws
from kube_objects import HEAT, pods_of, running_pods
from operated import LAB, OPERATOR, Operated, now_utc, operated, quickstart, until_utc
from typer.testing import CliRunner

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object, condition
from scheduler.adapters.devcluster.cluster import DevCluster, Options
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.core.publishing.message import problems
from scheduler.domain.plantlink import Letter, LinkProtocol, ManualOverride, Sender
from scheduler.entrypoints.kubectl import app as kubectl

TAKE_OVER_S = 45.0
OWN = {"dispatchpolicies", "sites", "thermalplugs", "heatofftakes", "workloadclasses"}


@pytest.fixture(scope="module")
def world(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A cluster of three nodes with one operator that dispatches."""
    folder = tmp_path_factory.mktemp("operated")
    with DevCluster(toolbox, folder / "cluster", Options(users={OPERATOR: ()})) as cluster:
        cluster.add_nodes(3, 8, {"heatdispatch.io/plug": "loop"})
        with operated(cluster, folder / "operator") as found:
            found.replica("--record", str(folder / "cycles"))
            cluster.wait("a first plan", lambda: found.plan().get("planId"), TAKE_OVER_S)
            yield found


def test_the_first_plan_is_there_for_kubectl(world: Operated) -> None:
    plan = world.plan()
    assert plan["mode"] == "Dispatch"
    assert plan["planStatus"] == "fresh"
    assert len(plan["heat"][0]["hours"]) >= 48
    ready = world.cluster.wait("a condition", lambda: world.ready("dispatchpolicies", "quickstart"), 40.0)
    assert ready["status"] == "True"


def test_a_new_job_is_held_at_once_with_an_end_and_a_reason(world: Operated) -> None:
    world.submit("waits")
    world.cluster.wait("a hold", lambda: world.held("waits"))
    marks = world.marks("waits")
    assert now_utc() < until_utc(marks["hold-until"]) <= now_utc() + timedelta(hours=24)
    assert marks["hold-text"].startswith("Held until ")
    assert marks["plan"] == world.plan()["planId"]
    event = world.cluster.wait("an Event", lambda: world.events("waits"))[0]
    assert (event["reason"], event["message"]) == ("Held", marks["hold-text"])
    assert pods_of(world.cluster, LAB, "waits") == []


def test_its_owner_asks_why_and_an_engineer_for_the_state(world: Operated) -> None:
    where = ["--kubeconfig", str(world.cluster.kubeconfig())]
    asked = CliRunner().invoke(kubectl, ["why", "job/waits", "-n", LAB, *where])
    assert asked.output.strip() == world.marks("waits")["hold-text"]
    policy = f"{HEAT}/dispatchpolicies/quickstart"
    world.cluster.wait("its status", lambda: world.cluster.admin.get(policy).get("status", {}).get("planId"), 40.0)
    state = CliRunner().invoke(kubectl, ["status", *where])
    assert state.output.startswith("quickstart: Dispatch, plan plan-")
    assert "1 held" in state.output
    before = world.plan()["planId"]
    plan = CliRunner().invoke(kubectl, ["explain", "plan", "--hours", "3", "--json", "-", *where])
    (told,) = json.loads(plan.stdout)["plans"]
    words = CliRunner().invoke(kubectl, ["explain", "plan", "quickstart", *where])
    # At the quarter hour there is another plan from one command to the next.
    one_of = {before, world.plan()["planId"]}
    assert {told["planId"], *re.findall(r"Plan (plan-\w+) of policy quickstart in mode Dispatch", words.output)} <= one_of
    assert len(told["hours"]) == 3
    assert [one["jobs"] for one in told["holds"]] == [["lab/waits"]]
    assert told["offtakes"][0]["offtake"] == "neighbour"
    assert " of policy quickstart in mode Dispatch" in words.output
    assert "EUR less than starting every job as soon as it fits" in words.output
    nobody = CliRunner().invoke(kubectl, ["explain", "plan", "none", *where])
    assert (nobody.exit_code, "there is no DispatchPolicy 'none'" in nobody.output) == (2, True)
    missing = CliRunner().invoke(kubectl, ["why", "job/none", "-n", LAB, *where])
    assert (missing.exit_code, "there is no job lab/none" in missing.output) == (2, True)


def test_an_insulated_job_starts_and_is_never_written_to(world: Operated) -> None:
    world.submit("report", class_name=None)
    world.cluster.wait("Complete", lambda: condition(world.job("report"), "Complete") == "True")
    assert not [one for one in world.written() if one.name == "report"]


def test_a_job_that_may_wait_no_longer_is_released_placed_and_runs(world: Operated) -> None:
    world.submit("urgent", "soon")
    pod = world.cluster.wait("a running pod", lambda: running_pods(world.cluster, LAB, "urgent"))[0]
    assert pod["spec"]["nodeSelector"]["heatdispatch.io/plug"] == "loop"
    world.cluster.wait("Complete", lambda: condition(world.job("urgent"), "Complete") == "True")


def test_a_gang_that_does_not_fit_is_kept_and_told_so(world: Operated) -> None:
    world.submit("blocker", class_name=None, gpus=8, runs="15s")
    world.cluster.wait("the blocker", lambda: running_pods(world.cluster, LAB, "blocker"))
    world.submit("wide", "soon", gpus=8, pods=3)
    world.cluster.wait("NoFit", lambda: world.marks("wide").get("hold-reason") == "NoFit")
    assert pods_of(world.cluster, LAB, "wide") == []
    # Three minutes before a quarter hour the plan may let it wait for that: its class allows so much.
    world.cluster.wait("its pods", lambda: len(pods_of(world.cluster, LAB, "wide")) == 3, 200.0)
    world.cluster.wait("Complete", lambda: condition(world.job("blocker"), "Complete") == "True")


def test_a_gang_larger_than_any_pool_is_let_go(world: Operated) -> None:
    world.submit("huge", gpus=8, pods=4)
    world.cluster.wait("release", lambda: world.job("huge")["spec"]["suspend"] is False)
    assert "no pool has enough GPUs" in world.cluster.wait("an Event", lambda: world.events("huge"))[-1]["message"]
    world.cluster.admin.delete(f"{world.jobs}/huge")


def test_who_lifts_a_hold_himself_keeps_his_job_for_good(world: Operated) -> None:
    world.submit("mine", runs="600s")
    world.cluster.wait("a hold", lambda: world.held("mine"))
    world.cluster.admin.patch(f"{world.jobs}/mine", {"spec": {"suspend": False}})
    world.cluster.wait("the owner's mark", lambda: world.marks("mine").get("held-by") == "owner")
    world.cluster.admin.patch(f"{world.jobs}/mine", {"spec": {"suspend": True}})
    world.cluster.wait("no pods", lambda: not pods_of(world.cluster, LAB, "mine"))
    wrote = [one for one in world.written() if one.name == "mine"]
    assert world.job("mine")["spec"]["suspend"] is True
    assert len([one for one in wrote if "suspend" in str((one.body or {}).get("spec"))]) == 1


def test_a_bad_object_is_told_on_it_and_stops_nobody(world: Operated) -> None:
    (offtake,) = [obj for obj in quickstart() if obj["kind"] == "HeatOfftake"]
    offtake["metadata"]["name"] = "stranger"
    offtake["spec"]["plugRef"] = "nowhere"
    world.cluster.admin.apply(f"{HEAT}/heatofftakes/stranger", offtake)
    told = world.cluster.wait("a condition", lambda: world.ready("heatofftakes", "stranger"), 60.0)
    assert (told["status"], told["reason"]) == ("False", "Invalid")
    assert "there is no ThermalPlug 'nowhere'" in told["message"]
    assert world.ready("heatofftakes", "neighbour")["status"] == "True"
    world.submit("after")
    world.cluster.wait("a hold", lambda: world.held("after"))


def test_a_recorded_cycle_is_on_disk(world: Operated) -> None:
    assert list((world.folder.parent / "cycles").glob("quickstart-*.json.gz"))


def test_probes_and_metrics_answer(world: Operated) -> None:
    replica = world.replicas[0]
    assert replica.page("/livez") == "ok\n"
    assert "role: leader" in replica.page("/readyz?verbose")
    text = replica.page("/metrics")
    assert 'heatdispatch_cycles_total{policy="quickstart",status="fresh"}' in text
    assert "heatdispatch_leader 1.0" in text


def test_leaving_dispatch_lets_every_hold_go_within_a_tick_of_the_guard(world: Operated) -> None:
    world.submit("let-go")
    world.cluster.wait("a hold", lambda: world.held("let-go"))
    world.policy(mode="Observe")
    world.cluster.wait("release", lambda: world.job("let-go")["spec"]["suspend"] is False, 40.0)
    assert "hold-until" not in world.marks("let-go")
    world.submit("observed")
    world.cluster.wait("release", lambda: world.job("observed")["spec"]["suspend"] is False, 40.0)
    world.policy(mode="Dispatch")
    world.cluster.wait("a plan for it", lambda: world.plan().get("mode") == "Dispatch", 60.0)


def test_every_write_of_the_operator_was_allowed_to_it(world: Operated) -> None:
    """Its rights are those of manifests/rbac; nothing that it tried was forbidden, and it wrote to nothing foreign but Jobs."""
    tried = [one for one in world.cluster.writes_since() if one.user == OPERATOR]
    assert [one.what for one in tried if one.code == 403] == []
    assert {one.resource for one in tried} <= {"jobs", "leases", "events", "dispatchplans"} | OWN
    assert {one.verb for one in tried if one.resource == "jobs"} == {"patch"}
    for one in tried:
        if one.resource == "jobs" and one.accepted and (one.body or {}).get("spec", {}).get("suspend") is True:
            assert until_utc(one.body["metadata"]["annotations"]["heatdispatch.io/hold-until"]) > one.at_utc


def test_a_heat_plant_is_told_the_plan_and_its_override_ends_by_us_alone(world: Operated) -> None:
    store = LinkStore(f"{world.folder}/ledger-0.db")
    try:
        world.cluster.wait("a schedule", store.newest, 30.0)
        ((name, message),) = store.newest().items()
        life = store.standing(str(message.payload["siteId"])).life
        assert life is not None
        assert [one.offtake_id for one in life.offtakes] == [name]
        assert problems(message.payload) == ()
        plc = Sender(name="plc", protocol=LinkProtocol.REST, authenticated=True)
        override = Letter(offtake_id=name, sender=plc, received_utc=now_utc(), body=ManualOverride(limit_kw=0.0))
        store.keep_letters([override])

        def told() -> str:
            """What the status says of an override; empty when it tells of none."""
            status = world.cluster.admin.get(f"{HEAT}/heatofftakes/{name}").get("status", {})
            found: Object = next((one for one in status.get("conditions", []) if one["type"] == "Overridden"), {})
            return str(found["message"]) if found.get("status") == "True" else ""

        def standing() -> list[object]:
            return [one.letter.body for one in store.letters_of([name])[name] if isinstance(one.letter.body, ManualOverride)]

        world.cluster.wait("it to be shown", lambda: "at most 0 kW" in told(), 90.0)
        asked = CliRunner().invoke(kubectl, ["release", "--override", name, "--kubeconfig", str(world.cluster.kubeconfig())])
        assert asked.exit_code == 0
        world.cluster.wait("the override's end", lambda: not standing(), 30.0)
        # Another one, pressed in the same moment: nobody had seen it, so nobody has ended it.
        again = ManualOverride(limit_kw=1.0)
        at_utc = override.received_utc + timedelta(microseconds=1)
        store.keep_letters([Letter(offtake_id=name, sender=plc, received_utc=at_utc, body=again)])
        world.cluster.wait("it to be shown", lambda: "at most 1 kW" in told(), 90.0)
        assert standing() == [again]
        by_hand = {"heatdispatch.io/clear-override": f"{now_utc():%Y-%m-%dT%H:%M:%S.%fZ}"}
        world.cluster.admin.patch(f"{HEAT}/heatofftakes/{name}", {"metadata": {"annotations": by_hand}})
        world.cluster.wait("its end", lambda: not standing(), 30.0)
        unknown = CliRunner().invoke(kubectl, ["release", "--override", "no", "--kubeconfig", str(world.cluster.kubeconfig())])
        assert unknown.exit_code == 2
    finally:
        store.close()


def test_a_killed_leader_is_followed_and_nothing_is_done_twice(world: Operated) -> None:
    second = world.replica()
    world.cluster.wait("a standby", lambda: second.port() and "role: standby" in second.page("/readyz?verbose"), TAKE_OVER_S)
    world.submit("over", runs="600s")
    world.cluster.wait("a hold", lambda: world.held("over"), 60.0)
    world.replicas[0].signal(signal.SIGKILL)
    world.cluster.wait("a new leader", lambda: "role: leader" in second.page("/readyz?verbose"), 30.0)
    world.cluster.wait("its plan", lambda: " cycle " in second.told(), 30.0)
    assert world.held("over")
    holds = [one for one in world.written() if one.name == "over" and (one.body or {}).get("spec", {}).get("suspend") is True]
    assert len({one.body["metadata"]["annotations"].get("heatdispatch.io/plan") for one in holds}) == len(holds)


def test_no_law_was_broken_in_all_of_this(world: Operated) -> None:
    assert broken_laws(world.cluster, {OPERATOR}) == []
