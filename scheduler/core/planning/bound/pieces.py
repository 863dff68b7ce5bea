"""Prices of a long window from pieces of it: any prices give a valid bound, so only their quality is at stake here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from scheduler.core.planning.bound.master import Prices, first_prices
from scheduler.core.planning.bound.problem import BoundJob, BoundOfftake, BoundPlug, BoundProblem

# A piece is searched with the jobs that came shortly before it and with the time in which its last jobs end.
BEFORE_H = 24.0
AFTER_H = 48.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Rows [first, last) get their prices from a search over rows [begin, end)."""

    begin: int
    first: int
    last: int
    end: int


def pieces(problem: BoundProblem, piece_h: float) -> Iterator[Piece]:
    """Cut a window into stretches of `piece_h`, the last one at most half as long again."""
    edges, end_h = problem.edges_h, float(problem.edges_h[-1])
    starts = np.arange(0.0, max(piece_h, end_h - 0.5 * piece_h), piece_h)
    for start_h, stop_h in zip(starts, [*starts[1:], end_h], strict=True):
        marks = (start_h - BEFORE_H, start_h, stop_h, stop_h + AFTER_H)
        begin, first, last, end = (int(np.searchsorted(edges, np.clip(at_h, 0.0, end_h) - 1e-9)) for at_h in marks)
        yield Piece(begin=begin, first=first, last=last, end=end)


def part(problem: BoundProblem, piece: Piece) -> BoundProblem:
    """The rows of a piece with the jobs that come in them and can end in them; the tank begins and ends as it likes."""
    rows = slice(piece.begin, piece.end)
    start_h, end_h = float(problem.edges_h[piece.begin]), float(problem.edges_h[piece.end])
    inside = [job for job in problem.jobs if start_h <= job.submit_h and job.submit_h + job.work_h < end_h - 1.0]
    return replace(
        problem,
        edges_h=problem.edges_h[piece.begin : piece.end + 1] - start_h,
        price_eur_per_kwh=problem.price_eur_per_kwh[rows],
        plugs=tuple(_plug(plug, rows) for plug in problem.plugs),
        offtakes=tuple(_offtake(one, piece, rows) for one in problem.offtakes),
        jobs=tuple(_job(job, start_h) for job in inside),
    )


def _plug(plug: BoundPlug, rows: slice) -> BoundPlug:
    """A plug in some rows, its tank half full at first."""
    half_kwh = 0.5 * plug.tank_capacity_kwh
    return replace(plug, rated_heat_kw=plug.rated_heat_kw[rows], tank_start_kwh=half_kwh, tank_end_kwh=half_kwh)


def _offtake(one: BoundOfftake, piece: Piece, rows: slice) -> BoundOfftake:
    """A customer in some rows, with the sale hours that lie inside."""
    hours = tuple(
        replace(hour, first=hour.first - piece.begin, last=hour.last - piece.begin)
        for hour in one.sale_hours
        if piece.begin <= hour.first and hour.last <= piece.end
    )
    return replace(one, demand_kw=one.demand_kw[rows], price_eur_per_kwh=one.price_eur_per_kwh[rows], sale_hours=hours)


def _job(job: BoundJob, start_h: float) -> BoundJob:
    """A job on the clock of a piece."""
    return replace(job, submit_h=job.submit_h - start_h, due_h=None if job.due_h is None else job.due_h - start_h)


def stitched_prices(problem: BoundProblem, piece_h: float, search: Callable[[BoundProblem], Prices]) -> Prices:
    """Best prices of every piece, side by side."""
    prices = first_prices(problem)
    gpu, draw = np.array(prices.gpu), np.array(prices.draw)
    for piece in pieces(problem, piece_h):
        found = search(part(problem, piece))
        here = slice(piece.first - piece.begin, piece.last - piece.begin)
        gpu[:, piece.first : piece.last] = found.gpu[:, here]
        draw[:, piece.first : piece.last] = found.draw[:, here]
    return Prices(gpu=gpu, draw=draw)
