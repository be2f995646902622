"""Changes a tenant's own settings (Lockbox, notification addresses), and the rows that staff set up for tenants."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.content.connectors.registry import KINDS
from requests_app.domain import limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Event
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import (
    ADD_RESOURCE,
    ADD_SERVICE,
    CHANGE_PLAN,
    CHANGE_SERVICE,
    PLAN_CHANGED,
    RENAME_RESOURCE,
    RESOURCE_ADDED,
    RESOURCE_CHANGED,
    SAVE_PLAN,
    SAVE_RESOURCE,
    SAVE_SERVICE,
    SERVICE_CHANGED,
)
from requests_app.domain.acts.tenants import (
    ADD_ADDRESS,
    ADDRESS_ADDED,
    ADDRESS_REMOVED,
    CHANGE_TENANT,
    CREATE_TENANT,
    LOCKBOX_SWITCHED_OFF,
    LOCKBOX_SWITCHED_ON,
    MOVE_TENANT,
    REMOVE_ADDRESS,
    SET_WINDOW_CAP,
    SET_YES_RULE,
    SWITCH_LOCKBOX,
    TENANT_CHANGED,
    TENANT_CREATED,
)
from requests_app.domain.errors import NotFound, Unacceptable, WrongState
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    NotificationAddress,
    Plan,
    Proposal,
    Resource,
    Service,
    Tenant,
)
from requests_app.models.services import is_own_place
from requests_app.operations._announced import Terms, announced, is_announced
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._keys import is_anybody_ready
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled, require_customer, tell_yes_rules
from requests_app.platform import time_zones


def switch_lockbox(tenant_id: object, *, on: bool, actor: Actor) -> Tenant:
    """Switch Lockbox on or off. Access requests that have not ended keep the stages that they had at submission.

    If Lockbox is already in this state, nothing is done or recorded.

    Switching it on needs neither a fresh proof nor a second person, because it only takes power away from the provider.
    Under two-person control, neither the provider nor a machine can switch it on or off.
    """

    def check(current: Step) -> None:
        is_change = current.row.lockbox_on != on
        if is_change and on and not current.row.plan.includes_lockbox:
            raise Unacceptable(_("The plan %(plan)s does not include Lockbox.") % {"plan": current.row.plan.name})
        current.require_proof(needed=is_change and not on)

    def holds(current: Step) -> dict[str, Any] | None:
        if current.row.lockbox_on == on:
            return None
        if on:
            require_customer(current, current.row)
            return None
        return {"on": on}

    with perform(SWITCH_LOCKBOX, tenant_id, actor=actor, check=check, holds=holds) as current:
        if current.row.lockbox_on != on:
            _switch_lockbox(current, current.row, {"on": on})
    return _tenant(current)


@controlled(SWITCH_LOCKBOX)
def _switch_lockbox(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    on = bool(terms["on"])
    if tenant.lockbox_on == on or (on and not tenant.plan.includes_lockbox):
        raise WrongState(_("Lockbox already has the proposed setting, or the plan no longer includes Lockbox."))
    tenant.lockbox_on = on
    # A tenant that had Lockbox on before this column existed has had it on since it was created.
    tenant.lockbox_first_on_at = tenant.lockbox_first_on_at or (current.at if on else tenant.created_at)
    tenant.save(update_fields=["lockbox_on", "lockbox_first_on_at"])
    current.witness(LOCKBOX_SWITCHED_ON if on else LOCKBOX_SWITCHED_OFF, detail={"on": on})
    current.tell(
        Note(
            topic=Topic.LOCKBOX_SWITCHED,
            tenant_id=tenant.pk,
            about=tenant.pk,
            audiences=(Audience.CUSTOMER,),
            mark=uuid4().hex,
            extra={"on": "yes" if on else "", "by": current.actor.name},
        )
    )


def set_window_cap(tenant_id: object, *, seconds: int, actor: Actor, was: int | None = None) -> Tenant:
    """Set the maximum length of the windows that this tenant gives. The limit applies to windows that open from now on.

    With the old value as `was`, the change is refused if another person has changed the value meanwhile.
    """

    def state(current: Step) -> None:
        if was not in (None, current.row.window_cap):
            raise WrongState(_("Somebody else just changed the maximum length. Read the new value, then try again."))

    def check(current: Step) -> None:
        if seconds not in limits.window_choices(max(limits.window_choices(24 * 60 * 60))):
            raise Unacceptable(_("Choose one of the offered lengths."), field="window_cap")

    terms = {"seconds": seconds}
    with perform(
        SET_WINDOW_CAP, tenant_id, actor=actor, state=state, check=check, holds=lambda current: terms
    ) as current:
        _set_window_cap(current, current.row, terms)
    return _tenant(current)


@controlled(SET_WINDOW_CAP)
def _set_window_cap(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    before, tenant.window_cap = tenant.window_cap, int(terms["seconds"])
    tenant.save(update_fields=["window_cap"])
    current.witness(TENANT_CHANGED, detail={"window_cap": tenant.window_cap, "window_cap_before": before})


def set_yes_rule(tenant_id: object, *, rule: str, actor: Actor) -> Tenant:
    """Set the tenant's approval requirements: any approval, a signed one, or one signed with a device-bound passkey.

    The rule applies to all later approvals, also of waiting access requests. It is refused if nobody could meet it.
    """

    def state(current: Step) -> None:
        if rule == current.row.yes_rule:
            raise WrongState(_("The tenant already has this rule."))

    def check(current: Step) -> None:
        if rule not in Tenant.YesRule.values:
            raise Unacceptable(_("Choose one of the offered rules."), field="yes_rule")
        _require_signer(current.row, rule)

    terms = {"rule": rule}
    with perform(SET_YES_RULE, tenant_id, actor=actor, state=state, check=check, holds=lambda _: terms) as current:
        _set_yes_rule(current, current.row, terms)
    return _tenant(current)


@controlled(SET_YES_RULE)
def _set_yes_rule(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    _require_signer(tenant, terms["rule"])
    before, tenant.yes_rule = tenant.yes_rule, terms["rule"]
    tenant.save(update_fields=["yes_rule"])
    current.witness(TENANT_CHANGED, detail={"yes_rule": tenant.yes_rule, "yes_rule_before": before})
    tell_yes_rules(current, tenant, rule=tenant.yes_rule, rule_before=before)


def _require_signer(tenant: Tenant, rule: str) -> None:
    """Raise WrongState unless an approver has a passkey that this rule and the tenant's other rules accept."""
    if rule == Tenant.YesRule.ANY:
        return
    wanted = copy(tenant)
    wanted.yes_rule = rule
    if not is_anybody_ready(wanted):
        raise WrongState(_("None of your approvers has a passkey of this kind yet, so nobody could approve."))


