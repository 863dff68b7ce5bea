"""Whatever is sent, nothing of it becomes a letter, nobody else waits for it, and no log tells of it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from link_world import CITY
from rest_hostile import MAKERS, Attack, attack, attacked, attacks, request, wrongly
from rest_world import PLENTY, Authority, Served, credentials, served

from scheduler.adapters.plantlink.rest.connection import Patience
from scheduler.adapters.plantlink.rest.guests import Room
from scheduler.domain.link_options import RestOptions

HURRIED = Patience(handshake_s=1.0, request_s=1.0, answer_s=20.0, idle_s=1.0)
URL = f"/v1/offtakes/{CITY}"


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One interface that waits for nobody long."""
    options = RestOptions(port=0, credentials=credentials(tmp_path_factory.mktemp("rest")), **PLENTY)
    with served(options, HURRIED) as found:
        found.plan(1)
        yield found


def test_what_would_be_taken_is_taken(link: Served) -> None:
    assert asyncio.run(attack(link.interface.port, Attack("none", request()))) == 200
    assert link.desk.letters.pop().sender.name == "city-plant"


def test_of_hundreds_of_hostile_requests_none_is_accepted(link: Served, caplog: pytest.LogCaptureFixture) -> None:
    found = asyncio.run(attacked(link.interface.port, attacks(480)))
    assert [(one.name, one.data[:200], status) for one, status in found if wrongly(one, status)] == []
    assert list(link.desk.letters) == []
    assert set(Counter(one.name for one, _ in found)) == set(MAKERS)
    assert len(link.desk.refusals) > 200
    assert caplog.records == []
    assert not link.complaints
    with link.client() as city:
        assert city.get(f"{URL}/schedule").status_code == 200


def test_what_is_turned_away_is_noted_without_what_was_secret(link: Served) -> None:
    asyncio.run(attack(link.interface.port, Attack("path", request("/v1/\x1b[31m" + "a" * 500, method="GET"))))
    asyncio.run(attack(link.interface.port, Attack("token", request("/v1/offtakes?token=hunter2", token="hunter2" * 6))))
    asyncio.run(
        attack(link.interface.port, Attack("body", request(body=json.dumps({"counter": 1, "\x1b[2J\n\u202e": 1}).encode())))
    )
    assert "unknown field" in link.desk.refusals[-1].what
    assert all(one.what.isascii() and one.what.isprintable() and len(one.what) < 300 for one in link.desk.refusals)
    assert not any("hunter2" in one.what or "cccc" in one.what for one in link.desk.refusals)


def test_who_drips_a_request_is_cut_off(link: Served) -> None:
    began_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", link.interface.port), timeout=20.0) as slow:
        for byte in request():
            try:
                slow.sendall(bytes([byte]))
            except ConnectionError:
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"{time.monotonic() - began_s:.1f} s of dripping were borne with")
    assert list(link.desk.letters) == []


def test_who_does_not_take_an_answer_holds_up_nobody(tmp_path: Path) -> None:
    patience = replace(HURRIED, answer_s=0.3, idle_s=0.3)
    with served(RestOptions(port=0, credentials=credentials(tmp_path), **PLENTY), patience) as link:
        link.plan(1, reason="x" * 12_000_000)
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect(("127.0.0.1", link.interface.port))
            stuck.sendall(request(f"{URL}/schedule", b"", method="GET"))
            with link.client() as city:
                assert city.get(f"{URL}/heartbeat").status_code == 200
            until_s = time.monotonic() + 20.0
            while link.inside() and time.monotonic() < until_s:
                time.sleep(0.02)
            assert link.inside() == 0


def test_what_is_no_tls_is_not_answered_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    options = RestOptions(port=0, credentials=credentials(tmp_path), tls=authority.issue("server"), **PLENTY)
    with served(options, HURRIED) as link:
        some = (replace(one, leaves=False) for one in attacks(60, seed=3))
        found = asyncio.run(attacked(link.interface.port, some))
        assert {status for _, status in found} == {None}
        assert link.desk.refusals, "TLS that failed is noted"
        assert all(one.what.startswith("TLS") for one in link.desk.refusals)
        with link.client(tls=authority.client_context()) as city:
            assert city.get("/v1/offtakes").status_code == 200


def test_a_crowd_of_strangers_does_not_keep_a_plant_out(tmp_path: Path) -> None:
    options = RestOptions(port=0, credentials=credentials(tmp_path), **PLENTY)
    with served(options) as link, link.client() as city:
        assert city.get("/v1/offtakes").status_code == 200
        crowd = [socket.create_connection(("127.0.0.1", link.interface.port), timeout=20.0) for _ in range(150)]
        try:
            assert city.get("/v1/offtakes").status_code == 200, "who is known stays"
            with link.client("pool-plant") as pool:
                assert pool.get("/v1/offtakes").status_code == 200, "and who is known comes in"
            assert link.inside() <= 64
        finally:
            for one in crowd:
                one.close()


def test_an_address_that_connects_again_and_again_is_not_heard_for_a_while(tmp_path: Path) -> None:
    room = Room(begin_per_s=0.01, begin_burst=3)
    with served(RestOptions(port=0, credentials=credentials(tmp_path), **PLENTY), room=room) as link:
        found = [asyncio.run(attack(link.interface.port, Attack("none", request()))) for _ in range(5)]
        assert found == [200, 200, 200, None, None]
        assert link.desk.refusals[-1].what == "too many connections"


def test_a_body_that_is_said_to_be_long_is_not_waited_for(link: Served) -> None:
    with socket.create_connection(("127.0.0.1", link.interface.port), timeout=20.0) as peer:
        peer.sendall(request(length="999999999999"))
        assert peer.recv(64).startswith(b"HTTP/1.1 413")
