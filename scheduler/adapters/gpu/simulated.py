"""A machine with pretended GPUs behind the ports of the real one: to see an agent and its setter at work where there is no GPU.

Each GPU works for 15 of every 20 minutes, one a little after the other, at some 640 W, and draws under a limit what the virtual
GPUs of the simulator do (`core/thermal/capped.py`). Limits are kept in a file that agent and setter share, energy by who reads.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.gpu.setting import NotSet
from scheduler.core.capping.held import Facts
from scheduler.core.thermal.capped import draw_under_w
from scheduler.domain.gpu import GpuReading, GpuSurvey, Limits, Reason

GPUS = 8
IDLE_W, WORK_W, LEAST_W, MOST_W = 70.0, 640.0, 200.0, 700.0
# As the simulator's reference site has it.
BINDING_FRACTION = 0.95
CYCLE_S, BUSY_S, APART_S = 1200.0, 900.0, 97.0
# Largest step in which a draw that changes is added up.
STEP_S = 1.0
MOST_STEPS = 3600


class SharedLimits:
    """Limits in W by uuid, in a file or, without one, for this process alone."""

    def __init__(self, file: Path | None) -> None:
        """Nothing is read or written yet."""
        self._file = file
        self._own: dict[str, float] = {}

    def of(self, uuid: str) -> float:
        """The limit of one GPU; the default when none was set."""
        return self._all().get(uuid, MOST_W)

    def put(self, uuid: str, limit_w: float) -> None:
        """Set one.

        Raises:
            NotSet: when the file cannot be written.
        """
        self._own = {**self._all(), uuid: limit_w}
        if self._file is None:
            return
        try:
            with tempfile.NamedTemporaryFile("w", dir=self._file.parent, encoding="utf-8", delete=False) as opened:
                json.dump(self._own, opened)
                os.fchmod(opened.fileno(), 0o644)
            Path(opened.name).replace(self._file)
        except OSError as error:
            raise NotSet(f"{self._file}: {error.strerror}") from error

    def _all(self) -> Mapping[str, float]:
        """As they are now; a file that is not there, or is none of ours, says nothing."""
        if self._file is None:
            return self._own
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            return {str(uuid): float(limit) for uuid, limit in json.loads(self._file.read_text("utf-8")).items()}
        return {}


class SimulatedGpus:
    """The machine: what the agent reads and the setter sets."""

    def __init__(self, clock: MonotonicClock, file: Path | None = None, gpus: int = GPUS) -> None:
        """Pretend so many GPUs; `file` is where their limits are kept."""
        self._clock, self._gpus, self._limits = clock, gpus, SharedLimits(file)

    def start(self) -> int:
        """How many there are."""
        return self._gpus

    def open(self, index: int) -> SimulatedGpu:
        """One of them."""
        return SimulatedGpu(index, self._clock, self._limits)

    def survey(self) -> GpuSurvey:
        """Read every GPU once."""
        return GpuSurvey(driver="simulated", gpus=tuple(self.open(index).read() for index in range(self._gpus)))

    def alive(self) -> bool:
        """Whether the driver answers: always."""
        return True

    def close(self) -> None:
        """Nothing is held."""


class SimulatedGpu:
    """One GPU; its energy counts from when it was opened."""

    def __init__(self, index: int, clock: MonotonicClock, limits: SharedLimits) -> None:
        """Pretend."""
        self.index, self.uuid = index, f"GPU-simulated-{index}"
        self._clock, self._limits = clock, limits
        self._seen_s, self._energy_j, self._capped_s = clock.monotonic_s(), 0.0, 0.0

    # What the agent reads.

    def read(self) -> GpuReading:
        """Everything now."""
        return self.glance(GpuReading(uuid=self.uuid, name="Simulated H100", index=self.index))

    def glance(self, last: GpuReading) -> GpuReading:
        """Everything too: nothing here takes long."""
        now_s, limit_w = self._clock.monotonic_s(), self._limits.of(self.uuid)
        self._pass(now_s, limit_w)
        natural_w = natural_draw_w(self.index, now_s)
        draw_w = max(IDLE_W, draw_under_w(natural_w, limit_w, BINDING_FRACTION))
        reasons = {Reason.IDLE} if natural_w <= IDLE_W else {Reason.POWER_CAP} if draw_w < natural_w else set()
        return replace(
            last,
            draw_w=draw_w,
            energy_j=self._energy_j,
            limits=Limits(requested_w=limit_w, enforced_w=limit_w, default_w=MOST_W, least_w=LEAST_W, most_w=MOST_W),
            temperature_c=round(30.0 + draw_w / 16.0),
            reasons=frozenset(reasons),
            capped_s=self._capped_s,
            utilization_fraction=0.0 if natural_w <= IDLE_W else 0.97,
            processes=(),
        )

    def _pass(self, now_s: float, limit_w: float) -> None:
        """Add up what was drawn since the last look, at the limit that holds now."""
        steps = min(MOST_STEPS, math.ceil(max(0.0, now_s - self._seen_s) / STEP_S))
        step_s = (now_s - self._seen_s) / steps if steps else 0.0
        for step in range(steps):
            natural_w = natural_draw_w(self.index, self._seen_s + (step + 0.5) * step_s)
            draw_w = max(IDLE_W, draw_under_w(natural_w, limit_w, BINDING_FRACTION))
            self._energy_j += draw_w * step_s
            self._capped_s += step_s if draw_w < natural_w else 0.0
        self._seen_s = now_s

    # What the setter does.

    def look(self) -> Facts:
        """How it stands now."""
        limit_w = self._limits.of(self.uuid)
        return Facts(requested_w=limit_w, enforced_w=limit_w, default_w=MOST_W, least_w=LEAST_W, most_w=MOST_W, driver_epoch=1)

    def set_limit(self, limit_w: float) -> None:
        """Set its limit.

        Raises:
            NotSet: when it is out of range, or cannot be written down.
        """
        if not LEAST_W <= limit_w <= MOST_W:
            raise NotSet(f"{limit_w:g} W is refused: expected {LEAST_W:g} to {MOST_W:g} W")
        self._limits.put(self.uuid, limit_w)


def natural_draw_w(index: int, at_s: float) -> float:
    """What a GPU would draw without a limit, by a program that repeats."""
    if (at_s + index * APART_S) % CYCLE_S >= BUSY_S:
        return IDLE_W
    return WORK_W + 25.0 * math.sin(math.tau * at_s / 7.0 + index) + 10.0 * math.sin(math.tau * at_s / 1.7)
