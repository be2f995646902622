"""One act, whichever door it comes through, leaves the same entry but for the door's name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from audit_app import checkpoints
from audit_app.models import AuditEntry, LogAlarm, Witness
from requests_app import clock, operations
from requests_app.lifecycle import TICKET_TRANSITIONS, TRANSITIONS
from requests_app.models import NotificationAddress, OutboxMessage
from tests.cast import JUSTIFICATION, PASSWORD, TRIED, Cast
from tests.witness import SmallWitness

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Case:
    """`prepare` makes the row; the others do the same act on it, each through its door."""

    who: str
    prepare: Callable[[Cast], Any]
    operation: Callable[[Cast, Any, Any], Any]
    page: Callable[[Cast, Client, Any], Any] | None = None
    admin: Callable[[Cast, Client, Any], Any] | None = None


def _decide(verdict: str, note: str) -> Callable[[Cast, Client, Any], Any]:
    def post(cast: Cast, client: Client, row: Any) -> Any:
        form = {"password": PASSWORD, "comment": note, "digest": row.content_digest, "shown": row.state}
        return client.post(reverse("web:decide", args=[row.pk, verdict]), form)

    return post


def _act(action: str, note: str) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(
        reverse("web:access_request_act", args=[row.pk, action]), {"comment": note}
    )


def _ticket_act(action: str, **form: str) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(reverse("web:ticket_act", args=[row.pk, action]), form)


def _admin(model: str, act: str, **form: Any) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(reverse(f"admin:requests_app_{model}_act", args=[row.pk, act]), form)


def _assigned(cast: Cast) -> Any:
    return operations.assign_ticket(cast.ticket().pk, actor=cast.as_("priya"))


def _waiting(cast: Cast) -> Any:
    return operations.ask_customer(_assigned(cast).pk, actor=cast.as_("priya"), note="Which client?")


def _closed(cast: Cast) -> Any:
    return operations.close_ticket(cast.ticket().pk, actor=cast.as_("mia"))


def _open(cast: Cast) -> Any:
    return cast.opened().access_request


def _ask_form(cast: Cast) -> dict[str, Any]:
    return {
        "step": "submit",
        "resource_ids": [str(cast.resource().pk)],
        "level": "read",
        "window_for": "7200",
        "tried": TRIED,
        "justification": JUSTIFICATION,
    }


def _report(cast: Cast) -> operations.Report:
    return operations.Report(
        tenant_id=cast.contoso.pk, service_id=cast.exchange.pk, title="Broken", body="It is broken since Monday."
    )


def _address(cast: Cast) -> NotificationAddress:
    return operations.add_address(cast.contoso.pk, email="duty@contoso.example", actor=cast.as_("ines"))


_WITNESS = SmallWitness()
_WITNESS_URL = "https://witness.contoso.example/"


def _witness(cast: Cast) -> Witness:
    vkey = SmallWitness("first.example").vkey
    return operations.add_witness(cast.contoso.pk, vkey=vkey, url=_WITNESS_URL, actor=cast.as_("ines"))


def _rules(cast: Cast) -> str:
    return reverse("web:log_rules", args=[cast.contoso.pk])


def _refused_log(cast: Cast) -> LogAlarm:
    cast.ticket()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    at = clock.now()
    return LogAlarm.objects.create(tenant_id=cast.contoso.pk, since=at, last_at=at, code="altered", detail={"seq": 0})


#: Acts of the two tables, and the tenant's own, by the action's name.
CASES: dict[str, Case] = {
    "submit": Case(
        "priya",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.submit(cast.ask(row, resource=cast.resource()), actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:ask", args=[row.pk]), _ask_form(cast)),
    ),
    "approve_as_provider": Case(
        "pat",
        lambda cast: cast.submitted(),
        lambda cast, row, actor: operations.approve_as_provider(row.pk, actor=actor, note="Yes."),
        page=_decide("approve", "Yes."),
    ),
    "deny_as_provider": Case(
        "pat",
        lambda cast: cast.submitted(),
        lambda cast, row, actor: operations.deny_as_provider(row.pk, actor=actor, note="No."),
        page=_decide("deny", "No."),
    ),
    "approve_as_customer": Case(
        "ada",
        lambda cast: cast.confirmed(),
        lambda cast, row, actor: operations.approve_as_customer(row.pk, actor=actor, note="Yes."),
        page=_decide("approve", "Yes."),
    ),
    "deny_as_customer": Case(
        "ada",
        lambda cast: cast.confirmed(),
        lambda cast, row, actor: operations.deny_as_customer(row.pk, actor=actor, note="No."),
        page=_decide("deny", "No."),
    ),
    "withdraw": Case(
        "priya",
        lambda cast: cast.submitted(),
        lambda cast, row, actor: operations.withdraw(row.pk, actor=actor, note="Found it."),
        page=_act("withdraw", "Found it."),
    ),
    "release": Case(
        "priya",
        _open,
        lambda cast, row, actor: operations.release(row.pk, actor=actor, note="Done."),
        page=_act("release", "Done."),
    ),
    "revoke": Case(
        "ada",
        _open,
        lambda cast, row, actor: operations.revoke(row.pk, actor=actor, note="Enough."),
        page=_act("revoke", "Enough."),
    ),
    "revoke by staff": Case(
        "stella",
        _open,
        lambda cast, row, actor: operations.revoke(row.pk, actor=actor, note="Enough."),
        page=_act("revoke", "Enough."),
        admin=_admin("accessrequest", "revoke", note="Enough."),
    ),
    "open_ticket": Case(
        "mia",
        lambda cast: None,
        lambda cast, row, actor: operations.open_ticket(_report(cast), actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:ticket_new"),
            {
                "service": cast.exchange.pk,
                "title": "Broken",
                "body": "It is broken since Monday.",
                "priority": "normal",
            },
        ),
    ),
    "assign_ticket": Case(
        "priya",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.assign_ticket(row.pk, actor=actor),
        page=_ticket_act("assign_ticket"),
    ),
    "assign_ticket by staff": Case(
        "stella",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.assign_ticket(row.pk, actor=actor, assignee_id=cast.priya.pk),
        admin=lambda cast, client, row: _admin("ticket", "assign", assignee=cast.priya.pk)(cast, client, row),
    ),
    "ask_customer": Case(
        "priya",
        _assigned,
        lambda cast, row, actor: operations.ask_customer(row.pk, actor=actor, note="Since when?"),
        page=_ticket_act("ask_customer", note="Since when?"),
    ),
    "answer_ticket": Case(
        "mia",
        _waiting,
        lambda cast, row, actor: operations.answer_ticket(row.pk, actor=actor, note="Monday."),
        page=_ticket_act("answer_ticket", note="Monday."),
    ),
    "resolve_ticket": Case(
        "priya",
        _assigned,
        lambda cast, row, actor: operations.resolve_ticket(row.pk, actor=actor, note="Fixed."),
        page=_ticket_act("resolve_ticket", note="Fixed."),
    ),
    "close_ticket": Case(
        "stella",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.close_ticket(row.pk, actor=actor, note="Twice."),
        page=_ticket_act("close_ticket", note="Twice."),
        admin=_admin("ticket", "close", note="Twice."),
    ),
    "reopen_ticket": Case(
        "stella",
        _closed,
        lambda cast, row, actor: operations.reopen_ticket(row.pk, actor=actor, note="Again."),
        page=_ticket_act("reopen_ticket", note="Again."),
        admin=_admin("ticket", "reopen", note="Again."),
    ),
    "comment": Case(
        "mia",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.comment(row.pk, actor=actor, body="Still there."),
        page=_ticket_act("comment", note="Still there."),
    ),
    "set_log_retention": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.set_log_retention(cast.contoso.pk, days=365, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:log_retention", args=[cast.contoso.pk]), {"days": "365", "understood": "on"}
        ),
    ),
    "tombstone by staff": Case(
        "stella",
        _refused_log,
        lambda cast, row, actor: operations.tombstone(row.pk, comment="Restored.", actor=actor),
        admin=lambda cast, client, row: client.post(
            reverse("admin:audit_app_logalarm_act", args=[row.pk, "tombstone"]), {"comment": "Restored."}
        ),
    ),
    "internal note": Case(
        "priya",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.comment(row.pk, actor=actor, body="Ask Erik.", is_internal=True),
        page=_ticket_act("note", internal="Ask Erik."),
    ),
    "add_witness": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.add_witness(
            cast.contoso.pk, vkey=_WITNESS.vkey, url=_WITNESS_URL, actor=actor
        ),
        page=lambda cast, client, row: client.post(_rules(cast), {"vkey": _WITNESS.vkey, "url": _WITNESS_URL}),
    ),
    "remove_witness": Case(
        "ines",
        _witness,
        lambda cast, row, actor: operations.remove_witness(cast.contoso.pk, row.pk, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:remove_witness", args=[cast.contoso.pk, row.pk])),
    ),
    "set_cosigning": Case(
        "ines",
        _witness,
        lambda cast, row, actor: operations.set_cosigning(cast.contoso.pk, hours=8, actor=actor),
        page=lambda cast, client, row: client.post(_rules(cast), {"hours": "8"}),
    ),
}


def _entries(since: int) -> list[dict[str, Any]]:
    rows = AuditEntry.objects.filter(pk__gt=since).order_by("pk")
    return [_stripped(json.loads(bytes(row.canonical))) for row in rows]


def _stripped(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry without its door, and without ids and references that are new each time."""
    entry.pop("door")
    text = re.sub(r"\b(AR|T)-[A-Z2-9]{4}-[A-Z2-9]{4}\b", r"\1-new", json.dumps(entry, sort_keys=True))
    known: dict[str, str] = {}
    for found in re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text):
        known.setdefault(found, f"id{len(known)}")
    for found, name in known.items():
        text = text.replace(found, name)
    return json.loads(text)


