"""A Prometheus, or what speaks like one: one expression over a range of time, which must be one series."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scheduler.adapters.sources.blueprint import Answer, Ask, BadAnswer, Card, NothingYet, Option
from scheduler.adapters.sources.providers import generic, times
from scheduler.adapters.sources.providers.options import chosen, whole
from scheduler.adapters.sources.providers.parsing import Node, Row, bad, epoch_s, json_of, shown
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import OUTDOOR
from scheduler.domain.signals import Told
from scheduler.units import S_PER_H, S_PER_MIN

LONGEST = 1500
MOST_WORDS = 240
# What Prometheus answers to a range query at most.
MAX_POINTS = 11_000

CARD = Card(
    name="prometheus_query",
    title="Prometheus query",
    quantities=generic.QUANTITIES,
    options=(
        generic.ADDRESS,
        Option(name="expression", meaning="PromQL that is one series"),
        Option(name="stepMinutes", meaning="minutes between two values, 1 to 60", default="15"),
        Option(name="hoursBack", meaning="hours before now, 0 to 240", default="48"),
        Option(name="hoursAhead", meaning="hours after now, for recorded forecasts, 0 to 240", default="0"),
        Option(
            name=times.OF.name,
            meaning="whether a value is of the step that begins at its time, or ends then, as avg_over_time(...) "
            "is; auto: ends, but a temperature begins",
            default="auto",
            choices=("auto", times.START, times.END),
        ),
        Option(
            name="warnings",
            meaning="what an answer with warnings is worth: it may be a part",
            default="refuse",
            choices=("refuse", "accept"),
        ),
        *generic.COMMON,
    ),
    optional_credentials=generic.CREDENTIALS,
    licence="one's own",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusQuery(generic.OneAnswer):
    """One expression. shift_s: what is added to a time of the answer to have the start of the step that its value is of."""

    step_s: int
    back_s: int
    ahead_s: int
    shift_s: int
    warnings: bool

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """The expression at multiples of the step, so that each poll sees the same times."""
        now_s = int(now_utc.timestamp())
        start_s, end_s = (at_s // self.step_s * self.step_s for at_s in (now_s - self.back_s, now_s + self.ahead_s))
        return (replace(self.ask, params={**self.ask.params, "start": str(start_s), "end": str(end_s)}),)

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """{status, data: {resultType: "matrix", result: [{metric, values: [[s, "value"]]}]}, warnings: [text]}."""
        return tuple(self._told(json_of(answer)) for answer in answers)

    def _told(self, document: Node) -> Told:
        """One answer: the values of its only series."""
        status = document.field("status")
        if status.text() != "success":
            raise BadAnswer(f"Prometheus refuses: {_line(document.maybe('error'))}")
        noted = document.maybe("warnings")
        warning = f"Prometheus warns: {_line(next(noted.items()))}" if noted is not None and noted.listed() else ""
        if warning and not self.warnings:
            raise BadAnswer(f"{warning}; this may be a part, see the option warnings")
        data = document.field("data")
        kind = data.field("resultType")
        if kind.text() != "matrix":
            bad(kind.where, kind.value, "matrix")
        series = list(data.field("result").items())
        if not series:
            raise NothingYet(f"no series for {shown(self.ask.params['query'])}")
        if len(series) > 1:
            raise BadAnswer(f"{len(series)} series, expected one: {', '.join(_labels(one) for one in series[:3])}")
        if series[0].maybe("histograms") is not None:
            bad(f"{series[0].where}.histograms", "a native histogram", "plain values")
        told = self.subject.told([self._row(sample) for sample in series[0].field("values").items()])
        return replace(told, remark=warning)

    def _row(self, sample: Node) -> Row:
        """One value; NaN and infinities, which a division by zero brings, are not known."""
        if len(sample.listed()) != 2:
            bad(sample.where, sample.value, "a time and a value")
        at, value = sample.items()
        at_s = at.number()
        if at_s != int(at_s):
            bad(at.where, at.value, "whole seconds, as they were asked for")
        start_s = epoch_s(int(at_s), at.where) + self.shift_s
        text = value.text()
        if text in {"NaN", "+Inf", "-Inf", "Inf"}:
            return start_s, start_s + self.step_s, math.nan
        if not re.fullmatch(r"-?\d{1,310}(\.\d{1,340})?([eE][+-]?\d{1,3})?", text, re.ASCII) or not math.isfinite(float(text)):
            bad(value.where, text, "a number as Prometheus writes it")
        return start_s, start_s + self.step_s, float(text)


def make(quantity: str, options: Mapping[str, str]) -> PrometheusQuery:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know, or more values than Prometheus gives at once.
    """
    known = chosen(CARD, quantity, options)
    expression = known["expression"]
    if not expression.strip() or len(expression) > LONGEST or not expression.isprintable():
        raise Misconfigured(
            f"{len(expression)} characters", where=f"{CARD.name}, option expression", expected=f"one line of 1 to {LONGEST}"
        )
    step_s = int(whole(CARD, "stepMinutes", known["stepMinutes"], 1, 60) * S_PER_MIN)
    back_s, ahead_s = (int(whole(CARD, name, known[name], 0, 240) * S_PER_H) for name in ("hoursBack", "hoursAhead"))
    if (back_s + ahead_s) // step_s + 1 > MAX_POINTS:
        found = f"{(back_s + ahead_s) // step_s + 1} values"
        raise Misconfigured(found, where=f"{CARD.name}, option stepMinutes", expected=f"at most {MAX_POINTS}")
    params, auto = {"query": expression, "step": str(step_s)}, known[times.OF.name] == "auto"
    ask = generic.ask_of(CARD, known, params, ("application/json",))
    return PrometheusQuery(
        # Why an expression cannot be run stands in the body of a refusal.
        ask=replace(ask, url=f"{ask.url}/api/v1/query_range", statuses=(200, 400, 422)),
        subject=generic.subject_of(CARD, quantity, known),
        step_s=step_s,
        back_s=back_s,
        ahead_s=ahead_s,
        shift_s=-step_s if known[times.OF.name] == times.END or (auto and quantity != OUTDOOR) else 0,
        warnings=known["warnings"] == "accept",
    )


def _line(node: Node | None) -> str:
    """A text of the answer, tame enough for a log; longer than other found values, since it says what to mend."""
    if node is None:
        return "it does not say why"
    text = node.value if isinstance(node.value, str) else shown(node.value)
    return "".join(one if one.isprintable() else " " for one in text)[:MOST_WORDS]


def _labels(series: Node) -> str:
    """The labels of a series in short."""
    metric = series.field("metric")
    if not isinstance(metric.value, dict):
        bad(metric.where, metric.value, "labels")
    return "{" + ", ".join(f"{name}={shown(value)}" for name, value in list(metric.value.items())[:4]) + "}"
