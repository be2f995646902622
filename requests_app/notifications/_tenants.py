"""Facts of mails about what a tenant has chosen: Lockbox on or off, and who decides."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.models import Membership, OutboxMessage, Person
from requests_app.notifications import words
from requests_app.notifications.words import Fact

Facts = dict[str, Any]


def switched(message: OutboxMessage, at: datetime) -> Facts:
    """Lockbox was switched on or off."""
    on = bool(message.payload["on"])
    return {
        "path": f"/tenant/{message.tenant_id}/",
        "on": on,
        "by": words.line(message.payload["by"]),
        "customer_time": words.duration(settings.CUSTOMER_DECISION_SECONDS),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Lockbox"), [_("on") if on else _("off")]),
            *_act(message, at),
        ],
    }


def approvers(message: OutboxMessage, at: datetime) -> Facts:
    """Somebody became, or is no longer, one who decides for the tenant or manages its people."""
    person = Person.objects.get(pk=message.about)
    role = str(message.payload["role"])
    given = bool(message.payload["given"])
    return {
        "path": f"/tenant/{message.tenant_id}/people/",
        "name": words.name(person),
        "given": given,
        "is_approver": role == Membership.Role.APPROVER,
        "by": words.line(message.payload["by"]),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Person"), [words.name(person), words.line(person.email)]),
            Fact(_("Role"), [str(Membership.Role(role).label), _("given") if given else _("taken away")]),
            *_act(message, at),
        ],
    }


def client(message: OutboxMessage, at: datetime) -> Facts:
    """A client of the API was allowed to decide for an approver."""
    name, whose = words.line(message.payload["client"]), words.line(message.payload["for"])
    return {
        "path": f"/tenant/{message.tenant_id}/clients/",
        "client": name,
        "whose": whose,
        "by": words.line(message.payload["by"]),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Client"), [name]),
            Fact(_("Decides for"), [whose]),
            *_act(message, at),
        ],
    }


def _tenant(message: OutboxMessage) -> str:
    assert message.tenant is not None
    return words.line(message.tenant.name)


def _act(message: OutboxMessage, at: datetime) -> list[Fact]:
    by = words.line(message.payload["by"])
    return [Fact(_("Done by"), [by]), Fact(_("When"), [words.when(message.created_at, at)])]
