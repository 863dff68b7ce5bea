"""As much of a Kubernetes client as the agent needs: read a list, follow a watch, patch one object. A request is sent once."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from scheduler.domain.errors import Misconfigured, Retryable

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
JSON, MERGE_PATCH = "application/json", "application/merge-patch+json"
USER_AGENT = "heat-dispatch-agent"
# Between two bytes of a watch: an API server sends a bookmark about every minute.
SILENCE_S = 90.0
MAX_ANSWER_BYTES = 8 << 20
MAX_MESSAGE = 500
GONE = 410
# A machine that vanished is noticed by the kernel long before a watch has been silent for long.
KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)

Json = dict[str, Any]


class Refused(Retryable):
    """The API server answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        """Keep the HTTP code."""
        super().__init__(f"HTTP {code}: {message}" if message else f"HTTP {code}")
        self.code = code


class Unreachable(Retryable):
    """No answer that could be read."""


class Silent(Unreachable):
    """A watch on which nothing came for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the API server is, and files with the token, which is rotated, and with the authority that is trusted."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None


def in_cluster(environment: Mapping[str, str] | None = None, folder: Path = ACCOUNT) -> Access:
    """The access that every pod has.

    Raises:
        Misconfigured: outside of a pod.
    """
    given = os.environ if environment is None else environment
    host, port = given.get(HOST, ""), given.get(PORT, "443")
    if not host or not (folder / "token").is_file():
        raise Misconfigured("this is no pod with a service account", where=HOST, expected="to run in a cluster")
    return Access(
        url=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        token_file=folder / "token",
        ca_file=folder / "ca.crt",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One list, and the server's own time when it gave it, if it said so."""

    items: tuple[Json, ...]
    version: str
    date_utc: datetime | None


