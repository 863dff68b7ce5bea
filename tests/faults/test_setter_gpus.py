"""GPUs, a driver and a journal that fail under a setter: each fault is told, hurts its own GPU alone, and leaves no cap."""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest
from gpu_machine import Machine
from setter_process import PROMPT, STEADY, Asker, SetterProcess, asking, limit_w, limits_are, looked, running_setter, until

from scheduler.adapters.gpu.journal import Stamp, file_bytes
from scheduler.core.capping.held import JournalEntry
from scheduler.domain.capping import Condition, FailMode, Restored

ONE_W = {"GPU-0000": 400.0}
TWO_W = {"GPU-0000": 400.0, "GPU-0001": 500.0}
BOOT = Path("/proc/sys/kernel/random/boot_id")


@pytest.fixture
def setter(machine: Machine, tmp_path: Path) -> Iterator[SetterProcess]:
    """One that sets limits of two GPUs."""
    with running_setter(machine, tmp_path) as found:
        yield found


@pytest.fixture
def steady(machine: Machine, tmp_path: Path) -> Iterator[SetterProcess]:
    """The same, patient with an agent that gets no time."""
    with running_setter(machine, tmp_path, rules=STEADY) as found:
        yield found


def restores(setter: SetterProcess, why: Restored) -> int:
    return looked(setter).counts.restores.get(why, 0)


# Leases.


def test_an_agent_that_falls_silent_gets_all_limits_back(machine: Machine, setter: SetterProcess) -> None:
    with Asker(setter, asking(TWO_W)).asks():
        limits_are(machine, setter, {0: 400.0, 1: 500.0})
    limits_are(machine, setter, {0: 700.0, 1: 700.0})
    until(lambda: restores(setter, Restored.SILENT) == 2, setter.told)
    assert setter.entries() == []


def test_looking_is_no_sign_of_life(machine: Machine, setter: SetterProcess) -> None:
    with Asker(setter, asking(ONE_W)).asks():
        limits_are(machine, setter, {0: 400.0})
    until(lambda: not any(one.cap_w for one in setter.look().gpus), setter.told)
    assert limit_w(machine, 0) == 700.0


def test_a_lease_that_is_over_ends_one_cap_alone(machine: Machine, setter: SetterProcess) -> None:
    order = asking(TWO_W)
    with Asker(setter, order).asks() as agent:
        limits_are(machine, setter, {0: 400.0, 1: 500.0})
        # The same message over and over, so the lease of each begins anew each time: that of the first for a moment only.
        agent.asking = replace(order, wants=(replace(order.wants[0], lease_s=0.01), order.wants[1]))
        limits_are(machine, setter, {0: 700.0})
        until(lambda: restores(setter, Restored.EXPIRED) >= 1, setter.told)
        assert limit_w(machine, 1) == 500.0


def test_what_is_not_wished_any_more_comes_back_with_its_reason(machine: Machine, steady: SetterProcess) -> None:
    with Asker(steady, asking(TWO_W)).asks() as agent:
        limits_are(machine, steady, {0: 400.0, 1: 500.0})
        agent.asking = replace(asking({}, generation=2), back={"GPU-0001": Restored.OCCUPANT})
        limits_are(machine, steady, {0: 700.0, 1: 700.0})
        until(lambda: restores(steady, Restored.OCCUPANT) == 1, steady.told)
        assert restores(steady, Restored.RELEASED) == 1


# One GPU among others.


def test_a_gpu_that_hangs_holds_up_no_other(library: Path, tmp_path: Path) -> None:
    machine = Machine.create(tmp_path, library, gpus=8)
    wants_w = {f"GPU-{number:04d}": 400.0 for number in range(8)}
    with running_setter(machine, tmp_path) as setter:
        with Asker(setter, asking(wants_w)).asks():
            limits_are(machine, setter, dict.fromkeys(range(8), 400.0))
            machine.delay(3, "limit", 8_000)
            time.sleep(0.5)
        limits_are(machine, setter, {number: 700.0 for number in range(8) if number != 3})
        assert limit_w(machine, 3) == 400.0
        until(lambda: "not answered" in next(one.why for one in looked(setter).gpus if one.uuid == "GPU-0003"), setter.told)
        machine.delay(3, "limit", 0)
        limits_are(machine, setter, {3: 700.0})
        until(lambda: setter.entries() == [], setter.told)


