"""Ways in which a feed goes wrong: on the wire, in its headers, in its document. `FAULTS` names them all.

Those of a document know nothing of any provider: they see the lists in JSON, the `Point`s of ENTSO-E, the lines of CSV.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any

from signal_peer import PIECE_BYTES, Fault, Page, Wire

BIG_BYTES = 50 * 1024 * 1024
# A list that is a series, not a part of something else.
SERIES_LENGTH = 8
LOGIN_PAGE = (
    b"<!DOCTYPE html><html><head><title>Sign in</title><script>var a=1;</script></head><body>Please sign in</body></html>"
)
ENTITY_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + b"".join(f'<!ENTITY {name} "{f"&{before};" * 10}">'.encode() for before, name in zip("abcdefgh", "bcdefghi", strict=True))
    + b"]><lolz>&i;</lolz>"
)


@cache
def bomb() -> bytes:
    """50 MB of nothing, well packed."""
    return gzip.compress(b" " * BIG_BYTES, 9)


# On the wire.


def drip(wire: Wire, page: Page) -> None:
    """Promise everything and send a byte now and then."""
    status, headers, body = page
    body = body.ljust(1000)
    wire.head(status, {**headers, "Content-Length": str(len(body))})
    for at in range(len(body)):
        if not wire.send(body[at : at + 1]) or wire.over.wait(0.02):
            return


def silence(wire: Wire, page: Page) -> None:
    """Take the question and say nothing."""
    wire.over.wait(5.0)


def reset(wire: Wire, page: Page) -> None:
    """Hang up in the middle."""
    status, headers, body = page
    wire.head(status, {**headers, "Content-Length": str(len(body))})
    wire.send(body[: len(body) // 2])
    wire.reset()


def short(wire: Wire, page: Page) -> None:
    """End in good order before everything that was promised is there."""
    status, headers, body = page
    wire.head(status, {**headers, "Content-Length": str(len(body) + 10)})
    wire.send(body)


def huge(wire: Wire, page: Page) -> None:
    """50 MB."""
    status, headers, _ = page
    wire.head(status, {**headers, "Content-Length": str(BIG_BYTES)})
    for _ in range(BIG_BYTES // PIECE_BYTES):
        if not wire.send(b" " * PIECE_BYTES):
            return


def endless(wire: Wire, page: Page) -> None:
    """50 MB that nobody announced."""
    status, headers, _ = page
    wire.head(status, {**headers, "Transfer-Encoding": "chunked"})
    for _ in range(BIG_BYTES // PIECE_BYTES):
        if not wire.send(b"%x\r\n%b\r\n" % (PIECE_BYTES, b" " * PIECE_BYTES)):
            return


def no_http(wire: Wire, page: Page) -> None:
    """Speak another language."""
    wire.send(b"220 mail.example.org ESMTP\r\n")


# In status and headers.


def refused(status: int, words: str = "", **headers: str) -> Callable[[Page], Page]:
    """Another status, with a page about it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def bend(page: Page) -> Page:
        return status, {**page[1], "Content-Type": "text/plain", **named}, words.encode()

    return bend


def in_an_hour(page: Page) -> Page:
    """429, to be asked again at a date by the server's own clock."""
    asked = page[1].get("Date")
    now = (
        datetime.strptime(asked, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC) if asked else datetime(2026, 1, 1, tzinfo=UTC)
    )
    return 429, {**page[1], "Retry-After": format_datetime(now + timedelta(hours=1), usegmt=True)}, b"slow down"


def typed(media_type: str, body: bytes | None = None) -> Callable[[Page], Page]:
    """Another media type, perhaps another body."""

    def bend(page: Page) -> Page:
        return page[0], {**page[1], "Content-Type": media_type}, page[2] if body is None else body

    return bend


