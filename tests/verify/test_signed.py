"""Signed decisions in a bundle: who owns the passkey, which log introduced it, and what a changed letter does."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lockbox_site.demo.authenticator import Authenticator
from requests_app.platform import webauthn
from tests.offenders import collected
from tests.verify.runs import lv, verdict
from tests.verify.writer import CUSTOMER, ENGINEER, PROVIDER, TENANT, Log, bundle, canonical, entry, instant, leaf

REQUEST, GRANT, RESOURCE, PASSKEY = "request", "grant", "resource", "0b9c4a3e-0000-4000-8000-000000000001"
MINUTE = 60_000_000
Entries = list[dict[str, Any]]


def b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def of_key(event: str, seq: int, at: int, device: Authenticator, **changed: Any) -> dict[str, Any]:
    party = webauthn.Party(rp_id="lockbox.example", name="L", origins=frozenset({device.origin}))
    options = webauthn.registration_options(party=party, user_id=b"1", email="a", name="A", challenge=bytes(32))
    new = webauthn.verify_registration(device.create(options), challenge=bytes(32), party=party)
    detail = {
        "person": CUSTOMER["id"], "name": "Ada Keller", "passkey": PASSKEY, "passkey_name": "Phone",
        "credential": b64url(new.credential_id), "public_key": base64.b64encode(new.spki).decode(),
        "algorithm": new.algorithm, "rp_id": new.rp_id, "origin": new.origin, "backup_eligible": False,
    }  # fmt: skip
    return entry(seq, at, event, actor=CUSTOMER, subject=PASSKEY, detail={**detail, **changed})


def signed_life(
    device: Authenticator,
    *,
    manifest: Callable[[dict[str, Any]], None] = lambda content: None,
    signature: Callable[[dict[str, Any]], None] = lambda found: None,
    enrolment: Callable[[dict[str, Any]], None] = lambda found: None,
    prefix: bytes = b"lockbox-decision-v1\n",
    **more: Any,
) -> Entries:
    """Return entries in which a passkey is added, access is requested, and the customer signs an approval.

    Each function can falsify a part. `more` has further members of the access request and of the signed text.
    """
    added = of_key("passkey.enrolled", 0, 0, device)
    enrolment(added["detail"])
    resources = [{"id": RESOURCE, "kind": "mailbox", "name": "a@b"}]
    terms = {"service": "exchange-online", "level": "read", "resources": resources, **more}
    content = {**terms, "engineer": ENGINEER["id"], "window_for": 3600}
    digest = hashlib.sha256(canonical(content)).hexdigest()
    about = {"request": REQUEST, "subject": REQUEST}
    asked = entry(1, MINUTE, "access_request.submitted", actor=ENGINEER, detail=content, **about)
    first = {"digest": digest, "state": "PENDING_CUSTOMER", "reference": "AR-1", "signed": False}
    confirmed = entry(2, 2 * MINUTE, "access_request.approved_by_provider", actor=PROVIDER, detail=first, **about)
    text = {
        "format": "lockbox-decision-v1", "tenant": {"id": TENANT, "name": "Contoso"},
        "access_request": {"id": REQUEST, "reference": "AR-1", "digest": digest}, "stage": "customer",
        "decision": "approve", "decider": {"id": CUSTOMER["id"], "name": "Ada Keller"}, "minutes": 60,
        **terms, "engineer": {"id": ENGINEER["id"], "name": "Priya Nair"},
        "not_after": instant(8 * MINUTE), "nonce": "once", "checkpoint": None,
    }  # fmt: skip
    manifest(text)
    raw = canonical(text)
    answer = device.sign(hashlib.sha256(prefix + raw).digest(), rp_id="lockbox.example")["response"]
    detail = added["detail"]
    found = {
        "manifest": raw.decode(),
        "assertion": {name: answer[name] for name in ("clientDataJSON", "authenticatorData", "signature")},
        "passkey": PASSKEY, "enrolled": {"log": TENANT, "seq": 0, "leaf": leaf(canonical(added)).hex()},
        **{name: detail[name] for name in ("credential", "public_key", "algorithm", "rp_id")},
    }  # fmt: skip
    signature(found)
    opened = {
        "digest": digest, "state": "OPEN", "reference": "AR-1", "grant": GRANT, "opens_at": instant(3 * MINUTE),
        "closes_at": instant(60 * MINUTE), "signed": True, "signature": found,
    }  # fmt: skip
    yes = entry(3, 3 * MINUTE, "access_request.approved_by_customer", actor=CUSTOMER, detail=opened, **about)
    return [added, asked, confirmed, yes]


def device(**fields: Any) -> Authenticator:
    return Authenticator(**{"origin": "https://lockbox.example", **fields})


def judged(entries: Entries, tmp_path: Path, **how: Any) -> dict[str, Any]:
    return verdict(bundle(Log.of(entries), **how), tmp_path)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_a_signed_approval_is_reported_with_its_passkey(tmp_path: Path, algorithm: str) -> None:
    data = judged(signed_life(device(algorithm=algorithm)), tmp_path)
    assert data["result"] == "good", data
    [proven] = data["decisions"]["proven"]
    assert (proven["index"], proven["passkey"], proven["enrolled"], proven["device_bound"]) == (3, "Phone", 0, True)
    content = "\n".join(lv.in_words(data))
    who = "Ada Keller <ada.keller@contoso.example>"
    assert f"signed by {who}'s passkey Phone of lockbox.example (device-bound), added in entry number 0" in content
    assert f"digest {proven['digest']}" in content
    assert "unproven    1 decision is not proven by a signature of a person's key:" in content


def test_the_key_comes_with_the_evidence_of_one_access_request(tmp_path: Path) -> None:
    entries = signed_life(device())
    written = bundle(Log.of(entries), kind="access_request", request=REQUEST)
    assert b"passkey.enrolled" in written.files["entries-0.jsonl"]
    assert len(verdict(written, tmp_path)["decisions"]["proven"]) == 1


def test_signed_text_of_practice_proves_no_real_decision_and_the_reverse(tmp_path: Path) -> None:
    def marked(entries: Entries) -> Entries:
        entries[3]["detail"]["practice"] = True
        return entries

    wrong = "the signed text is about a practice request and the decision is not, or the reverse"
    for entries in (
        signed_life(device(), manifest=lambda text: text.update(practice=True)),
        marked(signed_life(device())),
    ):
        data = judged(entries, tmp_path)
        assert data["result"] == "bad"
        assert any(wrong in problem["why"] for problem in data["problems"])


@pytest.mark.parametrize(("locator", "is_practice"), [("contoso/mail/a", True), (":practice", False)])
def test_signed_text_that_calls_real_content_practice_proves_nothing(
    tmp_path: Path, locator: str, is_practice: bool
) -> None:
    """All entries have the same mark, and only the locator says what the content really is."""
    mark: dict[str, Any] = {"practice": True} if is_practice else {}
    resources = [{"id": RESOURCE, "kind": "mailbox", "name": "a@b", "locator": locator}]
    entries = signed_life(device(), resources=resources, **mark)
    for each in entries[1:]:
        each["detail"] |= mark
    data = judged(entries, tmp_path)
    wrong = "the signed text says “practice” about real content, or the reverse"
    assert any(wrong in problem["why"] for problem in data["problems"])
    assert data["decisions"]["proven"] == []


def test_signed_text_of_a_practice_request_is_good(tmp_path: Path) -> None:
    resources = [{"id": RESOURCE, "kind": "mailbox", "name": "Practice mailbox", "locator": ":practice"}]
    entries = signed_life(device(), resources=resources, practice=True)
    for each in entries[1:]:
        each["detail"]["practice"] = True
    assert judged(entries, tmp_path)["result"] == "good"


def _set(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: found.__setitem__(name, value)


def _answered(part: str, change: Callable[[bytes], bytes]) -> Callable[[dict[str, Any]], None]:
    def wrong(found: dict[str, Any]) -> None:
        text = found["assertion"][part]
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        found["assertion"][part] = b64url(change(raw))

    return wrong


def _client(**changed: Any) -> Callable[[dict[str, Any]], None]:
    return _answered("clientDataJSON", lambda raw: json.dumps(json.loads(raw) | changed).encode())


def _one_letter(found: dict[str, Any]) -> None:
    found["manifest"] = found["manifest"].replace('"minutes":60', '"minutes":90')


OTHER_KEY = base64.b64encode(
    webauthn.verify_registration(
        device().create(
            webauthn.registration_options(
                party=webauthn.Party(rp_id="lockbox.example", name="", origins=frozenset()),
                user_id=b"1", email="", name="", challenge=bytes(32),
            )
        ),
        challenge=bytes(32),
        party=webauthn.Party(
            rp_id="lockbox.example", name="", origins=frozenset({"https://lockbox.example"})
        ),
    ).spki
).decode()  # fmt: skip

ELSE = "allows something different from the access request"
#: By name: how the test falsifies the entries, and what the verifier reports.
FALSE: dict[str, tuple[dict[str, Any], str]] = {
    "one letter": ({"signature": _one_letter}, "did not sign the text that comes with its signature"),
    "not canonical": (
        {"signature": lambda found: _set("manifest", found["manifest"].replace(":", ": ", 1))(found)},
        "not canonical",
    ),
    "another prefix": ({"prefix": b"lockbox-decision-v2\n"}, "did not sign the text that comes with its signature"),
    "another request": (
        {"manifest": lambda content: content["access_request"].update(id="other")},
        "about another access request",
    ),
    "another tenant": ({"manifest": lambda content: content["tenant"].update(id="other")}, "about another tenant"),
    "other content": (
        {"manifest": lambda content: content["access_request"].update(digest="0")},
        "does not ask for the same access",
    ),
    "a no": ({"manifest": _set("decision", "deny")}, "another answer or another stage"),
    "another stage": ({"manifest": _set("stage", "provider")}, "another answer or another stage"),
    "another person": (
        {"manifest": lambda content: content["decider"].update(id=ENGINEER["id"])},
        "the answer of another person",
    ),
    "too late": ({"manifest": _set("not_after", instant(3 * MINUTE))}, "no longer valid"),
    "for ever": ({"manifest": _set("not_after", "9999-01-01T00:00:00.000000Z")}, "valid for longer than is allowed"),
    "a longer window": ({"manifest": _set("minutes", 56)}, "the window is longer than the signed text allows"),
    "minutes of another type": ({"manifest": _set("minutes", "60")}, "missing, or can't be read"),
    "another resource": ({"manifest": _set("resources", [{"id": "harmless"}])}, ELSE),
    "one resource of two": ({"manifest": _set("resources", [{"id": RESOURCE}, {"id": "more"}])}, ELSE),
    "another level": ({"manifest": _set("level", "names")}, ELSE),
    "another engineer": ({"manifest": _set("engineer", {"id": PROVIDER["id"], "name": "Pat Doyle"})}, ELSE),
    "another service": ({"manifest": _set("service", "sharepoint-online")}, ELSE),
    "an application": ({"manifest": _set("enforced_by", "Quillo")}, ELSE),
    "another application": ({"enforced_by": "Quillo", "manifest": _set("enforced_by", "Other")}, ELSE),
    "no application": ({"enforced_by": "Quillo", "manifest": lambda content: content.pop("enforced_by")}, ELSE),
    "words of the service": ({"manifest": _set("service_words", "see pages")}, ELSE),
    "the words of the service as the application": (
        {"enforced_by": "x", "manifest": lambda content: content.update(service_words=content.pop("enforced_by"))},
        ELSE,
    ),
    "no terms": ({"manifest": lambda content: content.pop("resources")}, "missing, or can't be read"),
    "no nonce": ({"manifest": _set("nonce", "")}, "no nonce"),
    "another origin": ({"signature": _client(origin="https://evil.example")}, "belongs to another site"),
    "no TLS": ({"signature": _client(origin="http://lockbox.example")}, "belongs to another site"),
    "in a frame": ({"signature": _client(crossOrigin=True)}, "inside a page of another site"),
    "another type": ({"signature": _client(type="webauthn.create")}, "used for another purpose"),
    "a member more": ({"signature": _client(more=1)}, "is not valid under the public key that comes with it"),
    "another signature": (
        {"signature": _answered("signature", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))},
        "is not valid under the public key that comes with it",
    ),
    "UV cleared": (
        {"signature": _answered("authenticatorData", lambda raw: raw[:32] + bytes([raw[32] & ~4]) + raw[33:])},
        "did not verify its user",
    ),
    "another RP": ({"signature": _set("rp_id", "evil.example")}, "belongs to another site"),
    "another key": (
        {"signature": _set("public_key", OTHER_KEY)},
        "is not valid under the public key that comes with it",
    ),
    "no key": ({"signature": _set("public_key", "AAAA")}, "is not valid under the public key that comes with it"),
    "another kind": ({"signature": _set("algorithm", "EdDSA")}, "is not valid under the public key that comes with it"),
    "a part is missing": ({"signature": lambda found: found.pop("assertion")}, "missing, or can't be read"),
    "a part of another type": ({"signature": _set("enrolled", 7)}, "missing, or can't be read"),
    "another log": (
        {"signature": lambda found: found["enrolled"].update(log="other")},
        "says that another log records the passkey",
    ),
    "the provider's log": (
        {"signature": lambda found: found["enrolled"].update(log=lv.PROVIDER_LOG)},
        "says that another log records the passkey",
    ),
    "another number": (
        {"signature": lambda found: found["enrolled"].update(seq=1)},
        "the signature names an entry that did not add this passkey",
    ),
    "another leaf": (
        {"signature": lambda found: found["enrolled"].update(leaf="00")},
        "the signature names another hash for the entry",
    ),
    "told of another key": (
        {"enrolment": _set("person", ENGINEER["id"])},
        "or added this passkey for another person",
    ),
    "told of copies": ({"enrolment": _set("backup_eligible", True)}, "backup status is not the same"),
}


def test_every_fault_of_a_signature_is_named_with_its_entry(tmp_path: Path) -> None:
    """In each case, the log itself is consistent: the log's owner has its key, and wrote the false data."""
    with collected() as case:
        for name in FALSE:
            with case(name):
                how, words = FALSE[name]
                data = judged(signed_life(device(), **how), tmp_path)
                assert data["result"] == "bad"
                [problem] = data["problems"]
                assert problem["index"] == 3
                assert words in problem["why"]
                assert data["decisions"]["proven"] == []


