"""What an M-Bus telegram says (EN 13757-3, variable data structure): the records of heat, cooling and electricity meters.

A record is DIF [DIFE...] VIF [VIFE...] value. Of all records the present ones count (function "instantaneous", storage 0, no
tariff, no subunit); the rest are stored values of past months, peaks and registers by tariff. Units become ours: kWh, m3, kW,
m3/h, degC.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from scheduler.adapters.metering.mbus_frames import BadFrame
from scheduler.units import J_PER_KJ, KJ_PER_KWH, KWH_PER_MWH, W_PER_KW, WH_PER_KWH

VARIABLE_DATA = 0x72
HEADER = 12
MORE_FOLLOW, MAKER_DATA, IDLE = 0x1F, 0x0F, 0x2F
EXTENDED = 0x80
MOST_EXTENSIONS = 10
KJ_PER_GJ = 1_000_000.0
# Bytes of a value by the low four bits of its DIF; 5 is a float, 9 to 12 and 14 are BCD, 13 says its length itself.
SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 6, 7: 8, 8: 0, 9: 1, 10: 2, 11: 3, 12: 4, 14: 6}
REAL, VARIABLE = 5, 13
BCD = frozenset({9, 10, 11, 12, 14})
# Bits of the status byte in the header.
STATUS = {0x04: "power low", 0x08: "permanent error", 0x10: "temporary error"}


class Quantity(StrEnum):
    """What a record is about; names are those of `MeterReading`, but for the last two."""

    ENERGY = "energy_kwh"
    VOLUME = "volume_m3"
    POWER = "heat_kw"
    FLOW = "flow_m3_per_h"
    SUPPLY = "supply_c"
    RETURN = "return_c"
    FABRICATION = "fabrication"
    ERROR_FLAGS = "errorFlags"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telegram:
    """One telegram: who made it, what it says now, what is wrong, and whether another one follows."""

    meter_id: str
    values: Mapping[Quantity, float]
    errors: tuple[str, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record: its unit code (VIF without extension bit, with its table before it), value, and whether it is of now."""

    unit: tuple[int, ...]
    value: float | None
    present: bool


def telegram_of(information: int, data: bytes) -> Telegram:
    """Read a telegram.

    Raises:
        BadFrame: it is none of variable structure, or it is cut short.
    """
    if information != VARIABLE_DATA:
        raise BadFrame(f"control information {information:#04x} is not understood")
    if len(data) < HEADER:
        raise BadFrame("its header is cut short")
    identity = f"{data[3]:02X}{data[2]:02X}{data[1]:02X}{data[0]:02X}"
    errors = [text for bit, text in STATUS.items() if data[9] & bit]
    if data[9] & 0x03 == 2:
        errors.append("application error")
    values: dict[Quantity, float] = {}
    records, more = _Cursor(data[HEADER:]), False
    for record in records:
        told = None if not record.present or record.value is None else quantity_of(record.unit, record.value)
        if told is not None and told[0] not in values:
            values[told[0]] = told[1]
    more = records.more
    flags = int(values.pop(Quantity.ERROR_FLAGS, 0.0))
    if flags:
        errors.append(f"error flags {flags:#x}")
    number = values.pop(Quantity.FABRICATION, None)
    return Telegram(
        meter_id=identity if number is None else f"{int(number):08d}", values=values, errors=tuple(errors), more=more
    )


