"""A process that books slots and cycles, and can be made to die between any two statements; run by `test_ledger_kill`.

    echo URL#STEP | python ledger_writer.py

For each line a child is forked that opens the ledger and books everything. With a STEP it is killed (SIGKILL, by itself) at
that moment between statements, counted from 1; with ~SECONDS by its parent after that time; with neither it lives. Prints for
each how many such moments the child went through, or "killed".
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Engine, event
from standing_writer import serve

from scheduler.adapters.ledger import sql
from scheduler.domain.ledger import CycleEntry, LedgerEntry, Quality
from scheduler.domain.time import utc

START = utc("2026-01-14T10:00:00+00:00")
SLOT_S, BATCHES, PLUGS = 900, 4, ("north", "south")


def entries_of(batch: int) -> list[LedgerEntry]:
    """One hour of two plugs; every second hour also corrects the first slot of the hour before."""
    slots = [(slot, 0) for slot in range(4 * batch, 4 * batch + 4)]
    slots += [(4 * batch - 4, 1)] if batch % 2 else []
    return [entry(plug, slot, revision) for plug in PLUGS for slot, revision in slots]


def entry(plug: str, slot: int, revision: int) -> LedgerEntry:
    """One slot; its numbers follow from where it stands."""
    heat = slot + 0.1 * revision
    return LedgerEntry(
        entry_id=f"{plug}/{slot}/{revision}",
        plug_id=plug,
        start_utc=START + timedelta(seconds=SLOT_S * slot),
        duration_s=SLOT_S,
        revision=revision,
        plan_id=f"plan-{slot // 4}",
        quality=Quality.METERED,
        it_energy_kwh=10.0,
        facility_energy_kwh=11.0,
        heat_captured_kwh=heat,
        heat_recovered_kwh=heat,
        heat_sold_kwh=heat,
        heat_rejected_kwh=0.0,
        heat_planned_kwh=None,
        heat_firm_kwh=None,
        tank_level_kwh=None,
        emissions_g=None,
        eur={"heat_revenue": -0.05 * heat},
    )


def cycle(batch: int) -> CycleEntry:
    """The cycle that ends an hour."""
    return CycleEntry(
        cycle_id=f"cycle-{batch}",
        at_utc=START + timedelta(hours=batch + 1),
        plan_id=f"plan-{batch}",
        input_digest="",
        status="fresh",
        objective_eur=1.0,
        bound_eur=0.9,
        rolling_gap=0.1,
        solve_s=0.0,
        started=0,
        held=0,
        stopped=0,
        capped=0,
    )


def book(url: str) -> None:
    """Book everything from the beginning, as one does who comes back after a crash and does not know how far he was."""
    ledger = sql.SqlLedger(url)
    for batch in range(BATCHES):
        ledger.append_now(entries_of(batch))
        ledger.append_cycle_now(cycle(batch))
    ledger.close()


class Steps:
    """Counts the moments between statements, and dies at one of them."""

    def __init__(self, last: int | None) -> None:
        """Die at the `last`-th moment; never, if None."""
        self.last, self.taken = last, 0

    def step(self, *_: object) -> None:
        """One moment."""
        self.taken += 1
        if self.taken == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, engine: Engine) -> Engine:
        """Step before and after each statement, before each commit, and after it (when the connection goes back)."""
        for name in ("before_cursor_execute", "after_cursor_execute", "commit", "checkin"):
            event.listen(engine, name, self.step)
        return engine


def lived(work: Callable[[], None], limit_s: float | None) -> bool:
    """Run in a forked child, killed after `limit_s` unless None; true when it ended well.

    Raises:
        RuntimeError: when it ended in any other way than well or by SIGKILL.
    """
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:  # the child must not go on as its parent
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    if limit_s is not None:
        time.sleep(limit_s)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status != 0:
        raise RuntimeError(f"child ended with {status}")
    return True


def what_becomes_of(told: str) -> str:
    """See above."""
    url, _, step = told.rpartition("#")
    read, write = os.pipe()

    def work() -> None:
        steps = Steps(int(step) if step.isdigit() else None)
        engine_for = sql.engine_for
        sql.engine_for = lambda url: steps.watch(engine_for(url))
        book(url)
        os.write(write, str(steps.taken).encode())

    alive = lived(work, float(step[1:]) if step.startswith("~") else None)
    os.close(write)
    taken = os.read(read, 100).decode()
    os.close(read)
    return taken if alive else "killed"


if __name__ == "__main__":
    serve(what_becomes_of)
