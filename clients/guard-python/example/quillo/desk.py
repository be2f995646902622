"""Asks for access at Lockbox, for an engineer, with the provider's own case as the reference."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from django.conf import settings
from django.contrib.auth.models import User

from lockbox_guard.lockbox import Lockbox
from quillo.models import Asked, Workspace

TIMEOUT = 10


class Declined(Exception):
    """Lockbox did not accept the call. The text is for the engineer."""


def call(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Call the API with an access token of the desk's client."""
    try:
        token, _ = Lockbox(settings.LOCKBOX_URL, *settings.LOCKBOX_DESK).token(grant_type="client_credentials")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{settings.LOCKBOX_URL}/api/v1/{path}", data, headers), timeout=TIMEOUT) as answer:
            return json.load(answer)
    except HTTPError as error:
        found = json.loads(error.read() or b"{}")
        wrong = "; ".join(each["detail"] for each in found.get("errors", []))
        raise Declined(wrong or found.get("title", "") or f"Lockbox answered {error.code}.") from error
    except OSError as error:
        raise Declined("Lockbox does not answer. Try again in a moment.") from error


def ask(workspace: Workspace, engineer: User, form: dict[str, Any]) -> Asked:
    """Open a ticket for the case, or take the one that it has, and submit an access request for the engineer."""
    found = call(f"tenants/{workspace.tenant}/resources?{urlencode({'external_id': workspace.key})}")["items"]
    if not found:
        raise Declined("Lockbox does not know this workspace.")
    query = urlencode({"tenant": workspace.tenant, "external_reference": form["case"], "is_live": "true"})
    ticket = next(iter(call(f"tickets?{query}")["items"]), None) or call("tickets", {
        "tenant": str(workspace.tenant), "service": "quillo", "title": f"Support case {form['case']}",
        "body": form["tried"], "external_reference": form["case"], "external_url": form["case_url"],
    })  # fmt: skip
    made = call("access-requests", {
        "ticket": ticket["id"], "engineer": engineer.email, "resources": [found[0]["id"]], "level": form["level"],
        "window_seconds": form["minutes"] * 60, "tried": form["tried"], "justification": form["justification"],
    })  # fmt: skip
    return Asked.objects.create(
        workspace=workspace, engineer=engineer, access_request=made["id"], reference=made["reference"],
        case=form["case"],
    )  # fmt: skip


def state_of(asked: Asked) -> dict[str, Any]:
    """Return the access request as Lockbox has it now."""
    return call(f"access-requests/{asked.access_request}")
