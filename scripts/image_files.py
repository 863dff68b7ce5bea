"""What the image need not hold goes, and what it does is compiled: runs in the container build, on the image's own Python.

    python image_files.py /opt/heat-dispatch

The root file system of a pod is read-only, so what is not compiled here is compiled anew at each start. What is compiled says
nothing of times, so that the same sources make the same image.
"""

from __future__ import annotations

import compileall
import os
import platform
import py_compile
import shutil
import sys
from pathlib import Path

# By packages; nothing of ours loads them. The client has its asyncio twin, which weighs as much; plotly a part for notebooks.
UNUSED = ("kubernetes/aio", "plotly/labextension", "pulp/solverdir/cbc/osx", "pulp/solverdir/cbc/win")
TESTS = ("test", "tests")
# Of packages that keep what they need elsewhere in a folder of this name.
TESTED = ("aiosqlite", "numpy", "pandas", "psycopg", "pulp", "sqlalchemy", "alembic")
CBC = {"x86_64": "i64", "aarch64": "arm64"}


def prune(site: Path) -> None:
    """Take away tests of libraries, solvers for other machines, and what nobody loads."""
    for name in UNUSED:
        shutil.rmtree(site / name, ignore_errors=True)
    for solver in (site / "pulp" / "solverdir" / "cbc" / "linux").glob("*"):
        if solver.name != CBC.get(platform.machine()):
            shutil.rmtree(solver)
    for package in TESTED:
        for folder in [*(site / package).rglob("*")]:
            if folder.name in TESTS and folder.is_dir():
                shutil.rmtree(folder)


def compiled(folder: Path) -> None:
    """Compile everything, each file by itself and in one process, with hashes that nobody checks."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, quiet=2, force=True, invalidation_mode=mode):
        # Libraries bring templates and samples for other versions of Python; what we load is tried out in the tests.
        print("some files are not for this Python", file=sys.stderr)


def trust(root: Path, site: Path) -> None:
    """A fixed place for the authorities of the web, whatever the Python, where the libraries are."""
    link = root / "share" / "ca.pem"
    if (site / "certifi").exists():
        link.symlink_to(os.path.relpath(site / "certifi" / "cacert.pem", link.parent))


def main(root: Path) -> None:
    """All of it."""
    (site,) = (root / "lib").glob("python3.*/site-packages")
    shutil.rmtree(root / "share" / "jupyter", ignore_errors=True)
    prune(site)
    trust(root, site)
    compiled(site)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