def add_address(tenant_id: object, *, email: str, label: str = "", actor: Actor) -> NotificationAddress:
    """Add an address that gets the same mails as approvers, but can't be used to decide."""

    def check(current: Step) -> None:
        if current.row.notification_addresses.filter(email=current.inputs["email"]).exists():
            raise Unacceptable(_("This address gets mails already."), field="email")

    inputs = {"email": email, "label": label}
    with perform(ADD_ADDRESS, tenant_id, actor=actor, inputs=inputs, check=check) as current:
        inputs = current.inputs
        address = NotificationAddress.objects.create(tenant=current.row, created_at=current.at, **inputs)
        current.witness(ADDRESS_ADDED, detail=inputs, text=address.email)
    return address


def remove_address(address_id: object, *, actor: Actor) -> None:
    with perform(REMOVE_ADDRESS, address_id, actor=actor) as current:
        email = current.row.email
        current.witness(ADDRESS_REMOVED, detail={"email": email}, text=email)
        current.row.delete()


def create_tenant(*, name: str, slug: str, plan_id: object, time_zone: str = "UTC", actor: Actor) -> Tenant:

    def check(current: Step) -> None:
        tenant = current.row
        tenant.name = current.inputs["name"]
        tenant.slug, tenant.plan, tenant.time_zone = slug, _plan(plan_id), _zone(time_zone)
        tenant.created_at = current.at
        _validated(tenant)

    with perform(CREATE_TENANT, actor=actor, inputs={"name": name}, find=_new_tenant, check=check) as current:
        tenant: Tenant = current.row
        tenant.save(force_insert=True)
        current.tenant_id = tenant.pk
        current.witness(TENANT_CREATED, detail={"name": tenant.name, "plan": tenant.plan.name}, text=tenant.name)
    return tenant


