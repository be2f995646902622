"""Signing a decision on its page and over the API; where signatures are shown; the tenant's rule for them."""

from __future__ import annotations

import csv
import hashlib
import html
import json
import re
from typing import Any

import pytest
from django.core import mail
from django.urls import reverse

from audit_app import decision_signatures, queries
from audit_app.models import AuditEntry
from audit_app.shard_positions import Shards
from audit_app.siem import FORMATS, Source
from requests_app import operations
from requests_app.domain import clock, errors, manifest
from requests_app.messages.webhooks import messages
from requests_app.models import AccessRequest, Decision, Resource, Tenant
from requests_app.platform import webauthn
from requests_app.queries import signing
from requests_app.work import outbox
from tests.audit import cef_reader
from tests.caller import Caller, caller_for, token_of
from tests.cast import PASSWORD, Cast, events_of
from tests.passkeys import enrolled
from tests.web.pages import answer, nothing_happens, only_a_refusal, page_of, signed_in

pytestmark = pytest.mark.django_db


def offered(page: Any) -> tuple[str, dict[str, Any]]:
    """Return the text that the page offers to sign, and the options that it passes to the device."""
    body = page.content.decode()
    text = re.search(r'name="manifest" value="([^"]*)"', body)
    options = re.search(r'data-sign="([^"]*)"', body)
    assert text
    assert options
    return html.unescape(text[1]), json.loads(html.unescape(options[1]))


def form_of(row: AccessRequest, text: str, assertion: Any, **fields: Any) -> dict[str, Any]:
    return answer(row, manifest=text, assertion=json.dumps(assertion), password="", **fields)


def grouped(digest: str) -> str:
    return "<wbr>".join(f"<span>{digest[at : at + 4]}</span>" for at in range(0, len(digest), 4))


def test_one_post_signs_and_decides_and_page_receipt_and_mail_show_one_digest(cast: Cast) -> None:
    device, row = enrolled(cast, "ada")[1], cast.confirmed()
    client = signed_in(cast, "ada")
    page = client.get(page_of(row, "decide", "approve"))
    text, options = offered(page)
    digest = manifest.challenge_of(text).hex()
    assert grouped(digest) in page.content.decode()
    assert (options["userVerification"], len(options["allowCredentials"])) == ("required", 1)
    done = client.post(page_of(row, "decide", "approve"), form_of(row, text, device.get(options)))
    assert (done.status_code, done.url) == (302, page_of(row, "receipt"))
    decision = Decision.objects.get(stage="customer")
    assert decision.manifest_digest == digest
    receipt = client.get(page_of(row, "receipt")).content.decode()
    key = "igned with the passkey “Phone”, which can’t leave its device"
    assert f"S{key}" in receipt
    assert grouped(digest) in receipt
    whole = client.get(page_of(row)).content.decode()
    assert whole.count(f"S{key}") == whole.count("Not signed") == 1
    assert f"approved on the customer’s behalf, s{key}" in whole
    assert "approved on the provider’s behalf, not signed with a passkey" in whole
    while outbox.drain():
        pass
    [opened] = [each for each in mail.outbox if each.to[0].startswith("alan@") and "can read" in each.subject]
    short = " ".join(digest[at : at + 4] for at in range(0, 16, 4))
    page_text = " ".join(opened.body.split())
    assert f"Ada Test (Contoso); the approval is s{key}; digest {short} …" in page_text
    assert "Pat Test (Microsoft); the approval is not signed with a passkey" in page_text


