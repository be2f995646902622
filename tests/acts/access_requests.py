"""Test cases for the acts on an access request and its window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client
from django.urls import reverse

from requests_app import operations
from tests.acts.case import Call, Case
from tests.acts.shared import by_azure, by_button
from tests.cast import JUSTIFICATION, PASSWORD, TRIED, Cast
from tests.factors import anybodys_code


def _decide(verdict: str, note: str) -> Callable[[Cast, Client, Any], Any]:
    def post(cast: Cast, client: Client, row: Any) -> Any:
        form = {"comment": note, "digest": row.content_digest, "shown": row.state}
        if verdict == "approve":
            form |= {"password": PASSWORD, "code": anybodys_code()}
        return client.post(reverse("web:decide", args=[row.pk, verdict]), form)

    return post


def _act(action: str, note: str) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(
        reverse("web:access_request_act", args=[row.pk, action]), {"comment": note}
    )


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


def _call_decide(verdict: str, comment: str) -> Call:
    return lambda cast, caller, row: caller.decide(verdict, row, comment)


def _call_act(action: str, comment: str) -> Call:
    return lambda cast, caller, row: caller.post(f"access-requests/{row.pk}/{action}", {"comment": comment})


def _call_ask(cast: Cast, ticket: Any) -> dict[str, Any]:
    return {
        "ticket": str(ticket.pk),
        "resources": [str(cast.resource().pk)],
        "level": "read",
        "window_seconds": 7200,
        "tried": TRIED,
        "justification": JUSTIFICATION,
    }


CASES: dict[str, Case] = {
    "submit": Case(
        "priya",
        # Somebody has the ticket, so each interface finds the same.
        lambda cast: operations.assign_ticket(cast.ticket().pk, actor=cast.as_("erik")),
        lambda cast, row, actor: operations.submit(cast.ask(row, resource=cast.resource()), actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:ask", args=[row.pk]), _ask_form(cast)),
        api=lambda cast, caller, row: caller.post("access-requests", _call_ask(cast, row)),
    ),
    "approve_as_provider": Case(
        "pat",
        lambda cast: cast.submitted(),
        lambda cast, row, actor: operations.approve_as_provider(row.pk, actor=actor, note="Yes."),
        page=_decide("approve", "Yes."),
        api=_call_decide("approve", "Yes."),
        azure=by_azure("Approve", "Yes."),
    ),
    "deny_as_provider": Case(
        "pat",
        lambda cast: cast.submitted(),
        lambda cast, row, actor: operations.deny_as_provider(row.pk, actor=actor, note="No."),
        page=_decide("deny", "No."),
        api=_call_decide("deny", "No."),
        azure=by_azure("Deny", "No."),
    ),
    "approve_as_customer": Case(
        "ada",
        lambda cast: cast.confirmed(),
        lambda cast, row, actor: operations.approve_as_customer(row.pk, actor=actor, note="Yes."),
        page=_decide("approve", "Yes."),
        api=_call_decide("approve", "Yes."),
        azure=by_azure("Approve", "Yes."),
    ),
    "deny_as_customer": Case(
        "ada",
        lambda cast: cast.confirmed(),
        lambda cast, row, actor: operations.deny_as_customer(row.pk, actor=actor, note="No."),
        page=_decide("deny", "No."),
        api=_call_decide("deny", "No."),
        azure=by_azure("Deny", "No."),
    ),
    "withdraw": Case(
        "priya",
        lambda cast: cast.submitted(),
        lambda cast, row, actor: operations.withdraw(row.pk, actor=actor, note="Found it."),
        page=_act("withdraw", "Found it."),
        api=_call_act("withdraw", "Found it."),
    ),
    "release": Case(
        "priya",
        _open,
        lambda cast, row, actor: operations.release(row.pk, actor=actor, note="Done."),
        page=_act("release", "Done."),
        api=_call_act("release", "Done."),
    ),
    "revoke": Case(
        "ada",
        _open,
        lambda cast, row, actor: operations.revoke(row.pk, actor=actor, note="Enough."),
        page=_act("revoke", "Enough."),
        api=_call_act("revoke", "Enough."),
    ),
    "revoke by staff": Case(
        "stella",
        _open,
        lambda cast, row, actor: operations.revoke(row.pk, actor=actor, note="Enough."),
        page=_act("revoke", "Enough."),
        admin=by_button("accessrequest", "revoke", note="Enough."),
        api=_call_act("revoke", "Enough."),
    ),
    "revoke by staff, from the grant": Case(
        "stella",
        lambda cast: cast.opened(),
        lambda cast, row, actor: operations.revoke(row.access_request_id, actor=actor, note="Enough."),
        admin=by_button("grant", "revoke", note="Enough."),
    ),
}
