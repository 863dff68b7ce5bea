"""The suite's runner: what fails alone fails the run, what fails only in the crowd is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "run_tests.py"
PASSES = "def test_passes():\n    pass\n"
FAILS = "def test_fails():\n    assert False\n"
# Fails the first time it runs.
RACES = """
from pathlib import Path

def test_races():
    mark = Path(__file__).with_suffix(".ran")
    if not mark.exists():
        mark.touch()
        raise AssertionError("too slow")
"""
# Fails the first time too, and whenever another one of its kind was there before in the same process.
LEFT = """
    import sys
    assert not hasattr(sys, "left")
    sys.left = True
"""
MANY = "import pytest\n\n@pytest.mark.parametrize('i', range(6))\ndef test_many(i):\n    assert False\n"
# One thing that all tests of a file stand on, not there the first time.
SHARED = """
from pathlib import Path

import pytest

@pytest.fixture(scope="module")
def world():
    mark = Path(__file__).with_suffix(".ran")
    if not mark.exists():
        mark.touch()
        raise RuntimeError("not there")

@pytest.mark.parametrize("i", range(9))
def test_stands_on_it(world, i):
    pass
"""
BROKEN = "def test_broken(:\n"


@pytest.mark.parametrize(
    ("files", "code", "again", "said"),
    [
        ([PASSES], 0, False, ["1 passed"]),
        ([PASSES, RACES], 0, True, ["1 failed beside others and passed alone", "test_1.py::test_races"]),
        ([RACES, FAILS], 1, True, ["test_0.py::test_races", "test_1.py::test_fails", "1 failed", "1 passed"]),
        ([FAILS, RACES], 1, True, ["1 failed", "1 passed"]),
        ([RACES + LEFT, RACES + LEFT], 0, True, ["2 failed beside others and passed alone"]),
        ([SHARED], 0, True, ["9 failed beside others and passed alone"]),
        ([SHARED, MANY], 1, False, ["6 failed", "9 errors"]),
        ([MANY], 1, False, ["6 failed"]),
        ([BROKEN], 1, False, ["SyntaxError"]),
    ],
)
def test_only_what_passes_alone_is_forgiven(tmp_path: Path, files: list[str], code: int, again: bool, said: list[str]) -> None:
    for i, text in enumerate(files):
        (tmp_path / f"test_{i}.py").write_text(text, encoding="utf-8")
    arguments = ["-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider", "."]
    ran = subprocess.run([sys.executable, SCRIPT, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == code, ran.stdout
    assert not [one for one in said if one not in ran.stdout], ran.stdout
    assert ("once more, alone" in ran.stdout) == again
