"""How often the client asks, how long it waits, what it believes, and where it lets itself be led."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_world import JSON, NOW_UTC, URL, Ticking, answer, client, outcome, run, told, why

from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.web.client import Unanswered, agent_name
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.domain.errors import Misconfigured

ASK = Ask(url=URL)
ATOM = Ask(url=URL, accept=("application/xml", "text/xml"))


class Counted:
    """Answers with one response after another, the last again and again, and keeps the requests."""

    def __init__(self, *answers: Callable[[], httpx.Response]) -> None:
        self.answers, self.requests = answers, list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]()


def http_date(at_utc: datetime) -> str:
    return format_datetime(at_utc, usegmt=True)


def test_an_answer_says_what_it_is_when_it_came_and_when_it_was_made() -> None:
    made = NOW_UTC - timedelta(hours=2)
    web = client(lambda request: told(b"[]", Date=http_date(NOW_UTC), Last_Modified=http_date(made)))
    found = answer(web, ASK)
    assert (found.body, found.media_type, found.status) == (b"[]", "application/json", 200)
    assert (found.fetched_utc, found.issued_utc) == (NOW_UTC, made)


def test_a_clock_ahead_of_ours_makes_no_answer_newer() -> None:
    found = answer(client(lambda request: told(Date=http_date(NOW_UTC + timedelta(hours=3)))), ASK)
    assert found.issued_utc == NOW_UTC
    assert answer(client(lambda request: told(Date="yesterday")), ASK).issued_utc is None


# What may heal.


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_heal_is_tried_again_with_growing_waits(status: int) -> None:
    clock, web = Ticking(), Counted(lambda: told(status=status), lambda: told(status=status), told)
    assert answer(client(web, clock=clock, backoff_s=0.5), ASK).status == 200
    # Jitter is 1.0 here: the whole of 0.5 s, then of 1 s.
    assert clock.waits == [0.5, 1.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_does_not_heal_is_asked_once(status: int) -> None:
    web = Counted(lambda: told(status=status))
    trouble = why(client(web), ASK)
    assert (len(web.requests), trouble.final, trouble.status) == (1, True, status)
    assert trouble.reason.startswith(f"api.example.org/prices: HTTP {status} ")


def test_a_broken_connection_is_tried_again_and_named() -> None:
    clock, tries = Ticking(), []

    def handle(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise httpx.ReadError("")

    trouble = why(client(handle, clock=clock), ASK)
    assert (len(tries), trouble.reason) == (3, "api.example.org/prices: the connection broke off (read)")
    assert not trouble.final


def test_no_try_begins_that_could_not_end_in_time() -> None:
    web = Counted(lambda: told(status=500))
    why(client(web, total_s=5.0, backoff_s=6.0), ASK)
    assert len(web.requests) == 1


# Retry-After.


@pytest.mark.parametrize(
    "after", ["3", http_date(NOW_UTC + timedelta(minutes=10, seconds=3))], ids=["seconds", "a date by the server's clock"]
)
def test_a_short_retry_after_is_waited_for(after: str) -> None:
    clock = Ticking()
    busy = told(status=429, Retry_After=after, Date=http_date(NOW_UTC + timedelta(minutes=10)))
    web = Counted(lambda: busy, told)
    assert answer(client(web, clock=clock, backoff_s=0.5, per_host_s=0.0), ASK).status == 200
    assert clock.waits == [3.5]


def test_a_long_retry_after_is_the_callers_and_the_host_is_left_alone_for_it() -> None:
    clock, web = Ticking(), Counted(lambda: told(status=503, Retry_After="600"), told)

    async def polls() -> list[object]:
        found: list[object] = []
        async with client(web, clock=clock) as asking:
            for passed_s in (0.0, 300.0, 700.0):
                clock.passed_s = passed_s
                try:
                    found.append((await asking.fetch(Ask(url=f"{URL}/{passed_s:g}"), {})).status)
                except Unanswered as error:
                    found.append(error.retry_after_s)
        return found

    assert run(polls()) == [600.0, 300.0, 200]
    assert len(web.requests) == 2


@pytest.mark.parametrize("after", ["soon", "-1", "", "99999999999999999999"])
def test_a_retry_after_that_says_nothing_sensible_is_bounded(after: str) -> None:
    found = why(client(lambda request: told(status=429, Retry_After=after)), ASK).retry_after_s
    assert found is None or found == 86_400.0


# How often.


def test_a_host_is_asked_as_often_as_it_may_and_others_do_not_wait_for_it() -> None:
    clock, web = Ticking(), Counted(told)

    async def asked() -> None:
        async with client(web, clock=clock, per_host_s=2.0, burst=2) as asking:
            for place in range(4):
                await asking.fetch(Ask(url=f"{URL}/{place}"), {})
            await asking.fetch(Ask(url="https://a.example.net/"), {})

    run(asked())
    # Two at once, then one each two seconds.
    assert clock.waits == [2.0, 2.0]


def test_who_would_have_to_wait_long_is_told_so() -> None:
    web = Counted(told)

    async def asked() -> float | None:
        async with client(web, per_host_s=60.0, burst=1) as asking:
            await asking.fetch(Ask(url=URL), {})
            with pytest.raises(Unanswered) as trouble:
                await asking.fetch(Ask(url=f"{URL}/2"), {})
            return trouble.value.retry_after_s

    assert run(asked()) == 60.0
    assert len(web.requests) == 1


def test_many_sources_of_one_host_wait_for_each_other_and_are_all_answered() -> None:
    clock, web = Ticking(), Counted(told)

    async def asked() -> list[int]:
        async with client(web, clock=clock) as asking:
            return [(await asking.fetch(Ask(url=f"{URL}/{place}"), {})).status for place in range(40)]

    # As they come from `Limits`: six at once, then two a second; nobody is turned away.
    assert run(asked()) == [200] * 40
    assert clock.waits == [0.5] * 34


class Yielding(Ticking):
    """A clock on which others have their turn while somebody waits."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await asyncio.sleep(0.0)


