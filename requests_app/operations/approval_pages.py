"""Sets the address of a customer's own approval page, and whether approvals must be signed on that page."""

from __future__ import annotations

from copy import copy
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain import approval_page
from requests_app.domain.actors import Actor
from requests_app.domain.acts.tenants import SET_APPROVAL_PAGE, TENANT_CHANGED
from requests_app.domain.errors import Unacceptable
from requests_app.models import Tenant
from requests_app.operations._change import Step
from requests_app.operations._keys import is_anybody_ready
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled, tell_yes_rules

_FIELDS = ("approval_origin", "approval_rp_id", "own_keys_only")


def set_approval_page(tenant_id: object, *, origin: str, rp_id: str = "", keys_only: bool, actor: Actor) -> Tenant:
    """Set the address of the tenant's own approval page. An empty origin removes the page.

    In a browser, only a page of this origin can then call the API with a token of the tenant, to read and to decide.
    With `keys_only`, an approval must be signed with a passkey of that page's site. No page of the provider can get
    such a signature.
    """
    wanted: dict[str, Any] = {}

    def check(current: Step) -> None:
        there = copy(current.row)
        _set(there, origin, rp_id, keys_only=keys_only)
        wanted.update(_now(there))
        if wanted == _now(current.row):
            raise Unacceptable(_("The approval page already has these settings."), field="origin")

    with perform(SET_APPROVAL_PAGE, tenant_id, actor=actor, check=check, holds=lambda current: wanted) as current:
        tenant: Tenant = current.row
        _set_approval_page(current, tenant, wanted)
    return tenant


@controlled(SET_APPROVAL_PAGE)
def _set_approval_page(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    before = _now(tenant)
    _set(tenant, terms["approval_origin"], terms["approval_rp_id"], keys_only=terms["own_keys_only"])
    tenant.save(update_fields=list(_FIELDS))
    former = {f"{name}_before": value for name, value in before.items()}
    current.witness(TENANT_CHANGED, detail={**_now(tenant), **former})
    # If somebody could set a foreign address without a message, approvers would sign on the attacker's page.
    tell_yes_rules(
        current,
        tenant,
        origin=tenant.approval_origin,
        origin_before=before["approval_origin"],
        rp_id=tenant.approval_rp_id,
        rp_id_before=before["approval_rp_id"],
        keys_only="yes" if tenant.own_keys_only else "",
    )


def _now(tenant: Tenant) -> dict[str, Any]:
    return {name: getattr(tenant, name) for name in _FIELDS}


def _set(tenant: Tenant, origin: str, rp_id: str, *, keys_only: bool) -> None:
    before = copy(tenant)
    if origin.strip():
        host = urlsplit(settings.BASE_URL).hostname or ""
        tenant.approval_origin = approval_page.origin_of(origin, providers_host=host, needs_tls=settings.PRODUCTION)
        tenant.approval_rp_id = approval_page.rp_id_of(
            rp_id, origin=tenant.approval_origin, providers_host=settings.PASSKEY_RP_ID or host
        )
        tenant.own_keys_only = keys_only
    elif rp_id.strip() or keys_only:
        raise Unacceptable(_("Enter the address of the page."), field="origin")
    else:
        tenant.approval_origin, tenant.approval_rp_id, tenant.own_keys_only = "", "", False
    _require_signer(tenant, before)


def _require_signer(tenant: Tenant, before: Tenant) -> None:
    """Raise Unacceptable if no approver could sign an approval any more, so that only denials were possible."""
    if not tenant.wants_signature or is_anybody_ready(tenant):
        return
    if tenant.own_keys_only:
        words = _(
            "No approver has a passkey of your own approval page that can sign approvals. First add such a passkey on "
            "that page."
        )
        raise Unacceptable(words, field="keys_only")
    if is_anybody_ready(before):
        words = _(
            "Your approvers can sign approvals only with passkeys of the current approval page. First add a passkey in "
            "Customer Lockbox."
        )
        raise Unacceptable(words, field="origin")