def test_wherever_a_decision_is_shown_it_says_whether_it_is_signed_and_by_which_key(cast: Cast) -> None:
    """One stage is signed with a passkey that can be copied, and the other with a passkey that can't.

    A further decision is not signed.
    """
    (of_pat, pats), (of_ada, adas) = enrolled(cast, "pat"), enrolled(cast, "ada", is_backup_eligible=True)
    plain = cast.confirmed(by="erik")
    operations.deny_as_customer(plain.pk, actor=cast.as_("alan"))
    row = cast.submitted()
    for name, device, decide in (
        ("pat", pats, operations.approve_as_provider),
        ("ada", adas, operations.approve_as_customer),
    ):
        seen = AccessRequest.objects.get(pk=row.pk)
        text = signing.text_to_sign(seen, actor=cast.as_(name, fresh=False), verdict="approve", at=clock.now())
        answer = device.sign(manifest.challenge_of(text), rp_id="localhost")
        decide(row.pk, actor=cast.as_(name), signature=operations.Signed(manifest=text, assertion=answer))
    decisions = {each.stage: each for each in Decision.objects.filter(access_request=row)}
    digests = {stage: each.manifest_digest for stage, each in decisions.items()}
    assert len(set(digests.values())) == 2
    keys = {
        stage: hashlib.sha256(webauthn.spki_of(bytes(key.public_key))).hexdigest()
        for stage, key in (("provider", of_pat), ("customer", of_ada))
    }
    digest = {
        stage: {
            "signed": True, "passkey": str(key.pk), "rp_id": "localhost", "key_sha256": keys[stage],
            "device_bound": stage == "provider", "digest": digests[stage],
        }
        for stage, key in (("provider", of_pat), ("customer", of_ada))
    }  # fmt: skip
    copied, bound = "the passkey “Phone”, which can be copied", "a passkey that can’t leave its device"

    # The pages of the access request, its receipts, and the log.
    page = signed_in(cast, "otto").get(page_of(row)).content.decode()
    assert (page.count(f"Signed with {copied}"), page.count(f"Signed with {bound}")) == (1, 1)
    assert f"Signed with {bound}" in signed_in(cast, "pat").get(page_of(row, "receipt")).content.decode()
    assert "Not signed" in signed_in(cast, "alan").get(page_of(plain, "receipt")).content.decode()
    log = signed_in(cast, "otto").get(reverse("web:log", args=[cast.contoso.pk])).content.decode()
    log = " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", "", log, flags=re.DOTALL).split())
    assert f"{row.reference} for Microsoft; Contoso is asked next. Signed with {bound}" in log
    assert f". Signed with {copied}" in log
    assert f"denied {plain.reference} for Contoso. Not signed with a passkey" in log

    # The API.
    found = Caller(token_of(cast, "otto")).get(f"access-requests/{row.pk}").json()["decisions"]
    assert [each["signed_by"] for each in found] == [
        {"passkey": str(of_pat.pk), "name": "", "rp_id": "localhost", "device_bound": True},
        {"passkey": str(of_ada.pk), "name": "Phone", "rp_id": "localhost", "device_bound": False},
    ]
    [first, second] = Caller(token_of(cast, "otto")).get(f"access-requests/{plain.pk}").json()["decisions"]
    assert (first["signed"], second["signed_by"]) == (False, None)

    # Every format of the log, line by line.
    wanted, no = Source(Shards.of(cast.contoso.pk), vendor="Microsoft"), {"signed": False}
    rows = list(queries.in_order(cast.contoso.pk))
    lines = {kind: list(FORMATS[kind].lines(iter(rows), wanted)) for kind in FORMATS}

    def expected_of(entry: AuditEntry) -> dict[str, Any] | None:
        stage = entry.event.partition("_by_")[2]
        return (no if entry.correlation_id == plain.pk else digest[stage]) if stage else None

    expected = [expected_of(each) for each in rows]
    assert [each for each in expected if each] == [no, no, digest["provider"], digest["customer"]]
    assert [json.loads(line)["unmapped"].get("signature") for line in lines["ocsf"]] == expected
    assert [json.loads(line).get("Signature") for line in lines["o365"]] == expected
    assert [decision_signatures.of(json.loads(line)["entry"]["detail"]) is not None for line in lines["jsonl"]] == [
        bool(each) for each in expected
    ]
    words = {True: "yes", False: "no", None: ""}
    table = [(each["signed"], each["signed_by"], each["device_bound"]) for each in csv.DictReader(lines["csv"])]
    assert table == [
        (words[each["signed"]], each.get("passkey", ""), words[each.get("device_bound")]) if each else ("", "", "")
        for each in expected
    ]
    events = [cef_reader.read(line.removesuffix("\n")).extension for line in lines["cef"]]
    names = ("CustomerLockboxSigned", "CustomerLockboxSignedBy", "CustomerLockboxDeviceBound")
    assert [tuple(each[name] for name in names if name in each) for each in events if names[0] in each] == [
        ("false",),
        ("false",),
        ("true", str(of_pat.pk), "true"),
        ("true", str(of_ada.pk), "false"),
    ]

    # The messages of webhooks.
    sent = [json.loads(each.body)["data"] for each in messages.of(rows, cast.contoso.pk)]
    assert [each.get("signature") for each in sent] == expected

    # The mail about the closed window, and the administration.
    operations.revoke(row.pk, actor=cast.as_("ada"))
    while outbox.drain():
        pass
    [closed] = [each for each in mail.outbox if each.to[0].startswith("alan@") and "closed" in each.subject]
    page_text = " ".join(closed.body.split())
    assert f"Pat Test (Microsoft); the approval is signed with {bound}; digest" in page_text
    assert f"Ada Test (Contoso); the approval is signed with {copied}; digest" in page_text
    staff = signed_in(cast, "stella")
    listed = staff.get(reverse("admin:requests_app_decision_changelist")).content.decode()
    assert (listed.count(f"signed with {copied}"), listed.count("not signed")) == (1, 2)
    shown = staff.get(reverse("admin:requests_app_decision_change", args=[decisions["customer"].pk])).content.decode()
    assert grouped(digests["customer"]) in shown
    assert f"{of_ada.pk} (localhost)" in shown


