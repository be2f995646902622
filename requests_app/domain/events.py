"""The titles of the log's events, for people, and the log that belongs to no tenant."""

from __future__ import annotations

from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from requests_app.domain.acts import EVENTS

#: The id of the log for what belongs to no tenant: the provider's people, plans and services.
PROVIDER_LOG = UUID(int=0)
#: The title of each event, in the order of the declarations.
TITLES: dict[str, Promise] = {name: event.label for name, event in EVENTS.items()}


def title_of(name: str) -> str:
    """Return the title of an event.

    If a newer version stored a name that is unknown here, return the name unchanged.
    """
    event = EVENTS.get(name)
    return name if event is None else str(event.label)


#: The names of the interfaces in the log, with their titles.
DOORS: dict[str, Promise] = {
    "pages": _("Pages"),
    "api": _("API"),
    "admin": _("Administration"),
    "command": _("Command"),
    "task": _("Background task"),
}


def door_title(name: str) -> str:
    """Return the title of an interface. If the name is unknown, return the name unchanged."""
    return str(DOORS.get(name, name))
