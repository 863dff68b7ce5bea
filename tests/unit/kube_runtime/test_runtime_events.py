"""Events say the newest sentence once, count repetitions, wait their turn and never raise."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fake_api import FakeApi
from runtime_world import FakeClock, eventually

from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.events import WARNING, EventOptions, EventRecorder
from scheduler.adapters.kubernetes.runtime.fence import Fence, Term, Unfenced
from scheduler.adapters.kubernetes.runtime.limiter import WriteLimiter
from scheduler.adapters.kubernetes.runtime.writer import Reach, Writer

JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train", "namespace": "team", "uid": "u1"}}
PLUG = {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "ThermalPlug", "metadata": {"name": "loop", "uid": "u2"}}


class Stage:
    """A recorder on a fake API server, with a clock moved by hand."""

    def __init__(
        self, client: KubeClient, options: EventOptions | None = None, burst: float = 40.0, fence: Fence | None = None
    ) -> None:
        self.clock = FakeClock()
        limiter = WriteLimiter(self.clock, self.clock.sleep, burst=burst)
        self.writer: Writer | None = Writer(client, fence or Unfenced(), limiter, self.clock.sleep, reach=lambda: Reach.DRY)
        self.recorder = EventRecorder(lambda: self.writer, self.clock, instance="pod-1", options=options)

    def say(self, text: str, about: dict[str, Any] | None = None, reason: str = "Held") -> int:
        self.recorder.say(about or JOB, reason, text)
        return self.recorder.flush()


@pytest.fixture
def stage(client: KubeClient) -> Stage:
    return Stage(client)


def events(api: FakeApi) -> list[dict[str, Any]]:
    return [obj for path, obj in api.objects.items() if "/events/" in path]


def test_an_event_stands_where_its_owner_looks(api: FakeApi, stage: Stage) -> None:
    assert stage.say("Held until 02:15 UTC") == 1
    event = events(api)[0]
    assert event["involvedObject"] == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": "team",
        "name": "train",
        "uid": "u1",
    }
    assert (event["metadata"]["namespace"], event["type"], event["reason"], event["count"]) == ("team", "Normal", "Held", 1)
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T00:00:00Z"
    assert (event["reportingComponent"], event["reportingInstance"]) == ("heat-dispatch", "pod-1")


def test_events_of_cluster_scoped_objects_are_kept_in_default(api: FakeApi, stage: Stage) -> None:
    stage.say("Meter is silent", PLUG)
    assert events(api)[0]["metadata"]["namespace"] == "default"
    assert "namespace" not in events(api)[0]["involvedObject"]


def test_a_repeated_sentence_is_counted_and_not_sent(api: FakeApi, stage: Stage) -> None:
    stage.say("Held until 02:15 UTC")
    for _ in range(5):
        stage.clock.now_s += 30.0
        assert stage.say("Held until 02:15 UTC") == 0
    assert len(api.writes()) == 1
    stage.clock.now_s = 600.0
    assert stage.say("Held until 02:15 UTC") == 1
    assert [(event["count"], event["lastTimestamp"]) for event in events(api)] == [(7, "2026-01-01T00:10:00Z")]


def test_a_new_sentence_replaces_the_old_one_in_the_same_event(api: FakeApi, stage: Stage) -> None:
    stage.say("Held until 02:15 UTC")
    stage.say("Held until 03:00 UTC")
    assert [(event["message"], event["count"]) for event in events(api)] == [("Held until 03:00 UTC", 2)]
    assert set(api.writes()[-1].body) == {"message", "count", "lastTimestamp"}


def test_reason_object_and_type_make_an_event_of_its_own(api: FakeApi, stage: Stage) -> None:
    stage.say("x")
    stage.say("x", reason="Released")
    stage.say("x", about=PLUG)
    stage.recorder.say(JOB, "Held", "x", kind=WARNING)
    stage.recorder.flush()
    assert len(events(api)) == 4


def test_after_the_window_a_new_event_begins(api: FakeApi, stage: Stage) -> None:
    stage.say("x")
    stage.clock.now_s = 3001.0
    stage.say("x")
    assert [event["count"] for event in events(api)] == [1, 1]


def test_an_event_that_the_server_forgot_is_made_anew(api: FakeApi, stage: Stage) -> None:
    stage.say("x")
    api.remove(next(path for path in api.objects if "/events/" in path))
    assert stage.say("y") == 1
    assert [(event["message"], event["count"]) for event in events(api)] == [("y", 2)]


def test_long_names_and_sentences_are_cut(api: FakeApi, stage: Stage) -> None:
    stage.say("z" * 5000, {"kind": "Job", "metadata": {"name": "n" * 253, "namespace": "team"}})
    assert len(events(api)[0]["message"]) == 1024
    assert len(events(api)[0]["metadata"]["name"]) <= 253


def test_events_leave_room_for_decisions(api: FakeApi, client: KubeClient) -> None:
    """Of a burst of 20 Events take 10; the rest waits for a second's half."""
    stage = Stage(client, burst=20.0)
    for number in range(15):
        stage.recorder.say(JOB, f"Reason{number}", "x")
    assert stage.recorder.flush() == 10
    assert stage.recorder.waiting() == 5
    stage.clock.now_s += 0.26  # 5 tokens
    assert stage.recorder.flush() == 5


