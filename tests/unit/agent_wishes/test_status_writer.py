"""When a status is written: on change, at once what somebody waits for, never faster than flapping deserves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kube_api_peer import KubeApiPeer, kube_api_peer

from scheduler.adapters.gpu.kube_http import Access
from scheduler.adapters.gpu.kube_watch import Patience, Reach
from scheduler.adapters.gpu.status_writer import StatusWriter, Subject

READY = {"type": "Ready", "status": "True", "reason": "Ready", "message": ""}
SAID: dict[str, Any] = {"lease": "Valid", "conditions": [READY], "gpus": [{"uuid": "GPU-1", "enforcedWatts": 400.0}]}


@dataclass
class TurnedClock:
    """A clock that a test turns."""

    now_s: float = 50.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_utc(self) -> datetime:
        return datetime(2026, 1, 14, 12, 0, 0, tzinfo=UTC) + timedelta(seconds=self.now_s)


@dataclass
class Desk:
    """A writer, its clock, and the object that it writes."""

    peer: KubeApiPeer
    clock: TurnedClock = field(default_factory=TurnedClock)
    subject: Subject | None = field(default_factory=lambda: Subject(uid="u"))
    writer: StatusWriter = field(init=False)

    def __post_init__(self) -> None:
        patience = Patience(base_s=1.0, most_s=60.0)
        reach = Reach(access=Access(url=self.peer.url), clock=self.clock, patience=patience, uniform=lambda: 0.0)
        self.writer = StatusWriter(reach, "/power", lambda: self.subject)

    def says(self, status: dict[str, Any], after_s: float = 0.0) -> int:
        """How many writes there have been after this was said so much later."""
        self.clock.now_s += after_s
        self.writer.want(status)
        self.writer.turn()
        return len(self.peer.patched)

    def last(self) -> dict[str, Any]:
        return dict(self.peer.patched[-1]["status"])


@pytest.fixture
def desk() -> Iterator[Desk]:
    with kube_api_peer() as peer:
        found = Desk(peer)
        yield found
        found.writer._http.close()


def with_(**change: Any) -> dict[str, Any]:
    return {**SAID, **change}


def test_only_a_change_is_written(desk: Desk) -> None:
    assert desk.says({}) == 0
    assert desk.says(SAID) == 1
    assert desk.peer.patched[0]["metadata"] == {"uid": "u"}
    assert desk.says(with_(conditions=[dict(READY)]), after_s=100.0) == 1
    # What is left out is taken away.
    assert desk.last()["observedGeneration"] is None


def test_what_was_written_before_something_else_is_written_again(desk: Desk) -> None:
    assert desk.says(SAID) == 1
    assert desk.says(SAID, after_s=10.0) == 1
    assert desk.says(with_(lease="None"), after_s=10.0) == 2
    assert desk.says(SAID, after_s=10.0) == 3


def test_watts_wait_and_conditions_do_not(desk: Desk) -> None:
    assert desk.says(SAID) == 1
    cooler = with_(gpus=[{"uuid": "GPU-1", "enforcedWatts": 390.0}])
    assert desk.says(cooler, after_s=1.0) == 1
    assert desk.says({**cooler, "lease": "Expired"}, after_s=1.0) == 2
    assert desk.says(with_(lease="Expired", gpus=[{"uuid": "GPU-1", "enforcedWatts": 380.0}]), after_s=4.9) == 2
    assert desk.says(with_(lease="Expired", gpus=[{"uuid": "GPU-1", "enforcedWatts": 370.0}]), after_s=0.2) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"lease": "None"},
        {"observedGeneration": 8},
        {"conditions": [{**READY, "status": "False", "reason": "SetterAway"}]},
        {"gpus": [{"uuid": "GPU-1", "podUid": "u-1", "enforcedWatts": 400.0}]},
        {"gpus": [{"uuid": "GPU-1", "condition": "yielded", "enforcedWatts": 400.0}]},
        {"gpus": []},
    ],
)
def test_what_somebody_waits_for_is_written_at_once(desk: Desk, change: dict[str, Any]) -> None:
    assert desk.says(SAID) == 1
    assert desk.says(with_(**change)) == 2


def test_what_flaps_is_written_eight_times_in_twenty_seconds(desk: Desk) -> None:
    # 100 changes in 50 s: 8 in the first 4 s, and 8 more from 20 s and from 40 s on, give or take one.
    for number in range(100):
        desk.says(with_(observedGeneration=number), after_s=0.5)
    assert 23 <= len(desk.peer.patched) <= 25


def test_conditions_say_since_when_and_of_which_generation(desk: Desk) -> None:
    desk.says(with_(observedGeneration=3))
    assert desk.last()["conditions"] == [{**READY, "lastTransitionTime": "2026-01-14T12:00:50Z", "observedGeneration": 3}]
    desk.says(with_(conditions=[{**READY, "message": "still"}]), after_s=60.0)
    assert desk.last()["conditions"][0]["lastTransitionTime"] == "2026-01-14T12:00:50Z"
    desk.says(with_(conditions=[{**READY, "status": "False"}]), after_s=60.0)
    assert desk.last()["conditions"][0]["lastTransitionTime"] == "2026-01-14T12:02:50Z"


def test_what_is_there_at_start_is_not_written_again(desk: Desk) -> None:
    seen = {"lastTransitionTime": "2020-01-01T00:00:00Z", "observedGeneration": 3}
    desk.subject = Subject(uid="u", status=with_(conditions=[{**READY, **seen}]))
    assert desk.says(SAID) == 0
    assert desk.says(with_(conditions=[{**READY, "message": "new"}])) == 1
    assert desk.last()["conditions"][0]["lastTransitionTime"] == "2020-01-01T00:00:00Z"


def test_another_object_is_told_anew_and_none_is_told_nothing(desk: Desk) -> None:
    assert desk.says(SAID) == 1
    desk.subject = None
    assert desk.says(with_(lease="None"), after_s=10.0) == 1
    desk.subject = Subject(uid="another")
    assert desk.says(with_(lease="None"), after_s=10.0) == 2
    assert desk.peer.patched[-1]["metadata"] == {"uid": "another"}


def test_what_failed_is_kept_and_tried_again_later_and_later(desk: Desk) -> None:
    desk.peer.patch_code = 500
    assert desk.says(SAID) == 1
    assert desk.writer.trouble == "HTTP 500: as it was asked"
    assert desk.says(SAID, after_s=0.9) == 1  # 1 s after the first failure
    assert desk.says(SAID, after_s=0.2) == 2
    assert desk.says(with_(lease="None"), after_s=1.9) == 2  # 2 s after the second one
    desk.peer.patch_code = 200
    assert desk.says(with_(lease="None"), after_s=0.2) == 3
    assert desk.writer.trouble == ""
    assert desk.last()["lease"] == "None"
