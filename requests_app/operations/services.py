"""Adds and changes services: their names, their connectors, and whether Lockbox covers them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.content.connectors.registry import KINDS
from requests_app.domain import limits, link_templates
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
    *,
    actor: Actor,
    service_id: object = None,
    key: str,
    name: str,
    connector: str,
    is_covered: bool = True,
    application: str | None = None,
    link_template: str | None = None,
    guidance: str | None = None,
) -> Service:
    """Add or change a service. For a service that is not covered, tenants are treated as if they had no Lockbox.

    Covering a service takes effect immediately. All other changes are announced, and so is a new uncovered service.

    The last three values belong to an external service (`connector` is "external"). None leaves a value as it is.
    """
    wanted: Terms = {"key": key, "name": name, "connector": connector, "is_covered": is_covered}
    given = {"application": application, "link_template": link_template, "guidance": guidance}

    def check(current: Step) -> None:
        _require_reachable(current.row, connector)
        wanted.update(_external(current.row, connector, given))
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
    _require_reachable(service, wanted.get("connector", service.connector))
    change_row(current, service, wanted, allowed=set(wanted), event=SERVICE_CHANGED)
    if was_covered is not None and was_covered != service.is_covered:
        _witness_coverage(current, service)


def _external(service: Service, connector: str, given: dict[str, str | None]) -> dict[str, str]:
    """Return the values that only an external service has. For all other services, they are empty."""
    if connector != Service.EXTERNAL:
        if named := next((name for name, value in given.items() if value), None):
            raise Unacceptable(_("Only an external service has this value."), field=named)
        return {name: "" for name in given if getattr(service, name)}
    values = {name: getattr(service, name) if value is None else value for name, value in given.items()}
    most = {"application": limits.APPLICATION_MAX, "guidance": limits.GUIDANCE_MAX}
    for name, at_most in most.items():
        at_least = 1 if name == "application" else 0
        values[name] = limits.require_text(values[name], field=name, at_least=at_least, at_most=at_most)
    if "\n" in values["application"]:
        raise Unacceptable(_("The name of an application has only one line."), field="application")
    link = values["link_template"].strip()
    values["link_template"] = link_templates.require(link, field="link_template") if link else ""
    return {name: value for name, value in values.items() if getattr(service, name) != value}


def _require_reachable(service: Service, connector: str) -> None:
    """Raise Unacceptable if the content of the service could not be reached in this way.

    The resources of an external service have no locator, and all others need one. So only a service that has no
    resources can become external, or stop being so.
    """
    if connector not in (*KINDS, Service.EXTERNAL):
        raise Unacceptable(_("There is no such connector."), field="connector")
    becomes_other = service.is_external != (connector == Service.EXTERNAL)
    if becomes_other and not service._state.adding and service.resources.exists():
        words = _(
            "This service has resources, and nobody could reach them after this change. Add a new service instead, "
            "and add the resources there."
        )
        raise Unacceptable(words, field="connector")


def _witness_coverage(current: Step, service: Service) -> None:
    """Record whether the service is covered, in the log of each tenant that has Lockbox on.

    The coverage decides who is asked about accesses.
    """
    entry = current.entry(SERVICE_CHANGED, detail={"service": service.key, "is_covered": service.is_covered})
    tenants = Tenant.objects.filter(lockbox_on=True).values_list("pk", flat=True)
    recorder.record([replace(entry, tenant_id=tenant, text=service.name) for tenant in tenants], at=current.at)
