"""The map as data: nothing overlaps, every block is one request, and what is in the field stays where it is."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from scheduler.adapters.plantlink.modbus.page import modbus_page
from scheduler.adapters.plantlink.modbus.registers import (
    BIT_SAYS,
    HEADER,
    HEARTBEAT,
    IDENTITY,
    INPUTS,
    INPUTS_END,
    INTERVAL,
    INTERVALS_START,
    LETTERS,
    MAX_READ,
    MAX_WRITE,
    RECEIPT,
    SEAL,
    SEEN,
    BitAddress,
    Block,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("block", [*INPUTS, INTERVAL, *LETTERS, RECEIPT], ids=lambda block: str(block.name))
def test_a_block_is_read_by_one_request_and_names_each_value_once(block: Block) -> None:
    assert block.words <= MAX_READ
    names = [one.name for one in block.registers]
    assert len(names) == len(set(names))
    assert all(one.end == after.offset for one, after in itertools.pairwise(block.registers))
    # Two words that belong together never begin at an odd address: some panels cannot read them there.
    assert all((block.start + one.offset) % 2 == 0 for one in block.registers if one.words > 1)


def test_blocks_do_not_overlap() -> None:
    spans = sorted((block.start, block.end) for block in (*INPUTS, *LETTERS, RECEIPT))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert all(block.words <= MAX_WRITE for block in LETTERS)
    assert HEADER.end == INTERVALS_START
    assert SEAL.start == INTERVALS_START + 288 * INTERVAL.words


def test_addresses_that_plants_have_written_down_stay_as_they_are() -> None:
    found = {
        "probe": IDENTITY.address("probe"), "counter": HEARTBEAT.address("counter"),
        "noBoilerNeeded": HEARTBEAT.address("noBoilerNeeded"), "seen": SEEN.start, "sequence": HEADER.address("sequence"),
        "intervals": HEADER.address("intervals"), "crc": SEAL.address("crc"), "committed": SEAL.address("committed"),
        "end": INPUTS_END, "firmKw": INTERVAL.address("firmKw"), "letters": [block.start for block in LETTERS],
        "receipt": RECEIPT.start,
    }  # fmt: skip
    assert found == {
        "probe": 2, "counter": 110, "noBoilerNeeded": 120, "seen": 160, "sequence": 300, "intervals": 316, "crc": 6160,
        "committed": 6162, "end": 6166, "firmKw": 8, "letters": [7000, 7010, 7020, 7030], "receipt": 7040,
    }  # fmt: skip


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        HEADER.at("colour")


def test_the_page_tells_of_every_register() -> None:
    ((path, text),) = modbus_page().items()
    assert (ROOT / path).read_text(encoding="utf-8") == text
    for block in (*INPUTS, INTERVAL, *LETTERS, RECEIPT):
        assert all(f"| `{one.name}` |" in text for one in block.registers)
    assert set(BIT_SAYS) == set(BitAddress)
