"""Sets up tenants, and changes their settings: Lockbox, rules for approvals, notification addresses, plan."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.utils.translation import gettext as _

from requests_app.domain import limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import CHANGE_PLAN
from requests_app.domain.acts.tenants import (
    ADD_ADDRESS,
    ADDRESS_ADDED,
    ADDRESS_REMOVED,
    CHANGE_TENANT,
    CREATE_TENANT,
    LOCKBOX_SWITCHED_OFF,
    LOCKBOX_SWITCHED_ON,
    MOVE_TENANT,
    PROVIDER_DESCRIBED,
    REMOVE_ADDRESS,
    SET_WINDOW_CAP,
    SET_YES_RULE,
    SWITCH_LOCKBOX,
    SWITCH_OFF_TENANT,
    SWITCH_OFF_TENANT_ANNOUNCED,
    SWITCH_ON_TENANT,
    SWITCH_ON_TENANT_ANNOUNCED,
    TENANT_CHANGED,
    TENANT_CREATED,
)
from requests_app.domain.errors import Unacceptable, WrongState
from requests_app.domain.ids import as_id
from requests_app.domain.imports import REASONS, is_short_name
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import AccessRequest, NotificationAddress, Plan, Tenant
from requests_app.models.spelling import is_taken
from requests_app.operations import _described, _weakening
from requests_app.operations._announced import Terms, announced, is_announced
from requests_app.operations._change import PROVIDER_LOG, Step, lock_access
from requests_app.operations._ending import switch_tenant
from requests_app.operations._keys import is_anybody_ready
from requests_app.operations._people import time_zone_of
from requests_app.operations._perform import perform
from requests_app.operations._rows import change_row, find_plan, free_external_id, protected_tenant, readable, validated
from requests_app.operations._second import controlled, require_customer, tell_yes_rules
from requests_app.operations._subjects import tenant as found_tenant


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
    is_first = on and tenant.lockbox_first_on_at is None
    # Read before this tenant counts as one that must be informed.
    begins_with = _described.of_provider(tenant) if is_first else {}
    tenant.lockbox_on = on
    # A tenant that had Lockbox on before this column existed has had it on since it was created.
    tenant.lockbox_first_on_at = tenant.lockbox_first_on_at or (current.at if on else tenant.created_at)
    tenant.save(update_fields=["lockbox_on", "lockbox_first_on_at"])
    if is_first:
        # Before the other entry, because this is what Lockbox begins with. It is nobody's act.
        system = replace(Actor.system("lockbox"), door=current.actor.door)
        replace(current, actor=system).witness(PROVIDER_DESCRIBED, detail=begins_with)
        _described.name_invitations(tenant, begins_with)
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


def create_tenant(
    *, name: str, slug: str, plan_id: object, time_zone: str = "UTC", external_id: str = "", actor: Actor
) -> Tenant:
    """Set up a tenant. Nobody can do anything in it until somebody is invited."""

    def check(current: Step) -> None:
        tenant = current.row
        _require_short_name(slug)
        tenant.external_id = free_external_id(external_id, tenant, Tenant.objects.all(), "slug")
        tenant.name = current.inputs["name"]
        tenant.slug, tenant.plan, tenant.time_zone = slug, find_plan(plan_id), time_zone_of(time_zone)
        tenant.created_at = current.at
        validated(tenant)

    with perform(CREATE_TENANT, actor=actor, inputs={"name": name}, find=_new_tenant, check=check) as current:
        tenant: Tenant = current.row
        tenant.save(force_insert=True)
        current.tenant_id = tenant.pk
        detail = {"name": tenant.name, "plan": tenant.plan.name}
        if tenant.external_id:
            detail["external_id"] = tenant.external_id
        current.witness(TENANT_CREATED, detail=detail, text=tenant.name)
    return tenant


def _require_short_name(slug: str) -> None:
    """Raise Unacceptable unless a new tenant can have this short name. Calls and files name tenants by both ids."""
    if not is_short_name(slug):
        raise Unacceptable(REASONS["bad_short_name"], field="slug")
    if is_taken(slug, Tenant.objects.all(), "slug", "external_id"):
        raise Unacceptable(REASONS["short_name_taken"], field="slug")


def _new_tenant(current: Step, _row_id: object) -> Tenant:
    """Return a tenant that is not saved yet. It has no log, so a refusal is recorded in the provider's log."""
    tenant = Tenant()
    current.concerns("tenant", tenant, PROVIDER_LOG)
    return tenant