def _told(since: set[UUID]) -> list[tuple[str, str]]:
    rows = OutboxMessage.objects.exclude(pk__in=since).order_by("topic", "mark")
    return [(row.topic, str(row.payload.get("audiences"))) for row in rows]


def _seen(run: Callable[[], Any]) -> tuple[list[dict[str, Any]], list[tuple[str, str]], str]:
    """Run it, look at what it left, and undo it."""
    last = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    told = set(OutboxMessage.objects.values_list("pk", flat=True))
    here = transaction.savepoint()
    run()
    door = AuditEntry.objects.order_by("-pk").values_list("door", flat=True)[0]
    seen = _entries(last), _told(told), door
    transaction.savepoint_rollback(here)
    return seen


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_door_leaves_the_same_entry(cast: Cast, travel: Any, name: str) -> None:
    travel.freeze()
    case = CASES[name]
    row = case.prepare(cast)
    client = Client()
    client.force_login(cast.people[case.who])
    wanted, told, door = _seen(lambda: case.operation(cast, row, cast.as_(case.who, door="command")))
    assert (door, bool(wanted)) == ("command", True)
    doors = {"pages": case.page, "admin": case.admin}
    tried = {name: call for name, call in doors.items() if call is not None}
    assert tried
    for door_name, call in tried.items():

        def through(call: Callable[..., Any] = call) -> None:
            response = call(cast, client, row)
            assert response.status_code == 302, response.content.decode()[-3000:]

        assert _seen(through) == (wanted, told, door_name)


