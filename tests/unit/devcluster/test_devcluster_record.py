"""The record by which other processes find a cluster and end it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from scheduler.adapters.devcluster import record
from scheduler.adapters.devcluster.record import Identity, identity
from scheduler.domain.errors import Misconfigured


def test_a_process_is_known_by_id_and_start() -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        found = identity(process.pid)
        assert found is not None
        assert found.alive()
        reused = Identity(found.pid, found.start_ticks - 1)
        assert not reused.alive()
        reused.send(signal.SIGKILL)
        assert process.poll() is None
        found.send(signal.SIGKILL)
        process.wait(10)
        assert not found.alive()


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(Misconfigured, match="the folder is not empty"):
        record.claim(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_what_an_earlier_cluster_left_is_thrown_away(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "cluster", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    record.claim(folder)
    noted = json.loads((folder / record.RECORD).read_text("utf-8"))
    noted["supervisor"]["start_ticks"] -= 1
    (folder / record.RECORD).write_text(json.dumps(noted), encoding="utf-8")
    (folder / "etcd").mkdir()
    (folder / "kube-apiserver.log").touch()
    (folder / "link").symlink_to(elsewhere)
    record.claim(folder)
    assert [path.name for path in folder.iterdir()] == [record.RECORD]
    assert (elsewhere / "kept").exists()
    assert record.is_running(folder)
    with pytest.raises(Misconfigured, match="a cluster runs here already"):
        record.claim(folder)


def test_nothing_runs_where_nothing_was_noted(tmp_path: Path) -> None:
    assert record.read(tmp_path) == {}
    assert not record.is_running(tmp_path)
    assert record.stop(tmp_path) is False


@pytest.mark.parametrize("deaf", [False, True])
def test_a_holder_is_asked_and_then_made_to_end(tmp_path: Path, deaf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    script = dedent("""
        import pathlib, signal, subprocess, sys, time
        from scheduler.adapters.devcluster import record
        from scheduler.adapters.devcluster.processes import dying_with_us
        if sys.argv[2] == "True":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        record.claim(pathlib.Path(sys.argv[1]))
        child = subprocess.Popen(dying_with_us(["/bin/sleep", "600"]))
        record.write(pathlib.Path(sys.argv[1]), {"server": "https://127.0.0.1:1"}, {"sleeper": child.pid, "gone": 2**22 + 1})
        print("up", flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(deaf)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        noted = record.read(tmp_path)
        assert noted["server"] == "https://127.0.0.1:1"
        programs = record.programs(noted)
        assert set(programs) == {"sleeper"}
        if deaf:
            monkeypatch.setattr(record, "STOP_S", 0.5)
        assert record.stop(tmp_path) is True
        assert holder.wait(10) == (-signal.SIGKILL if deaf else -signal.SIGTERM)
    assert not programs["sleeper"].alive()
    assert not record.is_running(tmp_path)