def test_a_signed_text_can_name_the_application_that_enforces_the_window(tmp_path: Path) -> None:
    data = judged(signed_life(device(), enforced_by="Quillo"), tmp_path)
    assert data["result"] == "good", data
    assert len(data["decisions"]["proven"]) == 1


def _moved(entries: Entries, order: list[int]) -> Entries:
    found = []
    for seq, place in enumerate(order):
        each = copy.deepcopy(entries[place])
        found.append({**each, "seq": seq, "at": instant(seq * MINUTE)})
    return found


def test_a_key_that_is_added_later_or_was_removed_before_signs_nothing(tmp_path: Path) -> None:
    made = device()
    removed = of_key("passkey.removed", 0, 0, device(credential_id=made.credential_id))
    life = [*signed_life(made), removed]

    def named(order: list[int], number: int) -> Entries:
        entries = _moved(life, order)
        added = entries[number]
        yes = next(each for each in entries if each["event"].endswith("approved_by_customer"))
        yes["detail"] |= {"opens_at": yes["at"]}
        yes["detail"]["signature"]["enrolled"] |= {"seq": number, "leaf": leaf(canonical(added)).hex()}
        return entries

    for position, (order, number, words) in enumerate(
        (
            ([1, 2, 3, 0], 3, "the passkey was added after it signed this decision"),
            ([0, 1, 4, 2, 3], 0, "the passkey was removed before it signed this decision"),
            ([4, 0, 1, 2, 3], 1, "the passkey was removed before it signed this decision"),
        )
    ):
        place = tmp_path / str(position)
        place.mkdir()
        data = judged(named(order, number), place)
        assert data["result"] == "bad"
        assert words in data["problems"][0]["why"]
    place = tmp_path / "after"
    place.mkdir()
    data = judged(named([0, 1, 2, 3, 4], 0), place)
    assert (data["result"], len(data["decisions"]["proven"])) == ("good", 1)


