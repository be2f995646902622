"""`lockbox tickets`: list, show, open, comment on and close tickets."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from uuid import UUID

from lockbox_cli.acts import Verb
from lockbox_cli.errors import Refused
from lockbox_cli.output import Cell, Output
from lockbox_cli.session import Session, identifier, own_tenant
from lockbox_cli.text import at, practice
from lockbox_client.api.tickets import (
    tickets_comment,
    tickets_comments,
    tickets_link,
    tickets_list,
    tickets_open,
    tickets_show,
)
from lockbox_client.models import LinkInRequest, SaidInRequest, TicketInRequest
from lockbox_client.types import UNSET

STATES = {
    "NEW": Cell("◐ new", "yellow"),
    "ASSIGNED": Cell("● assigned", "green"),
    "WAITING_FOR_CUSTOMER": Cell("◐ waiting for the customer", "yellow"),
    "RESOLVED": Cell("○ resolved", "dim"),
    "CLOSED": Cell("○ closed", "dim"),
}
_NAMES = ("REFERENCE", "STATE", "TENANT", "ASSIGNEE", "ELSEWHERE", "TITLE", "CHANGED")
#: How many comments are read with a ticket.
_COMMENTS = 200


def found(session: Session, given: str) -> UUID:
    """Return the id of the ticket with this id or reference."""
    pk = identifier(given)
    if pk is not None:
        return pk
    page = session.call(tickets_list.sync_detailed, reference=given.upper(), fields="id", limit=1)
    if not page["items"]:
        raise Refused({"code": "not_found", "title": "There is no such ticket.", "status": 404})
    return UUID(page["items"][0]["id"])


def list_(args: argparse.Namespace, session: Session, out: Output) -> None:
    filters: dict[str, Any] = {
        "state": args.state.upper().replace("-", "_") if args.state else None,
        "is_live": None if args.state or args.all or args.elsewhere else True,
        "tenant": args.tenant,
        "external_reference": args.elsewhere,
    }
    wanted = {name: value for name, value in filters.items() if value is not None}
    rows = list(session.rows(tickets_list.sync_detailed, limit=args.limit, order="-changed_at", **wanted))
    if out.as_json:
        out.document(rows)
        return
    out.table(_NAMES, (_line(row, out) for row in rows), nothing="You can see no ticket that matches.")


def show(args: argparse.Namespace, session: Session, out: Output) -> None:
    pk = found(session, args.ticket)
    row = session.call(tickets_show.sync_detailed, pk)
    comments = list(session.rows(tickets_comments.sync_detailed, pk, limit=_COMMENTS))
    if out.as_json:
        out.document({**row, "comments": comments})
        return
    out.facts(_facts(row))
    if comments:
        print()
        out.facts((f"{each['author']['name']}, {at(each['at'])}", _comment_line(each)) for each in comments)


def open_(args: argparse.Namespace, session: Session, out: Output) -> None:
    body = TicketInRequest(
        tenant=args.tenant or own_tenant(session),
        service=args.service,
        title=args.title,
        body=_text(args.body),
        priority=args.priority,
        on_behalf_of=args.on_behalf_of or UNSET,
        external_reference=args.external_reference,
        external_url=args.external_url,
    )
    _outcome(session.change(tickets_open.sync_detailed, body=body), out)


def comment(args: argparse.Namespace, session: Session, out: Output) -> None:
    body = SaidInRequest(body=_text(args.text), is_internal=args.internal)
    row = session.change(tickets_comment.sync_detailed, found(session, args.ticket), body=body)
    if out.as_json:
        out.document(row)
    out.say("Saved.")


def act(args: argparse.Namespace, session: Session, out: Output) -> None:
    verb: Verb = args.verb
    _outcome(session.change(verb.call, found(session, args.ticket), body=verb.body_of(args)), out)


def link(args: argparse.Namespace, session: Session, out: Output) -> None:
    body = LinkInRequest(external_reference=args.external_reference, external_url=args.external_url)
    _outcome(session.replace(tickets_link.sync_detailed, found(session, args.ticket), body=body), out)


def _outcome(row: dict[str, Any], out: Output) -> None:
    if out.as_json:
        out.document(row)
    state = _state(row)
    out.say(f"{row['reference']} {state.text}", state.style)


def _line(row: dict[str, Any], out: Output) -> list[Cell | str]:
    changed = at(row["changed_at"])
    return [
        Cell(row["reference"], "bold"),
        _state(row),
        row["tenant"]["name"],
        row["assignee"]["name"] if row["assignee"] else "–",
        row["external_reference"] or "–",
        f"{'practice: ' if practice(row) else ''}{row['title']}",
        Cell(changed, "dim", short=at(row["changed_at"], now=out.now).removeprefix(f"{changed} ").strip("()")),
    ]


def _facts(row: dict[str, Any]) -> list[tuple[str, Cell | str]]:
    caller = row["on_behalf_of"]
    return [
        ("Ticket", Cell(row["reference"], "bold")),
        ("Practice", practice(row)),
        ("State", _state(row)),
        ("Title", row["title"]),
        ("Priority", row["priority"]),
        ("Tenant", row["tenant"]["name"]),
        ("Service", row["service"]["name"]),
        ("Opened", f"by {row['opened_by']['name']}, {at(row['opened_at'])}"),
        ("For", caller["name"] if caller else ""),
        ("Assignee", row["assignee"]["name"] if row["assignee"] else ""),
        ("Elsewhere", " ".join(part for part in (row["external_reference"], row["external_url"]) if part)),
        ("What", row["body"]),
        ("You can", ", ".join(row["allowed_actions"])),
        ("Id", Cell(row["id"], "dim")),
    ]


def _state(row: dict[str, Any]) -> Cell:
    return STATES.get(row["state"], Cell(row["state"]))


def _comment_line(each: dict[str, Any]) -> str:
    return f"[internal] {each['body']}" if each["is_internal"] else str(each["body"])


def _text(given: str) -> str:
    """Return the text. If it is `-`, read the text from standard input instead."""
    return sys.stdin.read() if given == "-" else given
