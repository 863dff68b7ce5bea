"""The setter's socket: who may ask, how often, and no waiting for anybody.

One thread serves all peers without ever blocking on one: a peer that sends half a line, a flood, or reads no answers, costs
memory up to a bound and then its connection.
"""

from __future__ import annotations

import os
import selectors
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.gpu.setter_wire import MAX_LINE_BYTES, Malformed, answer_line, error_line, request_of
from scheduler.domain.capping import Answer, Asking
from scheduler.domain.errors import HeatDispatchError, Misconfigured

CHUNK_BYTES = 64 * 1024
CREDENTIALS = struct.Struct("3i")
RATE_WINDOW_S = 1.0
WAIT_AT_DOOR = 64
# sockaddr_un of Linux; a longer one could be made by renaming, and nobody could connect to it.
MAX_PATH_BYTES = 107
# A turn that comes so much too late: this process was stopped, or starved.
FROZEN_S = 1.0
MAX_NAMED_STRANGERS = 16


class Desk(Protocol):
    """What the lines come to. Called on the server's thread; answers at once."""

    def ask(self, asking: Asking) -> Answer:
        """Take an order."""
        ...

    def look(self) -> Answer:
        """How all GPUs stand."""
        ...

    def refused(self, word: str) -> None:
        """Count a line, or a peer, that was turned away."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What peers may do.

    rate: messages a second of one process. unread_bytes: answers that may wait for one. idle_s: of silence, then it goes.
    """

    peers: int = 8
    rate: int = 50
    unread_bytes: int = 4 * MAX_LINE_BYTES
    idle_s: float = 60.0


class Taken(HeatDispatchError):
    """Somebody else answers at this path."""


@dataclass(slots=True, eq=False)
class _Peer:
    """One connection."""

    socket: socket.socket
    pid: int
    heard_s: float
    unread: bytearray = field(default_factory=bytearray)
    to_send: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _Window:
    """Messages of one process since a moment."""

    since_s: float
    messages: int = 0


