"""Stories of one GPU and its setter, drawn at random: what agents, disks, drivers, other people and kill -9 do."""

from __future__ import annotations

from dataclasses import replace

from capping_world import POD, RULES, Event
from hypothesis import strategies as st

from scheduler.domain.capping import FailMode, Restored

ASKS = st.tuples(
    st.sampled_from([150.0, 299.5, 300.0, 400.0, 402.0, 550.0, 650.0, 698.0, 700.0, 900.0]),
    st.sampled_from([POD, POD, POD, "pod-b"]),
    st.sampled_from([2.0, 120.0, 3600.0]),
    st.sampled_from([False, False, False, True]),
)
KILLS = st.tuples(st.just("kill"), st.integers(0, 3))
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([0.1, 0.5, 1.0, 1.3, 6.0, 30.0, 61.0, 601.0, 7200.0])),
    st.tuples(st.just("live"), st.sampled_from([0.1, 1.0, 6.0, 61.0, 61.0, 601.0])),
    st.tuples(st.just("live"), st.sampled_from([0.1, 1.0, 6.0, 61.0, 61.0, 601.0])),
    st.tuples(st.just("ask"), ASKS),
    st.tuples(st.just("ask"), ASKS),
    st.tuples(st.just("renew"), st.none()),
    st.tuples(st.just("back"), st.sampled_from([None, Restored.OCCUPANT, Restored.EXPIRED])),
    st.tuples(st.just("refuse"), st.none()),
    KILLS,
    KILLS,
    st.tuples(st.just("stop"), st.none()),
    st.tuples(st.just("foreign"), st.sampled_from([250.5, 333.5, 520.5, 650.5, 700.0])),
    st.tuples(st.just("contest"), st.sampled_from([333.5, 520.5, 650.5, 700.0])),
    st.sampled_from([("reload", None), ("reload", None), ("reboot", None), ("tear", None)]),
    st.tuples(st.just("disk"), st.sampled_from(["ok", "ok", "full", "unsure"])),
    st.tuples(st.just("writes"), st.sampled_from(["ok", "ok", "error", "late", "ignored", "askew"])),
    st.tuples(st.just("lost"), st.booleans()),
    st.tuples(st.just("blind"), st.booleans()),
    st.tuples(st.just("mig"), st.sampled_from([False, False, True])),
    st.tuples(st.just("may_set"), st.sampled_from([True, True, False])),
    st.tuples(st.just("least_w"), st.sampled_from([100.0, 200.0, 300.0])),
)
# A cap soon, and its pause over: what is interesting comes after it.
CAPPED: tuple[Event, ...] = (("ask", (400.0, POD, 3600.0, False)),)
STORIES = st.lists(EVENTS, min_size=5, max_size=60)
QUICK = replace(RULES, jitter_s=0.0)
HOLD = replace(QUICK, fail_mode=FailMode.HOLD)
RULE_BOOKS = [RULES, QUICK, HOLD, replace(QUICK, pause_s=0.0), replace(QUICK, fights=0)]
