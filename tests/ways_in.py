"""A guard's client of the external service, and the way of an engineer's browser into its application."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from requests_app import operations
from requests_app.domain import one_time_codes
from requests_app.models import Client, Grant
from requests_app.models.people import actor_of_client
from requests_app.queries import receivers
from requests_app.queries.receivers import Receiver
from tests.cast import Cast


def receiver_of(client: Client) -> Receiver:
    found = receivers.find(str(client.pk))
    assert found is not None
    return found


@dataclass
class WayIn:
    """One engineer's browser on its way into the application. `verifier` is the value of its cookie there."""

    #: The cast, or another world whose `as_` returns an actor.
    cast: Any
    client: Client
    grant: Grant
    by: str = "priya"
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def receiver(self) -> Receiver:
        return receiver_of(self.client)

    def asked(self, **changes: Any) -> dict[str, str]:
        """Return the parameters of the authorization request. A change to None leaves one out."""
        values = {
            "response_type": "code",
            "client_id": str(self.client.pk),
            "redirect_uri": self.receiver.redirect_uri,
            "state": "/contoso/support/7",
            "code_challenge": one_time_codes.challenge_of(self.verifier),
            "code_challenge_method": "S256",
            "grant": str(self.grant.pk),
            **changes,
        }
        return {name: value for name, value in values.items() if value is not None}

    def issue(self, by: str | None = None) -> str:
        return operations.issue_code(
            self.grant.pk,
            receiver=self.receiver,
            redirect_uri=self.receiver.redirect_uri,
            challenge=one_time_codes.challenge_of(self.verifier),
            actor=self.cast.as_(by or self.by),
        )

    def redeem(self, code: str, **changes: Any) -> Any:
        receiver = changes.get("receiver") or self.receiver
        values: dict[str, Any] = {
            "receiver": receiver,
            "redirect_uri": receiver.redirect_uri,
            "verifier": self.verifier,
            "actor": actor_of_client(self.client),
            **changes,
        }
        return operations.redeem_code(code, **values)

    def token(self) -> operations.GrantToken:
        """Return the token that the application gets for the browser's code."""
        row = self.redeem(self.issue())
        return operations.exchange_code(row.pk, actor=actor_of_client(self.client))


def way_in(cast: Cast) -> WayIn:
    """Return the way of Priya's browser into Quillo, with her open window at Contoso."""
    return WayIn(cast, cast.guard().row, cast.in_quillo())
