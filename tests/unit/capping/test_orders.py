"""What of an asking may be done at all."""

from __future__ import annotations

import math

import pytest

from scheduler.core.capping.held import Ordered
from scheduler.core.capping.orders import Newest, Refusal, judged
from scheduler.domain.capping import Asking, Restored, Want

MACHINE = ("GPU-1", "GPU-2", "GPU-3")


def wanted(uuid: str = "GPU-1", cap_w: float = 500.0, lease_s: float = 60.0) -> Want:
    return Want(uuid=uuid, cap_w=cap_w, lease_s=lease_s, pod_uid="pod")


def asking(*wants: Want, source: str = "uid", generation: int = 7, **back: Restored) -> Asking:
    return Asking(source=source, generation=generation, plan_id="plan", wants=wants, back=back)


def test_a_want_becomes_an_order_with_an_end_by_our_own_clock() -> None:
    found = judged(asking(wanted()), MACHINE)
    assert found.ordered("GPU-1", 100.0) == Ordered(want=wanted(), until_s=160.0, heard_s=100.0, generation=7, plan_id="plan")
    assert not found.counted


def test_a_gpu_that_is_not_named_is_not_wanted_for_the_reason_that_was_given() -> None:
    told = Asking(source="uid", generation=7, wants=(wanted(),), back={"GPU-2": Restored.OCCUPANT, "GPU-1": Restored.EXPIRED})
    found = judged(told, MACHINE)
    assert found.ordered("GPU-2", 100.0) == Ordered(heard_s=100.0, until_s=100.0, back=Restored.OCCUPANT, generation=7)
    assert found.ordered("GPU-3", 100.0) == Ordered(heard_s=100.0, until_s=100.0, generation=7)
    # A GPU that is wanted and given back in one breath is wanted.
    assert found.ordered("GPU-1", 100.0).back is None


@pytest.mark.parametrize(
    ("want", "refusal"),
    [
        (wanted(cap_w=math.nan), Refusal.NO_NUMBER),
        (wanted(cap_w=math.inf), Refusal.NO_NUMBER),
        (wanted(cap_w=-math.inf), Refusal.NO_NUMBER),
        (wanted(lease_s=math.nan), Refusal.NO_NUMBER),
        (wanted(lease_s=math.inf), Refusal.NO_NUMBER),
        (wanted(cap_w=0.0), Refusal.OUT_OF_RANGE),
        (wanted(cap_w=-0.0), Refusal.OUT_OF_RANGE),
        (wanted(cap_w=-500.0), Refusal.OUT_OF_RANGE),
        (wanted(cap_w=5000.1), Refusal.OUT_OF_RANGE),
        (wanted(lease_s=0.0), Refusal.LEASE),
        (wanted(lease_s=-1.0), Refusal.LEASE),
        (wanted(lease_s=3600.1), Refusal.LEASE),
        (wanted(uuid=""), Refusal.UNKNOWN),
        (wanted(uuid="GPU-9"), Refusal.UNKNOWN),
        (wanted(uuid="gpu-1"), Refusal.UNKNOWN),
        (wanted(uuid="GPU-3"), Refusal.NOT_OPTED_IN),
    ],
)
def test_a_want_that_cannot_be_is_refused_alone_and_its_gpu_let_go(want: Want, refusal: Refusal) -> None:
    good = wanted("GPU-2")
    found = judged(asking(want, good), MACHINE, opted_in=("GPU-1", "GPU-2"))
    assert found.wants == {"GPU-2": good}
    assert found.refused == {want.uuid: refusal}
    assert found.counted == {refusal.value: 1}
    order = found.ordered(want.uuid, 100.0)
    assert (order.want, order.refused) == (None, refusal.value)


def test_the_bounds_themselves_may_be_asked_for() -> None:
    assert judged(asking(wanted(cap_w=5000.0, lease_s=3600.0)), MACHINE).wants


def test_a_gpu_that_is_named_twice_is_refused_both_times() -> None:
    found = judged(asking(wanted(cap_w=400.0), wanted(cap_w=500.0), wanted("GPU-2")), MACHINE)
    assert set(found.wants) == {"GPU-2"}
    assert found.counted == {"duplicate": 2}


def test_an_older_generation_of_the_same_source_is_refused_whole() -> None:
    newest = Newest().with_asking(asking(generation=7))
    found = judged(asking(wanted(), generation=6), MACHINE, newest=newest)
    assert found.older
    assert not found.wants
    assert found.counted == {"older_generation": 1}
    assert not judged(asking(wanted(), generation=7), MACHINE, newest=newest).older
    assert not judged(asking(wanted(), source="another", generation=1), MACHINE, newest=newest).older


def test_an_asking_without_a_source_does_not_make_old_orders_new() -> None:
    newest = Newest().with_asking(asking(generation=7)).with_asking(asking(source="", generation=0))
    assert judged(asking(wanted(), generation=6), MACHINE, newest=newest).older