def test_in_the_evidence_of_one_access_request_too_what_was_signed_is_what_was_asked_for(tmp_path: Path) -> None:
    entries = signed_life(device(), manifest=_set("level", "names"))
    data = verdict(bundle(Log.of(entries), kind="access_request", request=REQUEST), tmp_path)
    assert (data["result"], data["decisions"]["proven"]) == ("bad", [])
    assert ELSE in data["problems"][0]["why"]


def test_more_signed_decisions_than_are_named_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lv, "LISTED", 0)
    entries = signed_life(device())
    _provider_signs(entries, 2, device(), "one")
    data = judged(entries, tmp_path)
    found = data["decisions"]
    assert (found["holds"], found["proven"], found["vouches"], found["vouched"]) == (1, [], 1, [])
    content = "\n".join(lv.in_words(data))
    assert "1 decisions have a valid signature by a passkey of the person who decided" in content
    assert "1 decisions of the provider have a valid signature." in content


def test_a_receipt_says_that_the_signature_holds_and_what_it_does_not_show(tmp_path: Path) -> None:
    log = Log.of(signed_life(device()))
    path = tmp_path / "yes.tlog-proof"
    path.write_text(log.receipt(3))
    data = lv.verify(path, lv.Options(keys=[lv.key_of(log.vkey())]))
    assert data["result"] == "good"
    [listed] = data["decisions"]["listed"]
    assert listed["why"] == "a receipt does not show whether entry 0 of the log added this person's passkey"


