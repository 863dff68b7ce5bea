"""Measured power of nodes as power of pools, pods and jobs, by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from small_world import small_site

from scheduler.core.accounting.attributed import job_draw_w, metered_power, pod_draws
from scheduler.core.accounting.modelled import METER
from scheduler.domain.telemetry import GpuDraw, NodeDraw, PodDraw

NOW = datetime(2026, 1, 14, 12, tzinfo=UTC)
POOL = replace(small_site().pools[0], gpus=40)


def node(name: str, *watts: float | None, pod_uid: str = "", wall_w: float | None = None) -> NodeDraw:
    gpus = tuple(GpuDraw(uuid=f"{name}-{number}", pod_uid=pod_uid, draw_w=one) for number, one in enumerate(watts))
    return NodeDraw(node=name, measured_utc=NOW, gpus=gpus, wall_w=wall_w)


def test_a_pool_is_the_sum_of_its_nodes_measured_or_modelled_at_the_wall() -> None:
    pool = replace(POOL, gpus=4)
    found = metered_power(pool, [node("a", 500.0, 300.0, wall_w=1500.0), node("b", 100.0, 100.0)])
    assert found is not None
    # b: base per GPU * 2 + slope * 0.2 kW.
    wall_b_kw = pool.power.kw_per_gpu_base * 2 + pool.power.host_slope * 0.2
    assert found.source == METER
    assert found.draw_kw == pytest.approx(1.0)
    assert found.it_kw == pytest.approx(1.5 + wall_b_kw)


def test_a_few_silent_gpus_count_as_the_mean_of_the_others_and_many_do_not() -> None:
    told = [node(str(number), *([250.0] * 2)) for number in range(19)]
    found = metered_power(POOL, told)
    assert found is not None
    assert found.draw_kw == pytest.approx(40 * 0.25)  # 38 of 40 told
    assert metered_power(POOL, told[:18]) is None  # 36 of 40
    assert metered_power(POOL, []) is None


def test_a_node_with_an_unmeasured_gpu_is_silent() -> None:
    assert metered_power(replace(POOL, gpus=2), [node("a", 250.0, None)]) is None
    assert metered_power(replace(POOL, gpus=2), [node("a")]) is None


def test_a_pod_draws_what_its_gpus_draw_on_all_nodes_and_is_unknown_with_one_of_them() -> None:
    nodes = [node("a", 500.0, 300.0, pod_uid="one"), node("b", 100.0, None, pod_uid="two"), node("c", 40.0)]
    assert pod_draws(nodes) == {"one": PodDraw(gpus=2, draw_w=800.0)}


def test_a_job_is_known_when_every_gpu_of_it_is() -> None:
    draws = {"p": PodDraw(gpus=2, draw_w=800.0), "q": PodDraw(gpus=2, draw_w=400.0)}
    assert job_draw_w({"p": 2, "q": 2}, draws) == 300.0
    assert job_draw_w({"p": 2, "q": 4}, draws) is None  # two of four are named
    assert job_draw_w({"p": 2, "r": 2}, draws) is None
    assert job_draw_w({}, draws) is None
