"""The live page of an operator at its work, served by a replica that waits: it shows what the leader keeps."""

from __future__ import annotations

import re

import httpx
from kube_objects import HEAT
from operated import Operated

TURN_S = 120.0


def test_a_replica_that_waits_shows_what_the_leader_does(governed: Operated) -> None:
    cluster = governed.cluster
    books = f"sqlite:///{governed.folder}/ledger-0.db"
    policy_cycle = cluster.admin.get(f"{HEAT}/dispatchpolicies/quickstart")["spec"].get("cycle")
    waiting = governed.replica("--live-port", "0", "--ledger", books)
    try:
        cluster.wait("the page", lambda: re.search(r"serving the live page.* page=(\d+)", waiting.told()), TURN_S)
        found = re.search(r"serving the live page.* page=(\d+)", waiting.told())
        assert found
        url = f"http://127.0.0.1:{found.group(1)}"

        def shown() -> str:
            return httpx.get(url, timeout=30.0).text

        cluster.wait("a plan on the page", lambda: 'class="plot"' in shown(), TURN_S)
        text = shown()
        policy = cluster.admin.get(f"{HEAT}/dispatchpolicies/quickstart")
        assert f'<strong class="chip">{policy["spec"]["mode"]}</strong>' in text
        assert httpx.get(url, headers={"Host": "evil.example"}, timeout=30.0).status_code == 421
        governed.submit("seen-on-the-page")
        cluster.wait("a held job", lambda: governed.held("seen-on-the-page"), TURN_S)
        # Decided at once, between two cycles; the page shows what a cycle leaves. A changed policy is planned for at once.
        governed.policy(cycle={"solveBudgetSeconds": 24.5})
        cluster.wait("it on the page", lambda: "seen-on-the-page" in shown(), TURN_S)
    finally:
        governed.policy(cycle=policy_cycle)
        governed.replicas.remove(waiting)
        waiting.process.terminate()
        assert waiting.process.wait(60) == 0