def bodied(change: Callable[[bytes], bytes], **headers: str) -> Callable[[Page], Page]:
    """Another body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def bend(page: Page) -> Page:
        return page[0], {**page[1], **named}, change(page[2])

    return bend


def moved(location: str) -> Callable[[Page], Page]:
    """A redirect."""

    def bend(page: Page) -> Page:
        return 302, {**page[1], "Location": location}, b""

    return bend


def skewed(page: Page) -> Page:
    """A clock that is two hours fast."""
    told = page[1].get("Date")
    if told is None:
        return page
    at = datetime.strptime(told, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC) + timedelta(hours=2)
    return (
        page[0],
        {**page[1], "Date": format_datetime(at, usegmt=True), "Last-Modified": format_datetime(at, usegmt=True)},
        page[2],
    )


# In the document.


def is_instant(value: object) -> bool:
    """Whether a value is more likely a time than an amount."""
    if isinstance(value, str):
        return bool(re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", value) or re.fullmatch(r"\d{9,13}", value))
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= 1e8


def is_amount(value: object) -> bool:
    """Whether a value is a number that is no time; as text too, as Prometheus has them."""
    if isinstance(value, str):
        return bool(re.fullmatch(r"-?\d+(\.\d+)?", value)) and not is_instant(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and not is_instant(value)


def amounts_replaced(value: Any, put: Callable[[Any], Any]) -> Any:
    """A value, or every amount in a record of a series, replaced."""
    if isinstance(value, dict):
        return {name: amounts_replaced(item, put) for name, item in value.items()}
    if isinstance(value, list):
        return [amounts_replaced(item, put) for item in value]
    return put(value) if is_amount(value) else value


def series_bent(value: Any, bend: Callable[[list[Any]], list[Any]]) -> Any:
    """A document with each of its series changed; the innermost lists that are long enough are series."""
    if isinstance(value, dict):
        return {name: series_bent(item, bend) for name, item in value.items()}
    if isinstance(value, list):
        return bend(value) if len(value) >= SERIES_LENGTH else [series_bent(item, bend) for item in value]
    return value


def every_third(put: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    """The amounts of every third record replaced."""
    return lambda series: [amounts_replaced(item, put) if at % 3 == 1 else item for at, item in enumerate(series)]


def in_json(bend: Callable[[list[Any]], list[Any]]) -> Callable[[bytes], bytes]:
    """A JSON document with its series changed; anything else stays."""

    def change(body: bytes) -> bytes:
        try:
            document = json.loads(body)
        except ValueError:
            return body
        return json.dumps(series_bent(document, bend)).encode()

    return change


def in_points(bend: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    """An XML document with the `Point`s of each period changed; anything else stays."""
    point = rb"<Point>.*?</Point>\s*"

    def change(body: bytes) -> bytes:
        return re.sub(
            rb"(?:%b)+" % point, lambda run: b"".join(bend(re.findall(point, run[0], re.DOTALL))), body, flags=re.DOTALL
        )

    return change


def in_lines(bend: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    """A CSV document with its lines changed, but for the first; anything else stays."""

    def change(body: bytes) -> bytes:
        if body.lstrip()[:1] in (b"{", b"[", b"<", b""):
            return body
        first, *lines = body.splitlines(keepends=True)
        return first + b"".join(bend(lines))

    return change


def one_of_each(
    series: Callable[[list[Any]], list[Any]],
    points: Callable[[list[bytes]], list[bytes]],
    lines: Callable[[list[bytes]], list[bytes]],
) -> Callable[[Page], Page]:
    """A fault of a document in whichever language it is."""

    def change(body: bytes) -> bytes:
        return in_lines(lines)(in_points(points)(in_json(series)(body)))

    return bodied(change)


def amounts_of_lines(put: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """The amounts of every third line replaced."""
    return lambda lines: [_AMOUNT.sub(put, line) if at % 3 == 1 else line for at, line in enumerate(lines)]


def amount_of_points(put: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """The price of every third point replaced."""
    pattern = rb"(<price\.amount>)[^<]*"
    return lambda points: [re.sub(pattern, rb"\g<1>" + put, one) if at % 3 == 1 else one for at, one in enumerate(points)]


# A decimal number that is all there is between two separators.
_AMOUNT = re.compile(rb"(?<=[;,\t])-?\d+[.,]\d+(?=[;,\t\r\n])")


def later(value: Any) -> Any:
    """A record half an hour later: it overlaps the next one."""
    if isinstance(value, dict):
        return {name: later(item) for name, item in value.items()}
    if isinstance(value, list):
        return [later(item) for item in value]
    if not is_instant(value):
        return value
    if isinstance(value, str) and not value.isdigit():
        return _later_text(value)
    step = 1_800_000 if float(value) > 1e11 else 1800
    return str(int(value) + step) if isinstance(value, str) else value + step


def _later_text(text: str) -> str:
    """Half an hour later, written as before."""
    at = datetime.strptime(text[:10] + text[11:16], "%Y-%m-%d%H:%M").replace(tzinfo=UTC) + timedelta(minutes=30)
    return f"{at:%Y-%m-%d}{text[10]}{at:%H:%M}{text[16:]}"


def issued_later(value: Any) -> Any:
    """A document whose times outside of any series are two hours later: when it was made, mostly."""
    if isinstance(value, dict):
        return {name: issued_later(item) for name, item in value.items()}
    if isinstance(value, list):
        return value if len(value) >= SERIES_LENGTH else [issued_later(item) for item in value]
    return later(later(later(later(value))))


def made_later(body: bytes) -> bytes:
    """A document of a clock that is two hours fast."""
    try:
        return json.dumps(issued_later(json.loads(body))).encode()
    except ValueError:
        return re.sub(
            rb"(<createdDateTime>)([^<]+)",
            lambda at: at[1] + later(later(later(later(at[2].decode())))).encode(),
            body,
        )


def coarser_at_first(items: list[Any]) -> list[Any]:
    """Every fourth of the first half, all of the second: quarter hours since midnight, hours before."""
    half = len(items) // 8 * 4
    return [*items[:half:4], *items[half:]]


def twice(items: list[Any]) -> list[Any]:
    """Everything told twice."""
    return [*items, *items]


def two_of_three(items: list[Any]) -> list[Any]:
    """Every third one left out."""
    return [item for at, item in enumerate(items) if at % 3 != 1]


def none_left(items: list[Any]) -> list[Any]:
    """Nothing."""
    return []


def raised(body: bytes) -> bytes:
    """All amounts a tenth higher: values are revised."""

    def put(value: Any) -> Any:
        return f"{float(value) * REVISION:.6f}" if isinstance(value, str) else value * REVISION

    body = in_json(lambda series: [amounts_replaced(item, put) for item in series])(body)
    pattern = rb"(<price\.amount>)([^<]*)"
    body = re.sub(pattern, lambda found: found[1] + b"%.6f" % (float(found[2]) * REVISION), body)
    return in_lines(lambda lines: [_raised_line(line) for line in lines])(body)


def _raised_line(line: bytes) -> bytes:
    """The amounts of a line a tenth higher."""

    def put(found: re.Match[bytes]) -> bytes:
        told = b"%.6f" % (float(found[0].replace(b",", b".")) * REVISION)
        return told.replace(b".", b",") if b"," in found[0] else told

    return _AMOUNT.sub(put, line)


def overlapping_periods(body: bytes) -> bytes:
    """Each period of a document told once more, half an hour later."""

    def again(found: re.Match[bytes]) -> bytes:
        moved = re.sub(rb"(<(?:start|end)>)([^<]+)", lambda at: at[1] + _later_text(at[2].decode()).encode(), found[0])
        return found[0] + moved

    return re.sub(rb"<Period>.*?</Period>", again, body, flags=re.DOTALL)


def overlapping_lines(lines: list[bytes]) -> list[bytes]:
    """The first half once more, seven minutes later."""
    moved = [re.sub(rb"\b(\d\d:)([0-5]\d)\b", lambda at: at[1] + b"%02d" % (int(at[2]) + 7), line) for line in lines]
    return [*lines, *moved[: len(lines) // 2]]


def overlapping(body: bytes) -> bytes:
    """Half of what is told is told once more, a little later."""
    body = in_json(lambda series: [*series, *map(later, series[: len(series) // 2])])(body)
    return in_lines(overlapping_lines)(overlapping_periods(body))


REVISION = 1.1

WIRE = (
    Fault(name="slow drip", send=drip),
    Fault(name="silence", send=silence),
    Fault(name="reset in the middle", send=reset),
    Fault(name="ends too early", send=short),
    Fault(name="50 MB", send=huge),
    Fault(name="50 MB unannounced", send=endless),
    Fault(name="no HTTP", send=no_http),
    Fault(
        name="gzip bomb",
        bend=lambda page: (page[0], {**page[1], "Content-Encoding": "gzip"}, bomb()),
    ),
    Fault(name="cut gzip", bend=bodied(lambda body: gzip.compress(body)[:-12], Content_Encoding="gzip")),
    Fault(name="unknown encoding", bend=bodied(lambda body: body, Content_Encoding="br")),
)
HEADERS = (
    Fault(name="401", bend=refused(401, "Invalid security token")),
    Fault(name="404", bend=refused(404)),
    Fault(name="429 for seconds", bend=refused(429, "slow down", Retry_After="3600")),
    Fault(name="429 until a date", bend=in_an_hour),
    Fault(name="500", bend=refused(500, "oops")),
    Fault(name="HTML", bend=typed("text/html; charset=utf-8", LOGIN_PAGE)),
    Fault(name="HTML that says it is not", bend=bodied(lambda body: LOGIN_PAGE)),
    Fault(name="wrong type", bend=typed("image/png")),
    Fault(name="no type", bend=lambda page: (page[0], {k: v for k, v in page[1].items() if k != "Content-Type"}, page[2])),
    Fault(name="redirect loop", bend=moved("?again=1")),
    Fault(name="redirect to a denied host", bend=moved("https://denied.example.net/steal")),
    Fault(name="redirect to metadata", bend=moved("http://169.254.169.254/latest/meta-data/")),
    Fault(name="not modified", bend=refused(304)),
    Fault(name="empty body", bend=bodied(lambda body: b"")),
    Fault(name="fast clock", bend=skewed),
)
DOCUMENT = (
    Fault(name="cut off", bend=bodied(lambda body: body[: len(body) * 2 // 3])),
    Fault(name="entity bomb", bend=lambda page: (page[0], page[1], ENTITY_BOMB)),
    Fault(name="deep nesting", bend=bodied(lambda body: b"[" * 200_000)),
    Fault(name="nulls", bend=one_of_each(every_third(lambda _: None), amount_of_points(b""), amounts_of_lines(b""))),
    Fault(
        name="NaN", bend=one_of_each(every_third(lambda _: float("nan")), amount_of_points(b"NaN"), amounts_of_lines(b"NaN"))
    ),
    Fault(
        name="infinite",
        bend=one_of_each(every_third(lambda _: float("inf")), amount_of_points(b"1e999"), amounts_of_lines(b"inf")),
    ),
    Fault(name="words", bend=one_of_each(every_third(lambda _: "n/a"), amount_of_points(b"n/a"), amounts_of_lines(b"n/a"))),
    Fault(name="duplicated", bend=one_of_each(twice, twice, twice)),
    Fault(name="missing", bend=one_of_each(two_of_three, lambda points: points, two_of_three)),
    Fault(name="coarser at first", bend=one_of_each(coarser_at_first, lambda points: points, coarser_at_first)),
    Fault(name="made later", bend=bodied(made_later)),
    Fault(name="overlapping", bend=bodied(overlapping)),
    Fault(name="backwards", bend=one_of_each(lambda items: items[::-1], lambda items: items[::-1], lambda items: items[::-1])),
    Fault(name="empty", bend=one_of_each(none_left, none_left, none_left)),
    Fault(name="revised", bend=bodied(raised)),
)
FAULTS = {fault.name: fault for fault in (*WIRE, *HEADERS, *DOCUMENT)}
