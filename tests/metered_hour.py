"""An hour of pretended GPUs at work, metered as the agent meters: the unmodified binding, its looks, its sum of energy.

The machine's own clock is turned, so the hour takes seconds. What the agent's threads would do once a second is done here in
a loop: threads would have to wait for a real hour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gpu_machine import NS_PER_S, Machine

from scheduler.adapters.gpu.nvml import NoDriver, Nvml, NvmlGpu
from scheduler.adapters.gpu.sampler import Rhythm
from scheduler.core.accounting.gpu_energy import GpuEnergy, after_look
from scheduler.domain.gpu import GpuReading

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """One GPU over the hour: what it drew, what was metered, and how often its counter was seen to begin anew."""

    drawn_j: float
    metered_j: float
    resets: int

    @property
    def error_fraction(self) -> float:
        """By how much the meter is off."""
        return abs(self.metered_j - self.drawn_j) / self.drawn_j


@dataclass(slots=True)
class _Meter:
    """One GPU as the sampler keeps it."""

    gpu: NvmlGpu
    reading: GpuReading | None = None
    energy: GpuEnergy | None = None

    def look(self, at_s: float, whole: bool) -> None:
        """Look once."""
        self.reading = self.gpu.read() if self.reading is None or whole else self.gpu.glance(self.reading)
        self.energy, _ = after_look(self.energy, at_s, self.reading.energy_j, self.reading.draw_w, self.reading.limits.most_w)


def metered_hour(machine: Machine, seed: int) -> list[Metered]:
    """Work for an hour of the machine's time, with two resets of every counter and one load of the driver between.

    Loads are programs of sixteen steps with noise, from idle to the limit; every third GPU is capped. Looks come up to 50 ms
    late, and now and then some are missed.
    """
    random, rhythm = np.random.default_rng(seed), Rhythm()
    count = int(machine.state.count)
    for number in range(count):
        steps = zip(random.uniform(0.3, 20.0, 16), random.uniform(80.0, 690.0, 16), strict=True)
        machine.load(number, [(float(seconds), float(watts)) for seconds, watts in steps])
        machine[number].noise_milliwatt = 60_000
        machine[number].limit_milliwatt = 400_000 if number % 3 == 2 else 700_000
    machine.pass_s(1.0)
    nvml = Nvml()
    nvml.start()
    meters = [_Meter(nvml.open(number)) for number in range(count)]
    events = sorted([*((float(at_s), "counter") for at_s in random.uniform(10.0, HOUR_S - 60.0, 2)), (HOUR_S / 3.0, "driver")])
    began_s = at_s = _now_s(machine)
    for meter in meters:
        meter.look(at_s, whole=True)
    drawn_j, looks = [machine.drawn_j(number) for number in range(count)], 0
    while at_s - began_s < HOUR_S:
        machine.pass_s(rhythm.every_s * (1 if random.random() > 0.01 else 4) + float(random.uniform(0.0, 0.05)))
        at_s, looks = _now_s(machine), looks + 1
        while events and at_s - began_s > events[0][0]:
            _happen(machine, events.pop(0)[1])
        try:
            for meter in meters:
                meter.look(at_s, whole=looks % rhythm.whole_every == 0)
        except NoDriver:
            nvml.close()
            machine.pass_s(rhythm.lost_s)
            nvml.start()
            for number, meter in enumerate(meters):
                meter.gpu = nvml.open(number)
                meter.look(_now_s(machine), whole=True)
    nvml.close()
    return [_metered(machine, meter, number, drawn_j[number]) for number, meter in enumerate(meters)]


def _now_s(machine: Machine) -> float:
    """The machine's time."""
    return float(machine.state.clock_ns) / NS_PER_S


def _happen(machine: Machine, what: str) -> None:
    """A counter begins anew: all of them, by themselves or with the driver."""
    if what == "driver":
        machine.reload_driver()
        return
    for number in range(machine.state.count):
        machine[number].energy_uj = 0


def _metered(machine: Machine, meter: _Meter, number: int, drawn_before_j: float) -> Metered:
    """What came out for one GPU."""
    assert meter.energy is not None
    return Metered(drawn_j=machine.drawn_j(number) - drawn_before_j, metered_j=meter.energy.total_j, resets=meter.energy.resets)
