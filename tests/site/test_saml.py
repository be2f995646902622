"""The check of SAML answers: an honest identity provider's are accepted, and every attack is refused."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import replace
from typing import Any

import pytest
from lxml import etree

from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import answers, metadata, signatures
from requests_app.identity.sso.saml.answers import Answer, Expected
from requests_app.identity.sso.saml.questions import ServiceKey
from tests.saml_attacks import ATTACKS, describing, encrypted_attacks
from tests.saml_idp import (
    ENTITY_ID,
    Says,
    as_bytes,
    assertion_of,
    encrypt,
    good,
    key_pair,
    response,
    sign,
)
from tests.saml_idp import metadata as idp_metadata

AT = dt.datetime(2026, 12, 1, 12, 0, tzinfo=dt.UTC)
ACS, US = "https://lockbox.example/sign-in/answer/t/", "https://lockbox.example/sign-in/metadata/t/"
SAYS = Says(acs=ACS, audience=US, request_id="_question", at=AT)


@functools.cache
def service_key(name: str = "lockbox") -> ServiceKey:
    return ServiceKey.new(name, at=AT)


def expected(*certificates: str, **more: Any) -> Expected:
    keys = [metadata.key_of(each) for each in certificates or (key_pair()[1],)]
    fields: dict[str, Any] = {"issuer": ENTITY_ID, "keys": [each for each in keys if each], "entity_id": US}
    fields |= {"acs": ACS, "request_id": "_question", "at": AT, "decrypting": [service_key().key]}
    return Expected(**{**fields, **more})


def verified(data: bytes, **more: Any) -> Answer:
    return answers.verified(data, expected(**more))


def refusal(data: bytes, *certificates: str, **more: Any) -> str:
    with pytest.raises(SignOnFailed) as failed:
        answers.verified(data, expected(*certificates, **more))
    return failed.value.code


def test_a_good_answer_is_accepted_and_read() -> None:
    says = replace(SAYS, attributes={"mail": ["ada@contoso.example"], "groups": ["a", "b &amp; c"]})
    found = verified(good(says))
    assert (found.subject, found.attributes["groups"]) == ("p-ada", ("a", "b & c"))
    assert found.authenticated_at == AT - dt.timedelta(seconds=5)
    assert found.context.endswith(":Password")
    assert answers.request_id_of(good(says)) == "_question"


@pytest.mark.parametrize("method", ["RSA_SHA256", "RSA_SHA384", "RSA_SHA512"])
def test_each_allowed_digest_is_accepted(method: str) -> None:
    assert verified(good(SAYS, method=method, digest=method[4:])).subject == "p-ada"


def test_an_elliptic_key_is_accepted_only_with_its_own_algorithm() -> None:
    curve = key_pair("curve", "ec")
    data = good(SAYS, key=curve, method="ECDSA_SHA256")
    assert answers.verified(data, expected(curve[1])).subject == "p-ada"
    assert refusal(data) == "signature"
    assert refusal(data.replace(b"#ecdsa-sha256", b"#rsa-sha256"), curve[1]) == "signature"


def test_a_signed_answer_and_one_with_names_from_outside_the_assertion_are_accepted() -> None:
    root = response(SAYS)
    sign(assertion_of(root))
    sign(root)
    assert verified(as_bytes(root)).subject == "p-ada"
    # OpenSAML names prefixes that a value uses, and that the answer around the assertion declares.
    says = replace(SAYS, attributes={"mail": ["x"]})
    kind = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string"'
    root = response(says, prefix_of_type=kind)
    sign(assertion_of(root), prefixes="xs")
    assert verified(as_bytes(root)).attributes == {"mail": ("x",)}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused(attack: str) -> None:
    makes, code = ATTACKS[attack]
    assert refusal(makes(SAYS)) == code


def test_a_signature_that_a_test_makes_is_accepted() -> None:
    """So the attacks that change only its description are refused because of what they change."""
    assert verified(describing(lambda info: None)(SAYS)).subject == "p-ada"


@pytest.mark.parametrize("attack", encrypted_attacks(""))
def test_an_attack_with_encryption_is_refused(attack: str) -> None:
    makes, code = encrypted_attacks(service_key().certificate)[attack]
    assert refusal(makes(SAYS)) == code


@pytest.mark.parametrize("data", ["AES128_GCM", "AES256_GCM"])
def test_an_encrypted_assertion_is_read_with_each_of_our_keys(data: str) -> None:
    root = response(SAYS)
    sign(assertion_of(root))
    sealed = as_bytes(encrypt(root, service_key().certificate, data=data))
    assert b"p-ada" not in sealed
    keys = [service_key("next").key, service_key().key]
    assert verified(sealed, decrypting=keys).subject == "p-ada"
    assert refusal(sealed, decrypting=keys[:1]) == "decryption"


@pytest.mark.parametrize("data", ["AES128", "AES256"])
def test_cbc_is_read_only_in_a_signed_answer(data: str) -> None:
    root = response(SAYS)
    sign(assertion_of(root))
    encrypt(root, service_key().certificate, data=data)
    assert refusal(as_bytes(root)) == "decryption"
    sign(root)
    assert verified(as_bytes(root)).subject == "p-ada"
    # Any change of the encrypted text is noticed before it is decrypted.
    changed = etree.fromstring(as_bytes(root))
    value = changed.findall(".//{http://www.w3.org/2001/04/xmlenc#}CipherValue")[-1]
    value.text = ("A" if value.text[0] != "A" else "B") + value.text[1:]
    assert refusal(as_bytes(changed)) == "signature"


def test_every_failure_of_decryption_says_the_same() -> None:
    root = response(SAYS)
    sign(assertion_of(root))
    sealed = as_bytes(encrypt(root, service_key().certificate))
    failures = set()
    for place in (-1, 0):
        changed = etree.fromstring(sealed)
        value = changed.findall(".//{http://www.w3.org/2001/04/xmlenc#}CipherValue")[place]
        value.text = ("A" if value.text[0] != "A" else "B") + value.text[1:]
        with pytest.raises(SignOnFailed) as failed:
            verified(as_bytes(changed))
        failures.add(failed.value.args)
    assert failures == {("decryption", "")}


def test_a_weak_key_of_the_identity_provider_counts_as_none() -> None:
    weak = key_pair("weak", "rsa1024")
    assert metadata.key_of(weak[1]) is None
    assert refusal(good(SAYS, key=weak), weak[1]) == "signature"


def test_a_minute_between_two_clocks_is_allowed() -> None:
    for seconds in (-59, 59):
        offset = dt.timedelta(seconds=seconds)
        assert verified(good(SAYS), at=AT + offset).subject == "p-ada"
    late = good(replace(SAYS, not_after=dt.timedelta(), confirmed_until=dt.timedelta()))
    assert verified(late, at=AT + dt.timedelta(seconds=59)).subject == "p-ada"
    assert refusal(late, at=AT + dt.timedelta(seconds=60)) == "expired"


@pytest.mark.parametrize("attack", ["very many prefixes", "a very large SignedInfo"])
def test_what_nobody_has_signed_is_refused_before_it_is_canonicalized(
    attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both together take a minute of the processor. Everybody who begins a sign-in can send such an answer."""

    def canonical(*_: Any) -> bytes:
        raise AssertionError("was canonicalized")

    data = ATTACKS[attack][0](SAYS)
    monkeypatch.setattr(signatures, "_canonical", canonical)
    assert refusal(data) == "signature"


