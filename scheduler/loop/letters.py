"""What plants wrote becomes input of the next snapshot: forecasts, states of plugs, and what customers take at most. Pure.

No letter is a command: each only says what the world is like, and the plan does what it would do in such a world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np

from scheduler.core.accounting.spans import Span, joined, without
from scheduler.core.publishing.binding import holds, limit_kw
from scheduler.core.publishing.standing import unended
from scheduler.domain.observed import PLANT_FORECAST, QUARTER_S, SourceReading, key_of, unit_of
from scheduler.domain.plantlink import (
    Acknowledgement,
    DemandForecast,
    HeatRequest,
    Letter,
    MaintenanceNotice,
    ManualOverride,
    NetworkState,
    TankState,
)
from scheduler.domain.site import Site
from scheduler.domain.snapshot import PlantState, TakeLimit
from scheduler.domain.time import FloatArray, Series, TimeGrid

# A tank's level or a flow of heat that is older says nothing about now.
STATE_MAX_AGE = timedelta(minutes=30)
MOST_SLOTS = 10 * 96
Standing = Mapping[str, Sequence[Letter]]


def forecasts_of(standing: Standing) -> tuple[SourceReading, ...]:
    """What each plant expects to take, on quarter hours, as if a source had said it."""
    found = []
    for name, letters in standing.items():
        newest = next((one for one in reversed(letters) if isinstance(one.body, DemandForecast)), None)
        if newest is not None and isinstance(newest.body, DemandForecast):
            found.append(_reading(name, newest, newest.body))
    return tuple(found)


def _reading(offtake_id: str, letter: Letter, body: DemandForecast) -> SourceReading:
    """One forecast as a reading; it was heard when the letter came."""
    key = key_of(PLANT_FORECAST, offtake_id)
    series = Series(
        grid=_quarters(body),
        values=_on_quarters(body),
        unit=unit_of(key),
        source=f"plant {letter.sender.name}",
        issued_utc=body.issued_utc or letter.received_utc,
    )
    return SourceReading(
        quantity=key, series=series, issued_utc=series.issued_utc, fetched_utc=letter.received_utc, source=series.source
    )


def _quarters(body: DemandForecast) -> TimeGrid:
    """The quarter hours that lie within a forecast as a whole or in part."""
    first_s = int(body.start_utc.timestamp() // QUARTER_S) * QUARTER_S
    end_s = body.start_utc.timestamp() + body.step_s * len(body.heat_kw)
    slots = min(MOST_SLOTS, -int((first_s - end_s) // QUARTER_S))
    start_utc = body.start_utc - timedelta(seconds=body.start_utc.timestamp() - first_s)
    return TimeGrid(start_utc=start_utc, slot_s=QUARTER_S, slots=slots)


def _on_quarters(body: DemandForecast) -> FloatArray:
    """Mean kW of each quarter hour: the steps in it by their length; not known where any part of it is not.

    With E(t) the energy until t, steps being constant, the mean is (E(end) - E(start)) / quarter.
    """
    grid, given = _quarters(body), np.asarray([np.nan if one is None else one for one in body.heat_kw], dtype=np.float64)
    edges_s = body.start_utc.timestamp() + body.step_s * np.arange(len(given) + 1)
    quarters_s = grid.start_utc.timestamp() + QUARTER_S * np.arange(grid.slots + 1)
    energy = np.concatenate([[0.0], np.cumsum(np.nan_to_num(given) * body.step_s)])
    known = np.concatenate([[0.0], np.cumsum(np.isfinite(given) * float(body.step_s))])
    mean_kw = np.diff(np.interp(quarters_s, edges_s, energy)) / QUARTER_S
    covered = np.diff(np.interp(quarters_s, edges_s, known)) / QUARTER_S
    return np.where(covered > 1.0 - 1e-9, mean_kw, np.nan)


def states_of(site: Site, standing: Standing, now_utc: datetime) -> tuple[PlantState, ...]:
    """What plants measure at our plugs; what is older than half an hour is not known."""
    found = []
    for plug in site.plugs:
        names = [one.offtake_id for one in site.offtakes if one.plug_id == plug.plug_id]
        tanks = [one for name in names for one in _measured(standing.get(name, ()), now_utc) if isinstance(one, TankState)]
        flows = [_newest_heat_kw(standing.get(name, ()), now_utc) for name in names]
        known = [one for one in flows if one is not None]
        newest = max(tanks, key=lambda one: one.at_utc, default=None)
        found.append(
            PlantState(
                plug_id=plug.plug_id,
                tank_level_kwh=None if newest is None else newest.level_kwh,
                sold_kw=sum(known),
                metered_kw=sum(known) if known and len(known) == len(flows) else None,
            )
        )
    return tuple(found)


def _measured(letters: Sequence[Letter], now_utc: datetime) -> list[TankState | NetworkState]:
    """Measurements that still say something."""
    bodies = [one.body for one in letters if isinstance(one.body, TankState | NetworkState)]
    return [one for one in bodies if isinstance(one, TankState | NetworkState) and now_utc - one.at_utc <= STATE_MAX_AGE]


def _newest_heat_kw(letters: Sequence[Letter], now_utc: datetime) -> float | None:
    """Heat at the hand-off as it was measured last."""
    flows = [one for one in _measured(letters, now_utc) if isinstance(one, NetworkState)]
    newest = max(flows, key=lambda one: one.at_utc, default=None)
    return None if newest is None else newest.heat_kw


# What customers take at most.


def limits_of(standing: Standing, now_utc: datetime) -> tuple[TakeLimit, ...]:
    """Overrides in force, requests, notices of maintenance, and answers that accepted less than all; none reaches back behind
    the moment at which we heard of it.

    The letters are those of `standing`: overrides that our operator cleared are not among them.
    """
    found: list[TakeLimit] = []
    for name, letters in standing.items():
        found += _overridden(name, letters)
        found += _requested(name, letters, now_utc)
        found += _maintained(name, letters, now_utc)
        found += _answered(name, letters, now_utc)
    return tuple(found)


def _by_sender(letters: Sequence[Letter]) -> tuple[list[Letter], list[Letter]]:
    """Letters of senders who showed a credential, and those of the others, who may only lower what the first allow."""
    return [one for one in letters if one.sender.authenticated], [one for one in letters if not one.sender.authenticated]


def _overridden(name: str, letters: Sequence[Letter]) -> list[TakeLimit]:
    """The newest override with a credential, and each without one: they hold until our operator ends them."""
    known, strangers = _by_sender([one for one in letters if isinstance(one.body, ManualOverride)])
    why = "a person at the plant has taken over"
    return [
        TakeLimit(offtake_id=name, start_utc=one.received_utc, end_utc=None, heat_kw=one.body.limit_kw, reason=why)
        for one in [*known[-1:], *strangers]
        if isinstance(one.body, ManualOverride)
    ]


def _requested(name: str, letters: Sequence[Letter], now_utc: datetime) -> list[TakeLimit]:
    """Requests; where two with a credential speak of one time the later holds, and those without one lower it."""
    known, strangers = _by_sender(letters)
    # Each stranger's request stands alone: none ends another, and of all limits the least holds.
    return [limit for said in (known, *([one] for one in strangers)) for limit in _wanted(name, said, now_utc)]


def _wanted(name: str, letters: Sequence[Letter], now_utc: datetime) -> list[TakeLimit]:
    """Requests of which a later one takes the place of an earlier one where they overlap, and there alone."""
    found: list[TakeLimit] = []
    spoken: tuple[Span, ...] = ()
    for letter in reversed(letters):
        body = letter.body
        if not isinstance(body, HeatRequest):
            continue
        why = "the plant asks for no more"
        span = (max(body.start_utc, letter.received_utc), body.end_utc)
        for start_utc, end_utc in without(span, spoken):
            if end_utc > now_utc:
                one = TakeLimit(offtake_id=name, start_utc=start_utc, end_utc=end_utc, heat_kw=body.heat_kw, reason=why)
                found.append(one)
        spoken = joined(spoken, span)
    return found


def _maintained(name: str, letters: Sequence[Letter], now_utc: datetime) -> list[TakeLimit]:
    """Notices of maintenance, of each id the newest; who shows no credential cannot give one."""
    known, _ = _by_sender(letters)
    notices = {one.body.notice_id: (one, one.body) for one in known if isinstance(one.body, MaintenanceNotice)}
    return [
        TakeLimit(
            offtake_id=name,
            start_utc=max(body.start_utc, one.received_utc),
            end_utc=body.end_utc,
            heat_kw=body.available_kw,
            reason=f"maintenance at the plant {body.reason}".strip(),
        )
        for one, body in notices.values()
        if body.end_utc > now_utc
    ]


def _answered(name: str, letters: Sequence[Letter], now_utc: datetime) -> list[TakeLimit]:
    """Answers that did not take a schedule as it was, and that no answer after them ended."""
    answers = [(one, one.body) for one in letters if isinstance(one.body, Acknowledgement)]
    held = [one for (one, _), holds_on in zip(answers, unended(answers), strict=True) if holds_on]
    return [limit for one in held for limit in _lessened(name, one, now_utc)]


def _lessened(name: str, newest: Letter, now_utc: datetime) -> list[TakeLimit]:
    """The limit of one answer, while it holds."""
    if not isinstance(newest.body, Acknowledgement):
        return []
    end_utc = newest.received_utc + holds(newest.body)
    if end_utc <= now_utc:
        return []
    heat_kw = limit_kw(newest.body)
    why = f"schedule {newest.body.sequence} was {newest.body.verdict.value} {newest.body.reason}".strip()
    return [TakeLimit(offtake_id=name, start_utc=newest.received_utc, end_utc=end_utc, heat_kw=heat_kw, reason=why)]
