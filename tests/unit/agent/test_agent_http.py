"""The agent's HTTP server before whoever is in the network: who is told what, and that nobody can hold it up."""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.devcluster.certificates import Subject, make_authority, make_certificate
from scheduler.adapters.gpu.serving import AgentServer, Answer, Asked, Page, Patience, Wired, allowed
from scheduler.adapters.logs import configure

TOKEN = "open sesame"
PATHS = ("/v1/telemetry", "/metrics", "/healthz", "/readyz")
OPEN = ("/healthz", "/readyz")
# Nothing waits so long when all is well.
LONG_S = 20.0
CALM = Patience(of_one=4, of_all=6, whole_s=600.0, max_bytes=2000)
HASTY = Patience(whole_s=1.0)


def page(told: str) -> Page:
    return Page(answer=lambda asked: (200, "text/plain", f"{told} {asked.trusted} {dict(asked.query)}".encode()))


PAGES = {**{path: page(path) for path in PATHS}, **{path: Page(answer=page(path).answer, guarded=False) for path in OPEN}}


@contextmanager
def serving(folder: Path, *, token: str | None = TOKEN, patience: Patience = CALM) -> Iterator[AgentServer]:
    token_file = folder / "token"
    if token is not None:
        token_file.write_text(token + "\n", encoding="utf-8")
    server = AgentServer(PAGES, Wired(port=0, token_file=token_file), patience)
    server.start()
    try:
        yield server
    finally:
        server.close()


def ask(server: AgentServer, path: str, token: str = "", method: str = "GET") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, f"http://127.0.0.1:{server.port}{path}", headers=headers, timeout=LONG_S, trust_env=False)


def connected(server: AgentServer, sent: bytes = b"") -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", server.port), timeout=LONG_S)
    peer.sendall(sent)
    return peer


def said(server: AgentServer, request: bytes) -> bytes:
    """The whole answer to a whole request."""
    with closing(connected(server, request)) as peer:
        return heard(peer)


def heard(peer: socket.socket) -> bytes:
    """Everything until the other side ends it."""
    told = bytearray()
    with suppress(ConnectionError):
        while more := peer.recv(65536):
            told += more
    return bytes(told)


STRANGE = (
    "/",
    "/v1",
    "/v1/telemetry/",
    "/metrics/x",
    "//metrics",
    "/%6detrics",
    "/../metrics",
    "/healthz/../metrics",
    "*",
    "metrics",
)


def test_without_the_token_only_probes_answer_and_say_nothing(tmp_path: Path) -> None:
    headers = ("", "Bearer", "Bearer open sesam", "Bearer Open sesame", "Basic open sesame", "Bearer \xe9", "open sesame")
    with serving(tmp_path) as server:
        for path in (*PATHS, *STRANGE):
            for header in headers:
                told = said(server, f"GET {path} HTTP/1.0\r\nAuthorization: {header}\r\n\r\n".encode("latin-1"))
                if path in OPEN:
                    assert told.endswith(f"{path} False {{}}".encode())
                else:
                    # A path with two slashes at its front is one with one: so it is written in the library.
                    assert told.split()[1] == (b"401" if path in (*PATHS, "//metrics") else b"404"), (path, header)
                    assert b"True" not in told


