"""A process that is started once and told of one run after another; for writers that fork a child for every run of theirs.

What a writer imports takes longer than most runs, and a child that was killed leaves nothing in its parent.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer

LONGEST_S = 300.0

Write = Callable[[Sequence[str]], list[str]]


def serve(run: Callable[[str], str]) -> None:
    """In the writer: what became of each run (a word), for every run that is told (a line)."""
    for line in sys.stdin:
        print(run(line.strip()), flush=True)


@contextmanager
def standing(script: str) -> Iterator[Write]:
    """In the test: start a writer; yields what tells it of runs and returns what became of each."""
    with subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told, said = process.stdin, process.stdout

        def write(runs: Sequence[str]) -> list[str]:
            patience = Timer(LONGEST_S, process.kill)
            patience.start()
            try:
                words = []
                for run in runs:
                    print(run, file=told, flush=True)
                    words.append(said.readline().strip())
                    assert words[-1], f"the writer ended with {process.wait()}; it says why above"
                return words
            finally:
                patience.cancel()

        yield write
        told.close()
        assert process.wait(LONGEST_S) == 0
