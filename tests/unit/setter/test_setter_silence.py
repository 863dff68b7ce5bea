"""How long an agent has been silent, as setters leave it to each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.entrypoints.setter.silence import Silence, silent_since_s

CONTACT_S, AGAIN_S, LATEST_S = 1.2, 0.6, 0.4
BOOT = "0f3c"


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "agent.heard", os.O_RDWR | os.O_CREAT, 0o600)
    yield opened
    os.close(opened)


def test_it_goes_on_where_a_worker_dies_in_it(descriptor: int) -> None:
    assert Silence(descriptor, BOOT).heard_s(2000.0) is None
    worker = os.fork()
    if worker == 0:
        mine = Silence(descriptor, BOOT)
        mine.hear(999.0)
        mine.hear(1000.0)
        os._exit(0)
    os.waitpid(worker, 0)
    assert Silence(descriptor, BOOT).heard_s(2000.0) == 1000.0


def test_another_setter_of_the_journal_reads_it_too(descriptor: int, tmp_path: Path) -> None:
    Silence(descriptor, BOOT).hear(1000.0)
    other = os.open(tmp_path / "agent.heard", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        assert Silence(other, BOOT).heard_s(1000.0) == 1000.0
    finally:
        os.close(other)


def test_nothing_is_believed_of_another_boot_of_the_future_or_of_half_a_file(descriptor: int) -> None:
    Silence(descriptor, BOOT).hear(1000.0)
    assert Silence(descriptor, "another").heard_s(2000.0) is None
    assert Silence(descriptor, BOOT).heard_s(999.0) is None
    os.pwrite(descriptor, b"\x01", 3)
    assert Silence(descriptor, BOOT).heard_s(2000.0) is None
    os.ftruncate(descriptor, 5)
    assert Silence(descriptor, BOOT).heard_s(2000.0) is None


def test_a_file_that_cannot_be_had_is_nothing_that_stops_a_setter(tmp_path: Path) -> None:
    none = Silence(-1, BOOT)
    none.hear(1000.0)
    assert none.heard_s(2000.0) is None
    (tmp_path / "agent.heard").touch()
    unwritable = os.open(tmp_path / "agent.heard", os.O_RDONLY)
    try:
        silence = Silence(unwritable, BOOT)
        silence.hear(1000.0)
        assert silence.heard_s(2000.0) is None
    finally:
        os.close(unwritable)


@pytest.mark.parametrize(
    ("now_s", "heard_s", "until_s"),
    [
        # Heard at 1000.0, contact 1.2 s: it has until 1001.2 where that leaves it 0.6 s to be heard.
        (1000.5, 1000.0, 1001.2),
        # Begun at 1000.8: 0.6 s from then.
        (1000.8, 1000.0, 1001.4),
        # Begun at 1001.5: 0.6 s would be 1002.1, and 1001.6 is the latest of this silence.
        (1001.5, 1000.0, 1001.6),
        # Begun long after: it is over.
        (1010.0, 1000.0, 1001.6),
        # Never heard: all of the contact.
        (1001.1, None, 1002.3),
    ],
)
def test_how_long_it_has_with_one_that_begins(now_s: float, heard_s: float | None, until_s: float) -> None:
    since_s = silent_since_s(now_s, heard_s, CONTACT_S, AGAIN_S, LATEST_S)
    assert since_s + CONTACT_S == pytest.approx(until_s)


@given(
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=8),
    st.floats(0.1, 10.0),
    st.floats(0.0, 2.0),
    st.floats(0.0, 1.0),
)
def test_however_often_one_begins_it_ends(pauses_s: list[float], contact_s: float, again_s: float, latest_s: float) -> None:
    """No start puts the end off beyond the latest, none takes time away that the one before it would have given."""
    now_s, until_s = 1000.0, 1000.0 + contact_s
    for pause_s in pauses_s:
        now_s += pause_s
        later_s = silent_since_s(now_s, 1000.0, contact_s, again_s, latest_s) + contact_s
        assert until_s - 1e-9 <= later_s <= 1000.0 + contact_s + latest_s + 1e-9
        until_s = later_s
