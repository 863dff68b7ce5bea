"""The journal of found limits, on a real disk that fills, forbids and is tampered with."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from scheduler.adapters.gpu.journal import Journal, JournalFailed, Loaded, Stamp, Torn, check_of, entry_of, file_bytes
from scheduler.core.capping.held import JournalEntry
from scheduler.domain.errors import Misconfigured

HERE = Stamp("machine-1", "boot-1")
ENTRY = JournalEntry(uuid="GPU-1", original_w=700.0, ours_w=(500.0, 605.0), pod_uid="pod", plan_id="plan")
NOBODY = 65_534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "journal"
    made.mkdir(mode=0o755)
    return made


@pytest.fixture
def journal(folder: Path) -> Journal:
    opened = Journal(folder, HERE)
    assert opened.load() == Loaded()
    return opened


def again(folder: Path, stamp: Stamp = HERE) -> Loaded:
    """What the next process reads."""
    return Journal(folder, stamp).load()


def test_what_was_recorded_is_there_for_the_next_process_and_gone_once_forgotten(journal: Journal, folder: Path) -> None:
    journal.record(replace(ENTRY, ours_w=(500.0,)))
    journal.record(ENTRY)
    journal.record(replace(ENTRY, uuid="GPU-2"))
    assert again(folder).entries == {"GPU-1": ENTRY, "GPU-2": replace(ENTRY, uuid="GPU-2")}
    assert sorted(one.name for one in folder.iterdir()) == ["GPU-1.json", "GPU-2.json"]
    journal.forget("GPU-1")
    journal.forget("GPU-1")
    assert again(folder).entries == {"GPU-2": replace(ENTRY, uuid="GPU-2")}


def test_what_somebody_has_taken_away_is_gone_and_needs_no_forgetting(journal: Journal, folder: Path) -> None:
    journal.record(ENTRY)
    assert not journal.gone("GPU-1")
    (folder / "GPU-1.json").unlink()
    assert journal.gone("GPU-1")
    journal.record(ENTRY)
    shutil.rmtree(folder)
    assert journal.gone("GPU-1")
    journal.forget("GPU-1")
    with pytest.raises(JournalFailed, match="No such file"):
        journal.record(ENTRY)


def test_a_file_says_what_the_page_about_it_says(journal: Journal, folder: Path) -> None:
    journal.record(ENTRY)
    told = json.loads((folder / "GPU-1.json").read_text())
    assert len(told.pop("check")) == 8
    assert told == {
        "version": 1,
        "machine": "machine-1",
        "boot": "boot-1",
        "uuid": "GPU-1",
        "originalWatts": 700.0,
        "oursWatts": [500.0, 605.0],
        "podUid": "pod",
        "planId": "plan",
    }
    assert (folder / "GPU-1.json").stat().st_mode & 0o777 == 0o600


def test_nothing_is_recorded_before_what_is_there_was_read(folder: Path) -> None:
    with pytest.raises(JournalFailed, match="not read yet"):
        Journal(folder, HERE).record(ENTRY)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("uuid", ["", "../GPU-1", "GPU/1", "GPU 1", "GPU-1\n", "ü", "x" * 81])
def test_a_name_that_is_no_uuid_never_reaches_the_disk(journal: Journal, folder: Path, uuid: str) -> None:
    with pytest.raises(JournalFailed, match="no GPU's name"):
        journal.record(replace(ENTRY, uuid=uuid))
    with pytest.raises(JournalFailed, match="no GPU's name"):
        journal.forget(uuid)
    assert not list(folder.iterdir())
    assert not list(folder.parent.glob("GPU*"))


def test_an_entry_of_another_boot_is_dropped_since_the_boot_gave_the_limit_back(journal: Journal, folder: Path) -> None:
    journal.record(ENTRY)
    loaded = again(folder, Stamp("machine-1", "boot-2"))
    assert not loaded.entries
    assert "earlier boot" in loaded.troubles[0]
    assert not list(folder.iterdir())


def test_an_entry_of_another_machine_is_moved_aside(journal: Journal, folder: Path) -> None:
    journal.record(ENTRY)
    loaded = again(folder, Stamp("machine-2", "boot-2"))
    assert not loaded.entries
    assert not loaded.torn
    assert "another machine" in loaded.troubles[0]
    assert [one.name for one in folder.iterdir()] == ["GPU-1.json.elsewhere"]


def test_an_image_with_another_machine_id_loses_no_entry_of_this_boot(journal: Journal, folder: Path) -> None:
    journal.record(ENTRY)
    assert again(folder, Stamp("another-image", "boot-1")).entries == {"GPU-1": ENTRY}


# Files that were not written whole, or not by us.


def test_a_file_cut_short_anywhere_is_torn() -> None:
    content = file_bytes(ENTRY, HERE)
    for length in range(len(content) - 1):
        with pytest.raises(Torn):
            entry_of(content[:length], "GPU-1")
    # The last byte is the end of the line, which says nothing.
    assert entry_of(content[:-1], "GPU-1") == (ENTRY, HERE)


def test_a_file_with_any_byte_changed_is_torn_or_says_the_same() -> None:
    content = file_bytes(ENTRY, HERE)
    torn = 0
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            try:
                assert entry_of(bytes(flipped), "GPU-1") == (ENTRY, HERE)
            except Torn:
                torn += 1
    # Only white space between two words can change and say the same.
    assert torn >= 8 * len(content) - 8 * content.count(b"\n") - 8 * content.count(b" ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"originalWatts": float("nan")},
        {"originalWatts": float("inf")},
        {"originalWatts": 0.0},
        {"originalWatts": -1.0},
        {"originalWatts": 10**400},
        {"originalWatts": True},
        {"originalWatts": "700"},
        {"oursWatts": []},
        {"oursWatts": [500.0] * 17},
        {"oursWatts": 500.0},
        {"oursWatts": [701.0]},
        {"oursWatts": [None]},
        {"uuid": "GPU-2"},
        {"version": 2},
        {"boot": 7},
        {"podUid": None},
    ],
)
def test_a_file_that_fits_its_check_and_cannot_be_is_torn(wrong: dict[str, object]) -> None:
    told = json.loads(file_bytes(ENTRY, HERE))
    del told["check"]
    told.update(wrong)
    told["check"] = check_of(told)
    with pytest.raises(Torn):
        entry_of(json.dumps(told).encode(), "GPU-1")


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"[]", b"7", b"{}", b"[" * 15_000, b"\xff\xfe", b" " * 20_000])
def test_a_torn_file_stays_until_its_gpu_is_mended_and_is_kept_for_whoever_asks(folder: Path, content: bytes) -> None:
    (folder / "GPU-1.json").write_bytes(content)
    journal = Journal(folder, HERE)
    for _start in range(2):
        loaded = journal.load()
        assert loaded.torn == {"GPU-1"}
        assert not loaded.entries
        assert loaded.troubles
    journal.forget("GPU-1")
    assert again(folder) == Loaded()
    assert (folder / "GPU-1.json.torn").read_bytes() == content


def test_a_new_entry_takes_the_place_of_a_torn_file(folder: Path) -> None:
    (folder / "GPU-1.json").write_bytes(b"{")
    journal = Journal(folder, HERE)
    journal.load()
    journal.record(ENTRY)
    assert again(folder).entries == {"GPU-1": ENTRY}


def test_what_a_killed_writer_left_half_written_is_removed_at_the_next_start(folder: Path) -> None:
    whole = Journal(folder, HERE)
    whole.load()
    whole.record(ENTRY)
    (folder / "GPU-1.json.new").write_bytes(b'{"version": 1, "mach')
    assert again(folder).entries == {"GPU-1": ENTRY}
    assert [path.name for path in folder.iterdir()] == ["GPU-1.json"]


def test_links_are_never_followed(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_bytes(file_bytes(ENTRY, HERE))
    before = elsewhere.read_bytes()
    (folder / "GPU-1.json").symlink_to(elsewhere)
    (folder / "GPU-2.json.new").symlink_to(elsewhere)
    journal = Journal(folder, HERE)
    assert journal.load().torn == {"GPU-1"}
    journal.record(replace(ENTRY, uuid="GPU-2"))
    journal.forget("GPU-1")
    assert elsewhere.read_bytes() == before
    assert not (folder / "GPU-2.json").is_symlink()
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    with pytest.raises(JournalFailed):
        Journal(linked, HERE).load()


def test_what_is_no_file_is_torn_and_holds_nobody_up(folder: Path) -> None:
    (folder / "GPU-1.json").mkdir()
    os.mkfifo(folder / "GPU-2.json")
    journal = Journal(folder, HERE)
    assert journal.load().torn == {"GPU-1", "GPU-2"}
    journal.forget("GPU-1")
    journal.forget("GPU-2")
    assert again(folder) == Loaded()


def test_names_that_are_none_of_ours_are_left_or_moved_aside(folder: Path) -> None:
    (folder / "README").write_text("mine")
    (folder / "no name.json").write_text("{}")
    assert "no GPU's name" in again(folder).troubles[0]
    assert sorted(one.name for one in folder.iterdir()) == ["README", "no name.json.torn"]


# A disk that says no.


def test_a_folder_that_is_missing_no_folder_or_open_to_others_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(JournalFailed, match="No such file"):
        again(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFailed, match="Not a directory"):
        again(tmp_path / "file")
    folder.chmod(0o777)
    with pytest.raises(JournalFailed, match="others may write"):
        again(folder)


def in_child(work: Callable[[], str]) -> str:
    """What `work` says in a process of its own, whose limits and rights it may give away."""

    def run(sender: Connection) -> None:
        try:
            sender.send(work())
        except BaseException as error:
            sender.send(f"{type(error).__name__}: {error}")

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=run, args=(sender,))
    child.start()
    said = receiver.recv() if receiver.poll(20) else "silent"
    child.join(20)
    assert isinstance(said, str)
    return said


def test_a_disk_that_takes_no_more_keeps_the_old_entry_whole(journal: Journal, folder: Path) -> None:
    """The limit on file sizes stands for a full disk: write(2) ends short, or fails, at any byte."""
    old = replace(ENTRY, ours_w=(500.0,))
    journal.record(old)

    def full() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for size in (0, 1, 100, len(file_bytes(ENTRY, HERE)) - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            try:
                journal.record(ENTRY)
            except JournalFailed:
                continue
            return f"{size} bytes were enough"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        journal.forget("GPU-none")
        return "refused"

    assert in_child(full) == "refused"
    assert again(folder).entries == {"GPU-1": old}
    assert [one.name for one in folder.iterdir()] == ["GPU-1.json"]


def test_a_disk_without_space_keeps_the_old_entry_and_lets_it_go(folder: Path) -> None:
    """A real full disk: two pages of memory, which takes the right to mount; without it the test before this one stands."""
    old = replace(ENTRY, ours_w=(500.0,))

    def full() -> str:
        libc = ctypes.CDLL(None, use_errno=True)
        new_mounts, private = 0x20000, 0x44000
        if libc.unshare(new_mounts) or libc.mount(b"none", b"/", None, private, None):
            return "not permitted"
        if libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"size=8k,mode=755"):
            return "not permitted"
        journal = Journal(folder, HERE)
        journal.load()
        journal.record(old)
        (folder / "filler").write_bytes(bytes(4096))
        try:
            journal.record(ENTRY)
        except JournalFailed as error:
            kept = again(folder).entries == {"GPU-1": old}
            journal.forget("GPU-1")
            return f"{error}; kept: {kept}, forgotten: {again(folder) == Loaded()}"
        return "took it"

    said = in_child(full)
    if said == "not permitted":
        pytest.skip("no right to mount")
    assert "No space left on device; kept: True, forgotten: True" in said


def test_a_folder_that_may_not_be_written_is_told_and_its_entries_are_read(journal: Journal, folder: Path) -> None:
    journal.record(ENTRY)
    (folder / "GPU-1.json").chmod(0o644)
    folder.chmod(0o555)
    above = folder.parents[: folder.parents.index(Path(tempfile.gettempdir()))]
    for parent in above:
        parent.chmod(parent.stat().st_mode | 0o055)

    def without_rights() -> str:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        loaded = journal.load().entries
        failed = []
        works: tuple[Callable[[], None], ...] = (lambda: journal.record(ENTRY), lambda: journal.forget("GPU-1"))
        for work in works:
            try:
                work()
            except JournalFailed as error:
                failed.append("Permission denied" in str(error))
        return f"{sorted(loaded)} {failed}"

    said = in_child(without_rights)
    folder.chmod(0o755)
    assert said == "['GPU-1'] [True, True]"
    assert again(folder).entries == {"GPU-1": ENTRY}


def test_a_killed_writer_leaves_the_old_entry_or_the_new_one(journal: Journal, folder: Path) -> None:
    """kill -9 while one entry after the other is written: whatever is found then is one of them, whole."""
    entries = {(float(watts),): replace(ENTRY, ours_w=(float(watts),)) for watts in (400, 500)}

    def write() -> None:
        while True:
            for entry in entries.values():
                journal.record(entry)

    for wait_ms in range(1, 60, 6):
        child = multiprocessing.get_context("fork").Process(target=write)
        child.start()
        child.join(wait_ms / 1e3)
        child.kill()
        child.join()
        loaded = again(folder)
        assert not loaded.torn
        assert all(entry in entries.values() for entry in loaded.entries.values())
    assert loaded.entries


# Which machine, which boot.


def test_the_stamp_of_this_machine_is_its_own(tmp_path: Path) -> None:
    assert Stamp.of_this_boot().boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    machine, boot = tmp_path / "machine-id", tmp_path / "boot_id"
    boot.write_text("b\n")
    assert Stamp.of_this_boot(machine, boot) == Stamp("", "b")
    machine.write_text("m\n")
    assert Stamp.of_this_boot(machine, boot) == Stamp("m", "b")


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_kernel_that_tells_no_boot_is_refused(tmp_path: Path, content: str | None) -> None:
    boot = tmp_path / "boot_id"
    if content is not None:
        boot.write_text(content)
    with pytest.raises(Misconfigured, match="boot id"):
        Stamp.of_this_boot(tmp_path / "machine-id", boot)
