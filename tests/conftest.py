"""Makes `tests/` importable, so that test files may share small builders (`small_world`); what many tests stand on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import postgres_server
import pytest
from xdist.scheduler import LoadScopeScheduling

from scheduler.adapters.devcluster.build import NotBuilt, Toolbox, find

_NUMBERS = count()
# What shares a control plane, each set in one worker: a folder, the tests of faults that begin so, and real nodes, of which a
# machine bears one at a time. They wait more than they work, so there are more workers than processors.
TOGETHER = (
    ("tests/controlplane/",),
    tuple(f"tests/faults/test_{of}_" for of in ("operator", "ownership", "leadership")),
    ("tests/realnode/",),
)
REQUIRED = "HEAT_DISPATCH_REQUIRE_CONTROLPLANE"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand tests to workers one by one, but those that share a control plane to one worker, the largest set first.

    `--dist loadgroup` is meant for that, but the ids that it changes are kept elsewhere since pytest 9.2: it has no effect.
    """
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda nodeid: next((each[0] for each in TOGETHER if nodeid.startswith(each)), nodeid)
    return scheduler


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


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """URL of an empty PostgreSQL database of this test's own."""
    with postgres_server.new_database(postgres, f"ledger-{os.getpid()}-{next(_NUMBERS)}") as url:
        yield url
