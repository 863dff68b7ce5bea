"""Only a cycle that acts makes promises: in Advise and Observe nothing binds, and no gate counts as answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from small_world import ACTING, NOW, small_site, snapshot

from scheduler.domain.settings import Mode
from scheduler.domain.snapshot import Snapshot
from scheduler.loop.decide import decide

SITE = small_site(gpus=16)


def at_gate() -> Snapshot:
    """Ten minutes after the gate of 10:30 in Copenhagen."""
    return replace(snapshot(site=SITE), observed_utc=NOW - timedelta(minutes=20))


def test_a_gate_is_answered_in_dispatch() -> None:
    decision = decide(SITE, at_gate(), ACTING)
    assert len(decision.commitments) == 24
    assert sum(one.firm_kw for one in decision.commitments) > 0.0


@pytest.mark.parametrize("mode", [Mode.ADVISE, Mode.OBSERVE])
def test_nothing_binds_before(mode: Mode) -> None:
    decision = decide(SITE, at_gate(), replace(ACTING, mode=mode))
    assert decision.commitments == ()
    # The schedule is told in Advise all the same, without firm heat.
    assert [float(one.firm_kw.max()) for one in decision.offers] == ([0.0] if mode is Mode.ADVISE else [])
    assert all(one.advisory for one in decision.offers)
