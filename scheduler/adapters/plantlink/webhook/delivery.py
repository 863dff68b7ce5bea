"""One try at one receiver: to the host that was named and no other, no redirect, little read, all within a time."""

from __future__ import annotations

import asyncio
import ssl
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from scheduler.adapters.plantlink.file_stamp import FileStamp, file_stamp
from scheduler.adapters.plantlink.webhook.news import News
from scheduler.adapters.plantlink.webhook.signature import secrets_of, signed
from scheduler.adapters.sources.web.body import glance
from scheduler.adapters.sources.web.client import agent_name
from scheduler.adapters.sources.web.hosts import Denied, HostRules, Zone, host_of, literal, port_of
from scheduler.adapters.sources.web.manners import Limits
from scheduler.adapters.sources.web.trouble import one_line
from scheduler.adapters.sources.web.wire import WIRE_ERRORS, Direct, Pinned
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import WebhookOptions

MAX_SECRET_BYTES = 4096
CONNECTIONS = 4
# A receiver that wants to be left alone for longer is asked again after so long all the same: a boiler waits for it.
RETRY_AFTER_S = 60.0


class Undelivered(Exception):
    """The receiver has not taken it; retry_after_s: how long it wants to be left alone, if it says."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        """Keep both."""
        super().__init__(reason)
        self.reason, self.retry_after_s = reason, retry_after_s


class Door:
    """The way to one receiver; for one event loop, `aclose` at the end."""

    def __init__(self, options: WebhookOptions) -> None:
        """Judge the address, read the secret once to see that it can be read; connect to nothing.

        Raises:
            Misconfigured: an address that may not be asked, a secret or authority that cannot be read.
        """
        self._options = options
        self._url, self._rules = judged(options.url)
        _secrets(options)
        self._stamp = self._stamp_now()
        self._http = self._opened()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    def _opened(self) -> httpx.AsyncClient:
        """A client that has connected to nothing yet and trusts whom the file says now."""
        return httpx.AsyncClient(
            transport=Direct(Pinned(self._rules), _trust(self._options), Limits(connections=CONNECTIONS)),
            headers={"User-Agent": agent_name(), "Content-Type": "application/json"},
            timeout=httpx.Timeout(self._options.timeout_s),
            follow_redirects=False,
            trust_env=False,
        )

    async def _renew(self) -> None:
        """Connect anew once the authority's file was renewed; one that cannot be read changes nothing."""
        stamp = self._stamp_now()
        if stamp is not None and stamp != self._stamp:
            before, self._http, self._stamp = self._http, self._opened(), stamp
            await before.aclose()

    def _stamp_now(self) -> FileStamp | None:
        return file_stamp(Path(self._options.ca)) if self._options.ca else None

    async def post(self, news: News, now_utc: datetime) -> None:
        """Try once.

        Raises:
            Undelivered: with why, and without secrets.
        """
        try:
            headers = signed(_secrets(self._options), news.message_id, int(now_utc.timestamp()), news.body)
            async with asyncio.timeout(self._options.timeout_s):
                status, retry_after = await self._sent(news.body, headers)
        except TimeoutError:
            why = f"no answer within {self._options.timeout_s:g} s"
        except Denied as error:
            why = f"not asked: {error}"
        except Misconfigured as error:
            why = str(error)
        except WIRE_ERRORS as error:
            why = one_line(str(error), 120) or type(error).__name__
        else:
            if httpx.codes.is_success(status):
                return
            if httpx.codes.is_redirect(status):
                raise Undelivered(f"HTTP {status}: redirects are not followed; name the address that answers itself")
            raise Undelivered(f"HTTP {status}", retry_after_s(retry_after, now_utc))
        raise Undelivered(why)

    async def _sent(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """Status and `Retry-After` of the answer; of its body the beginning is read, so that the connection serves again."""
        await self._renew()
        async with self._http.stream("POST", self._url, content=body, headers=headers) as response:
            await glance(response)
            return response.status_code, response.headers.get("retry-after", "")


def judged(url: str) -> tuple[httpx.URL, HostRules]:
    """An address, and rules by which it alone may be reached.

    Plants have private networks, so private addresses may be reached; never those of the machine that we run on, unless the
    address says so, and never link-local ones, where clouds tell machines their credentials.

    Raises:
        Misconfigured: no address that may be asked.
    """
    where, expected = "webhook url", "https://HOST[:PORT]/PATH without user, query or fragment"
    try:
        found = httpx.URL(url)
        if found.userinfo or found.query or found.fragment or not found.host:
            raise Misconfigured("holds a user, query or fragment, or no host", where=where, expected=expected)
        host, port = host_of(found), port_of(found)
        address = literal(host)
        entry = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        loopback = host == "localhost" or (address is not None and address.is_loopback)
        rules = HostRules((entry,), allow_loopback=True) if loopback else HostRules((), inside=(entry,))
        zone = rules.judge(found)
        if address is not None:
            rules.reachable(zone, host, [host])
    except (httpx.InvalidURL, UnicodeError):
        raise Misconfigured("no address", where=where, expected=expected) from None
    except Denied as error:
        raise Misconfigured(str(error), where=where, expected=expected) from None
    if zone is not Zone.LOOPBACK and found.scheme != "https":
        raise Misconfigured("http over a network: anybody could read and delay it", where=where, expected=expected)
    return found, rules


def retry_after_s(header: str, now_utc: datetime) -> float | None:
    """Seconds that a `Retry-After` asks for, at most a minute; None when it asks for nothing."""
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return min(RETRY_AFTER_S, float(text[:9]))
    try:
        seconds = (parsedate_to_datetime(text) - now_utc).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(RETRY_AFTER_S, max(0.0, seconds))


def _trust(options: WebhookOptions) -> ssl.SSLContext:
    """Whom we believe to be the receiver: who has a certificate of the plant's authority, or of those that most trust.

    Raises:
        Misconfigured: the file cannot be read.
    """
    if not options.ca:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=options.ca)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise Misconfigured(f"{options.ca}: {why}", where="webhook ca", expected="a PEM file of the authority") from None


def _secrets(options: WebhookOptions) -> tuple[bytes, ...]:
    """The secrets as the file says now.

    Raises:
        Misconfigured: it says none.
    """
    file, expected = (
        options.credential.secret_file,
        "one secret of at least 24 bytes, or two lines while one replaces the other",
    )
    try:
        with Path(file).open("rb") as opened:
            return secrets_of(opened.read(MAX_SECRET_BYTES).decode())
    except OSError as error:
        raise Misconfigured(f"{file}: {error.strerror}", where="webhook secret", expected=expected) from None
    except UnicodeDecodeError:
        raise Misconfigured(f"{file}: no text", where="webhook secret", expected=expected) from None
    except ValueError as error:
        raise Misconfigured(f"{file}: {error}", where="webhook secret", expected=expected) from None
