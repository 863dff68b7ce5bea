"""`heat-dispatch signals`: chains that ask a stand-in, as a user would try them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from signal_peer import Fault, Page, signal_peer
from signal_site import SECRET, fixed, page, policy, routes_of, secrets, source, written
from typer.testing import CliRunner, Result

from scheduler.entrypoints.cli import app
from scheduler.entrypoints.signal_cards import CARDS
from scheduler.units import KWH_PER_MWH

NAMES = ("entsoe", "energy_charts", "met_norway")
TOKEN = page("entsoe").CREDENTIALS["securityToken"]
HERE = ("--inside-host", "127.0.0.1")


def refused(page: Page) -> Page:
    """Whatever was asked, nobody is let in: that is final, so that nothing is tried again."""
    del page
    return 401, {"Content-Type": "text/plain"}, b"who are you?"


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["signals", *(str(argument) for argument in arguments)])


def now_utc() -> datetime:
    # The command under test lives in real time.
    return datetime.now(UTC)  # noqa: TID251 - real time, see above


def site(folder: Path, url: str) -> Path:
    """Chains of several links each."""
    demand = {"provider": "signature", "options": {"base_kw": "60", "slope_kw_per_k": "12"}}
    return written(
        folder,
        policy(
            {
                "price": [source("entsoe", "price", url), source("energy_charts", "price", url), fixed(0.1)],
                "carbon": [source("energy_charts", "carbon", url), fixed(110.0)],
                "weather": [source("met_norway", "outdoor", url)],
                "heatDemand": [demand],
            }
        ),
    )


def chain(result: Path, field: str) -> dict[str, Any]:
    found = json.loads(result.read_text("utf-8"))
    return next(one for one in found["chains"] if one["field"] == field)


def test_all_that_is_asked_answers(tmp_path: Path) -> None:
    with signal_peer(routes_of(NAMES, now_utc())) as peer:
        folder, keys, told = site(tmp_path / "site", peer.url), secrets(tmp_path / "keys", "entsoe"), tmp_path / "out.json"
        done = run("check", "-f", folder, "--secrets", keys, *HERE, "--json", told)
    assert (done.exit_code, done.stderr) == (0, "")
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "\x1b" not in done.stdout
    assert TOKEN not in done.stdout + told.read_text("utf-8")
    price = chain(told, "price")
    assert [link["state"] for link in price["links"]] == ["used", "ready", "ready"]
    assert price["plan"][0]["source"] == "entsoe"
    assert price["plan"][0]["grade"] == "published"
    # The hour around now is the mean of the four quarter hours that the stand-in tells, in EUR/kWh.
    at = datetime.fromisoformat(price["lately"]["startUtc"])
    quarters = [page("entsoe").value_at("price", datetime.fromtimestamp(at.timestamp() + 900 * i, UTC)) for i in range(4)]
    assert price["lately"]["hours"][0] == pytest.approx(sum(quarters) / 4.0 / KWH_PER_MWH)
    assert chain(told, "carbon")["links"][0]["name"] == "energy_charts-carbon"
    assert chain(told, "heatDemand")["plan"][0]["source"] == "signature"


def test_the_next_source_stands_in_and_the_reason_is_told(tmp_path: Path) -> None:
    with signal_peer(routes_of(NAMES, now_utc())) as peer:
        done = run("check", "-f", site(tmp_path / "site", peer.url), *HERE, "--json", tmp_path / "out.json")
    assert done.exit_code == 0
    price = chain(tmp_path / "out.json", "price")
    assert price["depth"] == 1
    assert price["links"][0]["why"] == [f"no credentials: `--secrets DIR` with a folder {SECRET!r}"]
    assert "plan: energy_charts-price, published" in done.stdout


def test_nothing_usable_is_a_failure(tmp_path: Path) -> None:
    with signal_peer(routes_of(("energy_charts",), now_utc()), Fault(name="401", bend=refused)) as peer:
        folder = written(tmp_path / "site", policy({"price": [source("energy_charts", "price", peer.url)]}))
        done = run("check", "-f", folder, *HERE)
    assert done.exit_code == 1
    assert "HTTP 401" in done.stdout
    assert "plan: nothing usable now" in done.stdout


def test_a_host_that_nobody_allowed_is_not_asked(tmp_path: Path) -> None:
    with signal_peer(routes_of(("energy_charts",), now_utc())) as peer:
        folder = written(tmp_path / "site", policy({"price": [source("energy_charts", "price", peer.url), fixed(0.1)]}))
        done = run("check", "-f", folder)
        assert peer.seen == []
    assert done.exit_code == 0
    assert "not among the allowed hosts" in " ".join(done.stdout.split())


def test_hosts_are_named_in_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAT_DISPATCH_INSIDE_HOSTS", "prices.default.svc 127.0.0.1")
    monkeypatch.setenv("HEAT_DISPATCH_ALLOWED_HOSTS", "example.org")
    with signal_peer(routes_of(("energy_charts",), now_utc())) as peer:
        chain_of = {"price": [source("energy_charts", "price", peer.url)], "carbon": [fixed(100.0)]}
        done = run("check", "-f", written(tmp_path / "site", policy(chain_of)))
        assert len(peer.seen) == 1
    assert done.exit_code == 0


def test_a_restart_begins_with_what_was_kept(tmp_path: Path) -> None:
    with signal_peer(routes_of(("energy_charts",), now_utc())) as peer:
        folder = written(tmp_path / "site", policy({"price": [source("energy_charts", "price", peer.url)]}))
        first = run("check", "-f", folder, *HERE, "--cache", tmp_path / "cache", "--json", tmp_path / "out.json")
        asked = len(peer.seen)
        again = run("check", "-f", folder, *HERE, "--cache", tmp_path / "cache", "--json", tmp_path / "again.json")
        assert (first.exit_code, again.exit_code, len(peer.seen)) == (0, 0, asked)
    assert (
        chain(tmp_path / "again.json", "price")["links"][0]["heardUtc"]
        == chain(tmp_path / "out.json", "price")["links"][0]["heardUtc"]
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("check", "-f", "nowhere"), "no such folder"),
        (("check", "-f", ".", "--secrets", "nowhere"), "--secrets: nowhere: no such folder"),
        (("check", "-f", ".", "--signal-files", "nowhere"), "--signal-files: nowhere: no such folder"),
        (("check", "-f", ".", "--series", "nowhere.csv"), "--series: nowhere.csv: no such file"),
        (("providers", "entso"), "there is no provider 'entso', did you mean 'entsoe'?"),
    ],
)
def test_wrong_input(arguments: tuple[str, ...], told: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_site_without_sources_and_one_with_wrong_ones(tmp_path: Path) -> None:
    bare = run("check", "-f", written(tmp_path / "bare", policy({})))
    assert (bare.exit_code, "no policy states a source" in bare.stderr) == (2, True)
    wrong = run("check", "-f", written(tmp_path / "wrong", policy({"price": [{"provider": "awatar"}]})))
    assert wrong.exit_code == 2
    assert "did you mean 'awattar'?" in wrong.stderr


def test_providers_one_a_line_and_one_in_full() -> None:
    table = run("providers")
    lines = table.stdout.splitlines()
    assert table.exit_code == 0
    assert len(lines) == 1 + len(CARDS)
    assert all(len(line) <= 80 for line in lines)
    one = run("providers", "entsoe", "--json", "-")
    assert json.loads(one.stdout)[0]["needs"] == ["securityToken"]
    assert "secret's keys securityToken" in one.stderr
