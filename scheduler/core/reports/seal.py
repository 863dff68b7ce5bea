"""A report that shows when somebody has changed it: HMAC-SHA256 over its canonical JSON, with a key that both sides keep.

A shared key tells that the report is as it was made by somebody who has the key; it does not tell which of the two that was.
Who needs that signs the file with tools of his own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping

ALGORITHM = "HMAC-SHA256"
FIELD = "signature"
LEAST_KEY_BYTES = 16
KEY_ID_DIGITS = 16


def canonical(report: Mapping[str, object]) -> bytes:
    """The bytes that are signed: JSON without its signature, keys in order, no spaces."""
    said = {key: value for key, value in report.items() if key != FIELD}
    return json.dumps(said, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def key_id(key: bytes) -> str:
    """A name of a key that does not give it away."""
    return hmac.new(key, b"heat-dispatch key id", hashlib.sha256).hexdigest()[:KEY_ID_DIGITS]


def sealed(report: Mapping[str, object], key: bytes) -> dict[str, object]:
    """The report with its signature.

    Raises:
        ValueError: the key is too short to be one.
    """
    if len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"a key of {len(key)} bytes is too short")
    value = hmac.new(key, canonical(report), hashlib.sha256).hexdigest()
    signature = {"algorithm": ALGORITHM, "keyId": key_id(key), "value": value}
    return {**{name: one for name, one in report.items() if name != FIELD}, FIELD: signature}


def broken(report: Mapping[str, object], key: bytes) -> str:
    """Why a report's signature does not hold; empty when it does."""
    signature = report.get(FIELD)
    if not isinstance(signature, Mapping):
        return "there is no signature"
    if signature.get("algorithm") != ALGORITHM:
        return f"the algorithm is not {ALGORITHM}"
    if signature.get("keyId") != key_id(key):
        return "it was signed with another key"
    told = str(signature.get("value")).encode()
    right = hmac.new(key, canonical(report), hashlib.sha256).hexdigest().encode()
    return "" if hmac.compare_digest(told, right) else "the report was changed after it was signed"
