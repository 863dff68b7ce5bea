"""What sources say, as lines: nothing is wider than asked for, and every state has its words."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.views.signals import age, came, moment, provider_lines, provider_table, signal_lines, step

HEARD: dict[str, Any] = {
    "heardUtc": "2026-11-21T12:00:00Z",
    "ageS": 40.0,
    "issuedUtc": "2026-11-21T11:00:00Z",
    "slotS": 900,
    "values": 96,
    "assumed": False,
    "basis": "average",
    "fromUtc": "2026-11-21T00:00:00Z",
    "toUtc": "2026-11-22T00:00:00Z",
}
LONG = "prices.a-rather-long-name.example.org/v1/a/very/long/path/that/nobody/breaks/anywhere/at/all: HTTP 503"


def link(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "provider": name, "state": state, "why": [], **more}


def part(source: str, grade: str | None = "published", day: int = 21) -> dict[str, Any]:
    return {
        "source": source,
        "grade": grade,
        "assumed": False,
        "fromUtc": f"2026-11-{day}T12:00:00Z",
        "toUtc": f"2026-11-{day + 1}T12:00:00Z",
    }


def chain(field: str = "price", **changes: Any) -> dict[str, Any]:
    links = [
        link("first", "refused", why=[LONG]),
        link("second", "used", **HEARD),
        link("third", "fills", **{**HEARD, "issuedUtc": None, "basis": None}),
        link("a_rule", "ready", **{**HEARD, "assumed": True}),
    ]
    found = {
        "policy": "p",
        "field": field,
        "quantity": field,
        "unit": "EUR/kWh",
        "usable": True,
        "depth": 1,
        "links": links,
        "notMade": ["gone: there is no such provider"],
        "plan": [part("second"), part("third", "forecast", 22)],
        "lately": {"startUtc": "2026-11-21T00:00:00Z", "hours": [0.1, None, 0.3, -0.05], "low": -0.05, "high": 0.3},
    }
    return {**found, **changes}


def lines(*chains: dict[str, Any], width: int = 80) -> list[str]:
    return [line.plain for line in signal_lines({"chains": list(chains)}, width)]


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_no_line_is_wider_than_asked_for(width: int) -> None:
    assert max(len(line) for line in lines(chain(), chain("carbon"), width=width)) <= width


def test_a_chain_in_lines() -> None:
    told = lines(chain(), width=160)
    assert told[0] == "price, EUR/kWh, source 2 of 4"
    assert told[1] == f"  1  first   not used    {LONG}"
    heard = "heard 40 s ago, made 21 Nov 11:00, every 15 min from 21 Nov 00:00 to 22 Nov 00:00, average"
    assert told[2] == f"  2  second  used        {heard}"
    assert told[4] == "  4  a_rule  in reserve  a rule"
    assert told[5] == "  -  not made  gone: there is no such provider"
    assert told[6] == "     ▄·█▁  -0.050 to 0.300, hours from 21 Nov 00:00"
    published, forecast = "second, published 21 Nov 12:00 to 22 Nov 12:00", "third, its forecast 22 Nov 12:00 to 23 Nov 12:00"
    assert told[7] == f"     plan: {published}; {forecast}; else our own forecast"


def test_what_is_wrong_with_what_came_stands_below_it() -> None:
    (_, told, below, *_) = lines(chain(links=[link("one", "used", **{**HEARD, "why": ["price: gap"]})]), width=160)
    assert told.endswith("average")
    assert below.strip() == "price: gap"


def test_nothing_usable_is_said() -> None:
    unheard = chain(usable=False, plan=[], lately=None)
    assert lines(unheard)[-2].endswith("plan: nothing usable now; forecasts rest on nothing")
    assert "the past as far as it is known" in " ".join(lines(chain(usable=False, plan=[])))


def test_many_pieces_are_counted_and_several_policies_named() -> None:
    told = " ".join(" ".join(lines(chain(plan=[part("second")] * 9))).split())
    assert "3 more pieces; else our own forecast" in told
    assert lines(chain(policy="a"), chain(policy="b"))[0] == "a: price, EUR/kWh, source 2 of 4"


def test_times_and_spans() -> None:
    assert [age(seconds) for seconds in (12.0, 300.0, 9000.0, 400_000.0)] == ["12 s", "5 min", "2.5 h", "5 d"]
    assert [step(seconds) for seconds in (900, 3600, 5400)] == ["15 min", "1 h", "1.5 h"]
    assert moment("2026-11-01T09:05:00Z") == "1 Nov 09:05"
    assert came(link("never", "refused")) == ""


def test_providers_fit_into_their_lines() -> None:
    card = {
        "name": "somebody",
        "title": "Somebody",
        "fields": ["price", "carbon", "weather", "heatDemand"],
        "area": "a region with a name of some length, and another one",
        "needs": ["token"],
        "facts": [["area", "a region " * 12]],
        "options": [
            {"name": "area", "meaning": "which", "default": None, "choices": ["a", "b"]},
            {"name": "url", "meaning": "where", "default": "https://example.org", "choices": []},
            {"name": "key", "meaning": "maybe", "default": "", "choices": []},
        ],
    }
    table = [line.plain for line in provider_table([card, {**card, "name": "rule", "area": "", "needs": []}], 60)]
    assert table[1].startswith("somebody  anything  token  a region with a name")
    assert table[1].endswith("…")
    assert table[2].split() == ["rule", "anything", "-", "a", "rule"]
    assert all(len(line) <= 60 for line in table)
    told = [line.plain for line in provider_lines(card, 60)]
    assert all(len(line) <= 60 for line in told)
    options = ["    area  which; one of a, b; needed", "    url   where; default 'https://example.org'", "    key   maybe"]
    assert told[-3:] == options
