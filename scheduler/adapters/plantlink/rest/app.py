"""The routes: what a plant may read of its own heat, and where it hands in letters."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import scheduler
from scheduler.adapters.plantlink.keeping import PATIENT_S, kept
from scheduler.adapters.plantlink.rest.gate import STANDBY_S, standby
from scheduler.adapters.plantlink.rest.models import (
    LETTERS,
    SCHEDULE,
    HeartbeatAnswer,
    OfftakesAnswer,
    PlantAnswer,
    ProblemAnswer,
    ReceiptAnswer,
)
from scheduler.adapters.plantlink.rest.problem import Problem, letter_problem
from scheduler.core.publishing.document import document
from scheduler.core.publishing.heartbeat_payload import heartbeat_payload
from scheduler.core.publishing.letters import NotALetter, body_of
from scheduler.core.publishing.message import stamp
from scheduler.core.publishing.payloads import payload_of
from scheduler.core.publishing.schema import heat_schedule_schema
from scheduler.core.publishing.shown import Shown, shown_of
from scheduler.domain.plantlink import Board, Letter, LinkProtocol, PlantSeen, Receipt, Sender
from scheduler.ports import Clock, PlantDesk

MAX_WAIT_S = 30
# So often somebody who waits is looked after: that a schedule has run out is no news of the desk's.
LOOK_S = 1.0
TOLD = {
    401: "no plant is known by this token or certificate",
    404: "no such offtake of yours",
    413: "too long",
    415: "no JSON",
    422: "malformed, or not believed",
    429: "too often; Retry-After says for how long to wait",
    503: "another replica is in charge, or the letter could not be kept: ask again after Retry-After",
}
OfftakeId = Annotated[str, Path(alias="offtakeId", description="name of the contract, as in /v1/offtakes", max_length=253)]
WaitS = Annotated[int, Query(ge=0, le=MAX_WAIT_S, description="with If-None-Match: s to wait for another schedule")]
ABOUT = """What a heat plant may read and say. All heat in kW, all times in UTC. A value that is not known is null, never 0."""


class PlantRoutes:
    """Answers from a desk's boards."""

    def __init__(self, desk: PlantDesk, clock: Clock, max_body_bytes: int) -> None:
        """Letters are read up to `max_body_bytes`."""
        self._desk, self._clock, self._max_body_bytes = desk, clock, max_body_bytes

    async def offtakes(self, request: Request) -> Response:
        """Your contracts."""
        names = request.state.credential.offtakes
        boards = [board for name, board in sorted(self._boards().items()) if name in names]
        return JSONResponse({"offtakes": [_listed(board, self._shown(board)) for board in boards]})

    async def schedule(self, request: Request, offtake_id: OfftakeId, wait: WaitS = 0) -> Response:
        """The newest schedule; 204: there is none that somebody stands behind; 304: still the one whose ETag you have."""
        known = _etags(request)
        shown = self._shown(self._board(request, offtake_id))
        until_s = _now_s() + wait
        version = await self._desk.changed(-1, 1.0) if wait else 0
        while True:
            shown = self._shown(self._board(request, offtake_id))
            left_s = until_s - _now_s()
            if left_s <= 0.0 or not _has(known, shown):
                return _schedule_answer(shown, known)
            version = await self._desk.changed(version, min(left_s, LOOK_S))

    async def heartbeat(self, request: Request, offtake_id: OfftakeId) -> Response:
        """Our sign of life, and whether the boiler must start."""
        return JSONResponse(heartbeat_payload(self._shown(self._board(request, offtake_id)).heartbeat))

    async def plant(self, request: Request, offtake_id: OfftakeId) -> Response:
        """What we have heard of you."""
        return JSONResponse(_plant(self._board(request, offtake_id).seen))

    def letter(self, kind: str) -> Callable[..., Awaitable[Response]]:
        """The route of one kind of letter."""

        async def hand_in(request: Request, offtake_id: OfftakeId) -> Response:
            """Hand in a letter. The same one again gets the same answer."""
            self._board(request, offtake_id)
            try:
                body = body_of(kind, document(await self._body(request), self._max_body_bytes))
            except NotALetter as error:
                raise letter_problem(str(error)) from None
            sender = Sender(name=request.state.credential.name, protocol=LinkProtocol.REST, authenticated=True)
            letter = Letter(offtake_id=offtake_id, sender=sender, received_utc=self._clock.now_utc(), body=body)
            receipt = await self._kept(letter)
            if not receipt.accepted:
                # The desk has judged it, and knows: it is no matter of the audit of what never became a letter.
                problem = letter_problem(receipt.reason, kind="not-believed")
                return JSONResponse(problem.payload(), problem.status, media_type="application/problem+json")
            return JSONResponse({"accepted": True, "reason": receipt.reason})

        return hand_in

    async def _kept(self, letter: Letter) -> Receipt:
        receipt = await kept(self._desk, letter, PATIENT_S)
        if not receipt.again:
            return receipt
        raise Problem(
            503, "not-kept", "the letter could not be written down; send it again",
            headers={"Retry-After": str(STANDBY_S)}, more={"accepted": False},
        )  # fmt: skip

    async def _body(self, request: Request) -> bytes:
        """A whole body, as long as it is short.

        Raises:
            Problem: it is not, or is no JSON by its own account.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or request.headers.get("content-encoding", "identity") != "identity":
            raise Problem(415, "not-json", "a letter is plain JSON", "Content-Type", "application/json")
        told, found = request.headers.get("content-length", "0"), bytearray()
        if not told.isdecimal() or int(told[:12]) > self._max_body_bytes:
            raise self._too_long()
        async for part in request.stream():
            found += part
            if len(found) > self._max_body_bytes:
                raise self._too_long()
        return bytes(found)

    def _too_long(self) -> Problem:
        return Problem(
            413, "too-large", f"longer than {self._max_body_bytes} bytes", expected=f"at most {self._max_body_bytes} bytes",
            headers={"Connection": "close"},
        )  # fmt: skip

    def _boards(self) -> Mapping[str, Board]:
        boards = self._desk.boards()
        if not boards:
            raise standby()
        return boards

    def _shown(self, board: Board) -> Shown:
        return shown_of(board, self._clock.now_utc())

    def _board(self, request: Request, offtake_id: str) -> Board:
        """The board of an offtake; whether others exist is nobody's business."""
        board = self._boards().get(offtake_id)
        if board is None or offtake_id not in request.state.credential.offtakes:
            raise Problem(404, "unknown", "no such offtake of yours", "offtakeId", "one that /v1/offtakes names")
        return board


