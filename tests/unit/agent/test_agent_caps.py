"""The loop between wishes, kubelet and setter: what is asked when, and what is told of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.gpu.agent_metrics import families, of_caps, of_occupancy
from scheduler.adapters.gpu.caps import REPORT_EVERY, Caps, Known, Parts
from scheduler.adapters.gpu.node_power import AWAY_S, SetterSeen
from scheduler.adapters.gpu.setter_client import SetterAway
from scheduler.domain.capping import (
    Answer,
    Asking,
    CapWish,
    Condition,
    GpuStanding,
    Heard,
    NodeWish,
    Occupancy,
    Occupant,
    Restored,
    SetterCounts,
)

LONG_S = 20.0
TRAIN = Occupant(namespace="lab", name="train")
STANDING = GpuStanding(uuid="GPU-1", condition=Condition.CAPPED, original_w=700.0, cap_w=400.0, lease_s=55.0)


@dataclass(slots=True)
class Clock:
    """Stands until it is turned."""

    now_s: float = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


@dataclass(slots=True)
class Wisher:
    """Wishes what a test says; knows who holds what, too."""

    said: Heard = field(default_factory=Heard)
    holds: Occupancy = field(default_factory=Occupancy)
    reports: list[Mapping[str, Any]] = field(default_factory=list)
    started: int = 0

    def start(self, stopping: threading.Event) -> None:
        self.started += 1

    def heard(self) -> Heard:
        return self.said

    def look(self) -> Occupancy:
        return self.holds

    def report(self, status: Mapping[str, Any]) -> None:
        self.reports.append(status)


@dataclass(slots=True)
class Setting:
    """Answers what a test says, or is away."""

    answer: Answer | None = None
    asked: list[Asking] = field(default_factory=list)
    looks: int = 0

    def exchange(self, asking: Asking) -> Answer:
        self.asked.append(asking)
        return self._answered()

    def look(self) -> Answer:
        self.looks += 1
        return self._answered()

    def _answered(self) -> Answer:
        if self.answer is None:
            raise SetterAway("no such socket")
        return self.answer


def wish(clock: Clock, **changes: Any) -> Heard:
    wished = NodeWish(
        source="u", generation=7, plan_id="p", lease_s=60.0, gpus=(CapWish(uuid="GPU-1", pod_uid="pod-1", cap_w=400.0),)
    )
    return replace(Heard(wish=wished, alive_s=clock.now_s, pods={("lab", "train"): "pod-1"}), **changes)


def scene() -> tuple[Clock, Wisher, Setting, Caps]:
    clock = Clock()
    wisher = Wisher(said=wish(clock), holds=Occupancy(seen_s=clock.now_s, by_uuid={"GPU-1": TRAIN}))
    setting = Setting(answer=Answer(gpus=(STANDING,), dry_run=False))
    return clock, wisher, setting, Caps(Parts(wishes=wisher, holders=wisher, setter=setting), clock)


def test_a_turn_asks_for_all_that_is_wished_where_its_pod_sits_on_the_gpu() -> None:
    _, wisher, setting, caps = scene()
    caps.turn()
    (asking,) = setting.asked
    assert [(want.uuid, want.cap_w, want.lease_s) for want in asking.wants] == [("GPU-1", 400.0, 60.0)]
    wisher.holds = replace(wisher.holds, by_uuid={"GPU-1": Occupant(namespace="lab", name="other")})
    caps.turn()
    assert (setting.asked[-1].wants, setting.asked[-1].back) == ((), {"GPU-1": Restored.OCCUPANT})


@pytest.mark.parametrize("silent", ["wishes", "kubelet"])
def test_until_both_have_spoken_it_only_looks_which_takes_nothing_back(silent: str) -> None:
    _, wisher, setting, caps = scene()
    if silent == "wishes":
        wisher.said = Heard(begun=False)
    else:
        wisher.holds = Occupancy(trouble="not there yet")
    caps.turn()
    assert (setting.asked, setting.looks) == ([], 1)


def test_what_a_kubelet_said_grows_old_while_it_hangs_and_signs_of_life_go_on() -> None:
    clock, wisher, setting, _ = scene()
    over, hanging = threading.Event(), threading.Event()

    class Hanging:
        def look(self) -> Occupancy:
            hanging.set()
            over.wait(LONG_S)
            return Occupancy()

    caps = Caps(Parts(wishes=wisher, holders=Hanging(), setter=setting), clock)
    caps._occupancy = Occupancy(seen_s=clock.now_s, by_uuid={"GPU-1": TRAIN})
    stopping = threading.Event()
    caps.start(stopping)
    try:
        assert hanging.wait(LONG_S)
        until(lambda: len(setting.asked) >= 2)
        assert setting.asked[-1].wants != ()
        clock.now_s += 2.1  # what is older than 1.5 s is not known any more
        until(lambda: setting.asked[-1].back == {"GPU-1": Restored.OCCUPANT})
        assert wisher.started == 1
    finally:
        stopping.set()
        over.set()


def test_a_setter_that_waits_for_another_is_no_trouble_and_its_agent_says_nothing() -> None:
    clock, wisher, setting, caps = scene()
    setting.answer = Answer(waiting=True)
    for _ in range(2 * REPORT_EVERY):
        clock.now_s += AWAY_S
        wisher.holds = replace(wisher.holds, seen_s=clock.now_s)
        caps.turn()
    assert (caps.troubles(), wisher.reports) == ([], [])
    setting.answer = Answer(gpus=(STANDING,), dry_run=False)
    caps.turn()
    assert wisher.reports[0]["gpus"][0]["uuid"] == "GPU-1"


def test_a_gpu_that_stands_otherwise_is_said_at_once_and_all_the_rest_now_and_then() -> None:
    _, wisher, setting, caps = scene()
    caps.turn()
    assert len(wisher.reports) == 1
    for _ in range(REPORT_EVERY - 2):
        caps.turn()
    assert len(wisher.reports) == 1
    caps.turn()
    assert len(wisher.reports) == 2
    setting.answer = Answer(gpus=(replace(STANDING, condition=Condition.YIELDED, why="somebody else"),), dry_run=False)
    caps.turn()
    assert wisher.reports[-1]["gpus"][0]["condition"] == "yielded"


def test_what_is_missing_is_named() -> None:
    clock, wisher, setting, caps = scene()
    caps.turn()
    assert caps.troubles() == []
    setting.answer = None
    wisher.said = replace(wisher.said, trouble="the API server is away")
    clock.now_s += AWAY_S + 1.0
    wisher.holds = replace(wisher.holds, trouble="the kubelet is away")
    caps.turn()
    assert caps.troubles() == ["the API server is away", "the kubelet is away", "no such socket"]


def test_whose_pod_sits_on_a_gpu_is_told_when_it_is_known() -> None:
    clock = Clock()
    shared = Occupant(namespace="lab", name="train", shared=True)
    stranger = Occupant(namespace="lab", name="just-created")
    held = {"GPU-1": TRAIN, "GPU-2": shared, "GPU-3": stranger}
    known = Known(heard=wish(clock), occupancy=Occupancy(seen_s=clock.now_s, by_uuid=held))
    uuids = ("GPU-1", "GPU-2", "GPU-3", "GPU-4")
    assert [known.pod_uid(uuid, clock.now_s) for uuid in uuids] == ["pod-1", None, None, ""]
    assert [known.pod_uid(uuid, clock.now_s + 2.1) for uuid in uuids] == [None] * 4
    doubtful = replace(known, occupancy=replace(known.occupancy, all_named=False))
    assert doubtful.pod_uid("GPU-4", clock.now_s) is None


def test_metrics_of_caps_say_what_the_setter_said() -> None:
    counts = SetterCounts(writes=9, restores={Restored.SILENT: 2}, refused={"older": 1}, clamps=3, foreign_writes=4)
    answer = Answer(gpus=(STANDING,), counts=counts, dry_run=False)
    known = Known(heard=Heard(alive_s=990.0), occupancy=Occupancy(seen_s=999.5), setter=SetterSeen().said(answer, 1000.0))
    rows = (*of_caps(known, 1000.0), *of_occupancy(known, 1000.0))
    found = {(one.name, *one.labels.values()): one.value for family in families(rows) for one in family.samples}
    prefix = "heatdispatch_agent_"
    assert found[prefix + "setter_up",] == 1.0
    assert found[prefix + "setter_dry_run",] == 0.0
    assert found[prefix + "operator_silent_seconds",] == 10.0
    assert found[prefix + "occupancy_age_seconds",] == 0.5
    assert found[prefix + "gpu_power_limit_watts", "GPU-1", "original"] == 700.0
    assert found[prefix + "gpu_power_limit_watts", "GPU-1", "cap"] == 400.0
    assert found[prefix + "cap_lease_seconds", "GPU-1"] == 55.0
    assert found[prefix + "cap_condition", "GPU-1", "capped"] == 1.0
    assert found[prefix + "cap_restores_total", "silent"] == 2.0
    # What has not occurred is zero, so that its first time is a rise.
    assert found[prefix + "cap_restores_total", "expired"] == 0.0
    assert found[prefix + "cap_refused_total", "duplicate"] == 0.0
    assert found[prefix + "cap_refused_total", "older"] == 1.0
    silent = {family.name for family in families(of_caps(known, 1000.0 + AWAY_S + 1.0))}
    assert silent == {prefix + "setter_up", prefix + "operator_silent_seconds"}


def until(ready: Callable[[], object]) -> None:
    limit_s = SystemClock().monotonic_s() + LONG_S
    while not ready():
        assert SystemClock().monotonic_s() < limit_s
        time.sleep(0.01)
