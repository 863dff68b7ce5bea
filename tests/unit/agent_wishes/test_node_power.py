"""NodePower as its agent reads and answers it; what it writes is what the kind knows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from scheduler.adapters.gpu.node_power import SetterSeen, status_of, wish_of
from scheduler.config.kinds.nodepower import NodePowerSpec, NodePowerStatus
from scheduler.core.capping.held import Facts, fresh
from scheduler.core.capping.holding import decide
from scheduler.core.capping.orders import judged
from scheduler.domain.capping import (
    Answer,
    Asking,
    CapRules,
    CapWish,
    Condition,
    GpuStanding,
    Heard,
    NodeWish,
    Occupancy,
    Occupant,
    Want,
)
from scheduler.domain.errors import Misconfigured

SPEC: dict[str, Any] = {
    "planId": "7f3a",
    "generation": 4,
    "leaseSeconds": 60.0,
    "gpus": [{"uuid": "GPU-1", "podUid": "u-1", "capWatts": 400, "emergency": True}],
}
NOW_S, BEGAN_S = 1000.0, 100.0
HEARD = Heard(wish=wish_of(SPEC, source="uid", observed_generation=9), alive_s=999.0, pods={("lab", "train"): "u-1"})
TRAIN = Occupant(namespace="lab", name="train")
OCCUPANCY = Occupancy(seen_s=999.5, by_uuid={"GPU-1": TRAIN, "GPU-2": replace(TRAIN, shared=True)})
CAPPED = GpuStanding(
    uuid="GPU-1",
    condition=Condition.CAPPED,
    original_w=700.2,
    requested_w=400.0,
    enforced_w=399.6,
    default_w=700.0,
    least_w=200.0,
    most_w=700.0,
    cap_w=400.0,
    lease_s=58.7,
    pod_uid="u-1",
)
FREE = GpuStanding(uuid="GPU-2", condition=Condition.FREE, requested_w=700.0, least_w=200.0, most_w=700.0)


def seen(*gpus: GpuStanding, dry_run: bool = False, trouble: str = "") -> SetterSeen:
    return SetterSeen().said(Answer(gpus=gpus, dry_run=dry_run, trouble=trouble), NOW_S)


def status(
    heard: Heard = HEARD, occupancy: Occupancy = OCCUPANCY, setter: SetterSeen | None = None, now_s: float = NOW_S
) -> dict[str, Any]:
    """A status, of a form that the kind knows."""
    found = status_of(heard, occupancy, seen(CAPPED, FREE) if setter is None else setter, now_s, began_s=BEGAN_S)
    dated = [{**one, "lastTransitionTime": "2026-01-14T12:00:00Z"} for one in found["conditions"]]
    NodePowerStatus.model_validate({**found, "conditions": dated})
    return found


def condition(found: dict[str, Any], kind: str) -> tuple[str, str]:
    """Status and reason."""
    (one,) = [one for one in found["conditions"] if one["type"] == kind]
    return one["status"], one["reason"]


def message(found: dict[str, Any], kind: str) -> str:
    (one,) = [one for one in found["conditions"] if one["type"] == kind]
    return str(one["message"])


# The wish.


def test_a_spec_is_a_wish() -> None:
    NodePowerSpec.model_validate(SPEC)
    assert wish_of(SPEC, source="uid", observed_generation=9) == NodeWish(
        source="uid",
        generation=4,
        plan_id="7f3a",
        lease_s=60.0,
        gpus=(CapWish(uuid="GPU-1", pod_uid="u-1", cap_w=400.0, emergency=True),),
        observed_generation=9,
    )


def test_what_is_left_out_is_what_the_kind_says() -> None:
    kind = NodePowerSpec.model_validate({"planId": "p", "generation": 0})
    wish = wish_of({"planId": "p", "generation": 0}, source="uid")
    assert (wish.lease_s, wish.gpus) == (kind.lease_seconds, ())


def test_watts_are_the_setters_to_judge_and_a_long_name_of_a_plan_does_no_harm() -> None:
    gpus = [{"uuid": f"GPU-{number}", "podUid": "u", "capWatts": value} for number, value in enumerate((math.nan, -5, 10**400))]
    wish = wish_of({"generation": 1, "planId": "p" * 999, "gpus": gpus}, source="uid")
    assert math.isnan(wish.gpus[0].cap_w)
    assert [one.cap_w for one in wish.gpus[1:]] == [-5.0, math.inf]
    assert wish.plan_id == "p" * 256


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"generation": -1}, "generation"),
        ({"generation": 1.5}, "generation"),
        ({"generation": True}, "generation"),
        ({"leaseSeconds": math.nan}, "leaseSeconds"),
        ({"leaseSeconds": 0}, "leaseSeconds"),
        ({"leaseSeconds": 3601}, "leaseSeconds"),
        ({"leaseSeconds": "60"}, "leaseSeconds"),
        ({"planId": 7}, "planId"),
        ({"gpus": {}}, "gpus"),
        ({"gpus": [SPEC["gpus"][0]] * 65}, "gpus"),
        ({"gpus": ["GPU-1"]}, "gpus[0]"),
        ({"gpus": [{"podUid": "u", "capWatts": 400.0}]}, "gpus[0].uuid"),
        ({"gpus": [{"uuid": "G" * 65, "podUid": "u", "capWatts": 400.0}]}, "gpus[0].uuid"),
        ({"gpus": [{"uuid": "GPU-1", "podUid": None, "capWatts": 400.0}]}, "gpus[0].podUid"),
        ({"gpus": [{"uuid": "GPU-1", "podUid": "u"}]}, "gpus[0].capWatts"),
        ({"gpus": [{**SPEC["gpus"][0], "emergency": "yes"}]}, "gpus[0].emergency"),
    ],
)
def test_what_is_no_spec_is_no_wish(change: dict[str, Any], where: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        wish_of({**SPEC, **change}, source="uid")
    assert caught.value.where == where


@pytest.mark.parametrize("spec", [None, [], "spec", 7])
def test_what_is_no_object_is_no_wish(spec: object) -> None:
    with pytest.raises(Misconfigured, match="not an object"):
        wish_of(spec, source="uid")


# The answer.


def test_the_whole_answer() -> None:
    assert status() == {
        "lease": "Valid",
        "observedGeneration": 9,
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Ready", "message": ""},
            {"type": "Capping", "status": "True", "reason": "Capped", "message": "1 GPU"},
        ],
        "gpus": [
            {
                "uuid": "GPU-1",
                "podUid": "u-1",
                "condition": "capped",
                "requestedWatts": 400.0,
                "enforcedWatts": 400.0,
                "originalWatts": 700.0,
                "minWatts": 200.0,
                "maxWatts": 700.0,
                "capWatts": 400.0,
            },
            # It is shared, so no pod is named.
            {"uuid": "GPU-2", "condition": "free", "requestedWatts": 700.0, "minWatts": 200.0, "maxWatts": 700.0},
        ],
    }


def test_noise_changes_nothing() -> None:
    noisy = replace(CAPPED, enforced_w=400.4, original_w=699.7, lease_s=12.0)
    assert status(setter=seen(FREE, noisy)) == status()
    assert status(replace(HEARD, alive_s=950.0)) == status()


@pytest.mark.parametrize(
    ("setter", "ready", "capping"),
    [
        (seen(CAPPED, trouble="the journal cannot be written"), ("False", "SetterTrouble"), ("True", "Capped")),
        (seen(replace(CAPPED, condition=Condition.FREE, why="dry run"), dry_run=True), ("True", "Ready"), ("False", "DryRun")),
        (seen(FREE), ("True", "Ready"), ("False", "Refused")),
        (seen(replace(CAPPED, condition=Condition.FREE)), ("True", "Ready"), ("False", "Waiting")),
        (seen(replace(CAPPED, condition=Condition.YIELDED)), ("True", "Ready"), ("False", "Yielded")),
        (seen(replace(CAPPED, condition=Condition.WAITING)), ("True", "Ready"), ("False", "Waiting")),
        (seen(replace(CAPPED, condition=Condition.RESTORING)), ("True", "Ready"), ("False", "Restoring")),
        (seen(replace(CAPPED, condition=Condition.UNAVAILABLE, why="no right")), ("True", "Ready"), ("False", "Unavailable")),
        (SetterSeen().failed("no such socket"), ("False", "SetterAway"), ("False", "SetterAway")),
    ],
)
def test_what_keeps_a_cap_from_being(setter: SetterSeen, ready: tuple[str, str], capping: tuple[str, str]) -> None:
    found = status(setter=setter)
    assert (condition(found, "Ready"), condition(found, "Capping")) == (ready, capping)


WANT = Want(uuid="GPU-1", cap_w=400.0, lease_s=60.0, pod_uid="u-1")
FACTS = Facts(requested_w=700.0, enforced_w=700.0, default_w=700.0, least_w=200.0, most_w=700.0)


@pytest.mark.parametrize(
    ("want", "facts", "rules", "wanted"),
    [
        (WANT, FACTS, CapRules(dry_run=False, jitter_s=0.0), "Waiting"),
        (WANT, FACTS, CapRules(), "DryRun"),
        (WANT, replace(FACTS, may_set=False), CapRules(), "NoPermission"),
        (WANT, replace(FACTS, mig=True), CapRules(), "Unavailable"),
        (WANT, "GPU is lost", CapRules(), "Unavailable"),
        (replace(WANT, cap_w=math.nan), FACTS, CapRules(dry_run=False), "Refused"),
        # The limit that is there is no higher than the wish: there is nothing to cap, and nothing in its way.
        (replace(WANT, cap_w=700.0), FACTS, CapRules(dry_run=False), "Capped"),
    ],
)
def test_what_a_setter_says_is_understood(want: Want, facts: Facts | str, rules: CapRules, wanted: str) -> None:
    """The words of the setter's own rules, not of this test."""
    order = judged(Asking(source="uid", generation=4, wants=(want,)), ["GPU-1"]).ordered("GPU-1", NOW_S)
    step = decide(fresh("GPU-1"), facts, order, NOW_S, rules)
    assert condition(status(setter=seen(step.standing, dry_run=rules.dry_run)), "Capping")[1] == wanted


