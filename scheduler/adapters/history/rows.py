"""Ended jobs to rows and back; a row reads back to an equal value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scheduler.adapters.ledger.rows import aware, in_utc
from scheduler.domain.observed import EndedJob
from scheduler.domain.snapshot import FinishedJob


def ended_row(job: EndedJob) -> dict[str, Any]:
    """Columns of an ended job; a draw that is not known (NaN) is NULL."""
    finished = job.finished
    draw_w = finished.natural_power_w_per_gpu
    return {
        "job_uid": job.job_uid,
        "ended_utc": in_utc(job.ended_utc),
        "workload": job.workload,
        "class_name": finished.class_name,
        "declared_duration_s": finished.declared_duration_s,
        "real_duration_s": finished.real_duration_s,
        "gpus": finished.gpus,
        "natural_power_w_per_gpu": draw_w if math.isfinite(draw_w) else None,
    }


def ended_of(row: Mapping[Any, Any]) -> EndedJob:
    """The ended job of a row."""
    draw_w = row["natural_power_w_per_gpu"]
    return EndedJob(
        job_uid=row["job_uid"],
        ended_utc=aware(row["ended_utc"]),
        workload=row["workload"],
        finished=FinishedJob(
            class_name=row["class_name"],
            declared_duration_s=row["declared_duration_s"],
            real_duration_s=row["real_duration_s"],
            gpus=row["gpus"],
            natural_power_w_per_gpu=math.nan if draw_w is None else draw_w,
        ),
    )
