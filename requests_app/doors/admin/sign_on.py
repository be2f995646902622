"""Single sign-on: tenants' connections and domains (read-only), people's identities, and the provider's connection."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.domain.acts.single_sign_on import UNLINK_IDENTITY
from requests_app.domain.certificates import fingerprint
from requests_app.doors.admin.acts import of_act
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import NOTHING, mono, preformatted
from requests_app.doors.admin.filters import by_flag, by_row, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.identity.sso import domains
from requests_app.models import Domain, Identity, Person, SignOn
from requests_app.queries import single_sign_on as queries
from requests_app.queries.sign_on_metadata import pinned_of


@admin.display(description=gettext_lazy("roles by group"))
def role_map(row: SignOn) -> str:
    lines = [f"{group} = {role}" for group, role in sorted(row.role_map.items())]
    return preformatted("\n".join(lines)) if lines else NOTHING


@admin.display(description=gettext_lazy("redirect address"))
def redirect_uri(row: SignOn) -> str:
    return mono(queries.redirect_uri(str(row.tenant_id)))


@admin.display(description=gettext_lazy("certificates of the identity provider (SHA-256)"))
def certificates(row: SignOn) -> str:
    pinned = pinned_of(row)
    return preformatted("\n".join(pinned.fingerprints)) if pinned else NOTHING


@admin.display(description=gettext_lazy("certificate that signs the metadata (SHA-256)"))
def signer(row: SignOn) -> str:
    return mono(fingerprint(row.metadata_signer)) if row.metadata_signer else NOTHING


@admin.display(description=gettext_lazy("subject"))
def subject(row: Identity) -> str:
    return mono(row.subject)


@admin.display(description=gettext_lazy("proof"))
def proof(row: Domain) -> str:
    return mono(domains.url(row.name))


def belongs_to_provider(row: Identity) -> bool:
    """Return whether the identity belongs to a person of the provider.

    Only a customer's administrator can unlink an identity of the customer's people.
    """
    return row.tenant_id is None


class SignOnAdmin(StaffAdmin):
    list_display = ("issuer", "tenant", "is_on", "is_only", "changed_at")
    reads: ClassVar = ("tenant", "break_glass")
    ordering = ("-changed_at",)
    search: ClassVar = Search(ids=("pk",), tenant="tenant", words=("issuer",))
    list_filter = (
        by_flag("is_on", gettext_lazy("on")),
        by_flag("is_only", gettext_lazy("the only way to sign in")),
        by_tenant(),
    )
    words = gettext_lazy("Single sign-on of tenants")
    lead = gettext_lazy(
        "Each tenant’s own administrator sets up single sign-on. This page only shows it. The person who "
        "controls the identity provider can sign in as anybody of the tenant."
    )
    facts: ClassVar = [
        ("", ("tenant", "protocol", "issuer", "client_id", "scopes", redirect_uri, "changed_at")),
        (gettext_lazy("Who can sign in"), ("is_on", "is_only", "is_proof", "newcomer_role", "break_glass")),
        (gettext_lazy("Claims"), ("key_claim", "email_claim", "groups_claim", role_map)),
        (gettext_lazy("Metadata"), ("metadata_url", signer, "metadata_checked_at", "metadata_problem", certificates)),
    ]
    related: ClassVar = [
        Related(model=Domain, by=lambda row: {"tenant": row.tenant}),
        Related(model=Identity, by=lambda row: {"tenant": row.tenant}),
    ]


class DomainAdmin(StaffAdmin):
    list_display = ("name", "tenant", "claimed_at", "verified_at")
    reads: ClassVar = ("tenant",)
    ordering = ("name",)
    search: ClassVar = Search(ids=("pk",), tenant="tenant", words=("name",))
    list_filter = (by_tenant(),)
    words = gettext_lazy("Domains")
    lead = gettext_lazy(
        "Each tenant’s administrator verifies the tenant’s domains with a file on the domain’s web server."
    )
    facts: ClassVar = [("", ("name", "tenant", proof, "claimed_at", "verified_at"))]


class IdentityAdmin(StaffAdmin):
    list_display = (subject, "person", "issuer", "tenant", "linked_at")
    reads: ClassVar = ("person", "tenant")
    ordering = ("-linked_at",)
    search: ClassVar = Search(ids=("pk", "person"), tenant="tenant", people=("person",), words=("subject",))
    list_filter = (by_tenant(), by_row("person", gettext_lazy("person"), Person))
    words = gettext_lazy("Accounts that are linked to an identity provider")
    lead = gettext_lazy(
        "People are recognised by issuer and subject, never by an email address. Only a tenant’s own administrator "
        "can unlink the accounts of the tenant’s people."
    )
    facts: ClassVar = [("", ("person", "issuer", subject, "tenant", "linked_at"))]
    acts: ClassVar = [
        of_act(
            UNLINK_IDENTITY,
            "unlink",
            label=gettext_lazy("Unlink"),
            explains=gettext_lazy(
                "Anybody who is signed in with the account is signed out immediately. The next single sign-on is "
                "like the first: it needs a verified address in one of the provider’s domains."
            ),
            offered=belongs_to_provider,
        )
    ]


def own_connection(site: Any, request: HttpRequest) -> HttpResponse:
    """Show the provider's own connection, as the operator has set it.

    No form changes this connection. A person who could change it here could sign in as anybody of the provider's
    people.
    """
    context = {
        **site.each_context(request),
        "title": _("Single sign-on of the provider"),
        "issuer": settings.SSO_ISSUER,
        "client_id": settings.SSO_CLIENT_ID,
        "domains": sorted(settings.SSO_DOMAINS),
        "redirect_uri": queries.redirect_uri(queries.PROVIDER),
        "saml": queries.provider_saml(),
    }
    return TemplateResponse(request, "admin/single_sign_on.html", context)