def test_no_method_but_one_is_known_even_with_the_token(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "HEAD"):
            for path in PATHS:
                told = said(server, f"{method} {path} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
                assert told.split()[1] == b"501", (method, path)


def test_a_token_that_cannot_be_read_or_is_empty_is_known_to_nobody(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert ask(server, "/metrics?a=1&a=2", TOKEN).text == "/metrics True {'a': '2'}"
        for token in (b"", b"\n", b"\xff\xfe"):
            (tmp_path / "token").write_bytes(token)
            assert ask(server, "/metrics", "x").status_code == 401
        (tmp_path / "token").unlink()
        assert ask(server, "/metrics", TOKEN).status_code == 401
        # It is read at every request, so it can be changed at any time.
        (tmp_path / "token").write_text("another", encoding="utf-8")
        assert ask(server, "/metrics", "another").status_code == 200
    assert not allowed("Bearer ", tmp_path / "token")
    assert not allowed("Basic another", tmp_path / "token")
    assert allowed("", None)


def test_probes_are_answered_while_somebody_holds_connections_open(tmp_path: Path) -> None:
    with serving(tmp_path) as server, ExitStack() as held:
        peers = [held.enter_context(closing(connected(server, b"GET /healthz HTTP/1.0\r\n"))) for _ in range(40)]
        assert ask(server, "/healthz").status_code == 200
        # All but the last few were let out.
        gone = [heard(peer) for peer in peers[:30]]
        assert gone == [b""] * 30
        peers[-1].sendall(b"\r\n")
        assert heard(peers[-1]).startswith(b"HTTP/1.0 200")


def test_of_another_address_nobody_is_let_out_for_a_flood(tmp_path: Path) -> None:
    slow = Patience(of_one=2, of_all=50, whole_s=600.0)
    with serving(tmp_path, patience=slow) as server, closing(socket.socket()) as other:
        other.bind(("127.0.0.2", 0))
        other.settimeout(LONG_S)
        other.connect(("127.0.0.1", server.port))
        other.sendall(b"GET /readyz HTTP/1.0\r\n")
        with ExitStack() as held:
            for _ in range(20):
                held.enter_context(closing(connected(server)))
            other.sendall(b"\r\n")
            assert heard(other).startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /metrics HTTP/1.0\r\n" + b"X-Long: " + b"a" * 5000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.0\r\n" + b"X: a\r\n" * 2000,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01" + bytes(3000),
    ],
)
def test_a_request_that_is_too_long_is_not_read_to_its_end(tmp_path: Path, sent: bytes) -> None:
    with serving(tmp_path) as server, closing(connected(server)) as peer:
        with suppress(ConnectionError):
            peer.sendall(sent)
        assert b"200" not in heard(peer)
        assert ask(server, "/healthz").status_code == 200


def test_whoever_dribbles_is_let_out(tmp_path: Path) -> None:
    with serving(tmp_path, patience=HASTY) as server, closing(connected(server, b"GET /healthz HT")) as peer:
        until_s = time.monotonic() + LONG_S
        with suppress(ConnectionError):
            # Each byte comes well within the time that one may take; the whole does not.
            while time.monotonic() < until_s:
                peer.sendall(b"T")
                time.sleep(0.2)
        assert time.monotonic() < until_s


def test_a_certificate_that_is_renewed_is_served_without_a_new_start(tmp_path: Path) -> None:
    make_authority(tmp_path, "ca", "test")
    for name in ("old", "new"):
        make_certificate(tmp_path, name, "ca", Subject(name=name, alternatives=("IP:127.0.0.1",)))
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(name: str) -> None:
        for file, kind in ((certificate, "crt"), (key, "key")):
            aside = tmp_path / f"{file.name}.aside"
            aside.write_bytes((tmp_path / f"{name}.{kind}").read_bytes())
            aside.replace(file)

    put("old")
    server = AgentServer(PAGES, Wired(port=0, token_file=tmp_path / "token", certificate=certificate, key=key), CALM)
    tls = server._server.tls
    assert tls is not None
    server.start()
    try:
        assert served(server, tmp_path) == "old"
        put("new")
        tls.renew()
        assert served(server, tmp_path) == "old"  # it is looked at now and then only
        tls.renew(every_s=0.0)
        assert served(server, tmp_path) == "new"
        certificate.write_text("nonsense", encoding="utf-8")
        tls.renew(every_s=0.0)
        assert served(server, tmp_path) == "new"
        # One that does not belong to its key, as between two writes.
        certificate.write_bytes((tmp_path / "old.crt").read_bytes())
        tls.renew(every_s=0.0)
        assert served(server, tmp_path) == "new"
        put("old")
        tls.renew(every_s=0.0)
        assert served(server, tmp_path) == "old"
    finally:
        server.close()


