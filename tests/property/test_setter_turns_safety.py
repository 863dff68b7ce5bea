"""However the calls of setters that end fall between each other: caps are given back, or somebody is in charge of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.entrypoints.setter.turns import Turns

Steps = Iterator[None]


class Journal:
    """Setters of one journal; `caps`: whether limits of ours are in force."""

    def __init__(self, folder: Path, setters: int) -> None:
        self.caps = True
        self.lives = [ExitStack() for _ in range(setters)]
        self.turns = [self.opened(folder, life) for life in self.lives]
        self.in_charge: set[int] = set()

    @staticmethod
    def opened(folder: Path, life: ExitStack) -> Turns:
        files = [folder, folder / "next.lock", folder / "end.lock"]
        flags = [os.O_RDONLY | os.O_DIRECTORY, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT]
        found = [os.open(file, flag, 0o600) for file, flag in zip(files, flags, strict=True)]
        for descriptor in found:
            life.callback(os.close, descriptor)
        return Turns(*found)

    def takes(self, number: int) -> bool:
        """Whether this one is in charge now."""
        if self.turns[number].take():
            self.in_charge.add(number)
            assert len(self.in_charge) == 1
            return True
        return False

    def is_gone(self, number: int) -> None:
        """Its process has ended."""
        self.in_charge.discard(number)
        self.lives[number].close()

    # What a worker does (worker.py), one call after the other.

    def ends(self, number: int) -> Steps:
        """One in charge is told to end."""
        turns = self.turns[number]
        said = turns.end()
        yield
        followed = said and turns.followed()
        yield
        if not followed:
            self.caps = False
            yield
        self.is_gone(number)

    def waits_and_ends(self, number: int, announces: int) -> Steps:
        """One waits for a while, and is told to end."""
        turns = self.turns[number]
        for _ in range(announces):
            if self.takes(number):
                turns.settle()
                yield from self.ends(number)
                return
            yield
            turns.announce()
            yield
        turns.settle()
        yield
        while True:
            other_ends = turns.other_ends()
            yield
            if self.takes(number):
                turns.settle()
                yield from self.ends(number)
                return
            if not other_ends:
                self.is_gone(number)
                return
            yield


@settings(max_examples=300, deadline=None)
@given(
    announces=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    later=st.integers(0, 8),
    order=st.lists(st.integers(0, 3), max_size=60),
)
def test_whoever_ends_last_leaves_no_cap(announces: list[int], later: int, order: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), 1 + len(announces))
        assert journal.takes(0)
        alive = {number: journal.waits_and_ends(number, times) for number, times in enumerate(announces, start=1)}
        # The one in charge is told to end after some steps of the others; all others have been told by the end of theirs.
        first = journal.ends(0)
        for at, number in enumerate([*order, *(number for _ in range(100) for number in range(4))]):
            if at == later:
                alive[0] = first
            steps = alive.get(number)
            if steps is not None and next(steps, first) is first:
                del alive[number]
        assert not alive
        assert not journal.caps


def test_an_order_in_which_one_that_did_not_look_would_leave_caps(tmp_path: Path) -> None:
    """The one in charge has seen a follower, which is told to end just then: it must not end by that alone."""
    journal = Journal(tmp_path, 2)
    assert journal.takes(0)
    waits, ends = journal.waits_and_ends(1, 1), journal.ends(0)
    # It announces itself; the other says that it ends, and sees it; it takes that back, sees the other end, and waits.
    for steps in (waits, waits, ends, ends, waits, waits, waits):
        next(steps)
    assert list(ends) == []
    assert journal.caps
    list(waits)
    assert not journal.caps
