"""How a process with children is told to end."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

RUN = """
import os, signal, threading
from scheduler.entrypoints.ending import told_to_end
told = told_to_end()
stopping = threading.Event()
assert not told()
with stopping._cond:  # the main thread is about to wait
    os.kill(os.getpid(), getattr(signal, "{first}"))
    os.kill(os.getpid(), getattr(signal, "{second}"))
while not told() and not stopping.wait(0.2):
    pass
print("ended")
"""


@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM")])
def test_signals_that_come_at_the_worst_moment_end_it(first: str, second: str) -> None:
    command = [sys.executable, "-c", RUN.format(first=first, second=second)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


def test_children_are_ended_as_ever() -> None:
    told = "from scheduler.entrypoints.ending import told_to_end; told_to_end(); import subprocess, sys; "
    child = "import time; print(1, flush=True); time.sleep(60)"
    run = told + f"c = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE); c.stdout.read(2); "
    run += "c.terminate(); print(c.wait(20))"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == str(-signal.SIGTERM)
