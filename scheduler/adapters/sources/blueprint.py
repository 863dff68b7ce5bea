"""What a provider is: which requests it wants, how their answers become intervals. It opens no connection and keeps nothing.

`docs/signals.md` tells how to add one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from scheduler.domain.signals import Basis, Told


class BadAnswer(Exception):
    """An answer is not what its provider documents; the text says what was found, where in it, and what was expected."""


class NothingYet(BadAnswer):
    """The provider answers in good order that it has nothing for this time: an empty day, a price that is not published yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """Basic authorization: the names of the two credentials."""

    user: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """A bearer token: the name of the credential."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A bearer token that is had by logging in: one GET of `url` with basic authorization; it is a `member` of the JSON answer.

    The client keeps the token for lasts_s at most and forgets it at a 401, then logs in once more; the token is in no Answer,
    log, cache or error.
    """

    url: str
    basic: Basic
    member: str = "token"
    lasts_s: float = 1500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One GET. secret_params and secret_headers name what the client fills in from credentials: the name the provider wants by
    the name of the credential; neither ever stands in a log, a cache or an error, nor does what `authorization` leads to.

    accept: media types that an answer may have, lower case, without parameters. optional: the others are enough without it.
    statuses: HTTP statuses whose bodies the provider reads; any other is no answer. max_bytes: a body that is longer is no
    answer; None: the client's own limit, which holds anyway. anew: not from memory, and not "unchanged": the last answer was no
    good.
    """

    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_params: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict)
    accept: tuple[str, ...] = ("application/json",)
    optional: bool = False
    authorization: Basic | Bearer | Login | None = None
    statuses: tuple[int, ...] = (200,)
    max_bytes: int | None = None
    anew: bool = False

    def credentials(self) -> tuple[str, ...]:
        """The names of all credentials that it needs, each once."""
        match self.authorization:
            case Basic(user=user, password=password) | Login(basic=Basic(user=user, password=password)):
                more: tuple[str, ...] = (user, password)
            case Bearer(token=token):
                more = (token,)
            case None:
                more = ()
        return tuple(dict.fromkeys((*self.secret_params.values(), *self.secret_headers.values(), *more)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came: a complete body of an accepted type, not too long. issued_utc: its Last-Modified, else its Date."""

    ask: Ask
    body: bytes
    media_type: str
    fetched_utc: datetime
    issued_utc: datetime | None = None
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a provider as a policy states it: what it means, and its text when it is not given (None: it must be)."""

    name: str
    meaning: str
    default: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a provider has news. every_s: between two polls that went well. at: local times of day (`time_zone`) at which
    something is published, polled a little after, and again each `again_s` until it is there.
    """

    every_s: float
    at: tuple[str, ...] = ()
    time_zone: str = "UTC"
    again_s: float = 300.0


class Provider(Protocol):
    """One feed, made from its options by the factory that `providers/catalogue.py` names."""

    @property
    def schedule(self) -> Schedule:
        """When to ask."""
        ...

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """The requests of one poll; each may depend on nothing but time and options."""
        ...

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Requests that the first answers lead to (a next page, the newest file of an index); empty when there are none."""
        ...

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """What the answers say.

        Raises:
            BadAnswer: they are not what the provider documents. NothingYet: they say that there is nothing.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is known about a provider before one is made: for the catalogue, `signals providers` and `docs/signals.md`.

    quantities: what it can tell. hosts: those it asks unless an option says otherwise. credentials: names of the secrets that
    it needs (`secretRef` in a policy). optional_credentials: those that some of its options need; what one made of options
    really needs its asks tell. basis: of the carbon it tells; None when it tells none, or when its option `basis` says which.
    make is not here: `catalogue.py` pairs a card with its factory.
    """

    name: str
    title: str
    quantities: tuple[str, ...]
    options: tuple[Option, ...] = ()
    hosts: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    optional_credentials: tuple[str, ...] = ()
    basis: Basis | None = None
    licence: str = ""