def test_a_gpu_that_is_named_twice_is_refused() -> None:
    assert HEARD.wish is not None
    twice = replace(HEARD, wish=replace(HEARD.wish, gpus=HEARD.wish.gpus * 2))
    assert condition(status(twice), "Capping") == ("False", "Refused")
    assert str(status(twice)).count("named twice") == 1


def test_reasons_are_given_in_words() -> None:
    assert message(status(setter=seen(replace(CAPPED, condition=Condition.UNAVAILABLE, why="no right"))), "Capping") == (
        "GPU-1: no right"
    )
    assert message(status(setter=SetterSeen().failed("no such socket")), "Ready") == "no such socket"
    assert message(status(occupancy=Occupancy(trouble="no such file")), "Ready") == "no such file"


@pytest.mark.parametrize(
    ("heard", "occupancy", "lease", "ready", "capping"),
    [
        (Heard(), OCCUPANCY, "None", "Ready", "NotWished"),
        (replace(HEARD, alive_s=900.0), OCCUPANCY, "Expired", "Ready", "LeaseExpired"),
        (replace(HEARD, alive_s=None), OCCUPANCY, "Expired", "Ready", "LeaseExpired"),
        (replace(HEARD, pods={}), OCCUPANCY, "Valid", "Ready", "OtherPod"),
        (HEARD, Occupancy(seen_s=990.0, by_uuid={"GPU-1": TRAIN}), "Valid", "OccupancyUnknown", "OccupancyUnknown"),
        (Heard(trouble="gpus: not a list"), OCCUPANCY, "None", "WishUnknown", "NotWished"),
    ],
)
def test_what_was_heard_and_seen(heard: Heard, occupancy: Occupancy, lease: str, ready: str, capping: str) -> None:
    found = status(heard, occupancy)
    assert (found["lease"], condition(found, "Ready")[1], condition(found, "Capping")[1]) == (lease, ready, capping)


