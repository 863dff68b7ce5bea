"""The live page over HTTP: who may see it, what every answer says, and questions that are none."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_world import Served, a_state, booked, served

from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.web.gate import HEADERS, host_of
from scheduler.entrypoints.web.options import LiveOptions
from scheduler.entrypoints.web.server import LiveServer

PATHS = ("/", "/fragment", "/ledger.csv", "/ledger.json", "/live.css", "/live.js", "/live.svg")
TOKEN = "a-token-of-forty-letters-0123456789abcdef"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), a_state("hall"), a_state("other"), entries=booked()) as found:
        yield found


@pytest.fixture(scope="module")
def client(page: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.url, timeout=30.0) as found:
        yield found


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/?policy=nobody", "/?policy=%00", "/../etc/passwd"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_every_answer_carries_the_headers_that_keep_a_browser_safe(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    for name, value in HEADERS:
        assert answer.headers[name] == value
    assert answer.status_code < 500
    if method not in ("GET", "HEAD"):
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"
    if method == "HEAD":
        assert answer.content == b""


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost:x", "[::1", "", "a b"]
)
def test_a_name_that_is_led_here_gets_nothing(client: httpx.Client, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code in (400, 421)
    assert "All is well" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8090", "127.0.0.1", "[::1]:8090"])
def test_the_names_of_this_machine_are_answered(client: httpx.Client, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_a_host_header_is_read_as_browsers_write_it() -> None:
    assert host_of(b"Heat.Example:443") == "heat.example"
    assert host_of(b"[::1]") == "::1"
    assert host_of(b"[::1]x") is None
    assert host_of(b":80") is None


def test_each_policy_has_its_page_and_nobody_else(client: httpx.Client) -> None:
    assert 'aria-current="page">hall' in client.get("/").text
    assert 'aria-current="page">other' in client.get("/", params={"policy": "other"}).text
    assert client.get("/", params={"policy": "nobody"}).status_code == 404


HOSTILE = st.one_of(
    st.text(max_size=60), st.sampled_from(["%00", "../..", "hall'--", "<script>", "A" * 600, "2026-13", "0000-01"])
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), name=st.sampled_from(["policy", "month", "x"]), value=HOSTILE)
def test_a_hostile_question_is_answered_cleanly(client: httpx.Client, path: str, name: str, value: str) -> None:
    answer = client.get(path, params={name: value})
    assert answer.status_code in (200, 304, 400, 404, 414)
    if answer.status_code >= 400:
        assert answer.headers["content-type"].startswith("text/plain")
        assert value not in answer.text or len(value) < 5


def test_a_question_without_end_is_not_read(client: httpx.Client) -> None:
    assert client.get("/", params={"policy": "a" * 2000}).status_code == 414


def test_what_is_known_is_not_sent_again_until_it_changes(page: Served, client: httpx.Client) -> None:
    first = client.get("/fragment")
    tag = first.headers["etag"]
    assert client.get("/fragment", headers={"If-None-Match": tag}).status_code == 304
    state = a_state("hall")
    page.show(replace(state, degraded_reason="the solver was slow", status="lastGood"))
    changed = client.get("/fragment", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert "Last good plan" in changed.text
    page.show(state)


def test_pages_are_sent_compressed_to_who_reads_that(client: httpx.Client) -> None:
    packed = client.get("/", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text


def test_the_ledger_of_a_month_can_be_taken_home(client: httpx.Client) -> None:
    answer = client.get("/ledger.csv", params={"policy": "hall", "month": "2026-01"})
    assert 'filename="ledger-2026-01.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 40
    assert {row["plug_id"] for row in rows} == {"offtake:town"}
    told = client.get("/ledger.json").json()
    assert told["month"] == "2026-01"
    assert sum(one["heat_sold_kwh"] for one in told["entries"]) == pytest.approx(200.0)
    assert client.get("/ledger.json", params={"month": "2025-12"}).json()["entries"] == []


def test_what_is_owed_is_what_a_settlement_says(client: httpx.Client) -> None:
    # 40 quarter hours of 5 kWh at 0.04: 8.00; promised 10 kW for ten hours and kept: 100 kWh at 0.004 are 0.40.
    text = client.get("/fragment").text
    assert "8.40 EUR" in text
    assert "0.10" in text
    assert "0.20" in text


def test_a_database_that_cannot_be_read_is_told_on_the_page(page: Served, client: httpx.Client) -> None:
    with page.store._transaction() as connection:
        connection.exec_driver_sql("UPDATE history_memo SET content = 'not a state' WHERE name = 'live:hall'")
    page.books.desk.refresh()
    answer = client.get("/")
    assert answer.status_code == 200
    assert "The books cannot be read now" in answer.text
    assert "All is well" not in answer.text
    page.show(a_state("hall"))
    assert "All is well" in client.get("/").text


def test_the_age_of_a_plan_is_seen_to_grow(page: Served, client: httpx.Client) -> None:
    assert "All is well" in client.get("/").text
    was = replace(page.clock)
    page.clock.pass_by(hours=2.0)
    assert "The next plan is late" in client.get("/").text
    page.clock.pass_by(hours=4.0)
    assert "Act now" in client.get("/").text
    page.clock.at_utc, page.clock.at_s = was.at_utc, was.at_s


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("closed")
    file = folder / "token"
    file.write_text(TOKEN, encoding="utf-8")
    with served(folder, a_state(), token_file=file) as found:
        yield found


ALLOWED = (f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN))
REFUSED = (None, "", "Bearer", f"Bearer {TOKEN[:-1]}", basic("wrong"), basic(""), "Basic !!!", "Basic /w==", f"Digest {TOKEN}")


@pytest.mark.parametrize("header", [*ALLOWED, *REFUSED])
def test_with_a_token_only_who_says_it_sees_anything(closed: Served, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    with httpx.Client(base_url=closed.url, headers=headers, timeout=30.0) as client:
        for path in PATHS:
            answer = client.get(path)
            assert (answer.status_code == 200) is (header in ALLOWED)
            if header not in ALLOWED:
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Basic realm=")


def test_it_does_not_show_itself_to_a_network_without_a_token(page: Served) -> None:
    for host in ("0.0.0.0", "", "::", "192.0.2.1"):
        with pytest.raises(Misconfigured, match="everybody who reaches"):
            LiveServer(page.books.desk, LiveOptions(host=host, port=0))


def test_a_port_that_is_taken_is_said(page: Served) -> None:
    with pytest.raises(Misconfigured, match="cannot listen"):
        LiveServer(page.books.desk, LiveOptions(port=page.server.port))
