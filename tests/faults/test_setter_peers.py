"""Peers of a setter that are strangers, talk nonsense, flood, stall or tear: they are refused, and the agent is served."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from gpu_machine import Machine
from setter_process import STEADY, Asker, SetterProcess, asking, limit_w, limits_are, looked, running_setter, until

from scheduler.adapters.gpu.setter_client import SetterAway, SetterClient
from scheduler.adapters.gpu.setter_wire import MAX_LINE_BYTES, asking_line, look_line
from scheduler.domain.capping import Condition, Restored, Want

ONE_W = {"GPU-0000": 400.0}
STRANGER = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(sys.argv[1])
    told = b""
    try:
        peer.sendall(sys.argv[2].encode() + b"\\n")
        told = peer.recv(4096)
    except (BrokenPipeError, ConnectionResetError):
        pass
    sys.stdout.write(told.decode())
"""


@pytest.fixture(scope="module")
def machine(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Two GPUs for all tests here, none of which hurts them."""
    return Machine.create(tmp_path_factory.mktemp("peers"), library, gpus=2)


@pytest.fixture(scope="module")
def setter(machine: Machine) -> Iterator[SetterProcess]:
    """One setter for all tests here: none of them may hurt it."""
    with running_setter(machine, machine.file.parent, rules=STEADY) as found:
        yield found


@pytest.fixture(scope="module")
def one_agent(setter: SetterProcess) -> Iterator[Asker]:
    with Asker(setter, asking(ONE_W, generation=1000)).asks() as found:
        yield found


@pytest.fixture
def agent(machine: Machine, one_agent: Asker) -> Asker:
    """An agent whose cap holds, and that asks on."""
    one_agent.want(ONE_W, generation=one_agent.asking.generation + 1)
    limits_are(machine, one_agent.setter, {0: 400.0, 1: 700.0})
    one_agent.until("GPU-0000", Condition.CAPPED)
    return one_agent


def connected(setter: SetterProcess) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(10.0)
    peer.connect(str(setter.socket))
    return peer


def answered(peer: socket.socket) -> bytes:
    """One line, or what came before the setter hung up."""
    told = b""
    with suppress(ConnectionError):
        while not told.endswith(b"\n"):
            more = peer.recv(65536)
            if not more:
                break
            told += more
    return told


def still_served(machine: Machine, agent: Asker) -> None:
    """The agent has its way: a change is made, and its cap was never lost meanwhile."""
    assert limit_w(machine, 0) == 400.0
    agent.want({"GPU-0000": 450.0}, generation=agent.asking.generation + 1)
    limits_are(machine, agent.setter, {0: 450.0})
    assert Restored.SILENT not in agent.answer.counts.restores


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_turned_away(machine: Machine, setter: SetterProcess, agent: Asker) -> None:
    for folder in list(setter.socket.parents)[:-1]:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    setter.socket.chmod(0o666)
    order = asking_line(asking({}, generation=10_000)).decode().strip()
    told = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, str(setter.socket), order],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert told == "" or "may not ask" in told
    until(lambda: agent.answer.counts.refused.get("peer") == 1, setter.told)
    assert "user 65534 may not ask" in setter.told()
    still_served(machine, agent)


def test_users_that_are_named_may_ask_through_a_door_that_others_can_reach(library: Path, tmp_path: Path) -> None:
    machine = Machine.create(tmp_path, library, gpus=2)
    with running_setter(machine, tmp_path, uids=(os.getuid(), 65532)) as setter:
        assert setter.socket.stat().st_mode & 0o777 == 0o666
        assert len(setter.look().gpus) == 2
    with running_setter(machine, tmp_path, name="strict", uids=(65532,), ready=False) as setter:
        until(lambda: "in charge" in setter.told(), setter.told)
        with pytest.raises(SetterAway, match="may not ask|reset|hung up"):
            SetterClient(setter.socket).look()


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"hello\n",
        b"\x00\xff\xfe\n",
        b"[" * 60_000 + b"\n",
        b'{"version":1}\n',
        b'{"version":99,"look":true}\n',
        b"GET / HTTP/1.1\r\n\r\n",
        b'{"version":1,"source":"s","generation":-1}\n',
    ],
)
def test_nonsense_is_answered_and_changes_nothing(machine: Machine, setter: SetterProcess, agent: Asker, line: bytes) -> None:
    with connected(setter) as peer:
        peer.sendall(line)
        assert "error" in json.loads(answered(peer).splitlines()[0])
        # The connection is as good as before.
        peer.sendall(look_line())
        assert b'"gpus"' in answered(peer)
    still_served(machine, agent)


def test_wants_that_cannot_be_are_refused_by_name_and_end_only_their_own_cap(
    machine: Machine, setter: SetterProcess, agent: Asker
) -> None:
    good = Want(uuid="GPU-0000", cap_w=400.0, lease_s=60.0, pod_uid="pod")
    bad = [
        Want(uuid="GPU-0001", cap_w=float("nan"), lease_s=60.0),
        Want(uuid="GPU-0001", cap_w=-1.0, lease_s=60.0),
        Want(uuid="GPU-0001", cap_w=1e9, lease_s=60.0),
        Want(uuid="GPU-0001", cap_w=400.0, lease_s=float("inf")),
        Want(uuid="GPU-9999", cap_w=400.0, lease_s=60.0),
    ]
    for want in bad:
        before = agent.answer.counts.refused.get(word(want), 0)
        agent.asking = replace(agent.asking, generation=agent.asking.generation + 1, wants=(good, want))
        until(lambda: agent.answer.counts.refused.get(word(want), 0) > before, setter.told)  # noqa: B023 - called here
        until(lambda: f"gpu={want.uuid} why={word(want)}" in setter.told(), setter.told)  # noqa: B023 - called here
    assert limit_w(machine, 1) == 700.0
    still_served(machine, agent)
    # Orders come again and again, twice a second or more; the log does not.
    told = [line for line in setter.told().splitlines() if " refused " in line]
    assert len(told) <= len(bad)


def word(want: Want) -> str:
    """What it is refused for."""
    if want.uuid == "GPU-9999":
        return "unknown_gpu"
    if want.cap_w != want.cap_w or want.lease_s == float("inf"):
        return "not_a_number"
    return "cap_out_of_range"


def test_a_line_without_an_end_costs_the_connection(machine: Machine, setter: SetterProcess, agent: Asker) -> None:
    with connected(setter) as peer:
        with suppress(ConnectionError):
            for _ in range(8):
                peer.sendall(b"x" * MAX_LINE_BYTES)
        assert b"longer than" in answered(peer) or answered(peer) == b""
    still_served(machine, agent)


def test_thousands_of_messages_a_second_are_not_acted_on(machine: Machine, setter: SetterProcess, agent: Asker) -> None:
    newer = agent.asking.generation + 1
    flood = b"".join(asking_line(asking({"GPU-0001": 300.0 + number % 300}, generation=newer)) for number in range(400))
    # By a process of its own, since its agent's connection counts with it otherwise.
    script = (
        "import socket, sys, time\n"
        "peer = socket.socket(socket.AF_UNIX); peer.connect(sys.argv[1]); peer.settimeout(10)\n"
        "flood = sys.stdin.buffer.read(); until = time.monotonic() + 2; told = b''\n"
        "while time.monotonic() < until:\n"
        "    peer.sendall(flood); lines = 0\n"
        "    while lines < flood.count(b'\\n'):\n"
        "        more = peer.recv(1 << 20)\n"
        "        if not more: sys.exit('hung up')\n"
        "        lines += more.count(b'\\n'); told += more\n"
        "print(told.count(b'messages a second'), told.count(b'\"gpus\"'))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", script, str(setter.socket)], input=flood, capture_output=True, timeout=60, check=True
    )
    errors, served = map(int, ran.stdout.split())
    assert errors > served
    # Fifty in each second that it took, of which there are at most three and a bit; a slow machine gives it more seconds.
    assert served <= 50 * 10
    agent.want({"GPU-0000": 450.0}, generation=newer + 1)
    limits_are(machine, setter, {0: 450.0, 1: 700.0})


def test_a_peer_that_reads_no_answers_loses_its_connection(machine: Machine, setter: SetterProcess, agent: Asker) -> None:
    with connected(setter) as peer:
        peer.settimeout(0.5)
        with suppress(TimeoutError, ConnectionError):
            while True:
                peer.sendall(look_line() * 1000)
        still_served(machine, agent)


def test_half_a_line_waits_for_its_other_half_and_holds_nobody_up(
    machine: Machine, setter: SetterProcess, agent: Asker
) -> None:
    line = look_line()
    with connected(setter) as peer:
        peer.sendall(line[:10])
        time.sleep(0.5)
        still_served(machine, agent)
        peer.sendall(line[10:])
        assert b'"gpus"' in answered(peer)


def test_more_connections_than_there_are_places_do_not_shut_the_agent_out(
    machine: Machine, setter: SetterProcess, agent: Asker
) -> None:
    peers = [connected(setter) for _ in range(40)]
    still_served(machine, agent)
    for peer in peers:
        peer.close()


def test_a_connection_that_is_torn_is_made_again(machine: Machine, setter: SetterProcess, agent: Asker) -> None:
    for _ in range(3):
        # Whoever comes last is kept: the agent's own connection is the one that was quiet longest.
        peers = [connected(setter) for _ in range(9)]
        time.sleep(0.2)
        for peer in peers:
            peer.close()
    still_served(machine, agent)


def test_a_socket_that_was_removed_is_there_again(machine: Machine, setter: SetterProcess, agent: Asker) -> None:
    setter.socket.unlink()
    until(lambda: len(looked(setter).gpus) == 2, setter.told)
    still_served(machine, agent)


def test_an_older_generation_is_no_order_and_no_sign_of_life(library: Path, tmp_path: Path) -> None:
    machine = Machine.create(tmp_path, library, gpus=2)
    with running_setter(machine, tmp_path) as setter, Asker(setter, asking(ONE_W, generation=7)).asks() as agent:
        limits_are(machine, setter, {0: 400.0})
        old = SetterClient(setter.socket)
        answer = old.exchange(asking({"GPU-0001": 300.0}, generation=6))
        assert "generation 6 is older than 7" in answer.trouble
        assert answer.counts.refused["older_generation"] == 1
        agent.fall_silent()

        def silence_counts() -> bool:
            old.exchange(asking({"GPU-0001": 300.0}, generation=6))
            return limit_w(machine, 0) == 700.0

        until(silence_counts, setter.told)
        assert limit_w(machine, 1) == 700.0
        old.close()
