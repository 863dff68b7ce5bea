"""Connections: to the address that was judged and no other, by verified TLS, through the proxy of the environment."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpcore
import pytest
from signal_peer import signal_peer
from web_world import JSON, answer, outcome, why

from scheduler.adapters.devcluster.certificates import Subject, make_authority, make_certificate
from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.web.client import WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.adapters.sources.web.manners import Limits
from scheduler.adapters.sources.web.wire import Direct, Pinned, Resolve, transport_of
from scheduler.domain.errors import Misconfigured

QUICK = Limits(total_s=10.0, connect_s=5.0, read_s=5.0, tries=2, backoff_s=0.01, per_host_s=0.001)
LOOPBACK = HostRules(["127.0.0.1", "localhost"], allow_loopback=True)
PAGES = {"/a": lambda query: (200, dict(JSON), b"{}")}


def leads_to(*found: str) -> tuple[list[str], Resolve]:
    """A resolver that keeps what it was asked; each look-up answers the next address, and then the last again."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [found[min(len(asked), len(found)) - 1]]

    return asked, resolve


class Noted(httpcore.AsyncMockBackend):
    """Answers every connection with a page, and keeps where they went."""

    def __init__(self) -> None:
        super().__init__([b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"])
        self.connected: list[str] = []

    async def connect_tcp(self, host: str, *rest: object, **named: object) -> httpcore.AsyncNetworkStream:
        self.connected.append(host)
        return await super().connect_tcp(host, 443)


def pinned(rules: HostRules, resolve: Resolve) -> tuple[Noted, WebClient]:
    """A client whose connections are only noted."""
    noted = Noted()
    direct = Direct(Pinned(rules, resolve, noted), ssl.create_default_context(), QUICK)
    return noted, WebClient(rules, limits=QUICK, transport=direct)


def test_a_connection_goes_to_the_address_that_was_judged_and_the_name_is_looked_up_once() -> None:
    asked, resolve = leads_to("93.184.215.14", "169.254.169.254")
    noted, web = pinned(HostRules(["api.example.org"]), resolve)
    assert isinstance(outcome(web, Ask(url="https://api.example.org/a")), Answer)
    # With a dot: no search list of the cluster makes api.example.org.svc.cluster.local of it.
    assert (asked, noted.connected) == (["api.example.org."], ["93.184.215.14"])


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::ffff:169.254.169.254", "fd00::1"])
def test_a_name_that_leads_inside_is_not_connected_to(address: str) -> None:
    asked, resolve = leads_to(address)
    noted, web = pinned(HostRules(["api.example.org"], allow_loopback=True), resolve)
    trouble = why(web, Ask(url="https://api.example.org/a"))
    assert (len(asked), noted.connected, trouble.final) == (1, [], True)
    assert "api.example.org: leads to" in trouble.reason


def test_a_host_of_the_inside_is_looked_up_as_the_cluster_does() -> None:
    asked, resolve = leads_to("10.96.0.7")
    noted, web = pinned(HostRules([], inside=["prometheus.monitoring.svc"]), resolve)
    assert isinstance(outcome(web, Ask(url="http://prometheus.monitoring.svc:9090/a")), Answer)
    assert (asked, noted.connected) == (["prometheus.monitoring.svc"], ["10.96.0.7"])


def test_a_name_that_nobody_knows_is_said_so_and_tried_again() -> None:
    tried = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        tried.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    trouble = why(pinned(HostRules(["api.example.org"]), resolve)[1], Ask(url="https://api.example.org/a?q=1"))
    assert (len(tried), trouble.final) == (QUICK.tries, False)
    assert trouble.reason == "api.example.org/a: the name is not known: Name or service not known"


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    with signal_peer(PAGES) as peer:
        port = int(peer.url.rpartition(":")[2])

        async def resolve(host: str, port: int) -> Sequence[str]:
            return ["::1", "127.0.0.2", "127.0.0.1"]

        web = WebClient(LOOPBACK, limits=QUICK, transport=transport_of(LOOPBACK, QUICK, resolve))
        assert answer(web, Ask(url=f"http://localhost:{port}/a")).body == b"{}"


@contextmanager
def listened(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Somebody who serves a port of this machine; its number."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5.0)


@contextmanager
def tls_server(folder: Path, name: str, heard: list[bytes]) -> Iterator[int]:
    """Says {} by TLS, with a certificate for a name by an authority of its own."""
    make_authority(folder, "ca", "made-for-a-test")
    make_certificate(folder, "server", "ca", Subject(name=name, alternatives=[f"DNS:{name}"]))
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(folder / "server.crt", folder / "server.key")

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with suppress(OSError), connection, trust.wrap_socket(connection, server_side=True) as secure:
                heard.append(secure.recv(4096))
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")

    with listened(serve) as port:
        yield port


def test_a_certificate_is_verified_for_the_name_that_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def here(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    def asked(host: str, port: int) -> Answer | Exception:
        web = WebClient(LOOPBACK, limits=QUICK, transport=transport_of(LOOPBACK, QUICK, here))
        return outcome(web, Ask(url=f"https://{host}:{port}/a"))

    with tls_server(tmp_path, "localhost", []) as port:
        stranger = asked("localhost", port)
        assert "certificate is not believed" in str(stranger)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
        assert isinstance(asked("localhost", port), Answer)
        assert "certificate is not believed" in str(asked("127.0.0.1", port))


@contextmanager
def proxy(leads_to_port: int, heard: list[bytes]) -> Iterator[int]:
    """A proxy that leads to a port of this machine, whatever it is asked for; it keeps all that goes through it."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                heard.append(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                with client, socket.create_connection(("127.0.0.1", leads_to_port)) as server, suppress(OSError):
                    heard.append(client.recv(1 << 16))
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    back = threading.Thread(target=pump, args=(server, client), daemon=True)
                    back.start()
                    pump(client, server)
                    back.join(5.0)

    with listened(serve) as port:
        yield port


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has of proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxy")
def test_hosts_of_the_outside_are_asked_through_the_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = HostRules(["api.example.org", "other.example.org", "127.0.0.1"], allow_loopback=True)
    ask = Ask(url="https://api.example.org/a", secret_params={"key": "key"})
    heard, passed = list[bytes](), list[bytes]()
    with tls_server(tmp_path, "api.example.org", heard) as port, proxy(port, passed) as through, signal_peer(PAGES) as peer:
        monkeypatch.setenv("https_proxy", f"http://us:proxy-password@127.0.0.1:{through}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{through}")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
        assert answer(WebClient(rules, limits=QUICK), ask, {"key": "secret-1"}).body == b"{}"
        assert passed[0].startswith(b"CONNECT api.example.org:443 ")
        assert b"/a?key=secret-1 " in heard[0]
        assert b"secret-1" not in b"".join(passed)
        # The certificate is of another name.
        stranger = why(WebClient(rules, limits=QUICK), Ask(url="https://other.example.org/a"))
        assert "certificate is not believed" in stranger.reason
        # Nobody is asked through it who may not be asked, or is near.
        assert why(WebClient(rules, limits=QUICK), Ask(url="https://third.example.org/")).final
        assert answer(WebClient(rules, limits=QUICK), Ask(url=f"{peer.url}/a")).body == b"{}"
        asked = [piece.split()[1] for piece in passed if piece.startswith((b"CONNECT ", b"GET "))]
        assert asked == [b"api.example.org:443", b"other.example.org:443"]


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_that_refuses_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 403 Not allowed\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("https_proxy", f"http://us:proxy-password@127.0.0.1:{listening.getsockname()[1]}")
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        web = WebClient(HostRules(["api.example.org"]), limits=Limits(total_s=10.0, tries=1))
        trouble = why(web, Ask(url="https://api.example.org/a"))
        thread.join(5.0)
    assert trouble.reason == "api.example.org/a: the proxy says: 403 Not allowed"


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_that_is_none_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks9://127.0.0.1:1")
    with pytest.raises(Misconfigured, match="HTTPS_PROXY"):
        WebClient(LOOPBACK)
