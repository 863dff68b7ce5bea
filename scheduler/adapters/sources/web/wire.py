"""Connections: made to the addresses that were judged, over verified TLS; what is secret is added behind the client's back.

`httpx` logs addresses of requests and puts requests into its exceptions. So the client's requests have no secret; `Veil` fills
them in below it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.request import getproxies_environment, proxy_bypass

import httpcore
import httpx

from scheduler.adapters.sources.web.hosts import HostRules, Zone, host_of, literal
from scheduler.adapters.sources.web.manners import Limits
from scheduler.domain.errors import Misconfigured

# Key of a request's extensions.
SECRETS = "heat_dispatch.secrets"
ADDRESSES_TRIED = 4
KEEPALIVE_S = 30.0
# What goes wrong below httpx, in the words of both libraries.
WIRE_ERRORS = (
    httpx.TransportError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    ssl.SSLError,
    OSError,
)
TIMEOUTS = (httpx.TimeoutException, httpcore.TimeoutException, TimeoutError)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What is added to one request, by the names that its provider wants."""

    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


async def looked_up(host: str, port: int) -> Sequence[str]:
    """Addresses of a host by the machine's resolver, in its order of preference."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Pinned(httpcore.AsyncNetworkBackend):
    """Connects to addresses alone, each judged: nobody looks a name up again between judgement and connection."""

    def __init__(
        self, rules: HostRules, resolve: Resolve = looked_up, inner: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        """Judge by rules; `inner` makes the connections."""
        self._rules, self._resolve = rules, resolve
        self._inner = inner or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # the signature of httpcore
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that may be reached and answers.

        Raises:
            Denied: none may be reached.
        """
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._addresses(host.lower().removesuffix("."), port)
                share_s = None if timeout is None else timeout / len(addresses)
                for address in addresses[:-1]:
                    try:
                        return await self._inner.connect_tcp(address, port, share_s, local_address, socket_options)
                    except (httpcore.ConnectError, httpcore.ConnectTimeout):
                        continue
                return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout("no connection in time") from None

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Addresses of a host that may be reached.

        A name of the outside is looked up as it is: with a dot at its end no search list of the cluster is tried.
        """
        zone = self._rules.zone(host, port)
        if literal(host) is not None:
            return self._rules.reachable(zone, host, [host])
        try:
            found = await self._resolve(f"{host}." if zone is Zone.OUTSIDE else host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"the name is not known: {error.strerror or type(error).__name__}") from None
        return self._rules.reachable(zone, host, found)[:ADDRESSES_TRIED]

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)


class _Body(httpx.AsyncByteStream):
    """A body as httpcore brings it."""

    def __init__(self, stream: object) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert hasattr(self._stream, "__aiter__")
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        if hasattr(self._stream, "aclose"):
            await self._stream.aclose()


class Direct(httpx.AsyncBaseTransport):
    """A pool of connections of `Pinned`'s."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend, trust: ssl.SSLContext, limits: Limits) -> None:
        """Open nothing yet."""
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust,
            max_connections=limits.connections,
            max_keepalive_connections=limits.connections,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and bring the head of its answer."""
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        answer = await self._pool.handle_async_request(asked)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class Routed(httpx.AsyncBaseTransport):
    """Through the proxy that the environment names for a scheme, unless its host stands in NO_PROXY or is not outside.

    The proxy looks names up, so it judges addresses; that the name is allowed and no address of the inside is judged here.
    """

    def __init__(self, rules: HostRules, direct: httpx.AsyncBaseTransport, trust: ssl.SSLContext, limits: Limits) -> None:
        """Read the environment once.

        Raises:
            Misconfigured: a proxy that is none.
        """
        self._rules, self._direct, named = rules, direct, getproxies_environment()
        self._through: dict[str, httpx.AsyncBaseTransport] = {}
        pool = httpx.Limits(max_connections=limits.connections, keepalive_expiry=KEEPALIVE_S)
        for scheme in ("http", "https"):
            proxy = named.get(scheme) or named.get("all")
            if proxy:
                try:
                    address = proxy if "://" in proxy else f"http://{proxy}"
                    self._through[scheme] = httpx.AsyncHTTPTransport(proxy=address, verify=trust, limits=pool)
                except (ValueError, ImportError, httpx.InvalidURL):
                    where = f"{scheme.upper()}_PROXY"
                    raise Misconfigured("no proxy that can be used", where=where, expected="http://HOST:PORT") from None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Choose a way."""
        proxy = self._through.get(request.url.scheme)
        zone = self._rules.judge(request.url)
        if proxy is None or zone is not Zone.OUTSIDE or proxy_bypass(host_of(request.url)):
            return await self._direct.handle_async_request(request)
        return await proxy.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in (self._direct, *self._through.values()):
            await transport.aclose()


class Veil(httpx.AsyncBaseTransport):
    """Adds what is secret to a request; nothing above it knows."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        """Pass the full request to `inner`."""
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it with its secrets."""
        secrets = request.extensions.get(SECRETS, Secrets())
        assert isinstance(secrets, Secrets)
        full = httpx.Request(
            request.method,
            request.url.copy_merge_params(secrets.params) if secrets.params else request.url,
            headers=[*request.headers.raw, *((name.encode(), value.encode()) for name, value in secrets.headers.items())],
            stream=request.stream,
            extensions={name: value for name, value in request.extensions.items() if name != SECRETS},
        )
        return await self._inner.handle_async_request(full)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


def transport_of(rules: HostRules, limits: Limits, resolve: Resolve = looked_up) -> httpx.AsyncBaseTransport:
    """The way to the web: direct or through a proxy. Certificates of SSL_CERT_FILE, or those that most trust, are believed."""
    trust = httpx.create_ssl_context()
    return Routed(rules, Direct(Pinned(rules, resolve), trust, limits), trust, limits)