def _new_tenant(current: Step, _row_id: object) -> Tenant:
    """Return a tenant that is not saved yet. It has no log, so a refusal is recorded in the provider's log."""
    tenant = Tenant()
    current.concerns("tenant", tenant, PROVIDER_LOG)
    return tenant


def change_tenant(tenant_id: object, *, actor: Actor, **wanted: Any) -> Tenant:
    """Change a tenant's name, plan or time zone, for staff. They can't change its Lockbox or its maximum window length.

    If the new plan does not include Lockbox, Lockbox stays on: a contract never takes protection away. But the tenant
    could not switch it on again later, so it gets an announcement first.
    """

    def find(current: Step, row_id: object) -> Tenant:
        tenant: Tenant = Tenant.objects.visible_to(current.actor).select_related("plan").locked().find(row_id)
        if "plan_id" in wanted:
            # Locked before the turn at the log, so that no tenant gets this plan while the plan loses Lockbox.
            wanted["plan"] = _plan(wanted.pop("plan_id"), is_locked=True)
        current.concerns("tenant", tenant, tenant.pk)
        return tenant

    def check(current: Step) -> None:
        tenant = current.row
        if "time_zone" in wanted:
            wanted["time_zone"] = _zone(wanted["time_zone"])
        if wanted.pop("slug", tenant.slug) != tenant.slug:
            # The root of the tenant's content has this name. If the name changed, another tenant could get the old one.
            raise Unacceptable(_("The short name of a tenant can’t be changed."), field="slug")
        others = [name for name in ("name", "time_zone") if wanted.get(name) not in (None, getattr(tenant, name))]
        if others and (move := _move(tenant, wanted)) is not None and is_announced(*move):
            words = _(
                "The customer is informed before a plan without Lockbox takes effect. So change the name or time zone "
                "in a separate step: save it first. Then change the plan."
            )
            raise Unacceptable(words, field=others[0])
        current.require_proof(needed=False)

    with perform(
        CHANGE_TENANT,
        tenant_id,
        actor=actor,
        find=find,
        check=check,
        announces=lambda current: _move(current.row, wanted),
    ) as current:
        tenant: Tenant = current.row
        plan = wanted.get("plan", tenant.plan)
        if plan.pk != tenant.plan_id and _tenant_of({"tenant": str(tenant.pk)}):
            _require_lasting(plan, current.at)
        _change_row(current, tenant, wanted, allowed={"name", "plan", "time_zone"}, event=TENANT_CHANGED)
    return tenant


def _move(tenant: Tenant, wanted: dict[str, Any]) -> tuple[Change, Terms] | None:
    """Return the announcement for a change to a plan without Lockbox, or None if there is no such change."""
    plan = wanted.get("plan", tenant.plan)
    if not tenant.plan.includes_lockbox or plan.includes_lockbox:
        return None
    terms = {"tenant": str(tenant.pk), "name": tenant.name, "plan": str(plan.pk), "plan_name": plan.name}
    return MOVE_TENANT, {**terms, "was": str(tenant.plan_id), "plan_before": tenant.plan.name}


def save_plan(*, actor: Actor, plan_id: object = None, name: str, includes_lockbox: bool) -> Plan:
    wanted = {"name": name, "includes_lockbox": includes_lockbox}

    def announces(current: Step) -> tuple[Change, Terms] | None:
        current.require_proof(needed=False)
        if plan_id and current.row.includes_lockbox and not includes_lockbox:
            return CHANGE_PLAN, _differing(current.row, wanted)
        return None

    with perform(SAVE_PLAN, plan_id, actor=actor, find=_plan_or_new, announces=announces) as current:
        plan: Plan = current.row
        _change_row(current, plan, wanted, allowed=set(wanted), event=PLAN_CHANGED)
    return plan


