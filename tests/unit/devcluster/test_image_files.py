"""What the image leaves out, and that the rest is compiled without times."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
NO_TIME = 0b01  # a pyc with a hash that nobody checks: PEP 552


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("image_files", ROOT / "scripts" / "image_files.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_tests_and_other_machines_solvers_go_and_the_rest_is_compiled(script: ModuleType, tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    own = script.CBC[platform.machine()]
    kept = ["pandas/frame.py", f"pulp/solverdir/cbc/linux/{own}/cbc", "scheduler/tests/kept.py", "certifi/cacert.pem"]
    gone = [
        "pandas/tests/test_frame.py",
        "pulp/solverdir/cbc/osx/i64/cbc",
        "pulp/solverdir/cbc/linux/other/cbc",
        "kubernetes/aio/a.py",
    ]
    for name in [*kept, *gone]:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("", encoding="utf-8")
    (tmp_path / "share").mkdir()
    script.main(tmp_path)
    assert [name for name in kept if not (site / name).is_file()] == []
    assert [name for name in gone if (site / name).exists()] == []
    (compiled,) = (site / "pandas" / "__pycache__").glob("frame.*.pyc")
    assert compiled.read_bytes()[4] == NO_TIME
    assert (tmp_path / "share" / "ca.pem").samefile(site / "certifi" / "cacert.pem")


def test_unchanged_sources_are_one_image(tmp_path: Path) -> None:
    def where(**more: str) -> str:
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", **more}
        command = [str(ROOT / "scripts" / "build-image"), "--where"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert where().startswith(f"{tmp_path}/.cache/heat-dispatch/image/built/")
    assert where(SOURCE_DATE_EPOCH="1") == where(SOURCE_DATE_EPOCH="1") != where(SOURCE_DATE_EPOCH="2")


def test_what_cannot_be_built_is_said(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    for tool in ("bash", "dirname", "sha256sum", "cut", "find", "sort", "tr", "xargs", "id", "touch", "cat"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    environment["PATH"] = str(tmp_path)
    cases: tuple[tuple[tuple[str, ...], int], ...] = (((), 1), (("--optional",), 0))
    for more, code in cases:
        done = subprocess.run(
            [str(ROOT / "scripts" / "build-image"), *more], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert "there is no buildah (scripts/image-setup)" in done.stderr
