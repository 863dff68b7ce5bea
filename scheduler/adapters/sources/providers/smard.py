"""SMARD (Bundesnetzagentur): day-ahead prices of Germany and its neighbours, to anybody.

An index names the files of a series, one per week by its first instant; a price is in the file of its week.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scheduler.adapters.sources.blueprint import Answer, Ask, BadAnswer, Card, NothingYet, Option, Schedule
from scheduler.adapters.sources.providers.days import DAY_AHEAD_ZONE, day_ahead, window
from scheduler.adapters.sources.providers.options import chosen, url_option
from scheduler.adapters.sources.providers.parsing import Node, Row, bad, json_of, told
from scheduler.domain.observed import PRICE, QUARTER_S
from scheduler.domain.signals import Grade, Told
from scheduler.units import MILLI_PER_UNIT, S_PER_H

# Numbers of the series "market price" by zone; the region of the address stays DE for all of them.
FILTERS = {
    "DE-LU": "4169",
    "AT": "4170",
    "BE": "4996",
    "CH": "259",
    "CZ": "261",
    "DK1": "252",
    "DK2": "253",
    "FR": "254",
    "HU": "262",
    "IT-North": "255",
    "NL": "256",
    "NO2": "4997",
    "PL": "257",
    "SI": "260",
}
STEPS_S = {"quarterhour": QUARTER_S, "hour": int(S_PER_H)}
REGION, FILES = "DE", 2
CARD = Card(
    name="smard",
    title="SMARD",
    quantities=(PRICE,),
    options=(
        Option(name="area", meaning="bidding zone", default="DE-LU", choices=tuple(FILTERS)),
        Option(name="resolution", meaning="of the series", default="quarterhour", choices=tuple(STEPS_S)),
        url_option("https://www.smard.de"),
    ),
    hosts=("www.smard.de",),
    licence='CC BY 4.0, to be named as "Bundesnetzagentur | SMARD.de"',
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Smard:
    """One zone's prices."""

    url: str
    series: str
    resolution: str

    @property
    def schedule(self) -> Schedule:
        """Not before the auction, often some hours after it."""
        return day_ahead("13:15", again_s=S_PER_H / 2.0)

    @property
    def _folder(self) -> str:
        """Where the files of the series lie."""
        return f"{self.url}/app/chart_data/{self.series}/{REGION}"

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """The index of the series."""
        return (Ask(url=f"{self._folder}/index_{self.resolution}.json"),)

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """The last two files that begin before tomorrow ends: on a Sunday tomorrow lies in another one than today."""
        if any(not self._is_index(answer) for answer in answers):
            return ()
        _, end_utc = window(now_utc, DAY_AHEAD_ZONE, 0, 1)
        try:
            firsts_s = {first_s for answer in answers for first_s in _index(answer)}
        except BadAnswer:
            return ()  # reading says it
        last_s = sorted(first_s for first_s in firsts_s if first_s < end_utc.timestamp())[-FILES:]
        stem = f"{self._folder}/{self.series}_{REGION}_{self.resolution}"
        return tuple(Ask(url=f"{stem}_{int(first_s * MILLI_PER_UNIT)}.json") for first_s in last_s)

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """{meta_data: {created}, series: [[ms, EUR/MWh or null]]} of each file; null where there is no price yet."""
        for answer in answers:
            if self._is_index(answer):
                _index(answer)
        files = [self._file(json_of(answer)) for answer in answers if not self._is_index(answer)]
        found = [(rows, issued_utc) for rows, issued_utc in files if rows]
        if not found:
            raise NothingYet(f"no price in {len(files)} files")
        return tuple(told(PRICE, rows, "EUR/MWh", Grade.PUBLISHED, issued_utc=issued_utc) for rows, issued_utc in found)

    def _file(self, root: Node) -> tuple[list[Row], datetime]:
        """The prices of a week that are known, and when their file was made."""
        rows = [self._row(node) for node in root.field("series").items()]
        created_s = root.field("meta_data").field("created").epoch_milliseconds(whole=False)
        return [row for row in rows if math.isfinite(row[2])], datetime.fromtimestamp(created_s, tz=UTC)

    def _is_index(self, answer: Answer) -> bool:
        """Whether an answer is the one of `asks`."""
        return answer.ask.url.endswith(f"/index_{self.resolution}.json")

    def _row(self, node: Node) -> Row:
        """One slot: its start in milliseconds, and its price; null where there is none yet."""
        pair = list(node.items())
        if len(pair) != 2:
            bad(node.where, f"{len(pair)} elements", "an instant and a price")
        start_s, step_s = pair[0].epoch_milliseconds(), STEPS_S[self.resolution]
        if start_s % step_s:
            bad(pair[0].where, pair[0].value, f"a multiple of {step_s} s")
        return start_s, start_s + step_s, pair[1].number_or_nan()


def make(quantity: str, options: Mapping[str, str]) -> Smard:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know.
    """
    known = chosen(CARD, quantity, options)
    return Smard(url=known["url"], series=FILTERS[known["area"]], resolution=known["resolution"])


def _index(answer: Answer) -> list[int]:
    """{timestamps: [ms]}: the first instants of the files."""
    return [node.epoch_milliseconds() for node in json_of(answer).field("timestamps").items()]
