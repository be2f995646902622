"""Declares the acts on webhooks and their messages."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Field, Kind, Noun, Proposal, Route, StepUp, Tell, has
from requests_app.domain.scopes import Scope

WEBHOOK_ADDED = Event(
    "webhook.added",
    label=_("Webhook added"),
    sentence=_("{who} added a webhook at {place}"),
    variants=(
        (has("client_name"), _("{who} registered {place} as a callback address of the API client {client_name}")),
    ),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.MEDIUM),
)
WEBHOOK_CHANGED = Event(
    "webhook.changed",
    label=_("Webhook changed"),
    sentence=_("{who} changed the webhook at {place}"),
    variants=((has("client_name"), _("{who} changed a callback address of the API client {client_name} to {place}")),),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.MEDIUM),
)
WEBHOOK_REMOVED = Event(
    "webhook.removed",
    label=_("Webhook removed"),
    sentence=_("{who} removed the webhook at {place}"),
    variants=((has("client_name"), _("{who} removed the callback address {place} of the API client {client_name}")),),
    siem=Meaning(Family.ENTITY, 4, severity=Severity.LOW),
)
WEBHOOK_SECRET_ROTATED = Event(
    "webhook.secret_rotated",
    label=_("New webhook secret made"),
    sentence=_("{who} made a new secret for the webhook at {place}"),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.MEDIUM),
)
WEBHOOK_DISABLED = Event(
    "webhook.disabled",
    label=_("Webhook switched off"),
    sentence=_("{who} switched off the webhook at {place}"),
    variants=(
        (
            has("because", "gone"),
            _(
                "The webhook at {place} was switched off, because the receiver answered that its address no longer "
                "exists (410)"
            ),
        ),
        (has("because", "failing"), _("The webhook at {place} was switched off, because it failed for several days")),
    ),
    siem=Meaning(Family.ENTITY, 9, severity=Severity.MEDIUM),
)
WEBHOOK_ENABLED = Event(
    "webhook.enabled",
    label=_("Webhook switched on"),
    sentence=_("{who} switched on the webhook at {place} again"),
    siem=Meaning(Family.ENTITY, 8, severity=Severity.LOW),
)
WEBHOOK_TESTED = Event(
    "webhook.tested",
    label=_("Webhook tested"),
    sentence=_("{who} sent a test message to the webhook at {place}"),
    siem=Meaning(Family.ENTITY, OTHER, "Tested"),
)
WEBHOOK_REDELIVERED = Event(
    "webhook.redelivered",
    label=_("Message sent again to a webhook"),
    sentence=_("{who} sent a message to the webhook at {place} again"),
    siem=Meaning(Family.ENTITY, OTHER, "Sent again"),
)

ADD_WEBHOOK = Act(
    "add_webhook",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    title=_("Add a webhook"),
    inputs=(Field("label", Kind.TEXT, at_least=0, at_most=80),),
    step_up=StepUp.ALWAYS,
    scope=Scope.WEBHOOKS_MANAGE,
    events=(WEBHOOK_ADDED,),
    tried=_("to add a webhook"),
    done=_("The webhook was added."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
ADD_CALLBACK = Act(
    "add_callback",
    noun=Noun.CLIENT,
    roles=frozenset({Role.STAFF}),
    provider_roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Register a callback address"),
    inputs=(Field("label", Kind.TEXT, at_least=0, at_most=80),),
    step_up=StepUp.ALWAYS,
    scope=Scope.WEBHOOKS_MANAGE,
    events=(WEBHOOK_ADDED,),
    tried=_("to register a callback address"),
    done=_("The callback address was registered."),
    doors=frozenset({Door.API, Door.ADMIN}),
)
CHANGE_WEBHOOK = Act(
    "change_webhook",
    noun=Noun.WEBHOOK,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    title=_("Change a webhook"),
    inputs=(Field("label", Kind.TEXT, at_least=0, at_most=80, is_needed=False),),
    step_up=StepUp.DEPENDS,
    scope=Scope.WEBHOOKS_MANAGE,
    events=(WEBHOOK_CHANGED,),
    tried=_("to change a webhook"),
    proposes=(
        Proposal(
            "change_webhook",
            _(
                "change the webhook at %(place_before)s: its address becomes %(place)s, and it gets messages about "
                "%(events)s"
            ),
        ),
    ),
    done=_("The webhook was changed."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
REMOVE_WEBHOOK = Act(
    "remove_webhook",
    noun=Noun.WEBHOOK,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    title=_("Remove a webhook"),
    step_up=StepUp.ALWAYS,
    scope=Scope.WEBHOOKS_MANAGE,
    events=(WEBHOOK_REMOVED,),
    tried=_("to remove a webhook"),
    proposes=(Proposal("remove_webhook", _("remove the webhook at %(place)s")),),
    done=_("The webhook was removed."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
ROTATE_WEBHOOK_SECRET = Act(
    "rotate_webhook_secret",
    noun=Noun.WEBHOOK,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    title=_("Make a new secret for a webhook"),
    step_up=StepUp.ALWAYS,
    scope=Scope.WEBHOOKS_MANAGE,
    events=(WEBHOOK_SECRET_ROTATED,),
    tried=_("to make a new secret for a webhook"),
    done=_("A new secret was made."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
DISABLE_WEBHOOK = Act(
    "disable_webhook",
    noun=Noun.WEBHOOK,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    title=_("Switch a webhook off"),
    step_up=StepUp.ALWAYS,
    scope=Scope.WEBHOOKS_MANAGE,
    events=(WEBHOOK_DISABLED,),
    tried=_("to switch a webhook off"),
    proposes=(Proposal("disable_webhook", _("switch off the webhook at %(place)s")),),
    done=_("No messages are sent to this webhook until somebody switches it on again."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    route=Route("disable", "Switch a webhook off"),
)
ENABLE_WEBHOOK = Act(
    "enable_webhook",
    noun=Noun.WEBHOOK,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    title=_("Switch a webhook on"),
    step_up=StepUp.ALWAYS,
    scope=Scope.WEBHOOKS_MANAGE,
    events=(WEBHOOK_ENABLED,),
    tried=_("to switch a webhook on"),
    proposes=(
        Proposal("enable_webhook", _("switch on the webhook at %(place)s, which gets messages about %(events)s")),
    ),
    done=_("The webhook continues where it stopped. Messages older than three days are left out."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    route=Route(
        "enable", "Switch a webhook on; it continues where it stopped", "Messages older than three days are left out."
    ),
)
SEND_WEBHOOK_TEST = Act(
    "send_webhook_test",
    noun=Noun.WEBHOOK,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    title=_("Send a test to a webhook"),
    scope=Scope.WEBHOOKS_MANAGE,
    events=(WEBHOOK_TESTED,),
    tried=_("to send a test to a webhook"),
    done=_("A test is on its way. The result appears below within seconds."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
REDELIVER = Act(
    "redeliver",
    noun=Noun.MESSAGE,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    title=_("Send a message to a webhook again"),
    scope=Scope.WEBHOOKS_MANAGE,
    events=(WEBHOOK_REDELIVERED,),
    tried=_("to send a message to a webhook again"),
    done=_("The message is sent again, with the same id."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
GIVE_UP_WEBHOOK = Act(
    "give_up_webhook",
    noun=Noun.WEBHOOK,
    roles=frozenset({Role.SYSTEM}),
    events=(WEBHOOK_DISABLED,),
    tells=(Tell("notify.webhook_off", ("administrators",)),),
    doors=frozenset({Door.TASK}),
)
