"""The agent of a node and its setter, measured: `python -m benchmarks.agent [--runs 1000]`.

Pretended GPUs (the C library of the tests), a pretended kubelet, an operator's wishes in a file; agent and setter are the real
processes with the unmodified binding of NVML. Three stages: what both cost, how well energy is metered, and how soon limits
are back when caps end while processes are killed, GPUs are lost and disks are full.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console

from benchmarks.rows import Row
from benchmarks.stages import some_of
from benchmarks.telling import may_be_written, tell

# The pretended node lies with the tests, which share it.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

STAGES = ("cost", "metering", "faults")
FAILED = 1

Say = Callable[[str], None]


def main() -> int:
    given = arguments()
    console, began_s = Console(stderr=True, soft_wrap=True), time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began_s:7.1f} s  {text}", markup=False, highlight=False)

    for file in filter(None, (given.results, given.json, given.markdown)):
        # Half an hour of runs must not end in a folder that is not there.
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="agent-bench-") as folder:
        try:
            rows += measured(given, given.stages, Path(folder), say)
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            return FAILED
    tell(rows, "Agent and setter", f"{given.gpus} pretended GPUs", given, gpus=given.gpus)
    return 0


def measured(given: argparse.Namespace, stages: Iterable[str], folder: Path, say: Say) -> list[Row]:
    """The rows of these stages.

    Raises:
        FileNotFoundError: when there is no C compiler for the library.
    """
    # Imported here: they lie on the path that is set above.
    from gpu_machine import built

    from benchmarks.agent.cost import cost_rows
    from benchmarks.agent.fault_rows import fault_rows
    from benchmarks.agent.metering import metering_rows

    library = built(folder)
    rows: list[Row] = []
    for stage in stages:
        if stage == "cost":
            rows += cost_rows(library, folder, gpus=given.gpus, seconds=given.seconds, say=say)
        elif stage == "metering":
            rows += metering_rows(library, folder, gpus=given.gpus, hours=given.hours, say=say)
        else:
            rows += fault_rows(library, given, say)
    return rows


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent", description=__doc__.splitlines()[0])
    parser.add_argument("--stages", type=some_of(STAGES), default=",".join(STAGES), help="which of them (%(default)s)")
    parser.add_argument("--gpus", type=int, default=8, help="GPUs of each node (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the measurement of cost (%(default)s)")
    parser.add_argument("--hours", type=int, default=5, help="hours of the machine's time that are metered (%(default)s)")
    parser.add_argument("--runs", type=int, default=1000, help="fault runs (%(default)s)")
    parser.add_argument("--nodes", type=int, default=20, help="so many of them side by side (%(default)s)")
    parser.add_argument(
        "--standby", action=argparse.BooleanOptionalAction, default=True, help="a second setter behind each (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the first run; the others count on (%(default)s)")
    parser.add_argument("--results", metavar="FILE", help="fault runs are noted here; those that stand there are not run again")
    parser.add_argument("--keep", metavar="FOLDER", help="logs of runs with complaints are kept here")
    may_be_written(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
