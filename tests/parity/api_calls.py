"""The acts of the cases in test_doors.py once more, as a caller of the API does them. By the case's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.caller import Caller
from tests.cast import JUSTIFICATION, TRIED, Cast

Call = Callable[[Cast, Caller, Any], Any]


def _decide(verdict: str, comment: str) -> Call:
    return lambda cast, caller, row: caller.decide(verdict, row, comment)


def _act(action: str, comment: str) -> Call:
    return lambda cast, caller, row: caller.post(f"access-requests/{row.pk}/{action}", {"comment": comment})


def _ask(cast: Cast, ticket: Any) -> dict[str, Any]:
    return {
        "ticket": str(ticket.pk),
        "resources": [str(cast.resource().pk)],
        "level": "read",
        "window_seconds": 7200,
        "tried": TRIED,
        "justification": JUSTIFICATION,
    }


CALLS: dict[str, Call] = {
    "submit": lambda cast, caller, row: caller.post("access-requests", _ask(cast, row)),
    "approve_as_provider": _decide("approve", "Yes."),
    "deny_as_provider": _decide("deny", "No."),
    "approve_as_customer": _decide("approve", "Yes."),
    "deny_as_customer": _decide("deny", "No."),
    "withdraw": _act("withdraw", "Found it."),
    "release": _act("release", "Done."),
    "revoke": _act("revoke", "Enough."),
    "revoke by staff": _act("revoke", "Enough."),
    "create_client": lambda cast, caller, row: caller.post(
        f"tenants/{cast.contoso.pk}/clients", {"name": "SIEM", "scopes": ["log:read"]}
    ),
    "create_client by staff": lambda cast, caller, row: caller.post(
        "clients", {"name": "Gateway", "scopes": ["evaluate"]}
    ),
    "change_client": lambda cast, caller, row: caller.patch(
        f"clients/{row.pk}", {"scopes": ["decisions:write"], "decides_for": str(cast.ada.pk)}
    ),
    "rotate_client_secret": lambda cast, caller, row: caller.post(f"clients/{row.pk}/rotate-secret"),
    "remove_client": lambda cast, caller, row: caller.delete(f"clients/{row.pk}"),
    "create_token": lambda cast, caller, row: caller.post(
        "tokens", {"name": "laptop", "scopes": ["requests:read"], "days": 7}
    ),
    "revoke_token": lambda cast, caller, row: caller.delete(f"tokens/{row.pk}"),
}
