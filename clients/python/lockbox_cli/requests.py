"""`lockbox requests`, and the commands that end a window."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from lockbox_cli import asking
from lockbox_cli.acts import Verb
from lockbox_cli.errors import Refused
from lockbox_cli.output import Cell, Output, Shown
from lockbox_cli.session import Session, identifier
from lockbox_cli.text import at, length, practice
from lockbox_client.api.access_requests import (
    access_requests_approve,
    access_requests_deny,
    access_requests_list,
    access_requests_show,
    access_requests_submit,
)
from lockbox_client.api.caller import step_up
from lockbox_client.models import (
    AccessRequestInRequest,
    DecisionInRequest,
    DemandInRequest,
    StepUpInRequest,
)
from lockbox_client.types import UNSET

#: Each state in words, with a sign that has its own shape, so that nobody needs the colour.
STATES = {
    "PENDING_PROVIDER": Cell("◐ waiting for the provider", "yellow"),
    "PENDING_CUSTOMER": Cell("◐ waiting for the customer", "yellow"),
    "OPEN": Cell("● open", "green"),
    "DENIED": Cell("✕ denied", "red"),
    "WITHDRAWN": Cell("○ withdrawn", "dim"),
    "EXPIRED": Cell("○ expired", "dim"),
    "CLOSED": Cell("○ closed", "dim"),
}
_WAITING = ("PENDING_PROVIDER", "PENDING_CUSTOMER")
_REASONS = {
    "customer_ticket": "a ticket of the customer",
    "provider_initiated": "the provider's own",
    "legal_demand": "a law-enforcement demand",
}
ENDS = {"released": "closed by the engineer", "revoked": "closed early", "elapsed": "closed as planned"}


# --- Reading -------------------------------------------------------------------------------------------------


def found(session: Session, given: str) -> UUID:
    """Return the id of the access request with this id or reference."""
    pk = identifier(given)
    if pk is not None:
        return pk
    page = session.call(access_requests_list.sync_detailed, reference=given.upper(), fields="id", limit=1)
    if not page["items"]:
        raise Refused({"code": "not_found", "title": "There is no such access request.", "status": 404})
    return UUID(page["items"][0]["id"])


def list_(args: argparse.Namespace, session: Session, out: Output) -> None:
    filters: dict[str, Any] = {
        "state": args.state.upper().replace("-", "_") if args.state else None,
        "ticket": args.ticket,
        "tenant": args.tenant,
        "reference": args.reference,
        "submitted_since": args.since,
        "submitted_before": args.before,
        "order": args.order,
    }
    wanted = {name: value for name, value in filters.items() if value is not None}
    rows = list(session.rows(access_requests_list.sync_detailed, limit=args.limit, **wanted))
    if out.as_json:
        out.document(rows)
        return
    names = ("REFERENCE", "STATE", "TENANT", "ENGINEER", "ASKS TO", "FOR", "DECIDE BY")
    nothing = "You can see no access request that matches."
    out.table(names, (_line(row, out.now) for row in rows), nothing=nothing)


def show(args: argparse.Namespace, session: Session, out: Output) -> None:
    row = session.call(access_requests_show.sync_detailed, found(session, args.request))
    _shown(row, out)


def _shown(row: dict[str, Any], out: Output) -> None:
    if out.as_json:
        out.document(row)
    else:
        out.facts(_facts(row, out.now))


def _line(row: dict[str, Any], now: datetime) -> list[Shown]:
    waits = row["state"] in _WAITING
    until: Shown = when(row["decide_by"], now) if waits else ""
    return [
        Cell(row["reference"], "bold"),
        _state(row),
        row["tenant"]["name"],
        row["engineer"]["name"],
        f"{'practice: ' if practice(row) else ''}{may(row)} {resources(row)}",
        length(row["window_seconds"]),
        until,
    ]


def _facts(row: dict[str, Any], now: datetime) -> list[tuple[str, Shown]]:
    ticket, demand = row.get("ticket"), row.get("demand")
    facts: list[tuple[str, Shown]] = [
        ("Access request", Cell(row["reference"], "bold")),
        ("Practice", practice(row)),
        ("State", _state(row)),
        ("Asks", f"{row['engineer']['name']} asks to {may(row)} {resources(row)} of {row['tenant']['name']}"),
        ("For", length(row["window_seconds"])),
        ("Service", row["service"]["name"]),
        *(("Resource", f"{each['kind']} {each['name']}") for each in row["resources"]),
        ("The service says", row["service_words"]),
        ("Enforced by", row["enforced_by"]),
        ("Because of", _REASONS.get(row["reason"], row["reason"])),
        ("Why", row["justification"]),
        ("Tried", row["tried"]),
        ("Ticket", ticket["reference"] if ticket else ""),
        ("Elsewhere", ticket["external_reference"] if ticket else ""),
    ]
    if demand:
        facts.append(("Demand", f"{demand['instrument']} of {demand['authority']}, {demand['reference']}"))
    facts.append(("Submitted", at(row["submitted_at"])))
    if row["state"] in _WAITING:
        facts.append(("Decide by", when(row["decide_by"], now)))
        facts.append(("Unanswered", "it expires, and nothing is opened"))
    facts += [(f"By the {each['stage']}", _decision(each)) for each in row["decisions"]]
    if row["grant"]:
        facts += window(row["grant"], now)
    facts.append(("You can", ", ".join(row["allowed_actions"])))
    facts.append(("Digest", Cell(row["digest"], "dim")))
    facts.append(("Id", Cell(row["id"], "dim")))
    return facts


def window(grant: dict[str, Any], now: datetime) -> list[tuple[str, Shown]]:
    facts: list[tuple[str, Shown]] = [("Opened", at(grant["opens_at"]))]
    if grant["closed_at"]:
        why = ENDS.get(grant["close_reason"], grant["close_reason"] or "")
        return [*facts, ("Closed", f"{at(grant['closed_at'])}, {why}")]
    return [*facts, ("Closes", when(grant["closes_at"], now))]


def _decision(each: dict[str, Any]) -> str:
    who = each["decider"]["name"] + (f", deputy for {', '.join(away)}" if (away := each["deputy_for"]) else "")
    who = f"the API client {each['through']} for {who}" if each["through"] else who
    comment = f": “{each['comment']}”" if each["comment"] else ""
    verdict = {"approve": "approved", "deny": "denied"}.get(each["verdict"], each["verdict"])
    return f"{verdict} by {who}, {at(each['at'])}, {_signed(each)}{comment}"


def _signed(each: dict[str, Any]) -> str:
    key = each["signed_by"]
    if key is None:
        return "not signed with a passkey"
    return f"signed with a passkey that {'stays in its device' if key['device_bound'] else 'can be copied'}"


def _state(row: dict[str, Any]) -> Cell:
    return STATES.get(row["state"], Cell(row["state"]))


def may(row: dict[str, Any]) -> str:
    known = {"names": "list names in", "view": "view", "read": "read", "act_as": "change things as users of"}
    return known.get(row["level"], row["level"])


def resources(row: dict[str, Any]) -> str:
    names = [each["name"] for each in row["resources"]]
    return names[0] if len(names) == 1 else f"{len(names)} resources"


def when(value: str, now: datetime) -> Cell:
    moment = at(value)
    away = at(value, now=now).removeprefix(f"{moment} ")
    return Cell(moment, beside=away, short=away.strip("()"))


# --- Submitting ----------------------------------------------------------------------------------------------


def submit(args: argparse.Namespace, session: Session, out: Output) -> None:
    demand: Any = UNSET
    if args.authority is not None:
        demand = DemandInRequest(
            authority=args.authority,
            instrument=args.instrument or "",
            reference=args.demand_reference or "",
            date=args.demand_date,
        )
    body = AccessRequestInRequest(
        resources=args.resource,
        level=args.level,
        window_seconds=args.minutes * 60,
        tried=args.tried,
        justification=args.justification,
        ticket=args.ticket or UNSET,
        demand=demand,
        tenant=args.tenant or UNSET,
        service=args.service or UNSET,
        previous=args.previous or UNSET,
        engineer=args.engineer or UNSET,
    )
    row = session.change(access_requests_submit.sync_detailed, body=body)
    _shown(row, out)


# --- Deciding, and ending a window ---------------------------------------------------------------------------


def approve(args: argparse.Namespace, session: Session, out: Output) -> None:
    _decided(args, session, out, access_requests_approve.sync_detailed, "Approve")


def deny(args: argparse.Namespace, session: Session, out: Output) -> None:
    _decided(args, session, out, access_requests_deny.sync_detailed, "Deny")


def _decided(args: argparse.Namespace, session: Session, out: Output, operation: Callable[..., Any], word: str) -> None:
    """Show the access request, ask for confirmation, and decide on the version that was shown.

    If it was changed meanwhile, the server refuses the decision: it compares the ETag.
    """
    row = session.call(access_requests_show.sync_detailed, found(session, args.request))
    tag = args.etag or session.etag
    if not args.yes:
        out.facts(_facts(row, out.now), aside=True)
        asking.confirm(
            f"{word} this? {row['engineer']['name']} asks to {may(row)} {resources(row)} for "
            f"{length(row['window_seconds'])}."
        )
    named: dict[str, Any] = {"body": DecisionInRequest(comment=args.comment), "if_match": tag}
    _outcome(_proven(session, lambda: session.change(operation, UUID(row["id"]), **named)), out)


def _proven(session: Session, change: Callable[[], Any]) -> Any:
    """Call `change`. If it needs a step-up, ask for the password and the code, and call it again."""
    try:
        return change()
    except Refused as refused:
        if refused.code != "step_up_required" or not asking.is_possible():
            raise
    password = asking.password("Your password")
    code = asking.password("The code of your authenticator app (if you have no app, press Enter)")
    session.call(step_up.sync_detailed, body=StepUpInRequest(password=password, code=code))
    return change()


def act(args: argparse.Namespace, session: Session, out: Output) -> None:
    """Do an act without a confirmation. Ending access must not take time."""
    verb: Verb = args.verb
    which = found(session, args.request)
    _outcome(session.change(verb.call, which, body=verb.body_of(args)), out)


def _outcome(row: dict[str, Any], out: Output) -> None:
    if out.as_json:
        out.document(row)
        return
    state = _state(row)
    grant, rest = row["grant"], ""
    if row["state"] == "OPEN" and grant:
        rest = f" until {at(grant['closes_at'])}"
    out.say(f"{row['reference']} {state.text}{rest}", state.style)
