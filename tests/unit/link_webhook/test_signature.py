"""Signatures of webhooks, as the receiver checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.plantlink.webhook.signature import NotGenuine, Replays, secrets_of, signed, verified

SECRET, OTHER = b"a" * 24, b"b" * 24
BODY = b'{"type":"schedule"}'
NOW_S = 1_750_000_000


def test_the_signature_is_the_one_of_standard_webhooks() -> None:
    found = signed([SECRET], "msg_1", NOW_S, BODY)
    expected = base64.b64encode(hmac.new(SECRET, b"msg_1.1750000000." + BODY, hashlib.sha256).digest()).decode()
    assert found == {"webhook-id": "msg_1", "webhook-timestamp": "1750000000", "webhook-signature": f"v1,{expected}"}


def test_the_example_of_the_standard_is_verified() -> None:
    # From the reference implementation's tests: this secret, id, time and body give this signature.
    secrets = secrets_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secrets", [[SECRET], [OTHER, SECRET], [SECRET, OTHER]])
def test_either_secret_of_a_rotation_is_enough(secrets: list[bytes]) -> None:
    assert verified(secrets, signed([SECRET], "m", NOW_S, BODY), BODY, NOW_S) == "m"
    assert verified([SECRET], signed(secrets, "m", NOW_S, BODY), BODY, NOW_S) == "m"


@pytest.mark.parametrize(
    ("changed", "body", "now_s", "why"),
    [
        ({}, BODY + b" ", NOW_S, "not signed"),
        ({"webhook-id": "n"}, BODY, NOW_S, "not signed"),
        ({"webhook-timestamp": str(NOW_S + 1)}, BODY, NOW_S, "not signed"),
        ({}, BODY, NOW_S + 301, "too old"),
        ({}, BODY, NOW_S - 301, "future"),
        ({"webhook-timestamp": "²"}, BODY, NOW_S, "without"),
        ({"webhook-id": ""}, BODY, NOW_S, "without"),
        ({"webhook-signature": ""}, BODY, NOW_S, "not signed"),
        ({"webhook-signature": "v1,\udcff"}, BODY, NOW_S, "not signed"),
    ],
)
def test_what_was_changed_or_kept_is_not_genuine(changed: dict[str, str], body: bytes, now_s: float, why: str) -> None:
    headers = {**signed([SECRET], "m", NOW_S, BODY), **changed}
    with pytest.raises(NotGenuine, match=why):
        verified([SECRET], headers, body, now_s)


def test_a_signature_of_another_version_is_none() -> None:
    headers = signed([SECRET], "m", NOW_S, BODY)
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v2,")
    with pytest.raises(NotGenuine):
        verified([SECRET], headers, BODY, NOW_S)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=80))
def test_whatever_comes_is_genuine_or_not_and_nothing_else(message_id: str, stamped: str, signature: str) -> None:
    headers = {"webhook-id": message_id, "webhook-timestamp": stamped, "webhook-signature": signature}
    with pytest.raises(NotGenuine):
        verified([SECRET], headers, BODY, NOW_S)


def test_an_id_is_new_once_until_it_could_not_be_genuine_any_more() -> None:
    replays = Replays(kept_s=10.0, most=3)
    assert [replays.is_new("a", 0.0), replays.is_new("a", 9.0), replays.is_new("b", 9.0)] == [True, False, True]
    assert replays.is_new("a", 11.0)
    assert [replays.is_new(one, 12.0) for one in "cdef"] == [True] * 4
    assert len(replays._seen) <= 3
