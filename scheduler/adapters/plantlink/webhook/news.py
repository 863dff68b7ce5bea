"""What is pushed: a schedule, or a heartbeat; JSON of `type`, `timestamp` and `data`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.core.publishing.heartbeat_payload import heartbeat_payload
from scheduler.core.publishing.message import parsed, stamp
from scheduler.domain.plantlink import Board

HEARTBEAT_EXPIRES_S = 60.0
WITHDRAWN_EXPIRES_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One message: the same content has the same id, however often it is tried.

    expires_utc: from then on it says nothing any more, and is not sent.
    """

    message_id: str
    body: bytes
    expires_utc: datetime


def schedule_news(board: Board, now_utc: datetime) -> News:
    """The board's schedule; `data` null: there is none any more."""
    until_utc = None if board.schedule is None else parsed(board.schedule.get("validUntil"))
    expires_utc = until_utc or now_utc + timedelta(seconds=WITHDRAWN_EXPIRES_S)
    return _news("schedule", board.offtake_id, board.schedule_json or b"null", now_utc, expires_utc)


def heartbeat_news(board: Board, now_utc: datetime) -> News:
    """The board's heartbeat, with the boiler signal."""
    data = json.dumps(heartbeat_payload(board.heartbeat), separators=(",", ":")).encode()
    return _news("heartbeat", board.offtake_id, data, now_utc, now_utc + timedelta(seconds=HEARTBEAT_EXPIRES_S))


def _news(kind: str, offtake_id: str, data: bytes, now_utc: datetime, expires_utc: datetime) -> News:
    digest = hashlib.sha256(data).hexdigest()[:32]
    head = json.dumps({"type": kind, "offtakeId": offtake_id, "timestamp": stamp(now_utc)}, separators=(",", ":")).encode()
    return News(
        message_id=f"{kind}-{hashlib.sha256(offtake_id.encode()).hexdigest()[:8]}-{digest}",
        body=head[:-1] + b',"data":' + data + b"}",
        expires_utc=expires_utc,
    )
