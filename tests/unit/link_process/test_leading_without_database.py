"""A database that hangs keeps nobody from beginning, or ending, to lead; what it answers too late is nobody's word."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from link_offers import HandClock, sign

from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.domain.link_life import OperatorLife
from scheduler.entrypoints.operator.plants import Plants, Speaker

WAIT_S = 30.0


@pytest.mark.parametrize("anew", [False, True])
def test_leadership_waits_for_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, anew: bool) -> None:
    store = LinkStore(str(tmp_path / "l.sqlite"))
    plants = Plants(store, Stores(), HandClock(), list, Speaker(identity="a", host="here"))
    within, go, take_over = threading.Event(), threading.Event(), LinkStore.take_over

    def hanging(self: LinkStore, life: OperatorLife) -> int:
        within.set()
        assert go.wait(WAIT_S)
        return take_over(self, life)

    monkeypatch.setattr(LinkStore, "take_over", hanging)
    said: list[OperatorLife | None] = []
    plants.begin()
    asks = threading.Thread(target=lambda: said.append(plants.sign("site")))
    asks.start()
    assert within.wait(WAIT_S)
    leads = threading.Thread(target=plants.begin if anew else plants.end)
    leads.start()
    leads.join(WAIT_S)
    assert not leads.is_alive()
    go.set()
    asks.join(WAIT_S)
    assert said == [None]
    life = plants.sign("site")
    assert (None if life is None else life.term) == (2 if anew else None)
    # Where it does not lead it says nothing; where it leads anew, nobody is heard who led before.
    assert store.take_over(sign()) == (3 if anew else 2)
    store.close()
