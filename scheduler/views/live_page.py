"""The live page: whether all is well, what heat comes and what it is worth, who waits and why.

Nothing on it comes from elsewhere. It works without JavaScript. What changes lies in `main`, which is also served alone, so
that a small script can replace it. Nothing on it can be changed, so there is nothing to sign in for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from scheduler.core.reports.verdict import Level, Verdict, aged, verdict
from scheduler.domain.live import LiveAccount, LiveCounts, LiveJob, LiveState
from scheduler.domain.settings import Mode
from scheduler.units import CENTS_PER_UNIT, KWH_PER_MWH, WH_PER_KWH
from scheduler.views.live_plots import NUMBER_HEADER, Keys, hour, now_of, number_rows, plots
from scheduler.views.live_svg import Plot, drawn, escape

REFRESH_S = 30
# So many rows are seen at once; the others on demand.
FIRST_JOBS = 12
HEADLINES = {
    Level.WELL: ("✓", "All is well"),
    Level.LOOK: ("!", "Have a look"),
    Level.ACT: ("✕", "Act now"),
}
MODES = {
    Mode.OBSERVE: "looks on; does nothing to jobs and tells nobody",
    Mode.ADVISE: "advises; does nothing to jobs, schedules bind nobody",
    Mode.DISPATCH: "acts on jobs and promises heat",
}
STEPS = {
    "fresh": "Fresh plan",
    "lastGood": "Last good plan",
    "ruleBased": "Plan by rule",
    "letGo": "Let go",
}
REASONS = {
    "CheaperPower": "Power is cheaper later",
    "HeatLater": "Its heat is of more use later",
    "PoolFull": "Its pools are full",
    "FirmDelivery": "Its heat is promised for later",
    "DeadlineStart": "Its deadline forces the start then",
    "SiteLimit": "The site is at its power limit",
    "NoFit": "It finds no room in the plan",
    "Unplaceable": "No pool has enough GPUs for it",
    "NoPlanYet": "No plan has seen it yet",
    "": "Starts as soon as it fits",
}
READ_ONLY = "This page only shows; nothing can be changed here."


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page is drawn of: the chosen policy and the names of all, its customers' accounts, now, and what is wrong."""

    state: LiveState | None
    policies: tuple[str, ...]
    accounts: tuple[LiveAccount, ...]
    now_utc: datetime
    trouble: str = ""


def whole_page(shown: Shown) -> str:
    """The page as one document."""
    state = shown.state
    name = "heat-dispatch" if state is None else state.site_name
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(_title(shown))}</title>"
        f'<link rel="icon" href="/live.svg" type="image/svg+xml"><link rel="stylesheet" href="/live.css">'
        f'<noscript><meta http-equiv="refresh" content="{REFRESH_S}"></noscript>'
        '<script src="/live.js" defer></script></head><body>'
        '<a class="skip" href="#main">To the content</a>'
        f'<header><p class="site">{escape(name)}</p>{_choice(shown)}<p id="link" role="status"></p></header>'
        f'<main id="main" tabindex="-1">{fragment(shown)}</main>'
        f"<footer><p>{READ_ONLY} heat-dispatch.</p></footer></body></html>"
    )


def fragment(shown: Shown) -> str:
    """What changes."""
    state = shown.state
    if state is None:
        text = shown.trouble or "No policy has made a plan yet. The page shows it as soon as there is one."
        sign = '<span aria-hidden="true">!</span>'
        return f'<section class="verdict look"><h1>{sign} Nothing to show</h1><p>{escape(text)}</p></section>'
    found, zone = verdict(state, shown.now_utc), ZoneInfo(state.time_zone)
    figures = "".join(_figure(plot, keys, state, zone) for plot, keys in plots(state))
    return (
        f"{_verdict(shown, found, zone)}{_tiles(state)}"
        '<div class="columns"><section class="plots" aria-label="Now and the next 48 hours">'
        f"{figures}{_numbers(state)}</section>"
        f'<div class="side">{_customers(shown)}{_sources(shown)}{_jobs(state, zone)}</div></div>'
    )