def quantity_of(unit: tuple[int, ...], value: float) -> tuple[Quantity, float] | None:
    """What a unit code means, in our unit; None for what we do not ask for."""
    table, code = (unit[0], unit[1]) if len(unit) == 2 else (0, unit[0])
    if table == 0xFB:
        return _large(code, value)
    if table == 0xFD:
        return (Quantity.ERROR_FLAGS, value) if code == 0x17 else None
    low, power = code & 0x07, code & 0x78
    if power == 0x00:
        return Quantity.ENERGY, value * 10.0 ** (low - 3) / WH_PER_KWH
    if power == 0x08:
        return Quantity.ENERGY, value * 10.0**low / J_PER_KJ / KJ_PER_KWH
    if power == 0x10:
        return Quantity.VOLUME, value * 10.0 ** (low - 6)
    if power == 0x28:
        return Quantity.POWER, value * 10.0 ** (low - 3) / W_PER_KW
    if power == 0x30:
        return Quantity.POWER, value * 10.0**low / J_PER_KJ / KJ_PER_KWH
    if power == 0x38:
        return Quantity.FLOW, value * 10.0 ** (low - 6)
    if code & 0x7C == 0x58:
        return Quantity.SUPPLY, value * 10.0 ** ((code & 0x03) - 3)
    if code & 0x7C == 0x5C:
        return Quantity.RETURN, value * 10.0 ** ((code & 0x03) - 3)
    return (Quantity.FABRICATION, value) if code == 0x78 else None


def _large(code: int, value: float) -> tuple[Quantity, float] | None:
    """Units of large meters: MWh, GJ, 100 m3, MW."""
    scale = 10.0 ** ((code & 0x01) - 1)
    match code & 0x7E:
        case 0x00:
            return Quantity.ENERGY, value * scale * KWH_PER_MWH
        case 0x08:
            return Quantity.ENERGY, value * scale * KJ_PER_GJ / KJ_PER_KWH
        case 0x10:
            return Quantity.VOLUME, value * 10.0 ** ((code & 0x01) + 2)
        case 0x28:
            return Quantity.POWER, value * scale * W_PER_KW
    return None


class _Cursor:
    """Records of a telegram one after the other; `more`: another telegram follows."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self.more = data, 0, False

    def __iter__(self) -> Iterator[Record]:
        while self._at < len(self._data):
            dif = self._byte()
            if dif == IDLE:
                continue
            if dif in {MORE_FOLLOW, MAKER_DATA}:
                self.more = dif == MORE_FOLLOW
                return
            yield self._record(dif)

    def _record(self, dif: int) -> Record:
        present, before = dif & 0x70 == 0, dif
        for _ in range(MOST_EXTENSIONS):
            if not before & EXTENDED:
                break
            before = self._byte()
            present = present and before & 0x7F == 0
        else:
            raise BadFrame("a record that does not end")
        unit, plain = self._unit()
        value = self._value(dif & 0x0F)
        return Record(unit=unit, value=value, present=present and plain)

    def _unit(self) -> tuple[tuple[int, ...], bool]:
        """Unit code; not plain when further codes change what it means (a maximum, a correction, a text)."""
        vif = self._byte()
        unit: tuple[int, ...] = (vif & 0x7F,)
        if vif in {0xFB, 0xFD}:
            second = self._byte()
            unit, vif = (vif, second & 0x7F), second
        plain = unit[0] not in {0x7C, 0x7F}
        if unit[0] == 0x7C:
            self._take(self._byte())
        for _ in range(MOST_EXTENSIONS):
            if not vif & EXTENDED:
                return unit, plain
            vif, plain = self._byte(), False
        raise BadFrame("a unit that does not end")

    def _value(self, kind: int) -> float | None:
        if kind == VARIABLE:
            length = self._byte()
            self._take(length if length < 0xC0 else length & 0x0F)
            return None
        if kind not in SIZES:
            raise BadFrame(f"a value of unknown kind {kind}")
        raw = self._take(SIZES[kind])
        if kind == REAL:
            number = float(struct.unpack("<f", raw)[0])
            return number if math.isfinite(number) else None
        if kind in BCD:
            return _decimal(raw)
        return float(int.from_bytes(raw, "little", signed=True)) if raw else None

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise BadFrame("its records are cut short")
        self._at += count
        return found


def _decimal(raw: bytes) -> float | None:
    """Decimal digits, the lowest two first; an F in front is a minus, any other digit above 9 is "not known"."""
    text = "".join(f"{byte:02X}" for byte in reversed(raw))
    sign, digits = (-1.0, text[1:]) if text.startswith("F") else (1.0, text)
    return sign * float(digits) if digits.isdigit() else None
