"""A customer's own approval page: the administrator sets it after a confirmation, and the log gets an entry."""

from __future__ import annotations

import json
import secrets
from functools import partial
from typing import Any

import pytest

from audit_app.models import AuditEntry
from lockbox_site.demo.authenticator import Authenticator
from requests_app import operations
from requests_app.domain import clock, manifest
from requests_app.domain.errors import (
    ChangeProposed,
    DomainError,
    LastPasskey,
    NotAllowed,
    NotFound,
    OwnKeyRequired,
    PasskeyRefused,
    PasskeyWrongOrigin,
    SignatureRequired,
    StepUpRequired,
    Unacceptable,
    WrongState,
)
from requests_app.domain.manifest import Signed
from requests_app.models import AccessRequest, Decision, Passkey, Tenant
from requests_app.platform import webauthn
from requests_app.queries import signing
from tests.cast import Cast, events_in
from tests.offenders import collected
from tests.passkeys import enrolled, options_for
from tests.web.pages import only_a_refusal

pytestmark = pytest.mark.django_db

ORIGIN, SITE = "https://approvals.contoso.example", "approvals.contoso.example"


def own_key(cast: Cast, name: str = "ada", *, rp_id: str = SITE, **device_is: Any) -> tuple[Passkey, Authenticator]:
    """Add a passkey that this person made on the customer's approval page. Return it with its device."""
    challenge, device = secrets.token_bytes(32), Authenticator(origin=ORIGIN, rp_id=rp_id, **device_is)
    party = webauthn.Party(rp_id=rp_id, name="Contoso", origins=frozenset({ORIGIN}))
    row = operations.enrol_passkey(
        actor=cast.as_(name),
        response=device.create(options_for(cast, name, challenge)),
        challenge=challenge,
        name="Own page",
        party=party,
    )
    return row, device


def page_of(cast: Cast) -> tuple[str, str, bool]:
    row = Tenant.objects.get(pk=cast.contoso.pk)
    return row.approval_origin, row.approval_rp_id, row.own_keys_only


def put(cast: Cast, who: str = "ines", *, fresh: bool = True, **page: Any) -> Tenant:
    wanted = {"origin": ORIGIN, "keys_only": False, **page}
    return operations.set_approval_page(cast.contoso.pk, actor=cast.as_(who, fresh=fresh), **wanted)


def test_the_administrator_sets_and_removes_it_and_the_log_says_so(cast: Cast) -> None:
    put(cast, origin=f"{ORIGIN.upper()}:443/")
    assert page_of(cast) == (ORIGIN, SITE, False)
    put(cast, rp_id="Contoso.example")
    assert page_of(cast) == (ORIGIN, "contoso.example", False)
    put(cast, origin="")
    assert page_of(cast) == ("", "", False)
    details = [json.loads(bytes(row.canonical))["detail"] for row in AuditEntry.objects.order_by("seq")]
    assert details[1] == {
        "approval_origin": ORIGIN,
        "approval_rp_id": "contoso.example",
        "own_keys_only": False,
        "approval_origin_before": ORIGIN,
        "approval_rp_id_before": SITE,
        "own_keys_only_before": False,
    }
    assert events_in(cast.contoso) == ["tenant.changed"] * 3


@pytest.mark.parametrize(
    ("who", "fresh", "error"),
    [
        ("ada", True, NotAllowed),
        ("otto", True, NotAllowed),
        ("stella", True, NotAllowed),
        ("finn", True, NotFound),
        ("priya", True, DomainError),
        ("ines", False, StepUpRequired),
    ],
)
def test_nobody_else_sets_it_and_nobody_without_fresh_proof(
    cast: Cast, who: str, fresh: bool, error: type[DomainError]
) -> None:
    with pytest.raises(error):
        put(cast, who, fresh=fresh)
    assert page_of(cast) == ("", "", False)
    assert set(events_in(cast.contoso)) <= {"act.refused"}


def test_a_malformed_origin_or_the_providers_own_site_is_refused(cast: Cast) -> None:
    cases = [
        "http://approvals.contoso.example",
        "https://approvals.contoso.example/page",
        "https://approvals.contoso.example?x",
        "https://user@approvals.contoso.example",
        "https://*.contoso.example",
        "https://approvals.contoso.example:99999",
        "null",
        "*",
        "ftp://approvals.contoso.example",
        "javascript:alert(1)",
        "https://",
        "https://xn--\u00e4.example",
        "https://approvals.contoso.example\r\nX: y",
        "http://localhost:8000",
        "https://localhost",
    ]
    with collected() as case:
        for origin in cases:
            with case(origin):
                with pytest.raises(Unacceptable) as refused:
                    put(cast, origin=origin)
                assert refused.value.field == "origin"
                assert page_of(cast) == ("", "", False)


