"""JMESPath expressions of people who are not trusted: they find what is in a document, and make nothing of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from scheduler.adapters.sources.blueprint import BadAnswer, Card
from scheduler.adapters.sources.providers.parsing import MAX_ROWS, SHOWN_CHARACTERS, Node, bad
from scheduler.domain.errors import Misconfigured

LONGEST = 400
# These leave out what is null, so that two lists that they made no longer belong together.
LOSSY = frozenset({"flatten", "filter_projection", "projection", "value_projection"})
_LOGIC = frozenset({"and_expression", "comparator", "expref", "function_expression", "not_expression", "or_expression"})
_WAYS = frozenset({"current", "field", "identity", "index", "index_expression", "pipe", "slice", "subexpression"})
# No list or object that is put together: [@, @] doubles a document with every pipe. No literal but to compare with: a value
# comes from the document or from nowhere.
NODES = LOSSY | _LOGIC | _WAYS
_TESTS = frozenset({"contains", "ends_with", "starts_with"})
FUNCTIONS = _TESTS | {"keys", "reverse", "sort_by", "to_number", "values"}


def path(card: Card, name: str, text: str, *, whole: bool = False) -> ParsedResult:
    """The expression of an option; whole: it must not leave out nulls, since its list stands beside another.

    Raises:
        Misconfigured: it is no expression, or is made of what is not allowed.
    """
    where = f"{card.name}, option {name}"
    if len(text) > LONGEST:
        raise Misconfigured(f"{len(text)} characters", where=where, expected=f"at most {LONGEST}")
    try:
        found = jmespath.compile(text)
    except (JMESPathError, RecursionError, ValueError) as error:
        raise Misconfigured(f"{text!r}: {_line(error)}", where=where, expected="a JMESPath expression") from None
    for kind in _kinds(found.parsed):
        if whole and kind in LOSSY:
            expected = "the option records for the list, and fields of a record"
            raise Misconfigured(f"{text!r} leaves out nulls", where=where, expected=expected)
        if kind not in NODES and kind not in FUNCTIONS:
            expected = f"fields, indices, filters, projections, and {', '.join(sorted(FUNCTIONS))}"
            raise Misconfigured(f"{text!r} has a {kind.replace('_', ' ')}", where=where, expected=expected)
    return found


def found(path: ParsedResult, node: Node) -> Node:
    """What an expression finds in a place.

    Raises:
        BadAnswer: it cannot be applied there, or finds too much.
    """
    where = f"{node.where} | {path.expression[:SHOWN_CHARACTERS]}"
    try:
        value = path.search(node.value)
    except (JMESPathError, TypeError, ValueError, OverflowError, RecursionError, AttributeError) as error:
        raise BadAnswer(f"{where}: the expression does not fit: {_line(error)}") from None
    if isinstance(value, list) and len(value) > MAX_ROWS:
        bad(where, f"a list of {len(value)}", f"at most {MAX_ROWS}")
    return Node(value, where)


def _kinds(tree: Mapping[str, Any]) -> Iterator[str]:
    """What an expression is made of: kinds of nodes and names of functions, without the literals that it compares with."""
    function = tree["type"] == "function_expression"
    name = tree["value"] if function else tree["type"]
    yield name
    compares = name == "comparator" or (function and name in _TESTS)
    for child in tree["children"]:
        if isinstance(child, dict) and not (compares and child["type"] == "literal"):
            yield from _kinds(child)


def _line(error: Exception) -> str:
    """The first line of an error, not too long."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
