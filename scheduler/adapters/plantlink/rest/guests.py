"""Who is connected: of one address and of one plant a few, of all together some more; who has shown a credential stays."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Guest:
    """One connection. names: in its certificate. plant: whose credential it has shown last; empty: none."""

    address: str
    transport: asyncio.Transport
    since_s: float
    names: frozenset[str] = frozenset()
    plant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """For how many connections there is room: of one address, of one plant, in all; and how many of one address may begin."""

    of_one: int = 64
    of_plant: int = 16
    of_all: int = 512
    begin_per_s: float = 20.0
    begin_burst: int = 200


# A proxy is one address for everybody.
BEHIND_PROXY = Room(of_one=Room().of_all, of_plant=Room().of_all, begin_per_s=1000.0, begin_burst=10_000)


@dataclass(slots=True, kw_only=True)
class Guests:
    """All connections, in the order of their coming."""

    room: Room = field(default_factory=Room)
    inside: dict[Guest, None] = field(default_factory=dict)

    def admit(self, guest: Guest) -> bool:
        """Let in; where there is no room the oldest goes that has shown no credential. False: there is none of these."""
        same = [one for one in self.inside if one.address == guest.address]
        candidates = same if len(same) >= self.room.of_one else None
        if candidates is None and len(self.inside) >= self.room.of_all:
            candidates = list(self.inside)
        if candidates is not None:
            oldest = next((one for one in candidates if not one.plant), None)
            if oldest is None:
                return False
            self.show_out(oldest)
        self.inside[guest] = None
        return True

    def known(self, guest: Guest, plant: str) -> None:
        """It has shown a credential. A plant that has too many connections loses its oldest: it may not fill the house."""
        if guest.plant == plant:
            return
        guest.plant = plant
        same = [one for one in self.inside if one.plant == plant and one is not guest]
        if len(same) >= self.room.of_plant:
            self.show_out(same[0])

    def show_out(self, guest: Guest) -> None:
        """End a connection at once, whatever was still to be sent."""
        self.left(guest)
        guest.transport.abort()

    def left(self, guest: Guest) -> None:
        """It has ended."""
        self.inside.pop(guest, None)
