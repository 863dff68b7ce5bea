"""The pretended machine: its load, its energy, and limits that two processes share."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from scheduler.adapters.gpu.setting import NotSet
from scheduler.adapters.gpu.simulated import BUSY_S, CYCLE_S, IDLE_W, SimulatedGpus, natural_draw_w
from scheduler.domain.gpu import GpuReading, Reason


@dataclass(slots=True)
class Hand:
    """A clock that is turned by hand."""

    now_s: float = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


def test_a_gpu_works_most_of_the_time_and_draws_what_it_does() -> None:
    clock = Hand(now_s=100.0)
    gpu = SimulatedGpus(clock).open(0)
    busy = gpu.read()
    clock.now_s = BUSY_S + 1.0
    idle = gpu.glance(busy)
    assert busy.draw_w == pytest.approx(640.0, abs=35.0)
    assert (idle.draw_w, idle.reasons, idle.utilization_fraction) == (IDLE_W, frozenset({Reason.IDLE}), 0.0)


def test_a_limit_that_binds_lowers_draw_and_energy_and_counts_the_time() -> None:
    clock = Hand(now_s=10.0)
    gpu = SimulatedGpus(clock).open(0)
    gpu.set_limit(400.0)
    before = gpu.read()
    clock.now_s = 110.0
    after = gpu.glance(before)
    # 95 % of 400 W for 100 s.
    assert (after.draw_w, after.reasons) == (380.0, frozenset({Reason.POWER_CAP}))
    assert after.energy_j == pytest.approx(38_000.0)
    assert after.capped_s == pytest.approx(100.0)


def test_energy_is_the_draw_over_time_whoever_looks_how_often() -> None:
    def seconds(*looks: float) -> float:
        clock = Hand()
        gpu = SimulatedGpus(clock).open(0)
        reading = GpuReading(uuid=gpu.uuid)
        for clock.now_s in looks:
            reading = gpu.glance(reading)
        return reading.energy_j or 0.0

    cycle = [natural_draw_w(0, second + 0.5) for second in range(int(CYCLE_S))]
    assert seconds(CYCLE_S) == pytest.approx(sum(cycle))
    assert seconds(*range(1, int(CYCLE_S) + 1)) == pytest.approx(sum(cycle))


def test_limits_are_shared_by_a_file_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / "limits.json"
    setter, agent = (SimulatedGpus(Hand(), file) for _ in range(2))
    setter.open(3).set_limit(500.0)
    assert agent.open(3).read().limits.requested_w == 500.0
    assert agent.open(2).read().limits.requested_w == 700.0
    assert (file.stat().st_mode & 0o777, list(tmp_path.iterdir())) == (0o644, [file])


@pytest.mark.parametrize("content", ["", "[]", '{"GPU-simulated-0": "many"}', "{" * 50])
def test_a_file_that_is_none_of_ours_says_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "limits.json"
    file.write_text(content, encoding="utf-8")
    gpus = SimulatedGpus(Hand(), file)
    assert gpus.open(0).look().requested_w == 700.0
    gpus.open(0).set_limit(300.0)
    assert json.loads(file.read_text("utf-8")) == {"GPU-simulated-0": 300.0}


def test_a_file_that_cannot_be_written_is_an_error_of_that_limit() -> None:
    gpus = SimulatedGpus(Hand(), Path(f"/proc/{os.getpid()}/limits.json"))
    with pytest.raises(NotSet, match=r"limits\.json: "):
        gpus.open(0).set_limit(300.0)
