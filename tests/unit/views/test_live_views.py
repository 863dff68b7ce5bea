"""The live page as text: whole, small, and with nothing of what others wrote taken for markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_world import a_state
from small_world import NOW

from scheduler.core.reports.live import MOST_JOBS
from scheduler.domain.ledger import LedgerEntry, Quality
from scheduler.domain.live import LiveAccount, LiveState
from scheduler.domain.time import TimeGrid, utc
from scheduler.views.live_ledger import ledger_csv, ledger_json
from scheduler.views.live_page import Shown, fragment, whole_page
from scheduler.views.live_svg import Layer, Plot, drawn, hours, scale

MOST_BYTES = 100_000
HOSTILE = "<script>alert(1)</script>\"'&"
VOID = {"meta", "link"}


class Balanced(HTMLParser):
    """Reads a page, and notes what is opened and not closed, and ids that are there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.wrong += [f"{tag} has {name}" for name, _ in attrs if name == "style" or name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")


def shown(state: LiveState | None, **more: Any) -> Shown:
    policies = () if state is None else (state.policy,)
    base = Shown(state=state, policies=policies, accounts=(), now_utc=NOW + timedelta(minutes=4))
    return replace(base, **more)


@pytest.fixture(scope="module")
def state() -> LiveState:
    return a_state()


def test_the_page_is_whole_and_asks_for_nothing_from_elsewhere(state: LiveState) -> None:
    text = whole_page(shown(state))
    reader = Balanced()
    reader.feed(text)
    assert not reader.wrong
    assert not reader.open
    assert len(reader.ids) == len(set(reader.ids))
    assert not re.search(r"https?://|//[a-z]|url\(|<script(?! src=\"/live.js\")", text)
    assert "All is well" in text


def test_the_page_is_small_however_much_waits_and_however_long_names_are(state: LiveState) -> None:
    name, sentence = f"a-namespace-of-{'n' * 40}/job-{'x' * 60}", "power is cheaper then and " * 6
    one = replace(state.jobs[0], job_id=name, text=sentence)
    many = replace(state, jobs=(one,) * MOST_JOBS, counts=replace(state.counts, waiting=5000))
    text = whole_page(shown(many))
    assert len(text.encode()) <= MOST_BYTES
    assert f"{5000 + state.counts.paused - MOST_JOBS:,} more wait" in text


def test_what_others_wrote_is_text(state: LiveState) -> None:
    hostile = replace(
        state,
        policy=HOSTILE,
        site_name=HOSTILE,
        degraded_reason=HOSTILE,
        status="lastGood",
        currency=HOSTILE,
        notes=(f"price: {HOSTILE}",),
        sources=tuple(replace(one, source=HOSTILE) for one in state.sources),
        jobs=tuple(replace(one, job_id=HOSTILE, text=HOSTILE, reason=HOSTILE) for one in state.jobs),
        customers=tuple(replace(one, offtake=replace(one.offtake, offtake_id=HOSTILE)) for one in state.customers),
    )
    text = whole_page(shown(hostile, policies=(HOSTILE, "other"), trouble=HOSTILE))
    reader = Balanced()
    reader.feed(text)
    assert "<script>alert" not in text
    assert not reader.wrong
    assert not reader.open


def test_what_cannot_be_read_anew_is_not_well(state: LiveState) -> None:
    text = fragment(shown(state, trouble="The books cannot be read now."))
    assert "All is well" not in text
    assert "The books cannot be read now." in text


def test_without_any_plan_the_page_says_so() -> None:
    assert "No policy has made a plan yet" in whole_page(shown(None))


def test_accounts_are_shown_to_the_cent(state: LiveState) -> None:
    account = LiveAccount(
        offtake_id="town",
        month="2026-01",
        booked=True,
        promised_wh=1_050_000,
        delivered_wh=3_230_000,
        shortfall_wh=20_000,
        owed_cents=12_317,
        unknown_slots=3,
    )
    text = fragment(shown(state, accounts=(account,)))
    for part in ("1.05", "3.23", "0.02", "123.17 EUR", "2026-01 to date", "3 quarter hours"):
        assert part in text
    assert "nothing booked yet" in fragment(shown(state, accounts=(replace(account, booked=False),)))


GRID = TimeGrid(start_utc=NOW, slot_s=900, slots=24)
VALUES = st.lists(st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6)), min_size=24, max_size=24).map(np.array)


