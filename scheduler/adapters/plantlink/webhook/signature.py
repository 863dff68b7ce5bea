"""Signatures of webhooks: HMAC-SHA256 over id, time and body, in the headers of Standard Webhooks; both sides.

    webhook-signature: v1,BASE64(HMAC-SHA256(secret, "ID.TIMESTAMP.BODY")) [v1,... of the second secret]

The receiver checks the signature, that the time is within five minutes, and that it has not seen the id before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
VERSION = "v1"
PREFIX = "whsec_"
LEAST_BYTES, MOST_SECRETS = 24, 2
TOLERANCE_S = 300
MAX_ID = 200
MAX_SIGNATURES = 8


class NotGenuine(ValueError):
    """Not ours, too old, or seen before; says which."""


def secrets_of(text: str) -> tuple[bytes, ...]:
    """The secrets of a file, one a line: one, or two while one takes the place of the other.

    Args:
        text: each line `whsec_` and Base64, or plain text; at least 24 bytes.

    Raises:
        ValueError: with what is wrong, never with the secret.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not 0 < len(lines) <= MOST_SECRETS:
        raise ValueError(f"{len(lines)} secrets, expected one, or two of which one is on its way out")
    found = tuple(_secret(line) for line in lines)
    if min(map(len, found)) < LEAST_BYTES:
        raise ValueError(f"a secret is shorter than {LEAST_BYTES} bytes")
    return found


def _secret(line: str) -> bytes:
    if not line.startswith(PREFIX):
        return line.encode()
    try:
        return base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret begins with {PREFIX} and is no Base64") from None


def signed(secrets: Sequence[bytes], message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Headers of a message: who, when, and a signature with each secret.

    Args:
        secrets: at least one.
        message_id: the same for each try at the same message.
        at_s: seconds since 1970, of this try.
        body: as it is sent, byte for byte.
    """
    signatures = " ".join(f"{VERSION},{_signature(secret, message_id, str(at_s), body)}" for secret in secrets)
    return {ID: message_id, TIMESTAMP: str(at_s), SIGNATURE: signatures}


def verified(
    secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes, now_s: float, tolerance_s: float = TOLERANCE_S
) -> str:
    """The id of a genuine message, for the receiver; whether it was seen before is `Replays`' to say.

    Args:
        secrets: of which one must have signed.
        headers: with names in lower case.
        body: as it came, byte for byte, before any parser has touched it.
        now_s: seconds since 1970.
        tolerance_s: how far the clocks may be apart, and how long a message may be under way.

    Raises:
        NotGenuine: it is not.
    """
    message_id, stamped, given = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not 0 < len(message_id) <= MAX_ID or not stamped.isascii() or not stamped.isdecimal() or len(stamped) > 12:
        raise NotGenuine("without id or time")
    if abs(now_s - int(stamped)) > tolerance_s:
        raise NotGenuine("too old, or from the future")
    expected = [_signature(secret, message_id, stamped, body).encode() for secret in secrets]
    for one in given.split(" ", MAX_SIGNATURES)[:MAX_SIGNATURES]:
        version, _, signature = one.partition(",")
        # All are compared, in constant time: how long it takes tells nothing of which one fits.
        fits = [hmac.compare_digest(signature.encode("utf-8", "replace"), right) for right in expected]
        if version == VERSION and any(fits):
            return message_id
    raise NotGenuine("not signed with this secret")


class Replays:
    """Ids that a receiver has seen, for as long as a repetition would still be genuine."""

    def __init__(self, kept_s: float = 2.0 * TOLERANCE_S, most: int = 100_000) -> None:
        """Nothing is seen yet."""
        self._kept_s, self._most = kept_s, most
        self._seen: OrderedDict[str, float] = OrderedDict()

    def is_new(self, message_id: str, now_s: float) -> bool:
        """Whether an id comes for the first time; it is seen from now on."""
        while self._seen and (len(self._seen) >= self._most or next(iter(self._seen.values())) < now_s - self._kept_s):
            self._seen.popitem(last=False)
        if message_id in self._seen:
            return False
        self._seen[message_id] = now_s
        return True


def _signature(secret: bytes, message_id: str, stamped: str, body: bytes) -> str:
    text = b".".join((message_id.encode(), stamped.encode(), body))
    return base64.b64encode(hmac.digest(secret, text, hashlib.sha256)).decode()
