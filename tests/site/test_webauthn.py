"""All checks of a passkey's answer: each fault has a refusal of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lockbox_site.demo.authenticator import Authenticator
from requests_app.domain import errors
from requests_app.domain.base64url import MOST, from_text, to_text
from requests_app.platform import webauthn
from tests.offenders import collected

PARTY = webauthn.Party(rp_id="lockbox.example", name="Lockbox", origins=frozenset({"https://lockbox.example"}))
CHALLENGE, OTHER = bytes(range(32)), bytes(32)


def device(**fields: Any) -> Authenticator:
    return Authenticator(**{"origin": "https://lockbox.example", **fields})


def options(challenge: bytes = CHALLENGE) -> dict[str, Any]:
    return webauthn.registration_options(party=PARTY, user_id=b"1", email="a@b.example", name="A", challenge=challenge)


def registered(made: Authenticator) -> webauthn.Registered:
    return webauthn.verify_registration(made.create(options()), challenge=CHALLENGE, party=PARTY)


def key_of(new: webauthn.Registered) -> webauthn.Key:
    return webauthn.Key(
        credential_id=new.credential_id,
        public_key=new.public_key,
        sign_count=new.sign_count,
        is_backup_eligible=new.is_backup_eligible,
    )


def answer_of(made: Authenticator, challenge: bytes = CHALLENGE) -> dict[str, Any]:
    return made.get(webauthn.assertion_options(party=PARTY, challenge=challenge, known=[made.credential_id]))


def verify(answer: object, key: webauthn.Key) -> webauthn.Asserted:
    return webauthn.verify_assertion(answer, challenge=CHALLENGE, party=PARTY, key=key)


def changed(answer: dict[str, Any], name: str, change: Callable[[bytes], bytes]) -> dict[str, Any]:
    response = answer["response"]
    return {**answer, "response": {**response, name: to_text(change(from_text(response[name])))}}


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_a_key_of_each_kind_is_taken_and_signs(algorithm: str) -> None:
    made = device(algorithm=algorithm, is_backup_eligible=True, is_backed_up=True)
    new = registered(made)
    assert (new.algorithm, new.is_backup_eligible, new.is_backed_up) == (algorithm, True, True)
    assert (new.rp_id, new.origin, new.sign_count) == ("lockbox.example", "https://lockbox.example", 1)
    answer = answer_of(made)
    assert webauthn.credential_of(answer) == made.credential_id == new.credential_id
    assert verify(answer, key_of(new)).sign_count == 2
    for at in range(0, 60, 7):
        with pytest.raises(errors.PasskeyRefused):
            verify(changed(answer, "signature", flipped(at)), key_of(new))


def test_one_wrong_thing_in_a_registration_is_named() -> None:
    cases: tuple[tuple[dict[str, Any], type[errors.PasskeyRefused]], ...] = (
        ({"origin": "https://lockbox.example.evil.example"}, errors.PasskeyWrongOrigin),
        ({"origin": "http://lockbox.example"}, errors.PasskeyWrongOrigin),
        ({"rp_id": "evil.example"}, errors.PasskeyWrongSite),
        ({"verifies_user": False}, errors.PasskeyNotVerified),
        ({"is_backed_up": True}, errors.PasskeyUnreadable),
    )
    for fields, wrong in cases:
        with pytest.raises(errors.PasskeyRefused) as refusal:
            registered(device(**fields))
        assert type(refusal.value) is wrong
    made = device()
    for answer, wrong in (
        (made.create(options(OTHER)), errors.PasskeyWrongChallenge),
        ({**made.create(options()), "rawId": to_text(b"another")}, errors.PasskeyUnreadable),
        (answer_of(made), errors.PasskeyUnreadable),
    ):
        with pytest.raises(errors.PasskeyRefused) as refusal:
            webauthn.verify_registration(answer, challenge=CHALLENGE, party=PARTY)
        assert type(refusal.value) is wrong


def test_one_wrong_thing_in_a_signature_is_named() -> None:
    made = device()
    key = key_of(registered(made))

    def refusal_of(answer: object, held: webauthn.Key = key) -> type[errors.PasskeyRefused]:
        with pytest.raises(errors.PasskeyRefused) as refusal:
            verify(answer, held)
        return type(refusal.value)

    good = answer_of(made)
    assert refusal_of(answer_of(made, OTHER)) is errors.PasskeyWrongChallenge
    assert refusal_of({**good, "rawId": to_text(b"another")}) is errors.PasskeyUnknown
    assert refusal_of(changed(good, "signature", flipped(20))) is errors.PasskeyBadSignature
    assert refusal_of(good, key_of(registered(device(credential_id=made.credential_id)))) is errors.PasskeyBadSignature
    assert refusal_of(changed(good, "authenticatorData", flipped(36))) is errors.PasskeyBadSignature
    assert refusal_of(changed(good, "authenticatorData", flipped(0))) is errors.PasskeyWrongSite
    for change, wrong in (
        ({"type": "webauthn.create"}, errors.PasskeyWrongType),
        ({"crossOrigin": True}, errors.PasskeyWrongOrigin),
        ({"topOrigin": "https://evil.example"}, errors.PasskeyWrongOrigin),
        ({"origin": "https://evil.example"}, errors.PasskeyWrongOrigin),
        ({"extra": 1}, errors.PasskeyBadSignature),
    ):
        other = changed(good, "clientDataJSON", lambda raw, more=change: json.dumps(json.loads(raw) | more).encode())
        assert refusal_of(other) is wrong
    # A value that is not text comes from the caller, so it must not cause a server error.
    no_texts: list[object] = [["https://lockbox.example"], {}, 1]
    for name, wrong_kind in (
        ("origin", errors.PasskeyWrongOrigin),
        ("type", errors.PasskeyWrongType),
        ("challenge", errors.PasskeyUnreadable),
        ("crossOrigin", errors.PasskeyWrongOrigin),
    ):
        for odd in [{name: value} for value in no_texts]:
            other = changed(good, "clientDataJSON", lambda raw, odd=odd: json.dumps(json.loads(raw) | odd).encode())
            assert refusal_of(other) is wrong_kind
    made.verifies_user = False
    assert refusal_of(answer_of(made)) is errors.PasskeyNotVerified
    made.verifies_user, made.is_backup_eligible = True, True
    assert refusal_of(answer_of(made)) is errors.PasskeyBackupChanged
    made.is_backup_eligible = False
    for counted, accepted in ((5, True), (0, False), (-1, False)):
        made.sign_count = key.sign_count + counted - 1
        answer = answer_of(made)
        assert (verify(answer, key).sign_count > key.sign_count) if accepted else True
        assert accepted or refusal_of(answer) is errors.PasskeyCounter


def test_a_key_that_does_not_count_signs_twice() -> None:
    made = device(counts=False)
    key = key_of(registered(made))
    assert verify(answer_of(made), key).sign_count == verify(answer_of(made), key).sign_count == 0


def test_a_malformed_answer_is_refused_as_unreadable() -> None:
    cases: list[Any] = [
        None,
        [],
        "x",
        {},
        {"type": "public-key"},
        {"type": "public-key", "rawId": "AA", "response": {}},
        {"type": "public-key", "rawId": "AA", "response": {"clientDataJSON": "e30"}},
        {"type": "public-key", "rawId": "A=", "response": {"clientDataJSON": "e30", "attestationObject": "AA"}},
        {"type": "public-key", "rawId": 7, "response": {"clientDataJSON": "W10", "attestationObject": "AA"}},
        {"type": "public-key", "rawId": "AA", "response": {"clientDataJSON": "A" * 70000, "attestationObject": "AA"}},
    ]
    with collected() as case:
        for answer in cases:
            with case(answer):
                with pytest.raises(errors.PasskeyUnreadable):
                    webauthn.verify_registration(answer, challenge=CHALLENGE, party=PARTY)
                with pytest.raises(errors.PasskeyUnreadable):
                    webauthn.credential_of(answer)


def test_a_text_of_the_longest_length_is_read_and_a_longer_one_is_not() -> None:
    longest = bytes(48 * 1024)
    assert len(to_text(longest)) == MOST
    assert from_text(to_text(longest)) == longest
    with pytest.raises(errors.PasskeyUnreadable):
        from_text(to_text(longest + b"\0"))


def test_cbor_that_means_harm_is_refused() -> None:
    good = device().create(options())
    for raw in (b"", b"\xa3", b"\x9f" * 20_000, b"\x81" * 20_000, b"\xa0", b"\x00", b"\xbf\xff"):
        with pytest.raises(errors.PasskeyUnreadable):
            webauthn.verify_registration(
                changed(good, "attestationObject", lambda _raw, raw=raw: raw), challenge=CHALLENGE, party=PARTY
            )


def test_every_refusal_has_its_own_code() -> None:
    kinds = errors.PasskeyRefused.__subclasses__()
    assert len({kind.code for kind in kinds} | {errors.PasskeyRefused.code}) == len(kinds) + 1