def test_pods_are_named_only_while_the_kubelet_says_so() -> None:
    assert [gpu.get("podUid") for gpu in status()["gpus"]] == ["u-1", None]
    assert [gpu.get("podUid") for gpu in status(occupancy=replace(OCCUPANCY, seen_s=990.0))["gpus"]] == [None, None]


def test_nobody_caps_what_no_setter_serves() -> None:
    """Limits are left out, without which the operator wishes for nothing; who is there is told."""
    away = replace(seen(CAPPED, FREE).failed("gone"), at_s=NOW_S - 11.0)
    found = status(setter=away)
    assert found["gpus"] == [
        {"uuid": "GPU-1", "podUid": "u-1", "condition": "unavailable", "why": "the setter does not answer"},
        {"uuid": "GPU-2", "condition": "unavailable", "why": "the setter does not answer"},
    ]


def test_a_setter_that_is_replaced_is_not_away() -> None:
    """For ten seconds what it said last stands."""
    waiting = seen(CAPPED, FREE).said(Answer(waiting=True), NOW_S + 1.0)
    assert waiting.trouble == "another setter is still in charge"
    assert not waiting.away(NOW_S + 10.0)
    assert waiting.away(NOW_S + 10.1)
    assert status(setter=waiting)["gpus"] == status()["gpus"]


def test_an_agent_that_begins_says_nothing_before_it_knows() -> None:
    for heard, occupancy, setter in (
        (Heard(begun=False), OCCUPANCY, seen(CAPPED)),
        (HEARD, Occupancy(), seen(CAPPED)),
        (HEARD, OCCUPANCY, SetterSeen()),
    ):
        assert status_of(heard, occupancy, setter, NOW_S, began_s=NOW_S - 10.0) == {}
        assert status_of(heard, occupancy, setter, NOW_S, began_s=NOW_S - 10.1)["conditions"]


def test_many_gpus_are_not_all_named() -> None:
    caps = tuple(CapWish(uuid=f"GPU-{number}", pod_uid="u-1", cap_w=400.0) for number in range(6))
    heard = replace(HEARD, wish=NodeWish(source="uid", generation=1, plan_id="p", lease_s=60.0, gpus=caps))
    assert message(status(heard, setter=seen()), "Capping").endswith("; and 2 more")
