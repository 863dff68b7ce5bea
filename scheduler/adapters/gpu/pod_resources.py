"""Which pod holds which GPU, as the kubelet knows it (KEP-606, `k8s.io/kubelet/pkg/apis/podresources/v1`).

The socket is made by the kubelet and is root's alone (its folder 0750, the socket without write access for others): whoever
asks must have user id 0, and needs no capability. The folder is mounted, not the socket, since every kubelet makes its own. One
that has just started names no pods for about a second.

Ids of devices, by who gives them out:

| id | of | held |
|---|---|---|
| `GPU-uuid` | NVIDIA's device plugin | whole |
| `GPU-uuid::3` | the same, with slices of time or MPS | shared |
| `GPU-uuid-3` | HAMi, Volcano | shared |
| `MIG-uuid`, `MIG-uuid::3` | the same, a part of a split GPU | of which GPU is not said: it is left out |
| `MIG-GPU-uuid/1/0` | the same, before driver 470 | shared |
| `nvidia0`, `nvidia0/gi1`, `nvidia0/vgpu2`, `nvidia0/gi1/vgpu2` | GKE's plugin | by number, not by uuid: not known which |
| claims of the driver `gpu.nvidia.com` | dynamic resource allocation | by name, not by uuid: not known which |

A part of a split GPU says nothing of the others, since a split GPU is given to nobody whole. Any other device that is not known
by its uuid could be each of them: while a pod holds such a one, no GPU of the node counts as one pod's alone, nor as free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.gpu.grpc_unary import NoAnswer, UnaryCaller
from scheduler.adapters.gpu.wire_proto import Malformed, chunks, fields, text
from scheduler.domain.capping import Occupancy, Occupant

SOCKET = "kubelet.sock"
LIST = "/v1.PodResourcesLister/List"
RESOURCES = ("nvidia.com/gpu", "nvidia.com/gpu.*", "nvidia.com/mig-*")
# Whatever the resource is called, since it can be renamed.
OURS = ("GPU-", "MIG-")
DRA_DRIVER = "gpu.nvidia.com"

# Numbers of fields (api.proto).
PODS = 1
NAME, NAMESPACE, CONTAINERS = 1, 2, 3
DEVICES, DYNAMIC = 2, 5
RESOURCE, IDS = 1, 2
CLAIMS, DRIVER, POOL, DEVICE = 4, 2, 3, 4

UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
SLICE = re.compile(rf"(GPU-{UUID})-\d+|(GPU-[0-9a-fA-F-]+)::\d+|MIG-(GPU-[0-9a-fA-F-]+)/\d+/\d+(?:::\d+)?")
WHOLE = re.compile(r"GPU-[0-9a-fA-F-]+")
SPLIT = re.compile(r"MIG-[0-9a-fA-F-]+(?:::\d+)?")
# So many are named; the rest are counted.
NAMED = 3
# More pods than a node has.
REMEMBERED = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One device that a container holds; driver: of a claim, empty for a device plugin's device."""

    namespace: str
    pod: str
    device: str
    driver: str = ""

    def __str__(self) -> str:
        """Who holds what."""
        return f"{self.namespace}/{self.pod} holds {self.device}" + (f" of {self.driver}" if self.driver else "")


class PodResources:
    """The kubelet behind the socket of a folder, asked from one thread."""

    def __init__(self, folder: Path, clock: MonotonicClock, resources: tuple[str, ...] = RESOURCES) -> None:
        """Not connected. resources: names of GPUs among the node's resources, `*` for any text."""
        self._path, self._clock, self._resources = folder / SOCKET, clock, resources
        self._caller = UnaryCaller(self._path, clock)
        self._last = Occupancy(trouble="not asked yet")
        self._read: tuple[bytes, Occupancy] | None = None

    def look(self) -> Occupancy:
        """Ask now, a second at most; never raises.

        Where the kubelet does not answer, what it said last stays, with the time at which it did; when what it says cannot be
        understood nothing is known.
        """
        asked_s = self._clock.monotonic_s()
        try:
            answer = self._caller.call(LIST, b"")
            # Most answers are the same as the one before.
            if self._read is None or answer != self._read[0]:
                self._read = answer, occupancy(held(answer, self._resources), asked_s)
            self._last = replace(self._read[1], seen_s=asked_s)
        except Malformed as error:
            self._last = Occupancy(trouble=f"the kubelet's answer cannot be understood: {error}")
        except NoAnswer as error:
            self._last = replace(self._last, trouble=f"the kubelet does not say who holds its GPUs: {error}")
        except OSError as error:
            self._last = replace(self._last, trouble=_trouble(self._path, error))
        return self._last

    def close(self) -> None:
        """Let the connection go."""
        self._caller.close()


