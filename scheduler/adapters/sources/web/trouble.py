"""Why nothing came: in one line that anybody may read."""

from __future__ import annotations

import re

import httpx

HIDDEN = "[hidden]"
# Shorter ones would blot out half of any text, and protect nothing.
LEAST_SECRET = 4
WORDS_CHARACTERS = 90
_UNSEEN = re.compile(rb"<(script|style|head)\b.{0,20000}?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(rb"<title\b[^>]{0,200}>([^<]{1,300})", re.IGNORECASE)
_TAG = re.compile(rb"<[^<>]{0,500}>")


class Unanswered(Exception):
    """No answer. reason: one line without secrets. retry_after_s: how long the other side wants to be left alone, if it says.

    final: asking again is no use before somebody has changed something (a token, an address, a list of hosts). heals: it may
    be gone in a moment.
    """

    def __init__(
        self, reason: str, *, retry_after_s: float | None = None, final: bool = False, heals: bool = False, status: int = 0
    ) -> None:
        """Keep what is known."""
        super().__init__(reason)
        self.reason, self.retry_after_s, self.final, self.heals, self.status = reason, retry_after_s, final, heals, status

    def without(self, secrets: tuple[str, ...]) -> Unanswered:
        """The same, certainly without some texts, and without the chain of what led to it."""
        return Unanswered(
            one_line(scrubbed(self.reason, secrets)),
            retry_after_s=self.retry_after_s,
            final=self.final,
            heals=self.heals,
            status=self.status,
        )


def scrubbed(text: str, secrets: tuple[str, ...]) -> str:
    """A text without secrets; longer ones first, since one may be part of another."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= LEAST_SECRET:
            text = text.replace(secret, HIDDEN)
    return text


def one_line(text: str, most: int = 300) -> str:
    """A text that a log or a terminal can show: one line, nothing that is not printed, not too long."""
    text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return text if len(text) <= most else text[: most - 3] + "..."


def words_of(body: bytes, secrets: tuple[str, ...]) -> str:
    """The first words of a page, quoted: its title if it has one, else its text without tags; empty for an empty page."""
    plain = scrubbed(body.decode("utf-8", "replace"), secrets).encode()
    title = _TITLE.search(plain)
    seen = title[1] if title else _TAG.sub(b" ", _UNSEEN.sub(b" ", plain))
    text = one_line(scrubbed(seen.decode("utf-8", "replace"), secrets), WORDS_CHARACTERS)
    return f'"{text}"' if text else ""


def place_of(address: str) -> str:
    """Host and path of an address: no query, no user."""
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, UnicodeError):
        return "no address"
    return one_line(f"{url.host}{url.path}", 120)