def test_an_end_is_not_held_up_for_ever_by_a_gpu_that_hangs(machine: Machine, setter: SetterProcess) -> None:
    with Asker(setter, asking(TWO_W)).asks():
        limits_are(machine, setter, {0: 400.0, 1: 500.0})
    machine.delay(1, "set", 60_000)
    assert setter.end() == 1
    assert limit_w(machine, 0) == 700.0
    assert setter.entries() == ["GPU-0001"]
    assert "limits could not be given back" in setter.told()


def test_a_lost_gpu_gets_its_limit_back_when_it_is_back(machine: Machine, setter: SetterProcess) -> None:
    with Asker(setter, asking(TWO_W)).asks() as agent:
        limits_are(machine, setter, {0: 400.0, 1: 500.0})
        machine[0].lost = 1
        agent.until("GPU-0000", Condition.UNAVAILABLE)
        agent.want({"GPU-0001": 500.0}, generation=2)
        agent.until("GPU-0000", Condition.RESTORING)
        # Also once nobody can open it any more, what is wrong with it is said.
        time.sleep(2.5)
        agent.until("GPU-0000", Condition.RESTORING, "GPU is lost")
        assert limit_w(machine, 1) == 500.0
        machine[0].lost = 0
        limits_are(machine, setter, {0: 700.0, 1: 500.0})
        agent.until("GPU-0000", Condition.FREE)


def test_one_gpu_that_answers_as_if_the_driver_were_gone_hurts_no_other(machine: Machine, steady: SetterProcess) -> None:
    with Asker(steady, asking(TWO_W)).asks() as agent:
        limits_are(machine, steady, {0: 400.0, 1: 500.0})
        machine.fail(0, "limit", pynvml.NVML_ERROR_UNKNOWN)
        agent.until("GPU-0000", Condition.UNAVAILABLE)
        written = len(machine.writes())
        agent.want({"GPU-0001": 450.0}, generation=2)
        limits_are(machine, steady, {1: 450.0})
        assert len(machine.writes()) == written + 1
        machine.fail(0, "limit", 0)
        limits_are(machine, steady, {0: 700.0})


def test_somebody_else_is_answered_twice_and_then_left_alone(machine: Machine, steady: SetterProcess) -> None:
    with Asker(steady, asking(ONE_W)).asks() as agent:
        for _ in range(2):
            limits_are(machine, steady, {0: 400.0})
            agent.until("GPU-0000", Condition.CAPPED)
            machine.set_by_another(0, 600.0)
            until(lambda: limit_w(machine, 0) == 400.0, steady.told)
        agent.until("GPU-0000", Condition.CAPPED)
        machine.set_by_another(0, 600.0)
        agent.until("GPU-0000", Condition.YIELDED)
        assert limit_w(machine, 0) == 600.0
        assert agent.answer.counts.foreign_writes == 3
        assert steady.entries() == []
    assert steady.end() == 0
    assert limit_w(machine, 0) == 600.0


def test_without_permission_nothing_is_set_and_why_is_said(machine: Machine, setter: SetterProcess) -> None:
    machine.state.allow_set = 0
    with Asker(setter, asking(ONE_W)).asks() as agent:
        agent.until("GPU-0000", Condition.UNAVAILABLE, "CAP_SYS_ADMIN")
        assert limit_w(machine, 0) == 700.0
        assert agent.answer.counts.writes == 0


def test_a_limit_that_is_accepted_and_not_kept_is_found_out(machine: Machine, setter: SetterProcess) -> None:
    machine.fail(0, "set", 0)
    machine[0].lies = 1
    with Asker(setter, asking(ONE_W)).asks() as agent:
        until(lambda: agent.answer.counts.read_back_failures > 0, setter.told)
        agent.until("GPU-0000", Condition.UNAVAILABLE, "400 W was accepted, and the limit reads 700 W")


