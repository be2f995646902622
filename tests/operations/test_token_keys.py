"""The keys that sign tokens for other programs: made when needed, published before they sign, removed after."""

from __future__ import annotations

import datetime as dt
import hmac
import json
from base64 import urlsafe_b64encode
from io import StringIO
from typing import Any

import jwt as other_library
import pytest
from django.core.management import call_command
from django.test import Client as Browser
from joserfc import jwt as jws
from joserfc.jwk import RSAKey
from structlog.testing import capture_logs

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.errors import NotAllowed
from requests_app.models import TokenKey, token_keys
from requests_app.models.token_keys import ALGORITHMS, _registry, generated, public_keys, signed, verified
from requests_app.operations._change import PROVIDER_LOG
from requests_app.platform.sealing import Unreadable
from requests_app.work import startup_checks
from tests.cast import Cast

pytestmark = pytest.mark.django_db
DAY = dt.timedelta(days=1)
_SECRET_MEMBERS = {"d", "p", "q", "dp", "dq", "qi"}


def read(token: str, keys: dict[str, Any] | None = None) -> dict[str, Any]:
    """Verify with PyJWT, as a program that has only the public keys does. Raise if no key has signed the token."""
    kid = other_library.get_unverified_header(token)["kid"]
    found = [each for each in (keys or public_keys())["keys"] if each["kid"] == kid]
    key = other_library.PyJWK(found[0])
    claims: dict[str, Any] = other_library.decode(token, key, algorithms=[found[0]["alg"]])
    return claims


def kids(alg: str = "RS256") -> list[str]:
    return [each["kid"] for each in public_keys()["keys"] if each["alg"] == alg]


def kid_of(token: str) -> str:
    return str(other_library.get_unverified_header(token)["kid"])


def sweep(cast: Cast) -> int:
    return operations.roll_due_token_keys(actor=cast.system("sweep"))


def entries() -> list[tuple[str, dict[str, Any]]]:
    rows = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG, event__startswith="token_key.").order_by("seq")
    return [(row.event, json.loads(bytes(row.canonical))["detail"]) for row in rows]


def forged(header: dict[str, Any], secret: str = "") -> str:
    parts = [json.dumps({"typ": "at+jwt", **header}).encode(), json.dumps({"n": 1}).encode()]
    text = ".".join(urlsafe_b64encode(each).decode().rstrip("=") for each in parts)
    mac = hmac.digest(secret.encode(), text.encode(), "sha256") if secret else b""
    return f"{text}.{urlsafe_b64encode(mac).decode().rstrip('=')}"


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_first_key_is_made_when_it_is_needed_and_another_library_verifies(cast: Cast, alg: str) -> None:
    assert public_keys() == {"keys": []}
    token = signed({"sub": "erik"}, typ="at+jwt", alg=alg)
    assert other_library.get_unverified_header(token) == {"typ": "at+jwt", "alg": alg, "kid": kids(alg)[0]}
    assert read(token) == {"sub": "erik"}
    assert (TokenKey.objects.count(), signed({}, typ="x", alg=alg) != token) == (1, True)
    assert TokenKey.objects.count() == 1


