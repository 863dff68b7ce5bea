"""Whoever of the setter dies, and whenever: every cap is adopted or given back, and none is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from gpu_machine import Machine
from setter_process import PROMPT, STEADY, Asker, SetterProcess, asking, limit_w, limits_are, looked, running_setter, until

from scheduler.adapters.gpu.permission import may_set
from scheduler.domain.capping import Asking, Condition, Restored

WANTS_W = {"GPU-0000": 400.0, "GPU-0001": 500.0}
DRY = replace(PROMPT, dry_run=True)
CAPPED_W, FOUND_W = {0: 400.0, 1: 500.0}, {0: 700.0, 1: 700.0}


def kept_bounds(machine: Machine) -> bool:
    """Whether no limit was ever set above what was found, nor below the lowest cap: 40 % of 700 W."""
    return all(280.0 <= write.asked_w <= 700.0 for write in machine.writes())


def killed_worker(setter: SetterProcess) -> int:
    """Kill the worker, and wait for the next; returns the process id of the dead one."""
    old = setter.worker
    os.kill(old, signal.SIGKILL)
    until(lambda: setter.worker not in (0, old), setter.told)
    return old


def killed_while_capped(machine: Machine, folder: Path) -> None:
    """A setter whose guardian and worker are killed at one moment, as with their container: it leaves both caps behind."""
    with running_setter(machine, folder) as setter:
        with Asker(setter, asking(WANTS_W)).asks():
            limits_are(machine, setter, CAPPED_W)
        # The guardian first would let its worker end well.
        os.kill(setter.process.pid, signal.SIGSTOP)
        os.kill(setter.worker, signal.SIGKILL)
        setter.process.kill()
        setter.process.wait()
    assert {number: limit_w(machine, number) for number in CAPPED_W} == CAPPED_W


def test_a_new_worker_adopts_what_is_still_wished_for(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path) as setter, Asker(setter, asking(WANTS_W)).asks() as agent:
        limits_are(machine, setter, CAPPED_W)
        agent.until("GPU-0000", Condition.CAPPED)
        written = len(machine.writes())
        killed_worker(setter)
        until(lambda: "started anew" in setter.told() and len(looked(setter).gpus) == 2, setter.told)
        # Longer than it may be silent: what was found at start has been judged by now.
        time.sleep(2.5)
        agent.until("GPU-0001", Condition.CAPPED)
        assert len(machine.writes()) == written
        assert setter.end() == 0
    assert limit_w(machine, 0) == 700.0
    assert setter.entries() == []


def test_a_new_worker_gives_back_what_nobody_wishes_for(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path) as setter:
        with Asker(setter, asking(WANTS_W)).asks():
            limits_are(machine, setter, CAPPED_W)
        killed_worker(setter)
        limits_are(machine, setter, FOUND_W)
        until(lambda: looked(setter).counts.restores.get(Restored.STARTUP, 0) == 2, setter.told)
        assert setter.entries() == []


def test_however_often_workers_are_killed_between_changes(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path) as setter, Asker(setter, asking(WANTS_W)).asks() as agent:
        for turn in range(8):
            agent.want({"GPU-0000": 300.0 + 40.0 * (turn % 3), "GPU-0001": 500.0 - 30.0 * (turn % 2)}, generation=turn)
            # Not all at one point of a worker's life: from before it listens to after it has written.
            time.sleep(0.13 * turn)
            with suppress(ProcessLookupError):
                os.kill(setter.worker or setter.process.pid, signal.SIGKILL if setter.worker else 0)
        agent.want(WANTS_W, generation=100)
        agent.until("GPU-0000", Condition.CAPPED)
        limits_are(machine, setter, CAPPED_W)
        agent.want({}, generation=101)
        limits_are(machine, setter, FOUND_W)
        until(lambda: setter.entries() == [], setter.told)
    assert kept_bounds(machine)


def test_a_worker_that_is_killed_while_it_ends_has_a_successor_that_ends_it(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path) as setter:
        with Asker(setter, asking(WANTS_W)).asks():
            limits_are(machine, setter, CAPPED_W)
            machine.delay(1, "set", 500)
            setter.process.send_signal(signal.SIGTERM)
            until(lambda: limit_w(machine, 0) == 700.0, setter.told)
            with suppress(ProcessLookupError):
                os.kill(setter.worker, signal.SIGKILL)
        assert setter.process.wait(30.0) == 0
    assert limit_w(machine, 1) == 700.0
    assert setter.entries() == []


def test_a_worker_that_stands_still_is_replaced(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path) as setter, Asker(setter, asking(WANTS_W)).asks() as agent:
        limits_are(machine, setter, CAPPED_W)
        still = setter.worker
        os.kill(still, signal.SIGSTOP)
        agent.fall_silent()
        limits_are(machine, setter, FOUND_W)
        assert setter.worker not in (0, still)
        until(lambda: setter.entries() == [], setter.told)


def test_what_was_said_to_a_worker_that_stood_still_is_no_sign_of_life(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path) as setter, Asker(setter, asking({})).asks() as agent:
        agent.until("GPU-0000", Condition.FREE)
        os.kill(setter.worker, signal.SIGSTOP)
        time.sleep(0.5)
        agent.want(WANTS_W)
        time.sleep(2.0)
        agent.fall_silent()
        os.kill(setter.worker, signal.SIGCONT)
        until(lambda: len(looked(setter).gpus) == 2, setter.told)
        # Long enough for a cap to be set, if it were to be.
        time.sleep(1.0)
        assert machine.writes() == []


def test_without_its_guardian_a_worker_gives_all_back_and_ends(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path) as setter, Asker(setter, asking(WANTS_W)).asks():
        limits_are(machine, setter, CAPPED_W)
        worker = setter.worker
        setter.process.kill()
        limits_are(machine, setter, FOUND_W)
        until(lambda: not Path(f"/proc/{worker}").exists(), setter.told)
    assert setter.entries() == []


def test_after_both_are_killed_the_next_start_gives_all_back(machine: Machine, tmp_path: Path) -> None:
    killed_while_capped(machine, tmp_path)
    with running_setter(machine, tmp_path) as setter:
        limits_are(machine, setter, FOUND_W)
        until(lambda: setter.entries() == [], setter.told)


def test_a_dry_run_gives_back_what_was_left_and_sets_nothing(machine: Machine, tmp_path: Path) -> None:
    killed_while_capped(machine, tmp_path)
    written = len(machine.writes())
    with (
        running_setter(machine, tmp_path, rules=DRY) as setter,
        Asker(setter, asking(WANTS_W)).asks() as agent,
    ):
        limits_are(machine, setter, FOUND_W)
        agent.until("GPU-0000", Condition.FREE, "dry run")
        assert agent.answer.dry_run
        assert len(machine.writes()) == written + 2


# One setter after another.


@pytest.mark.skipif(not may_set(), reason="a setter without CAP_SYS_ADMIN offers itself as no one's successor")
def test_a_successor_takes_caps_over_without_a_write(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path, rules=STEADY) as first, Asker(first, asking(WANTS_W)).asks() as agent:
        limits_are(machine, first, CAPPED_W)
        agent.until("GPU-0001", Condition.CAPPED)
        written = len(machine.writes())
        with (
            running_setter(machine, tmp_path, rules=STEADY, name="next", ready=False) as second,
            Asker(second, asking(WANTS_W)).asks() as its_agent,
        ):
            until(lambda: its_agent.answer.waiting, second.told)
            assert first.end() == 0
            its_agent.until("GPU-0000", Condition.CAPPED)
            its_agent.until("GPU-0001", Condition.CAPPED)
            assert len(machine.writes()) == written
            assert second.end() == 0
    assert limit_w(machine, 0) == 700.0
    assert second.entries() == []


def kill_both(first: SetterProcess, _: SetterProcess) -> None:
    """The guardian cannot start another worker before it dies too."""
    os.kill(first.process.pid, signal.SIGSTOP)
    os.kill(first.worker, signal.SIGKILL)
    first.process.kill()


def kill_guardian(first: SetterProcess, _: SetterProcess) -> None:
    first.process.kill()


def kill_worker_and_end(first: SetterProcess, _: SetterProcess) -> None:
    os.kill(first.worker, signal.SIGKILL)
    first.process.send_signal(signal.SIGTERM)


def kill_follower_and_end(first: SetterProcess, second: SetterProcess) -> None:
    os.kill(second.worker, signal.SIGKILL)
    first.process.send_signal(signal.SIGTERM)


@pytest.mark.skipif(not may_set(), reason="a setter without CAP_SYS_ADMIN offers itself as no one's successor")
@pytest.mark.parametrize("deed", [kill_both, kill_guardian, kill_worker_and_end, kill_follower_and_end])
def test_a_successor_takes_over_however_the_first_one_ends(
    machine: Machine, tmp_path: Path, deed: Callable[[SetterProcess, SetterProcess], None]
) -> None:
    with (
        running_setter(machine, tmp_path, rules=STEADY) as first,
        Asker(first, asking(WANTS_W)).asks() as agent,
        running_setter(machine, tmp_path, rules=STEADY, name="next", ready=False) as second,
        Asker(second, asking(WANTS_W)).asks() as its_agent,
    ):
        limits_are(machine, first, CAPPED_W)
        agent.until("GPU-0001", Condition.CAPPED)
        until(lambda: its_agent.answer.waiting and "this one waits" in second.told(), second.told)
        # A moment in which it has announced itself.
        time.sleep(0.5)
        written = len(machine.writes())
        deed(first, second)
        its_agent.until("GPU-0000", Condition.CAPPED)
        its_agent.until("GPU-0001", Condition.CAPPED)
        assert len(machine.writes()) == written
        assert second.end() == 0
    assert limit_w(machine, 1) == 700.0


def test_one_that_cannot_take_over_lets_the_first_give_all_back(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path, rules=STEADY) as first, Asker(first, asking(WANTS_W)).asks():
        limits_are(machine, first, CAPPED_W)
        with running_setter(machine, tmp_path, rules=DRY, name="next", ready=False) as second:
            until(lambda: looked(second).waiting, second.told)
            assert first.end() == 0
            assert limit_w(machine, 0) == 700.0
            assert limit_w(machine, 1) == 700.0
            until(lambda: not looked(second).waiting and len(looked(second).gpus) == 2, second.told)


def test_one_at_the_same_socket_waits_until_it_is_free(machine: Machine, tmp_path: Path) -> None:
    with (
        running_setter(machine, tmp_path, rules=STEADY) as first,
        running_setter(machine, tmp_path, socket=first.socket, name="next", ready=False) as second,
    ):
        until(lambda: "another setter is in charge" in second.told(), second.told)
        assert "another setter answers there" in second.told()
        assert first.end() == 0
        until(lambda: len(looked(first).gpus) == 2, second.told)
        assert second.end() == 0


@pytest.mark.parametrize("asks_on", [True, False])
def test_a_standby_sees_to_the_caps_of_a_container_that_is_killed(machine: Machine, tmp_path: Path, asks_on: bool) -> None:
    """Guardian and worker at one moment: the one in the next container keeps what is wished for, and gives back what is not."""
    rules = STEADY if asks_on else PROMPT
    with (
        running_setter(machine, tmp_path, rules=rules) as first,
        running_setter(
            machine, tmp_path, rules=rules, socket=first.socket, name="standby", ready=False, standby=True
        ) as standby,
        Asker(first, asking(WANTS_W)).asks() as agent,
    ):
        limits_are(machine, first, CAPPED_W)
        agent.until("GPU-0001", Condition.CAPPED)
        until(lambda: "this one waits" in standby.told(), standby.told)
        written = len(machine.writes())
        kill_both(first, standby)
        if not asks_on:
            agent.fall_silent()
            limits_are(machine, standby, FOUND_W)
        until(lambda: "found=2" in standby.told(), standby.told)
        if asks_on:
            agent.until("GPU-0000", Condition.CAPPED)
            agent.until("GPU-0001", Condition.CAPPED)
            assert len(machine.writes()) == written
        # The container that was killed is started anew, and waits in its turn.
        with running_setter(machine, tmp_path, rules=rules, socket=first.socket, name="anew", ready=False) as anew:
            until(lambda: "this one waits" in anew.told(), anew.told)
            assert end_at_once(standby, anew) == [0, 0]
    assert {number: limit_w(machine, number) for number in FOUND_W} == FOUND_W
    assert standby.entries() == []


@pytest.mark.skipif(not may_set(), reason="a setter without CAP_SYS_ADMIN offers itself as no one's successor")
def test_of_two_that_are_told_to_end_at_once_one_gives_back_what_the_other_leaves(machine: Machine, tmp_path: Path) -> None:
    with (
        running_setter(machine, tmp_path, rules=STEADY) as first,
        Asker(first, asking(WANTS_W)).asks(),
        running_setter(machine, tmp_path, rules=STEADY, name="next", ready=False) as second,
    ):
        limits_are(machine, first, CAPPED_W)
        until(lambda: looked(second).waiting and "this one waits" in second.told(), second.told)
        # A moment in which it has announced itself.
        time.sleep(0.5)
        assert end_at_once(first, second) == [0, 0]
    assert {number: limit_w(machine, number) for number in FOUND_W} == FOUND_W
    assert second.entries() == []


def end_at_once(*setters: SetterProcess) -> list[int]:
    """Tell all to end, as when their pod is deleted; returns their exit codes."""
    for setter in setters:
        setter.process.send_signal(signal.SIGTERM)
    return [setter.process.wait(60.0) for setter in setters]


def test_one_that_waits_ends_when_it_is_told(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path), running_setter(machine, tmp_path, rules=STEADY, name="next", ready=False) as second:
        until(lambda: looked(second).waiting, second.told)
        assert second.end() == 0


# Its own faults.


def test_a_socket_that_cannot_be_ends_it_with_a_word(machine: Machine, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere" / "s"
    with running_setter(machine, tmp_path, socket=nowhere, ready=False) as setter:
        assert setter.process.wait(30.0) == 2
    assert f"{nowhere}: No such file or directory" in setter.told()


def test_an_end_with_nothing_to_give_back_writes_nothing(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path) as setter:
        with Asker(setter, Asking(source="", generation=0)).asks() as agent:
            agent.until("GPU-0000", Condition.FREE)
        assert setter.end() == 0
    assert machine.writes() == []
