"""Public holidays by country: what a site and a command line may name."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from manifest_files import manifests_of, minimal

from scheduler.adapters.record.codec import decode, encode
from scheduler.config.calendar import checked_holidays, holidays_of
from scheduler.config.reference import reference_site
from scheduler.config.to_domain import site_from
from scheduler.domain.errors import Misconfigured
from scheduler.domain.site import Site


def test_holidays_of_a_country_and_of_a_part_of_it() -> None:
    denmark = holidays_of("DK")
    assert date(2020, 4, 13) in denmark  # Easter Monday
    assert date(2020, 4, 14) not in denmark
    assert list(denmark) == sorted(denmark)
    # The Assumption is a holiday in Saarland and not in Hamburg.
    assert date(2026, 8, 15) in holidays_of("DE-SL")
    assert date(2026, 8, 15) not in holidays_of("DE-HH")
    assert holidays_of("") == ()


@pytest.mark.parametrize("name", ["XX", "DE-XX", "Denmark"])
def test_an_unknown_country_is_refused_by_its_option(name: str) -> None:
    with pytest.raises(Misconfigured, match=r"--country: no holidays are known of .* \(expected ISO 3166"):
        checked_holidays(name, "--country")


def test_a_site_names_its_country_and_its_forecasts_know_the_days(tmp_path: Path) -> None:
    site = site_from(manifests_of(tmp_path, minimal(extra_site="country: DE-BY")))
    assert date(2026, 1, 6) in site.holidays  # Epiphany, in Bavaria
    assert site_from(manifests_of(tmp_path / "plain", minimal())).holidays == ()


@pytest.mark.parametrize(("country", "complaint"), [("XX", "no holidays are known of 'XX'"), ("Denmark", "country")])
def test_a_site_in_no_country_we_know_is_refused(tmp_path: Path, country: str, complaint: str) -> None:
    with pytest.raises(Misconfigured, match=complaint):
        manifests_of(tmp_path, minimal(extra_site=f"country: {country}"))


def test_holidays_survive_a_record() -> None:
    place = replace(reference_site(gpus=8, gpus_per_node=8, heat_peak_kw=1.0), holidays=(date(2026, 1, 1), date(2026, 4, 6)))
    assert decode(Site, encode(Site, place)).holidays == place.holidays
