"""What comes: read in pieces, unpacked in pieces, and given up as soon as it is too long."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import httpx

from scheduler.adapters.sources.web.trouble import Unanswered, words_of
from scheduler.adapters.sources.web.wire import WIRE_ERRORS

# Of a page that is no answer so much is read for its first words.
GLANCE_BYTES = 4096
_PACKED = frozenset({"gzip", "x-gzip"})
_HTML = (b"<!doctype html", b"<html")


async def whole(response: httpx.Response, max_bytes: int) -> bytes:
    """A body, unpacked.

    Raises:
        Unanswered: it is longer than that, packed in a way that was not asked for, or was cut off.
    """
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:18]) > max_bytes:
        raise Unanswered(f"longer than {max_bytes} bytes: {announced[:18]} announced")
    found = await _beginning(response, max_bytes + 1)
    if len(found) > max_bytes:
        raise Unanswered(f"longer than {max_bytes} bytes")
    return found


async def glance(response: httpx.Response) -> bytes:
    """The first bytes of a body that is no answer; empty when it cannot be read."""
    try:
        return await _beginning(response, GLANCE_BYTES)
    except (Unanswered, *WIRE_ERRORS):
        return b""


async def _beginning(response: httpx.Response, most: int) -> bytes:
    """A body, unpacked, or so many bytes of it if it is longer."""
    packing = response.headers.get("content-encoding", "identity").strip().lower()
    if packing not in _PACKED | {"identity", ""}:
        raise Unanswered(f"packed as {packing[:20]!r}, which nobody asked for")
    unpacker = _Gzip() if packing in _PACKED else None
    found = bytearray()
    async for piece in response.aiter_raw():
        found += piece if unpacker is None else unpacker.unpacked(piece, most - len(found))
        if len(found) >= most:
            return bytes(found[:most])
    if unpacker is not None and not unpacker.over:
        raise Unanswered("ends in the middle of what was packed", heals=True)
    return bytes(found)


def media_type_of(response: httpx.Response) -> str:
    """What a body says that it is: lower case, without parameters."""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def refuse_type(media_type: str, body: bytes, accept: Sequence[str], secrets: tuple[str, ...]) -> None:
    """Refuse a body of another kind than was asked for.

    Raises:
        Unanswered: with its kind and its first words.
    """
    wanted = " or ".join(accept)
    is_html = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML)
    if is_html and not any("html" in one for one in accept):
        raise Unanswered(f"HTML instead of {wanted}: {words_of(body[:GLANCE_BYTES], secrets)}")
    if media_type not in accept:
        kind = f"{media_type[:60]} instead" if media_type else "a body that does not say what it is instead"
        raise Unanswered(f"{kind} of {wanted}{_quoted(body, secrets)}")


def _quoted(body: bytes, secrets: tuple[str, ...]) -> str:
    """First words of a body that is text."""
    start = body[:GLANCE_BYTES]
    words = words_of(start, secrets) if start and b"\0" not in start else ""
    return f": {words}" if words else ""


class _Gzip:
    """Unpacks gzip, one member after another, never more than wanted."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def over(self) -> bool:
        """Whether the last member has ended."""
        return self._member.eof

    def unpacked(self, piece: bytes, most: int) -> bytes:
        """What a piece holds, at most so many bytes of it (at least one is wanted)."""
        found = bytearray()
        try:
            while piece and len(found) < most:
                if self._member.eof:
                    self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
                found += self._member.decompress(piece, most - len(found))
                piece = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        except zlib.error:
            raise Unanswered("not packed as it says", heals=True) from None
        return bytes(found)
