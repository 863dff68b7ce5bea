"""One pretended node: GPUs behind the library of the tests, a kubelet, an operator's wishes, agent and setter.

Agent and setter are the real processes with the unmodified binding. Containers that end are started again as a kubelet does,
after up to a second. All is driven by one thread that calls `pass_s`; whatever makes or ends the right to a cap is noted with
its instant, and the judge compares that with the library's log of writes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
from agent_container import Container
from agent_judge import FOR_GOOD, GRACE_S, GpuStory, Span, Verdict, both, joined, judged
from agent_operator import NAMESPACE, NODE, ApiVoice, FileVoice, Voice
from gpu_machine import Machine, ShiftedClock
from kubelet_peer import KubeletPeer, holding

RUN = "import sys; from scheduler.entrypoints.start import main; sys.exit(main())"
TICK_S = 0.025
LEAST_FRACTION = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the world goes round: beats of the operator, its lease, pauses and jitter of the setter.

    by_api: wishes come from an API server, else from a file; bookmark_s: between two signs of a quiet watch. restart_s: a
    container that ended is started again within so long. grace_s: a limit is late after so long. standby: a second setter
    stands behind the first one, as in the manifests.
    """

    gpus: int = 8
    beat_s: float = 0.4
    lease_s: float = 3.0
    pause_s: float = 0.3
    jitter_s: float = 0.2
    restart_s: float = 1.0
    grace_s: float = GRACE_S
    by_api: bool = False
    bookmark_s: float = 1.0
    standby: bool = False


@dataclass(slots=True, eq=False)
class Since:
    """When something was so: switched on and off, with why. Switched on by two, it is off when both have switched it off."""

    spans: list[Span] = field(default_factory=list)
    since_s: float | None = None
    by: int = 0

    def on(self) -> None:
        """From now."""
        self.by += 1
        if self.since_s is None:
            self.since_s = time.monotonic()

    def off(self, why: str, grace_s: float = 0.0) -> None:
        """Not any more."""
        self.by = max(0, self.by - 1)
        if self.since_s is not None and self.by == 0:
            self.spans.append(Span(start_s=self.since_s, end_s=time.monotonic() + grace_s, why=why))
            self.since_s = None

    def all(self) -> list[Span]:
        """All spans so far."""
        now = [] if self.since_s is None else [Span(start_s=self.since_s, end_s=FOR_GOOD)]
        return joined([*self.spans, *now])


