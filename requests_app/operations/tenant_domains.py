"""Manages a tenant's domains. Single sign-on trusts an address only in a domain that the tenant has verified."""

from __future__ import annotations

import secrets
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.single_sign_on import (
    CLAIM_DOMAIN,
    DOMAIN_CLAIMED,
    DOMAIN_REMOVED,
    DOMAIN_VERIFIED,
    REMOVE_DOMAIN,
    VERIFY_DOMAIN,
)
from requests_app.domain.errors import Taken, TooMany, Unacceptable, WrongState
from requests_app.identity.sso import domains
from requests_app.models import Domain, Tenant
from requests_app.operations._change import Step
from requests_app.operations._people import (
    ADMINISTRATOR,
)
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled

MOST_DOMAINS = 50


def claim_domain(tenant_id: object, *, name: str, actor: Actor) -> Domain:
    """Claim a domain for the tenant. The claim counts only after the domain's web server has shown the challenge."""
    terms = {"domain": name.strip().lower().rstrip(".") if isinstance(name, str) else ""}

    def check(current: Step) -> None:
        if not domains.is_name(terms["domain"]):
            raise Unacceptable(_("Enter a domain, such as example.com."), field="name")
        _require_new_domain(current.row, terms["domain"])

    with perform(
        CLAIM_DOMAIN,
        tenant_id,
        actor=actor,
        state=lambda current: _require_domain_room(current.row),
        check=check,
        holds=lambda current: terms,
    ) as current:
        return _claim_domain(current, current.row, terms)


@controlled(CLAIM_DOMAIN)
def _claim_domain(current: Step, tenant: Tenant, terms: dict[str, Any]) -> Domain:
    name = terms["domain"]
    _require_new_domain(tenant, name)
    _require_domain_room(tenant)
    row = Domain(tenant=tenant, name=name, challenge=f"customer-lockbox={secrets.token_urlsafe(24)}")
    row.claimed_at = current.at
    row.save(force_insert=True)
    current.witness(DOMAIN_CLAIMED, detail={"domain": name}, text=name)
    return row


def _require_new_domain(tenant: Tenant, name: str) -> None:
    if tenant.domains.filter(name=name).exists():
        raise Unacceptable(_("This domain is in the list already."), field="name")


def _require_domain_room(tenant: Tenant) -> None:
    if tenant.domains.count() >= MOST_DOMAINS:
        raise TooMany(_("There can be at most %(max)d domains.") % {"max": MOST_DOMAINS})


def verify_domain(domain_id: object, *, actor: Actor) -> Domain:
    """Check whether the domain's web server shows the challenge. If it does not, raise WrongState with the reason."""
    # Checked before the act begins: the check takes some time, and the act holds its turn at the log.
    seen: Domain = Domain.objects.visible_to(actor).find(domain_id)
    # For all other people, this server sends no request. The act below refuses them, and records that.
    is_theirs = bool(ADMINISTRATOR & actor.roles_on(tenant_id=seen.tenant_id, service_id=None))
    peer = str(seen.tenant_id)
    problem = domains.problem(seen.name, seen.challenge, peer=peer) if is_theirs else "unreachable"

    def state(current: Step) -> None:
        if current.row.verified_at is not None:
            raise WrongState(_("This domain is verified already."))

    def check(current: Step) -> None:
        if problem:
            raise WrongState(_PROBLEMS[problem]() % {"url": domains.url(current.row.name)})

    with perform(VERIFY_DOMAIN, domain_id, actor=actor, state=state, check=check) as current:
        row: Domain = current.row
        row.verified_at = current.at
        try:
            with transaction.atomic():
                row.save(update_fields=["verified_at"])
        except IntegrityError:
            # This code can't see domains of other tenants, but the database's constraint covers them.
            raise Taken(
                _("Another organisation has already verified this domain. If the domain is yours, ask the provider.")
            ) from None
        current.witness(DOMAIN_VERIFIED, detail={"domain": row.name}, text=row.name)
    return row


def remove_domain(domain_id: object, *, actor: Actor) -> None:
    """Remove a domain. People who were linked because of it stay linked, but nobody else is linked because of it."""
    with perform(REMOVE_DOMAIN, domain_id, actor=actor) as current:
        row: Domain = current.row
        current.witness(DOMAIN_REMOVED, detail={"domain": row.name}, text=row.name)
        row.delete()


_PROBLEMS = {
    "unreachable": lambda: _("%(url)s does not answer. Check that your web server can be reached, then check again."),
    "status": lambda: _("%(url)s answers, but does not send the file. Put the file there, then check again."),
    "content": lambda: _(
        "The file at %(url)s does not contain the line that proves that the domain is yours. Add the line, then check "
        "again."
    ),
}