def app_of(routes: PlantRoutes) -> FastAPI:
    """An application with these routes; no page of it loads anything from elsewhere, since it has no pages."""
    app = FastAPI(
        title="heat-dispatch plant link", version=scheduler.__version__, description=ABOUT,
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False,
        dependencies=[Depends(HTTPBearer(auto_error=False, description="the plant's token"))],
    )  # fmt: skip
    one = "/v1/offtakes/{offtakeId}"
    _read(app, "/v1/offtakes", routes.offtakes, {200: {"model": OfftakesAnswer}})
    told: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "the newest schedule",
            "content": {"application/json": {"schema": _of("HeatSchedule"), "example": SCHEDULE}},
        },
        204: {"description": "no schedule that somebody stands behind; the heartbeat's scheduleState says why"},
        304: {"description": "not changed"},
    }
    _read(app, f"{one}/schedule", routes.schedule, told)
    _read(app, f"{one}/heartbeat", routes.heartbeat, {200: {"model": HeartbeatAnswer}})
    _read(app, f"{one}/plant", routes.plant, {200: {"model": PlantAnswer}})
    for kind in LETTERS:
        _write(app, f"{one}/letters/{kind}", routes.letter(kind), kind)
    app.add_exception_handler(Problem, _as_problem)
    app.add_exception_handler(HTTPException, _as_problem)
    app.add_exception_handler(RequestValidationError, _as_problem)
    app.add_exception_handler(Exception, _as_problem)
    page = JSONResponse(described(app)).body

    async def openapi(_: Request) -> Response:
        return Response(page, media_type="application/json")

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    return app


def _read(app: FastAPI, path: str, route: Callable[..., Awaitable[Response]], told: dict[int | str, dict[str, Any]]) -> None:
    answers = {**told, **_problems(401, 404, 422, 429, 503)}
    app.add_api_route(path, route, methods=["GET"], response_class=JSONResponse, responses=answers)


