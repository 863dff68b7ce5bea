"""Requests that nobody may take for a letter: broken, huge, forged, or sent by who may not; made from a seed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from link_world import CITY, POOL
from rest_world import TOKENS

WAIT_S = 20.0
GOOD = {"counter": 5}
LETTER = f"/v1/offtakes/{CITY}/letters/heartbeat"
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Attack:
    """What is sent, and whether whoever sends it hangs up without waiting for an answer."""

    name: str
    data: bytes
    leaves: bool = False


def request(
    path: str = LETTER, body: bytes = json.dumps(GOOD).encode(), *, method: str = "POST", token: str = TOKENS["city-plant"],
    more: tuple[str, ...] = ("Content-Type: application/json",), length: str | None = None,
) -> bytes:  # fmt: skip
    """A request that is whole; with nothing changed it would be taken."""
    head = [f"{method} {path} HTTP/1.1", "Host: link", "Connection: close", f"Content-Length: {length or len(body)}", *more]
    if token:
        head.append(f"Authorization: Bearer {token}")
    return "\r\n".join(head).encode("latin-1", "replace") + b"\r\n\r\n" + body


def _bytes(rng: Rng) -> bytes:
    return rng.integers(0, 256, int(rng.integers(1, 3000)), dtype=np.uint8).tobytes()


def _mangled(rng: Rng) -> bytes:
    """A letter whose token is wrong, with some bytes changed, some lost and some twice."""
    data = bytearray(request(token="x" * 40))
    for _ in range(int(rng.integers(1, 12))):
        at = int(rng.integers(0, len(data)))
        what = rng.integers(0, 3)
        if what == 0:
            data[at] = int(rng.integers(0, 256))
        elif what == 1:
            del data[at : at + int(rng.integers(1, 20))]
        else:
            data[at:at] = data[at : at + int(rng.integers(1, 20))]
    return bytes(data)


def _half(rng: Rng) -> bytes:
    whole = request(body=b" " * 200 + json.dumps(GOOD).encode())
    return whole[: int(rng.integers(1, len(whole) - 1))]


BODIES = (
    b"", b"null", b"[]", b"7", b'"counter"', b"{", b'{"counter":5', b'{"counter":5}}', b'{"counter":5} x', b"\xff\xfe{}",
    b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), json.dumps(GOOD).encode("utf-16"), b'{"counter":NaN}', b'{"counter":Infinity}',
    b'{"counter":-Infinity}', b'{"counter":1e999}', b'{"counter":5,"counter":6}', b'{"counter":-1}', b'{"counter":4294967296}',
    b'{"counter":5.0}', b'{"counter":"5"}', b'{"counter":true}', b'{"counter":null}', b'{"counter":[5]}',
    b'{"counter":{"a":5}}',
    b'{"counter":5,"__proto__":{}}', b'{"counter":' + b"9" * 5000 + b"}", b"[" * 50_000, b'{"counter":' * 20_000,
    b'{"counter":5,"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}", b"'; DROP TABLE link_letter; --", b"\x00" * 100,
    b'{"counter":0x5}', b'{"counter":5,}', b"{counter:5}", b'{"counter":5}\n{"counter":6}', b"<counter>5</counter>",
)  # fmt: skip
PATHS = (
    f"/v1/offtakes/{POOL}/letters/heartbeat", "/v1/offtakes/nowhere/letters/heartbeat", f"/v1/offtakes/{CITY}/letters/none",
    f"/v1/offtakes/{CITY}/letters/", f"/v1/offtakes/{CITY}/letters/heartbeat/", f"//v1/offtakes/{CITY}/letters/heartbeat",
    f"/v1/offtakes/{CITY}/../{POOL}/letters/heartbeat", f"/v1/offtakes/{CITY}%2f..%2f{POOL}/letters/heartbeat",
    f"/v1/offtakes/%2e%2e/{CITY}/letters/heartbeat", f"/v1/offtakes/{CITY}%00/letters/heartbeat", "/../../etc/passwd",
    f"/v1/offtakes/{CITY};x=1/letters/heartbeat", f"/V1/offtakes/{CITY}/letters/heartbeat",
    "/v1/offtakes/%ff%fe/letters/heartbeat", f"/v1/offtakes/{CITY.upper()}/letters/heartbeat",
    f"/v1/offtakes/{CITY}%20/letters/heartbeat", "/" + "a" * 8000, "/" + "%41" * 3000,
    f"http://elsewhere/v1/offtakes/{POOL}/letters/heartbeat", "*", "/v1/offtakes/*/letters/heartbeat", "/.git/config",
    f"/v1/offtakes/{CITY}/letters/heart%0d%0abeat", f"/v1/offtakes/{CITY}?/letters/heartbeat",
    f"/v1/offtakes/{CITY}#/letters/heartbeat",
)  # fmt: skip
FORGED = (
    "", "x" * 40, TOKENS["city-plant"][:-1], TOKENS["city-plant"] + "c", TOKENS["city-plant"].upper(), TOKENS["pool-plant"],
    "null", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjaXR5LXBsYW50In0.", f"{TOKENS['city-plant']},x", f"{TOKENS['city-plant']}\x00",
)  # fmt: skip
FRAMED = (
    ("Content-Type: application/json", "Transfer-Encoding: chunked"),
    ("Content-Type: application/json", "Content-Length: 3"),
    ("Content-Type: application/json", "Content-Length: -1"),
    ("Content-Type: application/json", "Content-Encoding: gzip"),
    ("Content-Type: text/plain",),
    ("Content-Type: application/x-www-form-urlencoded",),
    ("Content-Type: multipart/form-data; boundary=x",),
    ("Content-Type: application/json", "Authorization: Bearer x"),
    ("Content-Type: application/json", "Transfer-Encoding: gzip, chunked"),
    (),
)
CHUNKED = "\r\n".join(
    (f"POST {LETTER} HTTP/1.1", "Host: link", "Content-Type: application/json", "Transfer-Encoding: chunked",
     "Connection: close", f"Authorization: Bearer {TOKENS['city-plant']}", "", ""),
).encode()  # fmt: skip
CHUNKS = (
    b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffffffff\r\n{}", b"0x5\r\n{}\r\n0\r\n\r\n",
    b"2\r\n{}X0\r\n\r\n",
    b"2;" + b"e" * 20_000 + b"\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\n" + b"t: x\r\n" * 4000 + b"\r\n", b"1\r\n{\r\n" * 300,
)  # fmt: skip
WIRE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n" * 5000,
    b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST " + LETTER.encode() + b" HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nx: \x00\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x01", b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 40_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 8000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
    b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"A" * 70_000,
)  # fmt: skip
METHODS = ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "HEAD", "GET", "post", "PROPFIND", "A" * 500)


def _after(rng: Rng) -> bytes:
    """A good question, and nonsense behind it while the answer is on its way."""
    question = request(f"/v1/offtakes/{CITY}/heartbeat", b"", method="GET").replace(b"Connection: close\r\n", b"")
    return question * int(rng.integers(1, 4)) + _bytes(rng)


def _large(rng: Rng) -> bytes:
    """More than is read: said to be so, or only so."""
    if rng.integers(0, 2):
        return request(length=str(10 ** int(rng.integers(6, 20))))
    return request(body=b'{"counter":5' + b" " * 300_000 + b"}")


def _one_of(makes: Callable[[object], bytes], among: tuple[object, ...]) -> Callable[[Rng], bytes]:
    return lambda rng: makes(among[int(rng.integers(0, len(among)))])


MAKERS: dict[str, Callable[[Rng], bytes]] = {
    "bytes": _bytes,
    "mangled": _mangled,
    "half": _half,
    "large": _large,
    "after": _after,
    "body": _one_of(lambda body: request(body=body), BODIES),  # type: ignore[arg-type]  # of BODIES all are bytes
    "path": _one_of(lambda path: request(str(path)), PATHS),
    "token": _one_of(lambda token: request(token=str(token)), FORGED),
    "framing": _one_of(lambda more: request(more=more), FRAMED),  # type: ignore[arg-type]  # of FRAMED all are tuples
    "chunks": _one_of(lambda chunk: CHUNKED + chunk, CHUNKS),  # type: ignore[operator]  # of CHUNKS all are bytes
    "wire": _one_of(lambda data: data, WIRE),  # type: ignore[arg-type, return-value]  # of WIRE all are bytes
    "method": _one_of(lambda method: request(method=str(method)), METHODS),
}


def attacks(count: int, seed: int = 7) -> Iterator[Attack]:
    """So many, of every kind about the same number."""
    rng = np.random.default_rng(seed)
    names = list(MAKERS)
    for i in range(count):
        name = names[i % len(names)]
        yield Attack(name, MAKERS[name](rng), leaves=bool(rng.random() < 0.1))


async def attack(port: int, one: Attack) -> int | None:
    """Send it; the status of the first answer, None when there is none.

    Raises:
        TimeoutError: the server neither answers to the end nor hangs up.
    """
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = b""
        with suppress(ConnectionError):
            writer.write(one.data)
            if not one.leaves:
                answer = await reader.read(64)
                while await reader.read(65536):
                    pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    words = answer.split(b" ", 2)
    return int(words[1]) if answer.startswith(b"HTTP/1.1 ") and words[1].isdigit() else None


async def attacked(port: int, some: Iterator[Attack], at_once: int = 40) -> list[tuple[Attack, int | None]]:
    """Send all of them, several at a time; what came of each."""
    found: list[tuple[Attack, int | None]] = []

    async def send() -> None:
        for one in some:
            found.append((one, await attack(port, one)))

    await asyncio.gather(*(send() for _ in range(at_once)))
    return found


def wrongly(one: Attack, status: int | None) -> bool:
    """Whether an answer is one that no attack should get: a fault of ours, or yes."""
    if status is None or 400 <= status < 500:
        return False
    return not (status == 200 and one.name == "after")  # the good question before the nonsense