def _provider_signs(entries: Entries, place: int, device: Authenticator, nonce: str) -> None:
    """Sign the provider's approval at this place, with a key that no entry of this log introduces."""
    yes = entries[place]
    device.create({"rp": {"id": "lockbox.example"}, "challenge": "AAAA"})
    assert device.key is not None
    spki = device.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = {
        "format": "lockbox-decision-v1", "tenant": {"id": TENANT, "name": "Contoso"},
        "access_request": {"id": yes["access_request"], "digest": yes["detail"]["digest"]}, "stage": "provider",
        "decision": "approve", "decider": {"id": PROVIDER["id"], "name": "Pat Doyle"}, "nonce": nonce,
        "not_after": instant(12 * MINUTE), "minutes": 60, "service": "exchange-online", "level": "read",
        "resources": [{"id": RESOURCE}], "engineer": {"id": ENGINEER["id"], "name": "Priya Nair"},
    }  # fmt: skip
    raw = canonical(text)
    answer = device.sign(hashlib.sha256(b"lockbox-decision-v1\n" + raw).digest(), rp_id="lockbox.example")["response"]
    yes["detail"] |= {"signed": True, "signature": {
        "manifest": raw.decode(), "assertion": answer, "passkey": "of-pat", "credential": "x",
        "public_key": base64.b64encode(spki).decode(), "algorithm": "ES256", "rp_id": "lockbox.example",
        "enrolled": {"log": lv.PROVIDER_LOG, "seq": 7, "leaf": "00"},
    }}  # fmt: skip


