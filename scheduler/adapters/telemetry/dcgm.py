"""Power of GPUs as NVIDIA's dcgm-exporter tells it, where no agent of ours runs: its own page, or the same series elsewhere.

    DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-1",Hostname="n0",namespace="lab",pod="train-0",container="main"} 512.3
    DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0",UUID="GPU-1",...} 123456789          millijoules since the driver was loaded

Draw is the rise of the energy counter over the time in which it rose; power at an instant counts where there is no counter, or
only one look at it. A counter that has stood still for three minutes is frozen: no GPU draws nothing. Facts that shaped this:

- What a GPU does not say is told as a number from 2^63 - 16 on.
- One GPU comes as several series where pods share it in time, or where it is split (MIG), each with the power of the whole.
- `Hostname` became `hostname`; `pod`, `namespace` and `container` become `exported_pod` and so on where Prometheus keeps its
  own labels (`honorLabels: false`); `pod` is then the exporter's.
- Values are as old as the exporter's last collection, 30 s at most by default. What a minute lacks the next one has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from scheduler.adapters.clock import Clocks
from scheduler.adapters.telemetry.asking import Manners, Rounds, Target
from scheduler.adapters.telemetry.wire import MAX_GPU_W, MAX_GPUS, Unbelievable
from scheduler.core.accounting.gpu_energy import GpuEnergy, after_look
from scheduler.domain.telemetry import GpuDraw, NodeDraw
from scheduler.units import j_from_millijoule

PATH = "/metrics"
DRAW, ENERGY = "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
LIMITS = ("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "DCGM_FI_DEV_POWER_MGMT_LIMIT")
WANTED = (DRAW, ENERGY, *LIMITS)
# From here on a number says why there is no value (not found, not supported, not permitted).
BLANK = float(2**63 - 16)
# What was told longer ago says nothing of now; so long a counter may stand still.
STALE_S = 180.0
# A page with a hundred metrics of eight GPUs, each split in seven, is half as long.
MAX_PAGE_BYTES = 4 << 20
# Labels of a pod may be told along; a line of a sample is far shorter. Parsing longer ones takes the square of their length.
MAX_LINE = 8192

Uids = Mapping[tuple[str, str], str]
"""By namespace and name the uid of a pod that holds GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series: when it was read, by any one clock, and what it said; the newest sample is the last."""

    metric: str
    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]

    @property
    def newest_s(self) -> float:
        """When it was read last."""
        return self.samples[-1][0]

    def label(self, *names: str) -> str:
        """The first of these labels that says something."""
        return next((self.labels[name] for name in names if self.labels.get(name)), "")


def page_series(page: bytes, at_s: float) -> tuple[Series, ...]:
    """What a page of an exporter says of power; all other metrics are passed over unread.

    Raises:
        Unbelievable: when a line of ours cannot be read, the page is cut off, or there is no power of any GPU in it.
    """
    try:
        text = page.decode()
    except UnicodeDecodeError as error:
        raise Unbelievable(f"byte {error.start} is no text") from error
    if text and not text.endswith("\n"):
        raise Unbelievable(f"line {text.count(chr(10)) + 1} is cut off")
    found: list[Series] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith(WANTED):
            if len(line) > MAX_LINE:
                raise Unbelievable(f"line {number} is longer than {MAX_LINE} characters")
            try:
                samples = [sample for family in text_string_to_metric_families(line) for sample in family.samples]
            except (ValueError, IndexError, KeyError) as error:
                raise Unbelievable(f"line {number}: {line[:80]!r} is no sample") from error
            found += (Series(metric=each.name, labels=each.labels, samples=((at_s, each.value),)) for each in samples)
    if not any(each.metric in (DRAW, ENERGY) for each in found):
        raise Unbelievable(f"neither {DRAW} nor {ENERGY} is in it")
    return tuple(found)


def gpu_draws(
    told: Iterable[Series], uids: Uids, before: Mapping[str, GpuEnergy]
) -> tuple[tuple[GpuDraw, ...], dict[str, GpuEnergy]]:
    """Every GPU once, however many series tell of it.

    Args:
        told: all that is told, of one page or of some minutes.
        uids: pods that hold GPUs.
        before: counters as an earlier call left them, by GPU.

    Returns:
        The GPUs in order of their uuids, and their counters for the next call.
    """
    by_gpu: dict[str, list[Series]] = defaultdict(list)
    for each in told:
        uuid = each.label("UUID", "uuid")
        if uuid and each.metric in WANTED:
            by_gpu[uuid].append(each)
    naming = Naming.of((each for mine in by_gpu.values() for each in mine), uids)
    draws, after = [], {}
    for uuid, mine in sorted(by_gpu.items()):
        draw_w, energy = _measured(mine, before.get(uuid))
        newest_s = max(each.newest_s for each in mine)
        newest = [each for each in mine if each.newest_s == newest_s]
        limits = [each.samples[-1][1] for each in newest if each.metric in LIMITS and _is_watts(each.samples[-1][1])]
        draws.append(GpuDraw(uuid=uuid, pod_uid=naming.holder(newest), draw_w=draw_w, limit_w=min(limits) if limits else None))
        if energy is not None:
            after[uuid] = energy
    return tuple(draws), after


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How an answer names pods. renamed: `pod` is the exporter's own; told: pods are named at all."""

    uids: Uids
    renamed: bool
    told: bool

    @classmethod
    def of(cls, told: Iterable[Series], uids: Uids) -> Naming:
        """As the whole of an answer shows it."""
        names = {name for each in told for name in each.labels}
        renamed = "exported_pod" in names
        return cls(uids=uids, renamed=renamed, told=renamed or bool(names & {"pod", "pod_name"}))

    def holder(self, newest: Sequence[Series]) -> str | None:
        """The uid of the one pod that holds a GPU, "" for none; None when that is not known, or when it is shared."""
        if not self.told or any(each.label("GPU_I_ID", "vgpu") for each in newest):
            return None
        pods = {self._pod(each) for each in newest} - {("", "", "")}
        if not pods:
            return ""
        namespace, name, uid = pods.pop()
        return None if pods else uid or self.uids.get((namespace, name))

    def _pod(self, one: Series) -> tuple[str, str, str]:
        """Namespace, name and, where the exporter tells it, uid."""
        if self.renamed:
            return one.label("exported_namespace"), one.label("exported_pod"), one.label("exported_pod_uid", "pod_uid")
        return one.label("namespace", "pod_namespace"), one.label("pod", "pod_name"), one.label("pod_uid")


