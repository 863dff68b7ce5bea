"""A PostgreSQL of our own on loopback for the tests that want one, from the server's ordinary binaries.

`HEAT_DISPATCH_TEST_POSTGRES=postgresql://USER@HOST/DATABASE` names a server to use instead; its user must be allowed to
create databases.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

ENVIRONMENT = "HEAT_DISPATCH_TEST_POSTGRES"
# Nobody in particular: the server refuses to run as root.
UNPRIVILEGED = ("postgres", "nobody")
ABSENT = f"no PostgreSQL: neither initdb and postgres (Debian: apt-get install postgresql) nor {ENVIRONMENT}"


def binary(name: str) -> str | None:
    """A server program on the PATH or where Debian keeps it, the newest version first."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(kept[0]) if kept else None)


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def owner() -> str | None:
    """The user to run the server as when we are root."""
    if os.geteuid() != 0:
        return None
    known = Path("/etc/passwd").read_text(encoding="utf-8").splitlines()
    names = {line.split(":", 1)[0] for line in known}
    return next(name for name in UNPRIVILEGED if name in names)


@contextmanager
def server() -> Iterator[str]:
    """Run a server in a folder of its own; gives the URL of its first database."""
    folder = Path(tempfile.mkdtemp(prefix="heat-dispatch-postgres-"))
    user = owner()
    if user is not None:
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()
    initdb, postgres = binary("initdb"), binary("postgres")
    assert initdb is not None
    assert postgres is not None

    def begun(*command: str) -> subprocess.Popen[bytes]:
        silent = subprocess.DEVNULL
        return subprocess.Popen(command, stdout=silent, stderr=silent, user=user, cwd=folder)

    try:
        assert begun(initdb, "-D", str(data), "-U", "heat", "-A", "trust", "-N", "-E", "UTF8", "--locale=C").wait(120) == 0
        process = begun(postgres, "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F")
        try:
            wait_for(port, process)
            yield f"postgresql://heat@127.0.0.1:{port}/postgres"
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return once the server answers.

    Raises:
        RuntimeError: when it ends instead.
    """
    while True:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="heat", dbname="postgres", connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended with {process.returncode}") from None
            time.sleep(0.05)


@contextmanager
def new_database(admin_url: str, name: str) -> Iterator[str]:
    """Create an empty database on a server; gives its URL, and drops it in the end."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield urlsplit(admin_url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def emptied(url: str) -> None:
    """Leave no connection to a database but this one, and nothing in it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
