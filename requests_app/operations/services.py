"""Adds and changes services: their names, their connectors, and whether Lockbox covers them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.content.connectors.registry import KINDS
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import ADD_SERVICE, CHANGE_SERVICE, SAVE_SERVICE, SERVICE_CHANGED
from requests_app.domain.errors import Unacceptable
from requests_app.models import AccessRequest, Service, Tenant
from requests_app.operations._announced import Terms, announced
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._perform import perform
from requests_app.operations._rows import change_row, copy_with, differing, require_unchanged, validated


def save_service(
    *, actor: Actor, service_id: object = None, key: str, name: str, connector: str, is_covered: bool = True
) -> Service:
    """Add or change a service. For a service that is not covered, tenants are treated as if they had no Lockbox.

    Covering a service takes effect immediately. All other changes are announced, and so is a new uncovered service.
    """
    wanted = {"key": key, "name": name, "connector": connector, "is_covered": is_covered}

    def check(current: Step) -> None:
        if connector not in KINDS:
            raise Unacceptable(_("There is no such connector."), field="connector")
        current.require_proof(needed=not current.row._state.adding and current.row.is_covered != is_covered)

    def announces(current: Step) -> tuple[Change, Terms] | None:
        service = current.row
        if service._state.adding:
            if is_covered:
                return None
            validated(Service(**wanted))
            return ADD_SERVICE, wanted
        terms = differing(service, wanted)
        if terms["set"] in ({}, {"is_covered": True}):
            return None
        validated(copy_with(service, wanted))
        return CHANGE_SERVICE, terms

    with perform(
        SAVE_SERVICE, service_id, actor=actor, find=_service_or_new, check=check, announces=announces
    ) as current:
        service: Service = current.row
        _save_service(current, service, wanted)
    return service


def _service_or_new(current: Step, service_id: object) -> Service:
    service: Service = Service()
    if service_id:
        service = Service.objects.visible_to(current.actor).locked().find(service_id)
    current.concerns("service", service, PROVIDER_LOG)
    return service


def _lock_service(terms: Terms) -> None:
    list(Service.objects.filter(pk=terms["row"]).locked())


def _service_in_use(terms: Terms, at: datetime) -> bool:
    """Return whether an access request that has not ended uses the name, key or connector that would change."""
    if set(terms["set"]) <= {"is_covered"}:
        # Submitted access requests still need the customer's approval.
        return False
    return AccessRequest.objects.under_way(at).filter(service=terms["row"]).exists()


@announced(CHANGE_SERVICE, lock=_lock_service, waits=_service_in_use)
def _change_service_agreed(current: Step, terms: Terms) -> None:
    service = Service.objects.get(pk=terms["row"])
    require_unchanged(service, terms)
    current.subject_type, current.subject_id = "service", str(service.pk)
    _save_service(current, service, terms["set"])


@announced(ADD_SERVICE)
def _add_service_agreed(current: Step, terms: Terms) -> None:
    service = Service()
    current.subject_type, current.subject_id = "service", str(service.pk)
    _save_service(current, service, terms)


def _save_service(current: Step, service: Service, wanted: Terms) -> None:
    was_covered = None if service._state.adding else service.is_covered
    if wanted.get("connector", service.connector) not in KINDS:
        raise Unacceptable(_("There is no such connector."), field="connector")
    change_row(current, service, wanted, allowed=set(wanted), event=SERVICE_CHANGED)
    if was_covered is not None and was_covered != service.is_covered:
        _witness_coverage(current, service)


def _witness_coverage(current: Step, service: Service) -> None:
    """Record whether the service is covered, in the log of each tenant that has Lockbox on.

    The coverage decides who is asked about accesses.
    """
    entry = current.entry(SERVICE_CHANGED, detail={"service": service.key, "is_covered": service.is_covered})
    tenants = Tenant.objects.filter(lockbox_on=True).values_list("pk", flat=True)
    recorder.record([replace(entry, tenant_id=tenant, text=service.name) for tenant in tenants], at=current.at)
