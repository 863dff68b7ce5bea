"""The market documents of ENTSO-E: series, in them periods, in them points by position.

With curve A03 a position that is left out repeats the one before it, to the end of its period; with A01 it is not there
(ENTSO-E, "The introduction of different time series possibilities (curveType)", version 1.2). Periods may overlap, and each has
a step of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from scheduler.adapters.sources.blueprint import BadAnswer, NothingYet
from scheduler.adapters.sources.providers.parsing import MAX_ROWS, Row, Tag, bad, shown
from scheduler.units import S_PER_DAY, S_PER_H, S_PER_MIN

RESOLUTIONS_S = {"PT15M": int(15 * S_PER_MIN), "PT30M": int(30 * S_PER_MIN), "PT60M": int(S_PER_H), "PT1H": int(S_PER_H)}
FIXED_BLOCKS, VARIABLE_BLOCKS = "A01", "A03"
LONGEST_S = int(370 * S_PER_DAY)


def published(root: Tag) -> list[Tag]:
    """The series of a document; an acknowledgement instead of one says why there is none.

    Raises:
        NothingYet: nothing matches what was asked. BadAnswer: refused for another reason, or another document.
    """
    if root.name == "Acknowledgement_MarketDocument":
        reasons = [(text_or(reason, "code", ""), text_or(reason, "text", "")) for reason in root.all("Reason")]
        said = "; ".join(f"{shown(code)}: {shown(text)}" for code, text in reasons[:3]) or "no reason given"
        # 999 is said of wrong requests too ("amount of requested data exceeds allowed limit").
        nothing = bool(reasons) and all(code == "999" and text.startswith("No matching data") for code, text in reasons)
        raise NothingYet(said) if nothing else BadAnswer(f"refused: {said}")
    if root.name != "Publication_MarketDocument":
        bad(root.where, root.name, "Publication_MarketDocument")
    return root.all("TimeSeries")


def text_or(tag: Tag, name: str, default: str) -> str:
    """The text of a child that may be missing."""
    found = tag.maybe(name)
    return default if found is None else found.text()


def unit_of(series: Tag) -> str:
    """Currency and energy as the series names them: "EUR/MWh"."""
    currency, energy = series.one("currency_Unit.name"), series.one("price_Measure_Unit.name")
    if not re.fullmatch(r"[A-Z]{3}", currency.text()):
        bad(currency.where, currency.text(), "a currency such as EUR")
    if energy.text() not in {"MWH", "KWH"}:
        bad(energy.where, energy.text(), "MWH or KWH")
    return f"{currency.text()}/{'MWh' if energy.text() == 'MWH' else 'kWh'}"


def rows_of(series: Tag) -> list[Row]:
    """All periods of a series; they may overlap."""
    curve = text_or(series, "curveType", FIXED_BLOCKS)
    if curve not in {FIXED_BLOCKS, VARIABLE_BLOCKS}:
        bad(f"{series.where}/curveType", curve, f"{FIXED_BLOCKS} or {VARIABLE_BLOCKS}")
    rows: list[Row] = []
    for period in series.all("Period"):
        rows.extend(_slots(period, repeats=curve == VARIABLE_BLOCKS))
        if len(rows) > MAX_ROWS:
            bad(period.where, f"{len(rows)} values so far", f"at most {MAX_ROWS}")
    return rows


def _slots(period: Tag, *, repeats: bool) -> Iterator[Row]:
    """The points of a period, each from its position on; one that repeats holds until the next position."""
    interval, resolution = period.one("timeInterval"), period.one("resolution")
    start_s, end_s = interval.one("start").instant_s(), interval.one("end").instant_s()
    step_s = RESOLUTIONS_S.get(resolution.text()) or bad(resolution.where, resolution.text(), "PT15M, PT30M or PT60M")
    if not 0 < end_s - start_s <= LONGEST_S or (end_s - start_s) % step_s:
        bad(interval.where, f"{end_s - start_s} s", f"whole steps of {step_s} s, at most {LONGEST_S} s")
    slots = (end_s - start_s) // step_s
    points = [(point.one("position"), point.one("price.amount").number()) for point in period.all("Point")]
    places = [(position.count(), value) for position, value in points]
    for (position, _), (place, _) in zip(points, places, strict=True):
        if place > slots:
            bad(position.where, place, f"a position up to {slots}")
    nexts = _next_places([place for place, _ in places], slots + 1) if repeats else {place: place + 1 for place, _ in places}
    for place, value in sorted(places, key=lambda found: found[0]):
        for slot in range(place - 1, nexts[place] - 1):
            yield start_s + slot * step_s, start_s + (slot + 1) * step_s, value


def _next_places(places: Sequence[int], end: int) -> dict[int, int]:
    """The next position after each, `end` after the last."""
    ordered = sorted(set(places))
    return dict(zip(ordered, [*ordered[1:], end], strict=True))
