"""Handing a letter in, and not waiting for ever: a database that hangs must not hold up whoever speaks."""

from __future__ import annotations

import asyncio

from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.plantlink import Letter, Receipt
from scheduler.ports import PlantDesk

# For as long a program waits that has a PLC's patience, and one that has more.
SOON_S, PATIENT_S = 3.0, 10.0
NOT_KEPT = Receipt(accepted=False, reason="could not be written down; say it again", again=True)


async def kept(desk: PlantDesk, letter: Letter, within_s: float) -> Receipt:
    """What the desk says of a letter; `NOT_KEPT` where it says nothing within a time, or cannot be asked.

    The letter may still be kept later: said again it is the same letter.
    """
    try:
        async with asyncio.timeout(within_s):
            return await desk.hand_in(letter)
    except (TimeoutError, HeatDispatchError):
        return NOT_KEPT
