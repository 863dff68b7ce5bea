"""Credentials: filled into one request, and known by all their spellings so that they can be kept out of every text."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Mapping
from urllib.parse import quote, quote_plus
from weakref import WeakValueDictionary

from scheduler.adapters.sources.blueprint import Ask, Basic, Bearer, Login
from scheduler.adapters.sources.web.trouble import Unanswered, place_of
from scheduler.adapters.sources.web.wire import Secrets

AUTHORIZATION = "Authorization"
# The client's own matter, or a way to say something to somebody else than the host that was judged.
OURS = frozenset({"host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "cookie", "accept", "range"})
OURS_BEGINNINGS = ("proxy-", "if-", "accept-encoding", "x-forwarded", "forwarded")
# A JSON web token with many claims; most servers take no longer header.
MOST_CHARACTERS = 6000
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,60}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4000}")


def cleaned(ask: Ask, credentials: Mapping[str, str]) -> dict[str, str]:
    """The credentials that an ask needs, without the white space that files end with.

    Raises:
        Unanswered: one is missing or can be none.
    """
    found = {name: credentials.get(name, "").strip() for name in ask.credentials()}
    for name, value in found.items():
        if not value:
            raise Unanswered(f"the credential {name!r} is {'empty' if name in credentials else 'missing'}", final=True)
        if len(value) > MOST_CHARACTERS:
            raise Unanswered(f"the credential {name!r} is longer than {MOST_CHARACTERS} characters", final=True)
        if not value.isprintable():
            raise Unanswered(f"the credential {name!r} holds a line break or another character that nobody sees", final=True)
    for name in (*ask.secret_headers.values(), *((ask.authorization.token,) if isinstance(ask.authorization, Bearer) else ())):
        if not found[name].isascii():
            raise Unanswered(f"the credential {name!r} has letters that a header cannot have", final=True)
    return found


def filled(ask: Ask, known: Mapping[str, str], token: str = "") -> Secrets:
    """What is added to a request: `known` are cleaned credentials, `token` is what a login gave."""
    headers = {header: known[name] for header, name in ask.secret_headers.items()}
    match ask.authorization:
        case Basic() as basic:
            headers[AUTHORIZATION] = f"Basic {_joined(basic, known)}"
        case Bearer(token=name):
            headers[AUTHORIZATION] = f"Bearer {known[name]}"
        case Login():
            headers[AUTHORIZATION] = f"Bearer {token}"
    return Secrets(params={param: known[name] for param, name in ask.secret_params.items()}, headers=headers)


def public_headers(ask: Ask) -> dict[str, str]:
    """The headers that an ask states, if they may be sent.

    Raises:
        Unanswered: one is the client's own, a place for secrets, or no header.
    """
    for name, value in ask.headers.items():
        low = name.lower()
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise Unanswered(f"no header: {name[:40]!r}", final=True)
        if low in OURS or low.startswith(OURS_BEGINNINGS):
            raise Unanswered(f"the header {name} is set by nobody but the client", final=True)
        if low == AUTHORIZATION.lower():
            raise Unanswered(f"the header {name} belongs into a Secret", final=True)
    return dict(ask.headers)


def spellings(ask: Ask, credentials: Mapping[str, str]) -> tuple[str, ...]:
    """All texts by which the credentials of an ask may come back."""
    known = {name: credentials.get(name, "").strip() for name in ask.credentials()}
    if not all(value.isprintable() for value in known.values()):
        return tuple(known.values())  # `cleaned` refuses them: they are sent to nobody, who could send them back
    texts = list(known.values())
    match ask.authorization:
        case (Basic() as basic) | Login(basic=basic):
            texts.append(_joined(basic, known))
    return tuple({form for text in texts if text for form in (text, quote(text), quote(text, safe=""), quote_plus(text))})


def _joined(basic: Basic, known: Mapping[str, str]) -> str:
    """User and password as basic authorization has them (RFC 7617)."""
    return base64.b64encode(f"{known[basic.user]}:{known[basic.password]}".encode()).decode()


class Tokens:
    """What logins gave, by who logged in where; forgotten when its time is over."""

    def __init__(self, salt: bytes) -> None:
        """Know nothing. `salt` keeps the keys from telling what they are made of."""
        self._salt = salt
        self._known: dict[bytes, tuple[str, float]] = {}
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def turn(self, login: Login, known: Mapping[str, str]) -> asyncio.Lock:
        """Held by whoever logs in, so that all others who want to wait for his token."""
        key = self._key(login, known)
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = asyncio.Lock()
        return turn

    def get(self, login: Login, known: Mapping[str, str], now_s: float) -> str:
        """A token that still holds; empty when there is none."""
        token, until_s = self._known.get(self._key(login, known), ("", 0.0))
        return token if now_s < until_s else ""

    def put(self, login: Login, known: Mapping[str, str], token: str, now_s: float) -> None:
        """Keep a token for its time."""
        self._known = {key: kept for key, kept in self._known.items() if now_s < kept[1]}
        self._known[self._key(login, known)] = (token, now_s + login.lasts_s)

    def forget(self, login: Login, known: Mapping[str, str], token: str) -> None:
        """It does not hold any more; one that somebody has got since may."""
        key = self._key(login, known)
        if self._known.get(key, ("", 0.0))[0] == token:
            del self._known[key]

    def texts(self) -> tuple[str, ...]:
        """All tokens, so that they can be kept out of texts."""
        return tuple(token for token, _ in self._known.values())

    def _key(self, login: Login, known: Mapping[str, str]) -> bytes:
        """Who logs in where."""
        said = repr((login.url, login.member, known[login.basic.user], known[login.basic.password]))
        return hashlib.blake2b(said.encode(), key=self._salt, digest_size=16).digest()


def login_ask(login: Login) -> Ask:
    """The request that asks for a token."""
    return Ask(url=login.url, authorization=login.basic, accept=("application/json",), max_bytes=1 << 16)


def token_of(login: Login, body: bytes) -> str:
    """The token in the answer to a login.

    Raises:
        Unanswered: there is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    token = document.get(login.member) if isinstance(document, dict) else None
    if not isinstance(token, str) or not token.strip() or not _HEADER_VALUE.fullmatch(token):
        raise Unanswered(f"{place_of(login.url)}: the login answers without a text {login.member!r}")
    return token.strip()
