"""Declares the act that starts a practice request."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Noun, Tell
from requests_app.domain.acts.installation import RESOURCE_ADDED
from requests_app.domain.acts.tickets import TICKET_OPENED
from requests_app.domain.scopes import Scope

START_PRACTICE = Act(
    "start_practice",
    noun=Noun.TENANT,
    title=_("Start a practice request"),
    explains=_(
        "A ticket with a made-up problem is opened. An engineer then asks for access to made-up content, and everybody "
        "who would decide on a real access request decides on this one. Nobody’s real content is opened."
    ),
    roles=frozenset({Role.ADMINISTRATOR, Role.STAFF}),
    scope=Scope.TICKETS_WRITE,
    events=(TICKET_OPENED, RESOURCE_ADDED),
    tried=_("to start a practice request"),
    done=_("The practice ticket {reference} is open. The engineers of {service} have been told."),
    tells=(Tell("notify.ticket_opened", ("queue",)),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