def served(server: AgentServer, folder: Path) -> str:
    """Whom the certificate names that is served now."""
    trust = ssl.create_default_context(cafile=folder / "ca.crt")
    with connected(server) as peer, trust.wrap_socket(peer, server_hostname="127.0.0.1") as secured:
        found: Any = secured.getpeercert()
    return str(dict(part[0] for part in found["subject"])["commonName"])


def test_a_page_that_fails_is_told_and_a_path_that_is_none_is_not(tmp_path: Path) -> None:
    log = io.StringIO()
    configure(as_json=True, stream=log)

    def failing(asked: Asked) -> Answer:
        raise LookupError("what nobody thought of")

    server = AgentServer({"/healthz": Page(answer=failing, guarded=False)}, Wired(port=0), CALM)
    server.start()
    try:
        assert said(server, b"GET http://[ HTTP/1.0\r\n\r\n").split()[1] == b"400"
        assert said(server, b"\x00\r\n\r\n").split()[:1] != [b"200"]
        with closing(connected(server, b"GET /healthz HTTP/1.0\r\n")):
            """Somebody hangs up in the middle."""
        assert log.getvalue() == ""
        assert said(server, b"GET /healthz HTTP/1.0\r\n\r\n") == b""
    finally:
        server.close()
    assert "what nobody thought of" in log.getvalue()


PIECES = (
    b"GET ",
    b"/metrics",
    b"/healthz",
    b" HTTP/1.",
    b"0",
    b"9",
    b"\r\n",
    b"\n",
    b"Authorization: Bearer ",
    b"\xff",
    b"\x00",
    b"%",
    b"?",
    b":",
    b" ",
)


@given(sent=st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=12).map(b"".join))
@settings(max_examples=150, deadline=None)
def test_nothing_that_is_sent_without_the_token_brings_more_than_a_probe(flooded: AgentServer, sent: bytes) -> None:
    with closing(connected(flooded, sent)) as peer:
        peer.shutdown(socket.SHUT_WR)
        told = heard(peer)
    assert b"True" not in told
    assert b"/metrics False" not in told


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentServer]:
    """One server for many requests; in the end it answers still."""
    log = io.StringIO()
    configure(as_json=True, stream=log)
    with serving(tmp_path_factory.mktemp("flooded")) as server:
        yield server
        assert ask(server, "/healthz").status_code == 200
    assert log.getvalue() == ""


def test_it_listens_on_both_kinds_of_addresses(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = AgentServer(PAGES, Wired(host="::", port=0, token_file=tmp_path / "token"), CALM)
    server.start()
    try:
        assert ask(server, "/healthz").status_code == 200
        url = f"http://[::1]:{server.port}/healthz"
        assert httpx.get(url, timeout=LONG_S, trust_env=False).status_code == 200
    finally:
        server.close()


def test_behind_tls_a_handshake_that_never_ends_holds_up_nobody(tmp_path: Path) -> None:
    make_authority(tmp_path, "ca", "test")
    make_certificate(tmp_path, "agent", "ca", Subject(name="agent", alternatives=("IP:127.0.0.1",)))
    wired = Wired(port=0, token_file=tmp_path / "token", certificate=tmp_path / "agent.crt", key=tmp_path / "agent.key")
    server = AgentServer(PAGES, wired, CALM)
    server.start()
    try:
        with ExitStack() as held:
            for _ in range(10):
                held.enter_context(closing(connected(server, b"\x16\x03\x01")))
            trust = ssl.create_default_context(cafile=tmp_path / "ca.crt")
            url = f"https://127.0.0.1:{server.port}"
            assert httpx.get(f"{url}/healthz", verify=trust, timeout=LONG_S, trust_env=False).status_code == 200
            assert httpx.get(f"{url}/metrics", verify=trust, timeout=LONG_S, trust_env=False).status_code == 401
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{url}/healthz", timeout=LONG_S, trust_env=False)
    finally:
        server.close()
