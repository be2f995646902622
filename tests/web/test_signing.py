"""Signing a decision on its page and over the API; where it is shown, and what a tenant's rule asks for."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from django.core import mail
from django.urls import reverse

from requests_app import errors, manifest, operations
from requests_app.models import AccessRequest, Decision, Tenant
from requests_app.outbox import delivery
from tests.caller import Caller, caller_for, token_of
from tests.cast import PASSWORD, Cast, events_of
from tests.passkeys import enrolled
from tests.web.pages import answer, only_a_refusal, page_of, signed_in

pytestmark = pytest.mark.django_db


def offered(page: Any) -> tuple[str, dict[str, Any]]:
    """The text that a page shows to be signed, and what it asks the browser for."""
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
    assert "Signed with a passkey" in receipt
    assert grouped(digest) in receipt
    whole = client.get(page_of(row)).content.decode()
    assert whole.count("Signed with a passkey") == whole.count("Not signed") == 1
    assert "said yes for the customer, signed" in whole
    assert "said yes for the provider, not signed" in whole
    while delivery.drain():
        pass
    [opened] = [each for each in mail.outbox if each.to[0].startswith("alan@") and "may read" in each.subject]
    short = " ".join(digest[at : at + 4] for at in range(0, 16, 4))
    said = " ".join(opened.body.split())
    assert f"signed, digest {short} …" in said
    assert "Pat Test (Microsoft): not signed" in said


def test_what_is_wrong_with_a_signature_stands_on_the_page_and_decides_nothing(cast: Cast) -> None:
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
    with only_a_refusal():
        assert client.post(path, answer(row, assertion="no JSON", password=PASSWORD)).status_code == 422
    assert "data-sign=" in client.get(path).content.decode()


def test_whoever_has_no_passkey_is_asked_as_before(cast: Cast) -> None:
    enrolled(cast, "alan")
    row = cast.confirmed()
    page = signed_in(cast, "ada").get(page_of(row, "decide", "approve")).content.decode()
    assert "data-sign" not in page
    assert 'name="password"' in page


def test_a_rule_that_wants_signatures_takes_no_other_yes_and_every_no(cast: Cast) -> None:
    """By each door: the page does not offer it, and a machine that decides for an approver can say no only."""
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
    assert "Your yes must be signed" in page
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
    assert "signed or not" in page


def test_a_token_signs_without_any_other_proof(cast: Cast) -> None:
    device, row = enrolled(cast, "ada")[1], cast.confirmed()
    caller = Caller(token_of(cast, "ada"))
    path = f"access-requests/{row.pk}"
    assert caller.get(f"{path}/manifest").status_code == 422
    given = caller.get(f"{path}/manifest?decision=approve").json()
    text = given["manifest"]
    assert given["digest"] == manifest.challenge_of(text).hex()
    assert json.loads(text)["decision"] == "approve"
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
    assert caller.get(f"{path}/manifest?decision=approve").status_code == 403
    assert Caller(token_of(cast, "frida")).get(f"{path}/manifest?decision=approve").status_code == 404
    assert Caller(token_of(cast, "otto")).get(f"{path}/manifest?decision=approve").status_code == 403
