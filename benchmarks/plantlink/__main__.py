"""The plant link on its store, measured: `python -m benchmarks.plantlink [--kills 500 --real --worlds 20] [--plans 40]`.

*kills*: operator's publisher and plant link are killed at random (`tests/link_kills.py`), with times shortened or as they are,
while a plant reads over REST: no sequence may be used twice, no promise lost, and the boiler must start each time. *reach*:
how long it takes from the moment at which a plan is handed over until it can be read over each interface.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, quantile
from benchmarks.telling import may_be_written, tell

# The processes and the plant lie with the tests, which share them.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

FAILED = 1
ALLOWED_S = 60.0


def main() -> int:
    given = arguments()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        if given.plans:
            from benchmarks.plantlink.reach import reach_rows

            rows += reach_rows(Path(folder), given.plans)
        if given.kills:
            rows += kill_rows(Path(folder), given)
    tell(rows, "Plant link", f"{given.plans} plans, {given.kills} kills", given)
    return FAILED if any(row.held is False for row in rows) else 0


def kill_rows(folder: Path, given: argparse.Namespace) -> list[Row]:
    """What came of the kills, which worlds beside each other share."""
    from link_kills import REAL, SHORT

    from benchmarks.plantlink.worlds import World, world

    pace, shares = REAL if given.real else SHORT, [given.kills // given.worlds] * given.worlds
    shares[0] += given.kills - sum(shares)
    with ProcessPoolExecutor(given.worlds, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [
            pool.submit(world, folder / f"world-{i}", share, given.seed + i, given.real)
            for i, share in enumerate(shares)
            if share
        ]
        worlds: list[World] = []
        for job in as_completed(jobs):
            worlds.append(job.result())
            print(f"{sum(len(one.kills) for one in worlds)} of {given.kills} kills", file=sys.stderr, flush=True)
    kills = [whom for one in worlds for whom in one.kills]
    times_s = [time_s for one in worlds for time_s in one.times_s]
    broken = [each for one in worlds for each in one.broken]
    behind: dict[str, Any] = {
        "kills": len(kills),
        "operator": kills.count("operator"),
        "link": kills.count("link"),
        "both": sum("+" in one for one in kills),
        "sequences seen": sum(one.sequences for one in worlds),
        "first": broken[:3],
    }
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
            what=f"boiler on after a kill, worst; time-outs {pace.alive_s:g} s (operator), {pace.watchdog_s:g} s (plant)",
            value=max(times_s, default=0.0),
            unit="s",
            at_most=ALLOWED_S if given.real else pace.limit_s + ALLOWED_S - REAL.alive_s,
            behind={"median s": round(quantile(times_s, 0.5), 2), "p99 s": round(quantile(times_s, 0.99), 2)},
        ),
    ]


def arguments() -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plantlink", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="how often somebody is killed")
    parser.add_argument(
        "--real", action="store_true", help="time-outs as in a plant, about a minute per kill; shortened if left out"
    )
    parser.add_argument(
        "--worlds", type=int, default=1, help="so many operators, links and plants beside each other share the kills"
    )
    parser.add_argument("--plans", type=int, default=40, help="how many plans are timed until they can be read")
    parser.add_argument("--seed", type=int, default=1, help="of whom is killed when")
    may_be_written(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
