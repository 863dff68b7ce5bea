"""What every request passes before it is looked at: who asks, how often, and whether it is for us to answer at all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.adapters.logs import Episode
from scheduler.adapters.plantlink.rest.allowance import Allowances, neighbourhood
from scheduler.adapters.plantlink.rest.connection import GUEST
from scheduler.adapters.plantlink.rest.credentials import CredentialBook
from scheduler.adapters.plantlink.rest.guests import Guest, Guests
from scheduler.adapters.plantlink.rest.problem import WHY, Problem
from scheduler.domain.link_options import Credential
from scheduler.ports import PlantDesk

CREDENTIAL = "credential"
"""Key of a request's state: whose it is."""
OPEN = frozenset({"/openapi.json"})
STANDBY_S = 5
MAX_SAID = 120
# Nothing of what we say is for anybody's cache, and none of it is a page.
ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


@dataclass(slots=True, kw_only=True)
class Gate:
    """ASGI around the routes. refused: told who was turned away, and why. faults: of ours.

    longest_s: after which a connection ends, so that nobody stays on an old certificate.
    """

    app: ASGIApp
    book: CredentialBook
    desk: PlantDesk
    allowed: Allowances
    guests: Guests
    refused: Callable[[str, str], None]
    faults: Episode
    longest_s: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        guest: Guest = scope["state"][GUEST]
        answer = _Answer(send, close=_now_s() - guest.since_s > self.longest_s)
        try:
            self._judge(scope, guest)
            await self.app(scope, receive, answer)
            self.faults.worked()
        except Problem as problem:
            await problem.response(scope)(scope, receive, answer)
        except ClientDisconnect:
            guest.transport.abort()
        except Exception as error:
            self.faults.failed(type(error).__name__, at=_place(error.__traceback__))
            await self._broken(scope, receive, answer, guest)
        self._audit(scope, guest)

    def _judge(self, scope: Scope, guest: Guest) -> None:
        """Note whose request it is.

        Raises:
            Problem: it is nobody's, comes too soon, has two lengths, or another replica has to answer it.
        """
        if {b"content-length", b"transfer-encoding"} <= {key for key, _ in scope["headers"]}:
            # Whoever stands between may see another end of it than we do.
            raise Problem(400, "malformed", "a request has one length", headers={"Connection": "close"})
        credential = self._credential(scope, guest)
        known = credential is not None
        if credential is None and scope["path"] not in OPEN:
            self._spend(neighbourhood(guest.address), close=True)
            raise Problem(
                401, "credential", "no plant is known by this", field="Authorization",
                expected="Bearer and the plant's token, over a connection with its certificate where one is asked for",
                headers={"WWW-Authenticate": 'Bearer realm="heat-dispatch"', "Connection": "close"},
            )  # fmt: skip
        self._spend(f"credential {credential.name}" if credential else neighbourhood(guest.address), close=not known)
        scope["state"][CREDENTIAL] = credential
        if credential is not None:
            self.guests.known(guest, credential.name)
            if not self.desk.boards():
                raise standby()

    def _credential(self, scope: Scope, guest: Guest) -> Credential | None:
        said = [value for key, value in scope["headers"] if key == b"authorization"]
        if len(said) > 1:
            return None
        return self.book.who(said[0].decode("latin-1") if said else None, guest.names)

    def _spend(self, name: str, *, close: bool) -> None:
        wait_s = self.allowed.wait_s(name, _now_s())
        if wait_s > 0.0:
            headers = {"Retry-After": str(math.ceil(wait_s))} | ({"Connection": "close"} if close else {})
            raise Problem(429, "too-often", f"too many requests: wait {wait_s:.1f} s", headers=headers)

    def _audit(self, scope: Scope, guest: Guest) -> None:
        """Say who was turned away."""
        why, credential = scope["state"].get(WHY), scope["state"].get(CREDENTIAL)
        if why:
            # Escaped: what somebody has sent may be made to look well in a terminal.
            asked, what = (ascii(text[:MAX_SAID])[1:-1] for text in (f"{scope['method']} {scope['path']}", why))
            self.refused(credential.name if credential else guest.address, f"{asked[:MAX_SAID]}: {what[:MAX_SAID]}")

    async def _broken(self, scope: Scope, receive: Receive, answer: _Answer, guest: Guest) -> None:
        """Say that we failed, unless that was said, or half an answer has gone already."""
        if answer.begun:
            if not answer.done:
                guest.transport.abort()
            return
        problem = Problem(500, "fault", "a fault of ours; it was noted", headers={"Connection": "close"})
        await problem.response(scope)(scope, receive, answer)
        scope["state"].pop(WHY)


class _Answer:
    """Where an answer goes; knows whether it has begun, and whether it is whole."""

    def __init__(self, send: Send, *, close: bool) -> None:
        self._send, self._close, self.begun, self.done = send, close, False, False

    async def __call__(self, message: Message) -> None:
        """Pass it on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.begun = True
            headers = [*message.get("headers", ()), *ALWAYS]
            if self._close:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.done = not message.get("more_body", False)
        await self._send(message)


def standby() -> Problem:
    """Another replica is in charge, so nothing is said here: an old value would be worse than none."""
    return Problem(
        503, "standby", "this replica is not in charge; ask again, or ask the other one",
        headers={"Retry-After": str(STANDBY_S)},
    )  # fmt: skip


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _place(trace: TracebackType | None) -> str:
    """File and line where an error was raised."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
