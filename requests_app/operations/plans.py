"""Adds and changes plans. A plan says whether its tenants can switch Lockbox on."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import CHANGE_PLAN, MAKE_TRIAL_PLAN, PLAN_CHANGED, SAVE_PLAN
from requests_app.domain.errors import WrongState
from requests_app.models import Plan, Tenant
from requests_app.operations._announced import Terms, announced
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._perform import perform
from requests_app.operations._rows import change_row, differing, find_plan, readable, require_unchanged
from requests_app.queries import installation

#: The name of the plan that a trial begins with.
TRIAL_PLAN = "Standard"


def save_plan(
    *, actor: Actor, plan_id: object = None, name: str | None = None, includes_lockbox: bool | None = None
) -> Plan:
    """Add a plan, or change the fields that are given. Taking Lockbox out of a plan is announced to its tenants."""
    given = {"name": name, "includes_lockbox": includes_lockbox}
    wanted = {name: value for name, value in given.items() if value is not None}

    def check(current: Step) -> None:
        wanted.update(readable(current.row, wanted))

    def announces(current: Step) -> tuple[Change, Terms] | None:
        current.require_proof(needed=False)
        if plan_id and current.row.includes_lockbox and includes_lockbox is False:
            return CHANGE_PLAN, differing(current.row, wanted)
        return None

    with perform(SAVE_PLAN, plan_id, actor=actor, find=_plan_or_new, check=check, announces=announces) as current:
        plan: Plan = current.row
        change_row(current, plan, wanted, allowed=set(wanted), event=PLAN_CHANGED)
    return plan


def make_trial_plan(*, actor: Actor) -> Plan:
    """Make the one plan that a trial begins with, before anybody can sign in."""

    def state(current: Step) -> None:
        if not installation.needs_trial_plan():
            raise WrongState(_("Only a trial without a plan and without a staff member begins with a plan."))

    with perform(MAKE_TRIAL_PLAN, actor=actor, find=_plan_or_new, state=state) as current:
        plan: Plan = current.row
        wanted = {"name": TRIAL_PLAN, "includes_lockbox": True}
        change_row(current, plan, wanted, allowed=set(wanted), event=PLAN_CHANGED)
    return plan


def _plan_or_new(current: Step, plan_id: object) -> Plan:
    plan = find_plan(plan_id, is_locked=True, is_row=True) if plan_id else Plan()
    current.concerns("plan", plan, PROVIDER_LOG)
    return plan


def _tenants_of_plan(terms: Terms) -> list[UUID]:
    return list(Tenant.objects.ever_on().filter(plan=terms["row"]).values_list("pk", flat=True))


def _lock_plan(terms: Terms) -> None:
    list(Plan.objects.select_for_update(no_key=True).filter(pk=terms["row"]))


@announced(CHANGE_PLAN, touches=_tenants_of_plan, lock=_lock_plan)
def _change_plan_agreed(current: Step, terms: Terms) -> None:
    plan = Plan.objects.get(pk=terms["row"])
    require_unchanged(plan, terms)
    current.subject_type, current.subject_id = "plan", str(plan.pk)
    change_row(current, plan, terms["set"], allowed=set(terms["set"]), event=PLAN_CHANGED)
