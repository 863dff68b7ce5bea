"""The size rules of the house, and what must never be committed."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "scheduler").rglob("*.py"))
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
SIZE_REASON = "# size:"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_and_files_stay_small(path: Path) -> None:
    """A longer file needs a line `# size: why` in its first ten; a longer function is never right."""
    text = path.read_text(encoding="utf-8")
    long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long
    lines = text.splitlines()
    assert len(lines) <= MAX_FILE_LINES or any(line.startswith(SIZE_REASON) for line in lines[:10])


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout: nothing is tracked")
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_nothing_tracked_names_a_registry_a_machine_path_or_a_lock_with_addresses() -> None:
    pattern = re.compile(
        r"files\.python" + r"hosted\.org|(index-url|find-links)[=\s]+\S*https?://|(^|[\s\"'(])/(wo" + r"rk|far" + r"m)/"
    )
    texts = {".py", ".md", ".txt", ".toml", ".yaml", ".yml", ".json", ".in", ".sh", ""}
    locks = {"uv.lock", "poetry.lock", "package-lock.json"}
    bad = [
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if path.name in locks or (path.suffix in texts and pattern.search(path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert not bad


def test_no_large_file_is_tracked() -> None:
    limit_bytes = 1_000_000
    assert not [str(path) for path in tracked_files() if path.stat().st_size > limit_bytes]
