"""Signatures are exactly as the standard says, and only this installation can read the keys."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from requests_app.domain import clock
from requests_app.messages.webhooks import sealing
from requests_app.messages.webhooks.standard import Keys, headers

#: Examples from the standard and its libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#: RFC 8032, 7.1, test 1: the seed and its public key.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def the_keys() -> Keys:
    return Keys.parse(SECRET, "whsk_" + base64.b64encode(SEED).decode())


def sent(keys: list[Keys], body: bytes = BODY) -> dict[str, str]:
    return headers(ID, dt.datetime.fromtimestamp(AT, tz=dt.UTC), body, keys)


def is_v1a(whpk: str, found: dict[str, str], body: bytes) -> bool:
    """Return whether a `v1a` signature of a message is valid, checked in the way that the standard describes."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(whpk.removeprefix("whpk_")))
    signed = f"{found['webhook-id']}.{found['webhook-timestamp']}.".encode() + body
    for each in found["webhook-signature"].split(" "):
        version, _comma, signature = each.partition(",")
        try:
            if version == "v1a":
                key.verify(base64.b64decode(signature), signed)
                return True
        except InvalidSignature:
            continue
    return False


def test_the_vector_of_the_standard() -> None:
    found = sent([the_keys()])
    assert (found["webhook-id"], found["webhook-timestamp"]) == (ID, str(AT))
    first, second = found["webhook-signature"].split(" ")
    assert first == SIGNATURE
    assert second.startswith("v1a,")


def test_the_public_half_is_that_of_rfc_8032() -> None:
    assert the_keys().whpk == "whpk_" + base64.b64encode(PUBLIC).decode()
    assert is_v1a(the_keys().whpk, sent([the_keys()]), BODY)
    assert not is_v1a(the_keys().whpk, sent([the_keys()]), BODY + b" ")
    assert not is_v1a(Keys.new().whpk, sent([the_keys()]), BODY)


def test_the_standards_own_library_takes_it() -> None:
    keys, body = Keys.new(), b'{"type":"grant.closed"}'
    found = headers("msg_1", clock.now(), body, [keys])
    assert Webhook(keys.whsec).verify(body, found) == {"type": "grant.closed"}
    with pytest.raises(WebhookVerificationError):
        Webhook(Keys.new().whsec).verify(body, found)
    with pytest.raises(WebhookVerificationError):
        Webhook(keys.whsec).verify(body.replace(b"closed", b"opened"), found)


def test_during_a_rotation_either_key_is_enough() -> None:
    old, new, body = Keys.new(), Keys.new(), b"{}"
    found = headers("msg_1", clock.now(), body, [new, old])
    for keys in (old, new):
        assert Webhook(keys.whsec).verify(body, found) == {}
        assert is_v1a(keys.whpk, found, body)


def test_a_secret_has_as_many_bytes_as_the_standard_asks_for() -> None:
    keys = Keys.new()
    assert 24 <= len(base64.b64decode(keys.whsec.removeprefix("whsec_"))) <= 64
    assert len(base64.b64decode(keys.whpk.removeprefix("whpk_"))) == 32
    assert keys != Keys.new()


@pytest.mark.parametrize("pair", [("MfKQ9r8GKYqrTwjU", "whsk_AA=="), (SECRET, "whpk_AA=="), ("whsec_%", "whsk_AA==")])
def test_a_malformed_webhook_key_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="begin|base64|padding"):
        Keys.parse(*pair)


def test_keys_do_not_show_themselves() -> None:
    keys = Keys.new()
    assert keys.whsec.removeprefix("whsec_")[:8] not in f"{keys!r} {keys}"
    assert repr(keys.secret)[2:10] not in f"{keys!r} {keys}"


# --- Stored keys -------------------------------------------------------------------------------------------


def test_stored_keys_show_nothing_and_are_read_back() -> None:
    keys = Keys.new()
    sealed = sealing.seal(keys)
    assert keys.whsec not in sealed
    assert sealing.opened(sealed) == keys
    assert sealing.seal(keys) != sealed


def test_a_former_key_still_opens_until_it_is_taken_away(settings: Any) -> None:
    settings.WEBHOOK_KEYS = ["first"]
    keys = Keys.new()
    sealed = sealing.seal(keys)
    assert not sealing.is_outdated(sealed)
    settings.WEBHOOK_KEYS = ["second", "first"]
    assert sealing.opened(sealed) == keys
    assert sealing.is_outdated(sealed)
    anew = sealing.seal(keys)
    settings.WEBHOOK_KEYS = ["second"]
    assert sealing.opened(anew) == keys
    with pytest.raises(sealing.Unreadable):
        sealing.opened(sealed)


@pytest.mark.parametrize("sealed", ["", "x", "gAAAAAB"])
def test_a_value_without_a_seal_is_unreadable(sealed: str) -> None:
    with pytest.raises(sealing.Unreadable):
        sealing.opened(sealed)
