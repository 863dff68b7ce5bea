"""The agent as a process beside pretended GPUs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from gpu_machine import Machine

RUN = "import sys; from scheduler.entrypoints.start import main; sys.exit(main())"
READY_S = 30.0


@dataclass(slots=True)
class AgentProcess:
    """One agent."""

    process: subprocess.Popen[bytes]
    log: Path
    token: str = ""

    def told(self) -> str:
        """What it has logged."""
        return self.log.read_text("utf-8")

    @property
    def url(self) -> str:
        """Where it listens, once it has said so."""
        line = next((line for line in self.told().splitlines() if " started " in line), "")
        return f"http://127.0.0.1:{line.partition('port=')[2].split()[0]}" if line else ""

    def ask(self, path: str, **query: str) -> httpx.Response:
        """An answer."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.get(self.url + path, params=query, headers=headers, timeout=5.0, trust_env=False)

    def wait(self, path: str, words: str) -> str:
        """Ask until an answer holds some words.

        Raises:
            TimeoutError: when none does.
        """
        until_s, text = time.monotonic() + READY_S, ""
        while time.monotonic() < until_s:
            if self.process.poll() is not None:
                raise TimeoutError(f"it has ended: {self.told()}")
            if self.url:
                text = self.ask(path).text
                if words in text:
                    return text
            time.sleep(0.1)
        raise TimeoutError(f"{path} never said {words!r}: {text}\n{self.told()}")


@contextmanager
def running_agent(machine: Machine, folder: Path, *more: str) -> Iterator[AgentProcess]:
    """Run an agent as node `n0` on a free port; ended afterwards."""
    log = folder / "agent.log"
    command = [sys.executable, "-c", RUN, "agent", "--node", "n0", "--port", "0", *more]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=machine.environment, stdout=out, stderr=out)
    try:
        yield AgentProcess(process=process, log=log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