def _title(shown: Shown) -> str:
    if shown.state is None:
        return "heat-dispatch"
    sign, words = HEADLINES[_level(shown, verdict(shown.state, shown.now_utc))]
    return f"{sign} {words} – {shown.state.site_name}"


def _level(shown: Shown, found: Verdict) -> Level:
    """What is shown and cannot be read anew is not well."""
    return Level.LOOK if shown.trouble and found.level is Level.WELL else found.level


def _choice(shown: Shown) -> str:
    """Links to the other policies, where there are several."""
    if len(shown.policies) < 2:
        return ""
    chosen = "" if shown.state is None else shown.state.policy
    links = "".join(
        f'<li><a href="/?policy={quote(one)}"{_current(one == chosen)}>{escape(one)}</a></li>' for one in shown.policies
    )
    return f'<nav aria-label="Policies"><ul>{links}</ul></nav>'


def _current(chosen: bool) -> str:
    return ' aria-current="page"' if chosen else ""


def _verdict(shown: Shown, found: Verdict, zone: ZoneInfo) -> str:
    """The first thing that anybody should see."""
    state = shown.state
    assert state is not None
    sign, words = HEADLINES[_level(shown, found)]
    reasons = "".join(
        f"<li><b>{escape(one.what)}.</b>{' ' + escape(one.means) if one.means else ''}</li>" for one in found.findings
    )
    if shown.trouble:
        reasons += f"<li><b>What is shown may be old.</b> {escape(shown.trouble)}</li>"
    at = hour(state.at_utc.astimezone(zone))
    ago = aged((shown.now_utc - state.at_utc).total_seconds())
    when = f"A made-up site, whose clock stands at {at}" if state.simulated else f"Planned {at}, {ago} ago"
    gap = state.rolling_gap if state.status == "fresh" else None
    proof = "" if gap is None else f"; proven to be at most {100.0 * max(0.0, gap):.1f} % above the best possible"
    level = _level(shown, found)
    return (
        f'<section class="verdict {level.value}" data-level="{level.value}" data-title="{escape(_title(shown))}">'
        f'<h1><span aria-hidden="true">{sign}</span> {words}</h1>'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}"
        f'<p class="mode"><strong class="chip">{state.mode.value}</strong> '
        f'<strong class="chip step {escape(state.status)}">{escape(STEPS.get(state.status, state.status))}</strong> '
        f"The operator {MODES[state.mode]}. {when}{proof}. Times are those of {escape(state.time_zone)}.</p></section>"
    )


def _tiles(state: LiveState) -> str:
    """What it is now, in six figures."""
    one, counts = state.series, state.counts
    heat, demand, firm = now_of(one, one.planned_kw), now_of(one, one.demand_p50_kw), now_of(one, one.firm_kw)
    price = now_of(one, one.price_eur_per_kwh)
    tiles = [
        ("Heat planned now", _whole(heat, "kW"), f"of {_whole(demand, 'kW')} demand", _share(heat, demand)),
        ("Promised now", _whole(firm, "kW"), "firm", _share(firm, demand)),
        ("Power", _whole(None if price is None else price * KWH_PER_MWH, f"{state.currency}/MWh"), "on the exchange", None),
    ]
    if state.tank_capacity_kwh > 0.0:
        level = state.tank_level_kwh
        of = f"of {_whole(state.tank_capacity_kwh, 'kWh')}"
        tiles.append(("Tank", _whole(level, "kWh"), of, _share(level, state.tank_capacity_kwh)))
    tiles.append(
        ("GPUs busy", f"{counts.gpus_busy:,}", f"of {counts.gpus_there:,}", _share(counts.gpus_busy, counts.gpus_there))
    )
    tiles.append(("Jobs waiting", f"{counts.waiting + counts.paused:,}", _going(counts), None))
    body = "".join(
        f'<li><span class="what">{escape(what)}</span>{_figure_of(value)} '
        f'<span class="of">{escape(of)}</span>{_bar(share)}</li>'
        for what, value, of, share in tiles
    )
    return f'<ul class="tiles" aria-label="Now">{body}</ul>'


