"""Every float of the domain carries its unit in its name; milliwatt and megawatt can never be confused."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
import typing
from pathlib import Path

import pytest

import scheduler.domain

ROOT = Path(scheduler.__file__).parent
UNIT_WORDS = {
    "kw", "m3", "kwh", "w", "j", "s", "h", "c", "k", "eur", "fraction", "utc", "percent", "gpus", "count", "g", "kg", "min",
    "milliwatt", "millijoule", "month", "year", "gap",
}  # fmt: skip
# Dimensionless by nature; each one says why.
DIMENSIONLESS = {
    "speed": "relative throughput",
    "level": "fraction of gpu_max_w",
    "levels": "fractions of gpu_max_w",
    "host_slope": "kW node per kW GPU",
    "fixed_cop": "kW heat per kW electricity",
    "cop": "kW heat per kW electricity",
    "quantile": "probability",
    "capacity_quantile": "probability",
    "probabilities": "probabilities",
    "ratio_quantiles": "real over declared duration",
    "mean_ratio": "real over declared duration",
    "speed_of_ratio": "pairs of fractions",
    "supply_curve": "pairs of degC",
    "temperature_base": "base of an exponential",
    "replan_tolerance": "relative change",
    "arrival_weight": "share of the expectation",
    "weight": "share of an option",
    "against_persistence": "skill",
    "against_hour_of_week": "skill",
    "against_last_week": "skill",
    "mae": "unit of the named series",
    "amount": "unit in its own field `unit`",
    "basis": "rows of several units, compared with themselves only",
    "values": "unit in the series' own field `unit`",
    "p10": "band of a quantity named by its holder",
    "p50": "band of a quantity named by its holder",
    "p90": "band of a quantity named by its holder",
    "shortfall_probability": "probability",
}
FLOATS = re.compile(r"\bfloat\b|FloatArray")
PROJECT = Path(__file__).parents[2]
WRITTEN = ("benchmarks", "docs", "examples", "helm", "manifests", "policies", "scheduler", "scripts", "tests")
TEXTS = {".c", ".h", ".json", ".md", ".py", ".yaml"}
AMBIGUOUS = re.compile(r"\b\w+_(?:mw|mj)\b", re.IGNORECASE)
# The one such name that is not ours to choose: zeusd's parameter, in milliwatt. Each of these says it once.
ZEUSD_LIMIT = "power_limit_mw"
SAY_ZEUSD_LIMIT = ("scheduler/adapters/gpu/zeusd.py", "tests/architecture/test_units.py", "tests/zeusd_peer.py")


def domain_fields() -> list[tuple[str, str]]:
    """(class.field, field) of every float-typed field of every dataclass in scheduler.domain."""
    found: list[tuple[str, str]] = []
    for module_info in pkgutil.iter_modules(scheduler.domain.__path__, "scheduler.domain."):
        module = importlib.import_module(module_info.name)
        for thing in vars(module).values():
            if isinstance(thing, type) and dataclasses.is_dataclass(thing) and thing.__module__ == module.__name__:
                hints = typing.get_type_hints(thing)
                for field in dataclasses.fields(thing):
                    text = f"{field.type} {hints.get(field.name)}"
                    if FLOATS.search(text) or "numpy.float64" in text:
                        found.append((f"{thing.__module__}.{thing.__name__}.{field.name}", field.name))
    return found


def carries_unit(name: str) -> bool:
    """True when one of the last words of a name is a unit, or the name is dimensionless for a stated reason."""
    words = name.split("_")
    return (
        name in DIMENSIONLESS
        or words[-1] in UNIT_WORDS
        or bool({"per", "fraction", "gpus"} & set(words))
        or name.endswith("_kw_el")
    )


@pytest.mark.parametrize(("where", "name"), domain_fields())
def test_every_float_of_the_domain_carries_its_unit(where: str, name: str) -> None:
    assert carries_unit(name), f"{where}: end the name with its unit (_kw, _kwh, _s, _eur_per_kwh, ...)"


def test_the_walk_finds_the_domain() -> None:
    assert len(domain_fields()) > 100


def test_ambiguous_suffixes_are_banned() -> None:
    """`_mw` is milliwatt to NVML and megawatt to a heat plant: 10^9 apart, so neither may be written anywhere."""
    found = {
        (str(path.relative_to(PROJECT)), name)
        for folder in WRITTEN
        for path in (PROJECT / folder).rglob("*")
        if path.suffix in TEXTS
        for name in AMBIGUOUS.findall(path.read_text(encoding="utf-8"))
    }
    assert found == {(place, ZEUSD_LIMIT) for place in SAY_ZEUSD_LIMIT}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_units_spells_conversion_factors(path: Path) -> None:
    """1000 and 3600 as bare numbers in arithmetic are conversions that belong to scheduler.units."""
    if path.name == "units.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bad = [
        f"line {node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div)
        for side in (node.left, node.right)
        if isinstance(side, ast.Constant) and side.value in (1000, 3600, 1000.0, 3600.0, 1e-3)
    ]
    assert not bad, f"{path.name}: {bad}: use scheduler.units"