class SetterServer:
    """Listens at a path; `turn` serves whoever is there."""

    def __init__(
        self,
        path: Path,
        allowed: frozenset[int],
        desk: Desk,
        clock: MonotonicClock,
        tell: Callable[[str], None],
        manners: Manners | None = None,
    ) -> None:
        """Serve processes of the users `allowed`; `tell` is given a line about strangers."""
        self._path, self._allowed, self._desk, self._clock, self._tell = path, allowed, desk, clock, tell
        self._manners = manners or Manners()
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._ours = (0, 0)
        self._peers: list[_Peer] = []
        self._windows: dict[int, _Window] = {}
        self._strangers: set[int] = set()
        self._tended_s = self._turned_s = clock.monotonic_s()

    # Being there.

    def listen(self) -> None:
        """Listen; a socket that nobody answers at any more is replaced.

        Raises:
            Taken: when somebody answers there. Misconfigured: when no socket can be there.
        """
        where = str(self._path)
        if len(os.fsencode(where)) > MAX_PATH_BYTES:
            raise Misconfigured("too long", where=where, expected=f"a path for a socket, of {MAX_PATH_BYTES} bytes at most")
        try:
            if _taken(self._path):
                raise Taken(f"{where}: another setter answers there")
            self._listener = self._bound()
        except OSError as error:
            raise Misconfigured(
                error.strerror or str(error), where=where, expected="a path for a socket, in a folder that can be written"
            ) from error
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _bound(self) -> socket.socket:
        """A listening socket, which comes to its path ready: nobody finds one that does not listen or has other rights."""
        made = self._path.with_name(f".{os.getpid()}")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.bind(str(made))
            # The door is open to all, since the agent is another user; who comes in is asked who he is.
            made.chmod(0o600 if self._allowed == {os.geteuid()} else 0o666)
            listener.listen(WAIT_AT_DOOR)
            made.rename(self._path)
        except OSError:
            listener.close()
            with suppress(OSError):
                made.unlink()
            raise
        self._ours = _identity(self._path)
        return listener

    def close(self) -> None:
        """Hang up on all."""
        for peer in tuple(self._peers):
            self._drop(peer)
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            if _identity(self._path) == self._ours:
                with suppress(OSError):
                    self._path.unlink()
        self._selector.close()

    # Serving.

    def turn(self, wait_s: float) -> None:
        """Serve whoever is there, or wait so long for somebody."""
        ready = self._selector.select(wait_s)
        now_s = self._clock.monotonic_s()
        frozen, self._turned_s = now_s - self._turned_s > wait_s + FROZEN_S, now_s
        if frozen:
            self._hang_up()
            return
        for key, events in ready:
            peer = key.data
            if peer is None:
                for visitor in self._visitors():
                    self._welcome(visitor)
                continue
            if events & selectors.EVENT_WRITE:
                self._send(peer)
            if events & selectors.EVENT_READ and peer in self._peers:
                self._receive(peer)
        if self._clock.monotonic_s() - self._tended_s >= RATE_WINDOW_S:
            self._tend()

    def _hang_up(self) -> None:
        """We stood still: what was said meanwhile is no word of now, and whoever is there says it again."""
        for peer in tuple(self._peers):
            self._drop(peer)
        for visitor in self._visitors():
            visitor.close()

    def _visitors(self) -> Iterator[socket.socket]:
        """Those who wait at the door."""
        for _ in range(WAIT_AT_DOOR):
            if self._listener is None:
                return
            try:
                yield self._listener.accept()[0]
            except OSError:
                return  # Nobody any more; or there is no descriptor left, and they wait.

    def _welcome(self, visitor: socket.socket) -> None:
        """Let somebody in, or not; where all places are taken, who was quiet longest goes."""
        visitor.setblocking(False)
        told = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        pid, uid, _ = CREDENTIALS.unpack(told)
        if uid not in self._allowed:
            self._turn_away(visitor, uid)
            return
        if len(self._peers) >= self._manners.peers:
            self._drop(min(self._peers, key=lambda peer: peer.heard_s))
        peer = _Peer(socket=visitor, pid=pid, heard_s=self._clock.monotonic_s())
        self._peers.append(peer)
        self._selector.register(visitor, selectors.EVENT_READ, peer)

    def _turn_away(self, visitor: socket.socket, uid: int) -> None:
        """A stranger is told nothing but that."""
        self._desk.refused("peer")
        if uid not in self._strangers and len(self._strangers) < MAX_NAMED_STRANGERS:
            self._strangers.add(uid)
            self._tell(f"user {uid} may not ask this setter, only {', '.join(map(str, sorted(self._allowed)))}")
        with suppress(OSError):
            visitor.send(error_line("this user may not ask"))
        visitor.close()

    def _receive(self, peer: _Peer) -> None:
        """Read what is there, at most so much, and answer each whole line."""
        try:
            more = peer.socket.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        if not more:
            self._drop(peer)
            return
        peer.heard_s = self._clock.monotonic_s()
        peer.unread += more
        *lines, rest = peer.unread.split(b"\n")
        peer.unread = rest
        for line in lines:
            peer.to_send += self._answered(peer, bytes(line))
            if len(peer.to_send) > self._manners.unread_bytes:
                break
        if len(rest) > MAX_LINE_BYTES:
            self._desk.refused("malformed")
            peer.to_send += error_line(f"a line is longer than {MAX_LINE_BYTES} bytes")
            self._send(peer)
            self._drop(peer)
            return
        self._send(peer)

    def _answered(self, peer: _Peer, line: bytes) -> bytes:
        """The answer to a line."""
        if not self._within_rate(peer):
            self._desk.refused("rate")
            return error_line(f"more than {self._manners.rate} messages a second")
        try:
            asking = request_of(line)
        except Malformed as error:
            self._desk.refused("malformed")
            return error_line(str(error))
        return answer_line(self._desk.look() if asking is None else self._desk.ask(asking))

    def _within_rate(self, peer: _Peer) -> bool:
        """Whether this process has a message left in this second; connections of one process share them."""
        window = self._windows.setdefault(peer.pid, _Window(since_s=peer.heard_s))
        if peer.heard_s - window.since_s >= RATE_WINDOW_S:
            window.since_s, window.messages = peer.heard_s, 0
        window.messages += 1
        return window.messages <= self._manners.rate

    def _send(self, peer: _Peer) -> None:
        """Send what can be sent now; whoever reads no answers loses his connection."""
        try:
            while peer.to_send:
                del peer.to_send[: peer.socket.send(peer.to_send)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(peer)
            return
        if len(peer.to_send) > self._manners.unread_bytes:
            self._drop(peer)
            return
        if peer in self._peers:
            waits = selectors.EVENT_WRITE if peer.to_send else 0
            self._selector.modify(peer.socket, selectors.EVENT_READ | waits, peer)

    def _drop(self, peer: _Peer) -> None:
        """Hang up on a peer."""
        if peer in self._peers:
            self._peers.remove(peer)
            self._selector.unregister(peer.socket)
            peer.socket.close()

    def _tend(self) -> None:
        """Once a second: forget who is quiet, and see that the door is still there."""
        now_s = self._tended_s = self._clock.monotonic_s()
        self._windows = {pid: one for pid, one in self._windows.items() if now_s - one.since_s < RATE_WINDOW_S}
        for peer in [peer for peer in self._peers if now_s - peer.heard_s > self._manners.idle_s]:
            self._drop(peer)
        if self._listener is not None and _identity(self._path) == (0, 0):
            self._reopen(self._listener)

    def _reopen(self, old: socket.socket) -> None:
        """Somebody removed our socket: put one there again, and keep those who are connected."""
        try:
            new = self._bound()
        except OSError:
            return  # Its folder is gone too; the next look may find it.
        self._selector.unregister(old)
        old.close()
        self._listener = new
        self._selector.register(new, selectors.EVENT_READ)
        self._tell(f"{self._path} had been removed")


def _taken(path: Path) -> bool:
    """Whether somebody listens at a path; OSError when something else than a socket is there."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(kind):
        raise FileExistsError(0, "this is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except TimeoutError:
            return True
    return True


def _identity(path: Path) -> tuple[int, int]:
    """Which file is at a path; (0, 0) when none is."""
    try:
        found = path.lstat()
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)
