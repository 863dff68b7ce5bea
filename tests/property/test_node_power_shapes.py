"""Whatever stands in a NodePower is read as a wish or refused in words; whatever a setter says, the status is of the kind."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scheduler.adapters.gpu.node_power import AWAY_S, SetterSeen, status_of, wish_of
from scheduler.adapters.gpu.setter_wire import asking_line, request_of
from scheduler.config.kinds.nodepower import NodePowerSpec, NodePowerStatus
from scheduler.core.capping.asking import asked
from scheduler.domain.capping import Answer, CapWish, Condition, GpuStanding, Heard, NodeWish, Occupancy, Occupant
from scheduler.domain.errors import Misconfigured

UUIDS = ("GPU-1", "GPU-2", "GPU-3")
TRAIN = ("lab", "train")
NOW_S = 1000.0

numbers = st.floats() | st.integers() | st.sampled_from([10**400, -(10**400)])
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8) | st.sampled_from(UUIDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("uuid", "podUid", "capWatts")), inner),
    max_leaves=8,
)
caps = st.fixed_dictionaries(
    {"uuid": st.sampled_from(UUIDS) | values, "podUid": st.just("u-1") | values, "capWatts": st.just(400.0) | values},
    optional={"emergency": st.booleans() | values, "other": values},
)
specs = st.fixed_dictionaries(
    {"planId": st.text(max_size=300) | values, "generation": st.integers(0, 9) | values},
    optional={"leaseSeconds": st.floats(10.0, 3600.0) | values, "gpus": st.lists(caps, max_size=3) | values, "other": values},
)
watts = st.none() | st.floats(0.0, 5000.0)
standings = st.builds(
    GpuStanding,
    uuid=st.sampled_from(UUIDS),
    condition=st.sampled_from(Condition),
    why=st.text(max_size=256),
    original_w=watts,
    requested_w=watts,
    enforced_w=watts,
    default_w=watts,
    least_w=watts,
    most_w=watts,
    cap_w=watts,
    lease_s=watts,
    pod_uid=st.sampled_from(("", "u-1")),
    clamped=st.booleans(),
)
wishes = st.builds(
    NodeWish,
    source=st.just("uid"),
    generation=st.integers(0, 9),
    plan_id=st.just("p"),
    lease_s=st.just(60.0),
    gpus=st.lists(
        st.builds(CapWish, uuid=st.sampled_from(UUIDS), pod_uid=st.sampled_from(("u-1", "u-2")), cap_w=st.just(400.0)),
        max_size=3,
    ).map(tuple),
    observed_generation=st.none() | st.integers(0, 9),
)
trouble = st.sampled_from(("", "it does not answer"))
heards = st.builds(
    Heard,
    wish=st.none() | wishes,
    alive_s=st.none() | st.floats(800.0, NOW_S),
    pods=st.just({TRAIN: "u-1"}),
    trouble=trouble,
    begun=st.booleans(),
)
occupancies = st.builds(
    Occupancy,
    seen_s=st.none() | st.floats(990.0, NOW_S),
    by_uuid=st.dictionaries(st.sampled_from(UUIDS), st.builds(Occupant, namespace=st.just("lab"), name=st.just("train"))),
    trouble=trouble,
)
setters = st.builds(
    SetterSeen,
    answer=st.none()
    | st.builds(Answer, gpus=st.lists(standings, max_size=4).map(tuple), dry_run=st.booleans(), trouble=trouble),
    at_s=st.none() | st.floats(980.0, NOW_S),
    trouble=trouble,
)


@given(spec=specs | values)
def test_a_spec_ends_in_a_wish_or_in_words(spec: Any) -> None:
    try:
        wish = wish_of(spec, source="uid")
    except Misconfigured:
        return
    assert 0.0 < wish.lease_s <= 3600.0
    # Whatever the setter will say to it: the two understand each other's lines.
    heard = Heard(wish=wish, alive_s=NOW_S, pods={TRAIN: "u-1"})
    holder = Occupant(namespace="lab", name="train")
    found = asked(heard, Occupancy(seen_s=NOW_S, by_uuid={one.uuid: holder for one in wish.gpus}), NOW_S)
    understood = request_of(asking_line(found))
    assert understood is not None
    assert [want.uuid for want in understood.wants] == [want.uuid for want in found.wants]


@given(spec=specs)
def test_what_the_kind_takes_is_a_wish(spec: Any) -> None:
    try:
        kind = NodePowerSpec.model_validate_json(json.dumps({key: spec[key] for key in spec if key != "other"}))
    except (ValidationError, ValueError):
        return
    # The API server keeps whole numbers in 64 bits: what is larger never comes from it.
    if kind.generation >= 2**63:
        return
    wish = wish_of(spec, source="uid")
    assert [(one.uuid, one.pod_uid, one.cap_w, one.emergency) for one in wish.gpus] == [
        (one.uuid, one.pod_uid, one.cap_watts, one.emergency) for one in kind.gpus
    ]
    assert (wish.generation, wish.lease_s) == (kind.generation, kind.lease_seconds)


@given(heard=heards, occupancy=occupancies, setter=setters, began_s=st.floats(980.0, NOW_S))
def test_every_status_is_one_of_the_kind(heard: Heard, occupancy: Occupancy, setter: SetterSeen, began_s: float) -> None:
    found = status_of(heard, occupancy, setter, NOW_S, began_s=began_s)
    if not found:
        assert NOW_S - began_s <= AWAY_S
        return
    dated = [{**one, "lastTransitionTime": "2026-01-14T12:00:00Z"} for one in found["conditions"]]
    status = NodePowerStatus.model_validate_json(json.dumps({**found, "conditions": dated}))
    assert [one.type for one in status.conditions] == ["Ready", "Capping"]
    assert len({gpu.uuid for gpu in status.gpus}) == len(status.gpus)
    for gpu in status.gpus:
        # Pods are named only where the kubelet says so now.
        assert gpu.pod_uid is None or (occupancy.seen_s is not None and gpu.uuid in occupancy.by_uuid)
        for value in (gpu.requested_watts, gpu.enforced_watts, gpu.original_watts, gpu.min_watts, gpu.max_watts):
            assert value is None or math.floor(value) == value
    if setter.answer is None or setter.away(NOW_S):
        assert all(gpu.max_watts is None for gpu in status.gpus)
