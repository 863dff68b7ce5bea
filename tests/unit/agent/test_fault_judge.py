"""The judge of fault runs finds what is wrong in logs made by hand, and nothing in a good one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from agent_judge import FOR_GOOD, GpuStory, Span, both, joined, judged
from gpu_machine import Kind, Write

LOST = 15
STORY = GpuStory(
    gpu=0, original_w=600.0, default_w=700.0, least_w=280.0,
    may=[Span(start_s=10.0, end_s=20.0, why="lease"), Span(start_s=30.0, end_s=40.0, why="pod")],
)  # fmt: skip


def wrote(at_s: float, limit_w: float, kind: Kind = Kind.NVML, code: int = 0) -> Write:
    return Write(at_s=at_s, pid=1, gpu=0, kind=kind, asked_w=limit_w, limit_w=limit_w, code=code)


GOOD = [wrote(11.0, 400.0), wrote(15.0, 350.0), wrote(20.5, 600.0), wrote(31.0, 400.0), wrote(41.75, 600.0)]


def test_a_good_log_has_its_endings_measured() -> None:
    found = judged(STORY, GOOD, 50.0)
    assert found.complaints == ()
    assert [(each.why, each.late_s) for each in found.endings] == [("lease", 0.5), ("pod", 1.75)]


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        ([wrote(11.0, 400.0), wrote(22.5, 600.0)], ["GPU 0: lease: 2.50 s too long in force"]),
        ([wrote(11.0, 620.0), wrote(12.0, 600.0)], ["GPU 0: 620 W is above the 600 W that were found"]),
        ([wrote(11.0, 250.0), wrote(12.0, 600.0)], ["GPU 0: 250 W is below the least of 280 W"]),
        # Not given back between the two, and again after the second.
        (GOOD[:2] + GOOD[3:4], ["lease: 10.00 s too long", "pod: 10.00 s too long", "a cap is left behind"]),
        # Given back in time and capped once more without a wish.
        ([*GOOD[:3], wrote(25.0, 400.0), wrote(25.5, 600.0)], ["GPU 0: lease: 5.50 s too long in force"]),
        # Before anybody asked.
        ([wrote(5.0, 400.0), wrote(6.0, 600.0)], ["nobody has asked yet"]),
        # A write that failed gives nothing back.
        ([wrote(11.0, 400.0), wrote(20.1, 600.0, code=LOST)], ["lease: 10.00 s", "pod: 10.00 s", "left behind"]),
    ],
)
def test_each_fault_is_found(writes: list[Write], expected: list[str]) -> None:
    complaints = judged(STORY, writes, 50.0).complaints
    assert len(complaints) == len(expected)
    assert all(words in complaint for words, complaint in zip(expected, complaints, strict=True))


def test_a_limit_that_nobody_could_write_is_due_as_soon_as_it_can_be() -> None:
    story = replace(STORY, cannot=[Span(start_s=19.0, end_s=24.0)])
    writes = [wrote(11.0, 400.0), wrote(25.0, 600.0)]
    assert [each.late_s for each in judged(story, writes, 50.0).endings] == [1.0]
    # The second ending knows no excuse: it was given back before it.
    story = replace(STORY, cannot=[Span(start_s=26.0, end_s=28.0)])
    assert [each.late_s for each in judged(story, writes, 50.0).endings] == [5.0]


def test_what_others_set_is_no_cap_of_ours() -> None:
    writes = [wrote(11.0, 400.0), wrote(12.0, 500.0, Kind.OTHER)]
    assert judged(STORY, writes, 50.0).complaints == ()
    # Set again by us: ours once more. After a load of the driver its default is what was found.
    assert judged(STORY, [*writes, wrote(12.5, 400.0)], 50.0).complaints != ()
    assert judged(STORY, [wrote(11.0, 400.0), wrote(12.0, 700.0, Kind.DRIVER)], 50.0).complaints == ()


def test_spans_meet_and_join() -> None:
    one = [Span(start_s=0.0, end_s=5.0, why="a"), Span(start_s=6.0, end_s=9.0, why="b")]
    other = [Span(start_s=1.0, end_s=7.0, why="c")]
    assert both(one, other) == [Span(start_s=1.0, end_s=5.0, why="a"), Span(start_s=6.0, end_s=7.0, why="c")]
    late = Span(start_s=4.0, end_s=FOR_GOOD, why="d")
    assert joined([late, *one]) == [Span(start_s=0.0, end_s=FOR_GOOD, why="d")]
