"""A directory of manifests as models: every error names file, line and field, and all of them are collected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scheduler.config.cel import holds
from scheduler.config.findings import Finding, did_you_mean, error, nearest, one_of, warning
from scheduler.config.kinds import KINDS, Resource
from scheduler.config.kinds.base import (
    API_VERSION,
    DURATION_PATTERN,
    GROUP,
    INSTANT_PATTERN,
    LOCAL_TIME_PATTERN,
    MONTH_DAY_PATTERN,
    NAME_PATTERN,
    Part,
)
from scheduler.config.lines import Document, Path, read_documents, words
from scheduler.config.table import read_text
from scheduler.domain.errors import Misconfigured

SUFFIXES = (".yaml", ".yml")
MAX_FILE_BYTES = 4_000_000
MAX_FILES = 1000
PATTERNS = {
    NAME_PATTERN: "lower case letters, digits, - and .",
    DURATION_PATTERN: "a duration such as 48h, 1h30m or 90s",
    LOCAL_TIME_PATTERN: "a local time such as 10:30",
    INSTANT_PATTERN: "a time with its offset, such as 2026-01-05T00:00Z",
    MONTH_DAY_PATTERN: "month and day such as 10-01",
}
LIMITS = {
    "greater_than": "above",
    "greater_than_equal": "at least",
    "less_than": "below",
    "less_than_equal": "at most",
}
OneKind = TypeVar("OneKind", bound=Resource)
OnePart = TypeVar("OnePart", bound=Part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object and the document that it came from."""

    resource: Resource
    document: Document

    def where(self, *path: str | int) -> str:
        """`site.yaml:17` of a field, by its path in the file."""
        return self.document.where(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """The objects of a directory, in the order of files and documents."""

    directory: str = ""
    entries: tuple[Manifest, ...] = field(default=())

    def of(self, kind: type[OneKind]) -> tuple[OneKind, ...]:
        """All objects of a kind."""
        return tuple(entry.resource for entry in self.entries if isinstance(entry.resource, kind))

    def where(self, resource: Resource, *path: str | int) -> str:
        """File and line of an object's field."""
        for entry in self.entries:
            if entry.resource is resource:
                return entry.where(*path)
        return self.directory


def load_manifests(directory: FilePath) -> tuple[Manifests, tuple[Finding, ...]]:
    """Read every YAML file of a directory (not of folders below it), or one file.

    Objects with an error are left out; the findings name it. Call `refuse` on them before work goes on.

    Raises:
        Misconfigured: no such directory, or no YAML file in it.
    """
    directory = FilePath(directory)
    entries: list[Manifest] = []
    findings: list[Finding] = []
    for path in _files(directory):
        documents, told = _documents(path)
        for document in documents:
            resource, more = resource_of(document)
            told += more
            if resource is not None:
                entries.append(Manifest(resource=resource, document=document))
        findings += sorted(told, key=_line)
    findings += _twice(entries)
    return Manifests(directory=directory.name or str(directory), entries=tuple(entries)), tuple(findings)


def _line(finding: Finding) -> int:
    """Line of a finding; 0 when it speaks of the whole file."""
    tail = finding.where.rpartition(":")[2]
    return int(tail) if tail.isdecimal() else 0


def _files(directory: FilePath) -> list[FilePath]:
    """YAML files in the order of their names."""
    try:
        if directory.is_file():
            return [directory]
        if not directory.is_dir():
            raise Misconfigured("no such folder", where=str(directory), expected="a folder of YAML manifests")
        found = sorted(path for path in directory.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except (OSError, ValueError) as bad:
        raise Misconfigured(f"cannot be read: {getattr(bad, 'strerror', None) or bad}", where=str(directory)) from None
    if not found:
        raise Misconfigured("no YAML file in this folder", where=str(directory), expected="files *.yaml with our kinds")
    if len(found) > MAX_FILES:
        raise Misconfigured(f"{len(found)} YAML files", where=str(directory), expected=f"at most {MAX_FILES}")
    return found


def _documents(path: FilePath) -> tuple[list[Document], list[Finding]]:
    """Documents of one file; an empty file is an error."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return [], [error(path.name, "", "the file is too large", f"at most {MAX_FILE_BYTES} bytes")]
        text = read_text(path)
    except Misconfigured as bad:
        return [], [error(path.name, "", str(bad).removeprefix(f"{bad.where}: "))]
    except OSError as bad:
        return [], [error(path.name, "", f"cannot be read: {bad.strerror}")]
    documents, findings = read_documents(text, path.name)
    if not documents and not findings:
        findings.append(error(path.name, "", "the file is empty", "YAML documents of our kinds"))
    return documents, findings


def resource_of(document: Document) -> tuple[Resource | None, list[Finding]]:
    """The object of a document, or why it is none."""
    value, where = document.value, document.where()
    if not isinstance(value, dict):
        return None, [error(where, "", "not an object", "a mapping with apiVersion, kind, metadata and spec")]
    kind = KINDS.get(str(value.get("kind", "")))
    wrong = _wrong_kind(document, kind)
    if wrong is not None or kind is None:
        return None, [wrong] if wrong is not None else []
    return part_of(document, kind)


def part_of(document: Document, kind: type[OnePart]) -> tuple[OnePart | None, list[Finding]]:
    """What a document says as a model, or why it cannot be: its fields and its rules."""
    try:
        found = kind.model_validate(document.value)
    except ValidationError as bad:
        return None, [_told(document, kind, each) for each in bad.errors(include_url=False)]
    except RecursionError:
        return None, [error(document.where(), "", "nested too deeply", "the fields of the kind")]
    broken = [error(document.where(path), words(path), message) for path, part in parts_of(found) for message in _broken(part)]
    return (None if broken else found), broken


def _wrong_kind(document: Document, kind: type[Resource] | None) -> Finding | None:
    """Why a document is not one of ours: an error when it was meant to be, a warning when it is somebody else's."""
    value = document.value
    given_kind, version = value.get("kind"), value.get("apiVersion")
    if given_kind is None:
        return error(document.where(), "kind", "the field is missing", one_of(KINDS))
    ours = isinstance(version, str) and bool(nearest(version.split("/")[0], [GROUP]))
    if kind is None:
        text = f"{str(given_kind)[:80]!r} is not a kind of {GROUP}{did_you_mean(str(given_kind), KINDS)}"
        if ours or nearest(str(given_kind), KINDS):
            return error(document.where(("kind",)), "kind", text, one_of(KINDS))
        return warning(document.where(("kind",)), "kind", f"{text}; the object is left out")
    if version is None:
        return error(document.where(), "apiVersion", "the field is missing", API_VERSION)
    if version != API_VERSION:
        text = f"{str(version)[:80]!r} is not a version we know"
        return error(document.where(("apiVersion",)), "apiVersion", text, API_VERSION)
    return None


def parts_of(part: Part, path: Path = ()) -> Iterator[tuple[Path, Part]]:
    """A part and all parts in it, each with its path in the file."""
    yield path, part
    for name, info in type(part).model_fields.items():
        inner = getattr(part, name)
        here = (*path, str(info.alias))
        for i, item in enumerate(inner) if isinstance(inner, list) else [(None, inner)]:
            if isinstance(item, Part):
                yield from parts_of(item, here if i is None else (*here, i))


def _broken(part: Part) -> list[str]:
    """Messages of the rules that a part breaks."""
    if not part.rules:
        return []
    value = part.model_dump(by_alias=True, exclude_none=True)
    return [message for rule, message in part.rules if not holds(rule, value)]


def _told(document: Document, kind: type[Part], details: ErrorDetails) -> Finding:
    """A pydantic error as a finding: our words, with file, line and field path."""
    path = tuple(step for step in details["loc"] if step != "[key]")
    message, expected = _message(kind, path, details)
    return error(document.where(path), words(path), message, expected)


def _message(kind: type[Part], path: Path, details: ErrorDetails) -> tuple[str, str]:
    """What is wrong and what would be right."""
    code, context, given = details["type"], details.get("ctx", {}), details.get("input")
    if code == "extra_forbidden":
        known = _known_fields(kind, path[:-1])
        return f"unknown field{did_you_mean(str(path[-1]), known)}", one_of(known, limit=30)
    if code == "missing":
        return "the field is missing", _meaning(kind, path)
    if code == "literal_error":
        names = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        hint = did_you_mean(given[:80], names) if isinstance(given, str) else _quotes(given, names)
        return f"{_shown(given)} is not allowed here{hint}", one_of(names)
    if code in ("float_type", "int_type", "bool_type", "int_from_float", "string_type"):
        wanted = {"float": "a number", "bool": "true or false", "int": "a whole number", "string": "text"}[code.split("_")[0]]
        hint = " (in quotes it is text)" if isinstance(given, str) else _quotes(given) if code == "string_type" else ""
        return f"{_shown(given)} is not {wanted}{hint}", wanted
    if code == "string_pattern_mismatch":
        return f"{_shown(given)} cannot be read", PATTERNS.get(str(context.get("pattern")), str(context.get("pattern")))
    if code in ("model_type", "model_attributes_type", "dict_type", "list_type"):
        wanted = "a list" if code == "list_type" else "a mapping of fields"
        return f"{_shown(given)} is not {wanted}", wanted
    if code in LIMITS:
        limit = f"{LIMITS[code]} {next(iter(context.values())):g}"
        return f"{_shown(given)} is not {limit}", f"a number {limit}"
    if code == "value_error":
        return details["msg"].removeprefix("Value error, "), ""
    return f"{_shown(given)}: {details['msg'][:200]}", ""


def _shown(given: object) -> str:
    """A short look at a value."""
    if isinstance(given, list | dict):
        return "a list" if isinstance(given, list) else "a mapping"
    return repr(given)[:60]


def _quotes(given: object, names: Sequence[str] = ()) -> str:
    """The hint that a number or a boolean was meant as text."""
    if isinstance(given, bool):
        return "; yes, no, on, off, y and n are booleans unless in quotes"
    return f"; write it in quotes: '{given}'" if str(given) in names else ""


def _part_at(kind: type[Part], path: Path) -> type[Part] | None:
    """The model of the part at a path, if it is one."""
    part: type[Part] | None = kind
    for step in path:
        if isinstance(step, int):
            continue
        fields = {info.alias: info for info in part.model_fields.values()} if part is not None else {}
        part = _model_in(fields[step].annotation) if step in fields else None
    return part


def _model_in(annotation: Any) -> type[Part] | None:
    """The part named in an annotation such as `list[Part] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    found = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)


def _known_fields(kind: type[Part], path: Path) -> list[str]:
    """Names of the fields that a part has."""
    part = _part_at(kind, path)
    return [str(info.alias) for info in part.model_fields.values()] if part is not None else []


def _meaning(kind: type[Part], path: Path) -> str:
    """What a field means, with its unit, for one who has left it out."""
    part = _part_at(kind, path[:-1])
    for info in part.model_fields.values() if part is not None else ():
        if info.alias == path[-1]:
            extra = info.json_schema_extra
            unit = extra.get("x-unit", "") if isinstance(extra, dict) else ""
            shown = f" in {unit}" if unit not in ("", "1", "count", "duration") else ""
            return f"{path[-1]}{shown}: {(info.description or '').rstrip('.')}"
    return str(path[-1])


def _twice(entries: Sequence[Manifest]) -> list[Finding]:
    """Objects of one kind and name that are there more than once."""
    first: dict[tuple[str, str], Manifest] = {}
    findings: list[Finding] = []
    for entry in entries:
        key = (type(entry.resource).__name__, entry.resource.name)
        before = first.setdefault(key, entry)
        if before is not entry:
            text = f"{key[0]} {key[1]!r} is there twice, first in {before.where()}"
            findings.append(error(entry.where("metadata", "name"), "metadata.name", text, "each name once"))
    return findings
