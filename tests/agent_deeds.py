"""Faults that hit a pretended node, each undone after a while, and the ends that its caps come to."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent_world import NodeWorld

from scheduler.core.capping.asking import OCCUPANCY_AGE_S

PIDFD_GETFD = 438
# Of a call that hangs or a GPU that is lost.
WHOLE_HOUR_MS = 3_600_000
HANGS_IN = ("limit", "set", "enforced", "fields", "default", "constraints", "handle", "power")
YEAR_S = 365 * 86_400

Undo = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A fault by its name; `do` makes it, and returns what undoes it. least_s, most_s: how long it lasts.

    Two of one group would get into each other's way.
    """

    name: str
    group: str
    do: Callable[[NodeWorld], Undo]
    least_s: float = 0.5
    most_s: float = 4.0


def nothing() -> None:
    """What has mended itself, or is mended by the kubelet."""


# Processes.


def kill(pids: Iterable[int]) -> None:
    """As the kernel does when memory is short."""
    for pid in pids:
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kill_agent(world: NodeWorld) -> Undo:
    world.agent_lives.off("agent killed")
    kill([world.agent.pid])
    return nothing


def keep_agent_down(world: NodeWorld) -> Undo:
    world.agent.stays_down = True
    world.agent_lives.off("agent gone")
    kill([world.agent.pid])

    def undo() -> None:
        world.agent.stays_down = False

    return undo


def freeze_agent(world: NodeWorld) -> Undo:
    pid = world.agent.pid
    if not pid:
        return nothing
    world.agent_lives.off("agent frozen")
    os.kill(pid, signal.SIGSTOP)

    def undo() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        if world.agent.pid == pid and world.agent_lives.by == 0:
            world.agent_lives.on()

    return undo


def kill_worker(world: NodeWorld) -> Undo:
    kill(world.setter.children())
    return nothing


def kill_worker_often(world: NodeWorld) -> Undo:
    for _ in range(3):
        kill(world.setter.children())
        world.pass_s(float(world.random.uniform(0.05, 0.6)))
    return nothing


def kill_guardian(world: NodeWorld) -> Undo:
    """Its worker is left, and has to give everything back at once."""
    world.worker_is_left = bool(world.setter.children())
    kill([world.setter.pid])
    return nothing


def kill_setter(world: NodeWorld) -> Undo:
    """As a container whose memory is over: nobody is left who could give a limit back before it is started again."""
    kill([*world.setter.children(), world.setter.pid])
    return nothing


def end_setter(world: NodeWorld) -> Undo:
    if world.setter.pid:
        with suppress(ProcessLookupError):
            os.kill(world.setter.pid, signal.SIGTERM)
    return nothing


# Between them.


def remove_socket(world: NodeWorld) -> Undo:
    world.socket.unlink(missing_ok=True)
    return nothing


def cut_connections(world: NodeWorld) -> Undo:
    """Shut the agent's connections to its setter, and nothing else of it."""
    for number in unix_sockets(world.agent.pid):
        borrowed = borrowed_socket(world.agent.pid, number)
        if borrowed is None:
            continue
        with borrowed, suppress(OSError):
            if borrowed.getpeername() == str(world.socket):
                borrowed.shutdown(socket.SHUT_RDWR)
    return nothing


def cut_and_remove_socket(world: NodeWorld) -> Undo:
    remove_socket(world)
    return cut_connections(world)


def unix_sockets(pid: int) -> list[int]:
    """Descriptors of a process that are sockets."""
    found = []
    with suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if str(each.readlink()).startswith("socket:"):
                    found.append(int(each.name))
    return found


