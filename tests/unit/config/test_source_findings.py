"""What a policy states of its sources: each fault is named at its file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest
from manifest_files import manifests_of, minimal

from scheduler.adapters.sources.blueprint import Card, Option
from scheduler.config.findings import Finding, Level
from scheduler.config.kinds.policy import Source, Sources
from scheduler.config.sources import basis_of, chain_basis, source_findings
from scheduler.core.accounting.told import MAX_AGE_S
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import CARBON, PRICE
from scheduler.domain.signals import Basis
from scheduler.entrypoints.signal_cards import CARDS, findings, tried

OPEN = Card(
    name="open", title="Open", quantities=(PRICE, CARBON), options=(Option(name="area", meaning="zone", default="DK1"),)
)
SHUT = Card(
    name="shut",
    title="Shut",
    quantities=(CARBON,),
    options=(Option(name="zone", meaning="zone of the grid"), Option(name="kind", meaning="", default="a", choices=("a", "b"))),
    credentials=("token",),
    basis=Basis.MARGINAL,
)
EITHER = Card(
    name="either",
    title="Either",
    quantities=(CARBON,),
    options=(Option(name="basis", meaning="", default="average", choices=("average", "marginal")),),
)
MADE_UP = {card.name: card for card in (OPEN, SHUT, EITHER)}
TOKEN = "secretRef: {name: keys}"


def found(folder: Path, sources: str) -> list[Finding]:
    def make(_sources: Sources, _quantity: str, source: Source) -> object:
        if source.options.get("area") == "nowhere":
            raise Misconfigured("no such area", where="open, option area", expected="DK1 or DK2")
        return source

    manifests = manifests_of(folder, minimal(policy=f"sources:\n{sources}"))
    return list(source_findings(manifests, MADE_UP, make))


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (
            "  price:\n    - {provider: opem}",
            "8: min: spec.sources.price[0].provider: there is no provider 'opem', did you mean 'open'? (expected one of open)",
        ),
        ("  weather:\n    - {provider: open}", "8: min: spec.sources.weather[0].provider: open cannot tell weather"),
        (
            "  price:\n    - {provider: open, options: {aera: DK1}}",
            "8: min: spec.sources.price[0].options.aera: unknown option of open, did you mean 'area'? (expected one of area)",
        ),
        (
            "  price:\n    - provider: open\n      options:\n        area: nowhere",
            "9: min: spec.sources.price[0].options: open, option area: no such area (expected DK1 or DK2)",
        ),
        (
            f"  carbon:\n    - {{provider: shut, {TOKEN}}}",
            "8: min: spec.sources.carbon[0].options: shut needs the option 'zone' (expected zone of the grid)",
        ),
        (
            f"  carbon:\n    - {{provider: shut, {TOKEN}, options: {{zone: DE, kind: c}}}}",
            "8: min: spec.sources.carbon[0].options.kind: 'c' is not allowed here (expected one of a, b)",
        ),
        (
            "  carbon:\n    - {provider: shut, options: {zone: DE}}",
            "8: min: spec.sources.carbon[0].secretRef: shut needs credentials (expected secretRef: {name: A_SECRET} of the "
            "operator's namespace with the keys token)",
        ),
        (
            "  price:\n    - {provider: open}\n    - {provider: open, options: {area: DK2}}",
            "9: min: spec.sources.price[1].provider: a second source is called 'open' (expected a name of its own",
        ),
        (
            f"  carbon:\n    - {{provider: either}}\n    - {{provider: shut, {TOKEN}, options: {{zone: DE}}}}",
            "9: min: spec.sources.carbon[1].provider: shut tells marginal carbon, the chain begins with average",
        ),
    ],
)
def test_a_fault_is_named_at_its_place(tmp_path: Path, sources: str, told: str) -> None:
    (finding,) = found(tmp_path, sources)
    assert finding.level is Level.ERROR
    assert str(finding).startswith(f"policy.yaml:{told}")


def test_a_secret_that_nobody_reads_is_a_doubt(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, f"  price:\n    - {{provider: open, {TOKEN}}}")
    assert finding.level is Level.WARNING
    assert "spec.sources.price[0].secretRef: open needs no credentials" in str(finding)


def test_two_of_a_provider_by_names_of_their_own(tmp_path: Path) -> None:
    marginal = f"{{provider: either, options: {{basis: marginal}}}}\n    - {{provider: shut, {TOKEN}, options: {{zone: DE}}}}"
    assert (
        found(tmp_path, f"  price:\n    - {{provider: open}}\n    - {{provider: open, name: two}}\n  carbon:\n    - {marginal}")
        == []
    )


def test_the_basis_is_the_cards_else_the_options() -> None:
    assert basis_of(SHUT, {"basis": "average"}) is Basis.MARGINAL
    assert basis_of(EITHER, {}) is Basis.AVERAGE
    assert basis_of(EITHER, {"basis": "marginal"}) is Basis.MARGINAL
    assert basis_of(OPEN, {}) is None
    assert chain_basis((Source(provider="open"), Source(provider="gone"), Source(provider="shut")), MADE_UP) is Basis.MARGINAL


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('{provider: fixed, options: {value: "85"}}', "'85' (expected a number of EUR/kWh from -2 to 10)"),
        ("{provider: fixed, options: {value: dear}}", "'dear' is no number"),
        ("{provider: time_of_use, options: {bands: Mon-Fri 7-20 0.31}}", "Mon 0:00 has no price"),
        ('{provider: time_of_use, options: {bands: "20-7 0.2, 0.3"}}', "'20-7 0.2' ends before it begins"),
        ("{provider: time_of_use, options: {bands: Mo 0.2}}", "'Mo 0.2' (expected EUR/kWh for the whole week"),
    ],
)
def test_what_a_rule_says_of_its_options(tmp_path: Path, source: str, told: str) -> None:
    manifests = manifests_of(tmp_path, minimal(policy=f"sources: {{price: [{source}]}}"))
    (finding,) = findings(manifests)
    assert told in str(finding)


def test_credentials_that_only_the_options_call_for(tmp_path: Path) -> None:
    options = "url: https://example.org/a.csv, timeColumn: t, valueColumn: v, unit: EUR/MWh, auth: bearer"
    (finding,) = findings(
        manifests_of(tmp_path, minimal(policy=f"sources: {{price: [{{provider: csv_feed, options: {{{options}}}}}]}}"))
    )
    assert "csv_feed: asks with credentials (expected secretRef: {name: A_SECRET} with the keys token)" in str(finding)


def test_a_signature_needs_the_weather(tmp_path: Path) -> None:
    demand = "heatDemand: [{provider: signature, options: {base_kw: '20', slope_kw_per_k: '5'}}]"
    (finding,) = findings(manifests_of(tmp_path / "a", minimal(policy=f"sources: {{{demand}}}")))
    assert "nobody tells the outdoor temperature" in str(finding)
    weather = "weather: [{provider: fixed, options: {value: '5'}}]"
    assert findings(manifests_of(tmp_path / "b", minimal(policy=f"sources: {{{demand}, {weather}}}"))) == []


def test_every_card_can_be_looked_up_and_tells_what_somebody_asks_for() -> None:
    for name, card in CARDS.items():
        assert name == card.name
        assert set(card.quantities) <= set(MAX_AGE_S)


def test_what_cannot_be_made_is_not_tried_twice() -> None:
    with pytest.raises(Misconfigured, match="fixed, option value"):
        tried(Sources(), PRICE, Source(provider="fixed", options={"value": "nan"}))
