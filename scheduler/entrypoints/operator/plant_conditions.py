"""How a heat plant stands, as conditions of its HeatOfftake."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from scheduler.adapters.kubernetes.objects import Obj
from scheduler.adapters.kubernetes.runtime.conditions import Condition, Truth
from scheduler.adapters.plantlink.store.life import Heard
from scheduler.adapters.plantlink.store.messages import KeptMessage
from scheduler.domain.plantlink import Acknowledgement, AckVerdict, Letter, ManualOverride
from scheduler.domain.time import utc

HEARD, ACKNOWLEDGED, OVERRIDDEN = "PlantHeard", "Acknowledged", "Overridden"
SILENT = timedelta(minutes=5)
# To the microsecond, as it is kept: who ends this override ends none that was pressed in the same second.
INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"
SINCE = re.compile(r"since (\S+Z) ")


def conditions_of(
    letters: Sequence[Letter], heard: Heard | None, newest: KeptMessage | None, now_utc: datetime
) -> tuple[Condition, ...]:
    """All three; letters: those that say how things stand, in order."""
    return (_heard(heard, now_utc), _acknowledged(letters, newest), _overridden(letters))


def _heard(heard: Heard | None, now_utc: datetime) -> Condition:
    if heard is None:
        return Condition(type=HEARD, status=Truth.FALSE, reason="Never", message="no plant has ever spoken for this contract")
    if now_utc - heard.heard_utc > SILENT:
        since = f"{heard.heard_utc:%Y-%m-%dT%H:%M:%SZ}"
        return Condition(type=HEARD, status=Truth.FALSE, reason="Silent", message=f"nothing was heard since {since}")
    return Condition(type=HEARD, status=Truth.TRUE, reason="Heard", message="")


def _acknowledged(letters: Sequence[Letter], newest: KeptMessage | None) -> Condition:
    if newest is None:
        return Condition(type=ACKNOWLEDGED, status=Truth.FALSE, reason="NothingSent", message="no schedule was sent yet")
    answers = [one.body for one in letters if isinstance(one.body, Acknowledgement)]
    answer = next((one for one in reversed(answers) if one.sequence == newest.sequence), None)
    if answer is None:
        # Without the sequence, which would make every plan a change of status.
        return Condition(type=ACKNOWLEDGED, status=Truth.FALSE, reason="NoAnswer", message="the newest schedule has no answer")
    if answer.verdict is AckVerdict.ACCEPTED:
        return Condition(type=ACKNOWLEDGED, status=Truth.TRUE, reason="Accepted", message="")
    reason = "Partial" if answer.verdict is AckVerdict.PARTIAL else "Rejected"
    return Condition(type=ACKNOWLEDGED, status=Truth.FALSE, reason=reason, message=answer.reason)


def _overridden(letters: Sequence[Letter]) -> Condition:
    newest = next((one for one in reversed(letters) if isinstance(one.body, ManualOverride)), None)
    if newest is None or not isinstance(newest.body, ManualOverride):
        return Condition(type=OVERRIDDEN, status=Truth.FALSE, reason="Automatic", message="")
    why = f": {newest.body.reason}" if newest.body.reason else ""
    since = f"{newest.received_utc:{INSTANT}}"
    said = f"since {since} {newest.sender.name} takes at most {newest.body.limit_kw:g} kW{why}"
    return Condition(type=OVERRIDDEN, status=Truth.TRUE, reason="Manual", message=said)


def override_told_utc(offtake: Obj) -> datetime | None:
    """When the override began that the status of a HeatOfftake tells of; None: it tells of none."""
    conditions = (offtake.get("status") or {}).get("conditions") or []
    told = next((one for one in conditions if isinstance(one, Mapping) and one.get("type") == OVERRIDDEN), {})
    found = SINCE.match(str(told.get("message", ""))) if told.get("status") == Truth.TRUE else None
    try:
        return None if found is None else utc(found[1])
    except ValueError:
        return None
