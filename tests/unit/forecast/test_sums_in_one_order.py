"""Forecasts on very long histories are the same to the last bit on any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from scheduler.core.forecast.direct import DirectSettings, prior, regress
from scheduler.core.forecast.signature import straight_line

# Lengths from which BLAS would share a sum among threads: products of two vectors from 10,000 values on, of a matrix and a
# vector from about 9,200, of two matrices from about 260,000 multiplications.
SCRIPT = """
import hashlib
import numpy as np
from scheduler.core.forecast.arrivals import draws_w, kernel_of, level_of, work_of
from scheduler.core.forecast.direct import DirectSettings, direct
from scheduler.core.forecast.signature import fit_signature

rng = np.random.default_rng(5)
hours = 30000
at = np.arange(hours)
outdoor_c = 8.0 + 8.0 * np.sin(at / 1400.0) + rng.normal(0.0, 2.0, hours)
demand_kw = np.maximum(0.0, 90.0 - 5.0 * outdoor_c) + rng.normal(0.0, 3.0, hours)
fit = fit_signature(demand_kw, outdoor_c, at % 168, np.exp2((at - hours) / 9000.0))
paths = direct(demand_kw, 6, DirectSettings(stride_h=1, past_h=29000))
work = work_of([tuple(row) for row in rng.uniform(1.0, 40.0, (20000, 3))])
found = [
    np.asarray([fit.base_kw, fit.slope_kw_per_k, level_of(rng.uniform(0.0, 9.0, hours))]), fit.factor,
    np.ascontiguousarray(paths.now), kernel_of(work, 40, 0.25),
]
print(*(hashlib.sha256(one.tobytes()).hexdigest() for one in found))
"""


def digests(threads: int) -> str:
    """What the script prints with so many threads, told before any library is loaded."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: BLAS has one thread whatever it is told")
def test_a_long_history_gives_the_same_forecast_on_any_number_of_threads() -> None:
    assert len(digests(1).split()) == 4
    assert digests(1) == digests(4)


def test_the_line_through_four_points_by_hand() -> None:
    # Weights 1, 1, 2, 0 at x 0, 2, 3, 9 and y 1, 5, 7, 0: y = 1 + 2 x goes through all that count.
    a, b, error = straight_line(np.asarray([0.0, 2, 3, 9]), np.asarray([1.0, 5, 7, 0]), np.asarray([1.0, 1, 2, 0]))
    assert (a, b, error) == pytest.approx((1.0, 2.0, 0.0))


def test_regression_per_lead_is_that_of_the_normal_equations() -> None:
    # Without pooling and (nearly) without prior each lead stands alone: weighted least squares of its known rows.
    rng = np.random.default_rng(1)
    settings = DirectSettings(ridge_rows=1e-9, smooth_leads=0)
    x, y, weight = rng.normal(size=(60, 3, 4)), rng.normal(size=(60, 3)), rng.uniform(0.5, 1.0, 60)
    y[5, 1] = np.nan
    found = regress(x, y, weight, prior(3, settings), settings)
    for lead in range(3):
        known = np.isfinite(y[:, lead])
        root = np.sqrt(weight[known])
        expected = np.linalg.lstsq(x[known, lead] * root[:, None], y[known, lead] * root, rcond=None)[0]
        assert found[lead] == pytest.approx(expected, abs=1e-6)
