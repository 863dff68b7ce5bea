"""Power from pages of dcgm-exporter: both generations of labels, blanks, shared and split GPUs, counters, broken pages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from agent_peer import AgentPeer
from dcgm_pages import BLANK, DRAW, ENERGY, ENFORCED, LIMIT, TEMPERATURE, labels, page
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.telemetry.asking import Manners, Target
from scheduler.adapters.telemetry.dcgm import Exporters, gpu_draws, page_series
from scheduler.adapters.telemetry.wire import Unbelievable
from scheduler.core.accounting.gpu_energy import GpuEnergy
from scheduler.domain.telemetry import GpuDraw

TRAIN = ("lab", "train-0")
UIDS = {TRAIN: "uid-train", ("lab", "serve-0"): "uid-serve"}
START_UTC = datetime(2026, 1, 14, 12, tzinfo=UTC)


@dataclass(slots=True)
class Hand:
    """Clocks that are turned by hand."""

    now_s: float = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_utc(self) -> datetime:
        return START_UTC + timedelta(seconds=self.now_s)


def draws(body: bytes, at_s: float = 0.0, before: dict[str, GpuEnergy] | None = None) -> tuple[GpuDraw, ...]:
    return gpu_draws(page_series(body, at_s), UIDS, before or {})[0]


def one(body: bytes) -> GpuDraw:
    (found,) = draws(body)
    return found


def looked(*looks: tuple[float, Sequence[tuple[str, str | float]]]) -> list[float | None]:
    """Draw of one GPU after each look at its page."""
    found, before = [], dict[str, GpuEnergy]()
    for at_s, values in looks:
        points = page_series(page(*((metric, labels(0), value) for metric, value in values)), at_s)
        (gpu,), before = gpu_draws(points, UIDS, before)
        found.append(gpu.draw_w)
    return found


@pytest.mark.parametrize("host", ["Hostname=n0", "hostname=n0"])
@pytest.mark.parametrize("uuid", ["UUID", "uuid"])
def test_a_gpu_is_its_draw_its_limit_and_its_pod_in_every_generation_of_labels(host: str, uuid: str) -> None:
    mine = {uuid if name == "UUID" else name: text for name, text in labels(0, host=host, pod="lab/train-0").items()}
    found = one(page((DRAW, mine, 512.3), (LIMIT, mine, 700), (ENFORCED, mine, 500), (TEMPERATURE, mine, 60)))
    assert found == GpuDraw(uuid="GPU-0", pod_uid="uid-train", draw_w=512.3, limit_w=500.0)


def test_a_uid_that_the_exporter_tells_is_taken_and_a_pod_that_nobody_knows_is_not_known() -> None:
    assert one(page((DRAW, labels(0, pod="lab/new-0", pod_uid="uid-new"), 100))).pod_uid == "uid-new"
    assert one(page((DRAW, labels(0, pod="lab/new-0"), 100))).pod_uid is None


def test_nobody_is_on_a_gpu_without_a_pod_and_nothing_is_known_where_pods_are_not_told() -> None:
    assert one(page((DRAW, labels(0), 70))).pod_uid == ""
    assert one(page((DRAW, labels(0, pod=None), 70))).pod_uid is None
    # Newer ones leave the labels out for a free GPU.
    held, free = draws(page((DRAW, labels(0, pod="lab/train-0"), 500), (DRAW, labels(1, pod=None), 70)))
    assert (held.pod_uid, free.pod_uid) == ("uid-train", "")


def test_a_gpu_that_pods_share_counts_once_and_belongs_to_none_of_them() -> None:
    shared = page(*((DRAW, labels(0, pod=pod, vgpu=str(at)), 410.0) for at, pod in enumerate(("lab/train-0", "lab/serve-0"))))
    assert one(shared) == GpuDraw(uuid="GPU-0", pod_uid=None, draw_w=410.0)
    unnamed = page((DRAW, labels(0, pod="lab/train-0"), 410.0), (DRAW, labels(0, pod="lab/serve-0"), 410.0))
    assert one(unnamed) == GpuDraw(uuid="GPU-0", pod_uid=None, draw_w=410.0)


def test_a_split_gpu_counts_once_and_belongs_to_no_tenant() -> None:
    parts = [labels(0, pod="lab/train-0" if at == 1 else "", GPU_I_PROFILE="3g.40gb", GPU_I_ID=str(at)) for at in (1, 2)]
    assert one(page(*((DRAW, part, 380.0) for part in parts))) == GpuDraw(uuid="GPU-0", pod_uid=None, draw_w=380.0)


@pytest.mark.parametrize("blank", [BLANK, "9223372036854775792", "9.223372036854776e+18", "NaN", "+Inf", "-1", "5001"])
def test_what_a_gpu_does_not_say_is_not_known(blank: str) -> None:
    assert one(page((DRAW, labels(0), blank), (LIMIT, labels(0), blank))) == GpuDraw(uuid="GPU-0", pod_uid="")


def test_energy_gives_the_mean_of_the_time_between_two_looks() -> None:
    # 60 s at 512.5 W on the mean are 30,750 J = 30,750,000 mJ; the draw at the second look is another one.
    assert looked((0.0, [(DRAW, 400), (ENERGY, 1e9)]), (60.0, [(DRAW, 600), (ENERGY, 1e9 + 30_750_000)])) == [400.0, 512.5]


def test_a_counter_that_fell_back_is_no_energy() -> None:
    looks = [(0.0, [(DRAW, 400), (ENERGY, 1e9)]), (60.0, [(DRAW, 600), (ENERGY, 5e5)]), (120.0, [(DRAW, 90), (ENERGY, 6.5e6)])]
    # After the reset power at that instant counts, then the rise again: 6,000,000 mJ in 60 s are 100 W.
    assert looked(*looks) == [400.0, 600.0, 100.0]


def test_a_counter_that_was_not_collected_anew_is_read_over_all_of_its_time() -> None:
    still, later = [(DRAW, 400), (ENERGY, 1e9)], [(DRAW, 90), (ENERGY, 1.036e9)]
    # 36,000,000 mJ = 36,000 J in 120 s: 300 W, not the 600 W that they would be in the last 60 s.
    assert looked((0.0, still), (60.0, still), (120.0, later)) == [400.0, 400.0, 300.0]


def test_a_counter_that_stands_still_is_frozen_and_then_the_draw_is_not_known() -> None:
    still = [(DRAW, 400), (ENERGY, 1e9)]
    assert looked((0.0, still), (180.0, still), (181.0, still), (240.0, still)) == [400.0, 400.0, None, None]
    assert looked((0.0, still), (240.0, still), (300.0, [(DRAW, 410), (ENERGY, 1.02e9)])) == [400.0, None, 410.0]


def test_without_a_counter_power_at_the_instant_counts() -> None:
    assert looked((0.0, [(DRAW, 400), (ENERGY, BLANK)]), (60.0, [(DRAW, 500), (ENERGY, BLANK)])) == [400.0, 500.0]


def test_a_counter_alone_says_nothing_at_first_and_then_the_mean() -> None:
    assert looked((0.0, [(ENERGY, 1e9)]), (50.0, [(ENERGY, 1.02e9)])) == [None, 400.0]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "neither DCGM_FI_DEV_POWER_USAGE nor DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION is in it"),
        (page((TEMPERATURE, labels(0), 60)), "neither DCGM_FI_DEV_POWER_USAGE nor"),
        (page((DRAW, labels(0), 60))[:-1], "line 3 is cut off"),
        (page((DRAW, labels(0), 60))[:-9], "line 3 is cut off"),
        (page((DRAW, labels(0), "many")), "line 3: 'DCGM_FI_DEV_POWER_USAGE{gpu"),
        (b'DCGM_FI_DEV_POWER_USAGE{gpu="0 1\n', "line 1: "),
        (b"<html>\xff", "byte 6 is no text"),
        (b"# a\nDCGM_FI_DEV_POWER_USAGE" + b"\\" * 9000 + b"\n", "line 2 is longer than 8192 characters"),
    ],
    ids=["empty", "no-power", "end", "cut", "value", "quote", "bytes", "long-line"],
)
def test_a_broken_page_is_an_error_with_its_line(body: bytes, why: str) -> None:
    with pytest.raises(Unbelievable, match="^" + why.replace("{", r"\{")):
        page_series(body, 0.0)


PIECES = st.sampled_from([DRAW, ENERGY, *'{}"\\,= #\n\x00', "UUID", "GPU-1", "1", "e9", "NaN", "é"])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_no_page_breaks_the_reader(text: str) -> None:
    body = f"{DRAW}{text}\n".encode()
    found: tuple[GpuDraw, ...] = ()
    with suppress(Unbelievable):
        found = draws(body)
    assert all(gpu.draw_w is None or gpu.draw_w >= 0.0 for gpu in found)


def turns(exporters: Exporters, number: int = 1, clock: Hand | None = None) -> None:
    async def run() -> None:
        async with exporters.client() as client:
            for _ in range(number):
                await exporters.turn(client)
                if clock is not None:
                    clock.now_s += 60.0

    asyncio.run(run())


def exporting(*targets: Target, clock: Hand, manners: Manners | None = None) -> Exporters:
    return Exporters(lambda: targets, clock, lambda: UIDS, manners)


def test_exporters_are_asked_and_one_that_is_no_use_is_named() -> None:
    clock = Hand()
    good = page((DRAW, labels(0, pod="lab/train-0"), 500), (DRAW, labels(1), 70))
    with AgentPeer({}, raw=good) as peer, AgentPeer({}, raw=b"<html>\n") as broken, AgentPeer({}, raw=good * 200) as huge:
        targets = [Target(node=node, url=one.url) for node, one in (("n0", peer), ("n1", broken), ("n2", huge))]
        exporters = exporting(*targets, clock=clock, manners=Manners(max_bytes=20_000))
        turns(exporters)
    (node,) = exporters.draws().values()
    assert (node.node, node.draw_w, node.measured_utc) == ("n0", 570.0, START_UTC + timedelta(seconds=1000.0))
    assert exporters.silent() == {
        "n1": f"not believed: neither {DRAW} nor {ENERGY} is in it",
        "n2": "not believed: longer than 20000 bytes",
    }
    clock.now_s += 181.0
    assert exporters.draws() == {}


def test_the_counters_of_a_node_are_kept_from_turn_to_turn() -> None:
    clock = Hand()
    with AgentPeer({}, raw=page((DRAW, labels(0), 400), (ENERGY, labels(0), 1e9))) as peer:
        exporters = exporting(Target(node="n0", url=peer.url), clock=clock)
        turns(exporters, clock=clock)
        peer.raw = page((DRAW, labels(0), 600), (ENERGY, labels(0), 1e9 + 30_750_000))
        turns(exporters)
    assert exporters.draws()["n0"].draw_w == 512.5


def test_a_page_of_more_gpus_than_a_node_has_is_not_believed() -> None:
    with AgentPeer({}, raw=page(*((DRAW, labels(at), 70) for at in range(65)))) as peer:
        exporters = exporting(Target(node="n0", url=peer.url), clock=Hand())
        turns(exporters)
    assert exporters.silent() == {"n0": "not believed: 65 GPUs (expected 1 to 64)"}