class KubeHttp:
    """Requests of one thread. Connections are made anew after a failure: with them goes what may be half dead or expired."""

    def __init__(self, access: Access, *, silence_s: float = SILENCE_S, timeout_s: float = 10.0) -> None:
        """Nothing is opened yet."""
        self._access = access
        self._silence_s = silence_s
        self._timeout_s = timeout_s
        self._client: httpx.Client | None = None
        self._stream: httpx.Response | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def list(self, path: str, query: Mapping[str, str], accept: str = JSON) -> Listed:
        """The objects of a collection.

        Raises:
            Refused: when the server says no.
            Unreachable: when nothing comes that could be read.
        """
        with self._failing():
            response = self._open().get(path, params=dict(query), headers=self._headers(accept))
            found = _object(_checked(response))
        items, metadata = found.get("items"), found.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        if not isinstance(items, list | None) or not isinstance(version, str) or not version:
            raise Unreachable("not a list of Kubernetes")
        objects = tuple(item for item in items or () if isinstance(item, dict))
        return Listed(items=objects, version=version, date_utc=_date(response))

    def watch(self, path: str, query: Mapping[str, str], accept: str = JSON) -> Iterator[Json]:
        """Events, until the server ends the watch or `stop` does.

        Raises:
            Refused: when the server says no, also in the midst of it.
            Silent: when nothing came for long.
            Unreachable: when it breaks off or cannot be read.
        """
        with self._failing(watching=True):
            timeout = httpx.Timeout(self._timeout_s, read=self._silence_s)
            client, headers = self._open(), self._headers(accept)
            request = client.build_request("GET", path, params=dict(query), headers=headers, timeout=timeout)
            with closing(client.send(request, stream=True)) as response, self._followed(response):
                if response.is_error:
                    response.read()
                for line in _checked(response).iter_lines():
                    if line:
                        yield _event(line)

    def merge(self, path: str, change: Json, manager: str) -> Json:
        """Change an object by a merge patch; returns it.

        Raises:
            Refused: when the server says no.
            Unreachable: when it is not known whether it did.
        """
        with self._failing():
            headers = {**self._headers(JSON), "Content-Type": MERGE_PATCH}
            query, content = {"fieldManager": manager}, json.dumps(change).encode()
            return _object(_checked(self._open().patch(path, params=query, content=content, headers=headers)))

    def stop(self) -> None:
        """End a watch that another thread follows, and let none begin: it would wait for a byte for a minute and more."""
        with self._lock:
            self._stopped = True
            stream = None if self._stream is None else self._stream.extensions.get("network_stream")
        connection = stream.get_extra_info("socket") if stream is not None else None
        if connection is not None:
            with suppress(OSError):
                # Below TLS, whose own farewell would wait for the reader that is to be woken.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """Drop all connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open(self) -> httpx.Client:
        """The connections; the authority is read anew with them."""
        if self._client is None:
            try:
                ca_file = self._access.ca_file
                trust = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
                transport = httpx.HTTPTransport(verify=trust, socket_options=list(KEEP_ALIVE))
            except OSError as error:
                raise Unreachable(f"{self._access.ca_file}: {error.strerror or error}") from error
            self._client = httpx.Client(
                base_url=self._access.url, timeout=self._timeout_s, transport=transport, trust_env=False
            )
        return self._client

    def _headers(self, accept: str) -> dict[str, str]:
        """Who asks: the token of this moment."""
        headers = {"Accept": accept, "User-Agent": USER_AGENT}
        path = self._access.token_file
        if path is None:
            return headers
        try:
            token = path.read_text("ascii").strip()
        except (OSError, ValueError) as error:
            raise Unreachable(f"{path}: the token could not be read") from error
        return {**headers, "Authorization": f"Bearer {token}"}

    @contextmanager
    def _followed(self, response: httpx.Response) -> Iterator[None]:
        """While a watch is followed it can be ended from outside."""
        with self._lock:
            self._stream = response
            stopped = self._stopped
        if stopped:
            self.stop()
        try:
            yield
        finally:
            with self._lock:
                self._stream = None

    @contextmanager
    def _failing(self, *, watching: bool = False) -> Iterator[None]:
        """Turn what went wrong into one of ours, and let go of the connections."""
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            self.close()
            if watching and isinstance(error, httpx.ReadTimeout):
                raise Silent(f"nothing came from {self._access.url} for {self._silence_s:g} s") from error
            text = str(error).partition("\n")[0][:200] or type(error).__name__
            raise Unreachable(f"{self._access.url} does not answer: {text}") from error
        except Retryable:
            self.close()
            raise


def _checked(response: httpx.Response) -> httpx.Response:
    """An answer that is none of an error.

    Raises:
        Refused: with what the server said.
    """
    if not response.is_error:
        return response
    try:
        said = _object(response).get("message")
    except Unreachable:
        said = None
    raise Refused(response.status_code, said[:MAX_MESSAGE] if isinstance(said, str) else "")


def _object(response: httpx.Response) -> Json:
    """The object of an answer."""
    if len(response.content) > MAX_ANSWER_BYTES:
        raise Unreachable(f"an answer longer than {MAX_ANSWER_BYTES} bytes")
    return _parsed(response.content)


def _event(line: str) -> Json:
    """One event of a watch.

    Raises:
        Refused: when it says that the watch has failed.
    """
    event = _parsed(line)
    found = event.get("object")
    if not isinstance(found, dict) or not isinstance(event.get("type"), str):
        raise Unreachable("an event that is none")
    if event["type"] == "ERROR":
        code, message = found.get("code"), found.get("message")
        raise Refused(code if isinstance(code, int) else GONE, message[:MAX_MESSAGE] if isinstance(message, str) else "")
    return event


def _parsed(text: str | bytes) -> Json:
    """One JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreachable("an answer that is no JSON") from error
    if not isinstance(found, dict):
        raise Unreachable("an answer that is no object")
    return found


def _date(response: httpx.Response) -> datetime | None:
    """When the server says it answered."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
