"""What changes who decides, or the rules, takes proof of who it is that is not older than five minutes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import clock, operations
from requests_app.actors import Actor
from requests_app.errors import StepUpRequired
from requests_app.models import OutboxMessage, QueueAssignment
from tests.cast import Cast
from tests.witness import SmallWitness

pytestmark = pytest.mark.django_db

Act = Callable[[Cast, Actor], Any]


def _with_webhook(cast: Cast) -> Any:
    url, ines = "https://hooks.contoso.example/in", cast.as_("ines")
    return operations.add_webhook(cast.contoso.pk, url=url, events=["*"], actor=ines).webhook.pk


#: Who does it, and what; each is possible but for the proof.
ACTS: dict[str, tuple[str, Callable[[Cast], Any], Callable[[Cast, Actor, Any], Any]]] = {
    "close a window": ("ada", lambda c: c.opened().access_request_id, lambda c, a, pk: operations.revoke(pk, actor=a)),
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
    "set the longest window": (
        "ines",
        lambda c: None,
        lambda c, a, _: operations.set_window_cap(c.contoso.pk, seconds=3600, actor=a),
    ),
    "set how long the log is kept": (
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
    act(cast, cast.as_(who), row)
    assert AuditEntry.objects.count() > before[0]


def test_what_changes_no_decider_takes_no_proof(cast: Cast) -> None:
    stale = cast.as_("ines", fresh=False)
    operations.give_role(cast.contoso.pk, cast.mia.pk, role="auditor", actor=stale)
    operations.take_role(cast.contoso.pk, cast.mia.pk, role="auditor", actor=stale)
    operations.switch_off_person(cast.otto.pk, actor=stale)
    operations.switch_on_person(cast.otto.pk, actor=stale)
    operations.give_queue_role(cast.sharepoint.pk, cast.erik.pk, role="engineer", actor=cast.as_("stella", fresh=False))
