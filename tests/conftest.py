"""Makes `tests/` importable, so that test files may share small builders (`small_world`); what many tests stand on."""

from __future__ import annotations

import ctypes
import logging
import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import postgres_server
import pytest
from gpu_machine import Machine, built
from kube_objects import standing
from xdist.scheduler import LoadScopeScheduling

from scheduler.adapters import logs
from scheduler.adapters.devcluster.build import NotBuilt, Toolbox, find
from scheduler.adapters.devcluster.client import ApiRefused
from scheduler.adapters.devcluster.cluster import DevCluster

# What shares a control plane, each set in one worker, the first that fits: an operator at its work, the rest of that folder,
# an operator that is hurt, and real nodes, of which a machine bears one at a time. They wait more than they work, so there are
# more workers than processors.
TOGETHER = (
    tuple(f"tests/controlplane/test_{of}" for of in ("operator_", "rights", "modes", "random_week")),
    ("tests/controlplane/",),
    tuple(f"tests/faults/test_{of}_" for of in ("operator", "ownership", "leadership")),
    ("tests/realnode/",),
)
# A file that makes something once for many of its tests: in as many workers as get one of them, it would be made again.
MADE_ONCE = re.compile(r'^@(?:cache$|pytest\.fixture\(scope="(?:module|class)")', re.MULTILINE)
REQUIRED = "HEAT_DISPATCH_REQUIRE_CONTROLPLANE"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand tests to workers one by one, but those that share something costly to one worker, the largest set first.

    That is a control plane (`TOGETHER`), or what a file makes once for many of its tests (`MADE_ONCE`). `--dist loadgroup` is
    meant for that, but the ids that it changes are kept elsewhere since pytest 9.2: it has no effect.
    """

    @cache
    def makes_once(file: str) -> bool:
        return MADE_ONCE.search((config.rootpath / file).read_text(encoding="utf-8")) is not None

    def set_of(nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        alone = file if makes_once(file) else nodeid
        return next((each[0] for each in TOGETHER if nodeid.startswith(each)), alone)

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = set_of
    return scheduler


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what stands in a test's clusters to the report of its failure: the cluster is gone when somebody reads it."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        known = [getattr(one, "cluster", one) for one in item.funcargs.values()]
        for cluster in {id(one): one for one in known if isinstance(one, DevCluster)}.values():
            try:
                report.sections.append(("what stands in the cluster", standing(cluster)))
            except (httpx.HTTPError, ApiRefused) as error:
                report.sections.append(("what stands in the cluster", f"its API server does not tell: {error}"))
    return report


@pytest.fixture(scope="module", autouse=True)
def _log_of_a_file() -> Iterator[None]:
    """What a file's fixtures do to the log ends with the file: commands that run in this process set it up as for a process."""
    with unchanged_log():
        yield


@pytest.fixture(autouse=True)
def _log_of_a_test() -> Iterator[None]:
    """What a test does to the log ends with the test."""
    with unchanged_log():
        yield


@contextmanager
def unchanged_log() -> Iterator[None]:
    """Leave our logger as it was found."""
    logger = logging.getLogger(logs.ROOT)
    before = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(before[0])
    logger.propagate, logger.handlers = before[1], before[2]


@pytest.fixture(scope="session")
def toolbox() -> Toolbox:
    """The programs of a control plane, from the cache that `make controlplane` fills.

    Where they are not built tests that need them are skipped, or fail when `HEAT_DISPATCH_REQUIRE_CONTROLPLANE` is set, as it
    is in CI.
    """
    try:
        return find()
    except NotBuilt as error:
        if os.environ.get(REQUIRED):
            pytest.fail(f"{error} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of pretended GPUs, compiled once; skipped without a C compiler."""
    try:
        return built(tmp_path_factory.mktemp("nvml"))
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def machine(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with two GPUs, which this process sees as well as others."""
    found = Machine.create(tmp_path, library, gpus=2)
    # The binding asks the loader for libnvidia-ml.so.1: what is loaded already under this name is taken.
    ctypes.CDLL(str(library))
    monkeypatch.setitem(os.environ, "FAKE_NVML_STATE", str(found.file))
    return found


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL server's first database; skips where there is none."""
    given = os.environ.get(postgres_server.ENVIRONMENT)
    if given:
        yield given
        return
    if postgres_server.binary("initdb") is None or postgres_server.binary("postgres") is None:
        pytest.skip(postgres_server.ABSENT)
    with postgres_server.server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_database(postgres: str) -> Iterator[str]:
    """URL of a PostgreSQL database of this process's own."""
    with postgres_server.new_database(postgres, f"ledger-{os.getpid()}") as url:
        yield url


@pytest.fixture
def postgres_url(postgres_database: str) -> str:
    """URL of a PostgreSQL database that is empty and that nobody else uses: one is emptied for test after test.

    To make one and drop it costs the server 15 times as much.
    """
    postgres_server.emptied(postgres_database)
    return postgres_database
