"""Measured power of nodes, given to the pools that they form and to the pods that hold their GPUs.

    draw of a pool = sum over its nodes of the draw of their GPUs
    wall power     = sum over its nodes of what the node measures, else base * GPUs + host_slope * draw

A pool is metered when its nodes tell of nearly all of its GPUs; the rest counts as the mean of what is told. A pod's
draw is that of its GPUs, and known only when each of them was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scheduler.core.accounting.modelled import METER, PoolPower
from scheduler.core.thermal.host import node_kw
from scheduler.domain.site import Pool
from scheduler.domain.telemetry import NodeDraw, PodDraw
from scheduler.units import kw_from_w

# Share of a pool's GPUs that may be silent: one node of twenty that is restarted does not make the others a model.
MIN_TOLD_FRACTION = 0.95


def metered_power(pool: Pool, nodes: Iterable[NodeDraw]) -> PoolPower | None:
    """Power of a pool as its nodes measure it; None when too many of its GPUs are silent.

    Args:
        pool: the pool.
        nodes: what the agents of its nodes say now.
    """
    told, draw_kw, it_kw = 0, 0.0, 0.0
    for node in nodes:
        if node.draw_w is None or not node.gpus:
            continue
        gpus, node_draw_kw = len(node.gpus), kw_from_w(node.draw_w)
        told += gpus
        draw_kw += node_draw_kw
        it_kw += node_kw(pool.power, gpus, node_draw_kw) if node.wall_w is None else kw_from_w(node.wall_w)
    if told <= 0 or told < MIN_TOLD_FRACTION * pool.gpus:
        return None
    scale = max(1.0, pool.gpus / told)
    return PoolPower(pool_id=pool.pool_id, draw_kw=draw_kw * scale, it_kw=it_kw * scale, source=METER)


def pod_draws(nodes: Iterable[NodeDraw]) -> dict[str, PodDraw]:
    """GPUs and draw by pod uid, of pods all of whose GPUs were measured."""
    found: dict[str, PodDraw] = {}
    unknown: set[str] = set()
    for node in nodes:
        for gpu in node.gpus:
            if not gpu.pod_uid:
                continue
            if gpu.draw_w is None:
                unknown.add(gpu.pod_uid)
                continue
            before = found.get(gpu.pod_uid, PodDraw(gpus=0, draw_w=0.0))
            found[gpu.pod_uid] = PodDraw(gpus=before.gpus + 1, draw_w=before.draw_w + gpu.draw_w)
    return {pod_uid: one for pod_uid, one in found.items() if pod_uid not in unknown}


def job_draw_w(pods: Mapping[str, int], draws: Mapping[str, PodDraw]) -> float | None:
    """Mean draw per GPU of a job in W; None while one of its GPUs is silent.

    Args:
        pods: GPUs that each of its running pods asked for, by uid.
        draws: as measured.
    """
    known = [draws[uid] for uid, gpus in pods.items() if uid in draws and draws[uid].gpus == gpus]
    if not known or len(known) < len(pods):
        return None
    return sum(one.draw_w for one in known) / sum(one.gpus for one in known)
