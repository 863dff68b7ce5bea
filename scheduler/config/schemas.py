"""What the kinds' models generate: JSON Schemas, CustomResourceDefinitions and the reference page of every field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml
from pydantic import BaseModel

from scheduler.config.kinds import KINDS, Resource
from scheduler.config.kinds.base import GROUP, INSTANT_PATTERN, UNIT_KEY, VERSION, Part

Schema = dict[str, Any]

MARK = "Generated from scheduler/config/kinds by scripts/generate.py; do not edit."
# What a CustomResourceDefinition's schema knows of JSON Schema; the rest (titles, examples, units) stays out.
CRD_KEYS = (
    "type", "description", "default", "enum", "format", "pattern", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "required",
)  # fmt: skip
COMMON = ("observedGeneration", "conditions")


def generated() -> dict[PurePosixPath, str]:
    """Every generated file: path from the root of the repository -> text."""
    files: dict[PurePosixPath, str] = {}
    for name, kind in KINDS.items():
        files[PurePosixPath(f"manifests/crds/{kind.plural}.yaml")] = crd_yaml(kind)
        files[PurePosixPath(f"manifests/schemas/{name}.json")] = json.dumps(json_schema(kind), indent=1) + "\n"
    files[PurePosixPath("docs/reference/kinds.md")] = reference_page()
    return files


def json_schema(kind: type[Resource]) -> Schema:
    """JSON Schema (2020-12) of a kind, for editors and validators; units stand under `x-unit`, CEL rules under `x-rules`."""
    schema = kind.model_json_schema(by_alias=True)
    parts = _parts_by_name(kind)
    for name, definition in schema.get("$defs", {}).items():
        if parts[name].rules:
            definition["x-rules"] = [{"rule": rule, "message": message} for rule, message in parts[name].rules]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://{GROUP}/schemas/{VERSION}/{kind.__name__}.json",
        "$comment": MARK,
        **schema,
    }


def crd_yaml(kind: type[Resource]) -> str:
    """The CustomResourceDefinition of a kind as YAML."""
    text = yaml.dump(custom_resource_definition(kind), Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)
    return f"# {MARK}\n{text}"


class _Plain(yaml.SafeDumper):
    """YAML without anchors: the same condition schema stands in full wherever it is used."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never refer back."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text; a lone y or n is quoted, since the API server's reader takes it for a boolean."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if text.lower() in ("y", "n") else None)


_Plain.add_representer(str, _text)