def test_who_has_waited_asks_no_host_that_meanwhile_wants_to_be_left_alone() -> None:
    web = Counted(told, lambda: told(status=429, Retry_After="600"), told)

    async def asked() -> list[object]:
        async with client(web, clock=Yielding(), per_host_s=2.0, burst=1) as asking:
            await asking.fetch(Ask(url=URL), {})
            both = (asking.fetch(Ask(url=f"{URL}/{place}"), {}) for place in range(2))
            return list(await asyncio.gather(*both, return_exceptions=True))

    first, second = (str(one) for one in run(asked()))
    assert "HTTP 429" in first
    assert "left alone for now" in second
    assert len(web.requests) == 2


# Conditional requests.


def polled(web: Counted, at: list[float]) -> list[Answer]:
    """The answers to the same ask at some seconds."""
    clock = Ticking()

    async def polls() -> list[Answer]:
        found = []
        async with client(web, clock=clock) as asking:
            for passed_s in at:
                clock.passed_s = passed_s
                found.append(await asking.fetch(ASK, {}))
        return found

    return run(polls())


def test_what_has_not_changed_is_not_sent_again() -> None:
    web = Counted(lambda: told(b"[1]", ETag='"a"', Last_Modified="Sat, 21 Nov 2026 10:00:00 GMT"), lambda: httpx.Response(304))
    first, second, third = polled(web, [0.0, 900.0, 1800.0])
    assert [found.body for found in (first, second, third)] == [b"[1]"] * 3
    assert "if-none-match" not in web.requests[0].headers
    for request in web.requests[1:]:
        assert request.headers["if-none-match"] == '"a"'
        assert request.headers["if-modified-since"] == "Sat, 21 Nov 2026 10:00:00 GMT"
    # It was heard now, and made when it was made.
    assert second.fetched_utc == NOW_UTC + timedelta(seconds=900)
    assert third.issued_utc == datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({"Cache-Control": "public, max-age=1000"}, 2),
        ({"Cache-Control": "max-age=1000", "Age": "500"}, 3),
        ({"Expires": http_date(NOW_UTC + timedelta(seconds=1000))}, 2),
        ({"Expires": http_date(NOW_UTC + timedelta(seconds=5000)), "Date": http_date(NOW_UTC + timedelta(seconds=4500))}, 3),
        ({"Cache-Control": "no-cache, max-age=1000"}, 3),
        ({"Cache-Control": "no-store", "Expires": http_date(NOW_UTC + timedelta(days=9))}, 3),
        ({"Expires": "0"}, 3),
        ({}, 3),
    ],
)
def test_an_answer_holds_as_long_as_it_says(headers: dict[str, str], asked: int) -> None:
    # At 0 s, 900 s and 2,000 s.
    web = Counted(lambda: httpx.Response(200, headers={**JSON, **headers}, content=b"{}"))
    found = polled(web, [0.0, 900.0, 2000.0])
    assert len(web.requests) == asked
    if asked == 2:
        assert found[1].fetched_utc == NOW_UTC


