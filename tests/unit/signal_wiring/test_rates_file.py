"""Exchange rates from a file: the bank's, or a table; what is neither is named."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler.adapters.sources.rates import RatesFile, read_rates
from scheduler.domain.errors import Misconfigured

BANK = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
  <gesmes:subject>Reference rates</gesmes:subject>
  <Cube>
    <Cube time='2026-11-20'>
      <Cube currency='DKK' rate='7.4580'/>
      <Cube currency='GBP' rate='0.8641'/>
    </Cube>
    <Cube time='2026-11-19'><Cube currency='DKK' rate='7.0000'/></Cube>
  </Cube>
</gesmes:Envelope>
"""
BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>'


def file(folder: Path, text: str, name: str = "rates") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_the_banks_file_is_of_its_day(tmp_path: Path) -> None:
    found = read_rates(file(tmp_path, BANK))
    assert found.per_eur == {"DKK": 7.458, "GBP": 0.8641}
    assert found.dated_utc == datetime(2026, 11, 20, tzinfo=UTC)


def test_a_table_holds_until_it_is_changed(tmp_path: Path) -> None:
    found = read_rates(file(tmp_path, "DKK: 7.46\nSEK: '11.2'\n"))
    assert (found.per_eur, found.dated_utc) == ({"DKK": 7.46, "SEK": 11.2}, None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no table of rates"),
        ("- DKK", "no table of rates"),
        ("DKK: nothing", "rates: DKK: nothing"),
        ("DKK: -7", "rates: DKK: -7"),
        ("DKK: .nan", "rates: DKK: nan"),
        ("kroner: 7.46", "rates: kroner: 7.46"),
        ("DKK: yes", "rates: DKK: True"),
        ("{", "rates: while parsing"),
        ("<a/>", "no day of rates"),
        ("<a", "no XML"),
        (BOMB, "no XML"),
        (BANK.replace("2026-11-20", "today"), "day 'today'"),
        ("{}", "no rate at all"),
    ],
)
def test_what_is_neither_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Misconfigured, match=told.replace("'", ".")):
        read_rates(file(tmp_path, text))


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    path = file(tmp_path, "DKK: 7.46\n")
    rates = RatesFile(path)
    for number, (text, per_eur) in enumerate((("DKK: 7.5\n", 7.5), ("DKK: broken\n", 7.5), ("DKK: 7.6\n", 7.6))):
        file(tmp_path, text)
        os.utime(path, ns=(number, number))
        assert rates().per_eur == {"DKK": per_eur}
    path.unlink()
    assert rates().per_eur == {"DKK": 7.6}