# The driver.


def test_a_cap_is_set_again_after_the_driver_was_loaded_anew(machine: Machine, setter: SetterProcess) -> None:
    with Asker(setter, asking(TWO_W)).asks() as agent:
        for _ in range(4):
            limits_are(machine, setter, {0: 400.0, 1: 500.0})
            machine.reload_driver()
            until(lambda: limit_w(machine, 0) == 400.0, setter.told)
        limits_are(machine, setter, {0: 400.0, 1: 500.0})
        agent.until("GPU-0001", Condition.CAPPED)
        assert agent.answer.counts.foreign_writes == 0
    limits_are(machine, setter, {0: 700.0, 1: 700.0})


def test_caps_come_back_when_a_driver_comes_back_that_was_gone(machine: Machine, setter: SetterProcess) -> None:
    with Asker(setter, asking(TWO_W)).asks():
        limits_are(machine, setter, {0: 400.0, 1: 500.0})
        machine.state.init_error = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
        machine.state.driver_generation += 1
        until(lambda: "not loaded" in looked(setter).trouble, setter.told)
    until(lambda: all(one.condition is Condition.RESTORING for one in looked(setter).gpus), setter.told)
    machine.state.init_error = 0
    limits_are(machine, setter, {0: 700.0, 1: 700.0})


def test_another_version_of_the_library_is_loaded_by_another_worker(machine: Machine, setter: SetterProcess) -> None:
    first = setter.worker
    machine.state.init_error = pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    machine.state.driver_generation += 1
    until(lambda: "different versions" in looked(setter).trouble, setter.told)
    machine.state.init_error = 0
    until(lambda: setter.worker not in (0, first) and len(looked(setter).gpus) == 2, setter.told)
    assert not looked(setter).trouble


def test_a_gpu_that_was_missing_at_start_gets_its_limit_back_when_the_driver_knows_it(machine: Machine, tmp_path: Path) -> None:
    machine[1].limit_milliwatt = 400_000
    machine.state.count = 1
    entry(tmp_path / "journal", BOOT.read_text().strip(), uuid="GPU-0001")
    with running_setter(machine, tmp_path, ready=False) as setter, Asker(setter, asking(ONE_W)).asks() as agent:
        limits_are(machine, setter, {0: 400.0})
        agent.until("GPU-0001", Condition.RESTORING, "does not name it")
        machine.state.count = 2
        limits_are(machine, setter, {1: 650.0})
        # Nothing of that has touched the other one.
        assert [write.asked_w for write in machine.writes() if write.gpu == 0] == [400.0]


# The journal.


