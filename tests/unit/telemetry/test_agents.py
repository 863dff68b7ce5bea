"""Asking agents over real connections: bounded, patient with nobody, and stale in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from agent_peer import AgentPeer, slot, telemetry

from scheduler.adapters.telemetry.agents import Agents
from scheduler.adapters.telemetry.asking import Manners, Target, Trust

GPU = {"uuid": "GPU-1", "podUid": "pod-1"}


@dataclass(slots=True)
class Hand:
    """A clock that is turned by hand."""

    now_s: float = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


def answer(node: str, joules: float = 3000.0, sequence: int = 1) -> dict[str, object]:
    return telemetry(node, GPU, slots=[slot(sequence, {"GPU-1": joules})])


def turn(agents: Agents, turns: int = 1) -> None:
    async def run() -> None:
        async with agents.client() as client:
            for _ in range(turns):
                await agents.turn(client)

    asyncio.run(run())


def asking(*targets: Target, clock: Hand | None = None, manners: Manners | None = None, trust: Trust | None = None) -> Agents:
    named: Sequence[Target] = targets
    return Agents(lambda: named, clock or Hand(), manners, trust)


def test_an_agent_is_heard_and_asked_for_what_came_since() -> None:
    with AgentPeer(answer("n0")) as peer:
        agents = asking(Target(node="n0", url=peer.url))
        turn(agents, 2)
        assert peer.asked == [{}, {"since": "1", "boot": "first"}]
    assert agents.silent() == {}


def test_what_was_said_goes_stale() -> None:
    clock = Hand()
    with AgentPeer(answer("n0")) as peer:
        agents = asking(Target(node="n0", url=peer.url), clock=clock)
        turn(agents)
        assert agents.draws()["n0"].draw_w == 300.0
    clock.now_s += 179.0
    turn(agents)  # nobody listens any more
    assert agents.draws()["n0"].draw_w == 300.0
    clock.now_s += 2.0
    assert agents.draws() == {}
    assert "refused" in agents.silent()["n0"] or "attempts failed" in agents.silent()["n0"]


def test_a_node_that_is_gone_is_forgotten() -> None:
    with AgentPeer(answer("n0")) as peer:
        targets = [Target(node="n0", url=peer.url)]
        agents = Agents(lambda: targets, Hand())
        turn(agents)
        targets.clear()
        turn(agents)
    assert (agents.draws(), agents.silent()) == ({}, {})


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        (AgentPeer(answer("another")), "not believed: node: 'another' (expected 'n0')"),
        (AgentPeer({}, raw=b"<html>"), "not believed: it is no JSON"),
        (AgentPeer({}, raw=b"\xff\xfe{"), "not believed: it is no JSON"),
        (AgentPeer({}, raw=b"[" * 1900), "not believed: it is no JSON"),
        (AgentPeer({}, raw=b" " * 3000), "not believed: longer than 2000 bytes"),
        (AgentPeer({}, token="secret"), "HTTP 401"),
        (AgentPeer(answer("n0"), delay_s=1.5), "no answer within 0.5 s"),
    ],
    ids=["another-node", "html", "bytes", "deep", "long", "token", "slow"],
)
def test_an_agent_that_is_no_use_is_named_with_the_reason_and_the_others_are_heard(peer: AgentPeer, why: str) -> None:
    manners = Manners(timeout_s=0.5, max_bytes=2000)
    with peer, AgentPeer(answer("n1")) as good:
        agents = asking(Target(node="n0", url=peer.url), Target(node="n1", url=good.url), manners=manners)
        turn(agents)
    assert agents.silent() == {"n0": why}
    assert list(agents.draws()) == ["n1"]


def test_the_token_is_read_anew_every_turn(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with AgentPeer(answer("n0"), token="new") as peer:
        agents = asking(Target(node="n0", url=peer.url), trust=Trust(token_file=token))
        turn(agents)
        assert agents.silent() == {"n0": "the token could not be read: No such file or directory"}
        token.write_text("old\n", encoding="utf-8")
        turn(agents)
        assert agents.silent() == {"n0": "HTTP 401"}
        token.write_text("new\n", encoding="utf-8")
        turn(agents)
        assert agents.silent() == {}


def test_many_slow_agents_are_asked_side_by_side() -> None:
    slow_s = 0.3
    with AgentPeer(answer("n0"), delay_s=slow_s) as peer:
        agents = asking(*(Target(node=f"n{number}", url=peer.url) for number in range(40)), manners=Manners(at_once=20))
        began_s = time.perf_counter()
        turn(agents)
        took_s = time.perf_counter() - began_s
    # Forty one after the other would take twelve seconds; all but one speak in another's name.
    assert len(peer.asked) == 40
    assert took_s < 40 * slow_s
    assert len(agents.silent()) == 39
