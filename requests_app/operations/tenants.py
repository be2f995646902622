"""A tenant's own choices (Lockbox, notification addresses), and what staff set up for it."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q
from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app import limits, policy
from requests_app.actors import Actor, Role
from requests_app.connectors.registry import KINDS
from requests_app.errors import NotAllowed, Unacceptable, WrongState
from requests_app.events import Event
from requests_app.models import NotificationAddress, Plan, Resource, Service, Tenant
from requests_app.models.services import is_own_place
from requests_app.operations._change import PROVIDER_LOG, Act, act
from requests_app.operations._keys import is_anybody_ready
from requests_app.operations._second import controlled, hold, require_customer, tell_yes_rules
from requests_app.outbox.topics import Audience, Note, Topic

_ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})


def switch_lockbox(tenant_id: object, *, on: bool, actor: Actor) -> Tenant:
    """Switch Lockbox on or off. What is under way keeps the stage it was submitted with.

    Where it is so already, nothing is done and nothing is written.

    Switching it on needs no fresh proof, and no second person under two-person control: it only takes power away from
    the provider. Neither the provider nor a machine switches it there, in either direction.
    """
    with act("switch_lockbox", actor=actor) as current:
        tenant = _own_tenant(tenant_id, current)
        if tenant.lockbox_on == on:
            return tenant
        if on and not tenant.plan.includes_lockbox:
            raise Unacceptable(_("The plan %(plan)s does not include Lockbox.") % {"plan": tenant.plan.name})
        if on:
            require_customer(current, tenant)
        else:
            policy.require_step_up(current.actor, current.at)
            hold(current, tenant, on=on)
        _switch_lockbox(current, tenant, {"on": on})
    return tenant


@controlled("switch_lockbox")
def _switch_lockbox(current: Act, tenant: Tenant, said: dict[str, Any]) -> None:
    on = bool(said["on"])
    if tenant.lockbox_on == on or (on and not tenant.plan.includes_lockbox):
        raise WrongState(_("This is no longer to be done."))
    tenant.lockbox_on = on
    tenant.save(update_fields=["lockbox_on"])
    current.witness(Event.LOCKBOX_SWITCHED_ON if on else Event.LOCKBOX_SWITCHED_OFF, detail={"on": on})
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
    """Set the longest window this tenant ever gives; it holds for windows that open from now on.

    Whoever has read what it `was` changes that and nothing else: of two who do so at once, the second is refused.
    """
    with act("set_window_cap", actor=actor) as current:
        tenant = _own_tenant(tenant_id, current)
        if seconds not in limits.window_choices(max(limits.window_choices(24 * 60 * 60))):
            raise Unacceptable(_("Choose one of the offered lengths."), field="window_cap")
        if was not in (None, tenant.window_cap):
            raise WrongState(_("Somebody else has just changed the longest window."))
        policy.require_step_up(current.actor, current.at)
        hold(current, tenant, seconds=seconds)
        _set_window_cap(current, tenant, {"seconds": seconds})
    return tenant


@controlled("set_window_cap")
def _set_window_cap(current: Act, tenant: Tenant, said: dict[str, Any]) -> None:
    before, tenant.window_cap = tenant.window_cap, int(said["seconds"])
    tenant.save(update_fields=["window_cap"])
    current.witness(Event.TENANT_CHANGED, detail={"window_cap": tenant.window_cap, "window_cap_before": before})


def set_yes_rule(tenant_id: object, *, rule: str, actor: Actor) -> Tenant:
    """Set what this tenant's yes takes: signed or not, signed, or signed with a passkey that can't leave its device.

    It counts from the next yes on, also for what waits already. A rule that nobody could meet is refused.
    """
    with act("set_yes_rule", actor=actor) as current:
        tenant = _own_tenant(tenant_id, current)
        if current.actor.machine is not None:
            raise NotAllowed
        policy.require_step_up(current.actor, current.at)
        if rule not in Tenant.YesRule.values:
            raise Unacceptable(_("Choose one of the offered rules."), field="yes_rule")
        if rule == tenant.yes_rule:
            raise WrongState(_("This is the rule already."))
        _require_signer(tenant, rule)
        hold(current, tenant, rule=rule)
        _set_yes_rule(current, tenant, {"rule": rule})
    return tenant


@controlled("set_yes_rule")
def _set_yes_rule(current: Act, tenant: Tenant, said: dict[str, Any]) -> None:
    _require_signer(tenant, said["rule"])
    before, tenant.yes_rule = tenant.yes_rule, said["rule"]
    tenant.save(update_fields=["yes_rule"])
    current.witness(Event.TENANT_CHANGED, detail={"yes_rule": tenant.yes_rule, "yes_rule_before": before})
    tell_yes_rules(current, tenant, rule=tenant.yes_rule, rule_before=before)


def _require_signer(tenant: Tenant, rule: str) -> None:
    """Raise unless some approver has a passkey that this rule takes, beside what the tenant wants already."""
    if rule == Tenant.YesRule.ANY:
        return
    wanted = copy(tenant)
    wanted.yes_rule = rule
    if not is_anybody_ready(wanted):
        raise WrongState(_("None of your approvers has such a passkey yet: nobody could say yes."))


def add_address(tenant_id: object, *, email: str, label: str = "", actor: Actor) -> NotificationAddress:
    """Add an address that is told and decides nothing."""
    with act("add_address", actor=actor) as current:
        tenant = _own_tenant(tenant_id, current)
        email = _email(email)
        if tenant.notification_addresses.filter(email=email).exists():
            raise Unacceptable(_("This address is told already."), field="email")
        label = limits.require_text(label, field="label", at_least=0, at_most=80)
        address = NotificationAddress.objects.create(tenant=tenant, email=email, label=label, created_at=current.at)
        current.witness(Event.ADDRESS_ADDED, detail={"email": email, "label": label}, text=email)
    return address


def remove_address(address_id: object, *, actor: Actor) -> None:
    with act("remove_address", actor=actor) as current:
        address = NotificationAddress.objects.visible_to(current.actor).find(address_id)
        _own_tenant(address.tenant_id, current)
        current.witness(Event.ADDRESS_REMOVED, detail={"email": address.email}, text=address.email)
        address.delete()


def create_tenant(*, name: str, slug: str, plan_id: object, time_zone: str = "UTC", actor: Actor) -> Tenant:
    with act("create_tenant", actor=actor) as current:
        policy.require_staff(current.actor)
        tenant = Tenant(
            name=limits.require_text(name, field="name", at_most=120),
            slug=slug,
            plan=_plan(plan_id),
            time_zone=_zone(time_zone),
        )
        current.concerns("tenant", tenant, tenant.pk)
        tenant.created_at = current.at
        _validated(tenant).save(force_insert=True)
        current.witness(Event.TENANT_CREATED, detail={"name": tenant.name, "plan": tenant.plan.name}, text=tenant.name)
    return tenant


def change_tenant(tenant_id: object, *, actor: Actor, **wanted: Any) -> Tenant:
    """Staff change a tenant's name, plan or time zone; never whether its Lockbox is on, nor how long a window may be.

    A plan that does not include Lockbox leaves a Lockbox that is on as it is: nobody loses protection by a contract.
    """
    with act("change_tenant", actor=actor) as current:
        policy.require_staff(current.actor)
        tenant = Tenant.objects.visible_to(current.actor).select_related("plan").locked().find(tenant_id)
        current.concerns("tenant", tenant, tenant.pk)
        if "plan_id" in wanted:
            wanted["plan"] = _plan(wanted.pop("plan_id"))
        if "time_zone" in wanted:
            wanted["time_zone"] = _zone(wanted["time_zone"])
        if wanted.pop("slug", tenant.slug) != tenant.slug:
            # The root of the tenant's content carries this name; another tenant could then be given the old one.
            raise Unacceptable(_("A tenant keeps its short name."), field="slug")
        _change_row(current, tenant, wanted, allowed={"name", "plan", "time_zone"}, event=Event.TENANT_CHANGED)
    return tenant


def save_plan(*, actor: Actor, plan_id: object = None, name: str, includes_lockbox: bool) -> Plan:
    with act("save_plan", actor=actor) as current:
        policy.require_staff(current.actor)
        plan = _plan(plan_id) if plan_id else Plan()
        current.concerns("plan", plan, PROVIDER_LOG)
        wanted = {"name": name, "includes_lockbox": includes_lockbox}
        _change_row(current, plan, wanted, allowed=set(wanted), event=Event.PLAN_CHANGED)
    return plan


def save_service(
    *, actor: Actor, service_id: object = None, key: str, name: str, connector: str, is_covered: bool = True
) -> Service:
    """Add or change a service. One that is not covered behaves as if the tenant had no Lockbox."""
    with act("save_service", actor=actor) as current:
        policy.require_staff(current.actor)
        service = Service.objects.visible_to(current.actor).locked().find(service_id) if service_id else Service()
        current.concerns("service", service, PROVIDER_LOG)
        if connector not in KINDS:
            raise Unacceptable(_("There is no such connector."), field="connector")
        was_covered = None if service._state.adding else service.is_covered
        if was_covered not in (None, is_covered):
            policy.require_step_up(current.actor, current.at)
        wanted = {"key": key, "name": name, "connector": connector, "is_covered": is_covered}
        _change_row(current, service, wanted, allowed=set(wanted), event=Event.SERVICE_CHANGED)
        if was_covered is not None and was_covered != is_covered:
            _witness_coverage(current, service)
    return service


def save_resource(*, actor: Actor, resource_id: object = None, **wanted: Any) -> Resource:
    """Add a resource, or change its name, locator or whether it is active."""
    with act("save_resource", actor=actor) as current:
        policy.require_staff(current.actor)
        if resource_id:
            resource = Resource.objects.visible_to(current.actor).locked().find(resource_id)
            # Another tenant or service would make windows that are open cover something else.
            allowed, event = {"name", "is_active"}, Event.RESOURCE_CHANGED
        else:
            tenant = Tenant.objects.visible_to(current.actor).find(wanted.pop("tenant_id", None))
            service = Service.objects.visible_to(current.actor).find(wanted.pop("service_id", None))
            resource = Resource(tenant=tenant, service=service)
            allowed, event = {"name", "kind", "locator", "is_active"}, Event.RESOURCE_ADDED
            _require_place(resource, wanted.get("locator"))
        current.concerns("resource", resource, resource.tenant_id)
        _change_row(current, resource, wanted, allowed=allowed, event=event)
    return resource


def _witness_coverage(current: Act, service: Service) -> None:
    """Whether a service is covered decides whether customers are asked: it is in the log of each that it concerns."""
    entry = current.entry(Event.SERVICE_CHANGED, detail={"service": service.key, "is_covered": service.is_covered})
    tenants = Tenant.objects.filter(lockbox_on=True).values_list("pk", flat=True)
    recorder.record([replace(entry, tenant_id=tenant, text=service.name) for tenant in tenants], at=current.at)


def _require_place(resource: Resource, locator: object) -> None:
    """A resource lies under its tenant's own root, and over or under no other resource.

    Otherwise a harmless name, or a tenant without Lockbox, could stand for what somebody else has to say yes to.
    """
    path = PurePosixPath(locator if isinstance(locator, str) else "")
    if not is_own_place(resource.tenant, str(path)):
        root = resource.tenant.slug
        raise Unacceptable(
            _("The locator begins with this tenant's own root: %(root)s/…") % {"root": root}, field="locator"
        )
    above = [str(parent) for parent in path.parents]
    others = Resource.objects.filter(tenant=resource.tenant)
    if others.filter(Q(locator__in=[str(path), *above]) | Q(locator__startswith=f"{path}/")).exists():
        raise Unacceptable(_("Another resource has this place, or a place above or below it."), field="locator")


def _own_tenant(tenant_id: object, current: Act) -> Tenant:
    """The tenant, if its own administrator acts: the provider's people never choose for a customer."""
    tenant = Tenant.objects.visible_to(current.actor).select_related("plan").locked().find(tenant_id)
    current.concerns("tenant", tenant, tenant.pk)
    policy.require_role(current.actor, _ADMINISTRATOR, tenant_id=tenant.pk)
    return tenant


def _change_row(current: Act, row: Any, wanted: dict[str, Any], *, allowed: set[str], event: Event) -> None:
    """Set the allowed fields, validate, save, and witness what it was before; nothing is saved if nothing differs."""
    if unknown := sorted(set(wanted) - allowed):
        raise Unacceptable(_("This cannot be changed here."), field=unknown[0])
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


def _plan(plan_id: Any) -> Plan:
    try:
        return Plan.objects.get(pk=plan_id)
    except (Plan.DoesNotExist, ValidationError, ValueError, TypeError):
        raise Unacceptable(_("There is no such plan."), field="plan") from None


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise Unacceptable(_("There is no such time zone."), field="time_zone")
    return name


def _email(value: str) -> str:
    email = value.strip().lower() if isinstance(value, str) else ""
    try:
        validate_email(email)
    except ValidationError:
        raise Unacceptable(_("Write an email address."), field="email") from None
    return email
