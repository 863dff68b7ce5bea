"""What an acceptance run's checks make of what was measured, and the report's signature."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from scheduler.core.reports.commission import (
    BEATS,
    METER,
    Look,
    MeterPair,
    Result,
    beats_check,
    clocks_check,
    meter_check,
    report_of,
    stopped_check,
)
from scheduler.core.reports.seal import broken, sealed
from scheduler.entrypoints.cli import app
from scheduler.views.commission import commission_page, report_in

KEY = b"0123456789abcdef0123456789abcdef"
NOW_UTC = datetime(2026, 1, 12, 12, tzinfo=UTC)


def looks(*counters: int | None) -> list[Look]:
    """A look each second, a beat each ten."""
    return [Look(at_s=float(i), counter=counter) for i, counter in enumerate(counters)]


def steady(beats: int) -> list[int | None]:
    return [i // 10 for i in range(10 * beats)]


def test_a_steady_counter_passes() -> None:
    check = beats_check(looks(*steady(6)), 10.0, 1.0)
    assert check.result is Result.PASSED
    assert check.measured == "5 beats in 59 s, the longest pause 10.0 s"


@pytest.mark.parametrize(
    ("counters", "why"),
    [
        ([7] * 60, "does not move"),
        ([], "does not move"),
        ([None] * 60, "does not move"),
        ([*steady(3), *([2] * 15), *range(3, 30)], "after the one before"),
        ([i // 10 * 2 for i in range(60)], "jumped by 2"),
        ([9 - i // 10 for i in range(60)], "fell"),
        ([*steady(3), None, *[3 + i // 10 for i in range(30)]], "nothing could be read"),
    ],
)
def test_a_counter_that_does_not_rise_by_one_in_time_fails(counters: list[int | None], why: str) -> None:
    check = beats_check(looks(*counters), 10.0, 1.0)
    assert check.result is Result.FAILED
    assert why in check.reason


def test_clocks_may_differ_by_seconds_and_a_beat() -> None:
    results = {
        ahead_s: clocks_check(NOW_UTC + timedelta(seconds=ahead_s), NOW_UTC, 10.0).result for ahead_s in (-16, -14, 0, 4, 6)
    }
    assert results == {
        -16: Result.FAILED, -14: Result.PASSED, 0: Result.PASSED, 4: Result.PASSED, 6: Result.FAILED,
    }  # fmt: skip


def test_a_link_that_was_stopped_must_be_noticed_in_time() -> None:
    assert stopped_check(100.0, 146.0, 45.0, 1.0, 60.0).result is Result.PASSED
    assert stopped_check(100.0, 170.0, 45.0, 1.0, 60.0).result is Result.FAILED
    assert "not stopped" in stopped_check(100.0, None, 45.0, 1.0, 60.0).reason


def pair(ours_kwh: float, **changed: Any) -> MeterPair:
    usual: dict[str, Any] = {
        "ours_before_kwh": 1000.0, "ours_after_kwh": 1000.0 + ours_kwh, "reference_before_kwh": 0.0,
        "reference_after_kwh": 500.0, "supply_c": 75.0, "return_c": 45.0,
    }  # fmt: skip
    return MeterPair(**(usual | changed))


def test_two_meters_may_differ_by_their_class() -> None:
    # Class 2 at 30 K, dTmin 3 K: 0.5 % + 0.1 % and 0.5 % + 0.3 % and 2.02 %, in all 3.42 %; and 1 % of the reference: 4.42 %.
    assert meter_check(pair(500.0 * 1.044)).result is Result.PASSED
    bad = meter_check(pair(500.0 * 1.045))
    assert bad.result is Result.FAILED
    assert "+4.50 %, allowed 4.42 %" in bad.measured
    assert meter_check(pair(500.0 * 0.955)).result is Result.FAILED


@pytest.mark.parametrize("changed", [{"reference_after_kwh": 0.0}, {"supply_c": 45.0}, {"ours_after_kwh": 900.0}])
def test_readings_that_say_nothing_fail(changed: dict[str, float]) -> None:
    assert meter_check(pair(500.0, **changed)).result is Result.FAILED


def report(**changed: Any) -> dict[str, object]:
    about = {"offtake": "town", "site": "lab", "engineer": "A </script><b>", "began": "2026-01-12T12:00:00Z", "version": "x"}
    return report_of([BEATS.done("well"), METER.not_done("no readings")], about | changed)


def test_a_report_is_accepted_only_whole() -> None:
    assert report()["accepted"] is False
    assert report()["counts"] == {"passed": 1, "failed": 0, "notDone": 1}
    assert report_of([BEATS.done("well")], {})["accepted"] is True
    assert report_of([], {})["accepted"] is False


def test_a_signature_holds_and_a_change_shows() -> None:
    signed = sealed(report(), KEY)
    assert broken(signed, KEY) == ""
    assert broken(json.loads(json.dumps(signed)), KEY) == ""
    assert "another key" in broken(signed, KEY[::-1])
    assert "no signature" in broken(report(), KEY)
    assert "was changed" in broken(signed | {"accepted": True}, KEY)
    with pytest.raises(ValueError, match="too short"):
        sealed(report(), b"short")


@settings(max_examples=60, deadline=None)
@given(place=st.integers(min_value=0), letter=st.sampled_from("0123456789abcdefx"))
def test_any_changed_letter_of_the_json_shows(place: int, letter: str) -> None:
    text = json.dumps(sealed(report(), KEY), sort_keys=True)
    place %= len(text)
    other = text[:place] + letter + text[place + 1 :]
    try:
        found = json.loads(other)
    except ValueError:
        return
    assert found == json.loads(text) or broken(found, KEY)


def test_the_page_carries_the_report_and_no_markup_of_strangers() -> None:
    signed = sealed(report(), KEY)
    page = commission_page(signed)
    text = report_in(page)
    assert text is not None
    assert json.loads(text) == signed
    assert "<b>" not in page.replace("<b>1</b>", "").replace("<b>0</b>", "").replace("<b>not accepted</b>", "")
    assert commission_page(json.loads(text)) == page
    assert "http" not in page


def test_the_command_tells_a_page_that_was_changed(tmp_path: Path) -> None:
    import scheduler

    key, page, data = tmp_path / "key", tmp_path / "a.html", tmp_path / "a.json"
    key.write_bytes(KEY)
    signed = sealed(report(version=scheduler.__version__), KEY)
    page.write_text(commission_page(signed), encoding="utf-8")
    data.write_text(json.dumps(signed), encoding="utf-8")

    def verify(path: Path) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["commission", "--verify", str(path), "--key", str(key)])
        return found.exit_code, found.output

    assert verify(page)[0] == 0
    assert verify(data)[0] == 0
    page.write_text(page.read_text(encoding="utf-8").replace("not accepted", "accepted"), encoding="utf-8")
    code, said = verify(page)
    assert code == 1
    assert "the page was changed" in said
    data.write_text(json.dumps(signed | {"accepted": True}), encoding="utf-8")
    assert verify(data)[0] == 1
    data.write_text("no report", encoding="utf-8")
    assert verify(data)[0] == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "documents"),
        ("site: a\n", "offtake"),
        ("site: a\noftake: b\n", "oftake"),
        ("- 1\n", "documents"),
        (
            "site: a\nofftake: b\nengineer: c\nprotocol: rest\naddress: http://127.0.0.1:1\nsecretFile: gone\n",
            "commission.yaml:6: secretFile: gone: no such file",
        ),
        ("site: a\nofftake: b\nengineer: c\nprotocol: fax\naddress: x\n", "protocol"),
        ("site: a\nofftake: b\nengineer: c\nprotocol: rest\naddress: ftp://x\n", "address"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "commission.yaml"
    path.write_text(text, encoding="utf-8")
    found = CliRunner().invoke(app, ["commission", "--config", str(path), "--yes"])
    assert found.exit_code == 2
    assert why in " ".join(found.output.split())
    assert "Traceback" not in found.output
