"""`heat-dispatch demo`: a virtual cluster runs as a heat plant for a winter week, by the loop that the operator runs."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.adapters.live.store import LiveStore
from scheduler.core.planning.bound.problem import BoundBudget
from scheduler.core.publishing.message import Envelope, heat_schedule
from scheduler.domain.decision import Decision
from scheduler.domain.ledger import CycleEntry, LedgerEntry
from scheduler.domain.plan import Offer
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.domain.world import Scenario
from scheduler.entrypoints.commands.backtest import show
from scheduler.entrypoints.commands.plan import described
from scheduler.entrypoints.console import friendly, talk, write_json, write_text
from scheduler.entrypoints.demo_world import DEMO_BUDGET, START_UTC, DemoNotes
from scheduler.entrypoints.options import CycleMinutes, JsonFile, Workers
from scheduler.entrypoints.plantsim.answering import AnsweringPlants
from scheduler.simulate.backtest import Options, backtest
from scheduler.simulate.generate import demo_scenario
from scheduler.simulate.planned import Planned
from scheduler.simulate.world import World
from scheduler.units import S_PER_DAY, S_PER_MIN
from scheduler.views.live import LiveRun, plain_line
from scheduler.views.report import backtest_page, plan_page

HELP = """Run a virtual cluster of 256 GPUs as a heat plant for a winter week and compare it with what others would have done.

Weather, prices, heat demand and jobs are generated from `--seed`; the loop is the one that the operator runs, and two heat
plants answer its schedules. In the end the output folder holds report.html, plan.html, plan.json, schedule.json (the message
to the heat plant), acknowledgements.json (what the plants answered) and ledger.db.

**Example**

    heat-dispatch demo --output demo-output --days 7 --seed 1
