"""REST spoken with an independent peer (httpx) over real sockets: what a plant reads, says, and is refused."""

from __future__ import annotations

import concurrent.futures
import json
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from link_world import CITY, POOL
from rest_world import PLENTY, TOKENS, Authority, Served, credentials, served

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.memory import canonical
from scheduler.adapters.plantlink.rest.connection import Patience
from scheduler.adapters.plantlink.rest.models import PlantAnswer
from scheduler.core.publishing.heartbeat_payload import heartbeat_from
from scheduler.core.publishing.letters import KINDS
from scheduler.core.publishing.message import problems, stamp
from scheduler.domain.errors import Retryable
from scheduler.domain.link_options import Credential, RestOptions, TlsFiles
from scheduler.domain.plantlink import AckVerdict, LinkProtocol, Receipt

CITY_URL, POOL_URL = f"/v1/offtakes/{CITY}", f"/v1/offtakes/{POOL}"


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One interface for this file; each test that needs a schedule posts its own."""
    folder = tmp_path_factory.mktemp("rest")
    with served(RestOptions(port=0, credentials=credentials(folder), **PLENTY)) as found:
        yield found


@pytest.fixture
def city(link: Served) -> Iterator[httpx.Client]:
    """The city's plant."""
    with link.client() as client:
        yield client


def letters(sequence: int) -> dict[str, dict[str, Any]]:
    """One of each kind, as of now."""
    now_utc = SystemClock().now_utc()
    now, later = stamp(now_utc), stamp(now_utc + timedelta(hours=4))
    return {
        "demand": {"start": now, "stepSeconds": 900, "heatKw": [400.0, None, 380.5], "issuedAt": now},
        "request": {"heatKw": 250.0, "start": now, "end": later},
        "network": {"at": now, "supplyC": 71.5, "returnC": 44.0, "wantedSupplyC": 75.0, "flowM3h": 18.25, "heatKw": 300.0},
        "acknowledgement": {"sequence": sequence, "verdict": "partial", "acceptedKw": 120.0, "reason": "a pump"},
        "maintenance": {"id": "wo-1", "start": now, "end": later, "availableKw": 0.0},
        "override": {"limitKw": 50.0, "reason": "leak"},
        "heartbeat": {"counter": 77},
        "meter": {"meterPointId": "mp-1", "at": now, "energyKwh": 184223.4, "meterId": "68124431"},
    }


def test_who_has_no_schedule_yet_is_told_so_and_told_to_start_the_boiler(link: Served) -> None:
    with link.client("pool-plant") as pool:
        assert pool.get(f"{POOL_URL}/schedule").status_code == 204
        beat = heartbeat_from(pool.get(f"{POOL_URL}/heartbeat").json())
        listed = pool.get("/v1/offtakes").json()["offtakes"]
    assert beat is not None
    assert beat.boiler_on
    assert [(one["offtakeId"], one["sequence"]) for one in listed] == [(POOL, None)], "one that is not built yet is not shown"


def test_a_schedule_comes_as_it_was_written_and_only_once(link: Served, city: httpx.Client) -> None:
    posted = link.plan(10)
    first = city.get(f"{CITY_URL}/schedule")
    assert first.content == canonical(posted)
    assert problems(first.json()) == ()
    same = city.get(f"{CITY_URL}/schedule", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (same.status_code, same.content) == (304, b"")
    link.plan(11)
    newer = city.get(f"{CITY_URL}/schedule", headers={"If-None-Match": first.headers["etag"]})
    assert (newer.status_code, newer.json()["sequence"]) == (200, 11)
    assert newer.headers["cache-control"] == "no-store"


def test_who_waits_gets_the_next_schedule_when_it_comes(link: Served, city: httpx.Client) -> None:
    link.plan(20)
    known = city.get(f"{CITY_URL}/schedule").headers["etag"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(city.get, f"{CITY_URL}/schedule", params={"wait": 20}, headers={"If-None-Match": known})
        link.plan(1, POOL)  # somebody else's, which wakes him up for nothing
        link.plan(21)
        assert waiting.result(20.0).json()["sequence"] == 21
    patient = city.get(f"{CITY_URL}/schedule", params={"wait": 1}, headers={"If-None-Match": '"older"'})
    assert patient.json()["sequence"] == 21
    assert city.get(f"{CITY_URL}/schedule", params={"wait": 31}).status_code == 422


def test_a_heartbeat_is_that_of_the_board(link: Served, city: httpx.Client) -> None:
    link.plan(30)
    before = heartbeat_from(city.get(f"{CITY_URL}/heartbeat").json())
    link.do(link.desk.beat())
    after = heartbeat_from(city.get(f"{CITY_URL}/heartbeat").json())
    assert before is not None
    assert after is not None
    assert after.counter == before.counter + 1
    assert after.last_sequence == 30
    assert not after.boiler_on


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "tank"])
def test_a_letter_is_handed_in_and_the_same_again_gets_the_same_answer(link: Served, city: httpx.Client, kind: str) -> None:
    link.plan(40)
    answers = [city.post(f"{CITY_URL}/letters/{kind}", json=letters(40)[kind]) for _ in range(2)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"accepted": True, "reason": ""})] * 2
    letter = link.desk.letters[-1]
    assert (letter.offtake_id, letter.sender.name, letter.sender.protocol) == (CITY, "city-plant", LinkProtocol.REST)
    assert letter.sender.authenticated


