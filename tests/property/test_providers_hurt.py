"""Whatever becomes of a document on its way: a provider says what is wrong, or tells values that stand in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_answers import answers_of, made, pages_of

from scheduler.adapters.sources.blueprint import Answer, BadAnswer, Provider
from scheduler.adapters.sources.providers.catalogue import PROVIDERS

NOW = datetime(2026, 1, 14, 10, 7, tzinfo=UTC)
# A day's history is enough to hurt.
SHORT = {"daysBack": "0"}
JUNK = st.sampled_from(
    [None, True, "", "x", "NaN", "-Infinity", "2026-01-14", "9999-12-31T23:59:59Z", "2026-13-01T00:00Z", -1, 0, 7, 1e300]
    + [10**400, [], {}, [[1, 2]], {"value": 5}, 1768384800, 1768384800.5, "12,5", "1e999", "\x00"]
) | st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(width=32) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def poll(name: str, quantity: str) -> tuple[Provider, list[Answer]]:
    """A provider of a name and all that its pages answer."""
    has_history = any(option.name == "daysBack" for option in PROVIDERS[name].card.options)
    provider, pages = made(name, quantity, **(SHORT if has_history else {})), pages_of(name)
    return provider, answers_of(provider, pages.routes(NOW), NOW, pages.CREDENTIALS)


CASES = [(name, quantity) for name in PROVIDERS for quantity in pages_of(name).OPTIONS]
POLLS = {f"{name}-{quantity}": poll(name, quantity) for name, quantity in CASES}
IN_JSON = [case for case, (_, answers) in POLLS.items() if answers[0].body[:1] in (b"{", b"[")]


def numbers(value: Any) -> Iterator[float]:
    """All numbers of a document, also those in texts."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, str):
        yield from (float(text) for text in re.findall(r"^[-+]?[0-9]+\.?[0-9]*(?:e[-+]?\d+)?$", value))
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308:
        yield float(value)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a document; of long lists the first, the second and the last."""
    keys = list(value) if isinstance(value, dict) else sorted({0, 1, len(value) - 1} & set(range(len(value))))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def hurt(document: Any, data: st.DataObject) -> None:
    """One thing in a document becomes another, goes, or comes twice."""
    found = list(places(document))
    if not found:
        return
    container, key = found[data.draw(st.integers(0, len(found) - 1))]
    how = data.draw(st.sampled_from(["junk", "junk", "gone", "twice", "other"]))
    if how == "gone":
        del container[key]
    elif how == "twice" and isinstance(container, list):
        container.insert(key, container[key])
    elif how == "other" and isinstance(container[key], str):
        container[key] = container[key][::-1]
    else:
        container[key] = deepcopy(data.draw(JUNK))


def told_values(provider: Provider, answers: list[Answer]) -> list[float]:
    """All values that are told; none when the answers are refused in one line. Asking for more never fails."""
    provider.follow(answers, NOW)
    try:
        told = provider.read(answers, NOW)
    except BadAnswer as error:
        refusal = str(error)
    else:
        return [value for part in told for value in part.values.tolist() if not math.isnan(value)]
    assert refusal.isprintable()
    assert 0 < len(refusal) < 1000
    return []


@pytest.mark.parametrize("case", IN_JSON)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_hurt_document_is_refused_or_told_as_it_stands(case: str, data: st.DataObject) -> None:
    provider, answers = POLLS[case]
    chosen = data.draw(st.integers(0, len(answers) - 1))
    document = json.loads(answers[chosen].body)
    for _ in range(data.draw(st.integers(1, 3))):
        hurt(document, data)
    bodies = [json.dumps(document).encode() if place == chosen else answer.body for place, answer in enumerate(answers)]
    values = told_values(provider, [replace(answer, body=body) for answer, body in zip(answers, bodies, strict=True)])
    known = {number for body in bodies for number in numbers(json.loads(body))}
    assert set(values) <= known
    assert np.isfinite(values).all()


@pytest.mark.parametrize("case", POLLS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_bytes_break_a_provider(case: str, data: st.DataObject) -> None:
    provider, answers = POLLS[case]
    chosen = data.draw(st.integers(0, len(answers) - 1))
    body = answers[chosen].body
    cut = data.draw(st.integers(0, len(body)))
    how = data.draw(st.sampled_from(["cut", "random", "noise", "deep"]))
    hurt_body = {
        "cut": body[:cut],
        "random": data.draw(st.binary(max_size=200)),
        "noise": body[:cut] + data.draw(st.binary(max_size=20)) + body[cut + 5 :],
        "deep": b"[" * 100_000,
    }[how]
    values = told_values(provider, [*answers[:chosen], replace(answers[chosen], body=hurt_body), *answers[chosen + 1 :]])
    # A number can be cut in two, and noise can be digits; but nothing that is no number is told.
    assert np.isfinite(values).all()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_hurt_table_is_refused_or_told_as_it_stands(data: st.DataObject) -> None:
    provider, (answer,) = next(answered for case, answered in POLLS.items() if case.startswith("csv_feed"))
    lines = answer.body.decode("utf-8-sig").split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(lines) - 1, 30)))
        cells = lines[place].split(";")
        cells[data.draw(st.integers(0, len(cells) - 1))] = str(data.draw(JUNK))
        how = data.draw(st.sampled_from(["cell", "gone", "twice", "short"]))
        new = {"cell": [";".join(cells)], "gone": [], "twice": [lines[place]] * 2, "short": [cells[0]]}[how]
        lines[place : place + 1] = new
    text = "\r\n".join(lines)
    values = told_values(provider, [replace(answer, body=text.encode())])
    cells = [cell for line in lines for cell in line.split(";")]
    assert set(values) <= {number for cell in cells for number in numbers(cell.replace(",", "."))}


ELEMENT = re.compile(r"<([\w.]+)>([^<]*)</")
WORDS = st.sampled_from(
    [
        "1",
        "2",
        "96",
        "97",
        "-1",
        "0",
        "PT60M",
        "PT30M",
        "P1D",
        "A01",
        "A02",
        "A03",
        "EUR",
        "MWH",
        "NaN",
        "1e5",
        "2026-01-14T22:00Z",
    ]
) | st.text(st.characters(codec="ascii", exclude_characters="<&"), max_size=12)
AMOUNT = re.compile(r"<price\.amount>\s*([+-]?\d+(?:\.\d+)?)\s*</")


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_hurt_market_document_is_refused_or_told_as_it_stands(data: st.DataObject) -> None:
    provider, (answer,) = POLLS["entsoe-price"]
    lines = answer.body.decode().splitlines()
    # What stands around the points, and the last of them.
    around = [place for place, line in enumerate(lines[:-1]) if not re.search(r"Point>|position|price\.amount", line)]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from([*around, *range(len(lines) - 40, len(lines) - 1)]))
        how = data.draw(st.sampled_from(["text", "gone", "twice", "swapped"]))
        if how == "text" and (found := ELEMENT.search(lines[place])):
            lines[place] = f"<{found[1]}>{data.draw(WORDS)}</{found[1]}>"
        elif how == "swapped":
            lines[place : place + 2] = [lines[place + 1], lines[place]]
        else:
            lines[place] = "" if how == "gone" else f"{lines[place]}\n{lines[place]}"
    text = "\n".join(lines)
    values = told_values(provider, [replace(answer, body=text.encode())])
    assert set(values) <= {float(amount) for amount in AMOUNT.findall(text)}