"""

LEDGER_FILE = "ledger.db"
DEMO_BOUND = BoundBudget(rounds=8, joint_rounds=0)


class DirectLedger:
    """The SQL ledger for a loop that never waits: writes on this thread."""

    def __init__(self, ledger: SqlLedger) -> None:
        """Write to `ledger`."""
        self.ledger = ledger

    async def append(self, entries: Sequence[LedgerEntry]) -> int:
        """Append what is not there yet."""
        return self.ledger.append_now(entries)

    async def append_cycle(self, entry: CycleEntry) -> None:
        """Append one cycle."""
        self.ledger.append_cycle_now(entry)

    async def entries(self, plug_id: str, start_utc: datetime, end_utc: datetime) -> tuple[LedgerEntry, ...]:
        """Latest revision of each slot in [start, end)."""
        return self.ledger.entries_now(plug_id, start_utc, end_utc)


@dataclass(slots=True)
class Witness:
    """Books the meters after every cycle, lets the plants answer, and keeps the last plan with what it was made from."""

    notes: DemoNotes
    period_s: float
    plants: AnsweringPlants
    snapshot: Snapshot | None = None
    decision: Decision | None = None
    settings: Settings = field(default_factory=Settings)
    offers: tuple[Offer, ...] = ()

    def step(self, world: World, steering: Planned) -> None:
        """One cycle is over."""
        if steering.memory.snapshot is not None:
            self.plants.cycle(steering.publisher.offers, world.now_utc, steering.memory.snapshot.sequence)
        # When no more jobs arrive there is little to see.
        self.notes.cycle(world, steering, shows=world.clock.now_s <= self.period_s)
        if world.clock.now_s <= self.period_s:
            self.snapshot, self.decision = steering.memory.snapshot, steering.decision
            self.settings, self.offers = steering.settings, steering.publisher.offers


@friendly
def demo(
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the results go.")] = Path("demo-output"),
    days: Annotated[int, typer.Option(min=1, max=28, help="Days in which jobs arrive.")] = 7,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes another week.")] = 1,
    gpus: Annotated[int, typer.Option(min=16, max=4096, help="GPUs, in whole nodes of eight.")] = 256,
    cycle_minutes: CycleMinutes = 60,
    workers: Workers = 2,
    json_file: JsonFile = None,
) -> None:
    """Run a virtual GPU cluster as a heat plant."""
    console = talk(json_file)
    scenario = demo_scenario(seed, START_UTC, days, gpus)
    output.mkdir(parents=True, exist_ok=True)
    remove_old(output)
    console.print(
        f"{scenario.site.gpus} GPUs, {len(scenario.jobs)} jobs, {days} days from {START_UTC:%Y-%m-%d %H:%M}Z; everything is "
        f"generated from seed {seed}.",
        soft_wrap=True,
    )
    url = f"sqlite:///{output / LEDGER_FILE}"
    ledger, live = SqlLedger(url), LiveStore(url)
    notes = DemoNotes(ledger, live)
    witness = Witness(notes=notes, period_s=days * S_PER_DAY, plants=AnsweringPlants(scenario.site.name))
    try:
        pace = Options(cycle_s=cycle_minutes * int(S_PER_MIN), workers=workers, clock_s=time.perf_counter)
        report = run(scenario, witness, DirectLedger(ledger), console, pace)
    finally:
        ledger.close()
        live.close()
    show(report, console)
    console.print("\nWhat the heat plants answered:")
    for line in witness.plants.told():
        console.print(f"  {line}", soft_wrap=True, markup=False)
    write_outputs(output, report, scenario.site, witness)
    write_json(json_file, report)
    console.print(f"\nOpen {output / 'report.html'} (needs no network); the ledger is {output / LEDGER_FILE}.", soft_wrap=True)
    # As this program was called: from a checkout it is not on the path.
    command = shlex.join([sys.argv[0], "serve", "--run", str(output)])
    console.print(f"The live page of the week's end: {command}", soft_wrap=True, markup=False)


def remove_old(output: Path) -> None:
    """A ledger only ever grows; the demonstration begins a new one."""
    for name in (LEDGER_FILE, f"{LEDGER_FILE}-wal", f"{LEDGER_FILE}-shm"):
        (output / name).unlink(missing_ok=True)


def run(scenario: Scenario, witness: Witness, ledger: DirectLedger, console: Console, pace: Options) -> dict[str, Any]:
    """Every strategy on the scenario; ours is watched live."""
    view = LiveRun(title=f"{scenario.site.gpus} GPUs as a heat plant, re-planned every {pace.cycle_s / S_PER_MIN:g} minutes")
    live = console.is_terminal
    with Live(view, console=console, transient=True, refresh_per_second=8) if live else nullcontext():
        options = replace(
            pace,
            settings=Settings(budget=DEMO_BUDGET, commit_slots=pace.cycle_s // pace.slot_s),
            ablation=False,
            bound_budget=DEMO_BOUND,
            on_cycle=view.update if live else DailyLine(console, witness.plants),
            on_step=witness.step,
            on_done=view.finish,
            ledger=ledger,
        )
        return backtest(scenario, options).to_json()


class DailyLine:
    """Says one line a day where there is no terminal to draw on."""

    def __init__(self, console: Console, plants: AnsweringPlants) -> None:
        """Speak on `console`, also of what plants answered."""
        self.console, self.plants = console, plants
        self.day = -1

    def __call__(self, numbers: Mapping[str, Any]) -> None:
        """Take one cycle."""
        day = int(numbers["done"] // S_PER_DAY)
        if day != self.day and numbers["done"] < numbers["total"]:
            self.day = day
            for line in (plain_line(numbers), *(f"  heat plant {told}" for told in self.plants.told())):
                self.console.print(line, soft_wrap=True, markup=False)


def write_outputs(output: Path, report: Mapping[str, Any], site: Site, witness: Witness) -> None:
    """The report, the last plan of the period, and what it told the heat plant."""
    write_json(str(output / "report.json"), report)
    write_json(str(output / "acknowledgements.json"), witness.plants.to_json())
    write_text(output / "report.html", backtest_page(report))
    if witness.snapshot is None or witness.decision is None:
        return
    plan = described(site, witness.snapshot, witness.settings, witness.decision)
    write_json(str(output / "plan.json"), plan)
    write_text(output / "plan.html", plan_page(plan))
    for name, offer in schedule_files(site, witness.offers):
        envelope = Envelope(site_id=site.name, meter_point_id=f"{offer.offtake_id}-meter", sequence=witness.snapshot.sequence)
        write_json(str(output / name), heat_schedule(offer, envelope))


def schedule_files(site: Site, offers: Sequence[Offer]) -> list[tuple[str, Offer]]:
    """File name of each customer's message: schedule.json is that of the one with firm heat."""
    firm = {offtake.offtake_id for offtake in site.offtakes if offtake.firm is not None}
    return [("schedule.json" if one.offtake_id in firm else f"schedule-{one.offtake_id}.json", one) for one in offers]
