"""What a plant is shown: decided once, so that every interface shows the same.

| the newest schedule | state | schedule | heartbeat |
|---|---|---|---|
| none yet | none | none | boiler on, fallback |
| in force | inForce | as it was sent | as it says |
| in force, nobody has promised it | advice | as it was sent | boiler on, fallback |
| takes everything back | cancelled | as it was sent, every kW zero | boiler on, fallback |
| past its `validUntil` | runOut | none | boiler on, fallback |
| true perhaps, the operator was not heard | operatorSilent | none | boiler on, fallback |
| true perhaps, the link says its last | ending | none | boiler on, fallback |
| true perhaps, our heartbeat stands still | stopped | none | boiler on, fallback |

What nobody stands behind is not shown: a program that reads kW and nothing else must not find any. The sequence of the
newest schedule is told in the heartbeat in every state. A person who has taken over changes the mode to manual and switches the
boiler signal on; the schedule goes on being shown, since the next one says what he takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from scheduler.core.publishing.message import Kind, parsed
from scheduler.domain.plantlink import AlarmLevel, Board, Heartbeat, LinkMode, ScheduleState

# Four beats. A heartbeat that is older says nothing any more, should the desk stand still while interfaces serve.
STALE_S = 40.0
SHOWN = frozenset({ScheduleState.IN_FORCE, ScheduleState.ADVICE, ScheduleState.CANCELLED})
REASONS: Mapping[ScheduleState, str] = {
    ScheduleState.NONE: "there is no schedule yet",
    ScheduleState.IN_FORCE: "",
    ScheduleState.ADVICE: "the schedule is advice: nobody has promised this heat",
    ScheduleState.CANCELLED: "the schedule was withdrawn",
    ScheduleState.RUN_OUT: "the schedule has run out",
    ScheduleState.OPERATOR_SILENT: "the operator is silent",
    ScheduleState.ENDING: "the plant link is ending",
    ScheduleState.STOPPED: "our heartbeat stands still",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """What one customer is shown at one moment; schedule: None, and no bytes, where nobody stands behind it."""

    state: ScheduleState
    heartbeat: Heartbeat
    schedule: Mapping[str, object] | None
    schedule_json: bytes

    @property
    def fresh(self) -> bool:
        """Whether the heartbeat still says something."""
        return self.state is not ScheduleState.STOPPED


def state_of(
    schedule: Mapping[str, object] | None, now_utc: datetime, *, silent: bool = False, ending: bool = False
) -> ScheduleState:
    """What the newest schedule is worth; silent: the operator was not heard, ending: this link says its last."""
    if ending:
        return ScheduleState.ENDING
    if silent:
        return ScheduleState.OPERATOR_SILENT
    if schedule is None:
        return ScheduleState.NONE
    until_utc = parsed(schedule.get("validUntil"))
    if until_utc is None or now_utc >= until_utc:
        return ScheduleState.RUN_OUT
    if schedule.get("kind") in {Kind.CANCEL, Kind.FALLBACK}:
        return ScheduleState.CANCELLED
    return ScheduleState.ADVICE if schedule.get("mode") == "advisory" else ScheduleState.IN_FORCE


def shown_of(board: Board, now_utc: datetime) -> Shown:
    """What a board shows at `now_utc`, which may be later than its heartbeat: that is worth less then, and never more."""
    beat = board.heartbeat
    if abs(now_utc - beat.at_utc) > timedelta(seconds=STALE_S):
        state = ScheduleState.STOPPED
    else:
        ending = beat.state is ScheduleState.ENDING
        state = state_of(board.schedule, now_utc, silent=beat.operator_silent, ending=ending)
    shows = state in SHOWN
    return Shown(
        state=state,
        heartbeat=_told(beat, state),
        schedule=board.schedule if shows else None,
        schedule_json=board.schedule_json if shows else b"",
    )


def _told(beat: Heartbeat, state: ScheduleState) -> Heartbeat:
    """The heartbeat as it was said, unless what it says has come to an end meanwhile."""
    if state is ScheduleState.IN_FORCE or state is beat.state:
        return replace(beat, state=state)
    return replace(
        beat,
        state=state,
        mode=LinkMode.MANUAL if beat.mode is LinkMode.MANUAL else LinkMode.FALLBACK,
        boiler_on=True,
        boiler_kw=None,
        alarm=AlarmLevel.CRITICAL,
        alarm_text=REASONS[state],
    )
