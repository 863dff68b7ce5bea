"""Clocks, chance and clients for the runtime's tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fake_api import FakeApi
from kubernetes.client import Configuration

from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.connection import Connection, Timeouts

START_UTC = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Both clocks, moved by hand."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def monotonic_s(self) -> float:
        return self.now_s

    def now_utc(self) -> datetime:
        return START_UTC + timedelta(seconds=self.now_s)

    def sleep(self, seconds: float) -> bool:
        """Let time pass; never stopped."""
        self.now_s += seconds
        return False


def no_jitter() -> float:
    """The chance that takes nothing away."""
    return 0.0


def client_of(api: FakeApi, timeouts: Timeouts | None = None) -> KubeClient:
    return KubeClient(Connection(Configuration(host=api.url)), timeouts or Timeouts(connect_s=2.0, read_s=2.0, list_read_s=2.0))


def eventually(holds: Callable[[], bool], within_s: float = 5.0) -> bool:
    """Wait for other threads; true as soon as it holds."""
    end_s = time.perf_counter() + within_s
    while time.perf_counter() < end_s:
        if holds():
            return True
        time.sleep(0.005)
    return holds()


def write_kubeconfig(path: Path, url: str, token: str = "") -> Path:
    user = f"{{token: {token}}}" if token else "{}"
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: fake\n"
        f"clusters: [{{name: fake, cluster: {{server: '{url}'}}}}]\n"
        f"users: [{{name: fake, user: {user}}}]\n"
        "contexts: [{name: fake, context: {cluster: fake, user: fake}}]\n",
        encoding="utf-8",
    )
    return path
