"""Whose readings of a meter count as if we had read it ourselves: a customer may not write the bill that he pays."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from scheduler.domain.plantlink import Letter, LinkProtocol, MeterReading


def as_our_own(letter: Letter, meter_senders: Set[tuple[str, str]]) -> Letter:
    """A reading by whom `link.yaml` names for that meter becomes our own; every other letter stays as it is.

    meter_senders: (metering point, name of a credential).
    """
    body, sender = letter.body, letter.sender
    if not isinstance(body, MeterReading) or not sender.authenticated:
        return letter
    if (body.meter_point_id, sender.name) not in meter_senders:
        return letter
    return replace(letter, sender=replace(sender, protocol=LinkProtocol.METER))
