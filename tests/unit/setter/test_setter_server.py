"""The setter's server under arbitrary bytes from several peers: it never raises, never waits, and serves whoever comes next."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.gpu.setter_wire import MAX_LINE_BYTES, answer_of, asking_line, look_line
from scheduler.domain.capping import Answer, Asking
from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.setter.server import Manners, SetterServer, Taken


@dataclass(slots=True)
class Hand:
    """A clock that is turned by hand."""

    now_s: float = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


@dataclass(slots=True)
class Desk:
    """Notes what comes to it."""

    asked: list[Asking] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def ask(self, asking: Asking) -> Answer:
        self.asked.append(asking)
        return Answer(trouble="asked")

    def look(self) -> Answer:
        return Answer(trouble="looked")

    def refused(self, word: str) -> None:
        self.words.append(word)


@contextmanager
def serving(path: Path, desk: Desk, clock: Hand, manners: Manners | None = None) -> Iterator[SetterServer]:
    server = SetterServer(path, frozenset({os.getuid()}), desk, clock, lambda _: None, manners)
    server.listen()
    try:
        yield server
    finally:
        server.close()


def visitor(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.connect(str(path))
    found.setblocking(False)
    return found


def talk(server: SetterServer, peer: socket.socket, line: bytes) -> bytes:
    """Say a line, and hear what comes back in a few turns."""
    peer.sendall(line)
    told = b""
    for _ in range(5):
        server.turn(0.0)
        with suppress(BlockingIOError):
            told += peer.recv(1 << 20)
    return told


LINES = st.sampled_from([look_line(), asking_line(Asking(source="s", generation=1)), b"\n", b"{}\n", b"x" * MAX_LINE_BYTES])
CHUNK = st.binary(max_size=200) | LINES | LINES.map(lambda line: line[:7])
DEED = st.tuples(st.integers(0, 3), st.one_of(CHUNK, st.none()))


@settings(max_examples=150, deadline=None)
@given(st.lists(DEED, max_size=40))
def test_whatever_peers_say_the_next_one_is_served(deeds: list[tuple[int, bytes | None]]) -> None:
    clock, desk = Hand(), Desk()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "s", desk, clock, Manners(peers=3)) as server:
        peers: dict[int, socket.socket] = {}
        for number, chunk in deeds:
            if chunk is None:
                gone = peers.pop(number, None)
                if gone is not None:
                    gone.close()
            else:
                peer = peers.setdefault(number, visitor(Path(folder) / "s")) if number not in peers else peers[number]
                with suppress(OSError):  # It was hung up on, or reads nothing and is full.
                    peer.send(chunk)
            clock.now_s += 0.01
            server.turn(0.0)
        clock.now_s += 2.0
        server.turn(0.0)
        with visitor(Path(folder) / "s") as last:
            answer = talk(server, last, look_line())
        assert answer_of(answer).trouble == "looked"
        for peer in peers.values():
            peer.close()


def test_answers_come_in_the_order_of_their_lines(tmp_path: Path) -> None:
    desk = Desk()
    with serving(tmp_path / "s", desk, Hand()) as server, visitor(tmp_path / "s") as peer:
        told = talk(server, peer, asking_line(Asking(source="s", generation=7)) + b"nonsense\n" + look_line())
    first, second, third = told.splitlines()
    assert answer_of(first).trouble == "asked"
    assert b"not JSON" in second
    assert answer_of(third).trouble == "looked"
    assert [one.generation for one in desk.asked] == [7]
    assert desk.words == ["malformed"]


def test_messages_beyond_the_rate_are_answered_and_go_no_further(tmp_path: Path) -> None:
    desk, clock = Desk(), Hand()
    line = asking_line(Asking(source="s", generation=1))
    with serving(tmp_path / "s", desk, clock, Manners(rate=3)) as server, visitor(tmp_path / "s") as peer:
        told = talk(server, peer, line * 5)
        assert len(desk.asked) == 3
        assert told.count(b"more than 3 messages a second") == 2
        # Another connection of the same process has no messages of its own.
        with visitor(tmp_path / "s") as other:
            assert b"more than 3" in talk(server, other, line)
        clock.now_s += 1.0
        talk(server, peer, line)
    assert len(desk.asked) == 4
    assert desk.words == ["rate"] * 3


def test_whoever_is_quiet_for_long_goes(tmp_path: Path) -> None:
    clock = Hand()
    with serving(tmp_path / "s", Desk(), clock, Manners(idle_s=10.0)) as server, visitor(tmp_path / "s") as peer:
        assert talk(server, peer, look_line())
        for _ in range(12):
            clock.now_s += 1.0
            server.turn(0.0)
        assert peer.recv(10) == b""


def test_what_was_said_while_it_stood_still_is_not_heard(tmp_path: Path) -> None:
    desk, clock = Desk(), Hand()
    with serving(tmp_path / "s", desk, clock) as server, visitor(tmp_path / "s") as peer:
        talk(server, peer, look_line())
        waiting = visitor(tmp_path / "s")
        for one in (peer, waiting):
            one.sendall(asking_line(Asking(source="s", generation=1)))
        clock.now_s += 1.5
        server.turn(0.0)
        server.turn(0.0)
        assert desk.asked == []
        for one in (peer, waiting):
            with suppress(ConnectionResetError):
                assert one.recv(10) == b""
        waiting.close()
        with visitor(tmp_path / "s") as again:
            talk(server, again, asking_line(Asking(source="s", generation=1)))
    assert len(desk.asked) == 1


def test_a_socket_that_is_used_is_not_taken_and_one_that_is_left_is(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with serving(path, Desk(), Hand()), pytest.raises(Taken), serving(path, Desk(), Hand()):
        pass
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    with serving(path, Desk(), Hand()) as server, visitor(path) as peer:
        assert talk(server, peer, look_line())
    assert not path.exists()


@pytest.mark.parametrize("name", ["no/folder", "file", "x" * 200])
def test_where_no_socket_can_be_it_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"expected a path for a socket"), serving(tmp_path / name, Desk(), Hand()):
        pass
    assert (tmp_path / "file").read_text("utf-8") == "mine"