def test_a_standby_drops_events(api: FakeApi, stage: Stage) -> None:
    stage.writer = None
    assert stage.say("x") == 0
    assert not api.writes()
    assert stage.recorder.dropped == 1
    assert stage.recorder.waiting() == 0


@pytest.mark.parametrize("status", [403, 409, 429, 500])
def test_an_event_that_cannot_be_taken_now_is_tried_again(api: FakeApi, stage: Stage, status: int) -> None:
    api.refuse(status, part="events", left=2)
    assert stage.say("x") == 0
    assert stage.recorder.flush() == 0  # not before its back-off
    stage.clock.now_s += 1.0
    stage.recorder.flush()
    stage.clock.now_s += 2.0
    assert stage.recorder.flush() == 1
    assert stage.recorder.dropped == 0


def test_an_event_is_given_up_in_the_end(api: FakeApi, stage: Stage) -> None:
    api.refuse(500, part="events", left=10**6)
    stage.recorder.say(JOB, "Held", "x")
    for _ in range(10):
        stage.clock.now_s += 60.0
        stage.recorder.flush()
    assert stage.recorder.dropped == 1
    assert len(api.writes()) == 5


@pytest.mark.parametrize("status", [404, 422])
def test_an_event_that_will_never_be_taken_is_dropped(api: FakeApi, stage: Stage, status: int) -> None:
    """Its namespace is being deleted, or the server does not like it."""
    api.refuse(status, part="events")
    assert stage.say("x") == 0
    assert stage.recorder.dropped == 1
    assert stage.say("y") == 1


def test_an_ended_term_drops_events_and_raises_nothing(api: FakeApi, client: KubeClient) -> None:
    term = Term(1, FakeClock(), 100.0)
    term.end("stopped")
    stage = Stage(client, fence=term)
    assert stage.say("x") == 0
    assert stage.recorder.dropped == 1
    assert not api.writes()


def test_a_bug_raises_nothing(api: FakeApi, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.recorder, "_write", lambda *_args: [][0])
    assert stage.say("x") == 0
    assert stage.recorder.dropped == 1
    assert not api.writes()


def test_memory_is_bounded(stage: Stage, client: KubeClient) -> None:
    small = Stage(client, options=EventOptions(keep=10))
    for number in range(100):
        small.recorder.say(JOB, f"Reason{number}", "x")
    assert small.recorder.waiting() == 10
    assert small.recorder.dropped == 90


def test_a_thread_of_its_own(api: FakeApi, stage: Stage) -> None:
    stopping = threading.Event()
    thread = threading.Thread(target=stage.recorder.run, args=(stopping, 0.01))
    thread.start()
    stage.recorder.say(JOB, "Held", "x")
    assert eventually(lambda: len(events(api)) == 1)
    stopping.set()
    thread.join(3)
    assert not thread.is_alive()