def custom_resource_definition(kind: type[Resource]) -> Schema:
    """apiextensions.k8s.io/v1 CustomResourceDefinition: cluster-scoped, structural, with status and printer columns."""
    singular = kind.__name__.lower()
    names: Schema = {"kind": kind.__name__, "listKind": f"{kind.__name__}List", "plural": kind.plural, "singular": singular}
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    names["categories"] = ["heatdispatch"]
    columns = [{"name": name, "type": type_, "jsonPath": path} for name, type_, path in kind.columns]
    columns.append({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _structural(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Cluster", "versions": [version]},
    }


def _structural(kind: type[Resource]) -> Schema:
    """The structural schema of a whole object; the API server knows apiVersion, kind and metadata by itself."""
    whole = kind.model_json_schema(by_alias=True)
    walk = _Structure(definitions=whole["$defs"], parts=_parts_by_name(kind))
    properties: Schema = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    properties["spec"] = walk.plain(whole["properties"]["spec"])
    properties["status"] = walk.plain(whole["properties"]["status"])
    properties["status"].pop("default", None)
    found: Schema = {"description": _first_line(kind), "type": "object", "required": ["spec"], "properties": properties}
    if kind.rules:
        found["x-kubernetes-validations"] = _validations(kind)
    return found


def _validations(part: type[Part]) -> list[dict[str, str]]:
    """The CEL rules of a part as the API server reads them."""
    return [{"rule": rule, "message": message} for rule, message in part.rules]


@dataclass(frozen=True)
class _Structure:
    """Turns pydantic's JSON Schema into a structural one: no references, no unions with null, defaults everywhere."""

    definitions: Schema
    parts: dict[str, type[Part]]

    def plain(self, schema: Schema) -> Schema:
        """One schema without `$ref`, `anyOf` with null, `const`; limits as OpenAPI 3.0 writes them."""
        merged = self._without_null(schema)
        if "$ref" in merged:
            return self._object(merged)
        known = {key: merged[key] for key in CRD_KEYS if merged.get(key) is not None}
        if "const" in merged:
            known["enum"] = [merged["const"]]
        for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if exclusive in known:
                known[limit], known[exclusive] = known[exclusive], True
        if "items" in merged:
            known["items"] = self.plain(merged["items"])
        if isinstance(merged.get("additionalProperties"), dict):
            known["additionalProperties"] = self.plain(merged["additionalProperties"])
        _with_unit(known, merged)
        return known

    def _without_null(self, schema: Schema) -> Schema:
        """`X or null` is X that may be left out."""
        if "anyOf" not in schema:
            return schema
        (inner,) = [each for each in schema["anyOf"] if each.get("type") != "null"]
        return {**inner, **{key: value for key, value in schema.items() if key not in ("anyOf", "type")}}

    def _object(self, schema: Schema) -> Schema:
        """A part, inlined, with its rules and the defaults that its fields have."""
        name = schema["$ref"].rsplit("/", 1)[1]
        definition, part = self.definitions[name], self.parts[name]
        properties = {}
        for alias, field in definition["properties"].items():
            properties[alias] = self.plain(field)
            default = _made_default(part, alias)
            if default is not None:
                properties[alias]["default"] = default
            if alias == "conditions":
                properties[alias] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
        described = {"description": schema.get("description") or definition.get("description", ""), "type": "object"}
        if definition.get("required"):
            described["required"] = definition["required"]
        described["properties"] = properties
        if part.rules:
            described["x-kubernetes-validations"] = _validations(part)
        return described


def _made_default(part: type[Part], alias: str) -> Any:
    """What a field's factory makes, as JSON in full: the API server checks a default against the rules as it stands."""
    (field,) = [field for field in part.model_fields.values() if field.alias == alias]
    if field.default_factory is None:
        return None
    value = field.get_default(call_default_factory=True, validated_data={})
    return [_json(item) for item in value] if isinstance(value, list) else _json(value)


def _json(value: Any) -> Any:
    """A model as a plain dict, anything else as it is."""
    return value.model_dump(by_alias=True, exclude_none=True) if isinstance(value, BaseModel) else value


def _with_unit(known: Schema, schema: Schema) -> None:
    """Put the unit at the end of the description, where `kubectl explain` shows it."""
    if schema.get(UNIT_KEY) not in (None, "1", "count", "duration"):
        known["description"] = f"{known['description']} In {schema[UNIT_KEY]}."


def _parts_by_name(kind: type[Resource]) -> dict[str, type[Part]]:
    """Class of every part that a kind holds, by the name under which pydantic defines it."""
    return {part.__name__: part for part in all_parts(kind)}


def all_parts(part: type[Part]) -> Iterator[type[Part]]:
    """A part and all parts below it."""
    yield part
    for field in part.model_fields.values():
        for inner in _inner_parts(field.annotation):
            yield from all_parts(inner)


def _inner_parts(annotation: Any) -> Iterator[type[Part]]:
    """Parts named in an annotation such as `list[Part] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _inner_parts(argument)


def _first_line(part: type[BaseModel]) -> str:
    """First line of a docstring."""
    return (part.__doc__ or "").strip().splitlines()[0]


def reference_page() -> str:
    """`docs/reference/kinds.md`: a table of every field of every kind."""
    lines = [f"<!-- {MARK} -->", "# Kinds", "", *INTRODUCTION]
    for name, kind in KINDS.items():
        lines += ["", f"## {name}", "", _first_line(kind), "", f"`kubectl get {kind.plural}`{_short(kind)}"]
        for section in ("spec", "status"):
            part = next(_inner_parts(kind.model_fields[section].annotation))
            rows = list(_rows(part, ""))
            if rows:
                lines += [
                    "",
                    f"### {name} {section}",
                    "",
                    "| field | type | default | unit | meaning |",
                    "|---|---|---|---|---|",
                ]
                lines += rows
        rules = [f"- {message}: `{rule}`" for part in _unique(all_parts(kind)) for rule, message in part.rules]
        if rules:
            lines += ["", f"### {name} rules", "", *rules]
    return "\n".join(lines) + "\n"


INTRODUCTION = [
    f"API group `{GROUP}`, version `{VERSION}`. All kinds are cluster-scoped and have a `status` subresource. The same",
    "manifests serve `kubectl apply -f` and `heat-dispatch plan -f DIR`; `heat-dispatch validate DIR` checks a directory",
    "of them.",
    "",
    "A field without a default (**required**) must be given; the default *none* means that leaving the field out has a",
    "meaning of its own. A duration is written `48h`, `1h30m` or `90s`. Numbers are never written in quotes.",
    "Every status also has `observedGeneration` and `conditions` (metav1.Condition).",
]


def _short(kind: type[Resource]) -> str:
    """Short names, for people who type."""
    return f", short: {', '.join(f'`{name}`' for name in kind.short_names)}" if kind.short_names else ""


def _unique(parts: Iterator[type[Part]]) -> list[type[Part]]:
    """Each part once, in order."""
    return list(dict.fromkeys(parts))


def part_rows(part: type[Part]) -> list[str]:
    """The rows of a table of every field of a part and of those below it."""
    return list(_rows(part, ""))


def _rows(part: type[Part], prefix: str) -> Iterator[str]:
    """One row per field, parts below it indented by their path."""
    schema = part.model_json_schema(by_alias=True)
    for field in part.model_fields.values():
        alias = str(field.alias)
        if alias in COMMON and not prefix:
            continue
        path = f"{prefix}{alias}"
        inner = next(_inner_parts(field.annotation), None)
        many = "list[" in str(field.annotation)
        default = _default_words(part, alias, field.is_required(), inner is not None and not many)
        told = schema["properties"][alias]
        unit = told.get(UNIT_KEY, "")
        yield f"| `{path}` | {_type_words(told)} | {default} | {_cell(unit)} | {_cell(field.description or '')} |"
        if inner is not None:
            yield from _rows(inner, f"{path}{'[]' if many else ''}.")


def _default_words(part: type[Part], alias: str, required: bool, is_part: bool) -> str:
    """The default of a field as words."""
    if required:
        return "**required**"
    (field,) = [field for field in part.model_fields.values() if field.alias == alias]
    if field.default_factory is not None:
        made = _made_default(part, alias)
        if is_part:
            return "see below"
        return f"`{json.dumps(made)}`" if made else "empty"
    return "*none*" if field.default is None else f"`{json.dumps(field.default)}`"


def _type_words(schema: Schema) -> str:
    """The type of a field as words: `number, above 0`, `one of a, b`, `list of objects`."""
    merged = schema
    if "anyOf" in schema:
        (merged,) = [each for each in schema["anyOf"] if each.get("type") != "null"]
    if "const" in merged:
        return f"`{merged['const']}`"
    if "enum" in merged:
        return "one of " + ", ".join(f"`{value}`" for value in merged["enum"])
    if "$ref" in merged:
        return "object"
    if merged.get("type") == "array":
        inner = _type_words(merged["items"])
        return f"list of {inner}s" if inner in ("object", "string") else f"list: {inner}"
    if merged.get("type") == "object":
        return "map of strings"
    if merged.get("pattern") == INSTANT_PATTERN:
        return "time with offset"
    if merged.get("format") == "date":
        return "day"
    return ", ".join([str(merged.get("type", "any")), *_limits(merged)])


def _limits(schema: Schema) -> list[str]:
    """The limits of a number in words."""
    words = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "to"}
    return [f"{word} {schema[key]:g}" for key, word in words.items() if key in schema]


def _cell(text: str) -> str:
    """Text that cannot break a table."""
    return text.replace("|", "\\|")