@given(line=VALUES, low=VALUES, now_slot=st.integers(0, 24))
def test_whatever_is_known_is_drawn_inside_the_plot(line: np.ndarray, low: np.ndarray, now_slot: int) -> None:
    layers = (
        Layer(kind="line", name="heat", values=line),
        Layer(kind="band", name="heat", values=np.fmax(line, low), low=np.fmin(line, low)),
        Layer(kind="area", name="heat", values=line),
    )
    plot = Plot(name="heat", title="Heat", text="told", unit="kW", layers=layers)
    root = ElementTree.fromstring(drawn(plot, GRID, now_slot, ZoneInfo("Europe/Copenhagen")))
    for path in root.iter("path"):
        y = 0
        for command, value in re.findall(r"([MVv])(?:\d+ )?(-?\d+)", path.attrib["d"]):
            y = y + int(value) if command == "v" else int(value)
            assert -1 <= y <= 1001
    if np.isfinite(line).any():
        assert any("line" in path.attrib["class"] for path in root.iter("path"))


@given(top=st.floats(1e-3, 1e7), bottom=st.floats(-1e5, 0.0))
def test_scales_are_round_and_few_and_hold_every_value(top: float, bottom: float) -> None:
    values = np.array([bottom, top])
    plot = Plot(name="p", title="p", text="", unit="", layers=(Layer(kind="line", name="p", values=values),), least=1e-3)
    low, high, ticks = scale(plot)
    assert low <= bottom
    assert top <= high
    assert 2 <= len(ticks) <= 6
    assert 0.0 in [round(one, 9) for one in ticks]


@pytest.mark.parametrize("start", ["2026-03-28T12:00:00+00:00", "2026-10-24T12:00:00+00:00", "2026-01-14T10:00:00+00:00"])
@pytest.mark.parametrize("zone", ["Europe/Copenhagen", "America/New_York", "Asia/Kolkata", "UTC"])
def test_hours_below_a_plot_are_local_also_when_clocks_change(start: str, zone: str) -> None:
    grid = TimeGrid(start_utc=utc(start), slot_s=900, slots=240)
    marks = re.findall(r'class="hour (\w+)" x="([\d.]+)%"[^>]*>([^<]+)<', "".join(hours(grid, ZoneInfo(zone), 100.0)))
    assert len([kind for kind, _, _ in marks if kind == "day"]) in (2, 3)
    for _, place, text in marks:
        at: datetime = grid.start_utc + timedelta(seconds=float(place) / 100.0 * grid.slots * grid.slot_s)
        local = (at + timedelta(seconds=30)).astimezone(ZoneInfo(zone))
        assert text in (f"{local:%H:%M}", f"{local:%a} {local.day}")


def entry(**more: Any) -> LedgerEntry:
    base = LedgerEntry(
        entry_id="a", plug_id="plug", start_utc=NOW, duration_s=900, revision=0, plan_id="", quality=Quality.METERED,
        it_energy_kwh=None, facility_energy_kwh=None, heat_captured_kwh=None, heat_recovered_kwh=None, heat_sold_kwh=1.5,
        heat_rejected_kwh=None, heat_planned_kwh=None, heat_firm_kwh=0.0, tank_level_kwh=None, emissions_g=None,
        eur={"heat_revenue": -0.06},
    )  # fmt: skip
    return replace(base, **more)


def test_the_ledger_as_a_table_calculates_nothing_and_leaves_the_unknown_empty() -> None:
    head, line = ledger_csv([entry(plan_id='=HYPERLINK("x")')]).splitlines()
    cells = dict(zip(head.split(","), line.split(","), strict=False))
    assert cells["heat_sold_kwh"] == "1.5"
    assert cells["it_energy_kwh"] == ""
    assert "'=HYPERLINK" in line
    assert line.endswith("-0.06")
    assert '"it_energy_kwh": null' in ledger_json("2026-01", [entry()])