def test_what_we_heard_of_a_plant_is_shown_in_its_own_words(link: Served, city: httpx.Client) -> None:
    link.plan(50)
    said = letters(50)
    for kind, payload in said.items():
        assert city.post(f"{CITY_URL}/letters/{kind}", json=payload).status_code == 200
    shown = city.get(f"{CITY_URL}/plant").json()
    assert PlantAnswer.model_validate(shown)
    for kind in ("acknowledgement", "request", "network"):
        assert shown[kind] == said[kind]
    assert shown["override"]["limitKw"] == 50.0
    assert shown["override"]["since"] is not None
    assert shown["counter"] == 77
    acknowledged = link.desk.boards()[CITY].seen.acknowledged
    assert acknowledged is not None
    assert acknowledged.verdict is AckVerdict.PARTIAL
    link.do(link.desk.clear_override(CITY))
    assert city.get(f"{CITY_URL}/plant").json()["override"] is None


@pytest.mark.parametrize(
    ("kind", "payload", "field"),
    [
        ("tank", {"at": "2026-01-31T23:45:00Z", "levelKwh": 1.0}, "at"),
        ("acknowledgement", {"sequence": 10**9, "verdict": "accepted"}, "sequence"),
        ("request", {"heatKw": -1.0, "start": "2026-01-31T23:45:00Z", "end": "2026-01-31T23:50:00Z"}, "heatKw"),
        ("heartbeat", {"counter": True}, "counter"),
        ("heartbeat", {"counter": 1, "extra": 2}, "extra"),
    ],
)
def test_a_letter_that_is_not_believed_says_which_field(city: httpx.Client, kind: str, payload: object, field: str) -> None:
    answer = city.post(f"{CITY_URL}/letters/{kind}", json=payload)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["field"] == field
    assert answer.json()["accepted"] is False
    assert answer.json()["reason"] == answer.json()["detail"]


def test_every_answer_is_what_openapi_says_it_is(link: Served, city: httpx.Client) -> None:
    link.plan(70)
    for kind, payload in letters(70).items():
        city.post(f"{CITY_URL}/letters/{kind}", json=payload)
    described = city.get("/openapi.json").json()
    Draft202012Validator.check_schema(described["components"]["schemas"])
    asked = [
        ("get", path, path.replace("{offtakeId}", CITY)) for path, methods in described["paths"].items() if "get" in methods
    ]
    asked += [("get", path, path.replace("{offtakeId}", "nowhere")) for path in described["paths"] if path.endswith("plant")]
    asked += [("post", path, path.replace("{offtakeId}", CITY)) for path in described["paths"] if "/letters/" in path]
    codes = set()
    for method, path, url in asked:
        for body in (None, letters(70).get(path.rpartition("/")[2], {})):
            answer = city.request(method, url, json=body) if method == "post" else city.get(url)
            told = described["paths"][path][method]["responses"][str(answer.status_code)]["content"]
            schema = told[answer.headers["content-type"]]["schema"]
            Draft202012Validator({**schema, "components": described["components"]}).validate(answer.json())
            codes.add(answer.status_code)
    assert codes == {200, 404, 415, 422}, "no body is no JSON"


def test_a_plant_sees_no_other_and_does_not_learn_whether_there_is_one(link: Served, city: httpx.Client) -> None:
    link.plan(1, POOL)
    before = len(link.desk.letters)
    for path in ("schedule", "heartbeat", "plant"):
        other, none = city.get(f"{POOL_URL}/{path}"), city.get(f"/v1/offtakes/nowhere/{path}")
        assert (other.status_code, other.content) == (404, none.content)
    assert city.post(f"{POOL_URL}/letters/override", json={}).status_code == 404
    assert len(link.desk.letters) == before
    assert link.desk.refusals[-1].sender == "city-plant"


