"""How the API server is reached: kubeconfig or the pod's own service account, timeouts, no hidden retries."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import urllib3
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import load_incluster_config, load_kube_config
from kubernetes.config.config_exception import ConfigException

from scheduler.adapters.kubernetes.runtime.errors import no_answer
from scheduler.domain.errors import Misconfigured

USER_AGENT = "heat-dispatch"
NOT_PRINTABLE = re.compile(r"[^!-~]|[()]")
# One watch per kind keeps a connection; the rest is for requests. Beyond it connections are opened and closed, not refused.
POOL_SIZE = 32
# The client library is not annotated; what we use of it gets its types here.
Loader = Callable[..., None]
Send = Callable[..., Any]
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
IN_CLUSTER_MARK = "KUBERNETES_SERVICE_HOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long one request may take. `connect_s + read_s` is what a fence must outlast."""

    connect_s: float = 2.0
    read_s: float = 4.0
    list_read_s: float = 60.0

    @property
    def request_s(self) -> float:
        """Longest time from asking the fence to the end of a write."""
        return self.connect_s + self.read_s


class Response(Protocol):
    """What we use of an HTTP response whose body has not been read."""

    status: int
    headers: Mapping[str, str]

    def read(self) -> bytes:
        """Return the rest of the body."""
        ...

    def stream(self, amt: int, decode_content: bool) -> Any:
        """Yield pieces of the body as they arrive."""
        ...

    def shutdown(self) -> None:
        """Wake a thread that blocks in reading this response."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...

    def release_conn(self) -> None:
        """Give the connection back for the next request."""
        ...


def configuration(kubeconfig: Path | None = None, context: str | None = None) -> Configuration:
    """Return where and as whom to connect: the given kubeconfig, else the pod's service account, else the usual kubeconfig.

    Raises:
        Misconfigured: when none of them can be read.
    """
    found = Configuration()
    load_pod, load_file = cast(Loader, load_incluster_config), cast(Loader, load_kube_config)
    in_cluster = kubeconfig is None and context is None and bool(os.environ.get(IN_CLUSTER_MARK))
    try:
        if in_cluster:
            load_pod(client_configuration=found)
        else:
            load_file(config_file=str(kubeconfig) if kubeconfig else None, context=context, client_configuration=found)
    except (ConfigException, OSError, ValueError) as error:
        where = "service account" if in_cluster else str(kubeconfig or "kubeconfig")
        raise Misconfigured(
            str(error), where=where, expected="a kubeconfig, or to run in a pod with a service account"
        ) from error
    return found


def own_namespace(file: Path = NAMESPACE_FILE) -> str:
    """Namespace of the pod that we run in; empty outside of one."""
    try:
        return file.read_text("utf-8").strip()
    except OSError:
        return ""


class Body:
    """What a request sends, and the last word before it does.

    The last word is asked when connection and head of the request are through, between them and the body: a server does
    not act on a head that promises a body which never comes. So a process that was stopped anywhere before finds out, and
    what remains between the question and the system call is microseconds.
    """

    def __init__(self, content: object, content_type: str, last_word: Callable[[], None] | None = None) -> None:
        """`content` is sent as JSON, which is YAML too; `last_word` raises when it must not be sent after all."""
        self._data = json.dumps(content).encode()
        self._content_type = content_type
        self._last_word = last_word

    def headers(self) -> dict[str, str]:
        """Type and length, which the HTTP library cannot see."""
        return {"Content-Type": self._content_type, "Content-Length": str(len(self._data))}

    def pieces(self) -> Iterator[bytes]:
        """The body in one piece, made when it is wanted."""
        if self._last_word is not None:
            self._last_word()
        yield self._data


class Connection:
    """Sends one HTTP request and returns the unread response. Sends it once: no retry hides in here.

    urllib3 would by default repeat PUT and DELETE and sleep out a Retry-After inside the call. A write repeated after a
    sleep has left its fence behind, so both are off.
    """

    def __init__(self, config: Configuration, identity: str = "") -> None:
        """Take the configuration over; `identity` tells replicas apart in the API server's audit log."""
        config.retries = False
        config.connection_pool_maxsize = POOL_SIZE
        self._config = config
        self._agent = f"{USER_AGENT} ({NOT_PRINTABLE.sub('?', identity)})" if identity else USER_AGENT
        self._rest = RESTClientObject(config)
        self._request = cast(Send, self._rest.pool_manager.request)

    @property
    def host(self) -> str:
        """URL of the API server."""
        return str(self._config.host)

    def send(self, method: str, path: str, timeout_s: tuple[float, float], body: Body | None = None) -> Response:
        """Send one request; `timeout_s` is (connect, longest silence while reading).

        Raises:
            Unreachable: when no answer begins in time; whatever the body's last word raises: then nothing was asked for.
        """
        headers = {"Accept": "application/json", "User-Agent": self._agent, **(body.headers() if body is not None else {})}
        try:
            headers |= self._authorization()
            answer = self._request(
                method,
                self.host + path,
                body=body.pieces() if body is not None else None,
                headers=headers,
                timeout=urllib3.Timeout(connect=timeout_s[0], read=timeout_s[1]),
                redirect=False,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError, ConfigException) as error:
            raise no_answer(error, f"{method} {path.partition('?')[0]}") from error
        return cast(Response, answer)

    def close(self) -> None:
        """Drop idle connections."""
        self._rest.close()

    def _authorization(self) -> dict[str, str]:
        """The bearer token of this moment: a service account's token is read anew from its file as it is rotated."""
        settings = self._config.auth_settings().get("BearerToken")
        value = settings.get("value") if settings else None
        return {"Authorization": str(value)} if value else {}