def _figure_of(value: str) -> str:
    """A number to be seen from afar, its unit beside it."""
    number, _, unit = value.partition(" ")
    return f"<b>{escape(number)}</b>" + (f' <span class="unit">{escape(unit)}</span>' if unit else "")


def _going(counts: LiveCounts) -> str:
    return f"{counts.running:,} run, {counts.capped:,} capped, {counts.insulated:,} insulated"


def _bar(share: float | None) -> str:
    if share is None:
        return ""
    width = 100.0 * min(1.0, max(0.0, share))
    return (
        '<svg class="bar" aria-hidden="true" width="100%" height="4"><rect class="rest" width="100%" height="4"/>'
        f'<rect class="part" width="{width:.0f}%" height="4"/></svg>'
    )


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _figure(plot: Plot, keys: Keys, state: LiveState, zone: ZoneInfo) -> str:
    """A plot with its key."""
    legend = "".join(f'<li class="key {name}">{escape(words)}</li>' for name, words in keys)
    return (
        f'<figure class="panel" id="{plot.name}"><figcaption><h2>{escape(plot.title)}</h2>'
        f'<ul class="keys">{legend}</ul></figcaption>'
        f"{drawn(plot, state.series.grid, state.series.now_slot, zone)}</figure>"
    )


def _numbers(state: LiveState) -> str:
    """The plots as a table."""
    header = [f"{one[:-4]}{state.currency}/MWh" if one.endswith("/MWh") else one for one in NUMBER_HEADER]
    rows = ((cells, "over" if over else "") for over, cells in number_rows(state))
    table = _table("numbers-t", "Hourly means; hours that are over as measured or as planned then", header, rows)
    return f'<details class="panel" id="numbers"><summary>The same as numbers, hour by hour</summary>{table}</details>'