def _plan_or_new(current: Step, plan_id: object) -> Plan:
    plan = _plan(plan_id, is_locked=True, is_row=True) if plan_id else Plan()
    current.concerns("plan", plan, PROVIDER_LOG)
    return plan


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
            _validated(Service(**wanted))
            return ADD_SERVICE, wanted
        terms = _differing(service, wanted)
        if terms["set"] in ({}, {"is_covered": True}):
            return None
        _validated(_copy_with(service, wanted))
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


def save_resource(*, actor: Actor, resource_id: object = None, **wanted: Any) -> Resource:
    """Add a resource, or change its name or whether it is active.

    A new resource of a service that is not covered is announced: the customer will not be asked about accesses to it.
    """

    # Tenant and service can't be changed, because windows that are open would then cover something else.
    allowed, event = {"name", "is_active"}, RESOURCE_CHANGED
    if not resource_id:
        allowed, event = {"name", "kind", "locator", "is_active"}, RESOURCE_ADDED

    def find(current: Step, row_id: object) -> Resource:
        if row_id:
            resource: Resource = Resource.objects.visible_to(current.actor).locked().find(row_id)
        else:
            tenant = Tenant.objects.visible_to(current.actor).find(wanted.pop("tenant_id", None))
            service = Service.objects.visible_to(current.actor).find(wanted.pop("service_id", None))
            resource = Resource(tenant=tenant, service=service)
        current.concerns("resource", resource, resource.tenant_id)
        return resource

    def check(current: Step) -> None:
        if not resource_id:
            _require_place(current.row, wanted.get("locator"))
        current.require_proof(needed=False)

    def announces(current: Step) -> tuple[Change, Terms] | None:
        return _renaming(current.row, wanted) if resource_id else _adding(current.row, wanted)

    with perform(SAVE_RESOURCE, resource_id, actor=actor, find=find, check=check, announces=announces) as current:
        resource: Resource = current.row
        _change_row(current, resource, wanted, allowed=allowed, event=event)
    return resource


def _adding(resource: Resource, wanted: Terms) -> tuple[Change, Terms] | None:
    if resource.service.is_covered:
        return None
    _validated(_copy_with(resource, wanted))
    of = {"tenant": str(resource.tenant_id), "tenant_name": resource.tenant.name}
    of |= {"service": str(resource.service_id), "service_name": resource.service.name}
    return ADD_RESOURCE, {**of, "name": wanted.get("name", ""), "wanted": wanted}


def _renaming(resource: Resource, wanted: Terms) -> tuple[Change, Terms] | None:
    if wanted.get("name", resource.name) == resource.name:
        return None
    terms = {"resource": str(resource.pk), "was": resource.name, "name": wanted["name"]}
    _validated(_copy_with(resource, {"name": wanted["name"]}))
    is_both = wanted.get("is_active", resource.is_active) != resource.is_active
    if is_both and is_announced(RENAME_RESOURCE, terms):
        words = _("The customer is informed before a name changes. First save the other change. Then change the name.")
        raise Unacceptable(words, field="is_active")
    return RENAME_RESOURCE, terms


# --- What is announced before it takes effect ----------------------------------------------------------------


def _require_lasting(plan: Plan, at: datetime) -> None:
    """Raise WrongState if an announced change is going to remove Lockbox from this plan.

    A tenant that gets the plan now did not get that announcement.
    """
    pending = Proposal.objects.of_staff().pending(at).filter(act="change_plan", said__row=str(plan.pk))
    if any(row.said["set"].get("includes_lockbox") is False for row in pending):
        words = _(
            "An announced change takes Lockbox out of the plan %(plan)s. Withdraw the change, or wait until it applies."
        )
        raise WrongState(words % {"plan": plan.name})


def _tenants_of_plan(terms: Terms) -> list[UUID]:
    return list(Tenant.objects.ever_on().filter(plan=terms["row"]).values_list("pk", flat=True))