#: What staff can change immediately. A plan without Lockbox is announced.
_AT_ONCE = ("name", "time_zone", "external_id")


def change_tenant(tenant_id: object, *, actor: Actor, **wanted: Any) -> Tenant:
    """Change a tenant's name, plan, time zone or external id, for staff.

    They can't change its Lockbox or its maximum window length, and can't replace an external id that it already has.

    If the new plan does not include Lockbox, Lockbox stays on: a contract never takes protection away. But the tenant
    could not switch it on again later, so it gets an announcement first.
    """

    def find(current: Step, row_id: object) -> Tenant:
        tenant: Tenant = Tenant.objects.visible_to(current.actor).select_related("plan").locked().find(row_id)
        if "plan_id" in wanted:
            # Locked before the turn at the log, so that no tenant gets this plan while the plan loses Lockbox.
            wanted["plan"] = find_plan(wanted.pop("plan_id"), is_locked=True)
        current.concerns("tenant", tenant, tenant.pk)
        return tenant

    def check(current: Step) -> None:
        tenant = current.row
        wanted.update(readable(tenant, wanted))
        if "time_zone" in wanted:
            wanted["time_zone"] = time_zone_of(wanted["time_zone"])
        if "external_id" in wanted:
            wanted["external_id"] = _first_external_id(tenant, wanted["external_id"])
        if wanted.pop("slug", tenant.slug) != tenant.slug:
            # The root of the tenant's content has this name. If the name changed, another tenant could get the old one.
            raise Unacceptable(_("The short name of a tenant can’t be changed."), field="slug")
        others = [name for name in _AT_ONCE if wanted.get(name) not in (None, getattr(tenant, name))]
        if others and (move := _move(tenant, wanted)) is not None and is_announced(*move):
            words = _(
                "The customer is informed before a plan without Lockbox takes effect. So change the name, time zone or "
                "external id in a separate step: save it first. Then change the plan."
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
        if plan.pk != tenant.plan_id and protected_tenant({"tenant": str(tenant.pk)}):
            _require_lasting(plan, current.at)
        change_row(current, tenant, wanted, allowed={*_AT_ONCE, "plan"}, event=TENANT_CHANGED)
    return tenant


def _first_external_id(tenant: Tenant, value: object) -> str:
    """Return the external id that a tenant gets. Raise Unacceptable if the tenant already has another one.

    Otherwise the next file or call that repeats the old external id could change another tenant.
    """
    found = free_external_id(value, tenant, Tenant.objects.all(), "slug")
    if tenant.external_id and found != tenant.external_id:
        words = str(REASONS["another_external_id"]) % {"external_id": tenant.external_id}
        raise Unacceptable(words, field="external_id")
    return found


def _move(tenant: Tenant, wanted: dict[str, Any]) -> tuple[Change, Terms] | None:
    """Return the announcement for a change to a plan without Lockbox, or None if there is no such change."""
    return _weakening.move(tenant, wanted.get("plan", tenant.plan))


def _require_lasting(plan: Plan, at: datetime) -> None:
    """Raise WrongState if an announced change is going to remove Lockbox from this plan.

    A tenant that gets the plan now did not get that announcement.
    """
    pending = _weakening.pending(at, CHANGE_PLAN)
    if any(_weakening.loses_lockbox(act, terms) and terms["row"] == str(plan.pk) for act, terms in pending):
        words = _(
            "An announced change takes Lockbox out of the plan %(plan)s. Withdraw the change, or wait until it applies."
        )
        raise WrongState(words % {"plan": plan.name})


def _lock_tenant(terms: Terms) -> None:
    list(Tenant.objects.filter(pk=terms["tenant"]).locked())


def switch_off_tenant(tenant_id: object, *, actor: Actor) -> Tenant:
    """Switch a tenant off: nobody can open a ticket or ask for access, and all access ends.

    Its people can still sign in, read, and export the log. Lockbox and its other settings stay as they are.
    """

    def find(current: Step, row_id: object) -> Tenant:
        lock_access(AccessRequest.objects.filter(tenant=as_id(row_id)))
        return found_tenant(current, row_id)

    def state(current: Step) -> None:
        _require_switched(current.row, on=True)

    def announces(current: Step) -> tuple[Change, Terms]:
        return SWITCH_OFF_TENANT_ANNOUNCED, _named(current.row)

    with perform(SWITCH_OFF_TENANT, tenant_id, actor=actor, find=find, state=state, announces=announces) as current:
        switch_tenant(current, current.row, on=False)
    return _tenant(current)


def switch_on_tenant(tenant_id: object, *, actor: Actor) -> Tenant:
    """Switch a tenant on again. Nothing that ended when it was switched off is restored."""

    def state(current: Step) -> None:
        _require_switched(current.row, on=False)

    def announces(current: Step) -> tuple[Change, Terms]:
        return SWITCH_ON_TENANT_ANNOUNCED, _named(current.row)

    with perform(SWITCH_ON_TENANT, tenant_id, actor=actor, state=state, announces=announces) as current:
        switch_tenant(current, current.row, on=True)
    return _tenant(current)


def _named(tenant: Tenant) -> Terms:
    return {"tenant": str(tenant.pk), "name": tenant.name}


def _require_switched(tenant: Tenant, *, on: bool) -> None:
    if tenant.is_active != on:
        raise WrongState(_("The tenant is already switched off.") if on else _("The tenant is already switched on."))


def _lock_access_and_tenant(terms: Terms) -> None:
    lock_access(AccessRequest.objects.filter(tenant=terms["tenant"]))
    _lock_tenant(terms)


def _switch_agreed(current: Step, terms: Terms, *, on: bool) -> None:
    tenant = Tenant.objects.get(pk=terms["tenant"])
    _require_switched(tenant, on=not on)
    current.tenant_id, current.subject_type, current.subject_id = tenant.pk, "tenant", str(tenant.pk)
    switch_tenant(current, tenant, on=on)


@announced(SWITCH_OFF_TENANT_ANNOUNCED, touches=protected_tenant, lock=_lock_access_and_tenant)
def _switch_off_agreed(current: Step, terms: Terms) -> None:
    _switch_agreed(current, terms, on=False)


@announced(SWITCH_ON_TENANT_ANNOUNCED, touches=protected_tenant, lock=_lock_tenant)
def _switch_on_agreed(current: Step, terms: Terms) -> None:
    _switch_agreed(current, terms, on=True)


@announced(MOVE_TENANT, touches=protected_tenant, lock=_lock_tenant)
def _move_tenant_agreed(current: Step, terms: Terms) -> None:
    tenant = Tenant.objects.select_related("plan").get(pk=terms["tenant"])
    if str(tenant.plan_id) != terms["was"]:
        raise WrongState(_("The tenant’s plan was changed after the proposal was made. Propose the change again."))
    current.tenant_id, current.subject_type, current.subject_id = tenant.pk, "tenant", str(tenant.pk)
    wanted = {"plan": find_plan(terms["plan"])}
    change_row(current, tenant, wanted, allowed={"plan"}, event=TENANT_CHANGED)


def _tenant(current: Step) -> Tenant:
    tenant: Tenant = current.row
    return tenant