def test_the_fault_of_a_signature_is_on_the_page_and_decides_nothing(cast: Cast) -> None:
    device, row = enrolled(cast, "ada")[1], cast.confirmed()
    client, path = signed_in(cast, "ada"), page_of(row, "decide", "approve")
    text, options = offered(client.get(path))
    changed = text.replace("Priya", "Prija")
    good = device.get(options)
    for form, wrong in (
        (form_of(row, changed, device.sign(manifest.challenge_of(changed), rp_id="localhost")), errors.ManifestChanged),
        (form_of(row, text, {}), errors.PasskeyUnreadable),
        (form_of(row, text, {**good, "rawId": "AAAA"}), errors.PasskeyUnknown),
    ):
        with only_a_refusal():
            answered = client.post(path, form)
        assert answered.status_code == wrong.status
        assert html.escape(str(wrong.default)) in answered.content.decode()
    with nothing_happens():
        assert client.post(path, answer(row, assertion="no JSON", password=PASSWORD)).status_code == 422
    assert "data-sign=" in client.get(path).content.decode()


def test_a_person_without_a_passkey_is_asked_as_before(cast: Cast) -> None:
    enrolled(cast, "alan")
    row = cast.confirmed()
    page = signed_in(cast, "ada", fresh=False).get(page_of(row, "decide", "approve")).content.decode()
    assert "data-sign" not in page
    assert 'name="password"' in page


