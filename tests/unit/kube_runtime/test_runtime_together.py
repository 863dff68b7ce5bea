"""The parts wired as docs/runtime.md says, and that nobody writes past the one door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from fake_api import FakeApi
from runtime_world import client_of, eventually, no_jitter

import scheduler
from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.runtime import trim
from scheduler.adapters.kubernetes.runtime.backoff import Backoff
from scheduler.adapters.kubernetes.runtime.caches import Caches
from scheduler.adapters.kubernetes.runtime.election import Election
from scheduler.adapters.kubernetes.runtime.errors import ApiError
from scheduler.adapters.kubernetes.runtime.fence import Fenced, Term
from scheduler.adapters.kubernetes.runtime.kinds import JOBS
from scheduler.adapters.kubernetes.runtime.lease import Contest, LeaseTimes
from scheduler.adapters.kubernetes.runtime.limiter import WriteLimiter
from scheduler.adapters.kubernetes.runtime.reflector import Reflector, ReflectorOptions
from scheduler.adapters.kubernetes.runtime.store import Store
from scheduler.adapters.kubernetes.runtime.timers import Every, Timer, Timers
from scheduler.adapters.kubernetes.runtime.writer import Reach, Writer

LEASE = "/apis/coordination.k8s.io/v1/namespaces/heat/leases/leader"
TIMES = LeaseTimes(lease_s=8, renew_every_s=0.1, retry_s=0.05, renew_deadline_s=7.0)
QUICK = ReflectorOptions(backoff=Backoff(base_s=0.02, max_s=0.1))
ROOT = Path(scheduler.__file__).parent
DOORS = {"client.py", "writer.py", "election.py", "events.py", "neighbours.py", "badge.py"}
WRITING = {"create", "replace", "apply", "apply_part", "patch", "amend", "delete"}


class Releaser:
    """A small operator: releases every suspended Job that it sees, on the leader, every second."""

    def __init__(self, api: FakeApi, name: str) -> None:
        clock, client = SystemClock(), client_of(api)
        self.name, self.client = name, client
        self.limiter = WriteLimiter(clock, lambda _s: None)
        self.store = Store(JOBS, trim=trim.job)
        self.caches = Caches([Reflector(client, self.store, clock, no_jitter, options=QUICK)])
        self.timers = Timers([Timer(name="cycle", when=Every(seconds=1.0, at_once=True), job=self.cycle)], clock)
        self.election = Election(
            client,
            clock,
            no_jitter,
            lease=("heat", "leader"),
            contest=Contest(name, TIMES),
            on_started=self.timers.start,
            on_stopped=self.timers.stop,
        )

    def cycle(self, term: Term) -> None:
        writer = Writer(self.client, term, self.limiter, lambda _s: None, reach=lambda: Reach.FULL)
        for job in self.store.all():
            if job["spec"]["suspend"]:
                change = {"spec": {"suspend": False}, "metadata": {"annotations": {"by": self.name}}}
                try:
                    writer.patch(JOBS, job, change, lets_go=True)
                except (ApiError, Fenced):
                    continue  # the next cycle looks again

    @contextmanager
    def running(self) -> Iterator[None]:
        self.caches.start()
        self.election.start()
        try:
            yield
        finally:
            self.election.stop()
            self.caches.stop()


def suspended(api: FakeApi, name: str) -> str:
    path = f"/apis/batch/v1/namespaces/team/jobs/{name}"
    api.put(path, {"spec": {"suspend": True}})
    return path


def test_two_replicas_release_every_job_once_and_hand_over(api: FakeApi) -> None:
    api.put(LEASE, {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})
    first, second = Releaser(api, "a"), Releaser(api, "b")
    paths = [suspended(api, f"early-{number}") for number in range(5)]
    with ExitStack() as stack, ExitStack() as leaving:
        leaving.enter_context(first.running())
        assert eventually(lambda: first.election.term is not None)
        stack.enter_context(second.running())
        assert eventually(lambda: all(not api.objects[path]["spec"]["suspend"] for path in paths))
        api.refuse(503, verb="PATCH", left=2)
        paths.append(suspended(api, "in-trouble"))
        assert eventually(lambda: not api.objects[paths[-1]]["spec"]["suspend"])
        leaving.close()
        assert not first.timers.running
        paths.append(suspended(api, "late"))
        assert eventually(lambda: not api.objects[paths[-1]]["spec"]["suspend"])
    assert [api.objects[path]["metadata"]["annotations"]["by"] for path in paths] == ["a"] * 6 + ["b"]
    changed = [path for _, event, path, _ in api.history if event == "MODIFIED" and "/jobs/" in path]
    assert sorted(changed) == sorted(paths)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_writes_past_the_one_door(path: Path) -> None:
    """Whoever has a `KubeClient` reads with it; writing goes by `Writer`, which asks reach, rate and fence."""
    text = path.read_text(encoding="utf-8")
    if "runtime.client import" not in text or (path.parent.name == "runtime" and path.name in DOORS):
        return
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    past = [
        f"line {call.lineno}: {ast.unparse(call.func)}"
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in WRITING
        and ast.unparse(call.func.value).rpartition(".")[2].strip("_").endswith("client")
    ]
    assert not past
