"""Test cases for the acts on a ticket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.test import Client
from django.urls import reverse

from requests_app import operations
from tests.acts.case import Call, Case
from tests.acts.shared import by_adding, by_button
from tests.cast import Cast


def _ticket_act(action: str, **form: str) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(reverse("web:ticket_act", args=[row.pk, action]), form)


def _assigned(cast: Cast) -> Any:
    return operations.assign_ticket(cast.ticket().pk, actor=cast.as_("priya"))


def _waiting(cast: Cast) -> Any:
    return operations.ask_customer(_assigned(cast).pk, actor=cast.as_("priya"), note="Which client?")


def _closed(cast: Cast) -> Any:
    return operations.close_ticket(cast.ticket().pk, actor=cast.as_("mia"))


def _report(cast: Cast) -> operations.Report:
    return operations.Report(
        tenant_id=cast.contoso.pk, service_id=cast.exchange.pk, title="Broken", body="It is broken since Monday."
    )


def _call_ticket(act: str, **body: Any) -> Call:
    return lambda cast, caller, row: caller.post(f"tickets/{row.pk}/{act}", body)


REPORT: dict[str, Any] = {"service": "exchange-online", "title": "Broken", "body": "It is broken since Monday."}


LINK = {"external_reference": "INC-4711", "external_url": "https://desk.example/cases/4711"}


def _practice(cast: Cast, row: Any, actor: Any) -> Any:
    return operations.start_practice(cast.contoso.pk, service_id=cast.exchange.pk, actor=actor)


def _call_practice(cast: Cast, caller: Any, row: Any) -> Any:
    return caller.post(f"tenants/{cast.contoso.pk}/practice", {"service": "exchange-online"})


CASES: dict[str, Case] = {
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
        api=lambda cast, caller, row: caller.post("tickets", {"tenant": str(cast.contoso.pk), **REPORT}),
    ),
    "open_ticket, linked": Case(
        "mia",
        lambda cast: None,
        lambda cast, row, actor: operations.open_ticket(replace(_report(cast), **LINK), actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:ticket_new"),
            {
                "service": cast.exchange.pk,
                "title": "Broken",
                "body": "It is broken since Monday.",
                "priority": "normal",
                **LINK,
            },
        ),
        api=lambda cast, caller, row: caller.post("tickets", {"tenant": str(cast.contoso.pk), **REPORT, **LINK}),
    ),
    "link_ticket": Case(
        "mia",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.link_ticket(row.pk, actor=actor, **LINK),
        page=_ticket_act("link_ticket", **LINK),
        api=lambda cast, caller, row: caller.put(f"tickets/{row.pk}/link", LINK),
    ),
    "link_ticket by staff": Case(
        "stella",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.link_ticket(row.pk, actor=actor, **LINK),
        page=_ticket_act("link_ticket", **LINK),
        admin=by_button("ticket", "link", **LINK),
        api=lambda cast, caller, row: caller.put(f"tickets/{row.pk}/link", LINK),
    ),
    "assign_ticket": Case(
        "priya",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.assign_ticket(row.pk, actor=actor),
        page=_ticket_act("assign_ticket"),
        api=_call_ticket("assign"),
    ),
    "assign_ticket by staff": Case(
        "stella",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.assign_ticket(row.pk, actor=actor, assignee_id=cast.priya.pk),
        admin=lambda cast, client, row: by_button("ticket", "assign", assignee=cast.priya.email)(cast, client, row),
        api=lambda cast, caller, row: caller.post(f"tickets/{row.pk}/assign", {"assignee": str(cast.priya.pk)}),
    ),
    "ask_customer": Case(
        "priya",
        _assigned,
        lambda cast, row, actor: operations.ask_customer(row.pk, actor=actor, note="Since when?"),
        page=_ticket_act("ask_customer", note="Since when?"),
        api=_call_ticket("ask", comment="Since when?"),
    ),
    "answer_ticket": Case(
        "mia",
        _waiting,
        lambda cast, row, actor: operations.answer_ticket(row.pk, actor=actor, note="Monday."),
        page=_ticket_act("answer_ticket", note="Monday."),
        api=_call_ticket("answer", comment="Monday."),
    ),
    "resolve_ticket": Case(
        "priya",
        _assigned,
        lambda cast, row, actor: operations.resolve_ticket(row.pk, actor=actor, note="Fixed."),
        page=_ticket_act("resolve_ticket", note="Fixed."),
        api=_call_ticket("resolve", comment="Fixed."),
    ),
    "close_ticket": Case(
        "stella",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.close_ticket(row.pk, actor=actor, note="Twice."),
        page=_ticket_act("close_ticket", note="Twice."),
        admin=by_button("ticket", "close", note="Twice."),
        api=_call_ticket("close", comment="Twice."),
    ),
    "reopen_ticket": Case(
        "stella",
        _closed,
        lambda cast, row, actor: operations.reopen_ticket(row.pk, actor=actor, note="Again."),
        page=_ticket_act("reopen_ticket", note="Again."),
        admin=by_button("ticket", "reopen", note="Again."),
        api=_call_ticket("reopen", comment="Again."),
    ),
    "comment": Case(
        "mia",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.comment(row.pk, actor=actor, body="Still there."),
        page=_ticket_act("comment", note="Still there."),
        api=_call_ticket("comments", body="Still there."),
    ),
    "comment, internal": Case(
        "priya",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.comment(row.pk, actor=actor, body="Ask Erik.", is_internal=True),
        page=_ticket_act("note", internal="Ask Erik."),
        api=_call_ticket("comments", body="Ask Erik.", is_internal=True),
    ),
    "open_ticket by staff": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.open_ticket(
            replace(_report(cast), on_behalf_of_id=cast.mia.pk), actor=actor
        ),
        admin=lambda cast, client, row: by_adding(
            "ticket",
            tenant="contoso",
            service=cast.exchange.pk,
            title="Broken",
            body="It is broken since Monday.",
            priority="normal",
            on_behalf_of=cast.mia.email,
        )(cast, client, row),
    ),
    "ask_customer by staff": Case(
        "stella",
        _assigned,
        lambda cast, row, actor: operations.ask_customer(row.pk, actor=actor, note="Since when?"),
        page=_ticket_act("ask_customer", note="Since when?"),
        admin=by_button("ticket", "ask-customer", note="Since when?"),
    ),
    "resolve_ticket by staff": Case(
        "stella",
        _assigned,
        lambda cast, row, actor: operations.resolve_ticket(row.pk, actor=actor, note="Fixed."),
        page=_ticket_act("resolve_ticket", note="Fixed."),
        admin=by_button("ticket", "resolve", note="Fixed."),
    ),
    "comment by staff": Case(
        "stella",
        _assigned,
        lambda cast, row, actor: operations.comment(row.pk, actor=actor, body="Still there."),
        page=_ticket_act("comment", note="Still there."),
        admin=by_button("ticket", "comment", body="Still there."),
    ),
    "comment, which is the answer": Case(
        "mia",
        _waiting,
        lambda cast, row, actor: operations.answer_ticket(row.pk, actor=actor, note="Monday."),
        page=_ticket_act("comment", note="Monday."),
    ),
    "comment by staff, internal": Case(
        "stella",
        _assigned,
        lambda cast, row, actor: operations.comment(row.pk, actor=actor, body="Ask Erik.", is_internal=True),
        page=_ticket_act("note", internal="Ask Erik."),
        admin=by_button("ticket", "comment", body="Ask Erik.", is_internal="on"),
    ),
    "start_practice": Case(
        "ines",
        lambda cast: None,
        _practice,
        page=lambda cast, client, row: client.post(
            reverse("web:practice", args=[cast.contoso.pk]), {"service": str(cast.exchange.pk)}
        ),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{cast.contoso.pk}/practice", {"service": "exchange-online"}
        ),
    ),
    "start_practice by staff": Case(
        "stella",
        lambda cast: cast.contoso,
        _practice,
        admin=lambda cast, client, row: by_button("tenant", "start-practice", service=str(cast.exchange.pk))(
            cast, client, row
        ),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{cast.contoso.pk}/practice", {"service": "exchange-online"}
        ),
    ),
}
