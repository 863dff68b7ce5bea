"""Whatever happens to a GPU, its disk and its setter: never above what was found, never below the least, always given back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from capping_shell import Decide, DecidedWorld
from capping_stories import CAPPED, QUICK, RULE_BOOKS, STORIES
from capping_world import POD, Breach, Event, World, ask, drive, renew
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from scheduler.core.capping.held import Facts, Forget, Held, Ordered, Record, Step, Write
from scheduler.core.capping.holding import decide
from scheduler.domain.capping import CapRules


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=STORIES, rules=st.sampled_from(RULE_BOOKS))
def test_no_story_ends_in_a_breach(story: list[Event], rules: CapRules) -> None:
    world = drive([*CAPPED, *story], DecidedWorld(rules))
    assert world.held.uuid == "GPU-0"


@settings(max_examples=100, deadline=None)
@given(story=STORIES)
def test_a_dry_run_sets_no_cap_and_gives_back_what_it_finds(story: list[Event]) -> None:
    drive(story, DecidedWorld(replace(QUICK, dry_run=True)))
    world = drive([*CAPPED, *story], DecidedWorld(QUICK))
    world.rules = replace(QUICK, dry_run=True)
    mended(world)
    world.start()
    world.turn()
    world.turn()
    assert not world.gpu.ours
    assert world.disk.entry is None


@settings(max_examples=200, deadline=None)
@given(story=STORIES, begins_anew=st.booleans())
def test_once_all_is_well_two_looks_give_back_whatever_was_left(story: list[Event], begins_anew: bool) -> None:
    world = drive([*CAPPED, *story], DecidedWorld(QUICK))
    mended(world)
    if begins_anew:
        world.start()
    world.now_s += 10.0
    world.ordered = Ordered(heard_s=world.now_s)
    world.turn()
    world.turn()
    assert not world.gpu.ours
    assert world.disk.entry is None
    assert not world.disk.torn


@settings(max_examples=200, deadline=None)
@given(story=STORIES)
def test_a_cap_that_is_found_in_force_is_adopted_without_a_write(story: list[Event]) -> None:
    world = drive([*CAPPED, *story], DecidedWorld(QUICK))
    mended(world)
    cap_w = world.gpu.limit_w
    # Lower than 0.4 * 700 = 280 W only a GPU sets that does other than it is told.
    if world.gpu.ours and world.disk.entry is not None and not world.disk.torn and cap_w >= 280.0:
        world.start()
        before = len(world.truth.writes)
        world.turn()
        world.now_s += 1.0
        ask(world, cap_w, pod=world.disk.entry.pod_uid)
        for _second in range(100):
            world.turn()
            world.now_s += 1.0
            renew(world)
        assert len(world.truth.writes) == before
        assert world.gpu.limit_w == cap_w


def mended(world: World) -> None:
    """Everything works again."""
    gpu, world.disk.mode = world.gpu, "ok"
    gpu.lost = gpu.blind = gpu.mig = False
    gpu.may_set, gpu.writes, gpu.least_w = True, "ok", 100.0
    world.turn()


# The checker itself: each of these deciders is wrong in one way, and some story must show it.


def without_journal(step: Step) -> Step:
    return replace(step, acts=tuple(act for act in step.acts if not isinstance(act, Record)))


def new_value_alone(step: Step) -> Step:
    return replace(
        step,
        acts=tuple(
            Record(replace(act.entry, ours_w=act.entry.ours_w[-1:])) if isinstance(act, Record) else act for act in step.acts
        ),
    )


def forgets_first(step: Step) -> Step:
    return replace(step, acts=tuple(sorted(step.acts, key=lambda act: not isinstance(act, Forget))))


def records_late(step: Step) -> Step:
    return replace(step, acts=tuple(sorted(step.acts, key=lambda act: isinstance(act, Record))))


def never_forgets(step: Step) -> Step:
    return replace(step, acts=tuple(act for act in step.acts if not isinstance(act, Forget)))


def gives_back_the_default(step: Step) -> Step:
    return replace(
        step, acts=tuple(Write(700.0, act.back) if isinstance(act, Write) and act.back else act for act in step.acts)
    )


def with_acts(change: Callable[[Step], Step]) -> Decide:
    def decider(held: Held, seen: Facts | str, ordered: Ordered, now_s: float, rules: CapRules) -> Step:
        return change(decide(held, seen, ordered, now_s, rules))

    return decider


def with_rules(change: Callable[[CapRules], CapRules]) -> Decide:
    def decider(held: Held, seen: Facts | str, ordered: Ordered, now_s: float, rules: CapRules) -> Step:
        return decide(held, seen, ordered, now_s, change(rules))

    return decider


def remembers_nothing(held: Held, seen: Facts | str, ordered: Ordered, now_s: float, rules: CapRules) -> Step:
    entry = held.entry
    lost = replace(held, entry=None) if entry is not None and now_s - held.started_s > 5.0 else held
    return decide(lost, seen, ordered, now_s, rules)


def asks_no_pod(held: Held, seen: Facts | str, ordered: Ordered, now_s: float, rules: CapRules) -> Step:
    entry, want = held.entry, ordered.want
    same = replace(held, entry=replace(entry, pod_uid=want.pod_uid)) if entry is not None and want is not None else held
    return decide(same, seen, ordered, now_s, rules)


WRONG: dict[str, Decide] = {
    "without journal": with_acts(without_journal),
    "new value alone": with_acts(new_value_alone),
    "forgets first": with_acts(forgets_first),
    "records late": with_acts(records_late),
    "gives back the default": with_acts(gives_back_the_default),
    "never silent": with_rules(lambda rules: replace(rules, contact_s=1e9)),
    "no least": with_rules(lambda rules: replace(rules, least_fraction=0.0)),
    "no pause": with_rules(lambda rules: replace(rules, pause_s=0.0)),
    "no step": with_rules(lambda rules: replace(rules, step_fraction=1.0)),
    "fights on": with_rules(lambda rules: replace(rules, fights=10)),
    "remembers nothing": remembers_nothing,
    "asks no pod": asks_no_pod,
}


# What random stories show seldom: how these begin.
LEADS: dict[str, list[Event]] = {
    "gives back the default": [("back", None), ("foreign", 650.5), ("live", 61.0), *CAPPED, ("live", 6.0), ("back", None)],
    "no least": [("ask", (150.0, POD, 3600.0, False)), ("live", 61.0)],
    "no step": [("ask", (650.0, POD, 3600.0, False)), ("live", 61.0)],
    "fights on": [("contest", 650.5)] * 4,
}


@pytest.mark.parametrize("name", WRONG)
def test_the_checker_finds_what_is_wrong(name: str) -> None:
    assert breaks(WRONG[name], LEADS.get(name, []))


@pytest.mark.parametrize("name", LEADS)
def test_the_checker_finds_nothing_in_what_is_right(name: str) -> None:
    assert not breaks(decide, LEADS[name], examples=20)


def breaks(decider: Decide, lead: list[Event], examples: int = 2000) -> bool:
    """Whether some story makes this decider do what must not be."""

    def is_caught(story: list[Event]) -> bool:
        try:
            drive([*CAPPED, *lead, *story], DecidedWorld(QUICK, decider))
        except Breach:
            return True
        return False

    search = settings(max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    try:
        find(STORIES, is_caught, settings=search)
    except NoSuchExample:
        return False
    return True
