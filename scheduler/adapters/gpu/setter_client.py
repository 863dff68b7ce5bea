"""The agent's end of the socket to its setter: short waits, one line each way, a new connection whenever one breaks."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from scheduler.adapters.gpu.setter_wire import MAX_LINE_BYTES, Malformed, answer_of, asking_line, look_line
from scheduler.domain.capping import Answer, Asking
from scheduler.domain.errors import HeatDispatchError

CHUNK_BYTES = 16 * 1024


class SetterAway(HeatDispatchError):
    """The setter cannot be asked, or would not answer; why."""


class SetterClient:
    """Asks one setter; for any thread, one question at a time."""

    def __init__(self, path: Path, timeout_s: float = 1.0) -> None:
        """Ask at `path`; a whole exchange takes no longer than `timeout_s`, twice that if the connection had gone stale."""
        self._path, self._timeout_s = path, timeout_s
        self._lock = threading.Lock()
        self._peer: socket.socket | None = None
        self._last: tuple[bytes, Answer] = (b"", Answer())
        self._asked: tuple[Asking | None, bytes] = (None, b"")

    def exchange(self, asking: Asking) -> Answer:
        """Ask for all caps of the node; the answer tells how every GPU stands.

        Raises:
            SetterAway: when that cannot be done.
        """
        if asking is not self._asked[0]:
            self._asked = asking, asking_line(asking)
        return self._ask(self._asked[1])

    def look(self) -> Answer:
        """How every GPU stands; asks for nothing, and is no sign of life.

        Raises:
            SetterAway: when that cannot be done.
        """
        return self._ask(look_line())

    def close(self) -> None:
        """Let the connection go."""
        with self._lock:
            self._hang_up()

    def _ask(self, line: bytes) -> Answer:
        with self._lock:
            used = self._peer is not None
            try:
                try:
                    return self._read(self._told(line))
                except ConnectionError:
                    # A setter that was started anew has hung up on us. Asking says the whole state: twice is as good as once.
                    if not used:
                        raise
                    self._hang_up()
                    return self._read(self._told(line))
            except TimeoutError as error:
                self._hang_up()
                raise SetterAway(f"{self._path}: no answer within {self._timeout_s:g} s") from error
            except OSError as error:
                self._hang_up()
                raise SetterAway(f"{self._path}: {error.strerror or error}") from error
            except Malformed as error:
                # Whatever else stands in this connection answers nothing that is asked next.
                self._hang_up()
                raise SetterAway(f"{self._path}: it answers: {error}") from error

    def _read(self, line: bytes) -> Answer:
        """What a line answers; most are the same as the one before, and are not read twice."""
        if line != self._last[0]:
            self._last = line, answer_of(line)
        return self._last[1]

    def _told(self, line: bytes) -> bytes:
        """The line that answers a line."""
        until_s = time.monotonic() + self._timeout_s
        peer = self._connected(until_s)
        peer.settimeout(_left_s(until_s))
        with suppress(BrokenPipeError):  # It hung up at once, and may have said why.
            peer.sendall(line)
        told = bytearray()
        while not told.endswith(b"\n"):
            peer.settimeout(_left_s(until_s))
            more = peer.recv(CHUNK_BYTES)
            if not more:
                raise ConnectionResetError("it hung up")
            told += more
            if len(told) > MAX_LINE_BYTES:
                raise Malformed("more than one answer holds")
        return bytes(told)

    def _connected(self, until_s: float) -> socket.socket:
        if self._peer is None:
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            peer.settimeout(_left_s(until_s))
            try:
                peer.connect(str(self._path))
            except OSError:
                peer.close()
                raise
            self._peer = peer
        return self._peer

    def _hang_up(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None


def _left_s(until_s: float) -> float:
    """Time that is left.

    Raises:
        TimeoutError: when none is.
    """
    left_s = until_s - time.monotonic()
    if left_s <= 0.0:
        raise TimeoutError
    return left_s