def _trouble(path: Path, error: OSError) -> str:
    """Why the socket cannot be connected to, and what would help."""
    if isinstance(error, FileNotFoundError):
        return f"there is no {path}: the kubelet's folder pod-resources must be mounted there, and the kubelet run"
    if isinstance(error, PermissionError):
        return f"{path} may not be connected to: that takes user id 0, without any capability"
    return f"{path}: {error.strerror or error}"


def held(answer: bytes, resources: tuple[str, ...] = RESOURCES) -> list[Held]:
    """Devices of a ListPodResourcesResponse that are, or may be, GPUs of NVIDIA.

    Raises:
        Malformed: when it is none.
    """
    return [one for pod in chunks(answer, PODS) for one in _of_pod(pod, resources)]


@lru_cache(maxsize=REMEMBERED)
def _of_pod(pod: bytes, resources: tuple[str, ...]) -> tuple[Held, ...]:
    """Devices of a PodResources. Remembered, since a node's pods are listed twice a second and say the same each time."""
    name, namespace, containers = "", "", []
    for number, value in fields(pod, (NAME, NAMESPACE, CONTAINERS)):
        if number == CONTAINERS:
            containers.append(value)
        elif number == NAME:
            name = text(value)
        else:
            namespace = text(value)
    found = (device for container in containers for device in _of_container(container, resources))
    return tuple(Held(namespace=namespace, pod=name, device=device, driver=driver) for device, driver in found)


def _of_container(container: bytes, resources: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Devices of a ContainerResources, and the driver of those that are claimed."""
    for number, value in fields(container, (DEVICES, DYNAMIC)):
        yield from _of_plugin(value, resources) if number == DEVICES else _of_claim(value)


def _of_plugin(devices: bytes, resources: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Ids of a ContainerDevices, if they are GPUs."""
    parts = [(number, text(value)) for number, value in fields(devices, (RESOURCE, IDS))]
    named = any(fnmatchcase(part, pattern) for number, part in parts if number == RESOURCE for pattern in resources)
    return ((part, "") for number, part in parts if number == IDS and (named or part.startswith(OURS)))


def _of_claim(dynamic: bytes) -> Iterator[tuple[str, str]]:
    """Names of a DynamicResource's devices, if they are GPUs, and their driver."""
    for claim in chunks(dynamic, CLAIMS):
        found = {number: text(value) for number, value in fields(claim, (DRIVER, POOL, DEVICE))}
        if found.get(DRIVER) == DRA_DRIVER:
            yield f"{found.get(POOL, '')}/{found.get(DEVICE, '')}", DRA_DRIVER


def occupancy(devices: Iterable[Held], seen_s: float) -> Occupancy:
    """Who holds which GPU. Several containers of one pod are one; several pods, or a part of a GPU, are `shared`."""
    found: dict[str, Occupant] = {}
    split: list[Held] = []
    unknown: list[Held] = []
    for one in devices:
        uuid, whole = ("", False) if one.driver else told(one.device)
        if not uuid:
            (split if not one.driver and SPLIT.fullmatch(one.device) else unknown).append(one)
            continue
        other = found.get(uuid)
        alone = other is None or (other.namespace, other.name, other.shared) == (one.namespace, one.pod, False)
        first = other or Occupant(namespace=one.namespace, name=one.pod)
        found[uuid] = replace(first, shared=not (alone and whole))
    if unknown:
        found = {uuid: replace(one, shared=True) for uuid, one in found.items()}
    return Occupancy(seen_s=seen_s, by_uuid=found, all_named=not unknown, trouble=_words(split, unknown))


def told(device: str) -> tuple[str, bool]:
    """Uuid of the GPU that a device plugin's id names, empty when it names none, and whether it is the whole GPU."""
    part = SLICE.fullmatch(device)
    if part is not None:
        return next(uuid for uuid in part.groups() if uuid), False
    return (device, True) if WHOLE.fullmatch(device) else ("", False)


def _words(split: list[Held], unknown: list[Held]) -> str:
    """What is not known, in words that stay the same while it does."""
    words = []
    if split:
        words.append(f"a part of a GPU, not known which: {_named(split)}")
    if unknown:
        words.append(f"not known which GPU this is, so each could be shared: {_named(unknown)}")
    return "; ".join(words)


def _named(devices: list[Held]) -> str:
    """The first of them by name."""
    names = sorted({str(one) for one in devices})
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f", and {more} more" if more > 0 else "")
