"""The application of the external service, with the client of its guards."""

from __future__ import annotations

import json
from typing import Any

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.scopes import Scope
from requests_app.models import Client, Service, Token
from requests_app.models.people import actor_of_token
from tests.caller import Caller
from tests.cast import Cast
from tests.remembered import MEMORY

#: The lives of a guard and of its copy.
LIFE, COPY = "11111111-9f6b-4a73-8a39-0f6f1f8a2a01", "22222222-9f6b-4a73-8a39-0f6f1f8a2a01"
#: The ids that two guards have made for themselves.
ONE, OTHER = "5f0e6f1e-9f6b-4a73-8a39-0f6f1f8a2a01", "5f0e6f1e-9f6b-4a73-8a39-0f6f1f8a2a02"


def client_of_guards(cast: Cast, service: Service | None = None) -> Client:
    client: Client = cast.guard(service).row
    return client


def token_of_guard(client: Client) -> tuple[Token, str]:
    """Return the row and the secret of a new token."""
    return MEMORY.call(("token of a guard", str(client.pk)), lambda: _new_token(client))


def _new_token(client: Client) -> tuple[Token, str]:
    secret = operations.issue_access_token(client, scopes=frozenset({Scope.GUARD})).secret
    return Token.objects.select_related("account__client").filter(account=client.account).latest("created_at"), secret


def guard(cast: Cast, client: Client | None = None) -> Caller:
    """Return a caller with the token of an application's client."""
    return Caller(token_of_guard(client or client_of_guards(cast))[1])


def actor_of_guard(client: Client) -> Actor:
    return actor_of_token(token_of_guard(client)[0])


def messages_in(stream: bytes) -> list[tuple[str, dict[str, Any], str]]:
    """Return the event, the data and the id of each message in a stream, by the rules of the HTML standard.

    A comment has the event "".
    """
    found = []
    for block in stream.decode().strip("\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]), fields["id"]))
        elif "" in fields:
            found.append(("", {"why": fields[""]}, ""))
    return found
