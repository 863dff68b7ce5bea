"""What is pushed: a schedule, or a heartbeat; JSON of `type`, `timestamp` and `data`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.core.publishing.heartbeat_payload import heartbeat_payload
from scheduler.core.publishing.message import parsed, stamp
from scheduler.core.publishing.shown import Shown
from scheduler.domain.plantlink import Heartbeat

HEARTBEAT_EXPIRES_S = 60.0
WITHDRAWN_EXPIRES_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One message: it keeps its id, however often it is tried.

    What is said again later has another one, or a receiver that drops repeats would keep the "there is none" between them.

    expires_utc: from then on it says nothing any more, and is not sent.
    """

    message_id: str
    body: bytes
    expires_utc: datetime


def schedule_news(shown: Shown, now_utc: datetime) -> News:
    """The schedule that is shown; `data` null: there is none any more."""
    until_utc = None if shown.schedule is None else parsed(shown.schedule.get("validUntil"))
    expires_utc = until_utc or now_utc + timedelta(seconds=WITHDRAWN_EXPIRES_S)
    return _news("schedule", shown.heartbeat.offtake_id, shown.schedule_json or b"null", now_utc, expires_utc)


def heartbeat_news(heartbeat: Heartbeat, now_utc: datetime) -> News:
    """The heartbeat, with the boiler signal."""
    data = json.dumps(heartbeat_payload(heartbeat), separators=(",", ":")).encode()
    return _news("heartbeat", heartbeat.offtake_id, data, now_utc, now_utc + timedelta(seconds=HEARTBEAT_EXPIRES_S))


def _news(kind: str, offtake_id: str, data: bytes, now_utc: datetime, expires_utc: datetime) -> News:
    digest = hashlib.sha256(now_utc.isoformat().encode() + data).hexdigest()[:32]
    head = json.dumps({"type": kind, "offtakeId": offtake_id, "timestamp": stamp(now_utc)}, separators=(",", ":")).encode()
    return News(
        message_id=f"{kind}-{hashlib.sha256(offtake_id.encode()).hexdigest()[:8]}-{digest}",
        body=head[:-1] + b',"data":' + data + b"}",
        expires_utc=expires_utc,
    )
