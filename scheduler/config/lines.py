"""YAML as plain values that remember their lines.

Scalars are read as the API server's reader does: `10:30` and `2027-06-30` are text, `1e3` is a number, and yes, no, on, off, y
and n without quotes are booleans.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from scheduler.config.findings import Finding, error, warning

Path = tuple[str | int, ...]

MAX_NODES = 200_000
MAX_DEPTH = 64
STR, MAP, SEQ = "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
NULL, BOOL = "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"
INT, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
TRUE, FALSE = ("true", "yes", "on", "y"), ("false", "no", "off", "n")


class _Loader(yaml.SafeLoader):
    """Reads YAML; resolves scalars by the few rules below."""

    yaml_implicit_resolvers: dict[str, Any] = {}


_Loader.add_implicit_resolver(NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(BOOL, re.compile(rf"^(?:{'|'.join(TRUE + FALSE)})$", re.IGNORECASE), list("tTfFyYnNoO"))
_Loader.add_implicit_resolver(INT, re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,14})$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    FLOAT,
    re.compile(
        r"^(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?|[-+]?[1-9][0-9]{15,300}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document: its value, the line of every path in it, and the file's name; line 0: it comes from no file."""

    file: str
    line: int
    value: Any
    lines: Mapping[Path, int]

    def where(self, path: Path = ()) -> str:
        """`site.yaml:17` of the nearest path that the document has; the name alone without a file."""
        while path and path not in self.lines:
            path = path[:-1]
        line = self.lines.get(path, self.line)
        return f"{self.file}:{line}" if line else self.file


def read_documents(text: str, file: str) -> tuple[list[Document], list[Finding]]:
    """Every document of a YAML text; documents after a syntax error are lost, and the error says where it is."""
    documents: list[Document] = []
    findings: list[Finding] = []
    budget = [MAX_NODES]
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            if node is None or node.tag == NULL:
                continue
            reader = _Reader(file, findings, budget)
            value = reader.value(node, ())
            documents.append(Document(file=file, line=_line(node), value=value, lines=reader.lines))
    except yaml.MarkedYAMLError as bad:
        findings.append(_syntax(bad, file))
    except yaml.YAMLError as bad:
        findings.append(error(file, "", f"not YAML: {str(bad).splitlines()[0][:200]}", "YAML"))
    except RecursionError:
        findings.append(error(file, "", "nested too deeply", f"at most {MAX_DEPTH} levels"))
    except (ValueError, OverflowError) as bad:
        findings.append(error(file, "", f"not YAML that can be read: {str(bad)[:200]}", "YAML"))
    return documents, findings


def _syntax(bad: yaml.MarkedYAMLError, file: str) -> Finding:
    """A syntax error at its line."""
    mark = bad.problem_mark or bad.context_mark
    where = f"{file}:{mark.line + 1}" if mark else file
    hint = "; tabs cannot indent" if "'\\t'" in str(bad.problem) else ""
    return error(where, "", f"not YAML: {str(bad.problem or bad.context)[:200]}{hint}", "YAML")


def _line(node: yaml.Node) -> int:
    """Line on which a node begins."""
    line: int = node.start_mark.line
    return line + 1


class _Reader:
    """Turns nodes into values; keeps lines and findings; stops at a budget, since aliases can repeat without end."""

    def __init__(self, file: str, findings: list[Finding], budget: list[int]) -> None:
        self.file = file
        self.findings = findings
        self.budget = budget
        self.lines: dict[Path, int] = {}

    def value(self, node: yaml.Node, path: Path) -> Any:
        """The plain value of a node."""
        self.budget[0] -= 1
        if self.budget[0] < 0:
            raise ValueError(f"more than {MAX_NODES} values; do aliases repeat each other?")
        if len(path) > MAX_DEPTH:
            raise RecursionError
        self.lines.setdefault(path, _line(node))
        if isinstance(node, yaml.MappingNode) and node.tag == MAP:
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == SEQ:
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        return self.refused(node, path, f"the tag {node.tag[:60]!r} is not used here", "plain YAML")

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        """A mapping: keys are text, each there once; an empty value counts as not given, as on the API server."""
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.refused(key_node, path, "a key must be text", "a name")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if here in self.lines:
                self.refused(key_node, here, f"the field is there twice, first in line {self.lines[here]}", "each field once")
                continue
            self.lines[here] = _line(key_node)
            value = self.value(value_node, here)
            if value is not None:
                result[key] = value
            elif value_node.tag == NULL:
                text = "the field has no value and counts as not given"
                self.findings.append(warning(f"{self.file}:{_line(key_node)}", words(here), text))
        return result

    def scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        """Text, number, truth or nothing."""
        text = str(node.value)
        if node.tag == NULL:
            return None
        if node.tag == BOOL:
            return text.lower() in TRUE
        try:
            if node.tag == INT:
                return int(text)
            if node.tag == FLOAT:
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            return self.refused(node, path, f"{text[:40]!r} is not a number", "a number")
        if node.tag == STR:
            return text
        return self.refused(node, path, f"the tag {node.tag[:60]!r} is not used here", "plain YAML")

    def refused(self, node: yaml.Node, path: Path, message: str, expected: str) -> None:
        """Note an error at a node."""
        self.findings.append(error(f"{self.file}:{_line(node)}", words(path), message, expected))


def words(path: Path) -> str:
    """`spec.capacity.blocks[1].kw` of a path."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else ("." if text else "") + step[:80]
    return text
