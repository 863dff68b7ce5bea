"""How often one may ask, who counts as one, and who must go when the house is full."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.adapters.plantlink.rest.allowance import Allowances, neighbourhood
from scheduler.adapters.plantlink.rest.guests import Guest, Guests, Room


def test_a_burst_then_as_many_as_come_in_by_the_second() -> None:
    allowed = Allowances(per_s=2.0, burst=3)
    assert [allowed.wait_s("a", 10.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    # Empty: one of two a second is there after 0.5 s.
    assert allowed.wait_s("a", 10.0) == pytest.approx(0.5)
    # 0.4 s later 0.8 of one are there; 0.2 / 2 a second are missing.
    assert allowed.wait_s("a", 10.4) == pytest.approx(0.1)
    assert allowed.wait_s("a", 10.5) == 0.0
    assert allowed.wait_s("b", 10.5) == 0.0


def test_a_bucket_holds_no_more_than_a_burst_and_a_clock_that_stands_fills_none() -> None:
    allowed = Allowances(per_s=100.0, burst=2)
    assert [allowed.wait_s("a", at_s) > 0.0 for at_s in (0.0, 1e6, 1e6, 1e6, 1e6 - 5.0)] == [False, False, False, True, True]


def test_no_more_names_are_kept_than_were_said() -> None:
    allowed = Allowances(per_s=0.001, burst=1, most=2)
    assert allowed.wait_s("a", 0.0) == 0.0
    assert allowed.wait_s("a", 0.0) > 0.0
    assert allowed.wait_s("b", 0.0) == allowed.wait_s("c", 0.0) == 0.0
    assert allowed.wait_s("c", 0.0) > 0.0
    assert allowed.wait_s("a", 0.0) == 0.0, "forgotten, since two others have asked"


@pytest.mark.parametrize(
    ("address", "of"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_one_machine_has_all_of_a_64(address: str, of: str) -> None:
    assert neighbourhood(address) == of


class Line(asyncio.Transport):
    """A connection that only knows whether it was cut."""

    cut = False

    def abort(self) -> None:
        self.cut = True


def guest(address: str, plant: str = "") -> tuple[Guest, Line]:
    line = Line()
    return Guest(address, line, 0.0, plant=plant), line


def test_the_oldest_stranger_of_an_address_goes_first_and_nobody_for_one_more_when_all_are_known() -> None:
    guests = Guests(room=Room(of_one=2, of_all=10))
    known, known_line = guest("x", "p")
    stranger, stranger_line = guest("x")
    newer, newer_line = guest("x")
    assert all(guests.admit(one) for one in (known, stranger, newer))
    assert (known_line.cut, stranger_line.cut, newer_line.cut) == (False, True, False)
    guests.known(newer, "q")
    assert not guests.admit(guest("x")[0])
    assert guests.admit(guest("y")[0])


def test_in_a_full_house_the_oldest_stranger_of_all_goes() -> None:
    guests = Guests(room=Room(of_one=2, of_all=3))
    lines = []
    for address, plant in (("a", "p"), ("b", ""), ("c", "")):
        one, line = guest(address, plant)
        assert guests.admit(one)
        lines.append(line)
    assert guests.admit(guest("d", "q")[0])
    assert [line.cut for line in lines] == [False, True, False]
    assert len(guests.inside) == 3


def test_a_plant_does_not_fill_the_house_and_loses_its_own_oldest() -> None:
    guests = Guests(room=Room(of_one=10, of_plant=2, of_all=10))
    made = [guest(address) for address in "abcd"]
    for one, _ in made:
        assert guests.admit(one)
    guests.known(made[0][0], "other")
    for one, _ in made[1:]:
        guests.known(one, "greedy")
        guests.known(one, "greedy")
    assert [line.cut for _, line in made] == [False, True, False, False]