def _again(entries: Entries, name: str, seq: int) -> Entries:
    """Return the entries of another access request with the provider's approval, to append to the others."""
    found = []
    for offset, place in enumerate((1, 2)):
        text = json.dumps(entries[place]).replace(f'"{REQUEST}"', f'"{name}"').replace("AR-1", "AR-2")
        found.append({**json.loads(text), "seq": seq + offset, "at": instant((seq + offset) * MINUTE)})
    return found


def test_the_providers_signed_approval_is_valid_but_its_keys_owner_is_unproven(tmp_path: Path) -> None:
    """The customer's log only shows whether the key was the same each time."""
    entries = signed_life(device())
    _provider_signs(entries, 2, pats := device(), "one")
    for number, (name, of_pat) in enumerate((("second", pats), ("third", device()), ("fourth", pats))):
        entries += _again(entries[:4], name, 4 + 2 * number)
        _provider_signs(entries, 5 + 2 * number, of_pat, name)
    data = judged(entries, tmp_path)
    assert data["result"] == "good", data
    assert (len(data["decisions"]["proven"]), data["decisions"]["unproven"]) == (1, 0)
    found = [(each["seq"], each["since"], each["others"]) for each in data["decisions"]["vouched"]]
    assert found == [(2, 2, 0), (5, 2, 0), (7, 7, 1), (9, 2, 0)]
    content = "\n".join(lv.in_words(data))
    assert "vouched     4 decisions of the provider have a valid signature." in content
    assert "so you must trust the provider about this:" in content
    name, key = "Pat Doyle <pat.doyle@provider.example>", data["decisions"]["vouched"][0]["key"][:16]
    assert f"signed in the name of {name} by key {key} (this key signs here for the first time)" in content
    assert f"signed in the name of {name} by key {key} (this key also signed entry number 2)" in content
    assert "(this key signs here for the first time; this person used 1 other keys earlier)" in content
    # If the signature is wrong, the result is as bad as for a customer's approval.
    entries[2]["detail"]["signature"]["manifest"] = entries[2]["detail"]["signature"]["manifest"].replace("Pat", "Pit")
    place = tmp_path / "false"
    place.mkdir()
    data = judged(entries, place)
    assert (data["result"], data["problems"][0]["index"]) == ("bad", 2)
    assert "did not sign the text that comes with" in data["problems"][0]["why"]
