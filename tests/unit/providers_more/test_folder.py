"""Files as answers: those of one folder alone, whatever a policy calls them."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.folder import MOST_BYTES, Folder
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.adapters.sources.web.client import WebClient
from scheduler.adapters.sources.web.trouble import Unanswered
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import HEAT_DEMAND, PRICE
from scheduler.entrypoints.signal_web import fetching

NOW = datetime(2026, 1, 14, 10, 7, tzinfo=UTC)
TABLE = b"time,value\n2026-01-14T10:00Z,55\n"
OPTIONS = {"file": "prices.csv", "valueColumn": "value", "unit": "EUR/MWh", "minutes": "60"}


def fetched(root: Path, ask: Ask) -> Answer:
    return asyncio.run(Folder(root, lambda: NOW).fetch(ask))


def test_a_table_in_the_folder_is_read_as_one_in_the_web(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_bytes(TABLE)
    changed_utc = datetime(2026, 1, 13, tzinfo=UTC)
    os.utime(tmp_path / "prices.csv", (changed_utc.timestamp(),) * 2)
    provider = PROVIDERS["csv_feed"].make(PRICE, OPTIONS)
    (ask,) = provider.asks(NOW)
    answer = fetched(tmp_path, ask)
    assert (answer.issued_utc, answer.fetched_utc, answer.media_type) == (changed_utc, NOW, "text/csv")
    (told,) = provider.read([answer], NOW)
    assert told.values.tolist() == [55.0]


def test_a_file_that_kubernetes_mounts_is_a_link_within_its_folder(tmp_path: Path) -> None:
    (tmp_path / "..2026_01_14").mkdir()
    (tmp_path / "..2026_01_14" / "prices.csv").write_bytes(TABLE)
    (tmp_path / "..data").symlink_to("..2026_01_14")
    (tmp_path / "prices.csv").symlink_to("..data/prices.csv")
    assert fetched(tmp_path, Ask(url="file:prices.csv")).body == TABLE


def test_nothing_outside_is_read(tmp_path: Path) -> None:
    root = tmp_path / "tables"
    root.mkdir()
    (tmp_path / "secret.csv").write_bytes(TABLE)
    (root / "out.csv").symlink_to("../secret.csv")
    (root / "round.csv").symlink_to("round.csv")
    (root / "folder.csv").mkdir()
    (root / ".hidden").write_bytes(TABLE)
    os.mkfifo(root / "pipe.csv")
    for name in (
        "../secret.csv",
        str(tmp_path / "secret.csv"),
        "out.csv",
        "round.csv",
        "folder.csv",
        ".hidden",
        "pipe.csv",
        "none.csv",
        "",
    ):
        with pytest.raises(Unanswered):
            fetched(root, Ask(url=f"file:{name}"))


def test_a_file_that_is_written_while_it_is_read_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, looked = tmp_path / "prices.csv", os.fstat
    place.write_bytes(TABLE)

    def written_meanwhile(descriptor: int) -> os.stat_result:
        found = looked(descriptor)
        place.write_bytes(place.read_bytes() + b"2026-01-14T11:00Z,56\n")
        return found

    monkeypatch.setattr(os, "fstat", written_meanwhile)
    with pytest.raises(Unanswered, match="being written"):
        fetched(tmp_path, Ask(url="file:prices.csv"))
    monkeypatch.undo()
    assert fetched(tmp_path, Ask(url="file:prices.csv")).body.startswith(TABLE)


def test_what_is_too_long_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_bytes(b"x" * 200)
    with pytest.raises(Unanswered, match="longer than 100 bytes"):
        fetched(tmp_path, Ask(url="file:long.csv", max_bytes=100))
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(Unanswered, match=f"longer than {MOST_BYTES} bytes"):
        fetched(tmp_path, Ask(url="file:huge.csv"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({**OPTIONS, "url": "https://feed.example"}, "both"),
        ({**OPTIONS, "file": ""}, "neither"),
        ({**OPTIONS, "file": "../prices.csv"}, "plain name"),
        ({**OPTIONS, "file": "/etc/passwd"}, "plain name"),
        ({**OPTIONS, "file": "", "url": "file:prices.csv"}, "https://HOST/PATH"),
    ],
)
def test_a_policy_names_a_file_or_an_address_and_no_path(options: dict[str, str], words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        PROVIDERS["csv_feed"].make(PRICE, options)


def test_where_nobody_says_where_files_are_there_are_none(tmp_path: Path) -> None:
    def no_client() -> WebClient:
        raise AssertionError("a file is not asked for in the web")

    (tmp_path / "demand.json").write_bytes(b"[]")
    ask = Ask(url="file:demand.json")
    provider = PROVIDERS["json_feed"].make(HEAT_DEMAND, {"file": "demand.json", "time": "t", "value": "v", "unit": "kW"})
    assert [one.url for one in provider.asks(NOW)] == ["file:demand.json"]

    async def body(files: Folder | None) -> bytes:
        return (await fetching(no_client, lambda _: {}, files)("")(ask)).body

    with pytest.raises(Unanswered, match="--signal-files"):
        asyncio.run(body(None))
    assert asyncio.run(body(Folder(tmp_path, lambda: NOW))) == b"[]"