def _lock_plan(terms: Terms) -> None:
    list(Plan.objects.select_for_update(no_key=True).filter(pk=terms["row"]))


@announced(CHANGE_PLAN, touches=_tenants_of_plan, lock=_lock_plan)
def _change_plan_agreed(current: Step, terms: Terms) -> None:
    plan = Plan.objects.get(pk=terms["row"])
    _require_unchanged(plan, terms)
    current.subject_type, current.subject_id = "plan", str(plan.pk)
    _change_row(current, plan, terms["set"], allowed=set(terms["set"]), event=PLAN_CHANGED)


def _tenant_of(terms: Terms) -> list[UUID]:
    return list(Tenant.objects.ever_on().filter(pk=terms["tenant"]).values_list("pk", flat=True))


def _lock_tenant(terms: Terms) -> None:
    list(Tenant.objects.filter(pk=terms["tenant"]).locked())


@announced(MOVE_TENANT, touches=_tenant_of, lock=_lock_tenant)
def _move_tenant_agreed(current: Step, terms: Terms) -> None:
    tenant = Tenant.objects.select_related("plan").get(pk=terms["tenant"])
    if str(tenant.plan_id) != terms["was"]:
        raise WrongState(_("The tenant’s plan was changed after the proposal was made. Propose the change again."))
    current.tenant_id, current.subject_type, current.subject_id = tenant.pk, "tenant", str(tenant.pk)
    wanted = {"plan": _plan(terms["plan"])}
    _change_row(current, tenant, wanted, allowed={"plan"}, event=TENANT_CHANGED)


@announced(ADD_SERVICE)
def _add_service_agreed(current: Step, terms: Terms) -> None:
    service = Service()
    current.subject_type, current.subject_id = "service", str(service.pk)
    _save_service(current, service, terms)


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
    _require_unchanged(service, terms)
    current.subject_type, current.subject_id = "service", str(service.pk)
    _save_service(current, service, terms["set"])


def _save_service(current: Step, service: Service, wanted: Terms) -> None:
    was_covered = None if service._state.adding else service.is_covered
    if wanted.get("connector", service.connector) not in KINDS:
        raise Unacceptable(_("There is no such connector."), field="connector")
    _change_row(current, service, wanted, allowed=set(wanted), event=SERVICE_CHANGED)
    if was_covered is not None and was_covered != service.is_covered:
        _witness_coverage(current, service)


@announced(ADD_RESOURCE, touches=_tenant_of)
def _add_resource_agreed(current: Step, terms: Terms) -> None:
    resource = Resource(tenant=Tenant.objects.get(pk=terms["tenant"]), service=Service.objects.get(pk=terms["service"]))
    _require_place(resource, terms["wanted"].get("locator"))
    current.tenant_id, current.subject_type, current.subject_id = resource.tenant_id, "resource", str(resource.pk)
    allowed = {"name", "kind", "locator", "is_active"}
    _change_row(current, resource, terms["wanted"], allowed=allowed, event=RESOURCE_ADDED)


def _tenant_of_resource(terms: Terms) -> list[UUID]:
    """Return the tenant of the resource, if an access request has ever named the resource. Otherwise return []."""
    resource = Resource.objects.filter(pk=terms["resource"])
    if not AccessRequestResource.objects.filter(resource=terms["resource"]).exists():
        return []
    return list(Tenant.objects.ever_on().filter(pk__in=resource.values("tenant")).values_list("pk", flat=True))


def _lock_resource(terms: Terms) -> None:
    list(Resource.objects.filter(pk=terms["resource"]).locked())


def _resource_in_use(terms: Terms, at: datetime) -> bool:
    return AccessRequest.objects.under_way(at).filter(scope__resource=terms["resource"]).exists()


@announced(RENAME_RESOURCE, touches=_tenant_of_resource, lock=_lock_resource, waits=_resource_in_use)
def _rename_resource_agreed(current: Step, terms: Terms) -> None:
    resource = Resource.objects.get(pk=terms["resource"])
    if resource.name != terms["was"]:
        raise WrongState(_("The resource was renamed after the proposal was made. Propose the change again."))
    current.tenant_id, current.subject_type, current.subject_id = resource.tenant_id, "resource", str(resource.pk)
    _change_row(current, resource, {"name": terms["name"]}, allowed={"name"}, event=RESOURCE_CHANGED)


