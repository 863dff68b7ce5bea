from __future__ import annotations

import pytest
from kube_world import job

from scheduler.adapters.kubernetes.quantities import GPU, gang_of_job, read_quantity, requests_of, shares_gpus


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("8", 8.0),
        (8, 8.0),
        ("500m", 0.5),
        ("1.5Gi", 1.5 * 2**30),
        ("2e3", 2000.0),
        ("100M", 1e8),
        (".5", 0.5),
        ("1E", 1e18),
        ("eight", None),
        ("", None),
        (None, None),
        (True, None),
        ("1GiB", None),
    ],
)
def test_a_quantity(text: object, amount: float | None) -> None:
    found = read_quantity(text)
    assert found == (None if amount is None else pytest.approx(amount))


def container(gpus: int, **more: object) -> dict[str, object]:
    return {"resources": {"limits": {GPU: gpus}}, **more}


def test_containers_add_up_and_init_containers_count_by_their_peak() -> None:
    # 2 + 1 containers and 1 side car = 4; the last init container runs beside the side car: 1 + 2 = 3
    spec = {
        "containers": [container(2), container(1)],
        "initContainers": [container(1, restartPolicy="Always"), container(2)],
    }
    assert requests_of(spec)[GPU] == 4.0
    # the init container alone asks for more
    assert requests_of({"containers": [container(1)], "initContainers": [container(8)]})[GPU] == 8.0


def test_a_request_wins_over_a_limit_and_overhead_comes_on_top() -> None:
    spec = {
        "containers": [{"resources": {"limits": {"cpu": "4"}, "requests": {"cpu": "1"}}}],
        "overhead": {"cpu": "250m"},
    }
    assert requests_of(spec)["cpu"] == 1.25


def test_a_gang_is_what_runs_at_once() -> None:
    assert gang_of_job(job(pods=4)).gpus == 32
    waves = job(pods=4)
    waves["spec"]["completions"] = 10
    waves["status"] = {"succeeded": 8}
    # 2 of 10 are left, so 2 of 4 pods run
    assert gang_of_job(waves).gpus == 16
    del waves["spec"]["completions"]
    assert gang_of_job(waves).gpus == 32


def test_slices_and_claims_share_gpus() -> None:
    assert shares_gpus({"containers": [{"resources": {"limits": {"nvidia.com/mig-1g.10gb": 1}}}]})
    assert shares_gpus({"containers": [], "resourceClaims": [{"name": "gpu"}]})
    assert not shares_gpus({"containers": [container(1)]})