@pytest.mark.parametrize("rp_id", ["example", "evil.example", "s.contoso.example", "https://contoso.example", "*"])
def test_keys_belong_to_the_pages_own_site(cast: Cast, rp_id: str) -> None:
    with pytest.raises(Unacceptable) as refused:
        put(cast, rp_id=rp_id)
    assert refused.value.field == "rp_id"


def test_a_site_that_the_providers_pages_share_is_refused(cast: Cast, settings: Any) -> None:
    """On such a site, the provider's page could ask for signatures with the passkeys of the customer's page.

    The customer's approval page exists to prevent this.
    """
    settings.PASSKEY_RP_ID = "lockbox.contoso.example"
    with pytest.raises(Unacceptable) as refused:
        put(cast, rp_id="contoso.example")
    assert refused.value.field == "rp_id"
    assert put(cast, rp_id="").approval_rp_id == SITE


def test_a_page_without_tls_is_for_trials_on_this_machine_alone(cast: Cast, settings: Any) -> None:
    assert put(cast, origin="http://approvals.localhost:8123").approval_rp_id == "approvals.localhost"
    # A browser leaves out the usual port.
    assert put(cast, origin="http://approvals.localhost:80").approval_origin == "http://approvals.localhost"
    settings.PRODUCTION = True
    with pytest.raises(Unacceptable):
        put(cast, origin="http://other.localhost:8123")


def test_the_rule_of_own_keys_needs_an_approver_with_one(cast: Cast) -> None:
    with pytest.raises(Unacceptable) as refused:
        put(cast, keys_only=True)
    assert refused.value.field == "keys_only"
    put(cast)
    own_key(cast, "mia")
    with pytest.raises(Unacceptable):
        put(cast, keys_only=True)
    own_key(cast, "ada")
    assert put(cast, keys_only=True).own_keys_only
    with pytest.raises(Unacceptable):
        put(cast, origin="", keys_only=True)
    # With another RP ID, no existing passkey would work on the page.
    with pytest.raises(Unacceptable):
        put(cast, rp_id="contoso.example", keys_only=True)
    assert page_of(cast) == (ORIGIN, SITE, True)


def answered(cast: Cast, row: AccessRequest, verdict: str, device: Authenticator | None, *, rp_id: str = SITE) -> None:
    """Decide as Ada. With a device, sign the decision."""
    ada = cast.as_("ada")
    act = {"approve": operations.approve_as_customer, "deny": operations.deny_as_customer}[verdict]
    signature = None
    if device is not None:
        text = signing.text_to_sign(row, actor=ada, verdict=verdict, at=clock.now())
        signature = Signed(manifest=text, assertion=device.sign(manifest.challenge_of(text), rp_id=rp_id))
    act(row.pk, actor=ada, signature=signature)


def test_an_approval_counts_only_with_a_key_of_the_tenants_own_page(cast: Cast) -> None:
    put(cast)
    mine, other = own_key(cast)[1], enrolled(cast, "ada")[1]
    put(cast, keys_only=True)
    row = cast.confirmed()
    before = events_in(cast.contoso)
    with pytest.raises(SignatureRequired):
        answered(cast, row, "approve", None)
    with pytest.raises(OwnKeyRequired):
        answered(cast, row, "approve", other, rp_id="localhost")
    assert events_in(cast.contoso) == [*before, "act.refused", "act.refused"]
    answered(cast, row, "approve", mine)
    assert Decision.objects.get(access_request=row, stage="customer").signature.passkey.rp_id == SITE


def test_a_denial_is_always_possible_and_without_the_rule_any_key_counts(cast: Cast) -> None:
    put(cast)
    own_key(cast)
    answered(cast, cast.confirmed(), "approve", enrolled(cast, "ada")[1], rp_id="localhost")
    put(cast, keys_only=True)
    answered(cast, cast.confirmed(), "deny", None)
    assert events_in(cast.contoso)[-1] == "access_request.denied_by_customer"


