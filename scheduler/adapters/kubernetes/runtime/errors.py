"""What an API server's refusals mean to us: one class per reaction; nothing of the client library leaks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.domain.errors import HeatDispatchError, Permanent, Retryable

HTTP_BAD_REQUEST = 400
HTTP_UNAUTHORIZED = 401
HTTP_FORBIDDEN = 403
HTTP_NOT_FOUND = 404
HTTP_CONFLICT = 409
HTTP_GONE = 410
HTTP_UNPROCESSABLE = 422
HTTP_TOO_MANY_REQUESTS = 429
HTTP_SERVER_ERROR = 500
# The cause that a 403 carries when nothing new is taken into a namespace that is being deleted: no right is missing.
NAMESPACE_GOES = "NamespaceTerminating"
# What the API server itself suggests with its 429; also the wait after any refusal that names none.
DEFAULT_RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason of a refusal: which field, what is wrong with it."""

    field: str
    message: str

    def __str__(self) -> str:
        """`spec.template: Required value`, or the bare message."""
        return f"{self.field}: {self.message}" if self.field else self.message


class ApiError(HeatDispatchError):
    """A request to the API server that did not do what was asked.

    `status` is the HTTP status (0: no answer came), `reason` the server's machine-readable word, `causes` its details.
    """

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", causes: tuple[Cause, ...] = (), after_s: float | None = None
    ) -> None:
        """Keep what the server said; `after_s` is how long it asked us to wait."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = causes
        self.after_s: float = DEFAULT_RETRY_AFTER_S if after_s is None else after_s


class NotFound(ApiError, Permanent):
    """404: the object, its namespace or its kind is not there (now), or its namespace is about to go."""


class Invalid(ApiError, Permanent):
    """400 or 422: the server will never take this body; `causes` say which fields."""


class Conflict(ApiError, Retryable):
    """409: somebody else wrote first. Look again and decide anew; never send the same again by force."""


class AlreadyExists(Conflict):
    """409 on create: an object of this name is there."""


class Gone(ApiError, Retryable):
    """410: this resourceVersion or continue token is no longer known; list anew."""


class Forbidden(ApiError, Retryable):
    """403: not allowed now. Not final: an API server answers 403 for a moment after its restart, until RBAC is loaded."""


class Unauthorized(ApiError, Retryable):
    """401: credentials not accepted now (a token that is being rotated heals by itself)."""


class TooManyRequests(ApiError, Retryable):
    """429: come back after `after_s` seconds."""


class Unreachable(ApiError, Retryable):
    """No answer, a broken one, or 5xx: **whether a write was done is not known**."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    HTTP_BAD_REQUEST: Invalid,
    HTTP_UNAUTHORIZED: Unauthorized,
    HTTP_FORBIDDEN: Forbidden,
    HTTP_NOT_FOUND: NotFound,
    HTTP_CONFLICT: Conflict,
    HTTP_GONE: Gone,
    HTTP_UNPROCESSABLE: Invalid,
    HTTP_TOO_MANY_REQUESTS: TooManyRequests,
}


def from_status(status: Mapping[str, Any], code: int, asked: str, after_s: float | None = None) -> ApiError:
    """Turn a `metav1.Status` (as a dict) into the typed error; `asked` names the request, e.g. `GET jobs default/a`."""
    reason = str(status.get("reason") or "")
    details = status.get("details") or {}
    causes = tuple(
        Cause(field=str(cause.get("field") or ""), message=str(cause.get("message") or ""))
        for cause in details.get("causes") or ()
    )
    kind = AlreadyExists if reason == "AlreadyExists" else _BY_STATUS.get(code, Unreachable if _broken(code) else Invalid)
    if kind is Forbidden and any(cause.get("reason") == NAMESPACE_GOES for cause in details.get("causes") or ()):
        kind = NotFound
    wait_s = after_s if after_s is not None else _seconds(details.get("retryAfterSeconds"))
    text = f"{asked}: {code} {reason}: {status.get('message') or 'no message'}"
    return kind(text, status=code, reason=reason, causes=causes, after_s=wait_s)


def from_response(code: int, body: bytes, asked: str, retry_after: str | None) -> ApiError:
    """Turn an HTTP refusal into the typed error; a body that is no Status is quoted in part."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": body[:200].decode("utf-8", "replace").strip() or "no message"}
    return from_status(status, code, asked, _seconds(retry_after))


def no_answer(error: Exception, asked: str) -> Unreachable:
    """The typed error of a request that got no usable answer (refused, reset, timed out, cut off)."""
    return Unreachable(f"{asked}: no answer: {type(error).__name__}: {str(error)[:200]}")


def _broken(code: int) -> bool:
    return code >= HTTP_SERVER_ERROR or code < HTTP_BAD_REQUEST


def _seconds(text: object) -> float | None:
    """Retry-After as the API server sends it (whole seconds); anything else is ignored."""
    try:
        seconds = float(str(text))
    except ValueError:
        return None
    return seconds if 0.0 < seconds < float("inf") else None
