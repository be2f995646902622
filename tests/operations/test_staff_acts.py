"""Other people try acts of staff: the declaration refuses them, and the log gets an entry about each attempt."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.actors import Role
from requests_app.domain.acts import ACTS
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import Tenant, Tries
from tests.acts import CASES, act_of
from tests.cast import Cast

pytestmark = pytest.mark.django_db

#: The cases of acts that only staff can do.
OF_STAFF = sorted(name for name in CASES if ACTS[act_of(name)].roles == {Role.STAFF})
#: Acts on a row of one tenant. Their entry goes into the tenant's log, and all others into the provider's log.
OF_A_TENANT = {
    "change_tenant",
    "check_resource",
    "find_resources",
    "resend_mail",
    "save_resource",
    "switch_off_tenant",
    "switch_on_tenant",
}
#: These people can't see the row, so for them it does not exist.
NOT_SHOWN = {
    ("resend_mail", "priya"),
    ("resend_mail", "pat"),
    ("remove_proxy", "mia"),
    ("switch_off_tenant, never with Lockbox on", "mia"),
} | {
    (name, who)
    for name in ("add_callback", "copy_invitation_link", "propose_import", "unmap_group")
    for who in ("mia", "priya", "pat")
}


def _rows() -> dict[str, list[Any]]:
    """Return all rows of the product, except those of the log and the guesses, which are counted before the act."""
    models = [model for model in apps.get_app_config("requests_app").get_models() if model is not Tries]
    return {model.__name__: list(model._base_manager.order_by("pk").values()) for model in models}


@pytest.mark.parametrize("who", ["mia", "priya", "pat"])
@pytest.mark.parametrize("name", OF_STAFF)
def test_an_act_of_staff_by_somebody_else_is_refused_with_an_entry_and_changes_nothing(
    cast: Cast, name: str, who: str
) -> None:
    """Mia is a member of a tenant, Priya is an engineer, and Pat is an approver of the provider."""
    case, is_shown = CASES[name], (name, who) not in NOT_SHOWN
    row = case.prepare(cast)
    before, last = _rows(), AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    with pytest.raises(NotAllowed if is_shown else NotFound) as refused:
        case.operation(cast, row, cast.as_(who))
    assert _rows() == before
    of_tenant = row.pk if isinstance(row, Tenant) else cast.contoso.pk
    log_id = of_tenant if act_of(name) in OF_A_TENANT else PROVIDER_LOG
    about = {"action": act_of(name), "code": refused.value.code}
    entries = [
        (entry.tenant_id, entry.event, entry.actor_id, json.loads(bytes(entry.canonical))["detail"])
        for entry in AuditEntry.objects.filter(pk__gt=last)
    ]
    assert entries == ([(log_id, "act.refused", cast.people[who].pk, about)] if is_shown else [])


def test_a_customer_can_not_tell_another_tenants_account_from_none(cast: Cast) -> None:
    for account in (cast.ada.pk, "nobody"):
        with pytest.raises(NotFound):
            operations.link_accounts(account, cast.pat.pk, actor=cast.as_("frida"))


@pytest.mark.parametrize("plan_id", [UUID(int=7), "nothing"])
def test_a_plan_that_does_not_exist_is_not_found(cast: Cast, plan_id: object) -> None:
    before = _rows()
    for name in ("stella", "mia"):
        with pytest.raises(NotFound):
            operations.save_plan(plan_id=plan_id, name="E7", includes_lockbox=True, actor=cast.as_(name))
    assert _rows() == before


def test_only_staff_learn_whether_somebody_works_in_a_queue(cast: Cast) -> None:
    for role in ("engineer", "provider_approver"):
        with pytest.raises(NotAllowed):
            operations.take_queue_role(cast.exchange.pk, cast.erik.pk, role=role, actor=cast.as_("mia"))
    with pytest.raises(NotFound):
        operations.take_queue_role(cast.exchange.pk, cast.erik.pk, role="provider_approver", actor=cast.as_("stella"))
