"""A signed approval is valid for exactly one text, person and passkey. Everything else is refused and recorded."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from audit_app import canonical, checkpoints
from audit_app.models import AuditEntry
from lockbox_site.demo.authenticator import Authenticator
from requests_app import operations
from requests_app.domain import clock, errors, manifest
from requests_app.models import AccessRequest, Decision, Grant, Passkey, Resource, SignedDecision, Tenant
from requests_app.queries import signing
from tests.cast import Cast, events_of, outbox_topics
from tests.passkeys import enrolled

pytestmark = pytest.mark.django_db


def text_for(cast: Cast, row: AccessRequest, name: str = "ada", verdict: str = "approve") -> str:
    row = AccessRequest.objects.get(pk=row.pk)
    return signing.text_to_sign(row, actor=cast.as_(name, fresh=False), verdict=verdict, at=clock.now())


def signed(text: str, device: Authenticator) -> operations.Signed:
    return operations.Signed(manifest=text, assertion=device.sign(manifest.challenge_of(text), rp_id="localhost"))


def detail_of(row: AccessRequest, event: str) -> dict[str, Any]:
    entry = AuditEntry.objects.get(correlation_id=row.pk, event=event)
    return json.loads(bytes(entry.canonical))["detail"]


def test_a_signed_approval_is_in_the_log_with_all_that_verifies_it(cast: Cast) -> None:
    """The entry is enough to verify the approval.

    Ada has not just confirmed who she is: the signature alone proves it.
    """
    passkey, device = enrolled(cast, "ada")
    row = cast.confirmed()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    text = text_for(cast, row)
    record = json.loads(text)
    assert record == {
        "format": "lockbox-decision-v1",
        "tenant": {"id": str(cast.contoso.pk), "name": "Contoso"},
        "access_request": {"id": str(row.pk), "reference": row.reference, "digest": row.content_digest},
        "stage": "customer",
        "decision": "approve",
        "service": "exchange-online",
        "resources": record["resources"],
        "level": "read",
        "minutes": 120,
        "engineer": {"id": str(cast.priya.pk), "name": "Priya Test"},
        "provider_approver": {"id": str(cast.pat.pk), "name": "Pat Test"},
        "decider": {"id": str(cast.ada.pk), "name": "Ada Test"},
        "checkpoint": record["checkpoint"],
        "not_after": record["not_after"],
        "nonce": record["nonce"],
    }
    finance = cast.resource()
    assert record["resources"] == [
        {"id": str(finance.pk), "kind": "mailbox", "name": "finance@contoso.example", "locator": "contoso/mail/finance"}
    ]
    assert (record["checkpoint"]["size"], record["checkpoint"]["origin"]) == (5, f"localhost/log/{cast.contoso.pk}")
    operations.approve_as_customer(row.pk, actor=cast.as_("ada", fresh=False), signature=signed(text, device))
    [detail] = [detail_of(row, "access_request.approved_by_customer")]
    proof = detail["signature"]
    assert (detail["signed"], proof["manifest"], proof["passkey"]) == (True, text, str(passkey.pk))
    entry = AuditEntry.objects.get(event="passkey.enrolled")
    enrolment = {"log": str(cast.contoso.pk), "seq": entry.seq, "leaf": bytes(entry.leaf_hash).hex()}
    assert proof["enrolled"] == enrolment
    assert proof["assertion"].keys() == {"clientDataJSON", "authenticatorData", "signature"}
    decision = Decision.objects.get(access_request=row, stage="customer")
    assert decision.manifest_digest == manifest.challenge_of(text).hex()
    assert decision.is_signed
    assert decision.signature.manifest == text
    assert Passkey.objects.get().sign_count == device.sign_count == 2
    assert detail_of(row, "access_request.approved_by_provider")["signed"] is False
    assert not Decision.objects.get(access_request=row, stage="provider").is_signed


def test_each_answer_of_each_stage_may_be_signed(cast: Cast) -> None:
    of_pat, of_ada = enrolled(cast, "pat")[1], enrolled(cast, "ada", algorithm="EdDSA", counts=False)[1]
    row = cast.submitted()
    text = text_for(cast, row, "pat")
    assert json.loads(text)["provider_approver"] is None
    operations.approve_as_provider(row.pk, actor=cast.as_("pat", fresh=False), signature=signed(text, of_pat))
    text = text_for(cast, row, verdict="deny")
    operations.deny_as_customer(row.pk, actor=cast.as_("ada", fresh=False), signature=signed(text, of_ada))
    other = cast.submitted(by="erik")
    text = text_for(cast, other, "pat", "deny")
    operations.deny_as_provider(
        other.pk, actor=cast.as_("pat", fresh=False), note="Ask them.", signature=signed(text, of_pat)
    )
    assert SignedDecision.objects.count() == 3
    assert detail_of(other, "access_request.denied_by_provider")["signature"]["enrolled"]["log"] == str(PROVIDER)


PROVIDER = "00000000-0000-0000-0000-000000000000"


class Attempts:
    """Tries signatures.

    Asserts that each is refused and recorded with the right code, and that nothing else happens.
    """

    def __init__(self, cast: Cast, row: AccessRequest, device: Authenticator) -> None:
        self.cast, self.row, self.device = cast, row, device
        self.messages = outbox_topics()
        self.before = AuditEntry.objects.count()

    def refused(
        self, signature: operations.Signed, wrong: type[errors.DomainError], name: str = "ada", verdict: str = "approve"
    ) -> None:
        act = {"approve": operations.approve_as_customer, "deny": operations.deny_as_customer}[verdict]
        with pytest.raises(errors.DomainError) as refusal:
            act(self.row.pk, actor=self.cast.as_(name, fresh=False), signature=signature)
        assert type(refusal.value) is wrong
        last = AuditEntry.objects.order_by("-pk")[0]
        assert (last.event, last.text) == ("act.refused", f"{verdict}_as_customer {wrong.code}")
        self.before += 1
        assert AuditEntry.objects.count() == self.before
        assert AccessRequest.objects.get(pk=self.row.pk).state == "PENDING_CUSTOMER"
        assert (Grant.objects.count(), SignedDecision.objects.count()) == (0, 0)
        assert outbox_topics() == self.messages

    def assertion(self, text: str, **wrong: Any) -> operations.Signed:
        """Return the signature of a faulty device. `wrong` has the attributes in which the device differs."""
        stored = {name: getattr(self.device, name) for name in wrong}
        for name, value in wrong.items():
            setattr(self.device, name, value)
        try:
            return signed(text, self.device)
        finally:
            for name, value in stored.items():
                setattr(self.device, name, value)


def test_every_difference_is_refused_with_its_code_and_nothing_happens(cast: Cast, travel: Any) -> None:
    travel.freeze()
    device, of_alan = enrolled(cast, "ada")[1], enrolled(cast, "alan")[1]
    of_pat = enrolled(cast, "pat")[1]
    row, other = cast.confirmed(), cast.confirmed(by="erik")
    attempts = Attempts(cast, row, device)
    text = text_for(cast, row)
    good = signed(text, device)
    # One letter differs, at any place; or the text has the same meaning in other bytes.
    for was, now in (
        ("read", "reed"),
        ("finance@", "finanse@"),
        ('"minutes":120', '"minutes":121'),
        ("Priya", "Prija"),
    ):
        assert was in text
        attempts.refused(signed(text.replace(was, now, 1), device), errors.ManifestChanged)
    attempts.refused(signed(text.replace(":", ": ", 1), device), errors.ManifestChanged)
    for junk in ("", "{}", "[]", "null", "x" * 300_000, "[" * 50_000):
        attempts.refused(operations.Signed(manifest=junk, assertion=good.assertion), errors.ManifestChanged)
    # A nonce that was not made here, too short or too long, or no text at all.
    for nonce in ("", "=", "AAAA", "n" * 64, "n" * 68, 7, None):
        forged = canonical.encode({**json.loads(text), "nonce": nonce}).decode()
        attempts.refused(signed(forged, device), errors.ManifestChanged)
    # The signature of one text, sent with another text.
    again = text_for(cast, row)
    attempts.refused(operations.Signed(manifest=again, assertion=good.assertion), errors.PasskeyWrongChallenge)
    # A correct signature for another access request, another decision or another person.
    attempts.refused(signed(text_for(cast, other), device), errors.ManifestForeign)
    attempts.refused(signed(text_for(cast, row, verdict="deny"), device), errors.ManifestForeign)
    attempts.refused(good, errors.ManifestForeign, verdict="deny")
    attempts.refused(good, errors.ManifestForeign, name="alan")
    attempts.refused(signed(text_for(cast, row, "alan"), of_alan), errors.ManifestForeign)
    # Another passkey: a colleague's, one of the provider, or an unknown one.
    attempts.refused(signed(text, of_alan), errors.PasskeyUnknown)
    attempts.refused(signed(text, of_pat), errors.PasskeyUnknown)
    stranger = Authenticator(origin=device.origin, credential_id=device.credential_id)
    stranger.create({"rp": {"id": "localhost"}, "challenge": "AAAA"})
    stranger.sign_count = 7
    attempts.refused(signed(text, stranger), errors.PasskeyBadSignature)
    # The device or the page is not the right one.
    attempts.refused(attempts.assertion(text, verifies_user=False), errors.PasskeyNotVerified)
    attempts.refused(attempts.assertion(text, origin="http://localhost:8001"), errors.PasskeyWrongOrigin)
    attempts.refused(attempts.assertion(text, rp_id="lockbox.example"), errors.PasskeyWrongSite)
    attempts.refused(attempts.assertion(text, sign_count=0), errors.PasskeyCounter)
    attempts.refused(attempts.assertion(text, is_backup_eligible=True), errors.PasskeyBackupChanged)
    attempts.refused(operations.Signed(manifest=text, assertion={}), errors.PasskeyUnreadable)
    # The text expires after exactly five minutes.
    travel.by(seconds=300)
    attempts.refused(good, errors.ManifestExpired)
    travel.by(seconds=1)
    attempts.refused(good, errors.ManifestExpired)
    # The facts have changed since the text was signed.
    text = text_for(cast, row)
    Tenant.objects.filter(pk=cast.contoso.pk).update(window_cap=3600)
    attempts.refused(signed(text, device), errors.FactsChanged)
    Tenant.objects.filter(pk=cast.contoso.pk).update(window_cap=14400)
    Resource.objects.filter(pk=cast.resource().pk).update(name="board@contoso.example")
    attempts.refused(signed(text, device), errors.FactsChanged)
    Resource.objects.filter(name="board@contoso.example").update(name="finance@contoso.example")
    # The passkey was removed.
    text = text_for(cast, row)
    operations.remove_passkey(Passkey.objects.get(person=cast.ada).pk, actor=cast.as_("ada"))
    attempts.before, attempts.messages = AuditEntry.objects.count(), outbox_topics()
    attempts.refused(signed(text, device), errors.PasskeyUnknown)


def test_a_signature_is_good_to_the_last_moment_before_its_end_and_serves_once(cast: Cast, travel: Any) -> None:
    travel.freeze()
    device = enrolled(cast, "ada")[1]
    row = cast.confirmed()
    good = signed(text_for(cast, row), device)
    travel.by(seconds=299, milliseconds=999)
    operations.approve_as_customer(row.pk, actor=cast.as_("ada", fresh=False), signature=good)
    # The same signature again gets the first result.
    operations.approve_as_customer(row.pk, actor=cast.as_("ada", fresh=False), signature=good)
    assert events_of(row)[-1] == "access_request.approved_by_customer"
    assert SignedDecision.objects.count() == Grant.objects.count() == 1
    # The database refuses the same nonce twice, even without the product's check.
    first = SignedDecision.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        SignedDecision.objects.create(
            decision=Decision.objects.get(access_request=row, stage="provider"),
            tenant=cast.contoso,
            passkey=first.passkey,
            manifest="",
            assertion={},
            nonce=first.nonce,
        )


def test_a_signed_text_is_never_valid_beyond_the_deadline(cast: Cast, travel: Any) -> None:
    travel.freeze()
    row = cast.confirmed()
    travel.to(AccessRequest.objects.get(pk=row.pk).decide_by - dt.timedelta(seconds=60))
    record = json.loads(text_for(cast, row))
    assert record["not_after"] == row.decide_by.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
