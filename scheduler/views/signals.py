"""What sources say, in a terminal: a block for every chain, from the plain values of a report, in 80 columns or more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from textwrap import wrap
from typing import Any

from rich.text import Text

from scheduler.units import S_PER_DAY, S_PER_H, S_PER_MIN
from scheduler.views.live import sparkline

NARROWEST = 60
# Fields of a policy under which a source may stand.
EVERYTHING = 4
MOST_PARTS = 6
STATES = {
    "used": ("used", "bold green"),
    "fills": ("fills in", "green"),
    "ready": ("in reserve", ""),
    "refused": ("not used", "red"),
}
PLACE_WIDTH, STATE_WIDTH = 3, 12
GRADES = {"measured": "measured", "published": "published", "forecast": "its forecast"}
DECIMALS = {"EUR/kWh": 3}

Report = Mapping[str, Any]


def signal_lines(report: Report, width: int) -> Iterator[Text]:
    """All chains; times are in UTC."""
    width = max(NARROWEST, width)
    several = len({chain["policy"] for chain in report["chains"]}) > 1
    for chain in report["chains"]:
        yield from chain_lines(chain, width, several)
        yield Text("")


def chain_lines(chain: Report, width: int, several: bool = False) -> Iterator[Text]:
    """One chain: a heading, its sources in order of trust, a sparkline, and what a plan would be made with."""
    owner = f"{chain['policy']}: " if several else ""
    head = Text(f"{owner}{chain['field']}", style="bold")
    head.append(f", {chain['unit']}", style="dim")
    if chain["depth"] is not None and len(chain["links"]) > 1:
        head.append(f", source {chain['depth'] + 1} of {len(chain['links'])}", style="dim")
    yield head
    links = chain["links"]
    name_width = min(28, max((len(link["name"]) for link in links), default=0) + 2)
    for place, link in enumerate(links, start=1):
        yield from _link_lines(place, link, name_width, width)
    for why in chain["notMade"]:
        yield from _hanging(Text("  -  not made  ", style="red"), why, width)
    if chain["lately"] is not None:
        yield from _spark(chain["lately"], chain["unit"], width)
    yield from _plan_lines(chain, width)


def _link_lines(place: int, link: Report, name_width: int, width: int) -> Iterator[Text]:
    """One source: its state, what came, and what was wrong."""
    word, style = STATES[link["state"]]
    head = Text(f"{place:>{PLACE_WIDTH}}  {link['name']:<{name_width}}")
    head.append(f"{word:<{STATE_WIDTH}}", style=style)
    said = came(link)
    yield from _hanging(head, said or "; ".join(link["why"]), width)
    if said and link["why"]:
        yield from _hanging(Text(" " * len(head)), "; ".join(link["why"]), width)


def came(link: Report) -> str:
    """When something came, how old it is, in which steps and from when to when."""
    if "heardUtc" not in link:
        return ""
    if link["assumed"]:
        return "a rule"
    # A clock that was set back since makes it heard in the future.
    parts = [f"heard {age(max(0.0, link['ageS']))} ago"]
    if link["issuedUtc"]:
        parts.append(f"made {moment(link['issuedUtc'])}")
    if link.get("fromUtc"):
        parts.append(f"every {step(link['slotS'])} from {moment(link['fromUtc'])} to {moment(link['toUtc'])}")
    if link["basis"]:
        parts.append(link["basis"])
    return ", ".join(parts)


def _spark(lately: Report, unit: str, width: int) -> Iterator[Text]:
    """The hours around now with their range."""
    places = DECIMALS.get(unit, 1)
    label = f"  {lately['low']:.{places}f} to {lately['high']:.{places}f}, hours from {moment(lately['startUtc'])}"
    hours = lately["hours"][: max(8, width - len(label) - PLACE_WIDTH - 2)]
    known = [one for one in hours if one is not None]
    # A little below the lowest, so that it is seen.
    floor = lately["low"] - (lately["high"] - lately["low"]) / 8.0
    blocks = iter(sparkline(known, floor, lately["high"]))
    line = Text(" " * (PLACE_WIDTH + 2))
    line.append("".join(next(blocks) if one is not None else "·" for one in hours), style="cyan")
    line.append(label, style="dim")
    yield line


def _plan_lines(chain: Report, width: int) -> Iterator[Text]:
    """What a plan would be made with."""
    lead = Text(" " * (PLACE_WIDTH + 2) + "plan: ")
    if not chain["usable"]:
        old = "the past as far as it is known" if chain["lately"] is not None else "nothing"
        yield from _hanging(lead, f"nothing usable now; forecasts rest on {old}", width, style="bold red")
        return
    pieces = [
        f"{part['source']}{', ' + GRADES[part['grade']] if part['grade'] else ''} "
        f"{moment(part['fromUtc'])} to {moment(part['toUtc'])}"
        for part in chain["plan"][:MOST_PARTS]
    ]
    more = len(chain["plan"]) - len(pieces)
    pieces += [f"{more} more pieces"] if more > 0 else []
    yield from _hanging(lead, "; ".join([*pieces, "else our own forecast"]), width)


def _hanging(head: Text, text: str, width: int, style: str = "") -> Iterator[Text]:
    """Text after a head, wrapped below itself."""
    lines = wrap(text, max(24, width - len(head)), break_on_hyphens=False) or [""]
    for i, line in enumerate(lines):
        found = head.copy() if i == 0 else Text(" " * len(head))
        found.append(line, style=style)
        found.rstrip()
        yield found


def provider_table(cards: Sequence[Report], width: int) -> Iterator[Text]:
    """Providers, one a line: name, what it tells, what it needs, and as much of its area as there is room for."""
    rows = [("provider", "tells", "needs", "area")]
    for card in cards:
        tells = "anything" if len(card["fields"]) == EVERYTHING else ", ".join(card["fields"])
        rows.append((card["name"], tells, ", ".join(card["needs"]) or "-", card["area"] or "a rule"))
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0]) - 1)]
    for number, row in enumerate(rows):
        head = "".join(f"{cell:<{size}}" for cell, size in zip(row, widths, strict=False))
        room = max(12, width - len(head))
        area = row[-1] if len(row[-1]) <= room else row[-1][: room - 1].rstrip(" ,;(") + "…"
        yield Text(head + area, style="bold" if number == 0 else "")


def provider_lines(card: Report, width: int) -> Iterator[Text]:
    """Everything about one provider."""
    width = max(NARROWEST, width)
    yield Text(f"{card['name']}: {card['title']}", style="bold")
    for label, text in card["facts"]:
        yield from _hanging(Text(f"  {label:<14}", style="dim"), text, width)
    if card["options"]:
        yield Text("  options", style="dim")
    name_width = max((len(option["name"]) for option in card["options"]), default=0) + 2
    for option in card["options"]:
        default = "needed" if option["default"] is None else f"default {option['default']!r}" if option["default"] else ""
        choices = f"one of {', '.join(option['choices'])}" if option["choices"] else ""
        words = "; ".join(part for part in (option["meaning"], choices, default) if part)
        yield from _hanging(Text(f"    {option['name']:<{name_width}}"), words, width)


def age(seconds: float) -> str:
    """`12 s`, `5 min`, `3.2 h`, `2 d`."""
    if seconds < S_PER_MIN:
        return f"{seconds:.0f} s"
    if seconds < S_PER_H:
        return f"{seconds / S_PER_MIN:.0f} min"
    return f"{seconds / S_PER_H:.1f} h" if seconds < 2 * S_PER_DAY else f"{seconds / S_PER_DAY:.0f} d"


def step(slot_s: float) -> str:
    """`15 min` or `1 h`."""
    return f"{slot_s / S_PER_H:g} h" if slot_s >= S_PER_H else f"{slot_s / S_PER_MIN:g} min"


def moment(stamp: str) -> str:
    """`21 Nov 23:00`; the year is that of the reader."""
    at = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    return f"{at.day} {at:%b %H:%M}"
