"""A setter as processes beside pretended GPUs, and an agent for it that says what a test wants."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from gpu_machine import Machine

from scheduler.adapters.gpu.setter_client import SetterAway, SetterClient
from scheduler.domain.capping import Answer, Asking, CapRules, Condition, GpuStanding, Want
from scheduler.entrypoints.setter.setup import Setup, guardian_command

# Long enough for a machine that has much else to do; nothing waits so long when all is well.
PATIENCE_S = 30.0
ASK_EVERY_S = 0.3
# Quick enough for tests, and slow enough that a busy machine keeps up.
PROMPT = CapRules(dry_run=False, pause_s=0.0, jitter_s=0.0, contact_s=2.0)
# For tests in which no agent falls silent: one that gets no time on a busy machine shall not seem to.
STEADY = replace(PROMPT, contact_s=8.0)


@dataclass(slots=True)
class SetterProcess:
    """One setter: its guardian, and whichever worker it has now."""

    process: subprocess.Popen[bytes]
    log: Path
    socket: Path
    journal: Path

    def told(self) -> str:
        """What it has logged."""
        return self.log.read_text("utf-8")

    def look(self) -> Answer:
        """How its GPUs stand; raises SetterAway."""
        client = SetterClient(self.socket)
        try:
            return client.look()
        finally:
            client.close()

    @property
    def worker(self) -> int:
        """Process id of the worker; 0 between two of them."""
        with suppress(OSError):
            found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii").split()
            return int(found[0]) if found else 0
        return 0

    def entries(self) -> list[str]:
        """GPUs of which the journal says something."""
        return sorted(path.stem for path in self.journal.glob("*.json"))

    def end(self) -> int:
        """Have it end, and wait; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@contextmanager
def running_setter(
    machine: Machine,
    folder: Path,
    *,
    name: str = "setter",
    rules: CapRules = PROMPT,
    socket: Path | None = None,
    gpus: tuple[str, ...] | None = None,
    uids: tuple[int, ...] = (),
    ready: bool = True,
    standby: bool = False,
) -> Iterator[SetterProcess]:
    """Run a setter that sets limits; a name of its own lets a second one have the same journal. Ended afterwards.

    It begins as the guardian, as the command does once it has read its options.
    """
    journal, log, socket = folder / "journal", folder / f"{name}.log", socket or folder / f"{name}.sock"
    journal.mkdir(mode=0o700, exist_ok=True)
    allowed = uids or (os.getuid(),)
    setup = Setup(socket=str(socket), journal=str(journal), allow_uids=allowed, gpus=gpus, rules=rules, standby=standby)
    with log.open("ab") as out:
        process = subprocess.Popen(guardian_command(setup), env=machine.environment, stdout=out, stderr=out)
    found = SetterProcess(process=process, log=log, socket=socket, journal=journal)
    try:
        if ready:
            until(lambda: len(looked(found).gpus) == machine.state.count, found.told)
        yield found
    finally:
        _ended(found)


def _ended(setter: SetterProcess) -> None:
    """Leave no process behind."""
    worker = setter.worker
    setter.process.terminate()
    try:
        setter.process.wait(15.0)
    except subprocess.TimeoutExpired:
        setter.process.kill()
        setter.process.wait()
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def looked(setter: SetterProcess) -> Answer:
    """How its GPUs stand; an empty answer while it cannot be asked."""
    try:
        return setter.look()
    except SetterAway:
        return Answer()


def until(holds: Callable[[], bool], told: Callable[[], str]) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: when it never does; with what was told.
    """
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        if holds():
            return
        time.sleep(0.05)
    raise TimeoutError(told())


@dataclass(slots=True)
class Asker:
    """An agent that asks again and again for what `asking` says; without a thread of its own it is silent."""

    setter: SetterProcess
    asking: Asking
    answer: Answer = field(default_factory=Answer)
    away: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asks(self) -> Iterator[Asker]:
        """Ask until the block is left, or `fall_silent` is called."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.fall_silent()
            thread.join(PATIENCE_S)

    def fall_silent(self) -> None:
        """Ask no more."""
        self._stopping.set()

    def _run(self) -> None:
        client = SetterClient(self.setter.socket)
        while not self._stopping.wait(ASK_EVERY_S):
            try:
                self.answer = client.exchange(self.asking)
            except SetterAway:
                self.away += 1
        client.close()

    # What a test waits for.

    def want(self, caps_w: dict[str, float], *, generation: int = 1, lease_s: float = 60.0, pod: str = "pod") -> None:
        """Ask for these caps from now on, and for no other."""
        self.asking = asking(caps_w, generation=generation, lease_s=lease_s, pod=pod)

    def stands(self, uuid: str) -> GpuStanding | None:
        """How one GPU stood when it was last asked."""
        return next((one for one in self.answer.gpus if one.uuid == uuid), None)

    def until(self, uuid: str, condition: Condition, words: str = "") -> None:
        """Wait until a GPU stands so."""

        def holds() -> bool:
            one = self.stands(uuid)
            return one is not None and one.condition is condition and words in one.why

        until(holds, lambda: f"{uuid} never was {condition} {words!r}: {self.answer}\n{self.setter.told()}")


def asking(caps_w: dict[str, float], *, generation: int = 1, lease_s: float = 60.0, pod: str = "pod") -> Asking:
    """An order for these caps."""
    wants = tuple(Want(uuid=uuid, cap_w=cap_w, lease_s=lease_s, pod_uid=pod) for uuid, cap_w in caps_w.items())
    return Asking(source="node-power", generation=generation, plan_id="plan", wants=wants)


def limit_w(machine: Machine, number: int) -> float:
    """The limit of a GPU, by the machine itself."""
    return float(machine[number].limit_milliwatt) / 1000.0


def limits_are(machine: Machine, setter: SetterProcess, limits_w: dict[int, float]) -> None:
    """Wait until the GPUs have these limits."""
    until(
        lambda: all(limit_w(machine, number) == wanted_w for number, wanted_w in limits_w.items()),
        lambda: f"limits {[limit_w(machine, number) for number in limits_w]}, wanted {limits_w}\n{setter.told()}",
    )
