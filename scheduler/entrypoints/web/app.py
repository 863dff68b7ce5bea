"""The routes of the live page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from scheduler.domain.errors import HeatDispatchError, Misconfigured
from scheduler.entrypoints.web.desk import Drawn, LiveDesk
from scheduler.views.live_ledger import ledger_csv, ledger_json

ASSETS = {"live.css": "text/css", "live.js": "text/javascript", "live.svg": "image/svg+xml"}
# Names of Kubernetes objects.
Policy = Annotated[str | None, Query(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Month = Annotated[str | None, Query(pattern=r"^[1-9][0-9]{3}-(0[1-9]|1[0-2])$")]
GET = ["GET", "HEAD"]
RETRY = {"Retry-After": "5"}


def app_of(desk: LiveDesk) -> FastAPI:
    """The application; nothing of it describes itself, since it is for people."""
    app = FastAPI(title="heat-dispatch live page", docs_url=None, redoc_url=None, openapi_url=None)
    # A month of the ledger is some megabytes of text: one at a time.
    one_at_a_time = asyncio.Semaphore(1)

    def shown(request: Request, policy: str | None, *, whole: bool) -> Response:
        drawn = desk.drawn(policy, whole=whole)
        return PlainTextResponse("there is no such policy\n", 404) if drawn is None else _html(request, drawn)

    async def page(request: Request, policy: Policy = None) -> Response:
        return shown(request, policy, whole=True)

    async def part(request: Request, policy: Policy = None) -> Response:
        return shown(request, policy, whole=False)

    async def ledger(request: Request, policy: Policy = None, month: Month = None) -> Response:
        try:
            async with one_at_a_time:
                found = await asyncio.to_thread(desk.ledger, policy, month)
                if found is None:
                    return PlainTextResponse("there is no such policy\n", 404)
                as_csv = request.url.path.endswith(".csv")
                text = await asyncio.to_thread(ledger_csv, found[1]) if as_csv else ledger_json(*found)
        except Misconfigured as error:
            return PlainTextResponse(f"{error}\n", 400)
        except HeatDispatchError:
            return PlainTextResponse("the ledger cannot be read now\n", 503, headers=RETRY)
        kind = "csv" if as_csv else "json"
        headers = {"Content-Disposition": f'attachment; filename="ledger-{found[0]}.{kind}"', "Cache-Control": "no-store"}
        return Response(text, media_type="text/csv" if as_csv else "application/json", headers=headers)

    app.add_api_route("/", page, methods=GET)
    app.add_api_route("/fragment", part, methods=GET)
    app.add_api_route("/ledger.csv", ledger, methods=GET)
    app.add_api_route("/ledger.json", ledger, methods=GET)
    for name, kind in ASSETS.items():
        app.add_api_route(f"/{name}", _asset(name, kind), methods=GET)
    app.add_exception_handler(RequestValidationError, _misasked)
    return app


def _html(request: Request, drawn: Drawn) -> Response:
    """A drawing, or 304 to who has it."""
    headers = {"ETag": drawn.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if drawn.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(drawn.packed, media_type="text/html", headers={**headers, "Content-Encoding": "gzip"})
    return Response(drawn.body, media_type="text/html", headers=headers)


def _asset(name: str, kind: str) -> Callable[[], Awaitable[Response]]:
    """The route of a file that comes with the package."""
    body = files("scheduler.views").joinpath("assets", name).read_bytes()

    async def answer() -> Response:
        return Response(body, media_type=kind, headers={"Cache-Control": "no-cache"})

    return answer


async def _misasked(_request: Request, error: Exception) -> Response:
    """What was asked for cannot be: which field, and nothing of its content."""
    assert isinstance(error, RequestValidationError)
    fields = sorted({str(one["loc"][-1]) for one in error.errors()})
    return PlainTextResponse(f"not understood: {', '.join(fields)}\n", 400)
