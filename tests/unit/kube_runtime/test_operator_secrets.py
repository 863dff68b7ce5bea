"""Secrets of the operator's namespace: read anew after some seconds, and what is not there is said without a word of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pytest
from fake_api import FakeApi, Refusal

from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.sources.web.client import Unanswered
from scheduler.entrypoints.operator.secrets import FRESH_S, Secrets

PATH = "/api/v1/namespaces/home/secrets/keys"


@dataclass
class Clock:
    """Seconds by hand."""

    now_s: float = 100.0

    def monotonic_s(self) -> float:
        return self.now_s


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_changed_secret_is_read_anew_after_some_seconds(api: FakeApi, client: KubeClient) -> None:
    clock = Clock()
    secrets = Secrets(client, "home", clock)
    api.put(PATH, {"data": {"token": encoded("one"), "broken": "%%%", "image": base64.b64encode(b"\xff").decode()}})
    assert secrets("keys") == {"token": "one"}
    api.put(PATH, {"data": {"token": encoded("two")}})
    assert secrets("keys") == {"token": "one"}
    clock.now_s += FRESH_S
    assert secrets("keys") == {"token": "two"}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, "there is no Secret 'keys' in namespace home"),
        (403, "the operator may not read the Secret 'keys' in namespace home"),
        (500, "the Secret 'keys' cannot be read: the API server does not answer"),
    ],
)
def test_why_there_are_no_credentials(api: FakeApi, client: KubeClient, status: int, told: str) -> None:
    api.refusals.append(Refusal(status=status, matches=lambda request: request.path == PATH, left=9))
    with pytest.raises(Unanswered) as caught:
        Secrets(client, "home", Clock())("keys")
    assert caught.value.reason == told


def test_what_was_read_goes_on_while_the_api_server_is_away_but_not_when_it_is_gone(api: FakeApi, client: KubeClient) -> None:
    clock = Clock()
    secrets = Secrets(client, "home", clock)
    api.put(PATH, {"data": {"token": encoded("one")}})
    secrets("keys")
    for status, goes_on in ((500, True), (404, False)):
        clock.now_s += FRESH_S
        api.refusals[:] = [Refusal(status=status, matches=lambda request: request.path == PATH)]
        if goes_on:
            assert secrets("keys") == {"token": "one"}
        else:
            with pytest.raises(Unanswered, match="there is no Secret"):
                secrets("keys")


def test_a_secret_without_data_has_no_credentials(api: FakeApi, client: KubeClient) -> None:
    api.put(PATH, {})
    assert Secrets(client, "home", Clock())("keys") == {}
