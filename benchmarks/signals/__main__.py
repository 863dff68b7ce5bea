"""Signals, measured: `python -m benchmarks.signals`. Ten years of quarter hours, and what polling ten sources holds.

Two stages: how long resampling and stitching take (seconds of the processor), and the memory of a process that polls ten feeds
of real providers from stand-ins on loopback, served by another process.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.rows import Row
from benchmarks.signals.memory import memory_rows
from benchmarks.signals.speed import speed_rows
from benchmarks.stages import some_of
from benchmarks.telling import may_be_written, tell

STAGES = {"speed": speed_rows, "memory": memory_rows}


def main() -> int:
    given = arguments()
    rows: list[Row] = [row for stage in given.stages for row in STAGES[stage]()]
    tell(rows, "Signals", "", given)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signals", description=__doc__.splitlines()[0])
    parser.add_argument("--stages", type=some_of(STAGES), default=",".join(STAGES), help="which of them (%(default)s)")
    may_be_written(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
