"""Runs the recipe for a help desk against a server, block by block. Between the blocks, people do their part."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import AccessRequest, Client, Ticket, Webhook
from requests_app.work.webhooks import delivery
from tests.caller import token_of
from tests.cast import Cast
from tests.docs.walk import walking
from tests.ports import free_port

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here"),
]


def deliver() -> None:
    while delivery.drain():
        pass


HELD = (Scope.TICKETS_READ, Scope.TICKETS_WRITE, Scope.REQUESTS_READ, Scope.WEBHOOKS_MANAGE)


@pytest.mark.slow
def test_the_recipe_works_from_its_first_line_to_its_last(
    cast: Cast, live_server: LiveServer, tmp_path: Path, settings: Any
) -> None:
    settings.WEBHOOK_PRIVATE_NETWORK = True
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "LOCKBOX_URL": live_server.url,
        "LOCKBOX_TOKEN": token_of(cast, "ines", Scope.TOKENS_MANAGE, *HELD),
        "TENANT": str(cast.contoso.pk),
        "RECEIVER_URL": f"http://127.0.0.1:{port}/lockbox",
        "RECEIVER_PORT": str(port),
    }
    desk = tmp_path / "desk"
    with walking("docs/help-desk.md", desk, environment) as walk:
        shown = walk.until("Idempotency-Key")
        client, hook = Client.objects.get(), Webhook.objects.get()
        assert (client.tenant, client.account.name) == (cast.contoso, "Help desk")
        assert (hook.url, shown) == (environment["RECEIVER_URL"], "waiting\n")
        deliver()

        shown = walk.until("outcome.txt")
        ticket = Ticket.objects.get()
        assert shown.splitlines() == [ticket.reference, ticket.external_url]
        assert (ticket.opened_by, ticket.external_reference) == (client.account, "INC-4711")

        row = cast.confirmed(ticket=ticket)
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"), note="Go on.")
        operations.release(row.pk, actor=cast.as_("priya"))
        cast.ticket(title="Of no case")
        deliver()

        shown = walk.until("/close")
        # Messages can arrive in another order, and a message about ended access is not delayed by others.
        assert sorted(line.split() for line in shown.splitlines()[:6]) == [
            ["INC-4711", "access_request.approved_by_customer", "OPEN", str(row.pk)],
            ["INC-4711", "access_request.approved_by_provider", "PENDING_CUSTOMER", str(row.pk)],
            ["INC-4711", "access_request.submitted", "PENDING_PROVIDER", str(row.pk)],
            ["INC-4711", "grant.released", "CLOSED", str(row.pk)],
            ["INC-4711", "ticket.linked", "-", "-"],
            ["INC-4711", "ticket.opened", "NEW", "-"],
        ]
        assert f"{row.reference} CLOSED for Priya Test" in shown
        assert "customer approve by Ada Test Go on." in shown

        shown = walk.rest()
        assert "It is only the invoices of November." in shown
        assert "['close', 'comment', 'link']\nCLOSED\n" in shown
        assert json.loads(shown.partition("CLOSED\n")[2])["items"] == [
            {"reference": ticket.reference, "state": "CLOSED"}
        ]
    assert Ticket.objects.get(pk=ticket.pk).state == "CLOSED"
    assert AccessRequest.objects.get().state == "CLOSED"
    lines = (desk / "outcome.txt").read_text().splitlines()
    assert lines[0] == "- webhook.test - -"
    assert [line for line in lines if line.startswith("- ")][1:] == ["- ticket.opened NEW -"]
    assert not (desk / "client.json").exists()
