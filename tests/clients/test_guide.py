"""Runs the guide for integrators from the first line to the last, and compares the scopes in it with the code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from requests_app.domain.scopes import LABELS, OF_CLIENTS, OF_PROVIDER_CLIENTS, Scope
from requests_app.models import Client, Ticket, TicketComment
from tests.cast import Cast
from tests.docs.documents import ROOT
from tests.docs.walk import walking

GUIDE = "docs/api.md"
As = Callable[..., dict[str, str]]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_way_from_a_token_to_the_first_event_leads_there(cast: Cast, as_: As, tmp_path: Path) -> None:
    waiting = cast.confirmed()
    scopes = (Scope.TICKETS_READ, Scope.TICKETS_WRITE, Scope.REQUESTS_READ, Scope.LOG_READ)
    environment = as_("ines", Scope.TOKENS_MANAGE, *scopes)
    del environment["TENANT"]
    with walking(GUIDE, tmp_path / "shell", environment) as walk:
        shown = walk.until("?state=PENDING_CUSTOMER")
        client = Client.objects.get()
        ticket = Ticket.objects.get(external_reference="INC-4700")
        event = json.loads((tmp_path / "shell" / "first-event.json").read_text())["items"][0]
        assert (event["type"], event["data"]["ticket"]["id"]) == ("ticket.opened", str(ticket.pk))
        assert (client.account.name, ticket.opened_by) == ("Help desk", client.account)
        assert '"kind":"person"' in shown
        assert '"kind":"client"' in shown
        shown = walk.rest()
    assert f'"reference":"{waiting.reference}"' in shown
    # The guide sends this comment twice, with the same key.
    assert TicketComment.objects.filter(ticket=ticket, body="Seen again today.").count() == 1
    assert "event: access_request.submitted" in shown


def test_the_guide_names_every_scope_in_the_words_of_the_page() -> None:
    text = (ROOT / GUIDE).read_text()
    for scope in Scope:
        assert f"\n| `{scope}` | {LABELS[scope]} |\n" in text
    for scopes in (OF_CLIENTS, OF_PROVIDER_CLIENTS):
        left_out = [f"`{scope}`" for scope in Scope if scope not in scopes]
        assert len(left_out) >= 3
    paragraph = next(part for part in text.split("\n\n") if part.startswith("A tenant's client can have all scopes"))
    of_tenant, of_provider = paragraph.split("A client of the provider can have all")
    assert {scope for scope in Scope if f"`{scope}`" in of_tenant} == frozenset(Scope) - OF_CLIENTS
    assert {scope for scope in Scope if f"`{scope}`" in of_provider} == frozenset(Scope) - OF_PROVIDER_CLIENTS
