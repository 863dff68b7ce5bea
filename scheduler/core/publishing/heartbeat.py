"""The sign of life, and whether the boiler must start: whatever is not known means that it must.

The signal is normally energised: it is off only while the operator is alive, a schedule of it is valid, nobody has overridden
it and no heat is missing. So a crash, silence, a stale plan and a withdrawn offer all say "start the boiler".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.core.publishing.message import number
from scheduler.core.publishing.shown import REASONS, state_of
from scheduler.domain.link_options import LinkTimes
from scheduler.domain.plantlink import AlarmLevel, Heartbeat, LinkMode, PlantSeen, ScheduleState

COUNTERS = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """What the heartbeat of one offtake is made of.

    operator_utc: when the operator in charge was last heard, None: never. critical, warning: what is wrong with us, empty when
    nothing is. bypass: our side delivers nothing to this customer. ending: this is the last that the link says.
    """

    offtake_id: str
    operator_utc: datetime | None
    schedule: Mapping[str, object] | None
    seen: PlantSeen
    critical: str = ""
    warning: str = ""
    bypass: bool = False
    ending: bool = False


def next_counter(counter: int) -> int:
    """The counter of the next heartbeat."""
    return (counter + 1) % COUNTERS


def heartbeat_of(state: LinkState, counter: int, now_utc: datetime, times: LinkTimes) -> Heartbeat:
    """What is said at `now_utc`."""
    operator_silent = _operator_silent(state, now_utc, times)
    worth = state_of(state.schedule, now_utc, silent=operator_silent, ending=state.ending)
    why = _unknown(worth, state.seen)
    planned_kw = None if state.schedule is None else number(state.schedule.get("boilerRequestKw"))
    silent = _plant_silent(state.seen, now_utc, times)
    mode = LinkMode.FALLBACK if why or silent else LinkMode.AUTO
    if state.seen.override is not None:
        mode = LinkMode.MANUAL
    level, text = _alarm(state, why, silent)
    sequence = None if state.schedule is None else state.schedule.get("sequence")
    return Heartbeat(
        offtake_id=state.offtake_id,
        counter=counter,
        at_utc=now_utc,
        last_sequence=sequence if isinstance(sequence, int) else None,
        mode=mode,
        bypass=state.bypass,
        boiler_on=bool(why) or state.bypass or planned_kw is None or planned_kw > 0.0,
        boiler_kw=None if why or state.bypass else planned_kw,
        alarm=level,
        alarm_text=text,
        operator_silent=operator_silent,
        state=worth,
    )


def _unknown(worth: ScheduleState, seen: PlantSeen) -> str:
    """Why nobody can count on our heat; empty when he can."""
    if worth is not ScheduleState.IN_FORCE:
        return REASONS[worth]
    return "" if seen.override is None else "a person at the plant has taken over"


def _operator_silent(state: LinkState, now_utc: datetime, times: LinkTimes) -> bool:
    """Whether the operator in charge was not heard for too long, or never."""
    return state.operator_utc is None or now_utc - state.operator_utc > timedelta(seconds=times.alive_s)


def _plant_silent(seen: PlantSeen, now_utc: datetime, times: LinkTimes) -> bool:
    """Whether a plant that has a heartbeat lets none be heard."""
    if not times.plant_silent_s or seen.moved_utc is None:
        return False
    return now_utc - seen.moved_utc > timedelta(seconds=times.plant_silent_s)


def _alarm(state: LinkState, why: str, silent: bool) -> tuple[AlarmLevel, str]:
    """The worst of what is wrong, and its text."""
    if state.critical or why:
        return AlarmLevel.CRITICAL, state.critical or why
    if state.warning or silent:
        return AlarmLevel.WARNING, state.warning or "the plant's heartbeat stands still"
    return AlarmLevel.NONE, ""
