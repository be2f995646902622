"""Which tokens the guard accepts. Each refusal is one change of a token that it accepts."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, RSAKey

from lockbox_guard import ANYBODY, Guard, Refused
from tests.guard.conftest import NewGuard
from tests.guard.fake import ADDRESS, EDDSA, ENGINEER, RESOURCE, RSA, TENANT, FakeLockbox, encoded

STRANGER = RSAKey.generate_key(2048, {"kid": "rsa-1"})
with pytest.warns(SecurityWarning):
    SMALL = RSAKey.generate_key(1024, {"kid": "small"})
ELLIPTIC = ECKey.generate_key("P-256", {"kid": "elliptic"})
PUBLIC_PEM = RSA.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def asked(**changed: Any) -> dict[str, Any]:
    return {"action": "view", "item": "GET /w/{id}", "tenant": "contoso", "identifier": "w-17",
            "engineer": ADDRESS} | changed  # fmt: skip


def code_of(guard: Guard, token: str, **changed: Any) -> str:
    try:
        guard.decide(token, **asked(**changed))
    except Refused as refused:
        return refused.code
    return "allowed"


@pytest.mark.parametrize("key", [RSA, EDDSA], ids=["RS256", "EdDSA"])
def test_a_token_of_each_algorithm_is_accepted(guard: Guard, lockbox: FakeLockbox, key: Any) -> None:
    access = guard.decide(lockbox.token(key), **asked())
    assert (access.claims["sub"], access.detail["reference"], access.action) == (ENGINEER, "AR-1", "view")


def unsigned(lockbox: FakeLockbox, header: dict[str, Any]) -> str:
    return f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(lockbox.claims()).encode())}."


def with_public_key_as_secret(lockbox: FakeLockbox) -> str:
    header = {"typ": "at+jwt", "alg": "HS256", "kid": "rsa-1"}
    signed = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(lockbox.claims()).encode())}"
    return f"{signed}.{encoded(hmac.digest(PUBLIC_PEM, signed.encode(), 'sha256'))}"


def altered(lockbox: FakeLockbox) -> str:
    header, _, signature = lockbox.token().split(".")
    return f"{header}.{encoded(json.dumps(lockbox.claims(sub='somebody')).encode())}.{signature}"


FORGED: dict[str, Callable[[FakeLockbox], str]] = {
    "altered": altered,
    "no algorithm": lambda it: unsigned(it, {"typ": "at+jwt", "alg": "none", "kid": "rsa-1"}),
    "HS256 with the public key": with_public_key_as_secret,
    "another RSA algorithm": lambda it: it.token(header={"alg": "PS256"}),
    "RS512": lambda it: it.token(header={"alg": "RS512"}),
    "EdDSA's name on an RSA key": lambda it: it.token().replace(
        it.token().split(".")[0], encoded(b'{"typ":"at+jwt","alg":"EdDSA","kid":"rsa-1"}'), 1
    ),
    "the id of the other key": lambda it: it.token(EDDSA, header={"kid": "rsa-1"}),
    "a key of somebody else": lambda it: it.token(STRANGER),
    "an unknown key": lambda it: it.token(header={"kid": "rsa-9"}),
    "a key in the header": lambda it: it.token(STRANGER, header={"jwk": STRANGER.as_dict(private=False)}),
    "an address of keys in the header": lambda it: it.token(header={"jku": it.issuer}),
    "a certificate's address in the header": lambda it: it.token(header={"x5u": it.issuer}),
    "a critical header": lambda it: it.token(header={"crit": ["exp"]}),
    "another type": lambda it: it.token(header={"typ": "JWT"}),
    "no key id": lambda it: it.signed({"typ": "at+jwt", "alg": "RS256"}, it.claims(), RSA, "RS256"),
    "a key id that is a list": lambda it: it.token(header={"kid": ["rsa-1"]}),
    "another issuer": lambda it: it.token(iss="https://lockbox.example"),
    "another audience": lambda it: it.token(aud=f"{it.issuer}/services/other"),
    "several audiences": lambda it: it.token(aud=[f"{it.issuer}/services/quillo", "https://b.example"]),
    "a beginning in the future": lambda it: it.token(iat=int(it.now()) + 60, exp=int(it.now()) + 300),
    "a life of an hour": lambda it: it.token(exp=int(it.now()) + 3600),
    "no end": lambda it: it.token(exp=None),
    "an end that is not a number": lambda it: it.token(exp="soon"),
    "no details": lambda it: it.token(authorization_details=[]),
    "details of another type": lambda it: it.token(detail={"type": "payment"}),
    "details of another service": lambda it: it.token(detail={"service": "other"}),
    "no person": lambda it: it.token(sub=""),
    "not a token": lambda it: "lockbox_pat_1234",
    "four parts": lambda it: it.token() + ".x",
    "too long": lambda it: "x" * 70_000,
    "garbage": lambda it: "\x00\xff.\ud800.=",
}


@pytest.mark.parametrize("attack", FORGED)
def test_a_forged_token_is_refused(guard: Guard, lockbox: FakeLockbox, attack: str) -> None:
    assert code_of(guard, FORGED[attack](lockbox)) == "invalid_token"


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # that it is too small
def test_keys_that_are_too_small_or_for_another_purpose_are_not_used(guard: Guard, lockbox: FakeLockbox) -> None:
    encryption = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"})
    other = RSAKey.generate_key(2048, {"kid": "ps", "alg": "PS256"})
    lockbox.keys = [SMALL, ELLIPTIC, encryption, other, OctKey.generate_key(256, {"kid": "oct"}), RSA]
    for key in (SMALL, encryption, other):
        assert code_of(guard, lockbox.token(key, header={"alg": "RS256"})) == "invalid_token"
    assert code_of(guard, lockbox.token()) == "allowed"


def test_a_token_that_has_ended_is_refused_though_it_was_verified(guard: Guard, lockbox: FakeLockbox) -> None:
    token = lockbox.token(exp=int(lockbox.now()) + 30)
    assert code_of(guard, token) == "allowed"
    lockbox.ahead = 40
    wait_for_time(guard, lockbox)
    assert code_of(guard, token) == "token_ended"


def wait_for_time(guard: Guard, lockbox: FakeLockbox) -> None:
    end = time.monotonic() + 10
    while abs(guard.feed.now() - lockbox.now()) > 1 and time.monotonic() < end:
        time.sleep(0.02)


def test_the_window_ends_before_its_token(guard: Guard, lockbox: FakeLockbox) -> None:
    token = lockbox.token(window_end=lockbox.now() + 1.5, exp=int(lockbox.now()) + 200)
    assert code_of(guard, token) == "allowed"
    lockbox.ahead = 2
    wait_for_time(guard, lockbox)
    assert code_of(guard, token) == "window_ended"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"tenant": TENANT}, "allowed"),
        ({"resource": RESOURCE}, "allowed"),
        ({"identifier": None, "resource": RESOURCE}, "allowed"),
        ({"engineer": ADDRESS.upper()}, "allowed"),
        ({"engineer": ENGINEER}, "allowed"),
        ({"engineer": ANYBODY}, "allowed"),
        ({"action": "list"}, "allowed"),
        ({"tenant": "fabrikam"}, "out_of_scope"),
        ({"tenant": ""}, "out_of_scope"),
        ({"identifier": "w-18"}, "out_of_scope"),
        ({"identifier": ""}, "out_of_scope"),
        ({"identifier": None}, "out_of_scope"),
        ({"resource": TENANT}, "out_of_scope"),
        ({"engineer": "omar@provider.example"}, "other_engineer"),
        ({"engineer": "ınes@provider.example"}, "other_engineer"),
        ({"engineer": ""}, "other_engineer"),
        ({"engineer": None}, "other_engineer"),
        ({"action": "read"}, "level_too_low"),
        ({"action": "download"}, "level_too_low"),
        ({"action": "act_as"}, "level_too_low"),
        ({"action": "anything"}, "level_too_low"),
    ],
    ids=str,
)
def test_the_request_must_be_what_the_token_allows(
    guard: Guard, lockbox: FakeLockbox, changed: dict[str, Any], code: str
) -> None:
    assert code_of(guard, lockbox.token(), **changed) == code


def test_a_wider_level_covers_a_narrower_one(guard: Guard, lockbox: FakeLockbox) -> None:
    actions = ["list", "view", "read", "download", "act_as"]
    for level, count in (("names", 1), ("view", 2), ("read", 4), ("act_as", 5), ("unknown", 0)):
        token = lockbox.token(detail={"level": level, "actions": actions})
        assert [action for action in actions if code_of(guard, token, action=action) == "allowed"] == actions[:count]


def test_no_token_has_its_own_code(guard: Guard) -> None:
    assert code_of(guard, "") == "no_token"


def test_a_new_key_is_fetched_but_not_more_often_than_every_ten_seconds(guard: Guard, lockbox: FakeLockbox) -> None:
    assert code_of(guard, lockbox.token()) == "allowed"
    for number in range(20):
        assert code_of(guard, lockbox.token(header={"kid": f"rsa-{number + 2}"})) == "invalid_token"
    assert lockbox.calls.count("/.well-known/jwks.json") == 1
    guard._verifier._fetched -= 10
    rolled = RSAKey.generate_key(2048, {"kid": "rsa-new"})
    lockbox.keys = [rolled]
    assert code_of(guard, lockbox.token(rolled)) == "allowed"


def test_a_withdrawn_key_verifies_nothing_after_the_event(guard: Guard, lockbox: FakeLockbox) -> None:
    token, rolled = lockbox.token(), RSAKey.generate_key(2048, {"kid": "rsa-2"})
    assert code_of(guard, token) == "allowed"
    lockbox.keys = [rolled]
    lockbox.send("keys")
    end = time.monotonic() + 5
    while code_of(guard, token) == "allowed" and time.monotonic() < end:
        time.sleep(0.01)
    assert code_of(guard, token) == "invalid_token"
    assert code_of(guard, lockbox.token(rolled)) == "allowed"


def test_no_cache_on_the_way_answers_with_former_keys(guard: Guard, lockbox: FakeLockbox) -> None:
    guard.decide(lockbox.token(), **asked())
    assert [headers["Cache-Control"] for headers in lockbox.key_headers] == ["no-cache"]


def test_without_keys_everything_is_refused(guard: Guard, lockbox: FakeLockbox) -> None:
    lockbox.keys = []
    assert code_of(guard, lockbox.token()) == "keys_unavailable"


def test_many_tokens_do_not_fill_the_memory(
    guard: Guard, lockbox: FakeLockbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockbox_guard.tokens.CACHED_MAX", 5)
    assert {code_of(guard, lockbox.token()) for _ in range(12)} == {"allowed"}
    assert len(guard._verifier._known) <= 5


def test_a_token_of_a_hundred_resources_is_read(guard: Guard, lockbox: FakeLockbox) -> None:
    [detail] = lockbox.claims()["authorization_details"]
    details = [detail | {"identifier": f"w-{number}"} for number in range(100)]
    token = lockbox.token(authorization_details=details)
    assert (code_of(guard, token, identifier="w-99"), code_of(guard, token, identifier="w-100")) == (
        "allowed", "out_of_scope",
    )  # fmt: skip


@pytest.mark.timed
def test_a_later_decision_takes_at_most_twenty_microseconds(guard: Guard, lockbox: FakeLockbox) -> None:
    token, question = lockbox.token(), asked()
    guard.decide(token, **question)
    times = []
    for _ in range(5000):
        begun = time.perf_counter()
        guard.decide(token, **question)
        times.append(time.perf_counter() - begun)
    assert sorted(times)[len(times) // 2] <= 20e-6


def test_an_issuer_without_tls_is_refused(new_guard: NewGuard) -> None:
    for address in ("http://lockbox.example", "ftp://localhost", "lockbox.example"):
        with pytest.raises(ValueError, match="https"):
            new_guard(issuer=address)
