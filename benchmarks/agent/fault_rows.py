"""Random fault runs, side by side, and how soon limits were back."""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent_judge import GRACE_S, Ending
from agent_runs import RunFound, fault_run
from agent_world import Pace

from benchmarks.rows import Row, quantile

TOLD_EVERY = 25


def fault_rows(library: Path, given: argparse.Namespace, say: Callable[[str], None]) -> list[Row]:
    """All runs, judged."""
    seeds = range(given.seed, given.seed + given.runs)
    found = [run for run in earlier(given.results) if run.seed in seeds]
    known = {run.seed for run in found}
    # By turns: wishes from a file, and from an API server.
    paces = [Pace(gpus=given.gpus, by_api=by_api, standby=given.standby) for by_api in (False, True)]
    with ThreadPoolExecutor(given.nodes) as pool:
        ahead = [pool.submit(fault_run, library, seed, None, paces[seed % 2]) for seed in seeds if seed not in known]
        try:
            for done in as_completed(ahead):
                found.append(done.result())
                took(found, given, say)
        finally:
            # Ended by hand, or by a fault of its own: what runs is brought to its end, and nothing more begun.
            for each in ahead:
                each.cancel()
    return [whole(found, given), *loading(found), *endings(found), *kinds(found)]


def took(found: Sequence[RunFound], given: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Note the run that ended last, and tell of it."""
    run = found[-1]
    note(run, given.results)
    if run.complaints:
        say(f"run {run.seed} ({', '.join(run.deeds)}; {run.end}): {'; '.join(run.complaints)}")
        keep(run, given.keep)
    if len(found) % TOLD_EVERY == 0:
        say(f"{len(found)} of {given.runs} runs, {sum(bool(run.complaints) for run in found)} with complaints")


def earlier(file: str | None) -> list[RunFound]:
    """Runs that were noted before, one a line."""
    if file is None or not Path(file).exists():
        return []
    return [run_of(json.loads(line)) for line in Path(file).read_text("utf-8").splitlines()]


def run_of(told: dict[str, Any]) -> RunFound:
    """One of them."""
    texts = {name: tuple(told[name]) for name in ("deeds", "complaints", "loads_s")}
    return RunFound(**{**told, **texts, "endings": tuple(Ending(**ending) for ending in told["endings"])})


def note(run: RunFound, file: str | None) -> None:
    """Note a run, without its logs."""
    if file is not None:
        with Path(file).open("a", encoding="utf-8") as opened:
            opened.write(json.dumps({**asdict(run), "logs": ""}) + "\n")


def keep(run: RunFound, folder: str | None) -> None:
    """Keep what the processes said in a run that went wrong."""
    if folder is not None:
        path = Path(folder) / f"run-{run.seed}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([", ".join(run.deeds), run.end, *run.complaints, run.logs]), encoding="utf-8")


def whole(found: Sequence[RunFound], given: argparse.Namespace) -> Row:
    """How many runs went wrong."""
    wrong = [run for run in found if run.complaints]
    behind = {
        "runs": len(found),
        "side by side": given.nodes,
        "with a standby": len(found) if given.standby else 0,
        "caps ended": sum(len(run.endings) for run in found),
    }
    return Row(
        key="fault-runs-wrong", what="random fault runs with a complaint", value=len(wrong), unit="", at_most=0, behind=behind
    )


def loading(found: Sequence[RunFound]) -> list[Row]:
    """How long nobody was there: a setter that loads, with no other one behind it."""
    loads_s = [load_s for run in found for load_s in run.loads_s]
    if not loads_s:
        return []
    behind = {"containers": len(loads_s), "p95": quantile(loads_s, 0.95), "worst": max(loads_s)}
    what = "setter: from the start of its container until it is in charge, median"
    return [Row(key="setter-loads", what=what, value=quantile(loads_s, 0.5), unit="s", behind=behind)]


def endings(found: Sequence[RunFound]) -> list[Row]:
    """How long after a cap had to end its limit was back, by what ended it."""
    by_why: dict[str, list[float]] = defaultdict(list)
    for run in found:
        for ending in run.endings:
            by_why[ending.why].append(ending.late_s)
    every = [late_s for lates_s in by_why.values() for late_s in lates_s]
    return [_late(f"restored-{why.replace(' ', '-')}", f"limit back after: {why}", by_why[why]) for why in sorted(by_why)] + [
        _late("restored", "limit back, all of them", every)
    ]


def kinds(found: Sequence[RunFound]) -> list[Row]:
    """The worst ending of a cap by kind of fault."""
    runs = Counter(name for run in found for name in run.deeds)
    lates_s: dict[str, list[float]] = defaultdict(list)
    for run in found:
        for name in run.deeds:
            lates_s[name] += [ending.late_s for ending in run.endings]
    return [
        Row(key=f"fault-{name.replace(' ', '-')}", what=f"worst with: {name}", value=max(lates_s[name], default=0.0), unit="s",
            at_most=GRACE_S, behind={"runs": runs[name], "caps ended": len(lates_s[name])})
        for name in sorted(runs)
    ]  # fmt: skip


def _late(key: str, what: str, lates_s: Sequence[float]) -> Row:
    """A distribution, by its worst."""
    quantiles = {f"p{round(100 * share)}": quantile(lates_s, share) for share in (0.5, 0.95, 0.99) if lates_s}
    return Row(
        key=key,
        what=what,
        value=max(lates_s, default=0.0),
        unit="s",
        at_most=GRACE_S,
        behind={"caps": len(lates_s), **quantiles},
    )
