"""The few words of CEL in which the kinds state their rules, so that files are held to the same rules as the API server's.

Understood: `self.a.b`, numbers, text in single quotes, `true`, `false`, `==`, `!=`, `<`, `<=`, `>`, `>=`, `&&`, `||`, `!`,
`has(self.a)` and `self.list.exists(x, condition)`. A rule that uses more fails its test, not a user's file.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def holds(rule: str, value: Mapping[str, Any]) -> bool:
    """Whether `self`, a part as it is written in a file with its defaults filled in, obeys a rule.

    Raises:
        ValueError: when the rule says what is not understood here.
    """
    return bool(_value(_parsed(rule), {"self": value}))


@cache
def _parsed(rule: str) -> ast.expr:
    """The rule as an expression tree; CEL's operators are spelled as Python's, whose precedence agrees where we use them."""
    text = rule.replace("&&", " and ").replace("||", " or ")
    text = re.sub(r"!(?!=)", " not ", text).strip()
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        raise ValueError(f"not understood: {rule}") from None


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Value of a tree; a field that is not there reads as None."""
    if isinstance(node, ast.BoolOp):
        parts = (_value(part, names) for part in node.values)
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _value(node.operand, names)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARE:
        return COMPARE[type(node.ops[0])](_value(node.left, names), _value(node.comparators[0], names))
    if isinstance(node, ast.Attribute):
        return _value(node.value, names).get(node.attr)
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return {"true": True, "false": False, **names}[node.id]
    if isinstance(node, ast.Call):
        return _call(node, names)
    raise ValueError(f"not understood: {ast.unparse(node)}")


def _call(node: ast.Call, names: Mapping[str, Any]) -> bool:
    """`has(self.a)` and `self.list.exists(x, condition)`."""
    if isinstance(node.func, ast.Name) and node.func.id == "has":
        return _value(node.args[0], names) is not None
    if isinstance(node.func, ast.Attribute) and node.func.attr == "exists" and len(node.args) == 2:
        each, condition = node.args
        items = _value(node.func.value, names) or []
        return any(_value(condition, {**names, ast.unparse(each): item}) for item in items)
    raise ValueError(f"not understood: {ast.unparse(node)}")