def test_no_answer_holds_longer_than_an_hour() -> None:
    web = Counted(lambda: told(Cache_Control="max-age=31536000"))
    polled(web, [0.0, 3500.0, 3700.0])
    assert len(web.requests) == 2


def test_who_could_not_use_an_answer_gets_another_one() -> None:
    web = Counted(lambda: told(b"{", Cache_Control="max-age=3000", ETag='"cut"'), lambda: told(b"{}"))

    async def asked() -> list[Answer]:
        async with client(web) as asking:
            return [await asking.fetch(ask, {}) for ask in (ASK, ASK, replace(ASK, anew=True))]

    assert [found.body for found in run(asked())] == [b"{", b"{", b"{}"]
    assert "if-none-match" not in web.requests[1].headers


def test_a_304_that_nobody_asked_for_is_no_answer() -> None:
    assert "HTTP 304" in why(client(lambda request: httpx.Response(304)), ASK).reason


def test_what_is_kept_is_bounded_and_what_was_used_last_stays() -> None:
    web = Counted(lambda: told(b"x" * 400, Cache_Control="max-age=3000"))

    async def asked(*places: int) -> None:
        async with client(web, kept_bytes=1000, per_host_s=0.0) as asking:
            for place in places:
                await asking.fetch(Ask(url=f"{URL}/{place}"), {})

    run(asked(1, 2, 1, 3, 1, 2))
    assert [request.url.path[-1] for request in web.requests] == ["1", "2", "3", "2"]


def test_an_answer_to_one_credential_is_not_given_to_another() -> None:
    web = Counted(lambda: told(Cache_Control="max-age=3000"))
    ask = Ask(url=URL, secret_headers={"X-Key": "key"})

    async def asked() -> None:
        async with client(web) as asking:
            for key in ("key-of-a", "key-of-b", "key-of-a"):
                await asking.fetch(ask, {"key": key})

    run(asked())
    assert [request.headers["x-key"] for request in web.requests] == ["key-of-a", "key-of-b"]


# What is believed.


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_is_read_up_to_its_limit_and_not_further(packed: bool) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        body = b"1" * 1000
        headers = {**JSON, **({"Content-Encoding": "gzip"} if packed else {})}
        return httpx.Response(200, headers=headers, content=gzip.compress(body) if packed else body)

    assert len(answer(client(handle, max_bytes=1000), ASK).body) == 1000
    assert "longer than 999 bytes" in why(client(handle, max_bytes=999), ASK).reason
    assert "longer than 10 bytes" in why(client(handle), Ask(url=URL, max_bytes=10)).reason
    # An ask may want less than the client, and never more.
    assert "longer than 999 bytes" in why(client(handle, max_bytes=999), Ask(url=URL, max_bytes=5000)).reason


