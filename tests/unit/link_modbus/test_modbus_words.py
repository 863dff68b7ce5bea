from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.plantlink.modbus.registers import HEADER, INTERVAL, Register
from scheduler.adapters.plantlink.modbus.words import Value, decoded, encoded

KW, CELSIUS, SHARE = INTERVAL.at("heatKw"), INTERVAL.at("supplyC"), INTERVAL.at("probShortfall")
SEQUENCE, REASON = HEADER.at("sequence"), HEADER.at("reason")


def words_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


@pytest.mark.parametrize(
    ("register", "value", "high_first", "low_first"),
    [
        # 66 kW = 66,000 W = 0x000101D0
        (KW, 66.0, "000101d0", "01d00001"),
        (KW, 0.0, "00000000", "00000000"),
        (KW, None, "ffffffff", "ffffffff"),
        # -1.5 degrees C = -150 counts = 0x10000 - 150 = 0xFF6A
        (CELSIUS, -1.5, "ff6a", "ff6a"),
        (CELSIUS, None, "8000", "8000"),
        (SHARE, 0.012, "000c", "000c"),
        # 2**53 + 1 has no place in a float
        (SEQUENCE, 2**53 + 1, "0020000000000001", "0001000000000020"),
        (SEQUENCE, None, "f" * 16, "f" * 16),
    ],
)
def test_hand_computed_registers(register: Register, value: Value, high_first: str, low_first: str) -> None:
    assert encoded(register, value, False).hex() == high_first
    assert encoded(register, value, True).hex() == low_first
    assert decoded(register, words_of(bytes.fromhex(high_first)), False) == value
    assert decoded(register, words_of(bytes.fromhex(low_first)), True) == value


@pytest.mark.parametrize("register_value", [(KW, 5e6), (KW, -0.001), (CELSIUS, 327.68), (CELSIUS, -327.68), (SHARE, 65.535)])
def test_what_has_no_place_is_not_known_and_never_another_value(register_value: tuple[Register, float]) -> None:
    register, value = register_value
    assert decoded(register, words_of(encoded(register, value, False)), False) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1_000_000_000), st.integers(-32767, 32767), st.integers(0, 2**64 - 2), st.booleans())
def test_values_come_back(watts: int, counts: int, sequence: int, swapped: bool) -> None:
    for register, value in ((KW, watts / 10**3), (CELSIUS, counts / 10**2), (SEQUENCE, sequence)):
        assert decoded(register, words_of(encoded(register, value, swapped)), swapped) == value


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=100))
def test_texts_are_cut_at_a_character_and_keep_their_length(text: str) -> None:
    data = encoded(REASON, text, True)
    assert len(data) == 2 * REASON.words
    found = decoded(REASON, words_of(data), True)
    assert isinstance(found, str)
    assert text.encode("utf-8", "replace").decode().rstrip("\0").startswith(found)
    assert len(found.encode()) > 60 or found == text.encode("utf-8", "replace").decode().rstrip("\0")
