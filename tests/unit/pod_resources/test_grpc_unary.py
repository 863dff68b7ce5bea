"""One call over HTTP/2 against a server that keeps to the protocol of frames and to nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamEnded
from h2.exceptions import H2Error

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.gpu.grpc_unary import NoAnswer, UnaryCaller
from scheduler.adapters.gpu.http2 import KEPT_BLOCKS

HEAD = [(":status", "200"), ("content-type", "application/grpc")]
WELL = [("grpc-status", "0"), ("grpc-message", "")]
METHOD = "/a.Service/Method"
Say = Callable[[H2Connection, int], None]


@contextmanager
def server(folder: Path, *says: Say, drip_bytes: int = 0) -> Iterator[UnaryCaller]:
    """Answer each request by the next of `says`, the last one again and again; so many bytes each tenth of a second."""
    path, left = folder / "s.sock", list(says)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        with suppress(OSError):
            while True:
                met, _ = listening.accept()
                with met, suppress(OSError, H2Error):
                    speak(met)

    def speak(met: socket.socket) -> None:
        http = H2Connection(H2Configuration(client_side=False))
        http.initiate_connection()
        send(met, http)
        while read := met.recv(65536):
            for event in http.receive_data(read):
                if isinstance(event, RequestReceived):
                    headers = dict(event.headers)
                    asked.append((headers[b":path"], headers[b"content-type"], headers[b"te"]))
                if isinstance(event, StreamEnded):
                    (left.pop(0) if len(left) > 1 else left[0])(http, event.stream_id)
            send(met, http)

    def send(met: socket.socket, http: H2Connection) -> None:
        words = http.data_to_send()
        for start in range(0, len(words), drip_bytes or len(words) or 1):
            met.sendall(words[start : start + (drip_bytes or len(words))])
            time.sleep(0.1 if drip_bytes else 0.0)

    asked: list[tuple[bytes, bytes, bytes]] = []
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    caller = UnaryCaller(path, SystemClock())
    try:
        yield caller
        assert set(asked) <= {(METHOD.encode(), b"application/grpc", b"trailers")}
    finally:
        caller.close()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def message(content: bytes, flag: int = 0) -> bytes:
    """A message of gRPC."""
    return bytes([flag]) + len(content).to_bytes(4, "big") + content


def answer(*pieces: bytes, trailers: list[tuple[str, str]] | None = None) -> Say:
    """Headers, pieces of a body, and trailers; without trailers just an end."""

    def say(http: H2Connection, stream: int) -> None:
        http.send_headers(stream, HEAD)
        for piece in pieces:
            http.send_data(stream, piece)
        if trailers is None:
            http.end_stream(stream)
        else:
            http.send_headers(stream, trailers, end_stream=True)

    return say


def only_headers(*headers: tuple[str, str]) -> Say:
    """An answer that ends with its headers."""
    return lambda http, stream: http.send_headers(stream, list(headers), end_stream=True)


def test_an_answer_in_pieces_is_one_and_the_connection_is_kept(tmp_path: Path) -> None:
    whole = message(b"well said")
    with server(tmp_path, answer(whole[:3], b"", whole[3:], trailers=WELL), answer(message(b""), trailers=WELL)) as caller:
        assert caller.call(METHOD, b"") == b"well said"
        first = caller._connection
        assert caller.call(METHOD, b"something") == b""
        assert caller._connection is first


def test_a_connection_that_is_kept_for_months_remembers_a_few_headers_and_no_call(tmp_path: Path) -> None:
    def another(http: H2Connection, stream: int) -> None:
        answer(message(b"well said"), trailers=[*WELL, ("x-call", str(stream))])(http, stream)

    with server(tmp_path, another) as caller:
        for _ in range(100):
            assert caller.call(METHOD, b"") == b"well said"
        assert caller._connection is not None
        http = caller._connection.http
        assert (len(http._known), len(http._unread), len(http.words)) == (KEPT_BLOCKS, 0, 0)


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (answer(message(b"x")), "it says: status none"),
        (answer(message(b"x"), trailers=[("grpc-status", "14"), ("grpc-message", "later")]), r"not available now \(later\)"),
        (only_headers(*HEAD, ("grpc-status", "12")), "this call is not known"),
        (only_headers((":status", "404")), "HTTP status 404: no server of gRPC"),
        (answer(message(b"x", flag=1), trailers=WELL), "not one whole message"),
        (answer(message(b"x"), message(b"y"), trailers=WELL), "not one whole message"),
        (answer(message(b"long")[:-1], trailers=WELL), "not one whole message"),
        (answer(trailers=WELL), "not one whole message"),
        (lambda http, stream: http.reset_stream(stream, ErrorCodes.REFUSED_STREAM), "it broke off"),
        (lambda http, stream: http.close_connection(), "it broke off"),
    ],
)
def test_what_is_no_answer_says_why_and_the_next_call_is_a_new_one(tmp_path: Path, say: Say, words: str) -> None:
    with server(tmp_path, say, say, answer(message(b"again"), trailers=WELL)) as caller:
        with pytest.raises(NoAnswer, match=words):
            caller.call(METHOD, b"")
        with suppress(NoAnswer):
            caller.call(METHOD, b"")
        assert caller.call(METHOD, b"") == b"again"


def test_a_server_that_has_bidden_farewell_is_asked_anew_within_the_same_call(tmp_path: Path) -> None:
    def last(http: H2Connection, stream: int) -> None:
        answer(message(b"first"), trailers=WELL)(http, stream)
        http.close_connection()

    with server(tmp_path, last, answer(message(b"second"), trailers=WELL)) as caller:
        assert caller.call(METHOD, b"") == b"first"
        assert caller.call(METHOD, b"") == b"second"


def test_one_that_drips_is_given_up_after_the_time_for_the_whole_call(tmp_path: Path) -> None:
    # A hundred bytes in pieces of two, ten a second: each read comes in time, all of them do not.
    with server(tmp_path, answer(message(bytes(100)), trailers=WELL), drip_bytes=2) as caller:
        begun_s = time.monotonic()
        with pytest.raises(NoAnswer, match="no answer within 1 s"):
            caller.call(METHOD, b"")
        assert 0.9 < time.monotonic() - begun_s < 5.0
