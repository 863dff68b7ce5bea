"""Who is in charge and who follows, by locks that end with their holders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.setter.pulse import Pulse
from scheduler.entrypoints.setter.turns import Turns


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def turns(folder: Path, stack: ExitStack) -> Turns:
    """As a guardian opens them: descriptors of its own."""
    opened = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY)]
    opened += [os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("next.lock", "end.lock")]
    for descriptor in opened:
        stack.callback(os.close, descriptor)
    return Turns(*opened)


def test_one_is_in_charge_and_one_follows(tmp_path: Path, stack: ExitStack) -> None:
    first, second, third = (turns(tmp_path, stack) for _ in range(3))
    assert first.take()
    assert first.take()
    assert not second.take()
    assert not first.followed()
    assert second.announce()
    assert not third.announce()
    assert first.followed()
    second.settle()
    assert not first.followed()
    # Looking for a follower has not left us as our own.
    assert third.announce()


def test_a_lock_ends_with_its_holder(tmp_path: Path, stack: ExitStack) -> None:
    with ExitStack() as life:
        assert turns(tmp_path, life).take()
        assert not turns(tmp_path, stack).take()
    assert turns(tmp_path, stack).take()


def test_where_nobody_can_announce_himself_nobody_follows(tmp_path: Path, stack: ExitStack) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    stack.callback(os.close, folder)
    alone = Turns(folder, -1, -1)
    assert alone.take()
    assert not alone.announce()
    assert not alone.followed()
    assert not alone.end()
    assert not alone.other_ends()
    alone.settle()


def test_nobody_announces_himself_who_could_not_see_another_end(tmp_path: Path, stack: ExitStack) -> None:
    opened = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path / "next.lock", os.O_RDWR | os.O_CREAT, 0o600)
    for descriptor in opened:
        stack.callback(os.close, descriptor)
    assert not Turns(*opened, -1).announce()


def test_one_that_ends_says_so_until_it_has_ended_or_another_worker_of_it_begins(tmp_path: Path, stack: ExitStack) -> None:
    waits = turns(tmp_path, stack)
    with ExitStack() as life:
        first = turns(tmp_path, life)
        assert first.take()
        assert not waits.other_ends()
        assert first.end()
        assert waits.other_ends()
        first.settle()
        assert not waits.other_ends()
        assert first.end()
        assert not waits.end()
    assert not waits.other_ends()
    assert waits.take()
    waits.leave()
    assert turns(tmp_path, stack).take()


def test_what_cannot_be_locked_is_no_lock(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(Misconfigured, match="cannot be locked"):
        Turns(write, -1, -1).take()


def test_a_pulse_is_felt_across_a_fork() -> None:
    pulse = Pulse()
    assert pulse.age_s() == 0.0
    child = os.fork()
    if not child:
        pulse.beat()
        os._exit(0)
    os.waitpid(child, 0)
    assert 0.0 < pulse.age_s() < 60.0
    pulse.rest()
    assert pulse.age_s() == 0.0
