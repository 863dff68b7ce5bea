"""Where `decide` runs: here (backtests), or in a child process with a hard time limit (operator)."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol

from scheduler.core.planning.watch import Brake, brake
from scheduler.domain.decision import Decision
from scheduler.domain.plan import Plan, PlanStatus
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.loop.child import end_with_parent
from scheduler.loop.decide import decide, decide_by_rule, decide_degraded

# One thread per process: spinning BLAS threads made the solver five times slower on busy cores (optimisation.md 7.2).
PINNED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
START_LIMIT_S = 60.0
RULE_LIMIT_S = 20.0
READY = "ready"
# The brake ends a long solve with the best plan so far. This is for one that hangs: a machine that is ten times too busy must
# not cost the plan, since what takes its place starts jobs that would have waited.
OVERTIME_S = 60.0

Seconds = Callable[[], float]
Limit = float | Callable[[Settings], float]
"""Seconds, or what gives them for a policy's settings."""


class Decide(Protocol):
    """The signature of `decide`; tests put faulty ones in its place."""

    def __call__(
        self,
        site: Site,
        snapshot: Snapshot,
        settings: Settings,
        *,
        last: Plan | None,
        out_of_time: Brake,
        clock_s: Seconds | None,
    ) -> Decision:
        """Decide."""
        ...


def limit_of(settings: Settings) -> float:
    """When a solver counts as hanging: well past the policy's budget, after which the best plan so far is taken."""
    return settings.budget.guard_s + OVERTIME_S


class InlineDecider:
    """Decides in this process: backtests and tests. Iteration budgets bound it; with a clock also `budget.guard_s`."""

    def __init__(self, clock_s: Seconds | None = None) -> None:
        """Keep the clock (`time.perf_counter` of the shell) that reports stage times and feeds the brake."""
        self._clock_s = clock_s

    async def decide(self, site: Site, snapshot: Snapshot, settings: Settings, last: Plan | None) -> Decision:
        """Decide now; an unexpected error degrades like a crash of the child would."""
        try:
            return decide(
                site,
                snapshot,
                settings,
                last=last,
                out_of_time=brake(self._clock_s, settings.budget.guard_s),
                clock_s=self._clock_s,
            )
        except Exception as error:  # whatever breaks, compute continues; the reason is in the plan
            return decide_degraded(site, snapshot, settings, last=last, reason=_told("decide failed", error))


