"""Workers of a process that was killed end too."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

MAIN = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from scheduler.loop.child import end_with_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        worker = pool.submit(os.getpid).result()
        pool.submit(time.sleep, 600.0)
        print(worker, flush=True)
        time.sleep(600.0)
"""


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_in_the_middle_of_its_work_does_not_outlive_the_one_it_works_for(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(MAIN, encoding="utf-8")
    main = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    try:
        assert main.stdout is not None
        worker = int(main.stdout.readline())
        assert runs(worker)
        main.send_signal(signal.SIGKILL)
        main.wait(30.0)
        until_s = time.monotonic() + 60.0
        while runs(worker) and time.monotonic() < until_s:
            time.sleep(0.05)
        assert not runs(worker)
    finally:
        main.kill()
        main.wait(30.0)
        if main.stdout is not None:
            main.stdout.close()
