"""One question and one answer by gRPC over a unix socket, on a connection that is kept (`http2`).

grpcio would do it for 20 MB of memory; httpx does not show the trailers, in which gRPC says whether a call went well, and has
no limit for a call as a whole. All there is of gRPC in one such call ("gRPC over HTTP2"): a POST, a message with a flag and its
length before it, and `grpc-status` at the end.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.gpu.http2 import Body, BrokenOff, Event, Farewell, Fields, Head, Http2Client, NotHttp2, header_block
from scheduler.domain.errors import HeatDispatchError

# What a client of gRPC takes unless told otherwise.
MOST_BYTES: Final = 4 * 1024 * 1024
READ_BYTES: Final = 65536
PREFIX_BYTES: Final = 5
OK: Final = b"0"
HEADERS: Final = (
    (":scheme", "http"),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
# https://grpc.github.io/grpc/core/md_doc_statuscodes.html
STATUS: Final = {
    b"4": "too late",
    b"7": "not permitted",
    b"8": "asked too often",
    b"12": "this call is not known",
    b"13": "an error of its own",
    b"14": "not available now",
}


class NoAnswer(HeatDispatchError):
    """The other side did not answer, or said that it cannot; the next call connects anew."""


class _Closed(NoAnswer):
    """The other side closed the connection before it answered anything: it may have done so long ago."""


@dataclass(slots=True)
class _Reply:
    """What has come of an answer."""

    begun: bool = False
    ended: bool = False
    farewell: bool = False
    status: bytes | None = None
    words: str = ""
    body: bytearray = field(default_factory=bytearray)

    def take(self, event: Event) -> None:
        """Take what came.

        Raises:
            NoAnswer: when it says that there will be none, or one that is too large.
        """
        match event:
            case Head() | Body() if self.ended:
                raise NoAnswer("its answer goes on after its end")
            case Head(fields, last):
                self._head(fields)
                self.ended = last
            case Body(content, last):
                self.body += content
                self.ended = last
                if len(self.body) > MOST_BYTES + PREFIX_BYTES:
                    raise NoAnswer(f"its answer is larger than {MOST_BYTES} bytes")
            case Farewell() if self.ended:
                self.farewell = True
            case Farewell() | BrokenOff():
                raise self.broken("it broke off")

    def _head(self, fields: Fields) -> None:
        """Take headers, or trailers, which are the same where there is no body."""
        self.begun = True
        http = fields.get(b":status", b"200")
        if http != b"200":
            raise NoAnswer(f"it answers with HTTP status {http.decode('ascii', 'replace')}: no server of gRPC")
        self.status = fields.get(b"grpc-status", self.status)
        self.words = fields.get(b"grpc-message", b"").decode("ascii", "replace")[:200] or self.words

    def broken(self, words: str) -> NoAnswer:
        """What it means that no more will come."""
        return NoAnswer(words) if self.begun else _Closed(words)

    def message(self) -> bytes:
        """The one message of it.

        Raises:
            NoAnswer: when the call failed, or there is anything but one whole message.
        """
        if self.status != OK:
            code = b"none" if self.status is None else self.status
            known = STATUS.get(code, f"status {code.decode('ascii', 'replace')}")
            raise NoAnswer(f"it says: {known}" + (f" ({self.words})" if self.words else ""))
        size = int.from_bytes(self.body[1:PREFIX_BYTES], "big")
        if len(self.body) < PREFIX_BYTES or self.body[0] != 0 or size != len(self.body) - PREFIX_BYTES:
            raise NoAnswer("its answer is not one whole message")
        return bytes(self.body[PREFIX_BYTES:])


@dataclass(slots=True)
class _Connection:
    """A connection, and which file it was made by."""

    socket: socket.socket
    http: Http2Client
    file: tuple[int, int]


class UnaryCaller:
    """Calls, one after the other and from one thread, the server behind a socket's file."""

    def __init__(self, path: Path, clock: MonotonicClock, limit_s: float = 1.0) -> None:
        """Not connected; each call may take `limit_s` as a whole."""
        self._path, self._clock, self._limit_s = path, clock, limit_s
        self._connection: _Connection | None = None
        self._headers: dict[str, bytes] = {}

    def call(self, method: str, message: bytes) -> bytes:
        """Ask `/package.Service/Method`; a connection that was closed meanwhile, or was another file's, is made anew at once.

        Raises:
            OSError: when there is no such socket, or nobody may, or nobody answers there.
            NoAnswer: when the answer is none, late, too large, or says that the call failed.
        """
        until_s = self._clock.monotonic_s() + self._limit_s
        kept = self._connection is not None
        try:
            return self._asked(method, message, until_s)
        except _Closed:
            if not kept:
                raise
            return self._asked(method, message, until_s)

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.socket.close()
            self._connection = None

    def _asked(self, method: str, message: bytes, until_s: float) -> bytes:
        """Ask; a connection on which anything went wrong is given up."""
        try:
            connection = self._connected(until_s)
            connection.http.ask(self._head(method), b"\x00" + len(message).to_bytes(PREFIX_BYTES - 1, "big") + message)
            return self._answer(connection, until_s)
        except TimeoutError:
            self.close()
            raise NoAnswer(f"no answer within {self._limit_s:g} s") from None
        except NotHttp2 as error:
            self.close()
            raise NoAnswer(f"it does not speak HTTP/2: {error}") from error
        except (BrokenPipeError, ConnectionResetError):
            self.close()
            raise _Closed("it closed the connection") from None
        except (NoAnswer, OSError):
            self.close()
            raise

    def _connected(self, until_s: float) -> _Connection:
        """The connection there is, if its file is still the one that was connected to; else a new one."""
        found = self._path.stat()
        file = (found.st_dev, found.st_ino)
        if self._connection is not None and self._connection.file == file:
            return self._connection
        self.close()
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection = _Connection(socket=connected, http=Http2Client(), file=file)
        connected.settimeout(self._left_s(until_s))
        connected.connect(str(self._path))
        return self._connection

    def _head(self, method: str) -> bytes:
        """Headers of a call, made once."""
        if method not in self._headers:
            self._headers[method] = header_block([(":method", "POST"), (":path", method), *HEADERS])
        return self._headers[method]

    def _answer(self, connection: _Connection, until_s: float) -> bytes:
        """Send the question, and read until the answer is whole."""
        reply = _Reply()
        self._send(connection, until_s)
        while not reply.ended:
            connection.socket.settimeout(self._left_s(until_s))
            read = connection.socket.recv(READ_BYTES)
            if not read:
                raise reply.broken("it closed the connection")
            for event in connection.http.take(read):
                reply.take(event)
            self._send(connection, until_s)
        if reply.farewell:
            self.close()
        return reply.message()

    def _send(self, connection: _Connection, until_s: float) -> None:
        """Send what HTTP/2 has to say."""
        words = connection.http.words
        if words:
            connection.socket.settimeout(self._left_s(until_s))
            connection.socket.sendall(words)
            words.clear()

    def _left_s(self, until_s: float) -> float:
        """Time that is left.

        Raises:
            TimeoutError: when there is none.
        """
        left_s = until_s - self._clock.monotonic_s()
        if left_s <= 0.0:
            raise TimeoutError
        return left_s
