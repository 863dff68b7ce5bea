"""What the operator in charge says of itself to the plant link beside it: that it lives, and whom it has heat for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedOfftake:
    """One customer as the operator knows him; limits as in `LetterLimits`.

    bypass: our side delivers nothing to him now. warning: what is wrong with his heat, empty when nothing is.
    """

    offtake_id: str
    plug_id: str
    max_heat_kw: float
    tank_kwh: float | None = None
    meter_point_id: str = ""
    bypass: bool = False
    warning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorLife:
    """A sign of life.

    term: number of the leadership, higher with each new leader: what an older one writes afterwards is refused. host: where
    it runs, by which the link beside it knows that it may speak. critical: what is wrong with everything.
    """

    site_id: str
    identity: str
    host: str
    term: int
    at_utc: datetime
    offtakes: tuple[LinkedOfftake, ...] = ()
    critical: str = ""
    warning: str = ""
