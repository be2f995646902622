"""Which addresses count at a sign-in: only those of domains that the tenant has verified, with either protocol."""

from __future__ import annotations

from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import Domain, Identity, Person, SignOn, Tenant
from requests_app.models.single_sign_on import saml_issuer
from requests_app.operations import AssertedIdentity, Profile
from tests import saml_idp
from tests.cast import Cast, events_in

pytestmark = pytest.mark.django_db

ISSUER = "https://idp.fabrikam.example"


def connected(tenant: Tenant, protocol: str) -> str:
    """Give the tenant a connection, as its administrator can. Return the issuer of its people's identities."""
    fields: dict[str, Any] = {"client_id": "lockbox", "sealed": "x"}
    if protocol == "saml":
        pinned = {"sso_url": f"{ISSUER}/sso", "certificates": [saml_idp.fixed_certificate(1)]}
        fields |= {"protocol": "saml", "identity_provider": pinned, "email_claim": "mail", "sealed": ""}
    SignOn.objects.create(tenant=tenant, issuer=ISSUER, is_on=True, changed_at=clock.now(), **fields)
    return saml_issuer(ISSUER) if protocol == "saml" else ISSUER


def has_verified(tenant: Tenant, name: str) -> None:
    Domain.objects.create(tenant=tenant, name=name, challenge="x", claimed_at=clock.now(), verified_at=clock.now())


def comes(cast: Cast, tenant: Tenant, issuer: str, email: str, **more: Any) -> Person:
    came = AssertedIdentity(
        issuer=issuer,
        email=email,
        email_is_verified=True,
        has_proven_issuer=not issuer.startswith("saml:"),
        **{"subject": "s-1", **more},
    )
    return operations.sign_in(tenant.pk, came=came, actor=cast.system("single sign-on"))


@pytest.mark.parametrize("protocol", ["oidc", "saml"])
def test_an_identity_provider_makes_nobody_one_human_with_a_person_of_another_organisation(
    cast: Cast, protocol: str
) -> None:
    """Fabrikam's own directory and identity provider say that their accomplice reads a mailbox of Contoso."""
    has_verified(cast.fabrikam, "fabrikam.example")
    has_verified(cast.contoso, "contoso.example")
    issuer = connected(cast.fabrikam, protocol)
    profile = Profile(user_name="x", email="ada+x@contoso.example", name="Accomplice", external_id="k-1")
    accomplice = operations.provision_member(cast.fabrikam.pk, profile=profile, actor=cast.as_("finn"))
    before = events_in(cast.contoso)
    assert comes(cast, cast.fabrikam, issuer, "Ada+x@contoso.example", directory_key="k-1") == accomplice
    accomplice.refresh_from_db()
    ada = Person.objects.get(pk=cast.ada.pk)
    assert (accomplice.email_verified_at, accomplice.human_id == ada.human_id) == (None, False)
    assert events_in(cast.contoso) == before
    assert not AuditEntry.objects.filter(event="accounts.linked").exists()
    # The sign-in itself is good: Fabrikam's directory has said who has this key.
    assert Identity.objects.get().person == accomplice


@pytest.mark.parametrize("protocol", ["oidc", "saml"])
def test_in_a_verified_domain_the_first_sign_in_proves_the_address(cast: Cast, protocol: str) -> None:
    has_verified(cast.contoso, "contoso.example")
    issuer = connected(cast.contoso, protocol)
    profile = Profile(user_name="x", email="ada+x@contoso.example", name="Adelaide", external_id="k-1")
    second = operations.provision_member(cast.contoso.pk, profile=profile, actor=cast.as_("ines"))
    comes(cast, cast.contoso, issuer, "ada+x@contoso.example", directory_key="k-1")
    second.refresh_from_db()
    assert second.email_verified_at is not None
    assert second.human_id == Person.objects.get(pk=cast.ada.pk).human_id
