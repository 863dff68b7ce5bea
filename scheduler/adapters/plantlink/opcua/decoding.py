"""What asyncua's decoder believes of a peer and must not: three ways to make a few bytes cost everything.

1. A negative length moves its cursor back, so that a list of strings can be read for ever.
2. An array of Null has no bytes, so that five bytes can ask for two thousand million elements.
3. Dimensions of an array are filled up to a million elements, in every value of a message.
"""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua import ua_binary

_unpack_array = ua_binary.unpack_uatype_array


class StrictBuffer(Buffer):
    """Bytes that are only read forward."""

    def read(self, size: int) -> bytes:
        """Take some bytes; never fewer than none."""
        return super().read(_forward(size))

    def skip(self, size: int) -> None:
        """Leave some bytes out; never fewer than none."""
        super().skip(_forward(size))

    def copy(self, size: int = -1) -> StrictBuffer:
        """As strict as this one."""
        found = super().copy(size)
        return StrictBuffer(found._data, found._cur_pos, found._size)


def _forward(size: int) -> int:
    if size < 0:
        raise NotEnoughData("a negative length")
    return size


def _bounded_array(vtype: ua.VariantType, data: Any) -> list[Any] | None:
    """An array of a value; one of Null may hold nothing."""
    if vtype is not ua.VariantType.Null:
        return _unpack_array(vtype, data)
    if ua_binary.Primitives.Int32.unpack(data) > 0:
        raise ua.UaError("an array of nothing")
    return []


def be_strict() -> None:
    """Close the second and the third way, for the whole process; no plain client or server needs what is lost."""
    vars(ua_binary)["unpack_uatype_array"] = _bounded_array
    vars(ua_binary)["MAX_RESHAPE_ELEMENTS"] = 0