def test_every_act_of_a_person_in_the_tables_has_a_case() -> None:
    acts = {*TRANSITIONS, *TICKET_TRANSITIONS} - {"expire", "close"}
    assert acts - {name.partition(" by ")[0] for name in CASES} == set()


@pytest.mark.parametrize("action", ["expire", "close"])
def test_the_sweep_leaves_the_entry_that_the_single_act_leaves(cast: Cast, travel: Any, action: str) -> None:
    travel.freeze()
    row = cast.submitted() if action == "expire" else _open(cast)
    travel.to(row.decide_by if action == "expire" else row.grant.closes_at)
    sweep = {"expire": operations.sweeps.expire_overdue, "close": operations.sweeps.close_elapsed}[action]
    system = cast.system("sweep")
    one = _seen(lambda: getattr(operations, action)(row.pk, actor=system))
    many = _seen(lambda: sweep(actor=system, limit=10))
    assert one == many
    assert len(one[0]) == 1


def test_taking_evidence_on_a_page_leaves_the_entry_of_the_act(cast: Cast, travel: Any) -> None:
    travel.freeze()
    row = cast.submitted()
    checkpoints.sign(row.tenant_id, at=row.submitted_at)
    client = Client()
    client.force_login(cast.otto)
    url, form = reverse("web:access_request_evidence", args=[row.pk]), {"download": str(row.pk)}
    actor = cast.as_("otto", door="command")
    wanted = _seen(lambda: operations.take_evidence(row.tenant_id, actor=actor, access_request_id=row.pk))
    found = _seen(lambda: client.post(url, form))
    assert (wanted[0], len(wanted[0])) == (found[0], 1)
    assert (wanted[1], found[1], found[2]) == ([], [], "pages")
