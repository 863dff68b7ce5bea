"""kill -9 of operator and plant link at any moment: no sequence is used twice, no promise lost, and the boiler starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from link_kills import SHORT, SLACK_S, FaultRun


@pytest.mark.slow
def test_whoever_is_killed_the_boiler_starts_and_nothing_that_was_said_is_lost(tmp_path: Path) -> None:
    """Five of what `python -m benchmarks.plantlink --kills 500` does."""
    run = FaultRun(tmp_path, seed=7)
    run.run(5)
    assert run.broken() == []
    assert len(run.kills) == 5
    assert max(one.boiler_s for one in run.kills) < SHORT.alive_s + SHORT.watchdog_s + SLACK_S
    assert run.plc.contents