class NodeWorld:
    """See the module. Use as a context manager: everything that was begun is ended."""

    def __init__(self, folder: Path, library: Path, seed: int, pace: Pace | None = None) -> None:
        """A node whose GPUs have limits of their own; nothing runs yet."""
        self.pace = pace or Pace()
        self.random = np.random.default_rng(seed)
        self.folder = folder
        self.machine = Machine.create(folder, library, gpus=self.pace.gpus)
        self.clock = ShiftedClock.create(folder, library.parent)
        for name in ("journal", "pods"):
            (folder / name).mkdir()
        self.kubelet = KubeletPeer(folder / "pods")
        self.voice: Voice = (
            ApiVoice(folder / "token", self.pace.bookmark_s) if self.pace.by_api else FileVoice(folder / "wishes.json")
        )
        self.journal, self.socket = folder / "journal", folder / "s" / "setter.sock"
        self.socket.parent.mkdir()
        self.originals_w = [float(watts) for watts in self.random.choice([700.0, 700.0, 652.0, 598.0], self.pace.gpus)]
        for number, watts in enumerate(self.originals_w):
            self.machine[number].limit_milliwatt = round(1000 * watts)
        self.levels_w = [{watts} for watts in self.originals_w]
        self.agent = self._container(
            "agent", "--node", NODE, "--port", "0", *self.voice.arguments(), "--setter", str(self.socket),
            "--pod-resources", str(self.kubelet.folder),
        )  # fmt: skip
        setting = [
            "agent-setter", "--socket", str(self.socket), "--journal", str(self.journal), "--gpus", "all", "--no-dry-run",
            "--pause-seconds", str(self.pace.pause_s), "--jitter-seconds", str(self.pace.jitter_s),
        ]  # fmt: skip
        self.setter = self._container(*setting)
        self.containers = [self.agent, self.setter]
        if self.pace.standby:
            self.containers.append(self._container(*setting, "--standby"))
        self.caps_w: dict[int, float] = {}
        self.pods = {number: f"p{number}" for number in range(self.pace.gpus)}
        self.operator_lives = self.is_heard = True
        self.operator_is_over = self.pods_are_others = False
        self.beats: list[float] = []
        self.generation, self._next_beat_s = 1, 0.0
        self.asks, self.sits, self.cannot = ({number: Since() for number in self.pods} for _ in range(3))
        self.setter_is_down, self.worker_is_left, self._setter_began_s = False, False, 0.0
        self.loads_s: list[float] = []
        self.agent_lives, self.kubelet_lives, self.wishes_live = Since(), Since(), Since()

    def _container(self, command: str, *arguments: str) -> Container:
        return Container(
            name=command,
            command=[sys.executable, "-c", RUN, command, *arguments],
            environment={**self.machine.environment, **self.clock.environment, "PYTHONUNBUFFERED": "1"},
        )

    def __enter__(self) -> NodeWorld:
        self.kubelet.start()
        self.kubelet_lives.on()
        self.wishes_live.on()
        for number in self.pods:
            self.sits[number].on()
            self.wish(number)
        self._tell_pods()
        for each in self.containers[1:]:
            each.start()
        self._start_agent()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for each in self.containers:
            each.end(5.0)
        self.kubelet.stop()
        self.voice.close()

    # What goes on by itself.

    def pass_s(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; ends early, with True, when `until` holds."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._tick()
            if until is not None and until():
                return True
            time.sleep(TICK_S)
        return False

    def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_beat_s:
            self._next_beat_s = now_s + self.pace.beat_s
            if self.random.random() < 0.4 and self.caps_w:
                self.wish(int(self.random.choice(list(self.caps_w))))
            self.beat()
        for each in self.containers:
            each.drain()
            if each is self.setter and self.setter_is_down and each.has_said("in charge"):
                self.loads_s.append(now_s - self._setter_began_s)
                self._nobody_can(False)
            if each.process is None or each.process.poll() is None or each.stays_down:
                continue
            if each.starts_s is None:
                self._is_down(each)
                each.starts_s = now_s + float(self.random.uniform(0.0, self.pace.restart_s))
            elif now_s >= each.starts_s:
                self._start(each)

    def _is_down(self, container: Container) -> None:
        if container is self.agent:
            self.agent_lives.off("agent ended")
        elif container is self.setter and not self.worker_is_left and not self.pace.standby:
            self._nobody_can(True)

    def _start(self, container: Container) -> None:
        if container is self.agent:
            self._start_agent()
            return
        container.start()
        if container is self.setter:
            self.worker_is_left, self._setter_began_s = False, time.monotonic()

    def _nobody_can(self, down: bool) -> None:
        """While the setter's container is down, or still loads its program, nobody may write a limit."""
        if down != self.setter_is_down:
            self.setter_is_down = down
            for right in self.cannot.values():
                right.on() if down else right.off("setter in charge")

    def _start_agent(self) -> None:
        self.agent.start()
        if self.agent_lives.by == 0:
            self.agent_lives.on()

    def beat(self) -> None:
        """A sign of life of the operator, with what it wishes, unless it is gone or not heard."""
        if self.operator_is_over or not (self.operator_lives and self.is_heard):
            return
        gpus = [
            {"uuid": self.uuid(number), "podUid": f"uid-p{number}", "capWatts": watts} for number, watts in self.caps_w.items()
        ]
        spec = {
            "planId": f"plan-{self.generation}",
            "generation": self.generation,
            "leaseSeconds": self.pace.lease_s,
            "gpus": gpus,
        }
        self.voice.say(spec, [f"{kind}{number}" for kind in "pq" for number in self.pods])
        self.beats.append(time.monotonic())
        for number, asked in self.asks.items():
            if number not in self.caps_w and asked.by:
                asked.off("released")

    # What the operator and the cluster do.

    def uuid(self, number: int) -> str:
        """Name of a GPU."""
        return f"GPU-{number:04d}"

    def wish(self, number: int, cap_w: float | None = None) -> None:
        """Wish for another cap of a GPU; said with the next beat. No value is an original limit or a default."""
        self.caps_w[number] = float(self.random.choice([230, 285, 305, 365, 405, 455, 515, 585])) if cap_w is None else cap_w
        self.generation += 1
        if self.asks[number].by == 0:
            self.asks[number].on()

    def release(self, numbers: Iterable[int]) -> None:
        """Wish no more for caps of these; it counts once it is said."""
        for number in numbers:
            self.caps_w.pop(number, None)
        self.generation += 1
        self.beat()

    def other_pod(self, numbers: Iterable[int]) -> None:
        """Other pods take these GPUs, which the caps are not meant for."""
        for number in numbers:
            self.pods[number] = f"q{number}"
        self._tell_pods()
        for number in numbers:
            self.sits[number].off("another pod")

    def same_pod(self, numbers: Iterable[int]) -> None:
        """The pods that the caps are meant for are back."""
        for number in numbers:
            self.sits[number].on()
            self.pods[number] = f"p{number}"
        self._tell_pods()

    def _tell_pods(self) -> None:
        self.kubelet.pods = [holding(name, self.uuid(number), namespace=NAMESPACE) for number, name in self.pods.items()]

    def set_by_another(self, number: int, limit_w: float) -> None:
        """Somebody else sets a limit."""
        self.levels_w[number].add(limit_w)
        self.machine.set_by_another(number, limit_w)

    def reload_driver(self) -> None:
        """The driver is loaded anew."""
        for number, levels_w in enumerate(self.levels_w):
            levels_w.add(float(self.machine[number].default_milliwatt) / 1e3)
        self.machine.reload_driver()

    # What is to be seen.

    def limit_w(self, number: int) -> float:
        """Limit of a GPU now."""
        return float(self.machine[number].limit_milliwatt) / 1e3

    def capped(self, number: int) -> bool:
        """Whether a wished cap is in force, or as much of it as may be."""
        wished_w = self.caps_w.get(number)
        least_w = LEAST_FRACTION * float(self.machine[number].default_milliwatt) / 1e3
        return wished_w is not None and abs(self.limit_w(number) - max(wished_w, least_w)) < 1.0

    def all_capped(self) -> bool:
        """Whether every GPU has the cap that is wished for it."""
        return all(self.capped(number) for number in self.pods)

    def both_up(self) -> bool:
        """Whether all containers have begun their work, which may be to wait for another one in charge."""
        return self.agent.has_said("started") and all(each.has_said("in charge") for each in self.containers[1:])

    def none_capped(self) -> bool:
        """Whether all limits are back, as found, or as somebody else or a load of the driver left them."""
        return all(any(abs(self.limit_w(number) - level_w) < 1.0 for level_w in self.levels_w[number]) for number in self.pods)

    def verdict(self) -> Verdict:
        """Judge everything until now, when all had to be given back."""
        now_s, writes = time.monotonic(), self.machine.writes()
        lease = joined(Span(start_s=at_s, end_s=at_s + self.pace.lease_s, why="lease over") for at_s in self.beats)
        node = both(both(lease, self.agent_lives.all()), both(self.kubelet_lives.all(), self.wishes_live.all()))
        found = []
        for number, original_w in enumerate(self.originals_w):
            story = GpuStory(
                gpu=number,
                original_w=original_w,
                default_w=float(self.machine[number].default_milliwatt) / 1e3,
                least_w=LEAST_FRACTION * float(self.machine[number].default_milliwatt) / 1e3,
                may=both(node, both(self.asks[number].all(), self.sits[number].all())),
                cannot=self.cannot[number].all(),
            )
            found.append(judged(story, writes, now_s, self.pace.grace_s))
        return Verdict(
            complaints=tuple(complaint for each in found for complaint in each.complaints),
            endings=tuple(ending for each in found for ending in each.endings),
        )
