"""What a process holds that polls ten feeds; the stand-ins run in another process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.rows import Row

ROOT = Path(__file__).parents[2]
MB = 1e6
AT_MOST_MB = 30.0
POLLS = 20


def memory_rows() -> list[Row]:
    """Held by ten feeds after many polls: beyond libraries that our processes load anyway, by polling alone, and with numpy."""
    httpx_mb, libraries_mb = resident_mb("import httpx"), resident_mb("import httpx, numpy")
    found = polled()
    modules_mb, first_mb, after_mb = (found[name] / MB for name in ("modules", "first", "after"))
    behind = {"feeds": found["feeds"], "polls of each": POLLS, "known slots": found["slots"], "after one poll, MB": first_mb}
    return [
        Row(
            key="polling",
            what="ten sources polled: beyond an interpreter with httpx and numpy",
            value=after_mb - libraries_mb,
            unit="MB",
            at_most=AT_MOST_MB,
            behind={**behind, "httpx, numpy and interpreter, MB": libraries_mb},
        ),
        Row(
            key="polls",
            what="of it what is known and what was asked: beyond all modules, with a client",
            value=after_mb - modules_mb,
            unit="MB",
            behind={"modules and client, MB": modules_mb},
        ),
        Row(
            key="without numpy",
            what="beyond an interpreter with httpx alone",
            value=after_mb - httpx_mb,
            unit="MB",
            behind={"interpreter with httpx, MB": httpx_mb},
        ),
    ]


def resident_mb(imports: str) -> float:
    """What an interpreter holds after some imports."""
    code = f"import os; {imports}; print(int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120)
    return int(done.stdout) / MB


def polled() -> dict[str, int]:
    """What a process that polls stand-ins holds at each step."""
    stand_ins = [sys.executable, "-m", "benchmarks.signals.stand_ins"]
    with subprocess.Popen(stand_ins, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        polling = [sys.executable, "-m", "benchmarks.signals.polled", server.stdout.readline(), str(POLLS)]
        done = subprocess.run(polling, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, timeout=600)
        server.communicate(timeout=60)
    return dict(json.loads(done.stdout))
