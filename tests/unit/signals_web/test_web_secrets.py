"""What is secret goes to the host that was asked, and nowhere else: no log, no error, no address, no other host."""

from __future__ import annotations

import asyncio
import base64
import logging
import pickle
import traceback
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote_plus

import httpx
import pytest
from signal_peer import Page, signal_peer
from web_world import URL, Ticking, answer, client, outcome, run, told, why

from scheduler.adapters.sources.blueprint import Answer, Ask, Basic, Bearer, Login
from scheduler.adapters.sources.web.client import Unanswered, WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.adapters.sources.web.manners import Limits

SECRET = "s3cr3t/with+signs="
KEYS = {"key": SECRET}
ASK = Ask(url=URL, secret_params={"securityToken": "key"}, secret_headers={"auth-token": "key"})
LOGIN = Ask(url=URL, authorization=Login(url="https://api.example.org/login", basic=Basic(user="user", password="password")))
WHO = {"user": "somebody", "password": "a-pass-word"}


def test_secrets_reach_the_host_that_was_asked_by_parameter_and_header() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return told()

    found = answer(client(handle), ASK, {"key": f"  {SECRET}\n"})
    assert seen[0].url.params["securityToken"] == SECRET
    assert seen[0].headers["auth-token"] == SECRET
    assert SECRET not in repr(found)


def test_nothing_that_is_logged_holds_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    pages = {"/a": lambda query: (200, {"Content-Type": "application/json"}, b"{}"), "/b": lambda query: (500, {}, b"no")}
    caplog.set_level(logging.DEBUG)
    with signal_peer(pages) as peer:
        for path in ("/a", "/b", "/c"):
            web = WebClient(HostRules(["127.0.0.1"], allow_loopback=True), limits=Limits(tries=2, backoff_s=0.01))
            ask = Ask(
                url=peer.url + path,
                secret_params={"token": "key"},
                secret_headers={"X-Key": "key"},
                authorization=Bearer(token="key"),
            )
            outcome(web, ask, KEYS)
        assert {seen.query["token"] for seen in peer.seen} == {SECRET}
    lines = "\n".join(record.getMessage() for record in caplog.records)
    assert "HTTP Request: GET" in lines
    assert SECRET not in lines
    assert quote_plus(SECRET) not in lines


def echoed(query: Mapping[str, str]) -> Page:
    return 403, {"Content-Type": "text/plain"}, f"bad token {query['token']} ({quote_plus(query['token'])})".encode()


def test_a_page_that_repeats_a_secret_does_not_put_it_into_the_error() -> None:
    with signal_peer({"/a": echoed}) as peer:
        web = WebClient(HostRules(["127.0.0.1"], allow_loopback=True))
        trouble = why(web, Ask(url=f"{peer.url}/a", secret_params={"token": "key"}), KEYS)
    assert trouble.reason == '127.0.0.1/a: HTTP 403 Forbidden: "bad token [hidden] ([hidden])"'


@pytest.mark.parametrize("padding", [0, 40, 70, 80, 85, 90, 2000, 4080, 4090])
def test_not_even_a_part_of_a_secret_is_told_where_words_are_cut(padding: int) -> None:
    body = b"x" * padding + SECRET.encode()
    reason = why(client(lambda request: told(body, status=401, Content_Type="text/plain")), ASK, KEYS).reason
    assert SECRET[:6] not in reason


def test_an_error_drags_along_nothing_that_knows_a_secret() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError(f"while asking {request.url} with {dict(request.headers)}", request=request)

    async def raised() -> Unanswered:
        async with client(handle) as web:
            with pytest.raises(Unanswered) as trouble:
                await web.fetch(ASK, KEYS)
            return trouble.value

    trouble = run(raised())
    assert (trouble.__context__, trouble.__cause__) == (None, None)
    told_all = "".join(traceback.format_exception(trouble)) + trouble.reason + str(trouble.args)
    assert SECRET not in told_all
    assert quote_plus(SECRET) not in told_all


def test_another_host_gets_no_secret_and_the_same_gets_it_again() -> None:
    seen: list[httpx.Request] = []
    hops = [f"{URL}?securityToken={quote_plus('other')}&page=2", "https://a.example.net/x?securityToken=other"]

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(307, headers={"Location": hops[len(seen) - 1]}) if len(seen) <= len(hops) else told()

    answer(client(handle), ASK, KEYS)
    assert [request.url.params.get("securityToken") for request in seen] == [SECRET, SECRET, None]
    assert [request.headers.get("auth-token") for request in seen] == [SECRET, SECRET, None]


@pytest.mark.parametrize("location", ["https://a.example.net/" + SECRET, "/x?key=" + quote_plus(SECRET)])
def test_a_redirect_that_carries_a_secret_away_is_not_followed(location: str) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(302, headers={"Location": location})

    trouble = why(client(handle), ASK, KEYS)
    assert (len(seen), SECRET in trouble.reason) == (1, False)
    assert "a credential in it" in trouble.reason