def test_the_first_and_the_last_time_that_there_is_can_be_compared() -> None:
    """.NET writes them for “no limit”. A minute more or less than these is no time."""
    whole = as_bytes(response(SAYS))
    first, last = b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59Z"
    begin, end = (SAYS.time(each).encode() for each in (SAYS.not_before, SAYS.not_after))
    root = etree.fromstring(whole.replace(begin, first).replace(end, last))
    sign(assertion_of(root))
    assert verified(as_bytes(root)).subject == "p-ada"
    root = etree.fromstring(whole.replace(begin, last).replace(end, last))
    sign(assertion_of(root))
    assert refusal(as_bytes(root)) == "time"
    root = etree.fromstring(whole.replace(end, first))
    sign(assertion_of(root))
    assert refusal(as_bytes(root)) == "expired"


def test_times_that_an_answer_need_not_have() -> None:
    root = response(replace(SAYS, session_until=dt.timedelta(hours=8)))
    del next(root.iter("{urn:oasis:names:tc:SAML:2.0:assertion}Conditions")).attrib["NotBefore"]
    sign(assertion_of(root))
    assert verified(as_bytes(root)).subject == "p-ada"


def test_only_an_answer_names_a_question() -> None:
    with pytest.raises(SignOnFailed) as failed:
        answers.request_id_of(as_bytes(assertion_of(response(SAYS))))
    assert failed.value.code == "document"


