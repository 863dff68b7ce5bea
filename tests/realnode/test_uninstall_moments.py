"""As many uninstalls as `HEAT_DISPATCH_UNINSTALLS` says, at moments spread evenly over the life of an installation.

From the first second of `helm install` on, which is killed then, as by somebody who changed his mind; every fourth one is in an
upgrade. `make uninstalls` runs a hundred, in one to three hours; the story of `test_real_chart.py` ends with two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gpu_machine import Machine
from real_chart import CHART, GPUS, RELEASE, WITHIN_S, Installation, ground
from uninstall_moments import LIFE_S, UPGRADE_S, uninstalled

from scheduler.adapters.devcluster.build import Toolbox

MOMENTS = int(os.environ.get("HEAT_DISPATCH_UNINSTALLS", "0"))
SEED = int(os.environ.get("HEAT_DISPATCH_UNINSTALLS_SEED", "1"))
UPGRADE_EVERY = 4


@pytest.fixture(scope="module")
def installation(
    node_toolbox: Toolbox, image: Path, library: Path, untouched: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("moments")
    machine = Machine.create(folder, library, gpus=len(GPUS))
    with ground(node_toolbox, image, machine, folder) as found:
        found.helm("install", RELEASE, str(CHART), "--values", found.values(), "--wait", f"--timeout={WITHIN_S:.0f}s")
        # What people state outlives every installation.
        found.state("Observe")
        found.helm("uninstall", RELEASE, "--wait", f"--timeout={WITHIN_S:.0f}s")
        yield found


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_nothing_stays_whenever_it_is_uninstalled(installation: Installation, moment: int) -> None:
    drawn = np.random.default_rng((SEED, moment))
    life_s = LIFE_S * (moment + float(drawn.random())) / MOMENTS
    upgrade = moment % UPGRADE_EVERY == UPGRADE_EVERY - 1
    assert uninstalled(installation, moment, life_s, UPGRADE_S * float(drawn.random()) if upgrade else None) == []