def test_a_key_stays_valid_if_the_page_moves_within_its_site(cast: Cast) -> None:
    put(cast, rp_id="contoso.example")
    device = own_key(cast, rp_id="contoso.example")[1]
    device.origin = "https://decide.contoso.example"
    with pytest.raises(PasskeyRefused):
        answered(cast, cast.confirmed(), "approve", device, rp_id="contoso.example")
    put(cast, origin=device.origin, rp_id="contoso.example", keys_only=True)
    answered(cast, cast.confirmed(), "approve", device, rp_id="contoso.example")
    assert events_in(cast.contoso)[-1] == "access_request.approved_by_customer"


def test_a_removed_origin_signs_nothing_more(cast: Cast, settings: Any) -> None:
    """The next owner of the host name could show a page that asks for signatures."""
    put(cast, rp_id="contoso.example")
    device, row = own_key(cast, rp_id="contoso.example")[1], cast.confirmed()
    put(cast, origin="https://decide.contoso.example", rp_id="contoso.example")
    with pytest.raises(PasskeyWrongOrigin), only_a_refusal():
        answered(cast, row, "approve", device, rp_id="contoso.example")
    put(cast, origin="")
    with pytest.raises(PasskeyWrongOrigin), only_a_refusal():
        answered(cast, row, "approve", device, rp_id="contoso.example")
    here = enrolled(cast, "ada")[1]
    settings.PASSKEY_ORIGINS = ["https://lockbox.example"]
    with pytest.raises(PasskeyWrongOrigin), only_a_refusal():
        answered(cast, row, "approve", here, rp_id="localhost")
    here.origin = "https://lockbox.example"
    answered(cast, row, "approve", here, rp_id="localhost")
    assert events_in(cast.contoso)[-1] == "access_request.approved_by_customer"


def test_no_two_rules_together_leave_nobody_who_could_approve(cast: Cast) -> None:
    """Ada has two passkeys: a passkey of the page, which can be copied, and a passkey of this site, which can't.

    The two rules together would exclude both passkeys.
    """
    set_rule = partial(operations.set_yes_rule, cast.contoso.pk, actor=cast.as_("ines"))
    put(cast)
    own_key(cast, is_backup_eligible=True)
    bound = enrolled(cast, "ada")[0]
    put(cast, keys_only=True)
    with pytest.raises(WrongState), only_a_refusal():
        set_rule(rule="device_bound")
    assert (Tenant.objects.get(pk=cast.contoso.pk).yes_rule, page_of(cast)) == ("any", (ORIGIN, SITE, True))
    put(cast)
    set_rule(rule="device_bound")
    with pytest.raises(Unacceptable) as refused, only_a_refusal():
        put(cast, keys_only=True)
    assert (refused.value.field, page_of(cast)) == ("keys_only", (ORIGIN, SITE, False))
    with pytest.raises(LastPasskey), only_a_refusal():
        operations.remove_passkey(bound.pk, actor=cast.as_("ada"))
    # If only the page's passkeys can approve, the page can't be removed or moved to another site.
    set_rule(rule="signed")
    operations.remove_passkey(bound.pk, actor=cast.as_("ada"))
    for origin, site in (("", ""), (ORIGIN, "contoso.example")):
        with pytest.raises(Unacceptable) as refused, only_a_refusal():
            put(cast, origin=origin, rp_id=site)
        assert (refused.value.field, page_of(cast)) == ("origin", (ORIGIN, SITE, False))
    set_rule(rule="any")
    put(cast, origin="")
    assert page_of(cast) == ("", "", False)


def test_a_key_without_an_entry_in_this_log_makes_nobody_ready(cast: Cast) -> None:
    """A verifier looks for the passkey in this log, so it would reject a signature with this passkey."""
    put(cast)
    row = own_key(cast)[0]
    Passkey.objects.filter(pk=row.pk).update(enrolled={})
    with pytest.raises(Unacceptable) as refused, only_a_refusal():
        put(cast, keys_only=True)
    assert (refused.value.field, page_of(cast)) == ("keys_only", (ORIGIN, SITE, False))


def test_under_two_person_control_one_administrator_alone_sets_nothing(cast: Cast) -> None:
    Tenant.objects.filter(pk=cast.contoso.pk).update(needs_two=True)
    with pytest.raises(ChangeProposed):
        put(cast)
    assert page_of(cast) == ("", "", False)
    operations.confirm_proposal(cast.contoso.proposals.get().pk, actor=cast.as_("ada"))
    assert page_of(cast) == (ORIGIN, SITE, False)
