"""A database that hangs, or whose network swallows everything, becomes one that is away; nobody waits for it for ever."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from link_offers import sign
from sqlalchemy import text
from stopping_proxy import StoppingProxy, stopping_proxy

from scheduler.adapters.ledger import postgres
from scheduler.adapters.ledger.postgres import Patience
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.domain.errors import Retryable

# The server's own time-outs are long here: what ends the wait is ours.
IMPATIENT = Patience(connect_s=8, lock_s=1, statement_s=300, answer_s=5.0)


@pytest.fixture
def proxied(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[StoppingProxy, LinkStore]]:
    monkeypatch.setattr(postgres, "WORKING", IMPATIENT)
    with stopping_proxy(postgres_url) as (proxy, url):
        store = LinkStore(url)
        yield proxy, store
        store.close()


def test_a_server_that_is_silent_is_given_up_and_taken_up_again(proxied: tuple[StoppingProxy, LinkStore]) -> None:
    proxy, store = proxied
    assert store.take_over(sign()) == 1
    proxy.stop()
    with pytest.raises(Retryable):
        store.standing("site")
    with pytest.raises(Retryable):  # and whoever connects anew is not kept waiting either
        store.live(sign())
    proxy.go()
    store.live(sign())
    life = store.standing("site").life
    assert life is not None
    assert life.term == 1


def test_a_server_that_stops_in_the_middle_of_a_transaction_is_given_up(proxied: tuple[StoppingProxy, LinkStore]) -> None:
    proxy, store = proxied

    def stopped_inside() -> None:
        with store._writing() as connection:
            proxy.stop()
            connection.execute(text("SELECT 1"))

    with pytest.raises(Retryable, match="silent for 5 s"):
        stopped_inside()


def test_a_lock_that_somebody_keeps_is_not_waited_for_without_end(
    proxied: tuple[StoppingProxy, LinkStore], postgres_url: str
) -> None:
    _, store = proxied
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE link_life IN EXCLUSIVE MODE")
        with pytest.raises(Retryable, match="lock timeout"):
            store.take_over(sign())
    assert store.take_over(sign()) == 1


def test_the_servers_time_outs_are_ours_and_the_url_may_say_others(postgres_url: str) -> None:
    def told(url: str) -> list[str]:
        store = LinkStore(url)
        try:
            with store._reading() as connection:
                names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
                return [str(connection.scalar(text(f"SHOW {name}"))) for name in names]
        finally:
            store.close()

    assert told(postgres_url) == ["10s", "20s", "5min"]
    assert told(f"{postgres_url}?options=-c%20statement_timeout%3D7s") == ["10s", "7s", "5min"]


def test_a_question_that_takes_too_long_is_worth_another_try(postgres_url: str) -> None:
    store = LinkStore(f"{postgres_url}?options=-c%20statement_timeout%3D100")
    try:
        with pytest.raises(Retryable, match="statement timeout"), store._reading() as connection:
            connection.execute(text("SELECT pg_sleep(60)"))
    finally:
        store.close()


def test_a_connection_in_use_when_all_is_closed_ends_with_its_transaction(postgres_url: str) -> None:
    store = LinkStore(postgres_url)
    with store._reading() as connection:
        inner = connection.connection.driver_connection
        store.close()
        assert connection.scalar(text("SELECT 1")) == 1
    assert isinstance(inner, psycopg.Connection)
    assert inner.closed
