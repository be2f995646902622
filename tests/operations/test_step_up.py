"""To change approvers or rules, the actor must have confirmed their identity within the last five minutes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import ChangeProposed, StepUpRequired
from requests_app.models import OutboxMessage, QueueAssignment, Tenant
from tests.cast import Cast
from tests.witness import SmallWitness

pytestmark = pytest.mark.django_db

Act = Callable[[Cast, Actor], Any]


def _with_webhook(cast: Cast) -> Any:
    url, ines = "https://hooks.contoso.example/in", cast.as_("ines")
    return operations.add_webhook(cast.contoso.pk, url=url, events=["*"], actor=ines).webhook.pk


def _client(cast: Cast) -> Any:
    made = operations.create_client(tenant_id=cast.contoso.pk, name="SIEM", scopes=["log:read"], actor=cast.as_("ines"))
    return made.row.pk


def _proposal(cast: Cast) -> Any:
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    with pytest.raises(ChangeProposed) as outcome:
        operations.set_window_cap(cast.contoso.pk, seconds=3600, actor=cast.as_("ines"))
    return outcome.value.current["proposal"]


#: By name: who acts, how to prepare the row, and the act. Only the confirmation is missing.
#: `tests/parity/test_proof.py` tries every act that always needs a confirmation. These acts need one for some inputs or
#: rows.
ACTS: dict[str, tuple[str, Callable[[Cast], Any], Callable[[Cast, Actor, Any], Any]]] = {
    "invite an approver": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.invite_person(c.contoso.pk, email="new@contoso.example", role="approver", actor=a),
    ),
    "make an approver": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.give_role(c.contoso.pk, c.mia.pk, role="approver", actor=a),
    ),
    "take the role of approver": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.take_role(c.contoso.pk, c.ada.pk, role="approver", actor=a),
    ),
    "switch an approver off": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.switch_off_person(c.alan.pk, actor=a),
    ),
    "switch an approver on": (
        "ines",
        lambda c: operations.switch_off_person(c.alan.pk, actor=c.as_("ines")),
        lambda c, a, _: operations.switch_on_person(c.alan.pk, actor=a),
    ),
    "make a provider approver": (
        "stella",
        lambda c: None,
        lambda c, a, _: operations.give_queue_role(c.exchange.pk, c.erik.pk, role="provider_approver", actor=a),
    ),
    "take a provider approver's role": (
        "stella",
        lambda c: None,
        lambda c, a, _: operations.take_queue_role(c.exchange.pk, c.paula.pk, role="provider_approver", actor=a),
    ),
    "switch Lockbox off": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.switch_lockbox(c.contoso.pk, on=False, actor=a),
    ),
    "set the maximum length of windows": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.set_window_cap(c.contoso.pk, seconds=3600, actor=a),
    ),
    "set how long the log is stored": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.set_log_retention(c.contoso.pk, days=400, actor=a),
    ),
    "add a witness": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.add_witness(
            c.contoso.pk, vkey=SmallWitness().vkey, url="https://w.example/", actor=a
        ),
    ),
    "have a webhook's secret": (
        "ines",
        _with_webhook,
        lambda c, a, pk: operations.rotate_webhook_secret(pk, actor=a),
    ),
    "name a deputy": (
        "ada",
        lambda c: clock.now() + dt.timedelta(hours=2),
        lambda c, a, at: operations.set_out_of_office(
            c.contoso.pk, deputy_id=c.alan.pk, from_at=at, until_at=at + dt.timedelta(hours=1), actor=a
        ),
    ),
    "end a deputy's time": (
        "ada",
        lambda c: (
            operations.set_out_of_office(
                c.contoso.pk,
                deputy_id=c.alan.pk,
                from_at=clock.now(),
                until_at=clock.now() + dt.timedelta(hours=9),
                actor=c.as_("ada"),
            ).pk
        ),
        lambda c, a, pk: operations.end_out_of_office(pk, actor=a),
    ),
    "shorten a mute": (
        "ada",
        lambda c: operations.deny_all_and_mute(c.contoso.pk, engineer_id=None, hours=4, actor=c.as_("ada")),
        lambda c, a, _: operations.deny_all_and_mute(c.contoso.pk, engineer_id=None, hours=1, actor=a),
    ),
    "lift a mute": (
        "ada",
        lambda c: operations.deny_all_and_mute(c.contoso.pk, engineer_id=None, hours=1, actor=c.as_("ada")).pk,
        lambda c, a, pk: operations.lift_mute(pk, actor=a),
    ),
    "make a deputy": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.give_role(c.contoso.pk, c.otto.pk, role="deputy", actor=a),
    ),
    "invite an approver once more": (
        "ines",
        lambda c: c.invited(role="approver").pk,
        lambda c, a, pk: operations.resend_invitation(pk, actor=a),
    ),
    "make the recovery key": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.make_recovery_key(c.contoso.pk, actor=a),
    ),
    "put the tenant under two-person control": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.set_two_person_control(c.contoso.pk, on=True, actor=a),
    ),
    "confirm what was proposed": ("ada", _proposal, lambda c, a, pk: operations.confirm_proposal(pk, actor=a)),
    "add a client": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.create_client(tenant_id=c.contoso.pk, name="R", scopes=["log:read"], actor=a),
    ),
    "have a client's secret": ("ines", _client, lambda c, a, pk: operations.rotate_client_secret(pk, actor=a)),
    "give a client more": (
        "ines",
        _client,
        lambda c, a, pk: operations.change_client(pk, scopes=["log:read", "tenant:manage"], actor=a),
    ),
    "send a webhook elsewhere": (
        "ines",
        _with_webhook,
        lambda c, a, pk: operations.change_webhook(pk, url="https://else.example/", actor=a),
    ),
    "silence a webhook": ("ines", _with_webhook, lambda c, a, pk: operations.disable_webhook(pk, actor=a)),
    "remove a webhook": ("ines", _with_webhook, lambda c, a, pk: operations.remove_webhook(pk, actor=a)),
    "remove a domain": (
        "ines",
        lambda c: operations.claim_domain(c.contoso.pk, name="contoso.example", actor=c.as_("ines")).pk,
        lambda c, a, pk: operations.remove_domain(pk, actor=a),
    ),
    "leave a service uncovered": (
        "stella",
        lambda c: None,
        lambda c, a, _: operations.save_service(
            service_id=c.exchange.pk,
            key=c.exchange.key,
            name=c.exchange.name,
            connector=c.exchange.connector,
            is_covered=False,
            actor=a,
        ),
    ),
    "say that two accounts are one human's": (
        "stella",
        lambda c: None,
        lambda c, a, _: operations.link_accounts(c.priya.pk, c.erik.pk, actor=a),
    ),
    "say that an account is somebody else's": (
        "stella",
        lambda c: c.agreed(lambda: operations.link_accounts(c.priya.pk, c.erik.pk, actor=c.as_("stella"))),
        lambda c, a, _: operations.unlink_accounts(c.erik.pk, actor=a),
    ),
    "make one of the staff": ("stella", lambda c: None, lambda c, a, _: operations.make_staff(c.erik.pk, actor=a)),
    "change the own password": (
        "mia",
        lambda c: None,
        lambda c, a, _: operations.set_password(actor=a, password="a third battery of 8 horses", how="change"),
    ),
}


@pytest.mark.parametrize("name", sorted(ACTS))
def test_without_fresh_proof_nothing_happens_and_nobody_is_accused(cast: Cast, name: str) -> None:
    who, prepare, act = ACTS[name]
    row, at = prepare(cast), clock.now()
    before = (AuditEntry.objects.count(), OutboxMessage.objects.count(), QueueAssignment.objects.count())
    five_minutes_ago, soon = at - dt.timedelta(minutes=5), at + dt.timedelta(hours=1)
    for since in (None, five_minutes_ago, soon):
        stale = replace(cast.as_(who), stepped_up_at=since)
        with pytest.raises(StepUpRequired):
            act(cast, stale, row)
    found = (AuditEntry.objects.count(), OutboxMessage.objects.count(), QueueAssignment.objects.count())
    assert found == before
    with suppress(ChangeProposed):
        act(cast, cast.as_(who), row)
    assert AuditEntry.objects.count() > before[0]


def test_an_act_that_changes_no_decider_needs_no_proof(cast: Cast) -> None:
    stale = cast.as_("ines", fresh=False)
    operations.give_role(cast.contoso.pk, cast.mia.pk, role="auditor", actor=stale)
    operations.take_role(cast.contoso.pk, cast.mia.pk, role="auditor", actor=stale)
    operations.switch_off_person(cast.otto.pk, actor=stale)
    operations.switch_on_person(cast.otto.pk, actor=stale)
    Tenant.objects.update(lockbox_on=False)
    operations.give_queue_role(cast.sharepoint.pk, cast.erik.pk, role="engineer", actor=cast.as_("stella", fresh=False))