def test_an_address_that_holds_a_secret_openly_is_not_asked() -> None:
    ask = Ask(url=f"{URL}?api_key={quote_plus(SECRET)}", secret_headers={"X-Key": "key"})
    trouble = why(client(lambda request: told()), ask, KEYS)
    assert trouble.final
    assert "openly" in trouble.reason
    # A next page that repeats the parameter by its name is asked with the secret of ours.
    again = Ask(url=f"{URL}?securityToken=old&page=2", secret_params={"securityToken": "key"})
    assert isinstance(outcome(client(lambda request: told()), again, KEYS), Answer)


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        ({}, "'key' is missing"),
        ({"key": " \n"}, "'key' is empty"),
        ({"key": "a\nb-secret"}, "line break"),
        ({"key": "schlüssel"}, "letters"),
        ({"key": "b-secret" * 1000}, "longer than"),
    ],
)
def test_a_credential_that_cannot_be_one_is_named_and_not_sent(credentials: dict[str, str], words: str) -> None:
    trouble = why(client(lambda request: told()), ASK, credentials)
    assert trouble.final
    assert words in trouble.reason
    assert "b-secret" not in trouble.reason


def test_basic_and_bearer_authorization() -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return told()

    answer(client(handle), Ask(url=URL, authorization=Bearer(token="key")), KEYS)
    answer(client(handle), Ask(url=URL, authorization=Basic(user="user", password="password")), WHO)
    assert seen == [f"Bearer {SECRET}", "Basic " + base64.b64encode(b"somebody:a-pass-word").decode()]


class LoggedIn:
    """An API whose tokens hold for some requests."""

    def __init__(self, holds: int = 100, status: int = 200, body: str = '{"token": "token-%d"}') -> None:
        self.holds, self.status, self.body = holds, status, body
        self.logins: list[str] = []
        self.left = 0
        self.asked: list[str] = []
        self.refused: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/login":
            self.logins.append(request.headers["authorization"])
            self.left = self.holds
            body = self.body % len(self.logins) if "%d" in self.body else self.body
            return told(body.encode(), status=self.status)
        self.asked.append(request.headers["authorization"])
        self.left -= 1
        return told(status=200 if self.left >= 0 and self.asked[-1] not in self.refused else 401)


def fetched(api: LoggedIn, at: list[float]) -> list[object]:
    """What comes of the same ask at some seconds."""
    clock = Ticking()

    async def polls() -> list[object]:
        found: list[object] = []
        async with client(api, clock=clock) as web:
            for passed_s in at:
                clock.passed_s = passed_s
                try:
                    found.append((await web.fetch(LOGIN, WHO)).status)
                except Unanswered as error:
                    found.append(error.reason)
        return found

    return run(polls())


def test_a_login_is_made_once_and_again_when_its_time_is_over() -> None:
    api = LoggedIn()
    assert fetched(api, [0.0, 900.0, 1600.0]) == [200, 200, 200]
    assert api.logins == ["Basic " + base64.b64encode(b"somebody:a-pass-word").decode()] * 2
    assert api.asked == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


def test_several_asks_at_once_log_in_once() -> None:
    api = LoggedIn()

    async def polls() -> None:
        async with client(api) as web:
            asks = [replace(LOGIN, params={"part": str(part)}) for part in range(4)]
            await asyncio.gather(*(web.fetch(ask, WHO) for ask in asks))
            api.refused = {"Bearer token-1"}
            await asyncio.gather(*(web.fetch(replace(ask, anew=True), WHO) for ask in asks))

    run(polls())
    # Once at first, and once when the token was refused to all four.
    assert len(api.logins) == 2
    assert sorted(set(api.asked)) == ["Bearer token-1", "Bearer token-2"]


def test_a_token_that_ends_early_is_fetched_anew_once() -> None:
    api = LoggedIn(holds=1)
    assert fetched(api, [0.0, 10.0]) == [200, 200]
    assert api.asked == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    refusing = LoggedIn(holds=0)
    assert fetched(refusing, [0.0]) == ['api.example.org/prices: HTTP 401 Unauthorized: "{"price": 1}"']
    assert len(refusing.logins) == 1


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, "no such user: a-pass-word", 'api.example.org/login: HTTP 401 Unauthorized: "no such user: [hidden]"'),
        (200, "[]", "api.example.org/login: the login answers without a text 'token'"),
        (200, '{"token": 7}', "api.example.org/login: the login answers without a text 'token'"),
        (200, '{"token": "a\\nb"}', "api.example.org/login: the login answers without a text 'token'"),
        (200, "{", "api.example.org/login: the login answers without a text 'token'"),
    ],
)
def test_a_login_that_fails_says_why(status: int, body: str, words: str) -> None:
    api = LoggedIn(status=status, body=body)
    assert fetched(api, [0.0]) == [words]
    assert not api.asked


def test_an_answer_can_be_kept_by_others_without_a_secret_in_it() -> None:
    found = answer(client(LoggedIn()), LOGIN, WHO)
    kept = pickle.dumps(found)
    assert b"a-pass-word" not in kept
    assert b"token-1" not in kept
