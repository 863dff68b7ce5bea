"""One operator behind a proxy, on a control plane of its own, for all tests that hurt its API server or the way there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hurt_operator import Hurt, hurt_operator

from scheduler.adapters.devcluster.build import Toolbox


@pytest.fixture(scope="session")
def one_hurt(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hurt]:
    """A cluster of three nodes with one operator that dispatches, and a proxy between."""
    with hurt_operator(toolbox, tmp_path_factory.mktemp("hurt")) as found:
        yield found


@pytest.fixture
def hurt(one_hurt: Hurt) -> Iterator[Hurt]:
    """The same, leading and well before and after each test."""
    one_hurt.recovered()
    yield one_hurt
    one_hurt.recovered()
