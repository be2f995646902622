"""Says which changes of a service are announced, checks its values, and writes it.

The act on one service uses these rules, and so does an import.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.content.connectors.registry import KINDS
from requests_app.domain import gate_rules, levels, limits, link_templates
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import ADD_SERVICE, CHANGE_SERVICE, SERVICE_CHANGED
from requests_app.domain.errors import Unacceptable
from requests_app.models import AccessRequest, Resource, Service, Tenant
from requests_app.operations._announced import Terms, is_announced
from requests_app.operations._change import Step
from requests_app.operations._ending import end_access
from requests_app.operations._rows import change_row, copy_with, differing, validated
from requests_app.platform import bell, upstreams


def adding(wanted: Terms) -> tuple[Change, Terms] | None:
    if wanted.get("is_covered", True):
        return None
    validated(Service(**wanted))
    return ADD_SERVICE, wanted


def changing(service: Service, wanted: Terms) -> tuple[Change, Terms] | None:
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


def write_service(current: Step, service: Service, wanted: Terms) -> None:
    require_reachable(service, wanted.get("connector", service.connector))
    changed = {} if service._state.adding else differing(service, wanted)
    change_row(current, service, wanted, allowed=set(wanted), event=SERVICE_CHANGED)
    if changed and "connector" in changed["set"]:
        Resource.objects.filter(service=service).update(next_check_at=None)
        bell.ring(bell.CHECK_RESOURCES)
    if changed and {"is_covered", "is_active"} & changed["set"].keys():
        _witness_everywhere(current, service, changed)
    if changed and changed["set"].get("is_active") is False:
        end_access(current, AccessRequest.objects.filter(service=service), cause="service-switched-off")


def external_values(service: Service, connector: str, given: dict[str, str | None]) -> dict[str, str]:
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


def level_values(service: Service, connector: str, given: str | Iterable[levels.Offer] | None) -> dict[str, str]:
    """Return the levels to store if they change. Without `given`, the levels stay, and must fit the connector."""
    found = levels.declared(service.levels if given is None else given, is_external=connector == Service.EXTERNAL)
    return {} if found == service.levels else {"levels": found}


def gate_values(
    service: Service,
    connector: str,
    wanted: Terms,
    *,
    rules: str | None,
    identity: bool | None,
    upstream: str | None,
) -> dict[str, str | bool]:
    """Return the values of the gate to store if they change. A service without rules has no gate.

    `wanted` has the link template that the service will have, if it changes. Its host is the host of the tool.
    """
    text = gate_rules.declared(service.gate_rules if rules is None else rules)
    says = bool(text) and (service.gate_identity if identity is None else identity)
    if text and connector != Service.EXTERNAL:
        raise Unacceptable(_("Only an external service has this value."), field="gate_rules")
    if text and not wanted.get("link_template", service.link_template):
        words = _("A gate needs the address of the tool. Give the service a link template.")
        raise Unacceptable(words, field="link_template")
    if identity and not text:
        raise Unacceptable(_("Only a service with a gate has this value."), field="gate_identity")
    if upstream and not text:
        raise Unacceptable(_("Only a service with a gate has this value."), field="gate_upstream")
    values: dict[str, str | bool] = {"gate_rules": text, "gate_identity": says}
    values["gate_upstream"] = _upstream(service, wanted, upstream) if text else ""
    return {name: value for name, value in values.items() if getattr(service, name) != value}


def _upstream(service: Service, wanted: Terms, given: str | None) -> str:
    """Return the address to store for the proxy of this product. Raise Unacceptable if it can't pass requests on to it.

    The address is checked again if the link template changes: the proxy knows the tool by that host.
    """
    text = (service.gate_upstream if given is None else given).strip()
    if not text:
        return ""
    origin = link_templates.origin_of(wanted.get("link_template", service.link_template))
    found = upstreams.declared(text, origin=origin)
    others = Service.objects.exclude(pk=service.pk).exclude(gate_upstream="")
    if any(link_templates.origin_of(other.link_template) == origin for other in others):
        words = _("Another service with an upstream address has the same host in its link template.")
        raise Unacceptable(words, field="gate_upstream")
    return found


def require_reachable(service: Service, connector: str) -> None:
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
