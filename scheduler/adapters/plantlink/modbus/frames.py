"""Modbus TCP as bytes: what a request is, and every answer to it; strict, since what listens here knows no credentials.

Modbus Application Protocol V1.1b3 and Messaging on TCP/IP V1.0b (modbus.org). Of the functions these are served: 2 reads
discrete inputs, 3 holding registers, 4 input registers; 6 writes one register, 16 several. A request must be exactly as long
as it says.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from scheduler.adapters.plantlink.modbus.registers import MAX_READ, MAX_WRITE

HEADER_BYTES = 7
# Unit id and at most 253 bytes of PDU.
MIN_LENGTH, MAX_LENGTH = 2, 254
MAX_BITS = 2000
ERROR_BIT = 0x80


class FunctionCode(IntEnum):
    """What a request wants."""

    READ_BITS = 2
    READ_HOLDING = 3
    READ_INPUT = 4
    WRITE_ONE = 6
    WRITE_MANY = 16


class ExceptionCode(IntEnum):
    """Why it is not done."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    DEVICE_BUSY = 6
    GATEWAY_PATH = 10
    GATEWAY_TARGET = 11


class NotModbus(ValueError):
    """These bytes are no frame; where the next one begins cannot be known, so the connection has to end."""


class Refused(Exception):
    """A frame that gets an exception code for an answer."""

    def __init__(self, code: ExceptionCode, why: str = "") -> None:
        """Keep the code, and why for our own records."""
        super().__init__(why or code.name)
        self.code = code
        self.why = why or code.name.lower().replace("_", " ")


class NotBelieved(Refused):
    """A letter that the desk has judged, and has noted itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Header of a frame: the client's number of the request, and which unit it asks."""

    transaction: int
    length: int
    unit: int

    @property
    def pdu_bytes(self) -> int:
        """Bytes that follow the header."""
        return self.length - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Registers or bits from `address` on."""

    function: FunctionCode
    address: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Words for the holding registers from `address` on."""

    function: FunctionCode
    address: int
    words: tuple[int, ...]


def envelope_of(header: bytes) -> Envelope:
    """The header of a frame.

    Raises:
        NotModbus: wrong protocol, or a length that no frame has.
    """
    transaction, protocol, length, unit = struct.unpack(">HHHB", header)
    if protocol:
        raise NotModbus(f"protocol {protocol} is not Modbus")
    if not MIN_LENGTH <= length <= MAX_LENGTH:
        raise NotModbus(f"no frame has a length of {length}")
    return Envelope(transaction=transaction, length=length, unit=unit)


def request_of(pdu: bytes) -> Read | Write:
    """What a PDU asks for; at least one byte.

    Raises:
        Refused: a function that is not served, a length or number that does not fit.
    """
    try:
        function = FunctionCode(pdu[0])
    except ValueError:
        raise Refused(ExceptionCode.ILLEGAL_FUNCTION, f"function {pdu[0]} is not served") from None
    if function is FunctionCode.WRITE_MANY:
        return _write_many(pdu)
    if len(pdu) != 5:
        raise Refused(ExceptionCode.ILLEGAL_VALUE, f"function {function.value} of {len(pdu)} bytes")
    address, number = struct.unpack(">HH", pdu[1:])
    if function is FunctionCode.WRITE_ONE:
        return Write(function=function, address=address, words=(number,))
    most = MAX_BITS if function is FunctionCode.READ_BITS else MAX_READ
    if not 1 <= number <= most:
        raise Refused(ExceptionCode.ILLEGAL_VALUE, f"function {function.value} for {number} values")
    return Read(function=function, address=address, count=number)


def _write_many(pdu: bytes) -> Write:
    if len(pdu) < 6:
        raise Refused(ExceptionCode.ILLEGAL_VALUE, f"function {FunctionCode.WRITE_MANY.value} of {len(pdu)} bytes")
    address, count, size = struct.unpack(">HHB", pdu[1:6])
    if not 1 <= count <= MAX_WRITE or size != 2 * count or len(pdu) != 6 + size:
        raise Refused(ExceptionCode.ILLEGAL_VALUE, f"{count} registers in {size} bytes, of which {len(pdu) - 6} came")
    return Write(function=FunctionCode.WRITE_MANY, address=address, words=struct.unpack(f">{count}H", pdu[6:]))


def registers_pdu(function: FunctionCode, data: bytes) -> bytes:
    """Answer to a read of registers: their bytes as they lie in the image."""
    return struct.pack(">BB", function, len(data)) + data


def bits_pdu(bits: Sequence[bool]) -> bytes:
    """Answer to a read of discrete inputs: the first is the lowest bit of the first byte."""
    count = sum(bit << i for i, bit in enumerate(bits))
    size = (len(bits) + 7) // 8
    return struct.pack(">BB", FunctionCode.READ_BITS, size) + count.to_bytes(size, "little")


def written_pdu(write: Write) -> bytes:
    """Answer to a write that was taken."""
    second = write.words[0] if write.function is FunctionCode.WRITE_ONE else len(write.words)
    return struct.pack(">BHH", write.function, write.address, second)


def exception_pdu(function: int, code: ExceptionCode) -> bytes:
    """Answer to a request that was not carried out."""
    return struct.pack(">BB", (function | ERROR_BIT) & 0xFF, code)


def frame(envelope: Envelope, pdu: bytes) -> bytes:
    """An answer as it goes over the wire, with the numbers of its request."""
    return struct.pack(">HHHB", envelope.transaction, 0, len(pdu) + 1, envelope.unit) + pdu
