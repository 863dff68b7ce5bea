"""What is said to whoever asked for something that he does not get: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Scope

WHY = "why"
"""Key of a request's state: why it was turned away, for the audit."""
_FIELD = re.compile(r"([A-Za-z]\w*(?:\[\d+\])?): (.+)", re.DOTALL)
_EXPECTED = re.compile(r"(.+) \(expected (.+)\)", re.DOTALL)


@dataclasses.dataclass(slots=True, eq=False)
class Problem(Exception):
    """A request that is turned away.

    kind: stable, for programs. detail: for people. field, expected: which part was wrong, and what would be right.
    """

    status: int
    kind: str
    detail: str
    field: str = ""
    expected: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    more: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def payload(self) -> dict[str, object]:
        """Its JSON."""
        said: dict[str, object] = {
            "type": f"urn:heat-dispatch:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        named = {"field": self.field, "expected": self.expected}
        return said | {key: value for key, value in named.items() if value} | dict(self.more)

    def response(self, scope: Scope) -> Response:
        """The answer; `scope` keeps the reason."""
        scope.setdefault("state", {})[WHY] = self.detail
        return JSONResponse(self.payload(), self.status, headers=dict(self.headers), media_type="application/problem+json")


def letter_problem(reason: str, status: int = HTTPStatus.UNPROCESSABLE_ENTITY, kind: str = "letter") -> Problem:
    """Why a letter was not taken: `field: what is wrong (expected ...)`, in its parts."""
    named = _FIELD.fullmatch(reason)
    where, what = (named[1], named[2]) if named else ("", reason)
    expecting = _EXPECTED.fullmatch(what)
    expected = expecting[2] if expecting else what.removeprefix("must be ") if what.startswith("must be ") else ""
    more: dict[str, Any] = {"accepted": False, "reason": reason}
    return Problem(status, kind, reason, field=where, expected=expected, more=more)
