"""Where a gang fits beside what is planned, against looking at every slot."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.planning.recount import Room
from scheduler.domain.problem import PlanJob, PowerPoint

POOLS, SLOTS = 2, 12


def looked_up(job: PlanJob, free: np.ndarray, slots: int) -> tuple[int, int] | None:
    """First slot and pool by trying all of them; a run may reach beyond the horizon."""
    for start in range(job.release_slot, SLOTS):
        for pool in job.pools:
            if (free[pool, start : start + slots] >= job.gpus).all():
                return start, pool
    return None


@given(
    free=st.lists(st.integers(0, 8), min_size=POOLS * SLOTS, max_size=POOLS * SLOTS),
    gpus=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    release_slot=st.integers(0, SLOTS),
    slots=st.integers(1, SLOTS + 3),
)
def test_the_earliest_fit_is_the_first_slot_with_room(free: list[int], gpus: list[int], release_slot: int, slots: int) -> None:
    """One room answers for gangs of many sizes, each as if it had been looked at alone."""
    array = np.array(free, dtype=np.float64).reshape(POOLS, SLOTS)
    room = Room(array)
    for number, size in enumerate(gpus * 2):
        job = PlanJob(
            job_id=f"j{number}",
            gpus=size,
            pools=(0, 1) if number % 2 else (1,),
            work_s=900.0,
            tail_work_s=900.0,
            points=(PowerPoint(level=1.0, cap_w=700.0, draw_w=600.0, speed=1.0),),
            release_slot=release_slot,
        )
        assert room.earliest_fit(job, slots) == looked_up(job, array, slots)
