"""What is asked of the setter: a cap for its pod alone, for as long as its lease lasts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.core.capping.asking import Asker, asked, lease_left_s, may_ask, pod_on
from scheduler.domain.capping import Asking, CapWish, Heard, NodeWish, Occupancy, Occupant, Restored, Want

POD, OTHER = Occupant(namespace="lab", name="train"), Occupant(namespace="lab", name="other")
PODS = {("lab", "train"): "u-1", ("lab", "other"): "u-2"}
CAP = CapWish(uuid="GPU-1", pod_uid="u-1", cap_w=400.0, emergency=True)
NOW_S = 1000.0


def heard(*gpus: CapWish, alive_s: float | None = 990.0, lease_s: float = 120.0) -> Heard:
    wish = NodeWish(source="uid", generation=7, plan_id="p", lease_s=lease_s, gpus=gpus)
    return Heard(wish=wish, alive_s=alive_s, pods=PODS)


def on(*holders: Occupant, seen_s: float | None = 999.5) -> Occupancy:
    return Occupancy(seen_s=seen_s, by_uuid={f"GPU-{number}": one for number, one in enumerate(holders, start=1)})


def back(said: Heard, occupancy: Occupancy) -> Restored | None:
    """Why the one cap that is wished is not asked for; None when it is."""
    found = asked(said, occupancy, NOW_S)
    assert bool(found.wants) != bool(found.back)
    return found.back.get("GPU-1")


@pytest.mark.parametrize(
    ("alive_s", "asked_s"),
    [
        # Of a lease of 120 s so much is left: 109.7, 35, 34.9, 30, 29.9, 0.1 s.
        (989.7, 105.0),
        (915.0, 35.0),
        (914.9, 30.0),
        (910.0, 30.0),
        (909.9, 29.9),
        (880.1, 0.1),
    ],
)
def test_a_long_lease_is_asked_for_in_whole_steps_and_its_end_exactly(alive_s: float, asked_s: float) -> None:
    (want,) = asked(heard(CAP, alive_s=alive_s), on(POD), NOW_S).wants
    assert want.lease_s == pytest.approx(asked_s)


def test_what_has_not_changed_is_asked_for_with_the_same_words() -> None:
    asker, said, sits = Asker(), heard(CAP, alive_s=994.9), on(POD)
    first = asker.asked(said, sits, NOW_S)
    assert first == asked(said, sits, NOW_S)
    assert asker.asked(said, replace(sits, seen_s=NOW_S + 0.3), NOW_S + 0.4) == asked(said, sits, NOW_S + 0.4)
    late = asker.asked(said, sits, NOW_S + 1.0)
    assert late.wants == first.wants
    assert late is asker.asked(said, sits, NOW_S + 0.5)
    # A kubelet that says nothing for 1.5 s, another pod, a pod's other uid, another wish: each is asked for anew.
    assert asker.asked(said, sits, NOW_S + 1.1).back == {"GPU-1": Restored.OCCUPANT}
    assert asker.asked(said, on(OTHER), NOW_S).back == {"GPU-1": Restored.OCCUPANT}
    assert asker.asked(replace(said, pods={("lab", "train"): "u-9"}), sits, NOW_S).back == {"GPU-1": Restored.OCCUPANT}
    assert asker.asked(heard(CAP, alive_s=800.0), sits, NOW_S).back == {"GPU-1": Restored.EXPIRED}
    assert asker.asked(heard(), sits, NOW_S).wants == ()


def test_a_cap_is_asked_for_as_long_as_its_lease_lasts() -> None:
    # Seen alive 10 s ago, for 120 s: 110 s are left.
    assert asked(heard(CAP), on(POD), NOW_S) == Asking(
        source="uid",
        generation=7,
        plan_id="p",
        wants=(Want(uuid="GPU-1", cap_w=400.0, lease_s=110.0, pod_uid="u-1", emergency=True),),
    )


def test_nothing_is_wished() -> None:
    assert asked(Heard(alive_s=NOW_S, pods=PODS), on(POD), NOW_S) == Asking(source="", generation=0)
    assert asked(heard(), on(POD), NOW_S) == Asking(source="uid", generation=7, plan_id="p")


@pytest.mark.parametrize(("alive_s", "wanted"), [(None, Restored.EXPIRED), (880.0, Restored.EXPIRED), (880.1, None)])
def test_the_lease_is_over(alive_s: float | None, wanted: Restored | None) -> None:
    # 880 + 120 = 1000, which is now.
    assert back(heard(CAP, alive_s=alive_s), on(POD)) == wanted


def test_a_sign_of_life_from_the_future_makes_no_lease_longer() -> None:
    assert lease_left_s(heard(CAP, alive_s=NOW_S + 50.0), NOW_S) == 120.0


@pytest.mark.parametrize(
    "occupancy",
    [
        on(OTHER),
        on(),
        on(Occupant(namespace="lab", name="train", shared=True)),
        on(Occupant(namespace="lab", name="never-heard-of")),
        on(Occupant(namespace="elsewhere", name="train")),
        on(POD, seen_s=None),
        on(POD, seen_s=997.9),  # 2.1 s old
    ],
)
def test_another_or_an_unknown_occupant_ends_a_cap_also_after_its_lease(occupancy: Occupancy) -> None:
    """The occupant comes first: it ends a cap also where one that has expired is held."""
    assert back(heard(CAP), occupancy) is Restored.OCCUPANT
    assert back(heard(CAP, alive_s=None), occupancy) is Restored.OCCUPANT
    assert pod_on("GPU-1", heard(CAP), occupancy, NOW_S) != "u-1"


def test_a_cap_without_a_pod_and_one_that_is_named_twice_cannot_be() -> None:
    nobody = Heard(wish=heard(CapWish(uuid="GPU-1", pod_uid="", cap_w=400.0)).wish, alive_s=NOW_S)
    assert back(nobody, on(POD)) is Restored.OCCUPANT
    assert back(heard(CAP, CapWish(uuid="GPU-1", pod_uid="u-2", cap_w=300.0)), on(POD)) is Restored.REFUSED


def test_one_gpu_does_not_keep_the_others() -> None:
    found = asked(heard(CAP, CapWish(uuid="GPU-2", pod_uid="u-1", cap_w=300.0)), on(POD, OTHER), NOW_S)
    assert [want.uuid for want in found.wants] == ["GPU-1"]
    assert found.back == {"GPU-2": Restored.OCCUPANT}


def test_an_agent_that_has_not_heard_from_all_yet_asks_for_nothing() -> None:
    assert may_ask(Heard(), on())
    assert not may_ask(Heard(begun=False), on())
    assert not may_ask(Heard(), Occupancy())