def _write(app: FastAPI, path: str, route: Callable[..., Awaitable[Response]], kind: str) -> None:
    model, example = LETTERS[kind]
    content = {"application/json": {"schema": model.model_json_schema(by_alias=True), "example": example}}
    answers: dict[int | str, dict[str, Any]] = {200: {"model": ReceiptAnswer}, **_problems(401, 404, 413, 415, 422, 429, 503)}
    app.add_api_route(
        path, route, methods=["POST"], response_class=JSONResponse, responses=answers, name=f"letter_{kind}",
        summary=(model.__doc__ or "").strip(),
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )  # fmt: skip


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/problem+json": {"schema": _of("ProblemAnswer")}}
    return {code: {"description": TOLD[code], "content": content} for code in codes}


def _of(name: str) -> dict[str, str]:
    """Where a schema stands in the description."""
    return {"$ref": f"#/components/schemas/{name}"}


def described(app: FastAPI) -> dict[str, Any]:
    """OpenAPI, with the schemas that no route of FastAPI brings along."""
    page = app.openapi()
    schedule = {key: value for key, value in heat_schedule_schema().items() if not key.startswith("$")}
    page["components"]["schemas"] |= {"ProblemAnswer": ProblemAnswer.model_json_schema(), "HeatSchedule": schedule}
    return page


async def _as_problem(request: Request, error: Exception) -> Response:
    """Whatever goes wrong on the way, in one form."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = str(first["loc"][-1])
        return Problem(422, "malformed", f"{where}: {first['msg']}", where, str(first["msg"])).response(request.scope)
    if isinstance(error, HTTPException):
        kind, detail = ("method", "not done here") if error.status_code == 405 else ("unknown", "no such path")
        found = Problem(error.status_code, kind, detail, expected="see /openapi.json", headers=error.headers or {})
        return found.response(request.scope)
    problem = error if isinstance(error, Problem) else Problem(500, "fault", "a fault of ours; it was noted")
    return problem.response(request.scope)


def etag_of(shown: Shown) -> str:
    """The schedule's digest, quoted as HTTP wants it."""
    return f'"{hashlib.sha256(shown.schedule_json).hexdigest()[:32]}"'


def _etags(request: Request) -> frozenset[str]:
    """Those that the client has; a weak one is as good here."""
    said = ",".join(request.headers.getlist("if-none-match"))[:4096]
    return frozenset(one.strip().removeprefix("W/") for one in said.split(",") if one.strip())


def _has(known: frozenset[str], shown: Shown) -> bool:
    """Whether the client has this schedule; who has none waits for the first, and who has one hears that there is none."""
    if shown.schedule is None:
        return not known
    return "*" in known or etag_of(shown) in known


def _schedule_answer(shown: Shown, known: frozenset[str]) -> Response:
    if shown.schedule is None:
        return Response(status_code=204)
    headers = {"ETag": etag_of(shown)}
    if _has(known, shown):
        return Response(status_code=304, headers=headers)
    return Response(shown.schedule_json, media_type="application/json", headers=headers)


def _listed(board: Board, shown: Shown) -> dict[str, object]:
    schedule = shown.schedule or {}
    return {
        "offtakeId": board.offtake_id, "siteId": board.site_id, "plugId": board.plug_id, "version": board.version,
        "sequence": schedule.get("sequence"), "validUntil": schedule.get("validUntil"),
    }  # fmt: skip


def _plant(seen: PlantSeen) -> dict[str, object]:
    """What was heard, each part as the plant itself would say it."""
    parts = {"acknowledgement": seen.acknowledged, "request": seen.requested, "network": seen.network, "tank": seen.tank}
    said: dict[str, object] = {name: None if body is None else payload_of(body) for name, body in parts.items()}
    since = None if seen.override_since_utc is None else stamp(seen.override_since_utc)
    return said | {
        "heardAt": None if seen.heard_utc is None else stamp(seen.heard_utc),
        "counter": seen.counter,
        "counterMovedAt": None if seen.moved_utc is None else stamp(seen.moved_utc),
        "override": None if seen.override is None else {**payload_of(seen.override), "since": since},
    }


def _now_s() -> float:
    return asyncio.get_running_loop().time()