def test_without_a_token_there_is_nothing_to_see_but_what_there_is_to_ask(link: Served) -> None:
    with link.client("") as stranger:
        for path in ("/v1/offtakes", f"{CITY_URL}/schedule", "/anything"):
            answer = stranger.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"].split()[0]) == (401, "Bearer")
        described = stranger.get("/openapi.json").json()
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert link.desk.refusals[-1].sender == "127.0.0.1"


def test_while_another_replica_is_in_charge_nothing_is_said(link: Served, city: httpx.Client) -> None:
    link.plan(60)
    known = city.get(f"{CITY_URL}/schedule").headers["etag"]
    link.desk.in_charge = False
    try:
        for path in ("/v1/offtakes", f"{CITY_URL}/schedule", f"{CITY_URL}/heartbeat", "/anything"):
            answer = city.get(path, headers={"If-None-Match": known})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert city.post(f"{CITY_URL}/letters/override", json={}).status_code == 503
    finally:
        link.desk.in_charge = True
    assert city.get(f"{CITY_URL}/schedule").status_code == 200


def test_who_waits_while_the_charge_is_lost_is_told_nothing_old(link: Served, city: httpx.Client) -> None:
    link.plan(65)
    known = city.get(f"{CITY_URL}/schedule").headers["etag"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(city.get, f"{CITY_URL}/schedule", params={"wait": 20}, headers={"If-None-Match": known})
        link.desk.in_charge = False
        try:
            link.plan(66)
            assert waiting.result(20.0).status_code == 503
        finally:
            link.desk.in_charge = True


def test_nobody_stays_on_one_connection_for_ever(tmp_path: Path) -> None:
    options = RestOptions(port=0, credentials=credentials(tmp_path), **PLENTY)
    with served(options, Patience(longest_s=0.0)) as link, link.client() as city:
        for _ in range(2):
            assert city.get("/v1/offtakes").headers["connection"] == "close"


def test_who_asks_too_often_is_told_for_how_long_to_wait_and_nobody_else_is(tmp_path: Path) -> None:
    options = RestOptions(port=0, credentials=credentials(tmp_path), requests_per_s=0.01, burst=3)
    with served(options) as link, link.client() as city, link.client("pool-plant") as pool, link.client("") as stranger:
        codes = [city.get("/v1/offtakes").status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        assert 0 < int(city.get("/v1/offtakes").headers["retry-after"]) <= 100
        assert pool.get("/v1/offtakes").status_code == 200
        assert [stranger.get("/v1/offtakes").status_code for _ in range(4)] == [401, 401, 401, 429]
        assert pool.get("/v1/offtakes").status_code == 200


@pytest.mark.parametrize("how", [Receipt(accepted=False, reason="later", again=True), Retryable("busy")])
def test_a_letter_that_cannot_be_kept_may_be_sent_again(
    link: Served, city: httpx.Client, monkeypatch: pytest.MonkeyPatch, how: Receipt | Exception
) -> None:
    async def later(_: object) -> Receipt:
        if isinstance(how, Exception):
            raise how
        return how

    with monkeypatch.context() as patched:
        patched.setattr(link.desk, "hand_in", later)
        answer = city.post(f"{CITY_URL}/letters/override", json={})
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["accepted"]) == (503, "5", False)
    assert city.post(f"{CITY_URL}/letters/override", json={}).status_code == 200


def test_a_desk_that_fails_is_told_of_without_a_trace_and_the_letter_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with served(RestOptions(port=0, credentials=credentials(tmp_path))) as link, link.client() as city:

        async def fails(_: object) -> None:
            raise ZeroDivisionError("secret of the house")

        monkeypatch.setattr(link.desk, "hand_in", fails)
        for _ in range(2):
            answer = city.post(f"{CITY_URL}/letters/override", json={})
            assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
            assert "secret" not in answer.text
        assert city.get("/v1/offtakes").status_code == 200
    assert "Traceback" not in caplog.text
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_a_token_is_exchanged_without_a_restart(tmp_path: Path) -> None:
    with served(RestOptions(port=0, credentials=credentials(tmp_path), **PLENTY)) as link, link.client() as city:
        assert city.get("/v1/offtakes").status_code == 200
        (tmp_path / "fresh").write_text("n" * 40, encoding="utf-8")
        (tmp_path / "fresh").replace(tmp_path / "city-plant")
        until(lambda: city.get("/v1/offtakes").status_code == 401)
        assert city.get("/v1/offtakes", headers={"Authorization": "Bearer " + "n" * 40}).status_code == 200
        (tmp_path / "city-plant").unlink()
        until(lambda: "city-plant" in link.interface.trouble())


def test_over_tls_and_with_a_renewed_certificate(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    tls = old.issue("server")
    options = RestOptions(port=0, credentials=credentials(tmp_path), tls=tls, **PLENTY)
    with served(options) as link:
        link.plan(5)
        with link.client(tls=old.client_context()) as city:
            assert city.get(f"{CITY_URL}/schedule").json()["sequence"] == 5
            with pytest.raises(httpx.ConnectError), link.client(tls=new.client_context()) as stranger:
                stranger.get("/v1/offtakes")
            new.issue("server")
            until(lambda: asked(link, new.client_context()) == 200, httpx.ConnectError)
            assert city.get(f"{CITY_URL}/schedule").status_code == 200, "who is connected stays so"
            Path(tls.key).write_text("broken", encoding="utf-8")
            until(lambda: "server.pem" in link.interface.trouble())
            assert asked(link, new.client_context()) == 200
        with link.client() as plain, pytest.raises(httpx.TransportError):
            plain.get("/v1/offtakes")
        until(lambda: any(one.what.startswith("TLS") for one in link.desk.refusals))


def test_with_client_certificates_nobody_else_gets_through(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    server = ours.issue("server")
    tls = TlsFiles(certificate=server.certificate, key=server.key, client_ca=str(ours.file))
    bare = Credential(name="bare-plant", secret_file="", offtakes=(POOL,))
    options = RestOptions(port=0, credentials=(*credentials(tmp_path), bare), tls=tls, **PLENTY)
    city_tls, bare_tls = ours.client_context(ours.issue("city-plant", "c")), ours.client_context(ours.issue("bare-plant"))
    with served(options) as link:
        link.plan(1, POOL)
        with link.client(tls=city_tls) as city:
            assert [one["offtakeId"] for one in city.get("/v1/offtakes").json()["offtakes"]] == [CITY]
        with link.client("pool-plant", tls=city_tls) as thief:
            assert thief.get("/v1/offtakes").status_code == 401, "a token over another plant's certificate"
        with link.client("", tls=city_tls) as half:
            assert half.get("/v1/offtakes").status_code == 401, "a certificate without the token"
        with link.client("", tls=bare_tls) as by_certificate:
            assert by_certificate.get(f"{POOL_URL}/schedule").json()["sequence"] == 1
        for context in (ours.client_context(), mixed(ours, theirs.issue("city-plant", "t"))):
            with link.client(tls=context) as stranger, pytest.raises(httpx.TransportError):
                stranger.get("/v1/offtakes")
        until(lambda: any("PEER_DID_NOT_RETURN_A_CERTIFICATE" in one.what for one in link.desk.refusals))
        assert not any(token in json.dumps([one.what for one in link.desk.refusals]) for token in TOKENS.values())


def test_when_it_ends_nobody_is_left_with_an_old_value(tmp_path: Path) -> None:
    with served(RestOptions(port=0, credentials=credentials(tmp_path))) as link:
        link.plan(1)
        city = link.client()
        known = city.get(f"{CITY_URL}/schedule").headers["etag"]
        pool = concurrent.futures.ThreadPoolExecutor()
        waiting = pool.submit(city.get, f"{CITY_URL}/schedule", params={"wait": 30}, headers={"If-None-Match": known})
        other = link.client()
        assert other.get("/v1/offtakes").status_code == 200
    with pytest.raises(httpx.TransportError):
        waiting.result(20.0)
    with pytest.raises(httpx.TransportError):
        other.get(f"{CITY_URL}/heartbeat")
    pool.shutdown()
    city.close()
    other.close()
    assert link.interface.trouble() == "is not listening"


def asked(link: Served, tls: ssl.SSLContext) -> int:
    """Status of one question over a connection of its own."""
    with link.client(tls=tls) as client:
        return client.get("/v1/offtakes").status_code


def mixed(trusts: Authority, own: TlsFiles) -> ssl.SSLContext:
    """Trusts one authority, and shows a certificate of another."""
    return trusts.client_context(own)


def until(ready: Any, passing: type[Exception] | None = None) -> None:
    """Wait until something is so; what may be raised until then counts as not so."""
    until_s = time.monotonic() + 20.0
    while time.monotonic() < until_s:
        try:
            if ready():
                return
        except Exception as error:
            if passing is None or not isinstance(error, passing):
                raise
        time.sleep(0.05)
    raise TimeoutError