def test_several_members_of_gzip_are_one_body_and_a_cut_one_is_none() -> None:
    packed = {"Content-Encoding": "gzip", **JSON}
    two = gzip.compress(b"[1,") + gzip.compress(b"2]")
    assert answer(client(lambda request: httpx.Response(200, headers=packed, content=two)), ASK).body == b"[1,2]"
    cut = why(client(lambda request: httpx.Response(200, headers=packed, content=two[:-3])), ASK)
    assert "ends in the middle" in cut.reason
    junk = why(client(lambda request: httpx.Response(200, headers=packed, stream=httpx.ByteStream(b"{}"))), ASK)
    assert "not packed as it says" in junk.reason


def test_html_instead_of_a_document_is_said_with_its_first_words() -> None:
    page = b"<!DOCTYPE html>\n<html><head><style>a{}</style></head><body><h1>Too\x07 many</h1>\n<p>users</body></html>"
    trouble = why(client(lambda request: told(page, Content_Type="text/html; charset=utf-8")), ASK)
    assert trouble.reason == 'api.example.org/prices: HTML instead of application/json: "Too many users"'
    hidden = why(client(lambda request: told(page)), ATOM)
    assert 'HTML instead of application/xml or text/xml: "Too many users"' in hidden.reason


def test_a_media_type_is_compared_without_parameters_and_case() -> None:
    assert answer(client(lambda request: told(Content_Type="Text/XML; charset=UTF-8")), ATOM).media_type == "text/xml"
    trouble = why(client(lambda request: told(b"\x89PNG\0", Content_Type="image/png")), ASK)
    assert trouble.reason == "api.example.org/prices: image/png instead of application/json"


def test_a_status_that_a_provider_reads_is_an_answer_and_is_not_kept() -> None:
    web = Counted(lambda: told(b"{}", status=400, Cache_Control="max-age=900"))
    ask = Ask(url=URL, statuses=(200, 400))

    async def asked() -> list[int]:
        async with client(web) as asking:
            return [(await asking.fetch(ask, {})).status for _ in range(2)]

    assert run(asked()) == [400, 400]
    assert len(web.requests) == 2


def test_the_words_of_a_refusal_are_told_in_one_tame_line() -> None:
    body = b"quota\r\nexceeded\x1b[31m \xe2\x80\xae gone" + b" x" * 5000
    reason = why(client(lambda request: told(body, status=403, Content_Type="text/plain")), ASK).reason
    assert reason.startswith('api.example.org/prices: HTTP 403 Forbidden: "quota exceeded [31m gone x x')
    assert reason.isprintable()
    assert len(reason) < 200


# Redirects.


def led(*locations: str) -> Counted:
    """Redirects one after another, then an answer."""
    return Counted(*(lambda to=to: httpx.Response(302, headers={"Location": to}) for to in locations), told)


def test_redirects_are_followed_to_allowed_hosts_three_times() -> None:
    web = led("/b", "https://a.example.net/c?d=e", "https://b.example.net/f")
    assert answer(client(web), ASK).status == 200
    assert [str(request.url) for request in web.requests][1:] == [
        "https://api.example.org/b",
        "https://a.example.net/c?d=e",
        "https://b.example.net/f",
    ]
    web = led("/1", "/2", "/3", "/4")
    assert "redirected more than 3 times" in why(client(web), ASK).reason
    assert len(web.requests) == 4


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example.com/",
        "http://api.example.org/prices",
        "http://169.254.169.254/latest/",
        "http://[::ffff:a9fe:a9fe]/",
        "https://2130706433/",
        "http://prometheus.monitoring.svc:9090/",
        "file:///etc/passwd",
        "//localhost/",
        "https://user:pw@api.example.org/",
        "https://[",
        "",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(location: str) -> None:
    web = led(location)
    rules = HostRules(["api.example.org"], inside=["prometheus.monitoring.svc"])
    found = outcome(client(web, rules, redirects=1), ASK)
    assert isinstance(found, Unanswered) == bool(location)
    assert len(web.requests) == (1 if location else 2)


