"""One client for all feeds: it asks whom it may, as often as it should, and brings a whole answer, or one line why not."""

from __future__ import annotations

import asyncio
import re
import secrets as random_bytes
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType

import httpx

from scheduler import __version__
from scheduler.adapters.sources.blueprint import Answer, Ask, Login
from scheduler.adapters.sources.web.body import glance, media_type_of, refuse_type, whole
from scheduler.adapters.sources.web.credentials import (
    Tokens,
    cleaned,
    filled,
    login_ask,
    public_headers,
    spellings,
    token_of,
)
from scheduler.adapters.sources.web.hosts import Denied, HostRules, host_of, port_of
from scheduler.adapters.sources.web.kept import Kept, Memory, dated, fresh_s, issued, key_of, may_be_kept
from scheduler.adapters.sources.web.manners import Doors, Limits, Pace, Times
from scheduler.adapters.sources.web.trouble import Unanswered, place_of, scrubbed, words_of
from scheduler.adapters.sources.web.wire import SECRETS, TIMEOUTS, WIRE_ERRORS, Secrets, Veil, transport_of
from scheduler.domain.errors import Misconfigured
from scheduler.units import S_PER_DAY

__all__ = ["Unanswered", "WebClient", "agent_name"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What may be otherwise in a moment; of everything else below 500 a repetition changes nothing.
HEALING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTACT = re.compile(r"[\x21-\x27\x2a-\x7e]{3,120}")


def agent_name(contact: str = "") -> str:
    """How we introduce ourselves; some feeds (MET Norway) demand an address of whoever runs this.

    Raises:
        Misconfigured: a contact that cannot stand in a header.
    """
    if contact and not _CONTACT.fullmatch(contact):
        expected = "an address of mail or web without spaces or brackets"
        raise Misconfigured(f"{contact[:40]!r}", where="contact", expected=expected)
    return f"heat-dispatch/{__version__}" + (f" (+{contact})" if contact else "")


@dataclass(slots=True, eq=False, kw_only=True)
class _Asked:
    """One ask under way: what is sent openly, what is added, until when it is worth a try, and what was answered before."""

    ask: Ask
    url: httpx.URL
    headers: dict[str, str]
    secrets: Secrets
    hidden: tuple[str, ...]
    key: bytes
    until_s: float
    kept: Kept | None = None


class WebClient:
    """Fetches what providers ask for; for one event loop, `async with` or `aclose` at the end."""

    def __init__(
        self,
        rules: HostRules,
        *,
        limits: Limits | None = None,
        user_agent: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
        times: Times | None = None,
    ) -> None:
        """Open nothing yet. transport: another way than to the web, for tests; names are judged all the same."""
        self._rules, self._limits, self._times = rules, limits or Limits(), times or Times()
        salt = random_bytes.token_bytes(32)
        self._salt, self._memory, self._tokens = salt, Memory(self._limits.kept_bytes), Tokens(salt)
        self._pace, self._doors = Pace(self._limits.per_host_s, self._limits.burst), Doors(self._limits.host_connections)
        # No feed may remember us, and none may learn what another one told us to remember.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        self._http = httpx.AsyncClient(
            transport=Veil(transport or transport_of(rules, self._limits)),
            headers={"User-Agent": user_agent or agent_name(), "Accept-Encoding": "gzip"},
            timeout=httpx.Timeout(self._limits.read_s, connect=self._limits.connect_s),
            cookies=no_cookies,
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> WebClient:
        """Nothing to open."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def fetch(self, ask: Ask, credentials: Mapping[str, str]) -> Answer:
        """The answer to an ask, from memory while it is fresh by its own word.

        Raises:
            Unanswered: there is none, within all limits and tries.
        """
        try:
            async with asyncio.timeout(self._limits.total_s):
                return await self._authorized(ask, credentials)
        except TimeoutError:
            trouble = Unanswered(f"{place_of(ask.url)}: no whole answer within {self._limits.total_s:g} s", heals=True)
        except Unanswered as error:
            trouble = error
        # Raised here, it drags along no exception that could tell more.
        raise trouble.without((*spellings(ask, credentials), *self._tokens.texts()))

    # Who asks.

    async def _authorized(self, ask: Ask, credentials: Mapping[str, str]) -> Answer:
        """Ask with credentials; with a token that has ended too early, log in anew once."""
        known, login = cleaned(ask, credentials), ask.authorization
        if not isinstance(login, Login):
            return await self._tried(self._asked(ask, known))
        token = self._tokens.get(login, known, self._now_s())
        if token:
            try:
                return await self._tried(self._asked(ask, known, token))
            except Unanswered as error:
                if error.status != httpx.codes.UNAUTHORIZED:
                    raise
            self._tokens.forget(login, known, token)
        token = await self._logged_in(login, known)
        return await self._tried(self._asked(ask, known, token))

    async def _logged_in(self, login: Login, known: Mapping[str, str]) -> str:
        """A new token; of several who want one at the same time, one logs in."""
        async with self._tokens.turn(login, known):
            token = self._tokens.get(login, known, self._now_s())
            if token:
                return token
            asked = self._asked(login_ask(login), known)
            asked.key = b""
            answer = await self._tried(asked)
            token = token_of(login, answer.body)
            self._tokens.put(login, known, token, self._now_s())
            return token

    def _asked(self, ask: Ask, known: Mapping[str, str], token: str = "") -> _Asked:
        """An ask made ready."""
        url = _address(ask)
        hidden = (*spellings(ask, known), *((token,) if token else ()))
        if scrubbed(str(url), hidden) != str(url):
            raise Unanswered(f"{place_of(ask.url)}: a credential stands openly in the address", final=True)
        return _Asked(
            ask=ask,
            url=url,
            headers={**public_headers(ask), "Accept": ", ".join(ask.accept)},
            secrets=filled(ask, known, token),
            hidden=hidden,
            key=key_of(ask, [known[name] for name in ask.credentials()], self._salt),
            until_s=self._now_s() + self._limits.total_s,
        )

    # How often.

    async def _tried(self, asked: _Asked) -> Answer:
        """Ask, and again what may heal."""
        if asked.ask.anew:
            self._memory.drop(asked.key)
        asked.kept = self._memory.get(asked.key)
        if asked.kept is not None and self._now_s() < asked.kept.fresh_until_s:
            return asked.kept.answer
        for trial in range(self._limits.tries):
            try:
                return await self._once(asked)
            except Unanswered as error:
                wait_s = self._pause_s(error, trial)
                if wait_s is None or self._now_s() + wait_s >= asked.until_s:
                    raise
            await self._times.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _pause_s(self, error: Unanswered, trial: int) -> float | None:
        """How long to wait before another try; None: there is none."""
        limits, jitter = self._limits, self._times.jitter()
        if not error.heals or trial + 1 >= limits.tries:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s + jitter * limits.backoff_s if error.retry_after_s <= limits.retry_after_s else None
        return min(limits.backoff_max_s, limits.backoff_s * 2.0**trial) * (0.5 + 0.5 * jitter)

    async def _turn(self, host: str) -> None:
        """Wait until a host may be asked.

        Raises:
            Unanswered: that is too long.
        """
        await self._rested(host)
        wait_s = self._pace.wait_s(host, self._now_s())
        if wait_s > self._limits.queue_s:
            raise Unanswered("too many requests wait for this host already", retry_after_s=wait_s)
        self._pace.take(host, self._now_s())
        if wait_s > 0.0:
            await self._times.sleep(wait_s)
            await self._rested(host)

    async def _rested(self, host: str) -> None:
        """Wait as long as a host wants to be left alone.

        Raises:
            Unanswered: that is too long.
        """
        rest_s = self._pace.rest_s(host, self._now_s())
        if rest_s > self._limits.retry_after_s:
            raise Unanswered("left alone for now, as it has asked", retry_after_s=rest_s)
        if rest_s > 0.0:
            await self._times.sleep(rest_s)

    # One try.

    async def _once(self, asked: _Asked) -> Answer:
        """One try, over redirects."""
        place = place_of(str(asked.url))
        try:
            return await self._followed(asked)
        except Unanswered as error:
            why = error
        except Denied as error:
            why = Unanswered(f"not asked: {error}", final=True)
        except TIMEOUTS as error:
            when = "no connection" if "Connect" in type(error).__name__ else "no answer"
            why = Unanswered(f"{when} in time", heals=True)
        except WIRE_ERRORS as error:
            why = _broken(error)
        why.reason = f"{place}: {why.reason}"
        raise why

    async def _followed(self, asked: _Asked) -> Answer:
        """The answer at the end of redirects; only the host that was asked gets to see credentials."""
        url, headers = asked.url, {**asked.headers, **(asked.kept.conditions() if asked.kept else {})}
        zone = self._rules.judge(url)
        for _ in range(self._limits.redirects + 1):
            secrets = asked.secrets if _origin(url) == _origin(asked.url) else Secrets()
            async with self._sent(url, headers, secrets) as response:
                if response.status_code not in REDIRECTS:
                    return await self._read(response, asked)
                url = _led_to(url, response, asked)
            if self._rules.judge(url) is not zone:
                raise Denied(f"{host_of(url)}: nobody is led from the outside to the inside, nor back")
        raise Unanswered(f"redirected more than {self._limits.redirects} times")

    @asynccontextmanager
    async def _sent(self, url: httpx.URL, headers: Mapping[str, str], secrets: Secrets) -> AsyncIterator[httpx.Response]:
        """The head of an answer, its body still to come."""
        await self._turn(_host(url))
        request = self._http.build_request("GET", url, headers=headers, extensions={SECRETS: secrets})
        async with self._doors.of(_host(url)):
            response = await self._http.send(request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()

    async def _read(self, response: httpx.Response, asked: _Asked) -> Answer:
        """What an answer is, by its status."""
        now_utc, status = self._times.clock.now_utc(), response.status_code
        fresh_until_s = self._now_s() + fresh_s(response, now_utc, self._limits.fresh_s)
        if status == httpx.codes.NOT_MODIFIED and asked.kept is not None:
            asked.kept = asked.kept.again(response, now_utc, fresh_until_s)
            self._memory.put(asked.key, asked.kept)
            return asked.kept.answer
        if status not in asked.ask.statuses:
            raise await self._refusal(response, asked, now_utc)
        most = min(self._limits.max_bytes, asked.ask.max_bytes or self._limits.max_bytes)
        body, media_type = await whole(response, most), media_type_of(response)
        refuse_type(media_type, body, asked.ask.accept, asked.hidden)
        answer = Answer(
            ask=replace(asked.ask, anew=False),
            body=body,
            media_type=media_type,
            fetched_utc=now_utc,
            issued_utc=issued(response, now_utc),
            status=status,
        )
        self._keep(answer, response, asked, fresh_until_s)
        return answer

    def _keep(self, answer: Answer, response: httpx.Response, asked: _Asked, fresh_until_s: float) -> None:
        """Keep an answer that can be asked for conditionally, or holds for a while."""
        etag, modified = response.headers.get("etag", ""), response.headers.get("last-modified", "")
        useful = bool(etag or modified) or fresh_until_s > self._now_s()
        if asked.key and useful and may_be_kept(response):
            kept = Kept(answer=answer, etag=etag, last_modified=modified, fresh_until_s=fresh_until_s)
            self._memory.put(asked.key, kept)
        else:
            self._memory.drop(asked.key)

    async def _refusal(self, response: httpx.Response, asked: _Asked, now_utc: datetime) -> Unanswered:
        """What another status means."""
        status = response.status_code
        words = words_of(await glance(response), asked.hidden)
        after_s = _retry_after_s(response, now_utc) if status in HEALING else None
        if after_s is not None:
            self._pace.rest(_host(response.request.url), self._now_s() + after_s)
        text = f"HTTP {status} {response.reason_phrase}".strip() + (f": {words}" if words else "")
        healing = status in HEALING
        return Unanswered(text, retry_after_s=after_s, final=400 <= status < 500 and not healing, heals=healing, status=status)

    def _now_s(self) -> float:
        return self._times.clock.monotonic_s()


def _address(ask: Ask) -> httpx.URL:
    """What is asked for, openly. Names of secrets vanish from it: what a page links to may repeat them.

    Raises:
        Unanswered: it is no address.
    """
    try:
        url = httpx.URL(ask.url)
        for name in ask.secret_params:
            url = url.copy_remove_param(name)
        url = url.copy_with(fragment=None)
        return url.copy_merge_params(dict(ask.params)) if ask.params else url
    except (httpx.InvalidURL, UnicodeError):
        raise Unanswered("no address that can be asked", final=True) from None


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    """Whom an address asks."""
    return url.scheme, host_of(url), port_of(url)


def _host(url: httpx.URL) -> str:
    """Host and port, for the pace."""
    return f"{host_of(url)}:{port_of(url)}"


def _led_to(url: httpx.URL, response: httpx.Response, asked: _Asked) -> httpx.URL:
    """Where a redirect leads, without the secrets that it may repeat; whether we go there is judged before we do."""
    try:
        target = url.join(response.headers.get("location", "")).copy_with(fragment=None)
    except httpx.InvalidURL:
        raise Unanswered(f"HTTP {response.status_code} leads to no address") from None
    for name in asked.ask.secret_params:
        target = target.copy_remove_param(name)
    if scrubbed(str(target), asked.hidden) != str(target):
        raise Unanswered(f"HTTP {response.status_code} leads to an address with a credential in it")
    return target


def _retry_after_s(response: httpx.Response, now_utc: datetime) -> float | None:
    """`Retry-After` in seconds (RFC 9110, 10.2.3), a date by the clock that it was made with; at most a day."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return min(S_PER_DAY, float(text[:9]))
    at_utc = dated(text)
    if at_utc is None:
        return None
    sent_utc = dated(response.headers.get("date")) or now_utc
    return min(S_PER_DAY, max(0.0, (at_utc - sent_utc).total_seconds()))


def _broken(error: BaseException) -> Unanswered:
    """What is wrong with a connection, in words."""
    text = str(error).partition("\n")[0][:200]
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return Unanswered(f"its certificate is not believed: {text.rpartition('failed: ')[2]}")
    if isinstance(error, httpx.ProxyError):
        return Unanswered(f"the proxy says: {text}", heals=True)
    if "LocalProtocol" in type(error).__name__:
        return Unanswered("a request that HTTP does not allow", final=True)
    kind = type(error).__name__.removesuffix("Error").lower()
    return Unanswered(text or f"the connection broke off ({kind})", heals=True)
