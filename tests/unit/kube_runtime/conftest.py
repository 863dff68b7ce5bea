"""A fake API server and a client of it for every test that asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_api import FakeApi, serving
from runtime_world import client_of

from scheduler.adapters.kubernetes.runtime.client import KubeClient


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """A fresh API server."""
    with serving() as running:
        yield running


@pytest.fixture
def client(api: FakeApi) -> KubeClient:
    """A client of it."""
    return client_of(api)
