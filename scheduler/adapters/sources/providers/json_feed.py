"""Any JSON document: JMESPath expressions say where its times and values are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jmespath.parser import ParsedResult

from scheduler.adapters.sources.blueprint import Answer, Card, Option
from scheduler.adapters.sources.providers import expressions, generic, times
from scheduler.adapters.sources.providers.options import chosen
from scheduler.adapters.sources.providers.parsing import Node, bad, instant, json_of
from scheduler.domain.signals import Told

CARD = Card(
    name="json_feed",
    title="JSON with JMESPath",
    quantities=generic.QUANTITIES,
    options=(
        generic.ANYWHERE,
        generic.FILE,
        Option(name="query", meaning="parameters of the address, as zone=DK1&days=2", default=""),
        Option(name="records", meaning="JMESPath of a list of records; not given: time and value are lists", default=""),
        Option(name="time", meaning="JMESPath of the time of a record, or of the list of all times"),
        Option(name="value", meaning="JMESPath of the value of a record, or of the list of all values"),
        Option(name="issued", meaning="JMESPath of the time (ISO 8601) at which the document was made", default=""),
        *times.OPTIONS,
        *generic.COMMON,
    ),
    optional_credentials=generic.CREDENTIALS,
    licence="of whoever serves the document",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where things are; records and issued None where they are not given."""

    records: ParsedResult | None
    time: ParsedResult
    value: ParsedResult
    issued: ParsedResult | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonFeed(generic.OneAnswer):
    """One document."""

    paths: Paths
    timing: times.Timing

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """Records with a time and a value each, or two lists as long as each other."""
        return tuple(self._told(json_of(answer)) for answer in answers)

    def _told(self, document: Node) -> Told:
        """One document's values."""
        records = self.paths.records
        found = self._lists(document) if records is None else self._records(records, document)
        rows = self.timing.rows([((time.value, time.where), value.number_or_nan()) for time, value in found], "$")
        issued_utc = None
        if self.paths.issued is not None:
            made = expressions.found(self.paths.issued, document)
            issued_utc = instant(made.text(), made.where)
        return self.subject.told(rows, issued_utc)

    def _records(self, records: ParsedResult, document: Node) -> list[tuple[Node, Node]]:
        """Time and value of each record; a record without a value does not know it."""
        return [
            (expressions.found(self.paths.time, node), expressions.found(self.paths.value, node))
            for node in expressions.found(records, document).items()
        ]

    def _lists(self, document: Node) -> list[tuple[Node, Node]]:
        """Times and values that stand side by side."""
        found, values = (list(expressions.found(path, document).items()) for path in (self.paths.time, self.paths.value))
        if len(found) != len(values):
            bad("$", f"{len(found)} times and {len(values)} values", "as many of both")
        return list(zip(found, values, strict=True))


def make(quantity: str, options: Mapping[str, str]) -> JsonFeed:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know, or an expression that is none.
    """
    known = generic.place_of(CARD, chosen(CARD, quantity, options))
    records = expressions.path(CARD, "records", known["records"]) if known["records"] else None
    whole = records is None
    return JsonFeed(
        ask=generic.ask_of(CARD, known, generic.query_of(CARD, known["query"]), ("application/json",)),
        subject=generic.subject_of(CARD, quantity, known),
        paths=Paths(
            records=records,
            time=expressions.path(CARD, "time", known["time"], whole=whole),
            value=expressions.path(CARD, "value", known["value"], whole=whole),
            issued=expressions.path(CARD, "issued", known["issued"]) if known["issued"] else None,
        ),
        timing=times.timing_of(CARD, known),
    )
