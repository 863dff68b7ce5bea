"""The setter's real shell around the same decisions, through the same stories, killed between any two of its calls."""

from __future__ import annotations

from dataclasses import replace

from capping_stories import CAPPED, RULE_BOOKS, STORIES
from capping_world import POD, RULES, UUID, DiskFull, Event, Killed, World, drive
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.adapters.gpu.journal import JournalFailed
from scheduler.adapters.gpu.setting import NotSet
from scheduler.core.capping.held import Facts, JournalEntry, Write, same_limit
from scheduler.domain.capping import CapRules, Condition, Restored
from scheduler.entrypoints.setter.seat import Seat


class SeatWorld(World):
    """The world of the other stories with the process's own seat in the place of its shell."""

    uuid = UUID

    def start(self) -> None:
        super().start()
        self.seat = Seat(self.held, self.rules, self, self, lambda *_told, **_facts: None)
        self.calls_left: int | None = None
        self.blind_now = False

    def turn(self, kill_at: int | None = None) -> None:
        # Acts are not seen from outside: what is counted are calls to disk and GPU.
        self.calls_left = kill_at
        self.seat.order(self.ordered)
        self.seat.attend(self)
        self.held = self.seat._held
        self.judge_rest(self.seat.standing())

    def counted(self) -> None:
        """One call to disk or GPU, unless we are killed before it."""
        if self.calls_left is not None:
            if self.calls_left == 0:
                raise Killed
            self.calls_left -= 1

    # The clock.

    def monotonic_s(self) -> float:
        return self.now_s

    # The journal.

    def record(self, entry: JournalEntry) -> None:
        self.kept(entry)

    def forget(self, uuid: str) -> None:
        assert uuid == UUID
        self.kept(None)

    def gone(self, uuid: str) -> bool:
        return self.disk.entry is None and not self.disk.torn

    def kept(self, entry: JournalEntry | None) -> None:
        self.counted()
        try:
            self.disk.write(entry)
        except DiskFull as error:
            raise JournalFailed(str(error)) from error
        finally:
            self.judge_journal()

    # The GPU.

    def look(self) -> Facts | str:
        blind, self.blind_now = self.blind_now and self.gpu.blind, False
        return "does not answer" if blind else self.gpu.look()

    def set_limit(self, limit_w: float) -> None:
        self.counted()
        entry, self.blind_now = self.disk.entry, True
        back = self.disk.torn or (entry is not None and same_limit(limit_w, min(entry.original_w, self.gpu.most_w)))
        _limit_w, failure = self.written(Write(limit_w, Restored.STARTUP if back else None))
        if failure:
            raise NotSet(failure)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=STORIES, rules=st.sampled_from(RULE_BOOKS))
def test_no_story_of_the_real_shell_ends_in_a_breach(story: list[Event], rules: CapRules) -> None:
    world = drive([*CAPPED, *story], SeatWorld(rules))
    assert world.held.uuid == UUID


def test_the_real_shell_caps_and_gives_back() -> None:
    world = SeatWorld(replace(RULES, jitter_s=0.0))
    drive([*CAPPED, ("live", 1.0)], world)
    standing = world.seat.standing()
    assert (standing.condition, standing.cap_w, standing.pod_uid) == (Condition.CAPPED, 400.0, POD)
    drive([("pass", 1.3)], world)
    standing = world.seat.standing()
    assert (standing.condition, standing.requested_w, standing.original_w) == (Condition.FREE, 700.0, None)
    assert world.seat.counts.restores == {Restored.SILENT: 1}