def test_a_thread_that_has_waited_for_the_first_key_makes_no_other(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waited:
        """Another thread makes the key while this one waits."""

        def acquire(self, *, timeout: float) -> bool:
            at = clock.now()
            token_keys.make("EdDSA", at, signs_from=at, after=0)
            return True

        def release(self) -> None:
            pass

    monkeypatch.setattr(token_keys, "_MAKING", Waited())
    made = list[str]()

    def noted(alg: Any) -> Any:
        made.append(alg)
        return generated(alg)

    monkeypatch.setattr(token_keys, "generated", noted)
    assert verified(signed({"sub": "me"}, typ="test", alg="EdDSA"), typ="test") == {"sub": "me"}
    assert made == ["EdDSA"]


def test_the_sweep_makes_no_key_where_nothing_is_signed_and_records_each_key_once(cast: Cast) -> None:
    assert (sweep(cast), TokenKey.objects.count(), entries()) == (0, 0, [])
    signed({}, typ="at+jwt")
    tasks.sweep()
    assert [(event, detail["alg"]) for event, detail in entries()] == [
        ("token_key.published", "EdDSA"),
        ("token_key.published", "RS256"),
    ]
    tasks.sweep()
    assert len(entries()) == 2


def test_only_public_members_are_published_and_the_private_key_is_sealed(cast: Cast) -> None:
    for alg in ALGORITHMS:
        signed({}, typ="at+jwt", alg=alg)
    for each in public_keys()["keys"]:
        assert not _SECRET_MEMBERS & each.keys()
        assert (each["use"], len(each["kid"])) == ("sig", 43)
    for row in TokenKey.objects.all():
        assert not _SECRET_MEMBERS & row.public.keys()
        assert row.sealed.startswith("gAAAA")


def test_a_key_is_published_a_day_before_it_signs_and_stays_a_day_after_its_last_token(cast: Cast, travel: Any) -> None:
    first = kid_of(signed({}, typ="at+jwt"))
    sweep(cast)
    travel.by(days=89, minutes=-1)
    assert (sweep(cast), kids()) == (0, [first])
    travel.by(minutes=2)
    assert sweep(cast) == 2
    [_same, second] = kids()
    assert kid_of(signed({}, typ="at+jwt")) == first
    # The minute before the second key signs.
    travel.by(days=1, minutes=-2)
    last = signed({"n": 1}, typ="at+jwt")
    assert kid_of(last) == first
    travel.by(minutes=2)
    sweep(cast)
    assert kid_of(signed({}, typ="at+jwt")) == second
    former = TokenKey.objects.get(kid=first).key
    assert former is not None
    assert (read(last), former.is_private) == ({"n": 1}, False)
    travel.by(days=1, minutes=4)
    sweep(cast)
    assert kids() == [first, second]
    travel.by(minutes=2)
    assert kids() == [second]
    sweep(cast)
    assert not TokenKey.objects.filter(kid=first).exists()
    assert verified(last, typ="at+jwt") is None
    assert [event for event, detail in entries() if detail["kid"] == first] == [
        "token_key.published",
        "token_key.retired",
    ]


def test_a_key_signs_on_while_every_worker_is_dead(cast: Cast, travel: Any) -> None:
    first = kid_of(signed({}, typ="at+jwt"))
    travel.by(days=200)
    assert kid_of(signed({}, typ="at+jwt")) == first
    sweep(cast)
    travel.by(hours=23, minutes=59)
    assert kid_of(signed({}, typ="at+jwt")) == first
    travel.by(minutes=1)
    assert kid_of(signed({}, typ="at+jwt")) == kids()[-1] != first


def test_the_operator_rolls_before_the_time(cast: Cast, travel: Any) -> None:
    first = kid_of(signed({}, typ="at+jwt"))
    out = StringIO()
    call_command("roll_token_keys", stdout=out)
    assert (len(kids()), kid_of(signed({}, typ="at+jwt"))) == (2, first)
    assert all(kid in out.getvalue() for kid in [*kids(), *kids("EdDSA")])
    # A second command makes no third key while the second one waits.
    call_command("roll_token_keys", stdout=StringIO())
    assert len(kids()) == 2
    travel.by(days=1)
    assert kid_of(signed({}, typ="at+jwt")) == kids()[-1]


def test_after_a_theft_the_former_keys_are_gone_at_once(cast: Cast) -> None:
    stolen = [signed({}, typ="at+jwt", alg=alg) for alg in ALGORITHMS]
    call_command("roll_token_keys", "--at-once", stdout=StringIO())
    for alg, token in zip(ALGORITHMS, stolen, strict=True):
        assert kid_of(token) not in kids(alg)
        assert verified(token, typ="at+jwt") is None
        assert read(signed({"n": 1}, typ="at+jwt", alg=alg)) == {"n": 1}
    removed = [detail for event, detail in entries() if event == "token_key.retired"]
    assert [detail.get("at_once") for detail in removed] == [True, True]


def test_people_do_not_roll_keys(cast: Cast) -> None:
    for name in ("stella", "priya", "ines"):
        with pytest.raises(NotAllowed):
            operations.roll_token_keys(is_due_only=False, actor=cast.as_(name))
    assert not TokenKey.objects.exists()


def test_a_token_counts_only_with_its_type_and_only_with_our_signature(cast: Cast) -> None:
    token = signed({"n": 1}, typ="at+jwt")
    assert verified(token, typ="at+jwt") == {"n": 1}
    assert verified(token, typ="secevent+jwt") is None
    head, body, signature = token.split(".")
    for bad in ("", ".", "..", token[:-4] + "AAAA", f"{head}.{body}.", f"{head}.e30.{signature}", f"{head}.{body}"):
        assert verified(bad, typ="at+jwt") is None


def test_no_algorithm_trick_passes(cast: Cast) -> None:
    token = signed({"n": 1}, typ="at+jwt")
    [public] = public_keys()["keys"]
    kid = kid_of(token)
    # The public key, known to everybody, as the secret of a MAC; and a key that the token brings itself.
    bad = [forged({"alg": "none", "kid": kid}), forged({"alg": "HS256", "kid": kid}, json.dumps(public))]
    bad += [forged({"alg": "HS256", "kid": kid, "jwk": {"kty": "oct", "k": "aaaa"}}, "i\x9a"), forged({"alg": "RS256"})]
    theirs = RSAKey.generate_key(2048)
    header = {"typ": "at+jwt", "alg": "RS256", "kid": kid, "jwk": theirs.as_dict(private=False)}
    bad.append(jws.encode(header, {"n": 1}, theirs))
    for each in bad:
        assert verified(each, typ="at+jwt") is None


def test_a_lost_sealing_key_makes_a_new_key_and_a_former_one_is_sealed_again(cast: Cast, settings: Any) -> None:
    settings.WEBHOOK_KEYS = ["first"]
    first = kid_of(signed({}, typ="at+jwt"))
    settings.WEBHOOK_KEYS = ["second", "first"]
    call_command("reseal", stdout=StringIO())
    settings.WEBHOOK_KEYS = ["second"]
    assert kid_of(signed({}, typ="at+jwt")) == first
    settings.WEBHOOK_KEYS = ["third"]
    token = signed({"n": 1}, typ="at+jwt")
    assert (kid_of(token) != first, read(token), kids()) == (True, {"n": 1}, [kid_of(token)])


def written(key: Any, alg: str, **fields: Any) -> TokenKey:
    """Write a row as somebody does who can write to the database, and does not know the settings."""
    kid = key.thumbprint()
    public = {**key.as_dict(private=False), "kid": kid, "alg": alg, "use": "sig"}
    at = clock.now()
    plain = {"kid": kid, "alg": alg, "number": 7, "public": public, "published_at": at, "signs_from": at}
    return TokenKey.objects.create(**{**plain, "is_in_log": True, **fields})


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("sealed", ["", "of another key", "no token of Fernet"])
def test_a_key_that_somebody_writes_into_the_database_counts_for_nothing(cast: Cast, alg: str, sealed: str) -> None:
    ours = signed({"n": 1}, typ="at+jwt", alg=alg)
    sweep(cast)
    theirs = generated(alg)
    sealed = {"of another key": TokenKey.objects.get(kid=kid_of(ours)).sealed}.get(sealed, sealed)
    row = written(theirs, alg, sealed=sealed)
    token = jws.encode({"typ": "at+jwt", "alg": alg, "kid": row.kid}, {"n": 2}, theirs, registry=_registry([alg]))
    assert verified(token, typ="at+jwt") is None
    assert kids(alg) == [kid_of(ours)]
    assert row.kid not in Browser().get("/.well-known/jwks.json").content.decode()
    # Our own key signs as before, though this one is newer, and its entry is the only one about it.
    assert kid_of(signed({}, typ="at+jwt", alg=alg)) == kid_of(ours)
    with capture_logs() as logs:
        assert (sweep(cast), sweep(cast)) == (1, 0)
    assert [line["kid"] for line in logs if line["event"] == "token_key.foreign"] == [row.kid]
    assert [event for event, detail in entries() if detail["kid"] == row.kid] == ["token_key.foreign"]
    [found] = startup_checks.token_keys_are_ours()
    assert (found.id, row.kid in found.msg) == ("requests_app.W033", True)
    call_command("roll_token_keys", "--at-once", stdout=StringIO())
    assert startup_checks.token_keys_are_ours() == []


def test_a_key_that_was_removed_and_is_put_back_is_removed_again_with_an_alarm(cast: Cast) -> None:
    signed({"n": 1}, typ="at+jwt")
    [stolen] = TokenKey.objects.all()
    call_command("roll_token_keys", "--at-once", stdout=StringIO())
    stolen.number, stolen.is_in_log = 7, True
    stolen.save(force_insert=True)
    before = kids()
    with capture_logs() as logs:
        assert (sweep(cast), sweep(cast)) == (1, 0)
    assert (stolen.kid in before, stolen.kid in kids()) == (True, False)
    assert [line["kid"] for line in logs if line["event"] == "token_key.foreign"] == [stolen.kid]
    assert [event for event, detail in entries() if detail["kid"] == stolen.kid][-1] == "token_key.foreign"
    assert read(signed({"n": 2}, typ="at+jwt")) == {"n": 2}


def test_a_key_that_somebody_changes_is_published_no_more(cast: Cast) -> None:
    token = signed({"n": 1}, typ="at+jwt")
    assert startup_checks.token_keys_are_ours() == []
    [row] = TokenKey.objects.all()
    theirs = RSAKey.generate_key(2048)
    TokenKey.objects.update(public={**row.public, **theirs.as_dict(private=False)})
    assert (public_keys(), verified(token, typ="at+jwt")) == ({"keys": []}, None)
    TokenKey.objects.update(public=row.public, alg="EdDSA")
    assert public_keys() == {"keys": []}
    TokenKey.objects.update(alg="RS256")
    assert verified(token, typ="at+jwt") == {"n": 1}


def test_everybody_reads_the_public_keys_and_may_store_them_for_five_minutes(cast: Cast) -> None:
    empty = Browser().get("/.well-known/jwks.json")
    assert (empty.json(), empty["Cache-Control"]) == ({"keys": []}, "no-store")
    signed({}, typ="at+jwt")
    found = Browser().get("/.well-known/jwks.json")
    assert (found.json(), found["Content-Type"]) == (public_keys(), "application/jwk-set+json")
    assert sorted(found["Cache-Control"].split(", ")) == ["max-age=300", "public"]
    again = Browser().get("/.well-known/jwks.json", headers={"If-None-Match": found["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", found["ETag"])
    assert Browser().post("/.well-known/jwks.json").status_code == 405
    assert TokenKey.objects.count() == 1


def test_no_key_at_all_is_an_error_and_not_an_unsigned_token(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requests_app.models.token_keys.make", lambda *_args, **_named: None)
    with pytest.raises(Unreadable):
        signed({}, typ="at+jwt")
