"""The client against peers that are away, slow, restarted, or talk nonsense: an answer, or `SetterAway` in time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

import pytest

from scheduler.adapters.gpu.setter_client import SetterAway, SetterClient
from scheduler.adapters.gpu.setter_wire import MAX_LINE_BYTES, answer_line, error_line, request_of
from scheduler.domain.capping import Answer, Asking, Condition, GpuStanding, Want

ASKING = Asking(source="s", generation=1, wants=(Want(uuid="GPU-1", cap_w=400.0, lease_s=5.0),))
ANSWER = Answer(gpus=(GpuStanding(uuid="GPU-1", condition=Condition.CAPPED, cap_w=400.0),), dry_run=False)

Reply = Callable[[bytes], bytes | None]


@contextmanager
def peer(path: Path, reply: Reply, lines_each: int = 1_000_000) -> Iterator[list[bytes]]:
    """A setter of one thread: answers each line with what `reply` says, hangs up on None and after so many lines."""
    heard: list[bytes] = []
    clients: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    clients.append(server.accept()[0])
                    with suppress(ConnectionError), clients[-1] as client, client.makefile("rb") as lines:
                        talk(client, lines)

        def talk(client: socket.socket, lines: BufferedReader) -> None:
            for _ in range(lines_each):
                line = lines.readline()
                answer = reply(line) if line else None
                if answer is None:
                    break
                heard.append(line)
                client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield heard
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for client in clients:
                with suppress(OSError):  # It has hung up already.
                    client.shutdown(socket.SHUT_RDWR)
            thread.join(5.0)
    path.unlink()


def always(_: bytes) -> bytes:
    return answer_line(ANSWER)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def client(path: Path) -> Iterator[SetterClient]:
    found = SetterClient(path, timeout_s=0.5)
    yield found
    found.close()


def test_it_asks_and_is_answered(path: Path, client: SetterClient) -> None:
    with peer(path, always) as heard:
        assert client.exchange(ASKING) == ANSWER
        assert client.look() == ANSWER
    assert [request_of(line) for line in heard] == [ASKING, None]


def test_nobody_there(client: SetterClient) -> None:
    with pytest.raises(SetterAway, match="No such file"):
        client.look()


def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    with pytest.raises(SetterAway, match="too long"):
        SetterClient(tmp_path / ("x" * 200)).look()


def test_it_finds_a_setter_that_was_started_anew(path: Path, client: SetterClient) -> None:
    for _ in range(2):
        with peer(path, always):
            assert client.exchange(ASKING) == ANSWER
    with pytest.raises(SetterAway):
        client.exchange(ASKING)


def test_a_connection_that_went_stale_costs_no_answer(path: Path, client: SetterClient) -> None:
    with peer(path, always, lines_each=1):
        assert [client.exchange(ASKING) for _ in range(4)] == [ANSWER] * 4


def test_silence_is_given_up(path: Path, client: SetterClient) -> None:
    held = threading.Event()

    def silent(_: bytes) -> bytes:
        held.wait(10.0)
        return answer_line(ANSWER)

    with peer(path, silent):
        with pytest.raises(SetterAway, match=r"no answer within 0\.5 s"):
            client.look()
        held.set()


def test_an_answer_that_comes_too_late_is_never_taken_for_the_next(path: Path, client: SetterClient) -> None:
    late = threading.Event()
    first = iter([True])

    def slow_once(_: bytes) -> bytes:
        if next(first, False):
            late.wait(10.0)
            return answer_line(Answer(trouble="the late one"))
        return answer_line(ANSWER)

    with peer(path, slow_once):
        with pytest.raises(SetterAway):
            client.look()
        late.set()
        assert client.look() == ANSWER


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"hello\n", "not JSON"),
        (b'{"version":1,"gpus":"all"}\n', "gpus"),
        (error_line("more than 50 messages a second"), "more than 50 messages"),
        (b"x" * (MAX_LINE_BYTES + 1), "more than one answer holds"),
        (answer_line(ANSWER)[:40], "no answer within"),
    ],
)
def test_nonsense_is_no_answer(path: Path, client: SetterClient, answer: bytes, says: str) -> None:
    with peer(path, lambda _: answer), pytest.raises(SetterAway, match=says):
        client.look()


def test_one_that_hangs_up_each_time_is_away(path: Path, client: SetterClient) -> None:
    with peer(path, lambda _: None), pytest.raises(SetterAway, match="hung up"):
        client.look()


def test_one_that_hangs_up_at_once_is_heard_if_it_said_why(path: Path, client: SetterClient) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()

        def turn_away() -> None:
            with server.accept()[0] as visitor:
                visitor.sendall(error_line("this user may not ask"))

        for _ in range(5):
            thread = threading.Thread(target=turn_away)
            thread.start()
            with pytest.raises(SetterAway, match="this user may not ask"):
                client.look()
            thread.join(5.0)