def _measured(told: Iterable[Series], before: GpuEnergy | None) -> tuple[float | None, GpuEnergy | None]:
    """Mean draw in W of one GPU since its counter was last read, and the counter now."""
    counters, powers, times = _table(told)
    energy, joules, seconds, last_w = before, 0.0, 0.0, None
    for at_s in times:
        counter_j, last_w = counters.get(at_s), powers.get(at_s)
        if energy is not None and counter_j is not None and counter_j == energy.counter_j:
            # Not collected anew: the rise comes later, for all of the time.
            continue
        if energy is not None and at_s - energy.seen_s > STALE_S:
            energy = None
        since_s = None if energy is None else energy.seen_s
        energy, found_j = after_look(energy, at_s, counter_j, last_w, MAX_GPU_W)
        if found_j is not None and since_s is not None:
            joules, seconds = joules + found_j, seconds + at_s - since_s
    if energy is not None and energy.counter_j is not None and times[-1] - energy.seen_s > STALE_S:
        return None, energy
    return (joules / seconds if seconds > 0.0 else last_w), energy


def _table(told: Iterable[Series]) -> tuple[dict[float, float], dict[float, float], list[float]]:
    """Counter in J and power in W by time, and all times; of several equal series one counts."""
    counters, powers, times = dict[float, float](), dict[float, float](), set[float]()
    for each in told:
        for at_s, value in each.samples:
            times.add(at_s)
            if each.metric == ENERGY and 0.0 <= value < BLANK:
                counters[at_s] = max(j_from_millijoule(value), counters.get(at_s, 0.0))
            elif each.metric == DRAW and _is_watts(value):
                powers[at_s] = max(value, powers.get(at_s, 0.0))
    return counters, powers, sorted(times)


def _is_watts(value: float) -> bool:
    """Whether a GPU can draw so much."""
    return 0.0 <= value <= MAX_GPU_W


class ExporterWire:
    """What an exporter says of its own node; it remembers the energy counters."""

    path = PATH

    def __init__(self, clock: Clocks, uids: Callable[[], Uids]) -> None:
        """Pages bear no time: `clock` says when they were read."""
        self._clock, self._uids = clock, uids

    def query(self, before: Mapping[str, GpuEnergy] | None) -> dict[str, str]:
        """A page is always whole."""
        del before
        return {}

    def read(self, body: bytes, node: str, before: Mapping[str, GpuEnergy] | None) -> tuple[NodeDraw, Mapping[str, GpuEnergy]]:
        """What a page says.

        Raises:
            Unbelievable: when it cannot be one.
        """
        gpus, after = gpu_draws(page_series(body, self._clock.monotonic_s()), self._uids(), before or {})
        if not 0 < len(gpus) <= MAX_GPUS:
            raise Unbelievable(f"{len(gpus)} GPUs (expected 1 to {MAX_GPUS})")
        return NodeDraw(node=node, measured_utc=self._clock.now_utc(), gpus=gpus), after


class Exporters(Rounds[Mapping[str, GpuEnergy]]):
    """The exporters of all nodes; one thread runs `run`, any other reads."""

    def __init__(
        self,
        targets: Callable[[], Sequence[Target]],
        clock: Clocks,
        uids: Callable[[], Uids],
        manners: Manners | None = None,
    ) -> None:
        """Ask whoever `targets` names at that moment."""
        manners = manners or Manners(max_bytes=MAX_PAGE_BYTES)
        super().__init__(targets, ExporterWire(clock, uids), clock, manners, who="dcgm exporters")
