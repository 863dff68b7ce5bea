"""M-Bus frames and records: the standard's own example, a heat meter's telegram byte by byte, and hostile bytes."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.metering.mbus import reading_of
from scheduler.adapters.metering.mbus_frames import (
    RSP_UD,
    Answer,
    BadFrame,
    answer_of,
    length_of,
    long_frame,
    request,
    reset,
)
from scheduler.adapters.metering.mbus_records import Quantity, Telegram, quantity_of, telegram_of

NOW = datetime(2026, 1, 14, 10, tzinfo=UTC)
# The example of a variable data structure in the documentation of the M-Bus user group (section 6.3): a water meter.
WATER = bytes.fromhex(
    "68 1F 1F 68 08 02 72 78 56 34 12 24 40 01 07 55 00 00 00 03 13 15 31 00 DA 02 3B 13 01 8B 60 04 37 18 02 18 16".replace(
        " ", ""
    )
)


def telegram(*records: str, identity: int = 12_345_678, status: int = 0) -> Telegram:
    """Records in hexadecimal after a header: id, maker, version, medium, access number, status, signature."""
    head = bytes.fromhex(f"{identity:08d}")[::-1] + bytes((0x2D, 0x2C, 0x01, 0x04, 0x55, status, 0x00, 0x00))
    return telegram_of(0x72, head + bytes.fromhex("".join(records).replace(" ", "")))


def test_the_example_of_the_standard() -> None:
    answer = answer_of(WATER)
    assert (answer.control, answer.address, answer.information) == (RSP_UD, 2, 0x72)
    found = telegram_of(answer.information, answer.data)
    # 12,565 litres now; the largest flow of a past month and the energy of a tariff are not of now.
    assert found.values == {Quantity.VOLUME: pytest.approx(12.565)}
    assert (found.meter_id, found.errors, found.more) == ("12345678", (), False)
    assert long_frame(RSP_UD, 2, 0x72, answer.data) == WATER


def test_what_we_send() -> None:
    assert reset(5) == bytes.fromhex("1040054516")
    # The frame count bit is set first, and changes.
    assert [request(5, turn) for turn in (0, 1, 2)] == [
        bytes.fromhex("107B058016"),
        bytes.fromhex("105B056016"),
        bytes.fromhex("107B058016"),
    ]


def test_a_heat_meter() -> None:
    found = telegram(
        "04 06 D2 04 00 00",  # 1234 kWh
        "04 14 39 30 00 00",  # 12345 x 10 l
        "04 2D 96 00 00 00",  # 150 x 100 W
        "04 3B C4 09 00 00",  # 2500 l/h
        "02 59 B4 1A",  # 6836 x 0.01 degC
        "02 5D 94 11",  # 4500 x 0.01 degC
        "02 61 20 09",  # the difference is not asked for
        "0C 78 78 56 34 12",  # fabrication number
        "44 06 00 00 00 00",  # the energy of the last due date
        "84 10 06 01 00 00 00",  # energy of a tariff
    )
    assert found.values == {
        Quantity.ENERGY: pytest.approx(1234.0),
        Quantity.VOLUME: pytest.approx(123.45),
        Quantity.POWER: pytest.approx(15.0),
        Quantity.FLOW: pytest.approx(2.5),
        Quantity.SUPPLY: pytest.approx(68.36),
        Quantity.RETURN: pytest.approx(45.0),
    }
    reading = reading_of([found], "hall", NOW)
    assert (reading.meter_id, reading.error) == ("12345678", "")
    assert reading.energy_kwh == pytest.approx(1234.0)


@pytest.mark.parametrize(
    ("unit", "raw", "quantity", "value"),
    [
        ((0x03,), 1.0, Quantity.ENERGY, 0.001),  # Wh
        ((0x07,), 5.0, Quantity.ENERGY, 50.0),  # 10 kWh
        ((0x0F,), 36.0, Quantity.ENERGY, 100.0),  # 36 x 10 MJ
        ((0x16,), 7.0, Quantity.VOLUME, 7.0),
        ((0x2B,), 1500.0, Quantity.POWER, 1.5),
        ((0x36,), 3.6, Quantity.POWER, 1.0),  # MJ/h
        ((0x5B,), 70.0, Quantity.SUPPLY, 70.0),
        ((0x5E,), 451.0, Quantity.RETURN, 45.1),
        ((0xFB, 0x01), 3.0, Quantity.ENERGY, 3000.0),  # MWh
        ((0xFB, 0x00), 3.0, Quantity.ENERGY, 300.0),  # 0.1 MWh
        ((0xFB, 0x09), 3.6, Quantity.ENERGY, 1000.0),  # GJ
        ((0xFB, 0x10), 2.0, Quantity.VOLUME, 200.0),
        ((0xFB, 0x28), 5.0, Quantity.POWER, 500.0),  # 0.1 MW
    ],
)
def test_units(unit: tuple[int, ...], raw: float, quantity: Quantity, value: float) -> None:
    found = quantity_of(unit, raw)
    assert found is not None
    assert found[0] is quantity
    assert found[1] == pytest.approx(value)


def test_decimal_digits_floats_and_signs() -> None:
    found = telegram("0C 06 78 56 34 12", "0B 3B 05 00 F0", "05 5B" + struct.pack("<f", 70.5).hex(), "0A 5D FF FF")
    assert found.values[Quantity.ENERGY] == 12_345_678.0
    assert found.values[Quantity.FLOW] == pytest.approx(-0.005)
    assert found.values[Quantity.SUPPLY] == 70.5
    assert Quantity.RETURN not in found.values


def test_a_meter_says_that_it_is_ill() -> None:
    assert telegram(status=0x08).errors == ("permanent error",)
    assert telegram(status=0x14).errors == ("power low", "temporary error")
    assert telegram("02 FD 17 10 00").errors == ("error flags 0x10",)
    assert telegram("02 FD 17 00 00").errors == ()


def test_texts_makers_data_and_more_telegrams_are_passed_over() -> None:
    # A unit in words with a correction, a text, an idle byte, then what counts; after 1F another telegram follows.
    found = telegram("02 FC 03 48 52 25 74 22 15", "0D 6D 03 41 42 43", "2F", "04 06 01 00 00 00", "1F", "FF FF")
    assert found.values == {Quantity.ENERGY: 1.0}
    assert found.more
    assert not telegram("04 06 01 00 00 00", "0F", "01 02 03").more


@pytest.mark.parametrize(
    "records",
    ["04 06 01 00", "84", "04 86", "0D 6D 09 41", "08" + "80" * 3, "84 80 80 80 80 80 80 80 80 80 80 80 00 06 00", "07"],
)
def test_what_is_cut_short_is_refused(records: str) -> None:
    with pytest.raises(BadFrame):
        telegram(records)


@pytest.mark.parametrize(
    "frame",
    [
        WATER[:-1],
        WATER[:-1] + b"\x17",
        WATER[:-2] + b"\x19\x16",
        WATER + b"\x16",
        b"\x68\x1f\x1e\x68" + WATER[4:],
        b"\x68\x02\x02\x68\x08\x02\x0a\x16",
        long_frame(0x53, 2, 0x72, b""),
        b"",
    ],
)
def test_frames_that_are_none(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        answer_of(frame)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=250), st.integers(0, 255))
def test_hostile_bytes_are_refused_or_read_and_nothing_else(data: bytes, information: int) -> None:
    frame = long_frame(RSP_UD, 1, information, data)
    assert length_of(frame[:4]) == len(frame)
    answer = answer_of(frame)
    assert answer == Answer(control=RSP_UD, address=1, information=information, data=data)
    for kind in (information, 0x72):
        try:
            found = telegram_of(kind, data)
        except BadFrame:
            continue
        assert all(isinstance(one, float) for one in found.values.values())
