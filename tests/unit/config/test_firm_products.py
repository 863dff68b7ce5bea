"""Firm products in manifests: the ready-made sets, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from manifest_files import OFFTAKE, ROOT, manifests_of, minimal, write_files

from scheduler.config.findings import errors_of
from scheduler.config.load import load_manifests
from scheduler.config.to_domain import site_from
from scheduler.config.validate import validate_manifests
from scheduler.core.tariffs.gates import gates_of_day
from scheduler.domain.contract import FirmProduct, FirmRule, Revise, Silence

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SETS = ROOT / "examples" / "firm"


def rule_of(folder: Path, name: str) -> FirmRule:
    spec = SETS.joinpath(f"{name}.yaml").read_text("utf-8")
    manifests = manifests_of(folder, minimal() | {"offtake.yaml": spec})
    assert errors_of(validate_manifests(manifests, NOW)) == []
    rule = next(one.firm for one in site_from(manifests).offtakes if one.offtake_id == name)
    assert rule is not None
    return rule


def test_the_set_with_intraday_gates(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, "day-ahead-and-intraday")
    gates = gates_of_day(rule, "Europe/Copenhagen", date(2026, 1, 14))
    assert [gate.at_utc.strftime("%H:%M") for gate in gates] == ["02:45", "06:45", "09:30", "09:30", "14:45", "18:45", "22:45"]
    assert [len(gate.hours) for gate in gates] == [20, 16, 24, 13, 32, 28, 24]
    assert [gate.revise for gate in gates].count(Revise.NEVER) == 1
    assert rule.kept_fraction == 0.995


def test_the_set_of_the_afternoon_before(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, "afternoon-before")
    assert rule.sold == (FirmProduct(gate_local="16:00"),)
    assert (rule.on_silence, rule.kept_fraction, rule.late_s) == (Silence.WITHDRAW, 0.0, 7200.0)


def test_one_plain_product_is_the_rule_without_products(tmp_path: Path) -> None:
    firm = "firm: {shortfallEurPerKwh: 0.16, capacityEurPerKwh: 0.004, products: [{gate: 10:30}]}\n"
    manifests = manifests_of(tmp_path, minimal(offtake=OFFTAKE + firm))
    assert site_from(manifests).offtakes[0].firm == FirmRule()


@pytest.mark.parametrize(
    ("products", "said"),
    [
        ("{gate: 10:30}, {gate: 16:00, resolution: 15m}", "all products must have the same resolution"),
        ("{gate: 10:30, deliveryDay: 0, deliveryStart: 10:00}", "before the gate at 10:30 of the same day"),
        ("{gate: 10:30, deliveryStart: 10:30}", "on no whole period of 1h"),
        ("{gate: 10:30, resolution: 1m}", "resolution"),
        (", ".join(["{gate: 10:30}"] * 13), "12"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, products: str, said: str) -> None:
    firm = f"firm: {{shortfallEurPerKwh: 0.16, products: [{products}]}}\n"
    manifests, findings = load_manifests(write_files(tmp_path, minimal(offtake=OFFTAKE + firm)))
    assert any(said in str(one) for one in errors_of([*findings, *validate_manifests(manifests, NOW)]))
