"""A want never outlives its lease nor its occupant, whatever was heard and seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.capping.asking import OCCUPANCY_AGE_S, Asker, asked
from scheduler.domain.capping import CapWish, Heard, NodeWish, Occupancy, Occupant

UUIDS, UIDS = ("GPU-1", "GPU-2", "GPU-3"), ("u-1", "u-2", "")
NAMES = (("lab", "one"), ("lab", "two"), ("other", "one"))
times = st.floats(0.0, 500.0)
wishes = st.builds(
    NodeWish,
    source=st.just("uid"),
    generation=st.integers(0, 9),
    plan_id=st.just("p"),
    lease_s=st.floats(0.1, 200.0),
    gpus=st.lists(
        st.builds(
            CapWish,
            uuid=st.sampled_from(UUIDS),
            pod_uid=st.sampled_from(UIDS),
            cap_w=st.floats(allow_nan=True),
            emergency=st.booleans(),
        ),
        max_size=5,
    ).map(tuple),
)
heards = st.builds(
    Heard,
    wish=st.none() | wishes,
    alive_s=st.none() | times,
    pods=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(UIDS)),
)
holders = st.tuples(st.sampled_from(NAMES), st.booleans()).map(
    lambda one: Occupant(namespace=one[0][0], name=one[0][1], shared=one[1])
)
occupancies = st.builds(
    Occupancy, seen_s=st.none() | times, by_uuid=st.dictionaries(st.sampled_from(UUIDS), holders), trouble=st.just("")
)


@given(heard=heards, occupancy=occupancies, now_s=times)
def test_a_want_never_outlives_lease_or_occupant(heard: Heard, occupancy: Occupancy, now_s: float) -> None:
    found, wish = asked(heard, occupancy, now_s), heard.wish
    asked_for = [want.uuid for want in found.wants]
    assert len(set(asked_for)) == len(asked_for)
    assert set(asked_for).isdisjoint(found.back)
    if wish is None:
        assert not asked_for
        return
    assert {*asked_for, *found.back} == {one.uuid for one in wish.gpus}
    for want in found.wants:
        assert heard.alive_s is not None
        assert 0.0 < want.lease_s <= wish.lease_s
        # However the sum was rounded: not later than the lease ends.
        assert now_s + want.lease_s <= max(heard.alive_s, now_s) + wish.lease_s + 1e-9
        holder = occupancy.by_uuid[want.uuid]
        assert not holder.shared
        assert want.pod_uid
        assert heard.pods[holder.namespace, holder.name] == want.pod_uid
        assert occupancy.seen_s is not None
        assert now_s - occupancy.seen_s <= OCCUPANCY_AGE_S
        assert [one for one in wish.gpus if one.uuid == want.uuid] == [
            CapWish(uuid=want.uuid, pod_uid=want.pod_uid, cap_w=want.cap_w, emergency=want.emergency)
        ]


@given(moments=st.lists(st.tuples(heards, occupancies, times), min_size=1, max_size=6))
def test_what_is_remembered_is_what_would_be_asked_anew(moments: list[tuple[Heard, Occupancy, float]]) -> None:
    asker = Asker()
    for heard, occupancy, now_s in moments:
        # Numbers that are none are not equal to themselves.
        assert repr(asker.asked(heard, occupancy, now_s)) == repr(asked(heard, occupancy, now_s))