def test_a_person_who_had_to_authenticate_again_did_so_after_the_question() -> None:
    data = good(replace(SAYS, authenticated=dt.timedelta(minutes=-3)))
    assert verified(data).subject == "p-ada"
    assert refusal(data, again_since=AT) == "not_again"
    assert verified(good(SAYS), again_since=AT).subject == "p-ada"


def test_an_answer_in_the_form_is_bounded_and_not_inflated() -> None:
    for value in ("%%%", "é", "A" * 300_000):
        with pytest.raises(SignOnFailed) as failed:
            answers.decoded(value)
        assert failed.value.code == "document"


# --- Metadata -------------------------------------------------------------------------------------------


def test_metadata_is_read_with_all_signing_keys() -> None:
    first, second, weak = key_pair()[1], key_pair("second")[1], key_pair("weak", "rsa1024")[1]
    found = metadata.read(idp_metadata(first, second, weak, second), at=AT)
    assert (found.entity_id, found.certificates) == (ENTITY_ID, (first, second))
    assert metadata.IdentityProvider.of_stored(found.entity_id, found.stored()) == found
    assert answers.verified(good(SAYS, key=key_pair("second")), replace(expected(), keys=found.keys))


def test_metadata_that_has_ended_is_refused() -> None:
    with pytest.raises(SignOnFailed) as failed:
        metadata.read(idp_metadata(until="2026-12-01T11:59:59Z"), at=AT)
    assert failed.value.code == "stale"
    found = metadata.read(idp_metadata(until="2026-12-01T12:00:01Z"), at=AT)
    with pytest.raises(SignOnFailed):
        found.require_valid(AT + dt.timedelta(seconds=1))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + idp_metadata(more="&x;").partition(b"-->")[2],
        idp_metadata(entity_id=""),
        idp_metadata(entity_id="x" * 281),
        idp_metadata(sso_url="javascript:alert(1)"),
        idp_metadata(sso_url="https://idp.example/ x"),
        idp_metadata(key_pair("weak", "rsa1024")[1]),
        idp_metadata("bm90IGEgY2VydGlmaWNhdGU="),
        idp_metadata(until="tomorrow"),
        idp_metadata().replace(b"IDPSSODescriptor", b"SPSSODescriptor"),
        idp_metadata(more="<x/>" * 6000),
    ],
    ids=lambda data: str(data[:40]),
)
def test_bad_metadata_is_refused(data: bytes) -> None:
    with pytest.raises(SignOnFailed) as failed:
        metadata.read(data, at=AT)
    assert failed.value.code == "metadata"


def test_our_metadata_names_both_keys_and_one_address() -> None:
    keys = [service_key().certificate, service_key("next").certificate]
    root = etree.fromstring(metadata.written(entity_id=US, acs=ACS, certificates=keys, organisation="A & B"))
    spaces = {"md": "urn:oasis:names:tc:SAML:2.0:metadata", "ds": "http://www.w3.org/2000/09/xmldsig#"}
    for use in ("signing", "encryption"):
        assert root.xpath(f"//md:KeyDescriptor[@use='{use}']//ds:X509Certificate/text()", namespaces=spaces) == keys
    assert root.get("entityID") == US
    assert root.xpath("//md:AssertionConsumerService/@Location", namespaces=spaces) == [ACS]
    assert root.xpath("//md:SPSSODescriptor/@WantAssertionsSigned", namespaces=spaces) == ["true"]