def test_a_rule_of_signatures_accepts_only_signed_approvals_and_every_denial(cast: Cast) -> None:
    """The page offers no unsigned approval. A client that decides for an approver can only deny."""
    phone, _key = enrolled(cast, "ada", is_backup_eligible=True)[1], cast.exchange
    ines = cast.as_("ines")
    with pytest.raises(errors.WrongState):
        operations.set_yes_rule(cast.contoso.pk, rule="device_bound", actor=ines)
    with pytest.raises(errors.StepUpRequired):
        operations.set_yes_rule(cast.contoso.pk, rule="signed", actor=cast.as_("ines", fresh=False))
    for name in ("ada", "otto"):
        with pytest.raises(errors.NotAllowed):
            operations.set_yes_rule(cast.contoso.pk, rule="signed", actor=cast.as_(name))
    operations.set_yes_rule(cast.contoso.pk, rule="signed", actor=ines)
    row = cast.confirmed()
    client, path = signed_in(cast, "alan"), page_of(row, "decide", "approve")
    page = client.get(path).content.decode()
    assert "Your approval must be signed" in page
    assert 'name="password"' not in page
    with only_a_refusal():
        assert client.post(path, answer(row)).status_code == errors.SignatureRequired.status
    machine = caller_for(cast, "contoso", decides_for_id=cast.ada.pk)
    answered = machine.decide("approve", row)
    assert (answered.status_code, answered.json()["code"]) == (403, "signature_required")
    text, options = offered(signed_in(cast, "ada").get(path))
    key = enrolled(cast, "ada")[1]
    operations.set_yes_rule(cast.contoso.pk, rule="device_bound", actor=ines)
    with pytest.raises(errors.DeviceBoundRequired):
        operations.approve_as_customer(
            row.pk,
            actor=cast.as_("ada"),
            signature=operations.Signed(manifest=text, assertion=phone.get(options)),
        )
    other = cast.confirmed(by="erik")
    assert machine.decide("deny", other).status_code == 200
    text, options = offered(signed_in(cast, "ada").get(path))
    assert len(options["allowCredentials"]) == 1
    signed_in(cast, "ada").post(path, form_of(row, text, key.get(options)))
    assert events_of(row)[-1] == "access_request.approved_by_customer"
    assert events_of(other)[-1] == "access_request.denied_by_customer"


def test_the_rule_is_set_on_its_page_after_fresh_proof(cast: Cast) -> None:
    path = reverse("web:yes_rule", args=[cast.contoso.pk])
    client = signed_in(cast, "ines", fresh=False)
    enrolled(cast, "ada")
    away = client.get(path)
    assert (away.status_code, reverse("web:step_up") in away.url) == (302, True)
    assert reverse("web:step_up") in client.post(path, {"rule": "signed"}).url
    assert Tenant.objects.get(pk=cast.contoso.pk).yes_rule == "any"
    assert signed_in(cast, "otto").get(path).status_code == 403
    page = client.get(reverse("web:tenant", args=[cast.contoso.pk])).content.decode()
    assert "with or without a signature" in page


def test_a_token_signs_without_any_other_proof(cast: Cast) -> None:
    device, row = enrolled(cast, "ada")[1], cast.confirmed()
    caller = Caller(token_of(cast, "ada"))
    path = f"access-requests/{row.pk}"
    assert caller.get(f"{path}/manifest").status_code == 422
    given = caller.get(f"{path}/manifest?decision=approve").json()
    text = given["manifest"]
    assert given["digest"] == manifest.challenge_of(text).hex()
    assert json.loads(text)["decision"] == "approve"
    # The text contains a digest of the access request. The digest stays the same if the mailbox is renamed later.
    mailbox = Resource.objects.filter(pk=cast.resource().pk)
    mailbox.update(name="renamed@contoso.example")
    given_later = caller.get(f"{path}/manifest?decision=approve").json()["asked"]
    mailbox.update(name="finance@contoso.example")
    assert given["asked"] == given_later
    assert hashlib.sha256(given["asked"].encode()).hexdigest() == json.loads(text)["access_request"]["digest"]
    assert json.loads(given["asked"])["justification"] == row.justification
    other = caller.get(f"{path}/manifest?decision=deny").json()["manifest"]
    wrong = {"manifest": other, "assertion": device.get(given["request"])}
    refused = caller.decide("approve", row, signature=wrong)
    assert (refused.status_code, refused.json()["code"]) == (403, "manifest_foreign")
    signature = {"manifest": text, "assertion": device.get(given["request"])}
    done = caller.decide("approve", row, signature=signature)
    assert done.status_code == 200
    [by_provider, by_customer] = done.json()["decisions"]
    assert (by_provider["signed"], by_provider["signed_digest"]) == (False, None)
    assert (by_customer["signed"], by_customer["signed_digest"]) == (True, given["digest"])
    assert caller.get(f"{path}/manifest?decision=approve").status_code == 409
    assert Caller(token_of(cast, "frida")).get(f"{path}/manifest?decision=approve").status_code == 404
    assert Caller(token_of(cast, "otto")).get(f"{path}/manifest?decision=approve").status_code == 403