# Manners.


def test_we_say_who_we_are_and_keep_no_cookie() -> None:
    web = Counted(lambda: told(Set_Cookie="id=7; Path=/"))

    async def asked() -> None:
        async with client(web) as asking:
            for place in range(2):
                await asking.fetch(Ask(url=f"{URL}/{place}"), {})

    run(asked())
    for request in web.requests:
        assert request.headers["user-agent"] == agent_name()
        assert "cookie" not in request.headers
    assert agent_name("ops@example.org").endswith(" (+ops@example.org)")
    for contact in ("a b", "x)(", "é@x", "a\r\nHost: b"):
        with pytest.raises(Misconfigured):
            agent_name(contact)


@pytest.mark.parametrize(
    "name", ["Host", "host", "Content-Length", "Proxy-Connection", "Cookie", "Authorization", "If-Match", "a b", ""]
)
def test_headers_that_are_none_of_a_providers_are_refused(name: str) -> None:
    web = Counted(told)
    assert why(client(web), Ask(url=URL, headers={name: "x"})).final
    assert why(client(web), Ask(url=URL, headers={"X-Fine": "a\r\nHost: b"})).final
    assert not web.requests
    assert isinstance(outcome(client(web), Ask(url=URL, headers={"X-Fine": "yes"})), Answer)


def test_parameters_are_added_to_those_of_an_address() -> None:
    web = Counted(told)
    answer(client(web), Ask(url=f"{URL}?page=2#part", params={"zone": "DE-LU"}))
    assert str(web.requests[0].url) == f"{URL}?page=2&zone=DE-LU"


@pytest.mark.parametrize(
    "address", ["", "api.example.org", "https://", "https://api.example.org:99999/", "https://[::1", "\x00"]
)
def test_what_is_no_address_is_not_asked(address: str) -> None:
    web = Counted(told)
    assert why(client(web), Ask(url=address)).final
    assert not web.requests


TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
NAMES = st.sampled_from(
    ["Content-Type", "Content-Encoding", "Content-Length", "Date", "Expires", "Age", "Cache-Control", "ETag", "Retry-After"]
    + ["Last-Modified", "Location"]
)


@settings(max_examples=60, deadline=None)
@given(status=st.integers(200, 599), headers=st.dictionaries(NAMES, TEXTS, max_size=6), body=st.binary(max_size=200))
def test_whatever_comes_is_an_answer_or_unanswered(status: int, headers: dict[str, str], body: bytes) -> None:
    found = outcome(client(lambda request: httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))), ASK)
    if isinstance(found, Answer):
        assert (status, found.media_type) == (200, "application/json")
    else:
        assert found.reason.isprintable()


ANY_TEXT = st.text(max_size=40) | st.sampled_from(["x" * 70_000, "\ud800", "\r\nHost: a", "%00", "{}"])
PLACES = st.sampled_from(["https://api.example.org/", "https://api.example.org", "https://", "http://a.example.net/", "", "//"])


@settings(max_examples=60, deadline=None)
@given(place=PLACES, rest=ANY_TEXT, names=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=2), secret=ANY_TEXT)
def test_whatever_is_asked_is_answered_or_unanswered(place: str, rest: str, names: dict[str, str], secret: str) -> None:
    web = Counted(told)
    ask = Ask(url=place + rest, params=names, headers=names, secret_params={"key": "key"}, secret_headers={"X-Key": "key"})
    found = outcome(client(web), ask, {"key": secret})
    assert isinstance(found, Answer) == bool(web.requests)
    assert all(request.url.host == "api.example.org" for request in web.requests)
