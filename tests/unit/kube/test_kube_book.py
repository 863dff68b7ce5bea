"""A decision is put in force in the term that asked for it, or not at all."""

from __future__ import annotations

import asyncio

import pytest
from small_world import ACTING, queued, small_site, snapshot

from scheduler.adapters.kubernetes.operator.book import Book, Carrier
from scheduler.adapters.kubernetes.runtime.fence import Fenced
from scheduler.loop.deciders import InlineDecider


def test_a_decision_that_outlives_its_term_is_dropped() -> None:
    book, woken, terms = Book(), list[str](), ["first"]
    carrier = Carrier(InlineDecider(), book, woken.extend, lambda: terms == ["first"])
    decision = asyncio.run(carrier.decide(small_site(), snapshot([queued("q")]), ACTING, None))
    terms.append("second")
    with pytest.raises(Fenced):
        asyncio.run(carrier.apply(decision.actions))
    assert (book.chapter, woken) == (None, [])


def test_a_decision_of_this_term_is_put_in_force() -> None:
    book, woken = Book(), list[str]()
    carrier = Carrier(InlineDecider(), book, woken.extend, lambda: True)
    decision = asyncio.run(carrier.decide(small_site(), snapshot([queued("q")]), ACTING, None))
    asyncio.run(carrier.apply(decision.actions))
    assert book.chapter is not None
    assert book.chapter.plan_id == decision.plan.plan_id
    assert woken == ["q"]
