"""The plant link on its store, measured: `python -m benchmarks.plantlink [--kills 500] [--plans 40]`.

*kills*: operator's publisher and plant link are killed at random, with times shortened (`tests/link_kills.py`), while a plant
reads over REST: no sequence may be used twice, no promise lost, and the boiler must start each time. *reach*: how long it
takes from the moment at which a plan is handed over until it can be read over each interface.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, quantile
from benchmarks.telling import may_be_written, tell

# The processes and the plant lie with the tests, which share them.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

FAILED = 1
# 60 s are allowed, of which the real time-out is 40 s: so much may be added to it.
ADDED_S = 20.0


def main() -> int:
    given = arguments()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        if given.plans:
            from benchmarks.plantlink.reach import reach_rows

            rows += reach_rows(Path(folder), given.plans)
        if given.kills:
            rows += kill_rows(Path(folder), given.kills, given.seed)
    tell(rows, "Plant link", f"{given.plans} plans, {given.kills} kills", given)
    return FAILED if any(row.held is False for row in rows) else 0


def kill_rows(folder: Path, kills: int, seed: int) -> list[Row]:
    """What came of the kills."""
    from link_kills import ALIVE_S, WATCHDOG_S, FaultRun

    run = FaultRun(folder, seed)
    run.run(kills)
    broken = run.broken()
    times_s = [one.boiler_s for one in run.kills]
    behind: dict[str, Any] = {
        "kills": len(run.kills),
        "operator": sum(one.whom == "operator" for one in run.kills),
        "link": sum(one.whom == "link" for one in run.kills),
        "both": sum("+" in one.whom for one in run.kills),
        "sequences seen": len(run.plc.contents),
        "first": broken[:3],
    }
    limit_s = max(ALIVE_S, WATCHDOG_S)
    late_s = max((one - limit_s for one in times_s), default=0.0)
    return [
        Row(
            key="broken",
            what="sequences reused, promises or messages lost",
            value=len(broken),
            unit="",
            at_most=0,
            behind=behind,
        ),
        Row(
            key="boiler",
            what=f"boiler on after a kill, beyond the time-out of {limit_s:g} s, worst",
            value=late_s,
            unit="s",
            at_most=ADDED_S,
            behind={"median s": round(quantile(times_s, 0.5), 2), "worst s": round(max(times_s, default=0.0), 2)},
        ),
    ]


def arguments() -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plantlink", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="how often somebody is killed")
    parser.add_argument("--plans", type=int, default=40, help="how many plans are timed until they can be read")
    parser.add_argument("--seed", type=int, default=1, help="of whom is killed when")
    may_be_written(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