class ChildDecider:
    """Decides in a child process that is killed when it overruns `limit_s`; the parent always returns a decision.

    A hang, a crash, a kill or garbage from the child gives a degraded decision with the reason, and a new child for the next
    cycle. One request at a time; the event loop stays free meanwhile, so lease and guard go on.
    """

    def __init__(
        self, *, clock_s: Seconds, limit_s: Limit = limit_of, work: Decide = decide, rule: Decide = decide_by_rule
    ) -> None:
        """Remember how to decide; the child starts with the first request (or `warm`).

        Args:
            clock_s: a monotonic clock that can be pickled, such as `time.monotonic`.
            limit_s: hard limit of one decision, above `budget.guard_s`, which ends a long solve gently.
            work: what the child runs.
            rule: what a new child runs when there is no good plan to fall back on.
        """
        self._clock_s = clock_s
        self._limit_of: Callable[[Settings], float] = limit_s if callable(limit_s) else lambda _settings: limit_s
        self._work, self._rule = work, rule
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None
        # Held by the thread, not by the task: a cancelled task leaves its thread waiting for the child.
        self._turn = threading.Lock()
        # Whoever ends the child takes it away first: two threads must not both close it.
        self._ending = threading.Lock()
        self._asked = 0

    async def decide(self, site: Site, snapshot: Snapshot, settings: Settings, last: Plan | None) -> Decision:
        """Ask the child; degrade in words when it does not answer."""
        return await asyncio.to_thread(self.decide_now, site, snapshot, settings, last)

    def decide_now(self, site: Site, snapshot: Snapshot, settings: Settings, last: Plan | None) -> Decision:
        """`decide` without an event loop; a second caller waits for the first."""
        with self._turn:
            return self._decide(site, snapshot, settings, last)

    def _decide(self, site: Site, snapshot: Snapshot, settings: Settings, last: Plan | None) -> Decision:
        """FRESH from the child; else last good, else rule-based from a new child, else let go."""
        answer = self._ask("work", (site, snapshot, settings, last), self._limit_of(settings))
        if isinstance(answer, Decision):
            return answer
        spare = decide_degraded(site, snapshot, settings, last=last, reason=answer)
        if spare.plan.status is PlanStatus.LAST_GOOD:
            return spare
        by_rule = self._ask("rule", (site, snapshot, settings, last), RULE_LIMIT_S)
        if not isinstance(by_rule, Decision):
            return spare
        return replace(by_rule, plan=replace(by_rule.plan, degraded_reason=f"{answer}; {by_rule.plan.degraded_reason}"))

    def _ask(self, what: str, inputs: tuple[Site, Snapshot, Settings, Plan | None], limit_s: float) -> Decision | str:
        """Send one request and wait; a text says why there is no answer, and the child is gone then."""
        self._asked += 1
        overran = threading.Event()
        try:
            pipe = self.start()
            # A stopped child neither reads nor writes; killing it is what ends a blocked send or a half-written answer.
            with self._killed_after(limit_s, overran):
                pipe.send((self._asked, what, inputs))
                number, answer = pipe.recv()
        except Exception as error:  # a dead child gives EOFError or OSError; reading garbage may raise anything
            if overran.is_set():
                return self._lost(f"solver overran {limit_s:g} s and was ended")
            died = isinstance(error, (EOFError, OSError))
            return self._lost(_told("solver died" if died else "solver answered garbage", error))
        if overran.is_set():  # the answer came with the blow
            self.close()
        if number != self._asked or not isinstance(answer, (Decision, str)):
            return self._lost("solver answered garbage")
        return answer

    @contextmanager
    def _killed_after(self, limit_s: float, overran: threading.Event) -> Iterator[None]:
        """Kill the child when the body takes longer than `limit_s`."""
        child = self._child
        assert child is not None

        def end() -> None:
            overran.set()
            child.kill()

        timer = threading.Timer(limit_s, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def start(self) -> Connection:
        """Start the child unless it lives; returns our end of the pipe.

        Raises:
            OSError: when the child does not come up in time.
        """
        if self._pipe is not None and self._child is not None and self._child.is_alive():
            return self._pipe
        self.close()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(target=_serve, args=(theirs, self._clock_s, self._work, self._rule), daemon=True)
        self._pipe, self._child = ours, child
        with _pinned_threads():
            child.start()
        theirs.close()
        if not ours.poll(START_LIMIT_S) or ours.recv() != READY:
            raise OSError("child process did not start")
        return ours

    def _lost(self, reason: str) -> str:
        """End the child for good."""
        self.close()
        return reason

    def warm(self) -> None:
        """Start the child before it is needed: the first decision need not wait for it. What goes wrong is met then."""
        with self._turn, suppress(OSError, EOFError):
            self.start()

    def abandon(self) -> None:
        """Kill the child if it is at work: nobody waits for its answer any more."""
        if self._turn.locked():
            self.close()

    def close(self) -> None:
        """Kill the child if there is one, from any thread; the next request starts a new one."""
        with self._ending:
            pipe, child, self._pipe, self._child = self._pipe, self._child, None, None
        if pipe is not None:
            pipe.close()
        if child is not None:
            child.kill()
            child.join()
            child.close()


@contextmanager
def _pinned_threads() -> Iterator[None]:
    """Let a child inherit one BLAS thread: the libraries read the environment when they are loaded, before any of our code."""
    before = {name: os.environ.get(name) for name in PINNED}
    os.environ.update(PINNED)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, clock_s: Seconds, work: Decide, rule: Decide) -> None:
    """The child: answer requests until the pipe closes; it never outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to answer: it ends us
    end_with_parent()
    pipe.send(READY)
    while True:
        try:
            number, what, (site, snapshot, settings, last) = pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return
        run = rule if what == "rule" else work
        try:
            out_of_time = brake(clock_s, settings.budget.guard_s)
            answer: Decision | str = run(site, snapshot, settings, last=last, out_of_time=out_of_time, clock_s=clock_s)
        except Exception as error:  # the parent turns the reason into a degraded decision
            answer = _told("decide failed", error)
        try:
            pipe.send((number, answer))
        except OSError:
            return


def _told(what: str, error: BaseException) -> str:
    """One line for an error."""
    text = str(error).strip().splitlines()
    return f"{what}: {type(error).__name__}" + (f": {text[0][:200]}" if text else "")
