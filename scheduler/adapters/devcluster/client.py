"""Requests to an API server by path, with plain objects; as much client as bringing a cluster up and testing it needs."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from scheduler.domain.errors import Permanent

Object = dict[str, Any]

JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
MANAGER = "heat-dispatch-devcluster"
TIMEOUT_S = 30.0
FIRST_ERROR_CODE = 400


class ApiRefused(Permanent):
    """The API server answered with an error: HTTP `code`, `reason` and the whole Status object."""

    def __init__(self, code: int, status: Object, headers: Mapping[str, str]) -> None:
        """Say what the Status says."""
        self.code, self.status, self.headers = code, status, dict(headers)
        self.reason = str(status.get("reason", ""))
        self.message = str(status.get("message", ""))
        super().__init__(f"{code} {self.reason}: {self.message}")


@dataclass(frozen=True, slots=True)
class ApiClient:
    """One user's connection to an API server; may be shared by threads. `http` has base address, token and trust."""

    http: httpx.Client = field(repr=False)

    @classmethod
    def to(cls, url: str, authority: str, token: str, timeout_s: float = TIMEOUT_S) -> ApiClient:
        """A client with a bearer token that trusts the one authority (a file)."""
        trust = ssl.create_default_context(cafile=authority)
        headers = {"Authorization": f"Bearer {token}", "Accept": JSON}
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=32)
        return cls(httpx.Client(base_url=url, headers=headers, verify=trust, timeout=timeout_s, limits=limits, trust_env=False))

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def answer(
        self, method: str, path: str, body: Any = None, *, content_type: str = JSON, timeout_s: float | None = None
    ) -> httpx.Response:
        """The answer to a request, whatever it is; `body` is an object, or text as it is."""
        content = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        headers = {} if content is None else {"Content-Type": content_type}
        timeout = self.http.timeout if timeout_s is None else timeout_s
        return self.http.request(method, path, content=content, headers=headers, timeout=timeout)

    def call(self, method: str, path: str, body: Any = None, *, content_type: str = JSON) -> Object:
        """The object that a request brings.

        Raises:
            ApiRefused: for an HTTP status of 400 or more.
        """
        response = self.answer(method, path, body, content_type=content_type)
        if response.status_code >= FIRST_ERROR_CODE:
            raise ApiRefused(response.status_code, parsed(response.text), response.headers)
        return parsed(response.text)

    def get(self, path: str) -> Object:
        """Read an object or a list."""
        return self.call("GET", path)

    def items(self, path: str) -> list[Object]:
        """Read the objects of a list."""
        found: list[Object] = self.get(path)["items"]
        return found

    def create(self, path: str, body: Object) -> Object:
        """Create an object in the collection `path`."""
        return self.call("POST", path, body)

    def apply(self, path: str, body: Object, *, manager: str = MANAGER, force: bool = True) -> Object:
        """Server-side apply of an object to its own path (or that of its `/status`)."""
        return self.call("PATCH", f"{path}?fieldManager={manager}&force={str(force).lower()}", body, content_type=APPLY)

    def patch(self, path: str, body: Any) -> Object:
        """A JSON merge patch, or a JSON patch when `body` is a list of operations."""
        return self.call("PATCH", path, body, content_type=JSON_PATCH if isinstance(body, list) else MERGE)

    def delete(self, path: str, *, propagation: str = "Background") -> Object:
        """Delete an object, or the whole collection."""
        return self.call("DELETE", path, {"propagationPolicy": propagation})

    def watch(self, path: str, version: str, seconds: int = 5) -> Iterator[Object]:
        """Events since a resource version, until the server ends the watch after `seconds`.

        Raises:
            ApiRefused: when the watch is refused.
        """
        address = f"{path}?watch=1&resourceVersion={version}&timeoutSeconds={seconds}"
        with self.http.stream("GET", address, timeout=seconds + TIMEOUT_S) as response:
            if response.status_code >= FIRST_ERROR_CODE:
                response.read()
                raise ApiRefused(response.status_code, parsed(response.text), response.headers)
            for line in response.iter_lines():
                if line.strip():
                    yield json.loads(line)


def parsed(text: str) -> Object:
    """The object in an answer; plain text becomes its message."""
    try:
        found = json.loads(text)
    except ValueError:
        return {"message": text}
    return found if isinstance(found, dict) else {"message": text}


def condition(found: Object | None, kind: str, part: str = "status") -> str | None:
    """A part of an object's condition of one type; None when it has none."""
    conditions = (found or {}).get("status", {}).get("conditions") or []
    return next((one.get(part) for one in conditions if one["type"] == kind), None)
