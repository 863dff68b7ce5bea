from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.adapters.plantlink.modbus.peers import Allowance, may_connect, networks_of, per_min
from scheduler.config.link import load_link
from scheduler.domain.errors import Misconfigured


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("192.0.2.5", True), ("192.0.2.16", False), ("::ffff:192.0.2.5", True), ("2001:db8::7", True), ("2001:db9::7", False),
        ("?", False),
    ],
)  # fmt: skip
def test_only_listed_addresses_may_connect(address: str, may: bool) -> None:
    assert may_connect(address, networks_of(("192.0.2.0/28", "2001:db8::/64"), "modbus.clients")) is may


@pytest.mark.parametrize("clients", [(), ("0.0.0.0/0",), ("128.0.0.0/1",), ("::/0",), ("plant",), ("192.0.2.1/28",)])
def test_a_list_that_is_everybody_or_nobody_is_no_list(clients: tuple[str, ...]) -> None:
    with pytest.raises(Misconfigured) as wrong:
        networks_of(clients, "modbus.clients")
    assert "modbus.clients" in str(wrong.value)


@pytest.mark.parametrize(("clients", "wrong"), [("192.0.2.0/28", ""), ("0.0.0.0/0", "lets everybody in")])
def test_the_file_of_the_link_is_as_strict(clients: str, wrong: str, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.write_text(
        f"site: school\nledger: sqlite:///x.db\nmodbus: {{units: {{'1': town}}, clients: ['{clients}']}}\n", encoding="utf-8"
    )
    try:
        options = load_link(link).options.modbus
        found = ""
    except Misconfigured as fault:
        options, found = None, str(fault)
    assert wrong in found
    assert (options is None) == bool(wrong)
    if options is not None:
        assert options.units == {1: "town"}


def test_an_allowance_is_used_up_and_comes_back() -> None:
    now_s = Seconds()
    writes = per_min(60.0, now_s)
    # Sixty a minute: ten at once, then one each second.
    assert [writes.takes("a") for _ in range(11)] == [True] * 10 + [False]
    assert writes.takes("b")
    now_s.now_s = 1.0
    assert [writes.takes("a") for _ in range(2)] == [True, False]


def test_who_asks_too_often_waits_as_long_as_it_takes() -> None:
    now_s = Seconds()
    pace = Allowance(10.0, 2.0, now_s)
    assert [pace.owed_s("a") for _ in range(4)] == pytest.approx([0.0, 0.0, 0.1, 0.2])
    now_s.now_s = 0.2
    assert pace.owed_s("a") == pytest.approx(0.1)


def test_only_so_many_names_are_kept() -> None:
    pace = Allowance(1.0, 1.0, Seconds(), most=2)
    assert pace.takes("a")
    assert pace.takes("b")
    assert not pace.takes("a")
    assert pace.takes("c")
    # "b" was not heard the longest and is forgotten; "a" is not.
    assert not pace.takes("a")
    assert pace.takes("b")
