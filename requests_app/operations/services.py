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
from requests_app.domain.ids import as_id
from requests_app.models import AccessRequest, Resource, Service, Tenant
from requests_app.operations._announced import Terms, announced, is_announced
from requests_app.operations._change import PROVIDER_LOG, Step, lock_access
from requests_app.operations._ending import end_access
from requests_app.operations._perform import perform
from requests_app.operations._rows import change_row, copy_with, differing, require_unchanged, validated
from requests_app.platform import bell


def save_service(
    *,
    actor: Actor,
    service_id: object = None,
    key: str | None = None,
    name: str | None = None,
    connector: str | None = None,
    is_covered: bool | None = None,
    is_active: bool | None = None,
    application: str | None = None,
    link_template: str | None = None,
    guidance: str | None = None,
) -> Service:
    """Add a service, or change the fields that are given.

    For a service that is not covered, tenants are treated as if they had no Lockbox. Covering a service takes effect
    immediately, and so does switching it off. Switching it off withdraws the waiting access requests for it, and closes
    the open windows. All other changes are announced, and so is a new uncovered service. The last three values belong
    to an external service (`connector` is "external").
    """
    external = {"application": application, "link_template": link_template, "guidance": guidance}
    given = {"key": key, "name": name, "connector": connector, "is_covered": is_covered, "is_active": is_active}
    wanted = {name: value for name, value in given.items() if value is not None}
    if service_id is None:
        wanted.setdefault("is_covered", True)

    def find(current: Step, row_id: object) -> Service:
        service: Service = Service()
        if row_id:
            if is_active is False:
                lock_access(AccessRequest.objects.filter(service=as_id(row_id)))
            service = Service.objects.visible_to(current.actor).locked().find(row_id)
        current.concerns("service", service, PROVIDER_LOG)
        return service

    def check(current: Step) -> None:
        service = current.row
        found = wanted.get("connector", service.connector)
        _require_reachable(service, found)
        wanted.update(_external(service, found, external))
        is_other_cover = is_covered not in (None, service.is_covered)
        current.require_proof(needed=not service._state.adding and is_other_cover)

    def announces(current: Step) -> tuple[Change, Terms] | None:
        return _adding(wanted) if current.row._state.adding else _changing(current.row, wanted)

    with perform(SAVE_SERVICE, service_id, actor=actor, find=find, check=check, announces=announces) as current:
        service: Service = current.row
        _save_service(current, service, wanted)
    return service


def _adding(wanted: Terms) -> tuple[Change, Terms] | None:
    if wanted.get("is_covered", True):
        return None
    validated(Service(**wanted))
    return ADD_SERVICE, wanted


def _changing(service: Service, wanted: Terms) -> tuple[Change, Terms] | None:
    terms = differing(service, wanted)
    changed, is_covered = terms["set"], wanted.get("is_covered", service.is_covered)
    at_once = {"is_covered": True, "is_active": False}
    # Where the customer is asked, switching the service on again only lets engineers ask.
    if all(at_once.get(name) is value or (name == "is_active" and is_covered) for name, value in changed.items()):
        return None
    validated(copy_with(service, wanted))
    if changed.get("is_active") is False and is_announced(CHANGE_SERVICE, terms):
        words = _("The customers are informed before the other change. Switch the service off in a separate step.")
        raise Unacceptable(words, field="is_active")
    return CHANGE_SERVICE, terms


def _lock_service(terms: Terms) -> None:
    list(Service.objects.filter(pk=terms["row"]).locked())


def _service_in_use(terms: Terms, at: datetime) -> bool:
    """Return whether an access request that has not ended uses the name, key or connector that would change."""
    if set(terms["set"]) <= {"is_covered", "is_active"}:
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
    _require_reachable(service, wanted.get("connector", service.connector))
    changed = {} if service._state.adding else differing(service, wanted)
    change_row(current, service, wanted, allowed=set(wanted), event=SERVICE_CHANGED)
    if changed and "connector" in changed["set"]:
        Resource.objects.filter(service=service).update(next_check_at=None)
        bell.ring(bell.CHECK_RESOURCES)
    if changed and {"is_covered", "is_active"} & changed["set"].keys():
        _witness_everywhere(current, service, changed)
    if changed and changed["set"].get("is_active") is False:
        end_access(current, AccessRequest.objects.filter(service=service), cause="service-switched-off")


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
    if becomes_other and not service._state.adding and Resource.objects.real().filter(service=service).exists():
        words = _(
            "This service has resources, and nobody could reach them after this change. Add a new service instead, "
            "and add the resources there."
        )
        raise Unacceptable(words, field="connector")


def _witness_everywhere(current: Step, service: Service, changed: Terms) -> None:
    """Record whether the service is covered and active, in the log of each tenant that has Lockbox on.

    The coverage decides who is asked about accesses.
    """
    detail: Terms = {"service": service.key, "is_covered": service.is_covered}
    if "is_active" in changed["set"]:
        detail["is_active"] = service.is_active
    entry = current.entry(SERVICE_CHANGED, detail=detail)
    tenants = Tenant.objects.filter(lockbox_on=True).values_list("pk", flat=True)
    recorder.record([replace(entry, tenant_id=tenant, text=service.name) for tenant in tenants], at=current.at)
