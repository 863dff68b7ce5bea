from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.plantlink.modbus.frames import (
    Envelope,
    ExceptionCode,
    FunctionCode,
    NotModbus,
    Read,
    Refused,
    Write,
    bits_pdu,
    envelope_of,
    exception_pdu,
    frame,
    registers_pdu,
    request_of,
    written_pdu,
)


def test_frames_of_the_standards_examples() -> None:
    # Application Protocol V1.1b3, 6.4: read input register 9 (address 8), whose value is 10; 6.12: write 10 and 258 to 2 and 3.
    assert request_of(bytes.fromhex("0400080001")) == Read(function=FunctionCode.READ_INPUT, address=8, count=1)
    assert registers_pdu(FunctionCode.READ_INPUT, b"\x00\x0a").hex() == "0402000a"
    write = Write(function=FunctionCode.WRITE_MANY, address=1, words=(10, 258))
    assert request_of(bytes.fromhex("100001000204000a0102")) == write
    assert written_pdu(write).hex() == "1000010002"
    # 6.6: write 3 to address 1; 6.2: inputs 197 to 218 are AC DB 35.
    assert written_pdu(Write(function=FunctionCode.WRITE_ONE, address=1, words=(3,))).hex() == "0600010003"
    bits = [bool(byte >> i & 1) for byte in bytes.fromhex("acdb35") for i in range(8)][:22]
    assert bits_pdu(bits).hex() == "0203acdb35"
    # Messaging on TCP/IP V1.0b, 3.1.3: transaction and unit come back, the length counts the unit.
    envelope = envelope_of(bytes.fromhex("15010000000611"))
    assert envelope == Envelope(transaction=0x1501, length=6, unit=0x11)
    assert frame(envelope, exception_pdu(4, ExceptionCode.ILLEGAL_ADDRESS)).hex() == "1501000000031184" + "02"


@pytest.mark.parametrize("header", ["00010001000601", "00010000000101", "0001000000ff01", "00010000ffff01", "00010000000001"])
def test_what_is_no_frame(header: str) -> None:
    with pytest.raises(NotModbus):
        envelope_of(bytes.fromhex(header))


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (b"\x01\x00\x00\x00\x01", ExceptionCode.ILLEGAL_FUNCTION),
        (b"\x2b\x0e\x01\x00", ExceptionCode.ILLEGAL_FUNCTION),
        (b"\x84\x02", ExceptionCode.ILLEGAL_FUNCTION),
        (b"\x04", ExceptionCode.ILLEGAL_VALUE),
        (b"\x04\x00\x00\x00\x00", ExceptionCode.ILLEGAL_VALUE),
        (b"\x04\x00\x00\x00\x7e", ExceptionCode.ILLEGAL_VALUE),
        (b"\x04\x00\x00\x00\x01\x00", ExceptionCode.ILLEGAL_VALUE),
        (b"\x02\x00\x00\x07\xd1", ExceptionCode.ILLEGAL_VALUE),
        (b"\x10\x00\x00\x00\x01", ExceptionCode.ILLEGAL_VALUE),
        (b"\x10\x00\x00\x00\x01\x02\x00", ExceptionCode.ILLEGAL_VALUE),
        (b"\x10\x00\x00\x00\x01\x04\x00\x00\x00\x00", ExceptionCode.ILLEGAL_VALUE),
        (b"\x10\x00\x00\x00\x00\x00", ExceptionCode.ILLEGAL_VALUE),
        (struct.pack(">BHHB", 16, 0, 124, 248) + bytes(248), ExceptionCode.ILLEGAL_VALUE),
    ],
)
def test_requests_that_are_not_carried_out(pdu: bytes, code: ExceptionCode) -> None:
    with pytest.raises(Refused) as refused:
        request_of(pdu)
    assert refused.value.code is code


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=253))
def test_any_bytes_are_a_request_or_refused(pdu: bytes) -> None:
    found: Read | Write | ExceptionCode
    try:
        found = request_of(pdu)
    except Refused as refused:
        found = refused.code
    if isinstance(found, ExceptionCode):
        assert found in {ExceptionCode.ILLEGAL_FUNCTION, ExceptionCode.ILLEGAL_VALUE}
    else:
        assert found.function == pdu[0]
        assert 1 <= (len(found.words) if isinstance(found, Write) else found.count) <= 2000
