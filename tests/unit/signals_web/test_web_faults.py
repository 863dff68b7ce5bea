"""A server that goes wrong: what it is called, and that it ends within the limits of time and memory."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from signal_faults import BIG_BYTES, FAULTS, HEADERS, WIRE, bomb
from signal_peer import Page, signal_peer
from web_world import outcome, why

from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.web.client import Unanswered, WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.adapters.sources.web.manners import MIB, Limits

RULES = HostRules(["127.0.0.1"], allow_loopback=True)
PATIENT = Limits(total_s=60.0, tries=2, backoff_s=0.01, per_host_s=0.0, max_bytes=MIB)
IMPATIENT = Limits(total_s=0.3, tries=1)
# The words that tell one fault from another, and whether somebody has to do something about it.
SAID = {
    "slow drip": ("no whole answer within 0.3 s", False),
    "silence": ("no whole answer within 0.3 s", False),
    "reset in the middle": ("the connection broke off (read)", False),
    "ends too early": ("peer closed connection without sending complete message body", False),
    "50 MB": (f"longer than {MIB} bytes: {BIG_BYTES} announced", False),
    "50 MB unannounced": (f"longer than {MIB} bytes", False),
    "no HTTP": ("Server disconnected without sending a response", False),
    "gzip bomb": (f"longer than {MIB} bytes", False),
    "cut gzip": ("ends in the middle of what was packed", False),
    "unknown encoding": ("packed as 'br', which nobody asked for", False),
    "401": ('HTTP 401 Unauthorized: "Invalid security token"', True),
    "404": ("HTTP 404 Not Found", True),
    "429 for seconds": ('HTTP 429 Too Many Requests: "slow down"', False),
    "429 until a date": ('HTTP 429 Too Many Requests: "slow down"', False),
    "500": ('HTTP 500 Internal Server Error: "oops"', False),
    "HTML": ('HTML instead of application/json: "Sign in"', False),
    "HTML that says it is not": ('HTML instead of application/json: "Sign in"', False),
    "wrong type": ('image/png instead of application/json: "[1, 2, 3]"', False),
    "no type": ('a body that does not say what it is instead of application/json: "[1, 2, 3]"', False),
    "redirect loop": ("redirected more than 3 times", False),
    "redirect to a denied host": ("not asked: denied.example.net: not among the allowed hosts", True),
    "redirect to metadata": ("not asked: 169.254.169.254: not among the allowed hosts", True),
    "not modified": ("HTTP 304 Not Modified", False),
}


def page(query: object) -> Page:
    return 200, {"Content-Type": "application/json"}, b"[1, 2, 3]"


@pytest.mark.parametrize("name", SAID)
def test_each_fault_is_called_by_its_name(name: str) -> None:
    with signal_peer({"/a": page}, FAULTS[name]) as peer:
        limits = IMPATIENT if name in ("slow drip", "silence") else PATIENT
        trouble = why(WebClient(RULES, limits=limits), Ask(url=f"{peer.url}/a", params={"q": "1"}))
        words, final = SAID[name]
        assert trouble.reason.startswith(f"127.0.0.1/a: {words}")
        assert trouble.final is final
        assert trouble.retry_after_s == (3600.0 if name.startswith("429") else None)


def test_no_fault_is_forgotten_here() -> None:
    silent = {"empty body", "fast clock"}
    assert {fault.name for fault in (*WIRE, *HEADERS)} == set(SAID) | silent


@pytest.mark.parametrize("name", ["50 MB unannounced", "gzip bomb"])
def test_a_body_that_is_too_long_never_fills_the_memory(name: str) -> None:
    bomb()
    with signal_peer({"/a": page}, FAULTS[name]) as peer:
        web = WebClient(RULES, limits=PATIENT)
        tracemalloc.start()
        try:
            why(web, Ask(url=f"{peer.url}/a"))
            assert tracemalloc.get_traced_memory()[1] < 8 * MIB
        finally:
            tracemalloc.stop()


def test_after_faults_the_same_client_gets_answers() -> None:
    async def polls() -> list[type[object]]:
        found: list[type[object]] = []
        async with WebClient(RULES, limits=PATIENT) as web:
            for name in ("reset in the middle", "50 MB", "500", "ends too early", None):
                peer.fault = None if name is None else FAULTS[name]
                try:
                    found.append(type(await web.fetch(Ask(url=f"{peer.url}/a"), {})))
                except Unanswered as error:
                    found.append(type(error))
        return found

    with signal_peer({"/a": page}) as peer:
        assert asyncio.run(polls()) == [Unanswered] * 4 + [Answer]


def test_many_asks_at_once_are_all_answered() -> None:
    async def asked() -> list[Answer]:
        async with WebClient(RULES, limits=Limits(total_s=60.0, per_host_s=0.0, connections=4)) as web:
            return await asyncio.gather(*(web.fetch(Ask(url=f"{peer.url}/a", params={"n": str(n)}), {}) for n in range(30)))

    with signal_peer({"/a": page}) as peer:
        assert {found.body for found in asyncio.run(asked())} == {b"[1, 2, 3]"}
        assert len(peer.seen) == 30


def test_a_host_that_hangs_leaves_connections_to_the_others() -> None:
    limits = Limits(total_s=60.0, read_s=60.0, per_host_s=0.0, connections=4, host_connections=3)

    async def asked() -> Answer:
        async with WebClient(RULES, limits=limits) as web:
            hanging = [asyncio.create_task(web.fetch(Ask(url=f"{mute.url}/a", params={"n": str(n)}), {})) for n in range(20)]
            await asyncio.sleep(0.0)
            found = await web.fetch(Ask(url=f"{other.url}/a"), {})
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            return found

    with signal_peer({"/a": page}, FAULTS["silence"]) as mute, signal_peer({"/a": page}) as other:
        assert asyncio.run(asked()).body == b"[1, 2, 3]"
        assert len(mute.seen) <= 3


def test_a_304_of_a_real_server_brings_what_was_kept() -> None:
    async def polls() -> list[bytes]:
        async with WebClient(RULES, limits=PATIENT) as web:
            return [(await web.fetch(Ask(url=f"{peer.url}/a"), {})).body for _ in range(3)]

    with signal_peer({"/a": page}) as peer:
        peer.tagged = True
        assert asyncio.run(polls()) == [b"[1, 2, 3]"] * 3
        assert ["if-none-match" in seen.headers for seen in peer.seen] == [False, True, True]
    assert isinstance(outcome(WebClient(RULES, limits=IMPATIENT), Ask(url=f"{peer.url}/a")), Unanswered)
