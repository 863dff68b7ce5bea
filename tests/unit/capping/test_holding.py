"""Each rule of the setter by hand, on a GPU of 700 W: at least 200 W by the GPU, 0.4 * 700 = 280 W by the rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
from capping_shell import DecidedWorld
from capping_world import POD, RULES, UUID, Gpu, ask, foreign_write, renew

from scheduler.core.capping.bounds import aimed, jitter_s, same_w
from scheduler.core.capping.held import Facts, Forget, JournalEntry, Ordered, Record, Step, Write, fresh
from scheduler.core.capping.holding import decide, lapses_s
from scheduler.domain.capping import CapRules, Condition, FailMode, Restored, Want

# Neither jitter nor hysteresis hides what a test is about.
PLAIN = replace(RULES, jitter_s=0.0)
HOLD = replace(PLAIN, fail_mode=FailMode.HOLD)
FACTS = Facts(requested_w=700.0, enforced_w=700.0, default_w=700.0, least_w=200.0, most_w=700.0)


def capped(cap_w: float = 500.0, rules: CapRules = PLAIN, gpu: Gpu | None = None) -> DecidedWorld:
    """A world in which a cap is in force, written at 1000 s and seen since."""
    world = DecidedWorld(rules, gpu=gpu)
    ask(world, cap_w, lease_s=3600.0)
    world.step()
    world.step()
    assert world.gpu.limit_w == cap_w
    return world


def later(world: DecidedWorld, seconds: float) -> Step:
    """So long passes, the agent speaks again, and there is a look."""
    world.now_s += seconds
    renew(world)
    return world.step()


def want(world: DecidedWorld, cap_w: float, *, emergency: bool = False) -> Step:
    """The agent asks for another cap, and there is a look."""
    ask(world, cap_w, lease_s=3600.0, emergency=emergency)
    return world.step()


# A cap, and what it comes to.


@pytest.mark.parametrize(
    ("wish_w", "cap_w", "clamped"),
    [
        (500.0, 500.0, False),
        (500.9, 500.0, False),  # Whole watts, never more than was wished.
        (280.0, 280.0, False),  # 0.4 * 700
        (279.0, 280.0, True),
        (1.0, 280.0, True),
        (695.0, 695.0, False),
        (695.9, 695.0, False),
        (696.0, None, False),  # 700 - 696 = 4 W, less than min(5, 0.02 * 700 = 14) = 5 W
        (700.0, None, False),
        (4999.0, None, False),
    ],
)
def test_a_wish_comes_to_a_cap_between_the_least_and_what_was_found(wish_w: float, cap_w: float | None, clamped: bool) -> None:
    aim = aimed(wish_w, 700.0, FACTS, PLAIN)
    assert (aim.cap_w, aim.floor_w, aim.clamped) == (cap_w, 280.0, clamped)


def test_the_least_is_that_of_the_gpu_where_that_is_higher() -> None:
    # max(300, 0.4 * 700 = 280) = 300; of 299.5 the next whole watt, 300, too.
    assert aimed(100.0, 700.0, replace(FACTS, least_w=300.0), PLAIN).cap_w == 300.0
    assert aimed(100.0, 700.0, replace(FACTS, least_w=299.5), PLAIN).cap_w == 300.0
    # 0.7 * 300 = 210 in real numbers and 210.00000000000003 here: no watt is added for that.
    assert aimed(1.0, 300.0, replace(FACTS, default_w=300.0, least_w=100.0), replace(PLAIN, least_fraction=0.7)).cap_w == 210.0


def test_nothing_is_capped_where_the_least_is_no_lower_than_what_was_found() -> None:
    aim = aimed(100.0, 250.0, FACTS, PLAIN)
    assert aim.cap_w is None
    assert aim.why == "the lowest cap is no lower than the limit that is there"


def test_a_small_change_is_one_that_is_small_in_watts_and_in_part() -> None:
    assert same_w(700.0, PLAIN) == 5.0  # min(5, 0.02 * 700 = 14)
    assert same_w(150.0, PLAIN) == 3.0  # min(5, 0.02 * 150 = 3)
    # Limits that differ by a watt are taken for one, so no change is smaller than two.
    assert same_w(70.0, PLAIN) == 2.0  # max(2, min(5, 0.02 * 70 = 1.4))


def test_a_cap_is_written_down_then_set_and_shown() -> None:
    world = DecidedWorld(PLAIN)
    ask(world, 500.0)
    step = world.step()
    entry = JournalEntry(uuid=UUID, original_w=700.0, ours_w=(500.0,), pod_uid=POD, plan_id="p")
    assert step.acts == (Record(entry), Write(500.0))
    assert world.disk.entry == entry
    standing = later(world, 1.0).standing
    assert (standing.condition, standing.cap_w, standing.original_w) == (Condition.CAPPED, 500.0, 700.0)
    assert standing.lease_s == 119.0
    assert standing.pod_uid == POD


def test_a_wish_below_the_least_is_clamped_told_and_counted_once() -> None:
    world = DecidedWorld(PLAIN)
    ask(world, 100.0)
    first, second = world.step(), world.step()
    assert world.gpu.limit_w == 280.0
    assert (first.counted.clamps, second.counted.clamps) == (1, 0)
    assert second.standing.clamped
    assert second.standing.why == "the lowest cap is 280 W"


def test_a_new_cap_waits_by_jitter_and_an_emergency_does_not() -> None:
    wait_s = jitter_s(UUID, 1, 5.0)
    assert 0.0 < wait_s < 5.0
    world = DecidedWorld(RULES)
    assert want(world, 500.0).standing.condition is Condition.WAITING
    assert not later(world, wait_s - 0.01).acts
    assert later(world, 0.02).acts
    assert want(DecidedWorld(RULES), 500.0, emergency=True).acts


def test_jitter_spreads_over_gpus_and_generations_and_is_the_same_at_each_start() -> None:
    waits_s = [jitter_s(f"GPU-{number}", generation, 5.0) for number in range(100) for generation in range(10)]
    assert waits_s == [jitter_s(f"GPU-{number}", generation, 5.0) for number in range(100) for generation in range(10)]
    # A thousand even draws from 0 to 5 s: mean 2.5 with a standard error of 5 / sqrt(12 * 1000) = 0.046.
    assert sum(waits_s) / 1000 == pytest.approx(2.5, abs=0.15)
    assert min(waits_s) < 0.1
    assert max(waits_s) > 4.9


# Changes.


def test_two_changes_are_a_pause_apart_and_an_emergency_waits_for_none() -> None:
    world = capped(500.0)
    assert want(world, 400.0).standing.condition is Condition.WAITING
    assert not later(world, 59.9).acts
    assert later(world, 0.2).acts
    assert world.gpu.limit_w == 400.0
    assert want(world, 350.0, emergency=True).acts
    assert world.gpu.limit_w == 350.0
    # Upwards there is no emergency.
    assert not want(world, 400.0, emergency=True).acts


def test_a_change_lists_the_old_value_and_the_new_until_the_new_one_was_read_back() -> None:
    world = capped(500.0)
    want(world, 400.0)
    step = later(world, 61.0)
    entry = JournalEntry(uuid=UUID, original_w=700.0, ours_w=(500.0, 400.0), pod_uid=POD, plan_id="p")
    assert step.acts == (Record(entry), Write(400.0), Record(replace(entry, ours_w=(400.0,))))


def test_a_cap_rises_by_steps_and_falls_at_once() -> None:
    world = capped(300.0)
    want(world, 600.0)
    limits_w = []
    for _pause in range(4):
        later(world, 61.0)
        limits_w.append(world.gpu.limit_w)
    # 0.15 * 700 = 105 W a step: 405, 510, 600.
    assert limits_w == [405.0, 510.0, 600.0, 600.0]
    want(world, 300.0)
    later(world, 61.0)
    assert world.gpu.limit_w == 300.0


def test_no_cap_is_raised_while_the_hardware_brakes() -> None:
    world = capped(300.0)
    world.now_s += 61.0
    ask(world, 400.0, lease_s=3600.0)
    seen = world.gpu.look()
    assert isinstance(seen, Facts)
    step = decide(world.held, replace(seen, braked=True), world.ordered, world.now_s, PLAIN)
    assert not step.acts
    assert "brakes" in step.standing.why
    assert decide(world.held, seen, world.ordered, world.now_s, PLAIN).acts
    # What was found is given back all the same: that was promised.
    assert decide(world.held, replace(seen, braked=True), Ordered(heard_s=world.now_s), world.now_s, PLAIN).acts


def test_a_change_too_small_to_matter_is_not_made() -> None:
    world = capped(500.0)
    want(world, 504.0)
    assert not later(world, 61.0).acts  # 4 W < 5 W
    assert want(world, 505.0).acts


def test_a_wish_for_what_was_found_gives_it_back_at_once() -> None:
    world = capped(500.0)
    step = want(world, 700.0)
    assert step.acts == (Write(700.0, Restored.RELEASED), Forget())


# The way back.


@pytest.mark.parametrize(
    ("ordered", "passed_s", "reason"),
    [
        (Ordered(heard_s=1000.0), 0.0, Restored.RELEASED),
        (Ordered(heard_s=1000.0, back=Restored.OCCUPANT), 0.0, Restored.OCCUPANT),
        (Ordered(heard_s=1000.0, back=Restored.EXPIRED), 0.0, Restored.EXPIRED),
        (Ordered(heard_s=1000.0, refused="duplicate"), 0.0, Restored.REFUSED),
        (Ordered(heard_s=1000.0, stopping=True), 0.0, Restored.STOPPING),
        (Ordered(heard_s=1000.0, want=Want(uuid=UUID, cap_w=500.0, lease_s=1.0, pod_uid=POD), until_s=1001.0), 1.0, "expired"),
        (Ordered(heard_s=1000.0, want=Want(uuid=UUID, cap_w=500.0, lease_s=9.0, pod_uid=POD), until_s=1009.0), 1.3, "silent"),
        (Ordered(heard_s=1000.0, want=Want(uuid=UUID, cap_w=500.0, lease_s=9.0, pod_uid="b"), until_s=1009.0), 0.0, "occupant"),
    ],
)
def test_what_was_found_comes_back_without_any_wait(ordered: Ordered, passed_s: float, reason: Restored) -> None:
    world = capped(500.0)
    world.ordered = ordered
    world.now_s += passed_s
    step = world.step()
    assert step.acts == (Write(700.0, Restored(reason)), Forget())
    assert world.gpu.limit_w == 700.0
    assert world.disk.entry is None
    assert not world.step().acts
    assert world.step().standing.original_w is None


def test_a_lease_lasts_until_its_end_and_silence_until_it_is_too_long() -> None:
    world = capped(500.0)
    world.ordered = replace(world.ordered, until_s=1003.0)
    assert lapses_s(world.ordered, PLAIN) == 1001.2  # heard at 1000, and 1.2 s of silence
    assert not later(world, 2.9).acts
    assert lapses_s(world.ordered, PLAIN) == 1003.0
    world.now_s = 1003.0
    assert world.step().acts
    assert lapses_s(Ordered(heard_s=1.0), PLAIN) is None


def test_what_was_found_is_given_back_even_if_it_was_not_the_default() -> None:
    gpu = Gpu(limit_w=600.5)
    world = capped(500.0, gpu=gpu)
    world.ordered = Ordered(heard_s=world.now_s)
    world.step()
    assert gpu.limit_w == 600.5


def test_a_range_that_shrank_gives_back_as_much_as_it_allows() -> None:
    world = capped(500.0)
    world.gpu.most_w = 650.0
    world.ordered = Ordered(heard_s=world.now_s)
    assert world.step().acts[0] == Write(650.0, Restored.RELEASED)
    assert world.disk.entry is None


def test_a_limit_that_cannot_be_given_back_is_tried_at_each_look() -> None:
    world = capped(500.0)
    world.gpu.writes = "error"
    world.ordered = Ordered(heard_s=world.now_s)
    for _look in range(3):
        step = world.step()
        assert step.standing.condition is Condition.RESTORING
        assert step.acts[0] == Write(700.0, Restored.RELEASED)
    assert step.standing.why == "no"
    world.gpu.lost = True
    assert world.step().standing.condition is Condition.RESTORING
    world.gpu.lost, world.gpu.writes = False, "ok"
    world.step()
    assert world.gpu.limit_w == 700.0


def test_a_cap_for_another_pod_begins_with_what_was_found() -> None:
    world = capped(500.0)
    ask(world, 600.0, pod="pod-b", lease_s=3600.0)
    world.step()
    assert world.gpu.limit_w == 700.0
    later(world, 61.0)
    assert world.gpu.limit_w == 600.0
    assert world.disk.entry is not None
    assert world.disk.entry.pod_uid == "pod-b"


# Where a cap is to hold.


def test_a_cap_that_holds_outlasts_lease_and_agent() -> None:
    world = capped(500.0, HOLD)
    world.now_s += 7200.0
    assert not world.step().acts
    world.ordered = Ordered(heard_s=world.now_s, back=Restored.EXPIRED)
    assert not world.step().acts
    # And the setter's own end by a kill.
    world.start()
    assert world.step().standing.condition is Condition.CAPPED
    world.now_s += 7200.0
    assert not world.step().acts
    # An agent that speaks and wishes for nothing ends it.
    world.ordered = Ordered(heard_s=world.now_s)
    assert world.step().acts == (Write(700.0, Restored.RELEASED), Forget())


@pytest.mark.parametrize(
    "ordered",
    [
        Ordered(heard_s=1000.0),
        Ordered(heard_s=1000.0, back=Restored.OCCUPANT),
        Ordered(heard_s=1000.0, refused="duplicate"),
        Ordered(heard_s=1000.0, stopping=True),
    ],
)
def test_a_cap_that_holds_ends_for_a_release_another_pod_a_refusal_and_our_end(ordered: Ordered) -> None:
    world = capped(500.0, HOLD)
    world.ordered = ordered
    world.step()
    assert world.gpu.limit_w == 700.0


def test_nothing_new_is_held_on_an_order_that_has_lapsed() -> None:
    world = DecidedWorld(HOLD)
    ask(world, 500.0, lease_s=10.0)
    world.now_s += 10.0
    renew(world)
    assert not world.step().acts
    ask(world, 500.0, lease_s=10.0)
    world.now_s += 1.3
    assert not world.step().acts


def test_a_cap_that_holds_is_set_again_after_a_driver_reload_also_without_an_agent() -> None:
    world = capped(500.0, HOLD)
    world.start()
    world.step()
    world.now_s += 100.0
    world.gpu.limit_w, world.gpu.ours, world.gpu.epoch = 700.0, False, 1
    world.step()
    assert world.gpu.limit_w == 500.0


# At start.


def test_a_cap_found_at_start_is_adopted_without_a_write() -> None:
    world = capped(500.0)
    world.start()
    assert world.step().standing.why == "found at start; waits to be wished for"
    world.now_s += 1.0
    assert not want(world, 500.0).acts
    assert later(world, 1.0).standing.condition is Condition.CAPPED
    assert len(world.truth.writes) == 1
    # Nobody knows when it was changed last: the pause counts from the adoption.
    assert not want(world, 400.0).acts
    assert later(world, 60.0).acts


def test_a_cap_found_at_start_for_which_nobody_wishes_goes_back_in_time() -> None:
    world = capped(500.0)
    world.start()
    world.now_s += 1.1
    assert not world.step().acts
    world.now_s += 0.2
    assert world.step().acts == (Write(700.0, Restored.STARTUP), Forget())


def test_a_cap_found_at_start_goes_back_at_once_when_an_agent_asks_without_it() -> None:
    world = capped(500.0)
    world.start()
    world.now_s += 0.1
    world.ordered = Ordered(heard_s=world.now_s)
    assert world.step().acts == (Write(700.0, Restored.RELEASED), Forget())


def test_an_entry_whose_write_never_came_is_forgotten() -> None:
    world = DecidedWorld(PLAIN)
    world.disk.entry = JournalEntry(uuid=UUID, original_w=700.0, ours_w=(500.0,))
    world.start()
    assert world.step().acts == (Forget(),)
    assert world.step().standing.condition is Condition.FREE


def test_a_limit_found_at_start_that_nobody_of_ours_set_is_left_alone_and_told() -> None:
    world = capped(500.0)
    world.gpu.limit_w, world.gpu.ours = 333.5, False
    world.start()
    step = world.step()
    assert step.acts == (Forget(),)
    assert step.counted.foreign_writes == 1
    assert want(world, 300.0).standing.condition is Condition.YIELDED
    assert world.gpu.limit_w == 333.5


def test_a_journal_that_cannot_be_understood_gives_the_default_once() -> None:
    world = capped(500.0)
    world.disk.torn = True
    world.start()
    assert world.step().acts == (Write(700.0, Restored.STARTUP), Forget())
    assert world.gpu.limit_w == 700.0
    assert not world.disk.torn


def test_a_journal_that_cannot_be_understood_takes_nothing_from_a_gpu_at_its_default() -> None:
    world = DecidedWorld(PLAIN)
    world.disk.torn = True
    world.start()
    world.gpu.lost = True
    assert world.step().standing.condition is Condition.RESTORING
    world.gpu.lost = False
    assert world.step().acts == (Forget(),)


# Others who write, and the driver.


def test_a_foreign_limit_is_overruled_twice_and_then_left_alone() -> None:
    world = capped(500.0)
    for _fight in range(2):
        world.now_s += 61.0
        foreign_write(world, 650.5)
        renew(world)
        assert world.step().counted.foreign_writes == 1
        world.step()
        assert world.gpu.limit_w == 500.0
    world.now_s += 61.0
    foreign_write(world, 650.5)
    renew(world)
    step = world.step()
    assert step.standing.condition is Condition.YIELDED
    assert step.acts == (Forget(),)
    assert not later(world, 599.0).acts
    # After 600 s what is there now is what was found.
    later(world, 1.0)
    later(world, 1.0)
    assert world.gpu.limit_w == 500.0
    world.ordered = Ordered(heard_s=world.now_s)
    world.step()
    assert world.gpu.limit_w == 650.5


def test_a_foreign_limit_waits_for_the_pause_before_it_is_overruled() -> None:
    world = capped(500.0)
    world.now_s += 10.0
    foreign_write(world, 650.5)
    renew(world)
    assert world.step().standing.condition is Condition.WAITING
    assert not later(world, 49.9).acts
    assert later(world, 0.2).acts


def test_what_is_given_back_after_a_fight_is_the_least_of_what_others_set() -> None:
    world = capped(500.0)
    world.now_s += 61.0
    foreign_write(world, 650.5)
    renew(world)
    world.step()
    assert world.gpu.limit_w == 500.0
    world.ordered = Ordered(heard_s=world.now_s)
    world.step()
    assert world.gpu.limit_w == 650.5


def test_a_foreign_limit_below_our_cap_leaves_nothing_to_cap() -> None:
    world = capped(500.0)
    foreign_write(world, 333.5)
    step = later(world, 61.0)
    assert step.acts == (Forget(),)
    assert step.counted.foreign_writes == 1
    assert later(world, 61.0).standing.why == "the limit that is there is no higher"
    assert world.gpu.limit_w == 333.5


def test_a_driver_loaded_anew_is_no_fight_and_what_was_found_stays() -> None:
    world = capped(500.0, gpu=Gpu(limit_w=600.0))
    for epoch in range(1, 6):
        world.now_s += 61.0
        world.gpu.limit_w, world.gpu.ours, world.gpu.epoch = 700.0, False, epoch
        world.truth.reloaded = True
        renew(world)
        assert world.step().counted.foreign_writes == 0
        assert world.gpu.limit_w == 500.0
        world.step()
    world.ordered = Ordered(heard_s=world.now_s)
    world.step()
    assert world.gpu.limit_w == 600.0


# What cannot be capped, and what fails.


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        (replace(FACTS, mig=True), "MIG"),
        (replace(FACTS, whole_module=True), "module"),
        (replace(FACTS, may_set=False), "CAP_SYS_ADMIN"),
        (replace(FACTS, default_w=None), "default"),
        (replace(FACTS, requested_w=None), "does not say its limit"),
        ("GPU is lost", "lost"),
    ],
)
def test_a_gpu_that_cannot_be_capped_says_why_whether_a_cap_is_wished_or_not(facts: Facts | str, word: str) -> None:
    wish = Want(uuid=UUID, cap_w=500.0, lease_s=100.0, pod_uid=POD)
    for ordered in (Ordered(), Ordered(want=wish, until_s=1100.0, heard_s=1000.0)):
        step = decide(fresh(UUID), facts, ordered, 1000.0, PLAIN)
        assert step.standing.condition is Condition.UNAVAILABLE
        assert word in step.standing.why
        assert not step.acts


def test_a_cap_on_a_gpu_that_is_split_since_goes_back() -> None:
    world = capped(500.0)
    world.gpu.mig = True
    assert world.step().acts == (Write(700.0, Restored.REFUSED), Forget())


def test_without_a_journal_there_is_no_cap_and_the_way_back_stays_open() -> None:
    world = DecidedWorld(PLAIN)
    world.disk.mode = "full"
    want(world, 500.0)
    step = later(world, 1.0)
    assert (step.standing.condition, step.standing.why) == (Condition.UNAVAILABLE, "no space left")
    assert world.gpu.limit_w == 700.0
    world.disk.mode = "ok"
    later(world, 5.0)
    assert world.gpu.limit_w == 500.0
    world.disk.mode = "full"
    world.ordered = Ordered(heard_s=world.now_s)
    world.step()
    assert world.gpu.limit_w == 700.0


def test_a_write_that_is_accepted_and_not_done_is_told_and_tried_later() -> None:
    world = DecidedWorld(PLAIN)
    world.gpu.writes = "ignored"
    want(world, 500.0)
    step = world.step()
    assert step.standing.condition is Condition.UNAVAILABLE
    assert step.standing.why == "500 W was accepted, and the limit reads 700 W"
    assert not later(world, 4.9).acts
    assert later(world, 0.2).acts


def test_a_limit_that_the_gpu_made_out_of_ours_is_ours_and_goes_back() -> None:
    world = DecidedWorld(PLAIN)
    world.gpu.writes = "askew"
    want(world, 500.0)
    assert world.gpu.limit_w == 480.0
    world.step()
    assert world.disk.entry is not None
    assert world.disk.entry.ours_w == (480.0,)
    world.gpu.writes = "ok"
    world.ordered = Ordered(heard_s=world.now_s)
    world.step()
    assert world.gpu.limit_w == 700.0


def test_a_dry_run_says_what_would_be_and_writes_nothing() -> None:
    world = DecidedWorld(replace(PLAIN, dry_run=True))
    step = want(world, 100.0)
    assert not step.acts
    assert (step.standing.condition, step.standing.cap_w, step.standing.why) == (Condition.FREE, 280.0, "dry run")
    assert step.standing.clamped
    assert world.gpu.limit_w == 700.0


def test_a_dry_run_after_another_gives_back_what_that_one_left() -> None:
    world = capped(500.0)
    world.rules = replace(PLAIN, dry_run=True)
    world.start()
    assert world.step().acts == (Write(700.0, Restored.STARTUP), Forget())