def test_with_a_full_disk_no_cap_is_set_and_those_that_are_come_back(machine: Machine, setter: SetterProcess) -> None:
    with Asker(setter, asking(ONE_W)).asks() as agent:
        limits_are(machine, setter, {0: 400.0})
        resource.prlimit(setter.worker, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        agent.want(TWO_W, generation=2)
        agent.until("GPU-0001", Condition.UNAVAILABLE, "journal")
        assert agent.answer.counts.journal_failures > 0
        agent.want({}, generation=3)
        limits_are(machine, setter, {0: 700.0, 1: 700.0})
        until(lambda: setter.entries() == [], setter.told)
        resource.prlimit(setter.worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        agent.want(TWO_W, generation=4)
        limits_are(machine, setter, {0: 400.0, 1: 500.0})


def test_a_journal_that_somebody_deletes_is_written_again_and_without_its_folder_limits_come_back(
    machine: Machine, steady: SetterProcess
) -> None:
    with Asker(steady, asking(ONE_W)).asks() as asker:
        until(lambda: steady.entries() == ["GPU-0000"], steady.told)
        limits_are(machine, steady, {0: 400.0})
        (steady.journal / "GPU-0000.json").unlink()
        until(lambda: steady.entries() == ["GPU-0000"], steady.told)
        assert limit_w(machine, 0) == 400.0
        shutil.rmtree(steady.journal)
        until(lambda: looked(steady).counts.journal_failures > 0, steady.told)
        assert "No such file" in steady.told()
        asker.want({}, generation=2)
        limits_are(machine, steady, {0: 700.0})
    # There is nothing left to remove: it owes nothing.
    assert steady.end() == 0


def test_a_limit_that_is_back_is_not_called_owed_where_only_the_journal_fails(machine: Machine, steady: SetterProcess) -> None:
    with Asker(steady, asking(ONE_W)).asks():
        limits_are(machine, steady, {0: 400.0})
        until(lambda: steady.entries() == ["GPU-0000"], steady.told)
        steady.journal.chmod(0o777)
        assert steady.end() == 1
    assert limit_w(machine, 0) == 700.0
    assert "limits are back, and the journal could not be told" in steady.told()
    assert "could not be given back" not in steady.told()


def test_a_folder_that_others_may_write_to_is_no_journal(machine: Machine, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    journal.chmod(0o777)
    with running_setter(machine, tmp_path) as setter, Asker(setter, asking(ONE_W)).asks() as agent:
        agent.until("GPU-0000", Condition.UNAVAILABLE, "journal")
        assert "others may write there" in agent.answer.trouble
        journal.chmod(0o700)
        limits_are(machine, setter, {0: 400.0})


def entry(journal: Path, boot: str, uuid: str = "GPU-0000", **more: object) -> None:
    """Leave a file in a journal, as a setter would, but for its check where `more` changes it."""
    journal.mkdir(mode=0o700, exist_ok=True)
    told = json.loads(file_bytes(JournalEntry(uuid=uuid, original_w=650.0, ours_w=(400.0,)), Stamp("", boot)))
    (journal / f"{uuid}.json").write_text(json.dumps({**told, **more}), encoding="utf-8")


def test_what_an_entry_of_this_boot_says_is_given_back(machine: Machine, tmp_path: Path) -> None:
    machine[0].limit_milliwatt = 400_000
    entry(tmp_path / "journal", BOOT.read_text().strip())
    with running_setter(machine, tmp_path) as setter:
        limits_are(machine, setter, {0: 650.0})


def test_an_entry_of_another_boot_says_nothing(machine: Machine, tmp_path: Path) -> None:
    machine[0].limit_milliwatt = 400_000
    entry(tmp_path / "journal", "another-boot")
    with running_setter(machine, tmp_path) as setter:
        time.sleep(2.5)
        assert setter.entries() == []
    assert limit_w(machine, 0) == 400.0
    assert "earlier boot" in setter.told()


def test_a_torn_entry_brings_the_default_back(machine: Machine, tmp_path: Path) -> None:
    machine[0].limit_milliwatt = 400_000
    entry(tmp_path / "journal", BOOT.read_text().strip(), originalWatts=100.0)
    with running_setter(machine, tmp_path) as setter:
        limits_are(machine, setter, {0: 700.0})
        until(lambda: setter.entries() == [], setter.told)
        assert not looked(setter).trouble
    assert "its check does not fit" in setter.told()
    assert (setter.journal / "GPU-0000.json.torn").exists()


# Who may be capped.


def test_a_gpu_that_is_not_opted_in_is_not_capped(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path, gpus=("GPU-0001",)) as setter, Asker(setter, asking(TWO_W)).asks() as agent:
        limits_are(machine, setter, {1: 500.0})
        agent.until("GPU-0000", Condition.FREE, "not_opted_in")
        assert limit_w(machine, 0) == 700.0
        assert agent.answer.counts.refused["not_opted_in"] > 0


def test_caps_that_hold_outlive_silence_but_no_end(machine: Machine, tmp_path: Path) -> None:
    with running_setter(machine, tmp_path, rules=replace(PROMPT, fail_mode=FailMode.HOLD)) as setter:
        with Asker(setter, asking(ONE_W, lease_s=0.5)).asks():
            limits_are(machine, setter, {0: 400.0})
        time.sleep(3.0)
        assert limit_w(machine, 0) == 400.0
        assert setter.end() == 0
    assert limit_w(machine, 0) == 700.0
