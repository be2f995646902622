"""Adds and changes services: their names, their connectors, and whether Lockbox covers them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import ADD_SERVICE, CHANGE_SERVICE, SAVE_SERVICE
from requests_app.domain.errors import Unacceptable
from requests_app.domain.ids import as_id
from requests_app.domain.imports import REASONS
from requests_app.domain.levels import Offer
from requests_app.domain.spelling import is_composed
from requests_app.models import AccessRequest, Service
from requests_app.models.spelling import is_taken
from requests_app.operations._announced import Terms, announced
from requests_app.operations._change import PROVIDER_LOG, Step, lock_access
from requests_app.operations._perform import perform
from requests_app.operations._rows import readable, require_unchanged
from requests_app.operations._service_rows import (
    adding,
    changing,
    external_values,
    gate_values,
    level_values,
    require_reachable,
    write_service,
)


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
    levels: str | Iterable[Offer] | None = None,
    gate_rules: str | None = None,
    gate_identity: bool | None = None,
    gate_upstream: str | None = None,
) -> Service:
    """Add a service, or change the fields that are given.

    For a service that is not covered, tenants are treated as if they had no Lockbox. Covering a service takes effect
    immediately, and so does switching it off. Switching it off withdraws the waiting access requests for it, and closes
    the open windows. All other changes are announced, and so is a new uncovered service. `application`, `link_template`
    and `guidance` belong to an external service (`connector` is "external"). `levels` are the levels of access that an
    engineer can ask for; an empty text means the usual ones. An external service with `gate_rules` is a web tool behind
    a gate. `gate_upstream` is where the proxy of this product finds the tool.
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
        require_reachable(service, found)
        wanted.update(readable(service, {**wanted, **external_values(service, found, external)}))
        wanted.update(level_values(service, found, levels))
        gate = gate_values(service, found, wanted, rules=gate_rules, identity=gate_identity, upstream=gate_upstream)
        wanted.update(gate)
        _require_free_name(service, wanted)
        is_other_cover = is_covered not in (None, service.is_covered)
        current.require_proof(needed=not service._state.adding and is_other_cover)

    def announces(current: Step) -> tuple[Change, Terms] | None:
        return adding(wanted) if current.row._state.adding else changing(current.row, wanted)

    with perform(SAVE_SERVICE, service_id, actor=actor, find=find, check=check, announces=announces) as current:
        service: Service = current.row
        write_service(current, service, wanted)
    return service


def _lock_service(terms: Terms) -> None:
    list(Service.objects.filter(pk=terms["row"]).locked())


def _service_in_use(terms: Terms, at: datetime) -> bool:
    """Return whether an access request that has not ended uses the name, key or connector that would change."""
    if set(terms["set"]) <= {"is_covered", "is_active", "levels"}:
        # Submitted access requests still need the customer's approval, and keep their level.
        return False
    return AccessRequest.objects.under_way(at).filter(service=terms["row"]).exists()


@announced(CHANGE_SERVICE, lock=_lock_service, waits=_service_in_use)
def _change_service_agreed(current: Step, terms: Terms) -> None:
    service = Service.objects.get(pk=terms["row"])
    require_unchanged(service, terms)
    _require_free_name(service, terms["set"])
    current.subject_type, current.subject_id = "service", str(service.pk)
    write_service(current, service, terms["set"])


@announced(ADD_SERVICE)
def _add_service_agreed(current: Step, terms: Terms) -> None:
    service = Service()
    _require_free_name(service, terms)
    current.subject_type, current.subject_id = "service", str(service.pk)
    write_service(current, service, terms)


def _require_free_name(service: Service, wanted: Terms) -> None:
    """Raise Unacceptable if another service has the name that this one would get: an approver knows it only by that."""
    name = wanted.get("name", service.name)
    if name != service.name and not is_composed(name):
        raise Unacceptable(REASONS["not_composed"], field="name")
    if name != service.name and is_taken(name, Service.objects.exclude(pk=service.pk), "name"):
        raise Unacceptable(_("Another service has this name, perhaps in capital letters."), field="name")
