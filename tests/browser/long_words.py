"""Puts long words and addresses into all texts that people write. They must not make a page wider than the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Model

from lockbox_site.demo.world import as_
from requests_app import models, operations
from requests_app.domain.states import State
from requests_app.models import AccessRequest, Resource

WORD = "Donaudampfschifffahrtsgesellschaft" * 12
URL = f"https://support.example.com/{'a0b1c2d3e4f5' * 32}?next=(x)"
#: The fields that people write and pages show.
WRITTEN: dict[type[Model], tuple[str, ...]] = {
    models.Tenant: ("name",),
    models.Person: ("name",),
    models.Service: ("name",),
    models.Resource: ("name",),
    models.Ticket: ("title", "body", "external_reference"),
    models.TicketComment: ("body",),
    models.AccessRequest: ("justification", "tried"),
    models.Decision: ("comment",),
    models.ContentAccess: ("item_ref",),
    models.Token: ("name",),
    models.Passkey: ("name",),
    models.Webhook: ("label", "url"),
    models.NotificationAddress: ("label",),
    models.Mute: ("note",),
}


def long_for(name: str, number: int) -> str:
    """Return a long word and, if there is room, an address. Each call returns another text."""
    return f"https://hooks.example/{number}{WORD}" if name == "url" else f"{number}{WORD} {URL}"


def lengthen() -> None:
    """Make all texts of people as long as their fields allow. Log entries that are written later contain them."""
    number = 0
    for model, names in WRITTEN.items():
        for row in model._default_manager.all():
            number += 1
            values: dict[str, Any] = {}
            for name in names:
                longest = getattr(model._meta.get_field(name), "max_length", None) or 900
                values[name] = long_for(name, number)[:longest]
            model._default_manager.filter(pk=row.pk).update(**values)
    row = AccessRequest.objects.get(tenant__slug="contoso", state=State.PENDING_CUSTOMER)
    operations.comment(row.ticket_id, actor=as_("mia.weber"), body=f"{WORD}\n{URL}")
    library = Path(settings.CONTENT_ROOT, Resource.objects.filter(kind="library", tenant__slug="fabrikam")[0].locator)
    for name in ("d" * 240, f"{'d' * 240}.txt"):
        (library / name).write_text(WORD) if "." in name else (library / name).mkdir(exist_ok=True)
