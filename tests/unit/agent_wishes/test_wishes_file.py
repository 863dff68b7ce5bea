"""Wishes from a file: read when it changes, whole or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scheduler.adapters.gpu.wishes_file import FileWishes
from scheduler.core.capping.asking import asked
from scheduler.domain.capping import CapWish, Occupant

NIGHT: dict[str, Any] = {
    "planId": "night",
    "generation": 3,
    "leaseSeconds": 60,
    "gpus": [{"uuid": "GPU-1", "podUid": "u-1", "capWatts": 400}],
    "pods": [{"namespace": "default", "name": "train", "uid": "u-1", "gpus": ["GPU-1"]}],
}
EXAMPLE = Path(__file__).parents[3] / "examples" / "agent" / "wishes.json"
EPOCH_S = 1_800_000_000.0


@dataclass
class TurnedClock:
    """Both clocks of a machine, turned apart."""

    now_s: float = 500.0
    wall_s: float = EPOCH_S

    def monotonic_s(self) -> float:
        return self.now_s

    def now_utc(self) -> datetime:
        return datetime.fromtimestamp(self.wall_s, UTC)


def write(path: Path, told: object, modified_s: float) -> None:
    """As one should: aside, and renamed; modified at a time of the wall clock."""
    aside = path.with_suffix(".new")
    aside.write_text(told if isinstance(told, str) else json.dumps(told), encoding="utf-8")
    os.utime(aside, (modified_s, modified_s))
    aside.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wishes.json"


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


def test_a_file_is_a_wish_with_its_pods(path: Path, clock: TurnedClock) -> None:
    write(path, NIGHT, EPOCH_S - 10.0)
    wishes = FileWishes(path, clock)
    heard = wishes.heard()
    assert heard.wish is not None
    assert heard.wish.gpus == (CapWish(uuid="GPU-1", pod_uid="u-1", cap_w=400.0),)
    assert heard.pods == {("default", "train"): "u-1"}
    # It was modified 10 s ago.
    assert heard.alive_s == pytest.approx(490.0, abs=0.01)
    assert wishes.look().by_uuid == {"GPU-1": Occupant(namespace="default", name="train")}
    (want,) = asked(heard, wishes.look(), 500.0).wants
    assert want.lease_s == pytest.approx(50.0, abs=0.01)


def test_each_change_is_a_sign_of_life_on_our_own_clock(path: Path, clock: TurnedClock) -> None:
    write(path, NIGHT, EPOCH_S)
    wishes = FileWishes(path, clock)
    first_s = wishes.heard().alive_s
    clock.now_s, clock.wall_s = 530.0, EPOCH_S - 7200.0
    assert wishes.heard().alive_s == first_s
    os.utime(path, (1.0, 1.0))
    assert wishes.heard().alive_s == 530.0


def test_a_change_that_is_found_late_counts_from_the_last_look_before_it(path: Path, clock: TurnedClock) -> None:
    write(path, NIGHT, EPOCH_S)
    wishes = FileWishes(path, clock)
    wishes.heard()
    clock.now_s = 530.0
    wishes.heard()
    # Frozen for an hour, in which the operator wrote once more and ended.
    write(path, NIGHT, EPOCH_S + 31.0)
    clock.now_s = 4130.0
    assert wishes.heard().alive_s == 530.0


def test_a_file_of_the_future_is_no_sign_of_life_until_it_changes(path: Path, clock: TurnedClock) -> None:
    write(path, NIGHT, EPOCH_S + 60.0)
    wishes = FileWishes(path, clock)
    assert wishes.heard().alive_s is None
    write(path, NIGHT, EPOCH_S + 61.0)
    assert wishes.heard().alive_s == 500.0


def test_always_alive_while_it_is_there(path: Path, clock: TurnedClock) -> None:
    write(path, {**NIGHT, "lease": "always"}, 1.0)
    wishes = FileWishes(path, clock)
    clock.now_s = 9999.0
    assert wishes.heard().alive_s == 9999.0
    path.unlink()
    gone = wishes.heard()
    assert (gone.wish, gone.pods, gone.begun) == (None, {}, True)
    assert "No such file" in gone.trouble


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("", "not JSON"),
        ('{"planId": "night", "gener', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
        ({**NIGHT, "generation": -1}, "generation"),
        ({**NIGHT, "lease": "never"}, "lease: 'never' (expected always)"),
        ({**NIGHT, "pods": {}}, "pods: not a list"),
        ({**NIGHT, "pods": [7]}, "pods[0]: not an object"),
        ({**NIGHT, "pods": [{"namespace": "default", "name": "train"}]}, "pods[0]"),
        ({**NIGHT, "pods": [{**NIGHT["pods"][0], "gpus": [7]}]}, "pods[0]"),
        (" " * (1 << 20) + "{}", "longer than"),
    ],
)
def test_what_cannot_be_understood_is_no_wish_and_is_told(path: Path, clock: TurnedClock, told: Any, said: str) -> None:
    write(path, NIGHT, EPOCH_S)
    wishes = FileWishes(path, clock)
    assert wishes.heard().wish is not None
    write(path, told, EPOCH_S + 1.0)
    for _ in range(2):
        heard = wishes.heard()
        assert heard.wish is None
        assert said in heard.trouble
        assert wishes.look().by_uuid == {}
    write(path, NIGHT, EPOCH_S + 2.0)
    assert (wishes.heard().wish is not None, wishes.heard().trouble) == (True, "")


def test_a_gpu_that_two_pods_hold_is_shared(path: Path, clock: TurnedClock) -> None:
    write(path, {**NIGHT, "pods": [*NIGHT["pods"], {**NIGHT["pods"][0], "name": "other"}]}, EPOCH_S)
    wishes = FileWishes(path, clock)
    assert wishes.look().by_uuid["GPU-1"].shared
    assert not asked(wishes.heard(), wishes.look(), 500.0).wants


def test_the_status_is_written_when_it_changes(path: Path, clock: TurnedClock, tmp_path: Path) -> None:
    write(path, NIGHT, EPOCH_S)
    target = tmp_path / "status.json"
    wishes = FileWishes(path, clock, status_file=target)
    wishes.report({})
    assert not target.exists()
    wishes.report({"lease": "Valid"})
    assert json.loads(target.read_text("utf-8")) == {"lease": "Valid"}
    stamp = target.stat().st_ino
    wishes.report({"lease": "Valid"})
    assert target.stat().st_ino == stamp
    blind = FileWishes(path, clock, status_file=tmp_path / "none" / "status.json")
    blind.report({"lease": "Valid"})
    FileWishes(path, clock).report({"lease": "Valid"})
    assert sorted(one.name for one in tmp_path.iterdir()) == ["status.json", "wishes.json"]


def test_the_example_is_one(clock: TurnedClock) -> None:
    heard = FileWishes(EXAMPLE, clock).heard()
    assert heard.wish is not None
    assert heard.trouble == ""
    assert heard.wish.gpus
