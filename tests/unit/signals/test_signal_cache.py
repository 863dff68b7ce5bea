"""What is kept on disk: the same after reading, set aside when it is not ours, and never in the way."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from feed_world import NOW, told

from scheduler.adapters.sources.cache import MAX_BYTES, SignalCache
from scheduler.core.accounting.told import LIMITS
from scheduler.core.signals.knowledge import Intake, Knowledge, taken
from scheduler.domain.observed import CARBON, OUTDOOR
from scheduler.domain.signals import Basis, Grade


def knowledge() -> dict[str, Knowledge]:
    said = [
        told([50.1, 1.0 / 3.0, -7.0], issued_utc=NOW - timedelta(hours=1)),
        told([1.5, 2.5], quantity=OUTDOOR, unit="degC", grade=Grade.FORECAST, mean_over=False),
        told([100.0], quantity=CARBON, unit="g/kWh", grade=Grade.MEASURED, basis=Basis.AVERAGE),
    ]
    return dict(taken({}, said, Intake(limits=LIMITS), NOW).known)


@pytest.fixture
def cache(tmp_path: Path) -> SignalCache:
    return SignalCache(tmp_path / "signals")


def test_what_is_read_is_what_was_written_to_the_last_bit(cache: SignalCache) -> None:
    known = knowledge()
    assert cache.load("feed", "a") == {}
    assert cache.save("feed", "a", known)
    found = cache.load("feed", "a")
    assert list(found) == list(known)
    for quantity, one in known.items():
        other = found[quantity]
        assert (other.fetched_utc, other.issued_utc, other.basis) == (one.fetched_utc, one.issued_utc, one.basis)
        for name in ("starts_s", "ends_s", "values", "issued_s", "rank", "instant"):
            a, b = getattr(one.intervals, name), getattr(other.intervals, name)
            assert np.array_equal(a, b)
            assert a.dtype == b.dtype
    assert [path.suffix for path in cache.path("feed").parent.iterdir()] == [".signals"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"0.0501", b"0.9901"))


def another_version(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"heatDispatchSignals": 1', b'"heatDispatchSignals": 7'))


def foreign(path: Path) -> None:
    path.write_text("<html>502 Bad Gateway</html>", encoding="utf-8")


def binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 10)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def deep(path: Path) -> None:
    path.write_bytes(b"[" * 100_000 + b"\n")


def signed_nonsense(path: Path) -> None:
    """A file with a right digest of a content that nobody wrote."""
    head, body, _ = path.read_bytes().split(b"\n")
    rows = json.loads(body)
    rows["price"]["ends_s"] = rows["price"]["starts_s"]
    body = json.dumps(rows).encode()
    told_ = json.loads(head) | {"digest": hashlib.sha256(body).hexdigest()}
    path.write_bytes(json.dumps(told_).encode() + b"\n" + body + b"\n")


@pytest.mark.parametrize(
    "spoil", [cut, changed, another_version, foreign, binary, empty, deep, signed_nonsense], ids=lambda one: one.__name__
)
def test_what_is_not_ours_is_set_aside_with_one_line(
    cache: SignalCache, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="heat_dispatch")
    cache.save("feed", "a", knowledge())
    path = cache.path("feed")
    spoil(path)
    spoiled = path.read_bytes()
    assert cache.load("feed", "a") == {}
    assert not path.exists()
    assert path.with_suffix(".broken").read_bytes() == spoiled
    assert [record.getMessage() for record in caplog.records] == ["kept signals are not believed"]
    assert cache.load("feed", "a") == {}
    assert len(caplog.records) == 1
    assert cache.save("feed", "a", knowledge())
    assert cache.load("feed", "a")


def test_a_feed_that_asks_for_something_else_knows_nothing_of_it(cache: SignalCache) -> None:
    cache.save("feed", "area DK1", knowledge())
    assert cache.load("feed", "area DE") == {}


def test_a_huge_file_is_not_read(cache: SignalCache) -> None:
    path = cache.path("feed")
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(MAX_BYTES * 4)
    assert cache.load("feed", "a") == {}
    assert not path.exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", "", "x" * 500, "Ünïcode ☃", "nul\0byte", "C:\\x"])
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "signals"
    cache = SignalCache(folder)
    assert cache.save(name, "a", knowledge())
    assert cache.load(name, "a")
    assert [path.parent for path in tmp_path.rglob("*.signals")] == [folder]
    assert cache.path(name) != cache.path(name + "x")


def test_a_folder_that_cannot_be_is_one_line_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="heat_dispatch")
    blocked = tmp_path / "signals"
    blocked.write_text("a file", encoding="utf-8")
    cache = SignalCache(blocked)
    assert [cache.save("feed", "a", knowledge()) for _ in range(3)] == [False] * 3
    assert [record.getMessage() for record in caplog.records] == ["keeping signals failed"]
    blocked.unlink()
    assert cache.save("feed", "a", knowledge())
    assert caplog.records[-1].getMessage() == "keeping signals works again"


def test_files_of_feeds_that_are_gone_for_a_month_go_too(tmp_path: Path) -> None:
    before = SignalCache(tmp_path)
    for name in ("gone", "young"):
        before.save(name, "a", knowledge())
    for name, days in (("gone", 31), ("young", 29)):
        path = before.path(name)
        at_s = path.stat().st_mtime - days * 86_400
        os.utime(path, (at_s, at_s))
    cache = SignalCache(tmp_path)
    cache.save("feed", "a", knowledge())
    assert {path for path in tmp_path.iterdir()} == {cache.path("feed"), cache.path("young")}
