"""A heartbeat as the JSON that REST, MQTT and webhooks carry, and back."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.core.publishing.heartbeat import COUNTERS
from scheduler.core.publishing.message import number, parsed, rounded, stamp
from scheduler.domain.plantlink import AlarmLevel, Heartbeat, LinkMode, ScheduleState


def heartbeat_payload(heartbeat: Heartbeat) -> dict[str, object]:
    """JSON of a heartbeat; instants in whole seconds, heat in kW."""
    return {
        "offtakeId": heartbeat.offtake_id,
        "counter": heartbeat.counter,
        "at": stamp(heartbeat.at_utc),
        "lastSequence": heartbeat.last_sequence,
        "mode": heartbeat.mode.value,
        "bypass": heartbeat.bypass,
        "boilerOn": heartbeat.boiler_on,
        "boilerKw": None if heartbeat.boiler_kw is None else rounded(heartbeat.boiler_kw),
        "alarm": heartbeat.alarm.name.lower(),
        "alarmText": heartbeat.alarm_text,
        "operatorSilent": heartbeat.operator_silent,
        "scheduleState": heartbeat.state.value,
    }


def heartbeat_from(payload: object) -> Heartbeat | None:
    """A heartbeat of such JSON, for the plant's side; None unless it is one. A boiler signal that is not false is true."""
    if not isinstance(payload, Mapping):
        return None
    counter, at_utc, sequence = payload.get("counter"), parsed(payload.get("at")), payload.get("lastSequence")
    if isinstance(counter, bool) or not isinstance(counter, int) or not 0 <= counter < COUNTERS or at_utc is None:
        return None
    alarms = {level.name.lower(): level for level in AlarmLevel}
    states = {state.value: state for state in ScheduleState}
    mode, alarm = payload.get("mode"), alarms.get(str(payload.get("alarm")))
    if mode not in set(LinkMode) or alarm is None or not isinstance(payload.get("offtakeId"), str):
        return None
    return Heartbeat(
        offtake_id=str(payload["offtakeId"]),
        counter=counter,
        at_utc=at_utc,
        last_sequence=sequence if isinstance(sequence, int) and not isinstance(sequence, bool) else None,
        mode=LinkMode(str(mode)),
        bypass=payload.get("bypass") is not False,
        boiler_on=payload.get("boilerOn") is not False,
        boiler_kw=number(payload.get("boilerKw")),
        alarm=alarm,
        alarm_text=str(payload.get("alarmText") or ""),
        operator_silent=payload.get("operatorSilent", False) is not False,
        state=states.get(str(payload.get("scheduleState")), ScheduleState.NONE),
    )