def _table(name: str, caption: str, header: Sequence[str], rows: Iterable[tuple[Sequence[object], str]]) -> str:
    """A table whose first column names the row; narrow windows show each row as a block, so every cell says what it is."""
    head = "".join(f'<th scope="col" role="columnheader">{escape(one)}</th>' for one in header)
    body = "".join(
        f'<tr role="row" class="{kind}"><th scope="row" role="rowheader">{escape(cells[0])}</th>'
        + "".join(
            f'<td role="cell" data-of="{escape(of)}">{_cell(cell)}</td>' for of, cell in zip(header[1:], cells[1:], strict=True)
        )
        + "</tr>"
        for cells, kind in rows
    )
    return (
        f'<table role="table" id="{name}"><caption>{escape(caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


@dataclass(frozen=True, slots=True)
class Told:
    """A cell with a headline and a sentence below it."""

    headline: str
    sentence: str


def _cell(value: object) -> str:
    if not isinstance(value, Told):
        return escape(value)
    below = f'<span class="of">{escape(value.sentence)}</span>' if value.sentence else ""
    return f"{escape(value.headline)} {below}"


def _customers(shown: Shown) -> str:
    """Contracts: now, and this month to date."""
    state = shown.state
    assert state is not None
    accounts = {one.offtake_id: one for one in shown.accounts}
    months = {one.month for one in shown.accounts}
    rows = []
    for one in state.customers:
        name = one.offtake.offtake_id
        account = accounts.get(name)
        known = account is not None and account.booked
        rows.append(
            (
                (
                    name,
                    f"{_whole(one.planned_kw, 'kW')} of {_whole(one.demand_kw, 'kW')}",
                    _whole(one.firm_kw, "kW") if one.offtake.firm is not None else "nothing is promised",
                    _mwh(account.promised_wh) if known and account else "–",
                    _mwh(account.delivered_wh) if known and account else "–",
                    _mwh(account.shortfall_wh) if known and account else "–",
                    f"{account.owed_cents / CENTS_PER_UNIT:,.2f} {state.currency}"
                    if known and account
                    else "nothing booked yet",
                ),
                "short" if known and account and account.shortfall_wh else "",
            )
        )
    month = f"{min(months)} to date" if months else "this month"
    header = ("customer", "now", "firm now", "promised MWh", "delivered MWh", "shortfall MWh", "owed to us")
    caption = f"Promised, delivered and owed: {month}, by the ledger, open until the month is settled"
    link = f"?policy={quote(state.policy)}&amp;month={quote(min(months))}" if months else f"?policy={quote(state.policy)}"
    unknown = sum(one.unknown_slots for one in shown.accounts if one.booked)
    gaps = f"<p>{unknown:,} quarter hours of the month are not known to any meter yet.</p>" if unknown else ""
    return (
        f'<section class="panel" id="contracts"><h2>Contracts</h2>{_table("contracts-t", caption, header, rows)}{gaps}'
        f'<p>Ledger of the month: <a href="/ledger.csv{link}" download>CSV</a>, '
        f'<a href="/ledger.json{link}" download>JSON</a></p></section>'
    )


def _jobs(state: LiveState, zone: ZoneInfo) -> str:
    """Who waits, and why."""
    waiting = state.counts.waiting + state.counts.paused
    if not state.jobs:
        return '<section class="panel" id="jobs"><h2>Jobs that wait</h2><p>None.</p></section>'
    rows = [(_job_cells(one, state, zone), "") for one in state.jobs]
    unlisted = f"; {waiting - len(rows):,} more wait" if waiting > len(rows) else ""
    header = ("job", "why", "planned start", "at the latest", "done by", "GPUs")
    caption = f"{waiting:,} wait, those whose time ends first above{unlisted}. Sentences are in UTC; * may still move."
    first = _table("jobs-t", caption, header, rows[:FIRST_JOBS])
    rest = ""
    if rows[FIRST_JOBS:]:
        more = _table("jobs-more-t", "Those that may wait longer", header, rows[FIRST_JOBS:])
        rest = f'<details id="jobs-more"><summary>{len(rows) - FIRST_JOBS} more</summary>{more}</details>'
    return f'<section class="panel jobs" id="jobs"><h2>Jobs that wait</h2>{first}{rest}</section>'


def _job_cells(job: LiveJob, state: LiveState, zone: ZoneInfo) -> tuple[object, ...]:
    def at(moment: datetime | None) -> str:
        return "–" if moment is None else hour(moment.astimezone(zone))

    reason = f"{'Paused: ' if job.paused else ''}{REASONS.get(job.reason, job.reason)}"
    why = Told(reason, job.text)
    return (
        job.job_id,
        why,
        f"{at(job.start_utc)}{' *' if job.may_move else ''}",
        at(job.latest_start_utc),
        at(job.deadline_utc),
        job.gpus,
    )


def _sources(shown: Shown) -> str:
    """How old what is known is."""
    state = shown.state
    assert state is not None
    since_s = 0.0 if state.simulated else max(0.0, (shown.now_utc - state.at_utc).total_seconds())
    rows = [
        (
            (
                one.source.replace("_", " "),
                "never heard of" if one.age_s is None else aged(one.age_s + since_s),
                aged(one.max_age_s),
            ),
            "short" if one.age_s is None or one.age_s > one.max_age_s else "",
        )
        for one in state.sources
    ]
    notes = "".join(f"<li>{escape(one)}</li>" for one in state.notes)
    told = f"<p>What the plan had to do without:</p><ul>{notes}</ul>" if notes else ""
    table = _table("sources-t", "Age of what the plan rests on", ("source", "age", "may be"), rows)
    return f'<section class="panel" id="sources"><h2>Age of data</h2>{table}{told}</section>'


def _whole(value: float | None, unit: str) -> str:
    return f"– {unit}" if value is None else f"{value:,.0f} {unit}"


def _mwh(wh: int) -> str:
    return f"{wh / WH_PER_KWH / KWH_PER_MWH:,.2f}"