def _differing(row: Any, wanted: Terms) -> Terms:
    """Return the terms of a change: the values that would be set, and the values that they replace."""
    changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    return {"row": str(row.pk), "name": str(row), "set": changed, "was": {name: getattr(row, name) for name in changed}}


def _require_unchanged(row: Any, terms: Terms) -> None:
    if any(getattr(row, name) != value for name, value in terms["was"].items()):
        raise WrongState(_("The values were changed after the proposal was made. Propose the change again."))


def _copy_with(row: Any, wanted: Terms) -> Any:
    other = copy(row)
    for name, value in wanted.items():
        setattr(other, name, value)
    return other


def _witness_coverage(current: Step, service: Service) -> None:
    """Record whether the service is covered, in the log of each tenant that has Lockbox on.

    The coverage decides who is asked about accesses.
    """
    entry = current.entry(SERVICE_CHANGED, detail={"service": service.key, "is_covered": service.is_covered})
    tenants = Tenant.objects.filter(lockbox_on=True).values_list("pk", flat=True)
    recorder.record([replace(entry, tenant_id=tenant, text=service.name) for tenant in tenants], at=current.at)


def _require_place(resource: Resource, locator: object) -> None:
    """Raise Unacceptable unless the resource is under its tenant's root, and not above or below another resource.

    Otherwise a resource with a harmless name could give access to another tenant's content.
    """
    path = PurePosixPath(locator if isinstance(locator, str) else "")
    if not is_own_place(resource.tenant, str(path)):
        root = resource.tenant.slug
        raise Unacceptable(
            _("The locator must begin with this tenant's own root: %(root)s/…") % {"root": root}, field="locator"
        )
    above = [str(parent) for parent in path.parents]
    others = Resource.objects.filter(tenant=resource.tenant)
    if others.filter(Q(locator__in=[str(path), *above]) | Q(locator__startswith=f"{path}/")).exists():
        raise Unacceptable(_("Another resource has this locator, or a locator above or below it."), field="locator")


def _tenant(current: Step) -> Tenant:
    tenant: Tenant = current.row
    return tenant


def _change_row(current: Step, row: Any, wanted: dict[str, Any], *, allowed: set[str], event: Event) -> None:
    """Set the allowed fields, save the row, and record the old values. If no value changes, do nothing."""
    if unknown := sorted(set(wanted) - allowed):
        raise Unacceptable(_("This field cannot be changed here."), field=unknown[0])
    is_new = row._state.adding
    before = {name: str(getattr(row, name, "")) for name in wanted if not is_new}
    for name, value in wanted.items():
        setattr(row, name, value)
    after = {name: str(getattr(row, name)) for name in wanted}
    if not is_new and before == after:
        return
    _validated(row).save()
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    old = {name: value for name, value in before.items() if after[name] != value}
    current.witness(event, detail={"set": changed, "was": old}, text=str(row))


def _validated(row: Any) -> Any:
    try:
        row.full_clean()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Unacceptable(" ".join(messages), field="" if field == "__all__" else field) from error
    return row


def _plan(plan_id: Any, *, is_locked: bool = False, is_row: bool = False) -> Plan:
    """Return the plan. With `is_locked`, lock it.

    If there is no such plan, raise NotFound with `is_row`, and Unacceptable without `is_row`.
    """
    plans = Plan.objects.select_for_update(no_key=True) if is_locked else Plan.objects
    try:
        return plans.get(pk=plan_id)
    except (Plan.DoesNotExist, ValidationError, ValueError, TypeError):
        raise (NotFound if is_row else Unacceptable(_("There is no such plan."), field="plan")) from None


def _zone(name: str) -> str:
    if name not in time_zones.names():
        raise Unacceptable(_("There is no such time zone."), field="time_zone")
    return name
