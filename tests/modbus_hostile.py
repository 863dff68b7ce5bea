"""Requests that nobody should take, and how a Modbus server has answered them: for tests and for the benchmark."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from modbus_world import START, UNIT, WAIT_S

from scheduler.adapters.plantlink.modbus.asking import registers_of
from scheduler.domain.plantlink import Acknowledgement, AckVerdict, HeatRequest, LetterBody, ManualOverride

Rng = np.random.Generator
SERVED = (2, 3, 4, 6, 16)
ERROR_BIT = 0x80
DEVICE_FAILURE = 4


@dataclass(frozen=True)
class Attack:
    """What is sent on a connection of its own, after which the client has no more to say."""

    name: str
    data: bytes


def framed(pdu: bytes, *, unit: int = UNIT, protocol: int = 0, length: int | None = None) -> bytes:
    """A PDU behind a header that may lie."""
    return struct.pack(">HHHB", 1, protocol, len(pdu) + 1 if length is None else length, unit) + pdu


def written(body: LetterBody) -> bytes:
    """The request that writes a letter, as a plant's client would."""
    address, words = registers_of(body, False)
    return struct.pack(f">BHHB{len(words)}H", 16, address, len(words), 2 * len(words), *words)


def _random_pdu(rng: Rng) -> bytes:
    """Any bytes; never as long as a write of one register, which might hit a heartbeat by chance."""
    return framed(rng.bytes(int(rng.integers(6, 253))))


def _noise(rng: Rng) -> bytes:
    return rng.bytes(int(rng.integers(1, 600)))


def _cut(rng: Rng) -> bytes:
    whole = framed(written(ManualOverride(limit_kw=5.0)))
    return whole[: int(rng.integers(1, len(whole)))]


def _lying_length(rng: Rng) -> bytes:
    pdu = written(ManualOverride(limit_kw=5.0))
    return framed(pdu, length=int(rng.choice([0, 1, 3, len(pdu), len(pdu) + 2, 254, 255, 4096, 65535])))


def _lying_count(rng: Rng) -> bytes:
    count, size = int(rng.integers(0, 65536)), int(rng.integers(0, 256))
    body = rng.bytes(int(rng.integers(0, 240)))
    # A count that fits by chance is made not to.
    return framed(struct.pack(">BHHB", 16, 7020, count if 2 * count != len(body) else 0, size) + body)


def _other_protocol(rng: Rng) -> bytes:
    return framed(written(ManualOverride(limit_kw=5.0)), protocol=int(rng.integers(1, 65536)))


def _other_function(rng: Rng) -> bytes:
    codes = [code for code in range(256) if code not in SERVED]
    return framed(bytes((int(rng.choice(codes)),)) + rng.bytes(int(rng.integers(0, 20))))


def _too_many(rng: Rng) -> bytes:
    return framed(struct.pack(">BHH", int(rng.choice([3, 4])), 0, int(rng.integers(126, 65536))))


def _not_there(rng: Rng) -> bytes:
    return framed(struct.pack(">BHH", int(rng.choice([2, 4])), int(rng.integers(7100, 65536)), 1))


def _written_elsewhere(rng: Rng) -> bytes:
    return framed(struct.pack(">BHH", 6, int(rng.choice([0, 110, 120, 300, 6162, 7002, 7040, 65535])), 1))


def _other_unit(rng: Rng) -> bytes:
    return framed(written(ManualOverride(limit_kw=5.0)), unit=int(rng.integers(4, 256)))


def _more_heat(rng: Rng) -> bytes:
    heat_kw = float(rng.integers(101, 100_000))
    return framed(written(HeatRequest(heat_kw=heat_kw, start_utc=START, end_utc=START + timedelta(hours=1))))


def _accepted(rng: Rng) -> bytes:
    return framed(written(Acknowledgement(sequence=int(rng.integers(0, 9)), verdict=AckVerdict.ACCEPTED)))


def _never_sent(rng: Rng) -> bytes:
    sequence = int(rng.integers(8, 2**62))
    return framed(written(Acknowledgement(sequence=sequence, verdict=AckVerdict.REJECTED)))


def _other_language(rng: Rng) -> bytes:
    texts = (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"SSH-2.0-x\r\n", b"\x10\x0f\x00\x04MQTT\x04\x02")
    return bytes(texts[int(rng.integers(0, len(texts)))]) * int(rng.integers(1, 40))


KINDS: dict[str, Callable[[Rng], bytes]] = {
    "random request": _random_pdu, "noise": _noise, "cut off": _cut, "lying length": _lying_length, "lying count": _lying_count,
    "other protocol": _other_protocol, "other function": _other_function, "too many registers": _too_many,
    "no such register": _not_there, "written elsewhere": _written_elsewhere, "other unit": _other_unit, "more heat": _more_heat,
    "accepted without a credential": _accepted, "answer to what was never sent": _never_sent, "other language": _other_language,
}  # fmt: skip


def attacks(count: int, seed: int) -> Iterator[Attack]:
    """So many, of each kind in turn; none may become a letter where the schedule is `modbus_world.schedule(7)`."""
    rng = np.random.default_rng(seed)
    kinds = list(KINDS.items())
    for i in range(count):
        name, made = kinds[i % len(kinds)]
        yield Attack(name, made(rng))


async def attacked(port: int, sent: Iterator[Attack], at_once: int) -> list[tuple[Attack, bytes]]:
    """Send them, each on a connection of its own; returns each with all that came back until the server hung up."""
    came: list[tuple[Attack, bytes]] = []

    async def worker() -> None:
        for one in sent:
            came.append((one, await _answered(port, one)))

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return came


async def _answered(port: int, one: Attack) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    came = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(WAIT_S):
            writer.write(one.data)
            await writer.drain()
            writer.write_eof()
            came = await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return came


def wrongly(came: bytes) -> bool:
    """Whether some answer is not an exception, or one that says that we failed."""
    while came:
        length, function, code = int.from_bytes(came[4:6], "big"), came[7], came[8]
        if not function & ERROR_BIT or code == DEVICE_FAILURE:
            return True
        came = came[6 + length :]
    return False