def borrowed_socket(pid: int, number: int) -> socket.socket | None:
    """The same socket in this process (pidfd_getfd); None when it is gone, or none of ours to take."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        found = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, number, 0)
    finally:
        os.close(process)
    if found < 0:
        return None
    with suppress(OSError):
        return socket.socket(fileno=found)
    os.close(found)
    return None


# What the agent hears.


def stop_operator(world: NodeWorld) -> Undo:
    world.operator_lives = False

    def undo() -> None:
        world.operator_lives = True

    return undo


def lose_wishes(world: NodeWorld) -> Undo:
    """The file is gone, and with it the wish; or the API server, which takes nothing back: the lease runs out."""
    world.is_heard = False
    world.voice.lose()
    if not world.pace.by_api:
        world.wishes_live.off("wishes gone")
    return partial(find_wishes, world)


def garble_wishes(world: NodeWorld) -> Undo:
    world.is_heard = False
    world.voice.garble()
    world.wishes_live.off("wishes garbled")
    return partial(find_wishes, world)


def find_wishes(world: NodeWorld) -> None:
    """They can be heard again."""
    world.is_heard = True
    if world.wishes_live.by == 0:
        world.wishes_live.on()
    world.voice.find()
    world.beat()


def end_kubelet(world: NodeWorld) -> Undo:
    world.kubelet.stop()
    world.kubelet_lives.off("kubelet gone", OCCUPANCY_AGE_S)
    return lambda: find_kubelet(world)


def crash_kubelet(world: NodeWorld) -> Undo:
    world.kubelet.vanish()
    world.kubelet_lives.off("kubelet gone", OCCUPANCY_AGE_S)
    return lambda: find_kubelet(world)


def hang_kubelet(world: NodeWorld) -> Undo:
    world.kubelet.hang_s = 30.0
    world.kubelet_lives.off("kubelet hangs", OCCUPANCY_AGE_S)

    def undo() -> None:
        world.kubelet.hang_s = 0.0
        world.kubelet_lives.on()

    return undo


def find_kubelet(world: NodeWorld) -> None:
    """It runs again."""
    world.kubelet.start()
    world.kubelet_lives.on()


def move_pod(world: NodeWorld) -> Undo:
    number = any_gpu(world)
    world.other_pod([number])

    def undo() -> None:
        if not world.pods_are_others:
            world.same_pod([number])

    return undo


# The machine.


def any_gpu(world: NodeWorld) -> int:
    """One of them."""
    return int(world.random.integers(world.pace.gpus))


def turn_clock(world: NodeWorld) -> Undo:
    sign, far = int(world.random.choice([-1, 1])), int(world.random.choice([30, 3_600, 10 * YEAR_S]))
    world.clock.turn_s(sign * far)
    return nothing


def fill_disk(world: NodeWorld) -> Undo:
    """Files of the setter cannot grow: what it writes breaks off in the middle."""
    old = []
    for pid in (world.setter.pid, *world.setter.children()):
        if pid:
            with suppress(ProcessLookupError):
                old.append((pid, resource.prlimit(pid, resource.RLIMIT_FSIZE)))
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (16, old[-1][1][1]))

    def undo() -> None:
        for pid in {*(pid for pid, _ in old), *world.setter.children()}:
            with suppress(ProcessLookupError):
                soft_hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft_hard[1], soft_hard[1]))

    return undo


def lose_gpu(world: NodeWorld) -> Undo:
    number = any_gpu(world)
    world.cannot[number].on()
    world.machine[number].lost = 1

    def undo() -> None:
        world.machine[number].lost = 0
        world.cannot[number].off("gpu back")

    return undo


def hang_gpu(world: NodeWorld) -> Undo:
    """A call for one GPU hangs until the fault is undone."""
    number, call = any_gpu(world), str(world.random.choice(HANGS_IN))
    world.cannot[number].on()
    world.machine.delay(number, call, WHOLE_HOUR_MS)

    def undo() -> None:
        world.machine.delay(number, call, 0)
        world.cannot[number].off("gpu answers")

    return undo


def forbid_limits(world: NodeWorld) -> Undo:
    for right in world.cannot.values():
        right.on()
    world.machine.state.allow_set = 0

    def undo() -> None:
        world.machine.state.allow_set = 1
        for right in world.cannot.values():
            right.off("permitted again")

    return undo


def write_foreign(world: NodeWorld) -> Undo:
    world.set_by_another(any_gpu(world), 443.0)
    return nothing


def fight(world: NodeWorld) -> Undo:
    """Somebody else sets the limit again and again."""
    number = any_gpu(world)
    for limit_w in (443.0, 533.0, 443.0, 613.0):
        world.set_by_another(number, limit_w)
        world.pass_s(float(world.random.uniform(0.1, 0.8)))
    return nothing


def reload_driver(world: NodeWorld) -> Undo:
    world.reload_driver()
    return nothing


DEEDS = (
    Deed(name="agent killed", group="agent", do=kill_agent),
    Deed(name="agent gone", group="agent", do=keep_agent_down, least_s=3.0),
    Deed(name="agent frozen", group="agent", do=freeze_agent),
    Deed(name="worker killed", group="setter", do=kill_worker),
    Deed(name="worker killed thrice", group="setter", do=kill_worker_often),
    Deed(name="guardian killed", group="setter", do=kill_guardian),
    Deed(name="setter killed whole", group="setter", do=kill_setter),
    Deed(name="setter ended", group="setter", do=end_setter),
    Deed(name="socket removed", group="socket", do=remove_socket),
    Deed(name="connection cut", group="socket", do=cut_connections),
    Deed(name="socket removed and cut", group="socket", do=cut_and_remove_socket),
    Deed(name="operator gone", group="operator", do=stop_operator, least_s=3.0, most_s=6.0),
    Deed(name="wishes gone", group="operator", do=lose_wishes),
    Deed(name="wishes garbled", group="operator", do=garble_wishes),
    Deed(name="kubelet ended", group="kubelet", do=end_kubelet),
    Deed(name="kubelet crashed", group="kubelet", do=crash_kubelet),
    Deed(name="kubelet hangs", group="kubelet", do=hang_kubelet),
    Deed(name="another pod", group="pod", do=move_pod),
    Deed(name="clock jumps", group="clock", do=turn_clock),
    Deed(name="journal disk full", group="disk", do=fill_disk),
    Deed(name="gpu lost", group="gpu", do=lose_gpu),
    Deed(name="gpu hangs", group="gpu", do=hang_gpu),
    Deed(name="not permitted", group="gpu", do=forbid_limits),
    Deed(name="foreign write", group="gpu", do=write_foreign),
    Deed(name="foreign writer", group="gpu", do=fight),
    Deed(name="driver loaded anew", group="gpu", do=reload_driver),
)


# How the caps of a run end.


def lease_ends(world: NodeWorld) -> None:
    """The operator is gone for good."""
    world.operator_is_over = True


def pods_change(world: NodeWorld) -> None:
    """Other pods take all GPUs."""
    world.pods_are_others = True
    world.other_pod(list(world.pods))


def all_released(world: NodeWorld) -> None:
    """Nothing is wished any more."""
    world.release(list(world.pods))


ENDS: dict[str, Callable[[NodeWorld], None]] = {
    "lease over": lease_ends,
    "another pod": pods_change,
    "released": all_released,
}
